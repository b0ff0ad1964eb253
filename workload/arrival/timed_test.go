package arrival

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// level is that at which all tests of this file together may fail on a right program. Seeds are fixed, so that they fail always or never.
const (
	level = 1e-6
	tests = 64 // of which each has its part; there are fewer
)

func seeded(n uint64) *rand.Rand { return rand.New(rand.NewPCG(n, 7)) }

// farthest is the statistic of Kolmogorov and Smirnov: how far an empirical distribution is from one in closed form.
func farthest(values []float64, cdf func(float64) float64) float64 {
	slices.Sort(values)
	most, n := 0.0, float64(len(values))
	for i, v := range values {
		f := cdf(v)
		most = max(most, f-float64(i)/n, float64(i+1)/n-f)
	}
	return most
}

// bound is what farthest is below with the test's part of the level: 2 exp(-2 n d²) is at most that (Massart).
func bound(n int) float64 { return math.Sqrt(math.Log(2*tests/level) / (2 * float64(n))) }

// deviations is how many of its own deviations a normal variable stays within: 2 exp(-z²/2) is at most the test's part of the level.
var deviations = math.Sqrt(2 * math.Log(2*tests/level))

func erlang(k int, y float64) float64 {
	sum, term := 0.0, 1.0
	for j := range k {
		if j > 0 {
			term *= y / float64(j)
		}
		sum += term
	}
	return 1 - math.Exp(-y)*sum
}

// Gaps, and times to the first arrival, have the distributions that closed forms say: Γ(1/2) is an error function, Γ(4) Erlang's, a Weibull one of
// coefficient √5 has shape 1/2; the first is a part of a gap that is drawn by its length, of distribution ∫ 1 - F.
func TestDistributions(t *testing.T) {
	const n = 40_000
	exponential := func(x float64) float64 { return -math.Expm1(-x) }
	half := func(x float64) float64 { return math.Sqrt(2 * x) }
	for name, c := range map[string]struct {
		gaps      Process
		cdf       func(float64) float64
		first     func(float64) float64 // nil where no closed form is known
		variation float64
	}{
		"poisson":  {Poisson(), exponential, exponential, 1},
		"gamma √2": {Gamma(math.Sqrt2), func(x float64) float64 { return math.Erf(math.Sqrt(x / 2)) }, nil, math.Sqrt2},
		"gamma 1":  {Gamma(1), exponential, exponential, 1},
		"gamma 1/2": {Gamma(0.5), func(x float64) float64 { return erlang(4, 4*x) }, func(x float64) float64 {
			return (erlang(1, 4*x) + erlang(2, 4*x) + erlang(3, 4*x) + erlang(4, 4*x)) / 4
		}, 0.5},
		"weibull 1":   {Weibull(1), exponential, exponential, 1},
		"weibull √5":  {Weibull(math.Sqrt(5)), func(x float64) float64 { return -math.Expm1(-half(x)) }, func(x float64) float64 { return 1 - (1+half(x))*math.Exp(-half(x)) }, math.Sqrt(5)},
		"weibull √19": {WeibullOfShape(1.0 / 3), func(x float64) float64 { return -math.Expm1(-math.Cbrt(6 * x)) }, nil, math.Sqrt(19)}, // 6! / 3!² - 1
	} {
		random := seeded(1)
		gaps, firsts := make([]float64, n), make([]float64, n)
		for i := range n {
			gaps[i], firsts[i] = c.gaps.Next(random), c.gaps.First(random)
		}
		if d := farthest(gaps, c.cdf); d > bound(n) {
			t.Errorf("%s: gaps are %v from their distribution, at most %v was to be expected", name, d, bound(n))
		}
		if c.first != nil {
			if d := farthest(firsts, c.first); d > bound(n) {
				t.Errorf("%s: first arrivals are %v from their distribution, at most %v was to be expected", name, d, bound(n))
			}
		}
		if v := c.gaps.Variation(); math.Abs(v-c.variation) > 1e-9 {
			t.Errorf("%s: a coefficient of variation of %v, want %v", name, v, c.variation)
		}
	}
}

// A wrong distribution is found out by the same test.
func TestDistributionsCanFail(t *testing.T) {
	random, gaps := seeded(1), make([]float64, 40_000)
	g := Gamma(1.1)
	for i := range gaps {
		gaps[i] = g.Next(random)
	}
	if d := farthest(gaps, func(x float64) float64 { return -math.Expm1(-x) }); d <= bound(len(gaps)) {
		t.Errorf("gaps of a coefficient of 1.1 pass for independent ones: %v", d)
	}
}

// A process of a shape is that of the variation that the shape has.
func TestShapes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := rapid.Float64Range(LeastShape, 100).Draw(t, "shape")
		if v := GammaOfShape(shape).Variation(); math.Abs(v*v*shape-1) > 1e-9 {
			t.Fatalf("Gamma of shape %v varies by %v", shape, v)
		}
		cv := rapid.Float64Range(Least, Most).Draw(t, "variation")
		for _, p := range []Process{Gamma(cv), Weibull(cv)} {
			if v := p.Variation(); math.Abs(v/cv-1) > 1e-6 {
				t.Fatalf("%+v varies by %v, want %v", p, v, cv)
			}
		}
		if p := Weibull(cv); math.Abs(WeibullOfShape(p.shape).Variation()/cv-1) > 1e-6 {
			t.Fatalf("%+v", p)
		}
	})
}

// As many arrivals come in each step as the rate says, from the first on, whatever the gaps are; and how much the numbers of long times vary
// goes to cv² of their mean, the theorem of renewal processes.
func TestCounts(t *testing.T) {
	rates := []float64{0.5, 0, 2, 0.1, 1}
	const runs, length = 4000, 40.0
	for name, gaps := range map[string]Process{
		"poisson": Poisson(), "gamma 3": Gamma(3), "gamma 0.3": Gamma(0.3), "weibull 2": Weibull(2),
	} {
		p := Timed{Curve: Curve{Step: length * time.Second, Steps: len(rates), Rate: func(i int) float64 { return rates[i] }}, Process: func(int) Process { return gaps }}
		sum, squares := make([]float64, len(rates)), make([]float64, len(rates))
		for run := range runs {
			n := make([]float64, len(rates))
			before := time.Duration(0)
			for at := range p.All(seeded(uint64(run))) {
				if at < before || at >= length*time.Second*time.Duration(len(rates)) {
					t.Fatalf("%s: %v after %v", name, at, before)
				}
				before = at
				n[at/p.Curve.Step]++
			}
			for i := range n {
				sum[i], squares[i] = sum[i]+n[i], squares[i]+n[i]*n[i]
			}
		}
		for i, rate := range rates {
			mean := sum[i] / runs
			off := math.Sqrt((squares[i]/runs - mean*mean) / runs)
			if math.Abs(mean-rate*length) > deviations*off {
				t.Errorf("%s, step %d: %v arrivals on average, want %v ± %v", name, i, mean, rate*length, off)
			}
		}
	}
}

// Numbers of independent arrivals have their mean for variance; those of bursts as many times that as the square of their coefficient.
func TestDispersion(t *testing.T) {
	const runs, mean = 1000, 1000.0
	for name, gaps := range map[string]Process{"poisson": Poisson(), "gamma 2": Gamma(2), "gamma 0.5": Gamma(0.5), "weibull 1.5": Weibull(1.5)} {
		p := Timed{Curve: Curve{Step: time.Second, Steps: 1, Rate: func(int) float64 { return mean }}, Process: func(int) Process { return gaps }}
		sum, squares := 0.0, 0.0
		for run := range runs {
			n := 0.0
			for range p.All(seeded(uint64(run))) {
				n++
			}
			sum, squares = sum+n, squares+n*n
		}
		m := sum / runs
		dispersion, want := (squares/runs-m*m)/m, gaps.Variation()*gaps.Variation()
		if math.Abs(dispersion/want-1) > deviations*math.Sqrt(2.0/runs)+0.02 { // 2 % for what is left of the theorem's limit at 1,000 arrivals
			t.Errorf("%s: the variance is %v of the mean, want %v", name, dispersion, want)
		}
	}
}

// What a process does hangs on the seed and its number alone: others side by side change nothing.
func TestMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "processes")
		seed := rapid.Uint64().Draw(t, "seed")
		var all []Timed
		for range n {
			rates := rapid.SliceOfN(rapid.Float64Range(0, 3), 1, 6).Draw(t, "rates")
			shape := rapid.Float64Range(0.05, 20).Draw(t, "shape")
			gaps := rapid.SampledFrom([]Process{Poisson(), GammaOfShape(shape), WeibullOfShape(shape)}).Draw(t, "gaps")
			all = append(all, Timed{
				Curve: Curve{Step: 10 * time.Second, Steps: len(rates), Rate: func(i int) float64 { return rates[i] }}, Process: func(int) Process { return gaps },
			})
		}
		own := make([][]time.Duration, n)
		before := time.Duration(0)
		for of, at := range Merge(all, seed) {
			if at < before {
				t.Fatalf("%v after %v", at, before)
			}
			before = at
			if c := all[of].Curve; c.Rate(int(at/c.Step)) == 0 {
				t.Fatalf("an arrival at %v, where the rate is 0", at)
			}
			own[of] = append(own[of], at)
		}
		for i, p := range all {
			if alone := slices.Collect(p.All(Random(seed, i))); !slices.Equal(alone, own[i]) {
				t.Fatalf("process %d alone: %v, with others %v", i, alone, own[i])
			}
		}
	})
}
