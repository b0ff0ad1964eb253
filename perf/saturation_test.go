package perf

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"forebay/internal/testenv"
)

// An engine that gives memory as calls grow, and sets the newest back when it ends, is saturated at mu = M / (b E[g]): M tokens of memory, of which a call
// holds b in the mean over the g seconds that it is there. The closed form knows of no work that is done twice. Of what is set back, the engine reads a share
// again, as vLLM does but for what its prefix cache still has: with none it is at mu, and with all of it below, by the prompt tokens that it reads again.
func TestT8SaturationWithPreemption(t *testing.T) {
	const in, out, seconds = 600, 300, 1800
	for _, again := range []int64{0, 500, permille} {
		p, err := Named("llama-3.1-8b/rtx-4090")
		if err != nil {
			t.Fatal(err)
		}
		p.Recompute = again
		sequences := float64(p.KV) / (in + out/2)
		mu := func(reread float64) float64 { // with so many tokens of a call that are read again
			step := float64(p.Step) + float64(p.Sequence)*sequences + float64(p.ContextToken)*float64(p.KV) + float64(p.PrefillToken)*sequences*(in+reread)/out
			return sequences / (out * step / 1e12)
		}
		done, reread := overloaded(p, in, out, 2*mu(0), seconds)
		off, counted := done/mu(0)-1, done/mu(reread)-1
		if again == 0 && math.Abs(off) > 0.02 || math.Abs(counted) > 0.05 || again > 0 && off > -0.02 {
			t.Errorf("%d per mille read again: %.3f calls/s, %+.1f %% of mu, %+.1f %% with the %.0f tokens of a call that are read again", again, done, 100*off, 100*counted, reread)
		}
		testenv.Record(t, "T8", fmt.Sprintf("memory given as calls grow, %d %% of what is set back is read again (%.0f tokens a call): %.3f calls/s under overload, %+.1f %% of mu, %+.1f %% of mu with those tokens", again/10, reread, done, 100*off, 100*counted),
			fmt.Sprintf("mu = M / (b E[g]) = %.3f calls/s, of an engine that does nothing twice: within 2 %% where nothing is read again, within 5 %% with the tokens that are", mu(0)))
	}
}

// overloaded returns the calls a second that an engine ends in the second half of a time, and the tokens of each that it reads again.
func overloaded(p Profile, in, out int64, rate, seconds float64) (done, reread float64) {
	e := New(p)
	rng := rand.New(rand.NewPCG(8, 8))
	end, next, id := Instant(seconds*1e9), Instant(0), uint64(0)
	for {
		at, busy := e.NextChange()
		if !busy || next <= at {
			at = next
		}
		if at > end {
			break
		}
		for _, pr := range e.Step(at, nil) {
			if pr.At < end/2 {
				continue
			}
			if pr.Done {
				done++
			}
			if pr.Preempted {
				reread += float64((in + pr.Tokens) * p.Recompute / permille)
			}
		}
		if at == next {
			e.Add(at, id, in, out)
			id++
			next += Instant(rng.ExpFloat64() / rate * 1e9)
		}
	}
	return done / (seconds / 2), reread / done
}
