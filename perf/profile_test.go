package perf

import (
	"slices"
	"testing"
)

func TestPublishedProfilesAreValid(t *testing.T) {
	var names []string
	for _, p := range Profiles {
		if err := p.Validate(); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		if p.Source == "" {
			t.Errorf("%s has no source", p.Name)
		}
		names = append(names, p.Name)
	}
	if !slices.IsSorted(names) || len(slices.Compact(names)) != len(Profiles) {
		t.Errorf("names are not in order, or one is there twice: %q", names)
	}
	if _, err := Named("no/such"); err == nil {
		t.Error("an unknown name was found")
	}
}

func TestValidate(t *testing.T) {
	good := plain
	for name, spoil := range map[string]func(p *Profile){
		"negative":              func(p *Profile) { p.Sequence = -1 },
		"no batch":              func(p *Profile) { p.MaxBatch = 0 },
		"no memory":             func(p *Profile) { p.KV = 0 },
		"negative block":        func(p *Profile) { p.Block = -1 },
		"budget below batch":    func(p *Profile) { p.Chunk = 7 },
		"share over one":        func(p *Profile) { p.Recompute = 1001 },
		"step of 42 us":         func(p *Profile) { p.Step = 42 * micro }, // as in rows of a published table
		"sequence over a step":  func(p *Profile) { p.Sequence = p.Step + 1 },
		"a step of two hours":   func(p *Profile) { p.Step = 2 * maxStep },
		"an overflow of a step": func(p *Profile) { p.Chunk = 1 << 60 },
	} {
		p := good
		spoil(&p)
		if p.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}

// One sequence alone spends exactly W(1).
func TestWOfOneIsExact(t *testing.T) {
	for _, c := range [][2]int64{{1, 1}, {1000, 1}, {1, 500}, {3000, 200}, {9000, 7}} {
		e := New(plain)
		e.Add(0, 1, c[0], c[1])
		r := run(t, e)
		if w, ok := plain.W(1, c[0], c[1]); !ok || w != r.Last[1] {
			t.Errorf("in %d out %d: W = %d (%v), the engine took %d", c[0], c[1], w, ok, r.Last[1])
		}
	}
}

// W of n is what an engine shows that is kept at n sequences.
func TestWOfManyAgreesWithTheEngine(t *testing.T) {
	for _, name := range []string{"llama-3.1-8b/rtx-pro-6000", "llama-2-7b/a10g", "opt-13b/a100-80"} {
		p, err := Named(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			n       int
			in, out int64
		}{{2, 500, 200}, {8, 900, 100}, {16, 300, 300}, {32, 200, 50}, {64, 1000, 20}} {
			w, ok := p.W(c.n, c.in, c.out)
			if !ok {
				continue
			}
			got := closed(p, c.n, c.in, c.out)
			if diff := float64(w)/got - 1; diff > 0.05 || diff < -0.05 {
				t.Errorf("%s, %d x (%d, %d): W = %.4f s, the engine shows %.4f s, %+.1f %%", name, c.n, c.in, c.out, float64(w)/1e9, got/1e9, diff*100)
			}
		}
	}
}

// closed keeps an engine at n sequences and returns the mean time in it, by Little's law, after a start-up.
func closed(p Profile, n int, in, out int64) float64 {
	e := New(p)
	for i := range n { // phases spread evenly
		e.Add(0, uint64(i), in, 1+out*int64(i+1)/int64(n))
	}
	next, done := uint64(n), 0
	var from Instant
	const warm, count = 10, 40
	for {
		at, _ := e.NextChange()
		for _, pr := range e.Step(at, nil) {
			if !pr.Done {
				continue
			}
			if done++; done == warm*n {
				from = at
			}
			if done == (warm+count)*n {
				return float64(at-from) / count
			}
			e.Add(at, next, in, out)
			next++
		}
	}
}

func TestWRefusesWhatDoesNotFit(t *testing.T) {
	p := Profile{Step: milli, MaxBatch: 8, Chunk: 100, KV: 1000, Block: 10}
	for _, c := range []struct {
		n       int
		in, out int64
		ok      bool
	}{{0, 1, 1, false}, {8, 100, 21, true}, {8, 100, 22, false}, {8, 120, 11, false}, {9, 1, 1, false}, {1, 1000, 1, true}, {1, 1001, 1, false}, {1, 1 << 62, 1 << 62, false}} {
		if _, ok := p.W(c.n, c.in, c.out); ok != c.ok {
			t.Errorf("W(%d, %d, %d) = %v", c.n, c.in, c.out, ok)
		}
	}
}

// More of anything never takes less time.
func TestWIsMonotonic(t *testing.T) {
	for _, p := range Profiles {
		var before Instant
		for n := 1; n <= p.MaxBatch; n++ {
			w, ok := p.W(n, 256, 128)
			if !ok {
				break
			}
			if w < before {
				t.Errorf("%s: W(%d) = %d is less than W(%d) = %d", p.Name, n, w, n-1, before)
			}
			before = w
		}
	}
}
