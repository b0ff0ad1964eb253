package replay

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"forebay/internal/testenv"
	"forebay/perf"
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
				Elastic: &Elastic{Idle: time.Duration(c.idle * 1e9)},
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

// Engines come when calls wait and go when none are left; calls wait for a cold start, and none is lost.
func TestEnginesComeAndGo(t *testing.T) {
	p := profile(t, "llama-3.1-8b/a100-80")
	s := Serving{Engines: 4, Slots: 8, MaxQueue: 10_000, MaxOutput: 4096, Profile: p, Elastic: &Elastic{Cold: 30 * time.Second, Idle: time.Minute}}
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
