package capacity

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// entry is a call of a history: what it holds from its arrival on, what it was given back, and what it was charged in the end.
type entry struct {
	id              CallID
	at              Instant
	held, back      int64
	charged, excess int64 // excess is what the charge passed the hold by
	attempts        int
	ended           bool
}

// history runs random calls through one bucket whose levels stay whole numbers: the rate is a multiple of 60 a minute and
// times are whole seconds. Calls may wait, fail and be tried again, be given up at any moment, and live far longer than the bucket takes to drain; they say
// nothing of their maximum, or pass it; output counts five times if the burndown says so.
type history struct {
	t       *rapid.T
	s       *State
	now     Instant
	log     []entry // in the order of arrival
	overrun bool
}

func newHistory(t *rapid.T, burndown int32, overrun bool) *history {
	rate := 60 * rapid.Int64Range(1, 50).Draw(t, "rate")
	h := &history{t: t, s: setUp(rate, huge, burndown, rapid.SampledFrom([]int32{1, 3, 1000}).Draw(t, "slots")), overrun: overrun}
	for id := ReplicaID(2); id <= 6; id++ {
		h.s.Step(0, Event{Kind: EventConfigure, Config: &Config{Replicas: []Replica{{ID: id, Pool: poolID, Slots: 1}}}}, nil)
		h.s.Step(0, Event{Kind: EventReplicaUp, Replica: id}, nil)
	}
	for id := CallID(1); id < 80; id++ {
		h.now += Instant(time.Second) * Instant(rapid.SampledFrom([]int64{0, 0, 1, 2, 5, 20, 100}).Draw(t, "gap"))
		if alive := h.alive(); len(alive) > 0 && rapid.Bool().Draw(t, "goes on") {
			h.goOn(alive[rapid.IntRange(0, len(alive)-1).Draw(t, "which")])
		}
		input := rapid.Int64Range(0, rate).Draw(t, "in")
		maxOutput := rapid.SampledFrom([]int64{0, 1, rate / 2, rate, rate + 1, MaxTokens}).Draw(t, "max")
		held := sum(input, maxOutput)
		if maxOutput == 0 { // the model's
			held = input + 100
		}
		h.log = append(h.log, entry{id: id, at: h.now, held: held})
		if h.step(&h.log[len(h.log)-1], arrive(id, input, maxOutput)) {
			h.log = h.log[:len(h.log)-1]
		}
	}
	return h
}

// alive returns which calls of the log have not ended.
func (h *history) alive() (list []int) {
	for i := range h.log {
		if !h.log[i].ended {
			list = append(list, i)
		}
	}
	return list
}

// goOn lets something happen to a call, most of it only if it runs.
func (h *history) goOn(i int) {
	e := &h.log[i]
	kind := rapid.SampledFrom([]EventKind{EventSettle, EventSettle, EventSettle, EventProgress, EventRetry, EventFreed, EventCancel}).Draw(h.t, "kind")
	ev := Event{Kind: kind, Call: e.id}
	most := e.held
	if h.overrun {
		most *= 3
	}
	ev.Input, ev.Output = rapid.Int64Range(0, most/2).Draw(h.t, "in used"), rapid.Int64Range(0, most/2).Draw(h.t, "out used")
	if kind == EventRetry {
		ev.Replica = ReplicaID(rapid.IntRange(0, 6).Draw(h.t, "failed"))
	}
	h.step(e, ev)
}

// step feeds an event of a call and follows what comes of it. It says whether the call was refused.
func (h *history) step(e *entry, ev Event) (refused bool) {
	h.t.Helper()
	before, _ := h.s.Bucket(tokensID)
	for _, a := range h.s.Step(h.now, ev, nil) {
		of := &h.log[slices.IndexFunc(h.log, func(o entry) bool { return o.id == a.Call })]
		switch {
		case a.Kind == ActionAdmit:
			if of.attempts++; a.Held != of.held {
				h.t.Fatalf("call %d is admitted with %d, and held %d from its arrival on", a.Call, a.Held, of.held)
			}
		case a.Kind.Terminal():
			of.charged, of.ended, refused = a.Charged, true, a.Kind == ActionReject
			if of != e {
				h.t.Fatalf("%s of call %d ends call %d", ev.Kind, ev.Call, a.Call)
			}
		}
	}
	after, _ := h.s.Bucket(tokensID)
	e.back += after.Refunded - before.Refunded
	e.excess += after.BurndownExcess + after.EstimateExcess - before.BurndownExcess - before.EstimateExcess
	return refused
}

// end brings all calls to their end.
func (h *history) end() {
	for alive := h.alive(); len(alive) > 0; alive = h.alive() {
		for _, i := range alive {
			h.step(&h.log[i], Event{Kind: EventSettle, Call: h.log[i].id, Input: h.log[i].held / 2})
		}
	}
}

// For every interval of length T the calls admitted in it hold, less what was given back to them, at most depth + rate x T, and
// are charged at most that and what burndown and wrong estimates added, which the bucket reports, whatever is tried again or given up meanwhile.
func TestHoldsAndChargesOfEveryInterval(t *testing.T) {
	again, givenUp := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		h := newHistory(t, 5000, true)
		b, _ := h.s.Bucket(tokensID)
		log := h.log
		var excess int64
		for i := range log {
			var held, charged, over int64
			excess += log[i].excess
			if log[i].attempts > 1 {
				again++
			}
			if log[i].ended && log[i].charged == 0 && log[i].held > 0 {
				givenUp++
			}
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
	if again == 0 || givenUp == 0 {
		t.Errorf("%d calls were tried again, %d given up", again, givenUp)
	}
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
			h := newHistory(t, burndown, overrun)
			if rapid.Bool().Draw(t, "all end") {
				h.end()
			}
			want, _ := h.s.Bucket(tokensID)
			r := setUp(want.Rate, huge, burndown, 1000)
			r.Step(h.now, Event{Kind: EventTick}, nil)
			var bound int64
			for _, e := range h.log {
				if e.ended {
					r.Step(h.now, Event{Kind: EventCharge, Bucket: tokensID, Amount: e.charged, At: e.at}, nil)
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
