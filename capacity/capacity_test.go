package capacity

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// world is a state with one pool, one model and one token bucket and one request bucket.
const (
	tokensID   BucketID  = 1
	requestsID BucketID  = 2
	dayID      CounterID = 1
	poolID     PoolID    = 1
	modelID    ModelID   = 1
)

func setUp(rate, rpm int64, burndown int32, slots int32) *State {
	s := New()
	cfg := &Config{
		Models:   []Model{{ID: modelID, Burndown: burndown, MaxOutput: 100, WeightInput: 1, WeightOutput: 2}},
		Buckets:  []Bucket{{ID: tokensID, Measure: MeasureTokens, Rate: rate}, {ID: requestsID, Measure: MeasureRequests, Rate: rpm}},
		Pools:    []Pool{{ID: poolID, MaxQueue: 100_000}},
		Replicas: []Replica{{ID: 1, Pool: poolID, Slots: slots}},
	}
	s.Step(0, Event{Kind: EventConfigure, Config: cfg}, nil)
	s.Step(0, Event{Kind: EventReplicaUp, Replica: 1}, nil)
	return s
}

func arrive(id CallID, input, maxOutput int64) Event {
	ev := Event{Kind: EventArrive, Call: id, Account: 1, Principal: 1, Input: input, MaxOutput: maxOutput}
	ev.SetBuckets(tokensID, requestsID)
	ev.SetLanes(Lane{Pool: poolID, Model: modelID, Buckets: AllLimits, Counters: AllLimits})
	return ev
}

func kinds(as []Action) (out []ActionKind) {
	for _, a := range as {
		out = append(out, a.Kind)
	}
	return out
}

const huge = 1 << 40

// The worked examples of the Bedrock user guide: 3,000 input and 1,000 cache write tokens with a
// maximum of 1,250 hold 5,250, and with 1,000 output tokens at a burndown of 5 are charged 9,000.
func TestUserGuideExample(t *testing.T) {
	for _, c := range []struct{ maxOutput, held int64 }{{1250, 5250}, {32_000, 36_000}} {
		s := setUp(huge, huge, 5000, 1)
		ev := arrive(1, 3000, c.maxOutput)
		ev.CacheWrite = 1000
		as := s.Step(0, ev, nil)
		if len(as) != 1 || as[0].Kind != ActionAdmit || as[0].Held != c.held {
			t.Fatalf("%+v", as)
		}
		as = s.Step(0, Event{Kind: EventSettle, Call: 1, Input: 3000, CacheWrite: 1000, Output: 1000}, nil)
		if as[0].Kind != ActionSettled || as[0].Charged != 9000 {
			t.Errorf("%+v", as)
		}
		if b, _ := s.Bucket(tokensID); b.Fill != 9000 {
			t.Errorf("the bucket holds %d, want 9000", b.Fill)
		}
	}
}

func TestHoldAboveTheDepthIsTheCallersFault(t *testing.T) {
	s := setUp(1000, huge, 1000, 1)
	as := s.Step(0, arrive(1, 900, 101), nil)
	if as[0].Kind != ActionReject || as[0].Reason != ReasonOverDepth || as[0].Bucket != tokensID || as[0].RetryAfter != 0 {
		t.Errorf("%+v", as)
	}
	if s.InFlight() != 0 {
		t.Error("something was left behind")
	}
}

// A hold that has drained is not given back twice: after a minute the bucket of rate 60 a
// minute has drained the whole hold of 60, so settling gives nothing back.
func TestDrainedHoldIsNotGivenBack(t *testing.T) {
	s := setUp(60, huge, 1000, 10)
	s.Step(0, arrive(1, 10, 50), nil)
	at := Instant(time.Minute)
	s.Step(at, arrive(2, 10, 50), nil)
	s.Step(at, Event{Kind: EventSettle, Call: 1, Input: 10, Output: 0}, nil)
	if b, _ := s.Bucket(tokensID); b.Fill != 60 || b.Refunded != 0 || b.Lapsed != 50 {
		t.Errorf("%+v", b)
	}
}

func TestRetryAfterIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Int64Range(1, 100_000).Draw(t, "rate")
		s := setUp(rate, huge, 1000, 1000)
		now := Instant(0)
		for id := CallID(1); id < 50; id++ {
			in := rapid.Int64Range(1, rate).Draw(t, "in")
			out := rapid.Int64Range(1, rate-in+1).Draw(t, "out") - 1
			ev := arrive(id, in, max(out, 1))
			if in+max(out, 1) > rate {
				continue
			}
			as := s.Step(now, ev, nil)
			if as[0].Kind != ActionReject {
				now += Instant(rapid.Int64Range(0, int64(time.Second)).Draw(t, "gap"))
				continue
			}
			if as[0].Reason != ReasonBucket || as[0].Estimated || as[0].RetryAfter <= 0 {
				t.Fatalf("%+v", as[0])
			}
			early := now + Instant(as[0].RetryAfter) - 1
			probe := ev
			probe.Call = id + 1000
			if a := s.Step(early, probe, nil); a[0].Kind != ActionReject {
				t.Fatalf("admitted a nanosecond before the time")
			}
			ev.Call = id + 2000
			if a := s.Step(early+1, ev, nil); a[0].Kind != ActionAdmit {
				t.Fatalf("not admitted after the time: %+v", a)
			}
			return
		}
	})
}

// hold is one admitted call of the brute-force check.
type hold struct {
	at     Instant
	amount int64 // what it holds, less what its settlement gave back
}

// For every interval of length T, the tokens held by the calls admitted in it, less what was
// given back to them, are at most depth + rate x T, also for calls that outlive the drain.
// Checked over all pairs of admissions. Rates are multiples of 60 and times of a second, so that every
// level is a whole number and the check is exact.
func TestHeldTokensNeverPassDepthAndRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := 60 * rapid.Int64Range(1, 200).Draw(t, "rate")
		s := setUp(rate, huge, 1000, 1000)
		now := Instant(0)
		index := map[CallID]int{}
		var log []hold
		var running []CallID
		for id := CallID(1); id < 120; id++ {
			now += Instant(time.Second) * Instant(rapid.Int64Range(0, 20).Draw(t, "gap"))
			if len(running) > 0 && rapid.Bool().Draw(t, "settle") {
				i := rapid.IntRange(0, len(running)-1).Draw(t, "which")
				c := running[i]
				running = append(running[:i], running[i+1:]...)
				h := &log[index[c]]
				before, _ := s.Bucket(tokensID)
				s.Step(now, Event{Kind: EventSettle, Call: c, Input: rapid.Int64Range(0, h.amount).Draw(t, "used")}, nil)
				after, _ := s.Bucket(tokensID)
				h.amount -= after.Refunded - before.Refunded
			}
			for _, a := range s.Step(now, arrive(id, rapid.Int64Range(0, rate).Draw(t, "in"), 1), nil) {
				if a.Kind == ActionAdmit {
					index[id] = len(log)
					running = append(running, id)
					log = append(log, hold{now, a.Held})
				}
			}
		}
		for i := range log {
			sum := int64(0)
			for j := i; j < len(log); j++ {
				sum += log[j].amount
				span := int64(log[j].at - log[i].at)
				if (sum-rate)*int64(time.Minute) > rate*span { // sum > rate + rate x span / minute
					t.Fatalf("%d tokens held within %s at a rate of %d", sum, time.Duration(span), rate)
				}
			}
		}
	})
}

// However calls come and go, each ends in exactly one terminal action, and when all have
// ended and time has passed nothing is left.
func TestEveryCallEndsOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := setUp(rapid.Int64Range(1, 500).Draw(t, "rate"), rapid.Int64Range(1, 50).Draw(t, "rpm"), 1000, rapid.Int32Range(1, 3).Draw(t, "slots"))
		now := Instant(0)
		ended, admitted := map[CallID]int{}, map[CallID]bool{}
		note := func(as []Action) {
			for _, a := range as {
				if a.Kind.Terminal() {
					ended[a.Call]++
					delete(admitted, a.Call)
				}
				if a.Kind == ActionAdmit {
					admitted[a.Call] = true
				}
			}
		}
		const calls = 80
		for id := CallID(1); id <= calls; id++ {
			now += Instant(rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "gap"))
			ev := arrive(id, rapid.Int64Range(0, 50).Draw(t, "in"), 1+rapid.Int64Range(0, 50).Draw(t, "out"))
			ev.Account = AccountID(rapid.IntRange(1, 3).Draw(t, "account"))
			ev.Tier = Tier(rapid.IntRange(1, 5).Draw(t, "tier"))
			ev.Preemptible = rapid.Bool().Draw(t, "preemptible")
			if rapid.Bool().Draw(t, "deadline") {
				ev.Deadline = now + Instant(rapid.Int64Range(1, int64(10*time.Second)).Draw(t, "until"))
			}
			note(s.Step(now, ev, nil))
			other := CallID(rapid.IntRange(1, int(id)).Draw(t, "other"))
			kind := rapid.SampledFrom([]EventKind{EventSettle, EventCancel, EventRetry, EventFreed, EventProgress, EventTick, EventExpire, EventReplicaDown, EventReplicaUp}).Draw(t, "kind")
			note(s.Step(now, Event{Kind: kind, Call: other, Replica: 1, Output: 3, Input: 2}, nil))
		}
		s.Step(now, Event{Kind: EventReplicaUp, Replica: 1}, nil)
		for round := 0; s.InFlight() > 0 && round < 10*calls; round++ {
			now += Instant(time.Second)
			for id := CallID(1); id <= calls; id++ {
				note(s.Step(now, Event{Kind: EventSettle, Call: id}, nil))
				note(s.Step(now, Event{Kind: EventFreed, Call: id}, nil))
				note(s.Step(now, Event{Kind: EventCancel, Call: id}, nil))
			}
		}
		for id := CallID(1); id <= calls; id++ {
			if ended[id] != 1 {
				t.Fatalf("call %d ended %d times", id, ended[id])
			}
		}
		if s.InFlight() != 0 {
			t.Fatalf("%d calls are left", s.InFlight())
		}
		if p, _ := s.Pool(poolID); p.Busy != 0 || p.Waiting != 0 {
			t.Fatalf("%+v", p)
		}
		now += Instant(1000 * time.Hour)
		s.Step(now, Event{Kind: EventTick}, nil)
		b, _ := s.Bucket(tokensID)
		gap := b.Held + b.BurndownExcess + b.EstimateExcess - b.Charged - b.Refunded - b.Lapsed
		if b.Fill != 0 || gap < 0 || gap > 2 { // refunded and lapsed are rounded down
			t.Fatalf("%+v", b)
		}
	})
}

// Two accounts that always wait get service within 2 max(wp x Linput, wq x M) of each other
// (Theorem 4.4 of "Fairness in Serving Large Language Models"), M the tokens in flight.
func TestBackloggedAccountsShareFairly(t *testing.T) {
	s := setUp(huge, huge, 1000, 2)
	now := Instant(0)
	service := map[AccountID]int64{}
	owner := map[CallID]AccountID{}
	size := map[CallID]int64{}
	var running []CallID
	id := CallID(0)
	offer := func(account AccountID, out int64) {
		id++
		owner[id], size[id] = account, out
		ev := arrive(id, 10, out)
		ev.Account, ev.Principal = account, PrincipalID(account)
		for _, a := range s.Step(now, ev, nil) {
			if a.Kind == ActionAdmit {
				running = append(running, a.Call)
			}
		}
	}
	for range 200 {
		offer(1, 10)
		offer(2, 90) // nine times the work per call
	}
	for range 180 {
		now += Instant(time.Second)
		c := running[0]
		running = running[1:]
		service[owner[c]] += 10 + 2*size[c]
		for _, a := range s.Step(now, Event{Kind: EventSettle, Call: c, Input: 10, Output: size[c]}, nil) {
			if a.Kind == ActionAdmit {
				running = append(running, a.Call)
			}
		}
	}
	bound := 2 * max(int64(10), 2*2*90) // two calls of 90 tokens in flight, weight 2
	if d := service[1] - service[2]; d > bound || -d > bound {
		t.Errorf("served %d and %d, the bound is %d", service[1], service[2], bound)
	}
}

func TestLimitsOfOneZeroAndHuge(t *testing.T) {
	for _, c := range []struct {
		rate   int64
		in     int64
		reason Reason
	}{{0, 1, ReasonZeroLimit}, {1, 1, ReasonOverDepth}, {MaxTokens, 1 << 50, ReasonNone}, {MaxTokens, MaxTokens, ReasonOverDepth}} {
		s := New()
		s.Step(0, Event{Kind: EventConfigure, Config: &Config{
			Models: []Model{{ID: modelID, MaxOutput: 1}}, Pools: []Pool{{ID: poolID, MaxQueue: 10}}, Replicas: []Replica{{ID: 1, Pool: poolID, Slots: 1}},
			Buckets: []Bucket{{ID: tokensID, Measure: MeasureTokens, Rate: c.rate}, {ID: requestsID, Measure: MeasureRequests, Rate: huge}},
		}}, nil)
		s.Step(0, Event{Kind: EventReplicaUp, Replica: 1}, nil)
		as := s.Step(0, arrive(1, c.in, 1), nil)
		if c.in == MaxTokens { // in + 1 saturates to the limit itself
			c.reason = ReasonNone
		}
		if as[0].Reason != c.reason || (as[0].Kind == ActionAdmit) != (c.reason == ReasonNone) {
			t.Errorf("rate %d, input %d: %s %s, want %s", c.rate, c.in, as[0].Kind, as[0].Reason, c.reason)
		}
	}
}

func TestCalendarCounter(t *testing.T) {
	s := setUp(huge, huge, 1000, 10)
	s.Step(0, Event{Kind: EventConfigure, Config: &Config{Counters: []Counter{{ID: dayID, Measure: MeasureMoney, Calendar: 1, Limit: 100}}}}, nil)
	s.Step(0, Event{Kind: EventWallClock, Calendar: 1, Period: 5, At: Instant(time.Hour)}, nil)
	spend := func(id CallID, nano int64) Action {
		ev := arrive(id, 1, 1)
		ev.SetCounters(dayID)
		ev.Lanes[0].Money = nano
		return s.Step(0, ev, nil)[0]
	}
	if a := spend(1, 60); a.Kind != ActionAdmit {
		t.Fatal(a)
	}
	if a := spend(2, 60); a.Reason != ReasonCounter || a.RetryAfter != time.Hour { // held in parallel: no overshoot
		t.Fatalf("%+v", a)
	}
	s.Step(0, Event{Kind: EventSettle, Call: 1, Money: 10}, nil)
	if a := spend(3, 60); a.Kind != ActionAdmit {
		t.Fatal("the refund did not come back")
	}
	s.Step(0, Event{Kind: EventWallClock, Calendar: 1, Period: 6}, nil)
	if a := spend(4, 100); a.Kind != ActionAdmit {
		t.Fatal("the new day did not begin")
	}
	s.Step(0, Event{Kind: EventSettle, Call: 3, Money: 60}, nil) // of the day before
	if c, _ := s.Counter(dayID); c.Used != 0 || c.Held != 100 {
		t.Errorf("%+v", c)
	}
	s.Step(0, Event{Kind: EventWallClock, Calendar: 1, Period: 5}, nil) // the clock was set back
	if c, _ := s.Counter(dayID); c.Period != 6 {
		t.Errorf("the day went back: %+v", c)
	}
}

func TestRetryAvoidsTheReplicaThatFailed(t *testing.T) {
	s := setUp(huge, huge, 1000, 1)
	s.Step(0, Event{Kind: EventConfigure, Config: &Config{Replicas: []Replica{{ID: 2, Pool: poolID, Slots: 1}}}}, nil)
	s.Step(0, Event{Kind: EventReplicaUp, Replica: 2}, nil)
	first := s.Step(0, arrive(1, 1, 1), nil)[0].Replica
	as := s.Step(0, Event{Kind: EventRetry, Call: 1, Replica: first}, nil)
	if as[0].Kind != ActionAdmit || as[0].Replica == first {
		t.Fatalf("%+v", as)
	}
	as = s.Step(0, Event{Kind: EventRetry, Call: 1, Replica: as[0].Replica}, nil)
	if as[0].Kind != ActionReject || as[0].Reason != ReasonReplicasFailed {
		t.Errorf("%+v", as)
	}
	if b, _ := s.Bucket(tokensID); b.Fill != 0 {
		t.Errorf("the hold stayed: %+v", b)
	}
}

func TestRecallGivesTheSlotToAHigherTier(t *testing.T) {
	s := setUp(huge, huge, 1000, 1)
	flex := arrive(1, 1, 1)
	flex.Tier, flex.Preemptible = TierFlex, true
	s.Step(0, flex, nil)
	as := s.Step(0, arrive(2, 1, 1), nil)
	if len(as) != 1 || as[0].Kind != ActionPreempt || as[0].Call != 1 || as[0].Reason != ReasonRecall {
		t.Fatalf("%+v", as)
	}
	if as = s.Step(0, Event{Kind: EventFreed, Call: 1}, nil); as[0].Kind != ActionAdmit || as[0].Call != 2 {
		t.Fatalf("%+v", as)
	}
	as = s.Step(0, Event{Kind: EventSettle, Call: 2}, nil)
	if k := kinds(as); len(k) != 2 || k[0] != ActionSettled || as[1].Call != 1 {
		t.Errorf("%+v", as)
	}
}

func BenchmarkArriveAndSettle(b *testing.B) {
	s := setUp(huge, huge, 5000, 1000)
	var out []Action
	ev := arrive(0, 500, 200)
	id := CallID(0)
	now := Instant(0)
	b.ReportAllocs()
	for b.Loop() {
		id++
		now += 1000
		ev.Call = id
		out = s.Step(now, ev, out[:0])
		if id > 100 {
			out = s.Step(now, Event{Kind: EventSettle, Call: id - 100, Input: 500, Output: 100}, out[:0])
		}
	}
}
