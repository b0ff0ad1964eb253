package replay

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"forebay/capacity"
	"forebay/internal/testenv"
	"forebay/perf"
	"forebay/workload"

	"pgregory.net/rapid"
)

// poisson are calls at a rate a second.
func poisson(seed uint64, n int, rate float64, in, out int64) iter.Seq2[workload.Request, error] {
	return func(yield func(workload.Request, error) bool) {
		r := rand.New(rand.NewPCG(seed, 1))
		at := time.Duration(0)
		for range n {
			at += time.Duration(r.ExpFloat64() / rate * 1e9)
			if !yield(workload.Request{At: at, Input: in, Output: out}, nil) {
				return
			}
		}
	}
}

func BenchmarkOnDemand(b *testing.B) {
	p, _ := perf.Named("llama-2-70b/8xh100")
	for b.Loop() {
		_, err := Run(b.Context(), poisson(1, 50_000, 2, 1000, 300), Serving{Burndown: 5000, MaxOutput: 4096, OnDemand: true, Quota: Quota{1000, 2_000_000}, Profile: p})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*50_000/b.Elapsed().Seconds(), "requests/s")
}

func BenchmarkEngines(b *testing.B) {
	p, _ := perf.Named("llama-3.3-70b/4xh100")
	for b.Loop() {
		res, err := Run(b.Context(), poisson(1, 50_000, 2, 1000, 300), Serving{Engines: 2, Slots: 256, MaxQueue: 1000, MaxOutput: 4096, Profile: p})
		if err != nil || res.Served != 50_000 {
			b.Fatal(err, res)
		}
	}
	b.ReportMetric(float64(b.N)*50_000/b.Elapsed().Seconds(), "requests/s")
}

func must(t *testing.T, traffic iter.Seq2[workload.Request, error], s Serving) *Result {
	t.Helper()
	r, err := Run(t.Context(), traffic, s)
	if err != nil {
		t.Fatal(err)
	}
	if r.Served+r.Refused != r.Calls {
		t.Fatalf("%d calls, %d served and %d refused", r.Calls, r.Served, r.Refused)
	}
	return r
}

func profile(t testing.TB, name string) perf.Profile {
	t.Helper()
	p, err := perf.Named(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Little's law in the figures of a plan: calls inside are their rate times how long they are there, by the watcher's clock and by the times of the
// result, which are whole microseconds. Nothing of a served call is lost.
func TestT5LittlesLaw(t *testing.T) {
	const n = 5000
	s := Serving{Engines: 1, Slots: 256, MaxQueue: n, MaxOutput: 4096, Profile: profile(t, "llama-3.3-70b/4xh100")}
	l := newLedger(&s)
	r, err := (&run{serving: s, result: &Result{Reasons: map[string]int64{}}, again: map[capacity.CallID]*attempt{}, watch: l.watch}).through(t.Context(), poisson(1, n, 2, 1000, 300))
	if err != nil || r.Served != n || r.Input != n*1000 || r.Output != n*300 {
		t.Fatalf("%v %+v", err, r)
	}
	span := float64(l.now)
	inside, rateTimesStay := float64(l.area)/span, float64(r.Served)/span*float64(r.Whole.Mean())
	if math.Abs(inside/rateTimesStay-1) > 0.001 || l.idle != "" {
		t.Errorf("%.6f calls are there, and their rate times their stay is %.6f; %s", inside, rateTimesStay, l.idle)
	}
	testenv.Record(t, "T5", fmt.Sprintf("%d calls on one engine: L = %.5f calls inside, lambda W = %.5f; %d tokens offered and served", n, inside, rateTimesStay, r.Input+r.Output),
		"L = lambda W within 0.1 %; every token offered is served")
	if r.First.Quantile(500) <= 0 || r.First.Quantile(990) >= r.Whole.Quantile(500) {
		t.Errorf("first tokens after %v, whole answers after %v", r.First.Quantile(990), r.Whole.Quantile(500))
	}
}

// Spill-over of a steady flow at k times the purchase is the share 1 - 1/k of the fluid form, but for the first minute, whose depth is free.
func TestSpillIsTheFluidForm(t *testing.T) {
	const minutes, rate = 240, 10.0
	s := Serving{OnDemand: true, MaxOutput: 4096, Profile: perf.Profile{Name: "flat", Step: 20_000_000, MaxBatch: 1}}
	for _, share := range []float64{0.25, 0.5, 0.75} {
		s.Bought = Rate{Input: int64(share * rate * 60 * 1000), Output: 1 << 40}
		r := must(t, poisson(7, minutes*60*rate, rate, 1000, 100), s)
		got, want := float64(r.BoughtInput)/float64(r.Input), share
		if math.Abs(got-want) > 1.0/minutes+0.005 {
			t.Errorf("at %v of the demand bought, %v of the tokens are served from it", want, got)
		}
	}
}

// Within the purchase nothing spills over or is refused.
func TestNothingIsRefusedWithinThePurchase(t *testing.T) {
	steady := func(yield func(workload.Request, error) bool) {
		for i := range 6000 {
			if !yield(workload.Request{At: time.Duration(i) * time.Second, Input: 1000, Output: 100}, nil) {
				return
			}
		}
	}
	r := must(t, steady, Serving{Bought: Rate{60_000, 6_000}, Profile: perf.Profile{Step: 20_000_000_000, MaxBatch: 1}})
	if r.Served != 6000 || r.BoughtInput != 6_000_000 {
		t.Errorf("%+v", r)
	}
}

// A quota lets through what drains, and no client gets more by asking again.
func TestQuotaBoundsWhatIsServed(t *testing.T) {
	s := Serving{OnDemand: true, MaxOutput: 100, Quota: Quota{Requests: 60}, Profile: perf.Profile{Step: 20_000_000, MaxBatch: 1}}
	const tail = 5 // s that clients go on after the last call has come
	for _, s.Retry = range []Retry{{}, SDKStandard} {
		r := must(t, poisson(3, 7200, 2, 100, 100), s)
		if most := int64(r.Length.Minutes()*60) + 60 + 1 + tail; r.Served > most || r.Served < most*95/100 {
			t.Errorf("%d of %d served, at most %d can be", r.Served, r.Calls, most)
		}
	}
}

func TestHistogram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, 1<<50), 1, 200).Draw(t, "values")
		var h Histogram
		for _, v := range values {
			h.Add(time.Duration(v))
		}
		slices.Sort(values)
		q := rapid.Int64Range(1, 1000).Draw(t, "quantile")
		want := values[(int64(len(values))*q+999)/1000-1]
		if got := int64(h.Quantile(q)); got < want || got > want+want/64 {
			t.Errorf("%d, want %d", got, want)
		}
	})
}
