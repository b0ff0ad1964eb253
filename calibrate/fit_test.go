package calibrate

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func problem(rows [][]float64, y []float64) *normal {
	n := new(normal)
	for i, r := range rows {
		var v vector
		copy(v[:], r)
		n.add(&v, y[i])
	}
	return n
}

// The examples of SciPy's documentation of nnls, and one whose plain solution has a negative member.
func TestNonNegativeLeastSquares(t *testing.T) {
	a := [][]float64{{1, 0}, {1, 0}, {0, 1}}
	for _, c := range []struct {
		rows     [][]float64
		y        []float64
		want     vector
		residual float64 // norm
	}{
		{a, []float64{2, 1, 1}, vector{1.5, 1}, 0.7071067811865475},
		{a, []float64{-1, -1, -1}, vector{}, 1.7320508075688772},
		{[][]float64{{1, 1}, {1, 2}, {1, 3}}, []float64{3, 2, 1}, vector{2, 0}, math.Sqrt2},        // plain: 4 - x
		{[][]float64{{1, 1}, {2, 2}, {3, 3}}, []float64{1, 2, 3}, vector{0, 1}, 0},                 // either column alone
		{[][]float64{{1e-3, 0}, {0, 1e3}}, []float64{3e-3, 2e3}, vector{3, 2}, 0},                  // scales far apart
		{[][]float64{{0, 0}, {0, 0}}, []float64{1, 1}, vector{}, math.Sqrt2},                       // nothing to tell by
		{[][]float64{{2, 0, 0, 0, 0}, {0, 0, 0, 0, 4}}, []float64{2, 4}, vector{1, 0, 0, 0, 1}, 0}, // first and last
	} {
		n := problem(c.rows, c.y)
		got := n.nonNegative()
		if c.want == (vector{0, 1}) {
			if math.Abs(got[0]+got[1]-1) > 1e-9 {
				t.Errorf("%v: %v", c.rows, got)
			}
			continue
		}
		for i := range terms {
			if math.Abs(got[i]-c.want[i]) > 1e-6 {
				t.Errorf("%v %v: %v, want %v", c.rows, c.y, got, c.want)
				break
			}
		}
		if r := math.Sqrt(max(n.residual(&got), 0)); math.Abs(r-c.residual) > 1e-6 {
			t.Errorf("%v %v: a residual of %v, want %v", c.rows, c.y, r, c.residual)
		}
	}
}

// The conditions of Karush, Kuhn and Tucker hold exactly at the optimum: where a member is positive the gradient is zero, where it
// is zero the gradient does not point into the positive.
func TestSolutionsAreOptimal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var n normal
		for range rapid.IntRange(6, 30).Draw(t, "rows") {
			var v vector
			for i := range v {
				v[i] = rapid.Float64Range(0, 10).Draw(t, "x")
			}
			n.add(&v, rapid.Float64Range(-10, 10).Draw(t, "y"))
		}
		for i := range terms {
			if n.a[i][i] < 1e-3 || n.tolerance(i, 1<<terms-1) < 1e-6 {
				t.Skip("columns that are not independent")
			}
		}
		x := n.nonNegative()
		for i := range terms {
			g := -n.b[i]
			for j := range terms {
				g += n.a[i][j] * x[j]
			}
			scale := 1e-6 * math.Sqrt(n.a[i][i]*n.y)
			if x[i] < 0 || x[i] > 0 && math.Abs(g) > scale || x[i] == 0 && g < -scale {
				t.Fatalf("member %d is %v with a gradient of %v: %v", i, x[i], g, x)
			}
		}
	})
}

// truth makes samples of an engine whose coefficients are known, with relative errors of a size.
func truth(r *rand.Rand, x vector, noise float64) []Sample {
	var out []Sample
	for _, batch := range []float64{1, 2, 4, 8, 16, 32, 64} {
		for _, context := range []float64{100, 400, 1500} {
			out = append(out, Sample{Steps: 50, Context: 50 * batch * context, Decoded: 50 * batch, Batch: batch})
		}
	}
	for _, prompt := range []float64{32, 128, 512, 1024, 2048} {
		for range 3 {
			out = append(out, Sample{Calls: 1, Steps: 1, Prefill: prompt, Batch: 1})
		}
	}
	for i := range out {
		row := Sample{Seconds: 1, Calls: out[i].Calls, Steps: out[i].Steps, Prefill: out[i].Prefill, Context: out[i].Context, Decoded: out[i].Decoded}
		v := row.row()
		for k := range terms {
			out[i].Seconds += v[k] * x[k]
		}
		out[i].Seconds *= 1 + noise*r.NormFloat64()
	}
	return out
}

var known = vector{0.002, 0.0163, 85e-6, 210e-9, 27e-6}

func (c *Coefficients) list() []Estimate {
	return []Estimate{c.Call, c.Step, c.PrefillToken, c.ContextToken, c.Sequence}
}

// Without errors of measurement the fit is exact.
func TestFitIsExactOnExactSamples(t *testing.T) {
	samples := truth(rand.New(rand.NewPCG(1, 1)), known, 0)
	c, err := Fit(samples, Span{Batch: 64})
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range c.list() {
		if math.Abs(e.Value/known[i]-1) > 1e-6 || e.Low > e.Value || e.High < e.Value {
			t.Errorf("%s: %+v, want %v", termNames[i], e, known[i])
		}
	}
	if c.Error > 1e-6 || c.Worst > 1e-6 {
		t.Errorf("errors of %v and %v", c.Error, c.Worst)
	}
}

// Intervals of nine in ten hold the truth about as often, over many worlds with errors of two in a hundred.
func TestIntervalsCover(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 3))
	const worlds = 200
	var held [terms]int
	for range worlds {
		samples := truth(r, known, 0.02)
		c, err := Fit(samples, Span{Batch: 64})
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range c.list() {
			if e.Low <= known[i] && known[i] <= e.High {
				held[i]++
			}
		}
	}
	t.Logf("of %d: %v", worlds, held)
	for i, n := range held {
		if share := float64(n) / worlds; share < 0.82 || share > 0.98 {
			t.Errorf("%s: %.0f %% of the intervals hold the truth", termNames[i], 100*share)
		}
	}
}

// Samples that a noisy machine has disturbed by a third and more, up to a fifth of them, are left out, and the fit is that of the others alone. Of those
// of a quiet machine one at most is taken for disturbed.
func TestFitLeavesOutWhatWasDisturbed(t *testing.T) {
	for _, noise := range []float64{0, 0.002, 0.02} {
		r := rand.New(rand.NewPCG(4, 5))
		for world := range 20 {
			samples := truth(r, known, noise)
			disturbed := map[int]bool{}
			for range world % (len(samples)/5 + 1) {
				if i := r.IntN(len(samples)); !disturbed[i] && samples[i].Batch < 64 { // of the largest batch there are few
					disturbed[i] = true
					samples[i].Seconds *= 1.35 + 3*r.Float64()
				}
			}
			c, err := Fit(samples, Span{Batch: 64})
			if err != nil {
				t.Fatal(err)
			}
			var others []Sample
			for i := range samples {
				if !disturbed[i] {
					others = append(others, samples[i])
				}
			}
			want, err := Fit(others, Span{Batch: 64})
			if err != nil {
				t.Fatal(err)
			}
			off := math.Abs(c.Step.Value/want.Step.Value - 1)
			if n := c.LeftOut - len(disturbed); n < 0 || n > 1 || want.LeftOut > 1 || n == want.LeftOut && off > 1e-9 || off > 0.01 || c.Worst > 0.15 {
				t.Errorf("noise %v, world %d: %d of %d are left out, %d were disturbed: %+v, and without them %+v", noise, world, c.LeftOut, len(samples), len(disturbed), c, want)
			}
		}
	}
}

// Where a third of the samples are off it is not they that are wrong: none is left out, and the errors of the fit say so. Neither is one that nothing else
// tells what it does.
func TestFitLeavesOutNoMore(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 7))
	samples := truth(r, known, 0.002)
	for i := range samples {
		if i%3 == 0 {
			samples[i].Seconds *= 2
		}
	}
	if c, err := Fit(samples, Span{Batch: 64}); err != nil || c.LeftOut != 0 || c.Worst < 0.2 {
		t.Errorf("%+v, %v", c, err)
	}
	samples = truth(r, known, 0.002)
	for i := range samples {
		if samples[i].Batch == 64 {
			samples[i].Seconds *= 1.5
		}
	}
	if c, err := Fit(samples, Span{Batch: 64}); err != nil || c.LeftOut != 0 {
		t.Errorf("all that tells of the full engine is left out: %+v, %v", c, err)
	}
}

// What samples do not span is refused, by name.
func TestFitRefusesWhatSamplesDoNotSpan(t *testing.T) {
	good := truth(rand.New(rand.NewPCG(1, 1)), known, 0.01)
	for _, c := range []struct {
		name  string
		keep  func(s *Sample) bool
		batch int
		want  string
	}{
		{"a larger engine", func(*Sample) bool { return true }, 100, "the batch went up to 64.0 of 100"},
		{"no small batch", func(s *Sample) bool { return s.Decoded == 0 || s.Batch > 20 }, 64, "the batch was never below 32.0"},
		{"no prompt", func(s *Sample) bool { return s.Prefill == 0 }, 64, "in none was a prompt read"},
		{"prompts only", func(s *Sample) bool { return s.Prefill > 0 }, 64, "in none did sequences mostly decode"},
		{"one length of prompts", func(s *Sample) bool { return s.Prefill == 0 || s.Prefill == 512 }, 64, "the cost of a call cannot be told from the others"},
		{"one context", func(s *Sample) bool { return s.Context == 0 || s.Context == 50*s.Batch*400 }, 64, "cannot be told from the others"},
		{"few", func(s *Sample) bool { return s.Context != 0 && s.Batch < 16 }, 8, "there are 12"},
	} {
		samples := slices.DeleteFunc(slices.Clone(good), func(s Sample) bool { return !c.keep(&s) })
		fit, err := Fit(samples, Span{Batch: c.batch})
		var u *Uncovered
		if !errors.As(err, &u) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v", c.name, fit, err)
		}
	}
	for _, s := range []Sample{{}, {Seconds: -1, Steps: 1}, {Seconds: 1, Steps: -1}, {Seconds: math.NaN()}, {Seconds: math.Inf(1)}} {
		if fit, err := Fit(append(slices.Clone(good), s), Span{Batch: 64}); err == nil {
			t.Errorf("%+v was fitted: %+v", s, fit)
		}
	}
}

// Two points of known lines give them back; points that no engine has are refused.
func TestTwoPoint(t *testing.T) {
	l, err := TwoPoint(Point{Batch: 1, Prompt: 500, First: 0.1224, Between: 0.0164}, Point{Batch: 64, Prompt: 500, First: 0.1 + 500*64*44.8e-6, Between: 0.0164 + 63*18e-6})
	if err != nil || math.Abs(l.A-0.016382) > 1e-9 || math.Abs(l.B-18e-6) > 1e-12 || math.Abs(l.G-0.1) > 1e-9 || math.Abs(l.D-44.8e-6) > 1e-12 {
		t.Errorf("%+v, %v", l, err)
	}
	for _, p := range [][2]Point{
		{{Batch: 4}, {Batch: 4}},
		{{Batch: 1, Prompt: 1, First: 1, Between: 2}, {Batch: 2, Prompt: 1, First: 2, Between: 1}},
		{{Batch: 1, Prompt: 1, First: 1, Between: 1}, {Batch: 4, Prompt: 1, First: 9, Between: 9}},
	} {
		if l, err := TwoPoint(p[0], p[1]); err == nil {
			t.Errorf("%+v: %+v", p, l)
		}
	}
}
