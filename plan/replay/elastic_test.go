package replay

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"forebay/capacity/scale"
	"forebay/internal/testenv"
	"forebay/perf"
	"forebay/workload"
)

// An endpoint that goes to nothing after an idle time: with Poisson calls that take T each, of which any number run at once, it is up for
// 1 - exp(-l (T + t)) of the time and starts l exp(-l (T + t)) times an hour. The engine starts at once here, as in the formula.
func TestT10ActiveShare(t *testing.T) {
	const service, tokens = 2 * time.Second, 500 // a call that comes within a step waits for its end: short ones
	e := perf.Profile{Name: "flat", Step: int64(service) * 1000 / tokens, MaxBatch: 1 << 20, Chunk: 1 << 40, KV: 1 << 50, Block: 1}
	for _, c := range []struct{ rate, idle float64 }{{0.02, 10}, {0.1, 5}, {0.3, 1}} {
		want := 1 - math.Exp(-c.rate*(service.Seconds()+c.idle))
		starts := c.rate * math.Exp(-c.rate*(service.Seconds()+c.idle)) * 3600
		var shares, cold []float64
		for seed := range uint64(30) {
			r := must(t, poisson(seed, 2000, c.rate, 1, tokens), Serving{
				Engines: 1, Slots: 1 << 20, MaxQueue: 1 << 20, MaxOutput: tokens, Profile: e,
				Elastic: &Elastic{Rules: scale.Rules{Max: 1, Follow: true, Idle: time.Duration(c.idle * 1e9)}},
			})
			shares, cold = append(shares, r.Paid.Seconds()/r.Length.Seconds()), append(cold, float64(r.Starts)/r.Length.Hours())
		}
		for _, x := range []struct {
			what   string
			values []float64
			want   float64
		}{{"share of the time up", shares, want}, {"starts an hour", cold, starts}} {
			mean, half := interval(x.values)
			if math.Abs(mean-x.want) > half {
				t.Errorf("rate %v, idle %v s: %s is %.4f +- %.4f, want %.4f", c.rate, c.idle, x.what, mean, half, x.want)
			}
			testenv.Record(t, "T10", fmt.Sprintf("%v calls/s of 2 s, idle time-out %v s: %s %.4f +- %.4f (99 %%, 30 seeds)", c.rate, c.idle, x.what, mean, half), fmt.Sprintf("1 - exp(-l(T+t)) and l exp(-l(T+t)): %.4f", x.want))
		}
	}
}

// interval is the mean of values from 30 seeds, and half the width of its 99 % interval (Student's t of 29 degrees: 2.756).
func interval(v []float64) (mean, half float64) {
	for _, x := range v {
		mean += x / float64(len(v))
	}
	s := 0.0
	for _, x := range v {
		s += (x - mean) * (x - mean) / float64(len(v)-1)
	}
	return mean, 2.756 * math.Sqrt(s/float64(len(v)))
}

// Of 100 models that are each called now and then, and each up while it has calls, 46.3 are active: 100 (1 - exp(-l T)), the point of Aegaeon's paper (SOSP'25).
// It holds from the first call of a model on: in a run of n calls that begins before it, the time up is that of n-1 gaps, and the run has n, so that a short
// one has fewer: 45.3 of 46 calls each.
func TestT10ActiveModels(t *testing.T) {
	const rate, service, tokens, calls, models = 0.037, 16.79, 2000, 100, 100
	e := perf.Profile{Name: "flat", Step: int64(service*1e12) / tokens, MaxBatch: 1 << 20, Chunk: 1 << 40, KV: 1 << 50, Block: 1}
	each := uint64(5)
	if testenv.Validating() {
		each = models
	}
	var active, early []float64
	for seed := range uint64(30) {
		up, all, before := 0.0, 0.0, 0.0
		for m := range each {
			var first time.Duration
			traffic := func(yield func(workload.Request, error) bool) {
				for q, err := range poisson(models*seed+m, calls, rate, 1, tokens) {
					if first == 0 {
						first = q.At
					}
					if q.At -= first; !yield(q, err) {
						return
					}
				}
			}
			r := must(t, traffic, Serving{
				Engines: 1, Slots: 1 << 20, MaxQueue: 1 << 20, MaxOutput: tokens, Profile: e,
				Elastic: &Elastic{Rules: scale.Rules{Max: 1, Follow: true}},
			})
			up, all, before = up+r.Paid.Seconds(), all+r.Length.Seconds(), before+first.Seconds()
		}
		active, early = append(active, models*up/all), append(early, models*up/(all+before))
	}
	p := -models * math.Expm1(-rate*service)
	for _, x := range []struct {
		what   string
		values []float64
		want   float64
	}{{"from the first call of each on", active, p}, {"from a start with none on", early, p * (calls - 1) / calls}} {
		mean, half := interval(x.values)
		if math.Abs(mean-x.want) > half {
			t.Errorf("%s: %.2f +- %.2f models are active, want %.2f", x.what, mean, half, x.want)
		}
		testenv.Record(t, "T10", fmt.Sprintf("%d models with %d calls each, %v a second of %v s: %s %.2f +- %.2f of 100 active (99 %%, 30 seeds)", each, calls, rate, service, x.what, mean, half),
			fmt.Sprintf("Aegaeon's 46.3, and of it %d gaps of %d calls: %.2f", calls-1, calls, x.want))
	}
}

// Engines come when calls wait and go when none are left; calls wait for a cold start, and none is lost.
func TestEnginesComeAndGo(t *testing.T) {
	p := profile(t, "llama-3.1-8b/a100-80")
	s := Serving{Engines: 4, Slots: 8, MaxQueue: 10_000, MaxOutput: 4096, Profile: p, Elastic: &Elastic{Rules: scale.Rules{Max: 4, Follow: true, Start: 30 * time.Second, Idle: time.Minute}}}
	elastic := must(t, poisson(1, 3000, 1, 1000, 300), s)
	s.Elastic = nil
	always := must(t, poisson(1, 3000, 1, 1000, 300), s)
	if elastic.Served != 3000 || elastic.Starts == 0 || elastic.Paid >= 4*elastic.Length || elastic.Paid < elastic.Length/2 {
		t.Errorf("%+v", elastic)
	}
	if a, b := elastic.First.Quantile(1000), always.First.Quantile(1000); a < 30*time.Second || b > time.Second {
		t.Errorf("the longest wait for a first token is %v where engines must start, %v where not", a, b)
	}
	if !slices.Equal([]int64{elastic.Input, elastic.Output}, []int64{always.Input, always.Output}) {
		t.Errorf("%d and %d tokens, and %d and %d", elastic.Input, elastic.Output, always.Input, always.Output)
	}
}

// Target tracking and bounds by the clock, replayed: what is paid for is what the rules ask for, worked out by hand. The calls come 10 a minute and take
// two seconds each.
func TestInstancesFollowTheRules(t *testing.T) {
	const service, tokens = 2 * time.Second, 500
	e := perf.Profile{Name: "flat", Step: int64(service) * 1000 / tokens, MaxBatch: 8, Chunk: 1 << 40, KV: 1 << 50, Block: 1}
	even := func(yield func(workload.Request, error) bool) {
		for at := time.Duration(0); at < 2*time.Hour; at += 6 * time.Second {
			if !yield(workload.Request{At: at, Input: 1, Output: tokens}, nil) {
				return
			}
		}
	}
	run := func(e perf.Profile, x Elastic) *Result {
		return must(t, even, Serving{Engines: 6, Slots: 8, MaxQueue: 100, MaxOutput: tokens, Profile: e, End: 2 * time.Hour, Elastic: &x})
	}
	track := scale.Policy{Kind: scale.Tracking, Metric: scale.MetricInvocations, Target: 4000, OutCooldown: 5 * time.Minute, InCooldown: 5 * time.Minute}
	for _, c := range []struct {
		what   string
		x      Elastic
		paid   time.Duration
		starts int64
	}{
		// Ten a minute, four on each: three instances after the third minute, the two new ones paid from then on.
		{"more", Elastic{Rules: scale.Rules{Min: 1, Max: 6, Start: time.Minute, Policies: []scale.Policy{track}}}, 2*time.Hour + 2*117*time.Minute, 2},
		// Six at first, 1.7 on each: three after 15 minutes.
		{"fewer", Elastic{Initial: 6, Rules: scale.Rules{Min: 1, Max: 6, Start: time.Minute, Policies: []scale.Policy{track}}}, 3*2*time.Hour + 3*15*time.Minute, 0},
		// Four from 30 to 90 minutes, and two at other times; in windows of 50 minutes, the 60 of each of two instances are 100.
		{"by the clock", Elastic{
			Rules: scale.Rules{Min: 2, Max: 2, Start: time.Minute}, Window: 50 * time.Minute,
			Later: []Bounds{{30 * time.Minute, 4, 4}, {90 * time.Minute, 2, 2}},
		}, 2*2*time.Hour + 2*100*time.Minute, 2},
	} {
		r := run(e, c.x)
		if d := r.Paid - c.paid; d < -15*time.Second || d > 15*time.Second || r.Starts != c.starts || r.Served != 1200 || r.Held != 0 {
			t.Errorf("%s: paid for %v, want %v; %d starts, %d served, %d held", c.what, r.Paid, c.paid, r.Starts, r.Served, r.Held)
		}
	}
}

// Calls that find nothing up wake one instance and are held, within the bounds of number and time; nobody is served twice, and none is lost.
func TestCallsAreHeldWhileAnEngineStarts(t *testing.T) {
	p := profile(t, "llama-3.1-8b/a100-80")
	burst := func(yield func(workload.Request, error) bool) {
		for range 200 {
			if !yield(workload.Request{At: time.Second, Input: 1000, Output: 10}, nil) {
				return
			}
		}
	}
	run := func(held int32, hold time.Duration) *Result {
		return must(t, burst, Serving{Engines: 1, Slots: 256, MaxQueue: 1000, MaxOutput: 100, Profile: p, Elastic: &Elastic{
			Rules: scale.Rules{Max: 1, Start: 40 * time.Second, Idle: time.Minute}, MaxHeld: held, MaxHold: hold,
		}})
	}
	if r := run(0, 0); r.Served != 200 || r.Held != 200 || r.Starts != 1 || r.First.Quantile(1) < 40*time.Second {
		t.Errorf("%+v", r)
	}
	if r := run(50, 0); r.Served != 50 || r.Refused != 150 || r.Starts != 1 || r.Reasons["no engine up in time"] != 150 {
		t.Errorf("%+v", r)
	}
	if r := run(0, 30*time.Second); r.Served != 0 || r.Refused != 200 || r.Starts != 1 {
		t.Errorf("%+v", r)
	}
}
