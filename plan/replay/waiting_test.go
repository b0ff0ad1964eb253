package replay

import (
	"testing"
	"time"

	"forebay/capacity"

	"pgregory.net/rapid"
)

// After each number of calls the tiers have their shares, to one call.
func TestTiersAreDealtEvenly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := Waiting{Flex: rapid.Int64Range(0, 1000).Draw(t, "flex")}
		w.Batch = rapid.Int64Range(0, 1000-w.Flex).Draw(t, "batch")
		var deal tiers
		var n, flex, batch int64
		for range rapid.IntRange(1, 3000).Draw(t, "calls") {
			n++
			switch deal.next(w) {
			case capacity.TierFlex:
				flex++
			case capacity.TierBatch:
				batch++
			default:
			}
			if batch != n*w.Batch/1000 {
				t.Fatalf("%d of %d by batch, %d per mille are wanted", batch, n, w.Batch)
			}
			if d := flex*1000 - n*w.Flex; d > 0 || d < -2500 {
				t.Fatalf("%d of %d by flex, %d per mille are wanted", flex, n, w.Flex)
			}
		}
	})
}

// Calls that may wait run in what the others leave of an engine: they take nothing from those but the end of a step, wait for the quiet hours, and none is lost.
func TestCallsThatMayWaitRunInWhatIsLeft(t *testing.T) {
	p := profile(t, "llama-3.1-8b/a100-80")
	s := Serving{Engines: 1, Slots: 8, MaxQueue: 10_000, MaxOutput: 4096, Profile: p}
	const n, rate = 4000, 2.2 // calls a second, of which the engine takes about two
	over := must(t, poisson(1, n, rate, 1000, 300), s)
	s.Waiting = Waiting{Flex: 300, Batch: 300}
	tiered := must(t, poisson(1, n, rate, 1000, 300), s)
	s.Waiting = Waiting{}
	alone := must(t, poisson(1, n*4/10, rate*4/10, 1000, 300), s)
	if tiered.Served != n || tiered.Waited.Count() != n*6/10-1 || tiered.Whole.Count() != n*4/10+1 || tiered.Output != n*300 || tiered.LaterOutput != (n*6/10-1)*300 { // one is to come yet
		t.Fatalf("%d served, %d of them may wait, %d tokens, %d of those", tiered.Served, tiered.Waited.Count(), tiered.Output, tiered.LaterOutput)
	}
	if tiered.Recalled == 0 || tiered.Lost == 0 {
		t.Errorf("no call was recalled: %d, %d tokens lost", tiered.Recalled, tiered.Lost)
	}
	if a, b, c := over.First.Quantile(990), tiered.First.Quantile(990), alone.First.Quantile(990); b > a/10 || b > 4*c+100*time.Millisecond {
		t.Errorf("one first token in a hundred takes over %v of equal calls, %v with most at lower tiers, %v without those", a, b, c)
	}
	if tiered.Waited.Quantile(500) < tiered.Whole.Quantile(990) {
		t.Errorf("calls that may wait take %v, others %v", tiered.Waited.Quantile(500), tiered.Whole.Quantile(990))
	}
}

// Of what was bought, calls that may wait take nothing; they go on demand at their tiers, and batch counts against no quota.
func TestCallsThatMayWaitLeaveWhatWasBought(t *testing.T) {
	s := Serving{Bought: Rate{60_000, 6_000}, MaxOutput: 4096, OnDemand: true, Quota: Quota{Requests: 1}, Profile: profile(t, "llama-3.1-8b/a100-80"), Waiting: Waiting{Batch: 500}}
	r := must(t, poisson(1, 2000, 1, 500, 50), s)
	if r.Waited.Count() != 1000 || r.BoughtInput+r.LaterInput != r.Input || r.LaterInput != 500_000 {
		t.Errorf("%d may wait, %d tokens in, %d of what was bought, %d of those that may wait", r.Waited.Count(), r.Input, r.BoughtInput, r.LaterInput)
	}
	s.OnDemand, s.Waiting = false, Waiting{Flex: 200, Batch: 300}
	if r = must(t, poisson(1, 2000, 1, 500, 50), s); r.Waited.Count() != 999 { // one of flex is to come yet
		t.Errorf("%d may wait", r.Waited.Count())
	}
}
