package replay

import (
	"iter"
	"testing"
	"time"

	"forebay/perf"
	"forebay/plan/clouds"
	"forebay/workload"

	"pgregory.net/rapid"
)

// paced serves at 20 ms a token.
var paced = Serving{Profile: perf.Profile{Step: 20_000_000_000, MaxBatch: 1}, Retry: SDKStandard}

func rule(t testing.TB, name string, b clouds.Bought) clouds.Rule {
	t.Helper()
	p, err := clouds.Named(name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Apply(b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func ruledRun(t testing.TB, traffic iter.Seq2[workload.Request, error], r clouds.Rule, s Serving) *Result {
	t.Helper()
	res, err := RunRule(t.Context(), traffic, r, s)
	if err != nil {
		t.Fatal(err)
	}
	if res.Served+res.Refused != res.Calls {
		t.Fatalf("%d calls, %d served and %d refused", res.Calls, res.Served, res.Refused)
	}
	return res
}

// every is a call of a size at each interval.
func every(n int, gap time.Duration, in, out int64) iter.Seq2[workload.Request, error] {
	return func(yield func(workload.Request, error) bool) {
		for i := range n {
			if !yield(workload.Request{At: time.Duration(i) * gap, Input: in, Output: out}, nil) {
				return
			}
		}
	}
}

// 60 calls a minute of 200 weighted tokens, and 6,000 a minute bought: in each minute the first 30 calls use it up, and 30 spill, worked out by hand.
func TestByTheMinuteByHand(t *testing.T) {
	s := paced
	s.OnDemand = true
	r := ruledRun(t, every(600, time.Second, 100, 50), rule(t, "by-the-minute", clouds.Bought{Units: 1, PerMinute: 6000, OutputWeight: 2}), s)
	if r.BoughtInput != 300*100 || r.BoughtOutput != 300*50 || r.Spilled != 300 || r.Refused != 0 {
		t.Errorf("%+v", r)
	}
}

// Of three calls at once the first fills the bucket, and the others are told to come again. Worked out by hand: 6,000 tokens a minute drain 100 a second, and
// 100 % are 6,000. The first call is charged 7,000; the others are told (7,000 - 6,000) / 100 = 10 s. After those the first ends, with 6,500: the level is
// 5,500, the second is admitted and takes it to 12,500, and the third is told 65 s, after which the level is 5,500 again, for the second ended with 500 less.
func TestRefusedCallsComeWhenTold(t *testing.T) {
	s := paced
	s.Retry.Attempts = 3
	calls := func(yield func(workload.Request, error) bool) {
		for range 3 {
			if !yield(workload.Request{Input: 6000, Output: 500, MaxOutput: 1000}, nil) {
				return
			}
		}
	}
	r := ruledRun(t, calls, rule(t, "azure-ptu", clouds.Bought{Units: 1, PerMinute: 6000, OutputWeight: 1}), s)
	if r.Served != 3 || r.Late != 2 || r.Retries != 3 || r.Whole.Quantile(1000) != 85*time.Second {
		t.Errorf("%+v, the longest %v", r, r.Whole.Quantile(1000))
	}
}

// Whatever comes, no call is lost, what is admitted is bounded by the rate, and calls spill or are refused as the way of serving says.
func TestRulesHold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.SampledFrom([]string{"azure-ptu", "vertex-gsu", "by-the-minute"}).Draw(rt, "rule")
		const perMinute = 30_000
		b := clouds.Bought{Units: 1, PerMinute: perMinute, OutputWeight: rapid.Int64Range(1, 8).Draw(rt, "weight"), Output: 100, MaxOutput: 200, Dedicated: rapid.Bool().Draw(rt, "dedicated")}
		s := paced
		s.OnDemand = rapid.Bool().Draw(rt, "on demand")
		s.Waiting.Batch = rapid.SampledFrom([]int64{0, 250}).Draw(rt, "batch")
		const n = 400
		r := ruledRun(t, poisson(rapid.Uint64().Draw(rt, "seed"), n, 2, 200, 100), rule(t, name, b), s)
		if s.OnDemand && r.Refused > 0 || !s.OnDemand && r.Spilled > 0 {
			rt.Errorf("%+v", r)
		}
		if r.LaterInput != n*s.Waiting.Batch/1000*200 {
			rt.Errorf("%d tokens of calls that may wait", r.LaterInput)
		}
		minutes := (r.Length + 2*time.Minute).Minutes() + 1
		inFlight := 400 * (200 + b.OutputWeight*200) // a generous bound of what is put right late
		if w := r.BoughtInput + b.OutputWeight*r.BoughtOutput; float64(w) > minutes*perMinute+float64(inFlight) {
			rt.Errorf("%d weighted tokens in %v at %d a minute", w, r.Length, perMinute)
		}
	})
}
