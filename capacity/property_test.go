package capacity

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// entry is a call of a history: what it held, what it was given back, and what it was charged in the end.
type entry struct {
	id              CallID
	at              Instant
	held, back      int64
	charged, excess int64 // excess is what the charge passed the hold by
	settled         bool
}

// history runs random calls through one bucket whose levels stay whole numbers: the rate is a multiple of 60 a minute and
// times are whole seconds. Calls may live far longer than the bucket takes to drain, say nothing of their maximum, or
// pass it; output counts five times.
func history(t *rapid.T, burndown int32, overrun bool) (*State, []entry, Instant) {
	rate := 60 * rapid.Int64Range(1, 50).Draw(t, "rate")
	s := setUp(rate, huge, burndown, 1000)
	now := Instant(0)
	var log []entry
	var running []int
	for id := CallID(1); id < 80; id++ {
		now += Instant(time.Second) * Instant(rapid.SampledFrom([]int64{0, 0, 1, 2, 5, 20, 100}).Draw(t, "gap"))
		if len(running) > 0 && rapid.Bool().Draw(t, "settle") {
			i := rapid.IntRange(0, len(running)-1).Draw(t, "which")
			e := &log[running[i]]
			running = slices.Delete(running, i, i+1)
			most := e.held
			if overrun {
				most *= 3
			}
			before, _ := s.Bucket(tokensID)
			ev := Event{Kind: EventSettle, Call: e.id, Input: rapid.Int64Range(0, most/2).Draw(t, "in used"), Output: rapid.Int64Range(0, most/2).Draw(t, "out used")}
			for _, a := range s.Step(now, ev, nil) {
				if a.Kind == ActionSettled {
					e.charged, e.settled = a.Charged, true
				}
			}
			after, _ := s.Bucket(tokensID)
			e.back = after.Refunded - before.Refunded
			e.excess = after.BurndownExcess + after.EstimateExcess - before.BurndownExcess - before.EstimateExcess
		}
		maxOutput := rapid.SampledFrom([]int64{0, 1, rate / 2, rate, rate + 1, MaxTokens}).Draw(t, "max") // 0 is the model's
		for _, a := range s.Step(now, arrive(id, rapid.Int64Range(0, rate).Draw(t, "in"), maxOutput), nil) {
			if a.Kind == ActionAdmit {
				running = append(running, len(log))
				log = append(log, entry{id: id, at: now, held: a.Held})
			}
		}
	}
	return s, log, now
}

// For every interval of length T the calls admitted in it hold, less what was given back to them, at most depth + rate x T, and
// are charged at most that and what burndown and wrong estimates added, which the bucket reports.
func TestHoldsAndChargesOfEveryInterval(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, log, _ := history(t, 5000, true)
		b, _ := s.Bucket(tokensID)
		var excess int64
		for i := range log {
			var held, charged, over int64
			excess += log[i].excess
			for j := i; j < len(log); j++ {
				held += log[j].held - log[j].back
				charged += log[j].charged
				over += log[j].excess
				room := b.Depth + b.Rate*int64((log[j].at-log[i].at)/Instant(time.Minute)) + b.Rate/60*int64((log[j].at-log[i].at)%Instant(time.Minute)/Instant(time.Second))
				if held > room || charged > room+over {
					t.Fatalf("within %s %d tokens are held and %d charged, with an excess of %d; the bucket has %d", time.Duration(log[j].at-log[i].at), held, charged, over, room)
				}
			}
		}
		if excess != b.BurndownExcess+b.EstimateExcess {
			t.Fatalf("%d above the holds, of which %d and %d are reported", excess, b.BurndownExcess, b.EstimateExcess)
		}
	})
}

// After a restart the bucket is filled again with what each call was charged, at the time of its arrival. That is never more
// than the bucket showed, and less by no more than what was charged above holds (which counted from the end of its call) and
// what calls under way held. Without either it is the same to the token.
func TestRebuiltBucketsAgainstTheOriginal(t *testing.T) {
	for _, overrun := range []bool{false, true} {
		rapid.Check(t, func(t *rapid.T) {
			burndown := int32(1000)
			if overrun {
				burndown = 5000
			}
			s, log, now := history(t, burndown, overrun)
			if rapid.Bool().Draw(t, "all end") {
				for i := range log {
					if e := &log[i]; !e.settled {
						s.Step(now, Event{Kind: EventSettle, Call: e.id, Input: e.held / 2}, nil)
						e.charged, e.settled = e.held/2, true
					}
				}
			}
			want, _ := s.Bucket(tokensID)
			r := setUp(want.Rate, huge, burndown, 1000)
			r.Step(now, Event{Kind: EventTick}, nil)
			slices.SortStableFunc(log, func(a, b entry) int { return cmp.Compare(a.at, b.at) })
			var bound int64
			for _, e := range log {
				if e.settled {
					r.Step(now, Event{Kind: EventCharge, Bucket: tokensID, Amount: e.charged, At: e.at}, nil)
					bound += e.excess
				} else {
					bound += e.held
				}
			}
			got, _ := r.Bucket(tokensID)
			if got.Fill > want.Fill || got.Fill < want.Fill-bound {
				t.Fatalf("rebuilt %d, it was %d, the bound is %d", got.Fill, want.Fill, bound)
			}
		})
	}
}

// A caller that is alone with its quotas and waits as long as it is told is admitted, whichever of them refused it,
// and not a nanosecond earlier; what its earlier calls cost makes no difference.
func TestACallAloneThatWaitsIsAdmitted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Int64Range(1, 100_000).Draw(t, "tokens")
		s := setUp(rate, rapid.Int64Range(1, 30).Draw(t, "requests"), 5000, 1000)
		now := Instant(0)
		for id := CallID(1); id < 60; id++ {
			now += Instant(rapid.Int64Range(0, int64(time.Second)).Draw(t, "gap"))
			ev := arrive(id, rapid.Int64Range(0, rate-1).Draw(t, "in"), 1)
			as := s.Step(now, ev, nil)
			if as[0].Kind == ActionReject {
				if as[0].Reason != ReasonBucket || as[0].Estimated || as[0].RetryAfter <= 0 {
					t.Fatalf("%+v", as[0])
				}
				now += Instant(as[0].RetryAfter)
				ev.Call += 1000
				if a := s.Step(now-1, ev, nil); a[0].Kind != ActionReject {
					t.Fatal("admitted a nanosecond before the time")
				}
				ev.Call = id
				if as = s.Step(now, ev, nil); as[0].Kind != ActionAdmit {
					t.Fatalf("not admitted after the time: %+v", as)
				}
			}
			if rapid.Bool().Draw(t, "settle") {
				s.Step(now, Event{Kind: EventSettle, Call: id, Input: rapid.Int64Range(0, rate).Draw(t, "used"), Output: rapid.Int64Range(0, 100).Draw(t, "made")}, nil)
			}
		}
	})
}
