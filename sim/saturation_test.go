package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"forebay/capacity"
	"forebay/internal/testenv"
	"forebay/perf"
)

// sizes are those of calls: a prompt and an answer in tokens.
type sizes struct {
	name string
	draw func(rng *rand.Rand) (in, out int64)
}

// saturated is the rate, calls a second, at which the memory of an engine is full of calls of these sizes:
//
//	mu = M / (b E[g])
//
// for M tokens of memory, of which a call holds b in the mean over the g seconds that it is with the engine. A call of i tokens in and o out is there for
// o steps. The scheduler holds all that it can become: over its steps that is (i + o) o. A step is as long as the profile says for the sequences, N of
// them, and the context that then are there, and for the prompts of those that take the places of N / E[o] that have ended.
func saturated(p *perf.Profile, s *sizes) float64 {
	const draws = 200_000
	rng := rand.New(rand.NewPCG(8, 8))
	var input, steps, held, context float64
	for range draws {
		in, out := s.draw(rng)
		i, o := float64(in), float64(out)
		input, steps, context = input+i, steps+o, context+i*o+o*o/2
		held += (i + o) * o
	}
	sequences := float64(p.KV) * steps / held // N: those whose memory comes to M
	step := float64(p.Step) + float64(p.Sequence)*sequences + float64(p.ContextToken)*sequences*context/steps + float64(p.PrefillToken)*sequences*input/steps
	stay := steps / draws * step / 1e12
	return float64(p.KV) / (held / steps * stay)
}

// flow is a run of one engine at a rate.
type flow struct {
	at, inside []float64 // s, and the calls there then
	done       float64   // calls a second that ended in the second half
}

// through offers calls at a rate for a time, to a scheduler that holds the memory that a call can come to need.
func through(seed uint64, p perf.Profile, s *sizes, rate, seconds float64) flow {
	state := production(p.KV, int32(p.MaxBatch))
	var f flow
	ended, counted := 0, 0
	var now Instant
	half := Instant(seconds / 2 * 1e9)
	w := New(Options{Scheduler: state, Replicas: []Replica{{ID: 1, Profile: p}}, Done: func(o *Outcome) {
		if ended++; o.Ended > half && o.Last.Kind == capacity.ActionSettled {
			counted++
		}
	}})
	rng := rand.New(rand.NewPCG(seed, 8))
	for n := 1; ; n++ {
		if now += Instant(rng.ExpFloat64() / rate * 1e9); now >= Instant(seconds*1e9) {
			break
		}
		w.Run(now)
		in, out := s.draw(rng)
		w.Offer(now, newCall(n, 0, in, out))
		f.at, f.inside = append(f.at, float64(now)/1e9), append(f.inside, float64(n-ended))
	}
	w.Run(Instant(seconds * 1e9))
	f.done = float64(counted) / (seconds / 2)
	return f
}

// line is the least-squares line through the second half of what is there, and how much of its variance the line explains.
func (f *flow) line() (slope, explained float64) {
	x, y := f.at[len(f.at)/2:], f.inside[len(f.at)/2:]
	mx, _ := moments(x)
	my, _ := moments(y)
	var xx, xy, yy float64
	for i := range x {
		xx, xy, yy = xx+(x[i]-mx)*(x[i]-mx), xy+(x[i]-mx)*(y[i]-my), yy+(y[i]-my)*(y[i]-my)
	}
	return xy / xx, xy * xy / xx / yy
}

// most is the largest number of calls there in a part of the time.
func (f *flow) most(from, to float64) float64 {
	most := 0.0
	for _, v := range f.inside[int(from*float64(len(f.inside))):int(to*float64(len(f.inside)))] {
		most = max(most, v)
	}
	return most
}

// An engine whose memory ends first is saturated at the rate at which its memory is full; below, what waits is bounded, and above, it grows evenly. The
// seeds are fixed; by Brownian motion, the slope is within a quarter of its drift but in fewer than one of 200 others. It takes a minute: all of it
// runs with FOREBAY_VALIDATE=1, the rate under overload always.
func TestT8Saturation(t *testing.T) {
	p, err := perf.Named("llama-3.1-8b/rtx-4090")
	if err != nil {
		t.Fatal(err)
	}
	around := func(rng *rand.Rand, mean float64) int64 { return 1 + int64(mean*math.Exp(0.5*rng.NormFloat64()-0.125)) }
	for _, s := range []sizes{
		{"calls of 600 tokens in and 300 out", func(*rand.Rand) (in, out int64) { return 600, 300 }},
		{"calls of lognormal sizes, 400 in and 250 out in the mean", func(rng *rand.Rand) (in, out int64) { return around(rng, 400), around(rng, 250) }},
	} {
		t.Run(s.name, func(t *testing.T) {
			const seconds = 3600
			mu := saturated(&p, &s)
			if !testenv.Validating() {
				if full := through(1, p, &s, 2*mu, seconds/6); math.Abs(full.done/mu-1) > 0.05 {
					t.Errorf("%.3f calls/s end under overload, mu is %.3f", full.done, mu)
				}
				return
			}
			full := through(1, p, &s, 2*mu, seconds)
			under, over := through(2, p, &s, 0.9*mu, 3*seconds), through(3, p, &s, 1.1*mu, 3*seconds)
			flat, _ := under.line()
			slope, explained := over.line()
			early, late := under.most(0, 0.5), under.most(0.5, 1)
			testenv.Record(t, "T8", fmt.Sprintf("%s: %.3f calls/s under overload; at 0.9 mu at most %.0f calls are there in the first half and %.0f in the second; at 1.1 mu %.3f more each second (R2 %.3f)",
				s.name, full.done, early, late, slope, explained),
				fmt.Sprintf("mu = M / (b E[g]) = %.3f calls/s within 2 %%; bounded below 0.9 mu, and growing by %.3f above 1.1 mu", mu, 1.1*mu-full.done))
			if math.Abs(full.done/mu-1) > 0.02 {
				t.Errorf("%.3f calls/s end under overload, mu is %.3f", full.done, mu)
			}
			if late > 2*early || math.Abs(flat) > 0.005*mu {
				t.Errorf("at 0.9 mu at most %.0f calls are there in the first half and %.0f in the second, %+.4f each second", early, late, flat)
			}
			if explained < 0.98 || math.Abs(slope/(1.1*mu-full.done)-1) > 0.25 {
				t.Errorf("at 1.1 mu there are %.4f more each second, want %.4f; a line explains %.3f", slope, 1.1*mu-full.done, explained)
			}
		})
	}
}
