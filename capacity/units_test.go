package capacity

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// buyer is a State with a purchase of 600 input, 300 output and 800 tokens a minute, and a part with half of each.
func buyer(slots int32) *State {
	s := New()
	cfg := &Config{
		Models: []Model{{ID: modelID, MaxOutput: 100, Burndown: 5000}}, Pools: []Pool{{ID: poolID, MaxQueue: 100}}, Replicas: []Replica{{ID: 1, Pool: poolID, Slots: slots}},
		Reservations: []Reservation{{ID: 1, Pool: poolID, Input: 1, Output: 2, Tokens: 3, Slots: slots}, {ID: 2, Pool: poolID, Parent: 1, Input: 4, Output: 5, Tokens: 6}},
	}
	for i, rate := range []int64{600, 300, 800} {
		cfg.Buckets = append(cfg.Buckets, Bucket{ID: BucketID(i + 1), Measure: MeasureTokens, Rate: rate}, Bucket{ID: BucketID(i + 4), Measure: MeasureTokens, Rate: rate / 2})
	}
	s.Step(0, Event{Kind: EventConfigure, Config: cfg}, nil)
	s.Step(0, Event{Kind: EventReplicaUp, Replica: 1}, nil)
	return s
}

func offered(id CallID, reservation ReservationID, input int64) Event {
	ev := Event{Kind: EventArrive, Call: id, Input: input, Preemptible: id%3 == 0}
	ev.SetLanes(Lane{Pool: poolID, Model: modelID, Reservation: reservation})
	return ev
}

// What an estimate was too high by comes back so that the fill is, to the nanosecond, as if the call had been charged what it really
// brought from the start; a call that never ran leaves nothing.
func TestEstimatesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := buyer(2)
		p := &purchase{rate: 600}
		at := map[CallID]int{} // of its charge
		var under []CallID
		now := Instant(0)
		for id := CallID(1); id < 60; id++ {
			now += Instant(rapid.SampledFrom([]time.Duration{0, time.Nanosecond, time.Second, 10 * time.Second, time.Minute}).Draw(t, "gap"))
			input := rapid.Int64Range(0, 400).Draw(t, "input")
			if as := s.Step(now, offered(id, 1, input), nil); len(as) == 0 || as[0].Kind != ActionReject {
				at[id] = len(p.charges)
				under = append(under, id)
				p.charges = append(p.charges, tokens{now, input})
			}
			if len(under) > 0 {
				k := rapid.IntRange(0, len(under)-1).Draw(t, "which")
				c := &p.charges[at[under[k]]]
				brought := rapid.Int64Range(0, c.amount).Draw(t, "brought")
				kind := rapid.SampledFrom([]EventKind{EventProgress, EventSettle, EventCancel}).Draw(t, "kind")
				state := s.calls.at(s.callByID[under[k]]).state
				s.Step(now, Event{Kind: kind, Call: under[k], Input: brought}, nil)
				switch {
				case (state == callRunning || state == callRecalled) && (kind == EventSettle || kind == EventProgress && brought > 0):
					c.amount = brought
				case state == callWaiting && kind == EventCancel:
					c.amount = 0
				}
				if s.callByID[under[k]] == 0 {
					under = append(under[:k], under[k+1:]...)
				}
			}
			if b, _ := s.Bucket(1); b.Fill != p.fill(now)/int64(time.Minute) {
				t.Fatalf("the fill is %d, and %d as if charged from the start", b.Fill, p.fill(now)/int64(time.Minute))
			}
		}
	})
}

// However calls go on (reports that go up and down, recalls, retries, cancellations, settlements), what each bucket was charged is what came
// back, what had drained by then, and what the calls were charged in the end, once for a part and once for its purchase.
func TestEveryUnitIsAccountedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := buyer(rapid.Int32Range(1, 4).Draw(t, "slots"))
		of := map[CallID]ReservationID{}
		var charged [3][2]int64 // by reservation: input, output
		now := Instant(0)
		step := func(ev Event) {
			for _, a := range s.Step(now, ev, nil) {
				if a.Kind == ActionSettled {
					charged[of[a.Call]][0] += ev.Input
					charged[of[a.Call]][1] += ev.Output
				}
			}
		}
		const calls = 60
		for id := CallID(1); id < calls; id++ {
			now += Instant(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "gap"))
			of[id] = ReservationID(rapid.IntRange(1, 2).Draw(t, "reservation"))
			step(offered(id, of[id], rapid.Int64Range(0, 300).Draw(t, "input")))
			for range 2 {
				kind := rapid.SampledFrom([]EventKind{EventProgress, EventProgress, EventSettle, EventRetry, EventFreed, EventCancel}).Draw(t, "kind")
				step(Event{
					Kind: kind, Call: CallID(rapid.Uint64Range(uint64(max(1, id-min(id-1, 5))), uint64(id)).Draw(t, "call")),
					Input: rapid.Int64Range(0, 400).Draw(t, "in"), Output: rapid.Int64Range(0, 200).Draw(t, "out"),
				})
			}
		}
		for range calls { // a recalled one that is let go may be admitted again
			for id := CallID(1); id < calls; id++ {
				step(Event{Kind: EventSettle, Call: id, Input: 7, Output: 3})
			}
		}
		if s.InFlight() != 0 {
			t.Fatalf("%d calls are left", s.InFlight())
		}
		for id := BucketID(1); id <= 6; id++ {
			b := &s.buckets.items[s.bucketByID[id]].stats
			if b.held != b.charged.add(b.refunded).add(b.lapsed) {
				t.Fatalf("bucket %d took %v: %v charged, %v back, %v lapsed", id, b.held, b.charged, b.refunded, b.lapsed)
			}
			input, output := charged[2][0], charged[2][1]
			if id <= 3 {
				input, output = input+charged[1][0], output+charged[1][1]
			}
			if want := [3]int64{input, output, input + output}[(id-1)%3]; b.charged != units(want) {
				t.Fatalf("bucket %d was charged %d, want %d", id, whole(b.charged), want)
			}
		}
	})
}

// producer is a State with a purchase of 300 output tokens a minute, and what its calls were charged.
type producer struct {
	t    *rapid.T
	s    *State
	now  Instant
	p    *purchase
	by   []CallID         // whose the charges are
	made map[CallID]int64 // in the present attempt
}

// newProducer has some calls that run.
func newProducer(t *rapid.T, calls CallID) *producer {
	m := &producer{t: t, s: buyer(100), p: &purchase{rate: 300}, made: map[CallID]int64{}}
	for id := CallID(1); id <= calls; id++ {
		m.s.Step(0, offered(id, 1, 0), nil)
	}
	return m
}

// report lets time pass and tells of more tokens of a call.
func (m *producer) report(c CallID) {
	m.now += Instant(rapid.SampledFrom([]time.Duration{0, time.Nanosecond, time.Second, 10 * time.Second, time.Minute}).Draw(m.t, "gap"))
	more := rapid.Int64Range(1, 200).Draw(m.t, "more")
	m.made[c] += more
	m.by, m.p.charges = append(m.by, c), append(m.p.charges, tokens{m.now, more})
	m.s.Step(m.now, Event{Kind: EventProgress, Call: c, Output: m.made[c]}, nil)
}

// lose makes what a call has produced be in vain.
func (m *producer) lose(c CallID) {
	m.s.Step(m.now, Event{Kind: EventRetry, Call: c}, nil)
	m.made[c] = 0
}

func (m *producer) level() int64 { return int64(m.s.buckets.items[m.s.bucketByID[2]].level(m.now).lo) }

// What was produced in vain comes back as far as it has not drained since the first of it was charged: that is the lowest fill since then, at most.
func TestLostOutputComesBack(t *testing.T) {
	some := false
	rapid.Check(t, func(t *rapid.T) {
		m := newProducer(t, 2)
		lowest := int64(0) // since the first of call 1
		for range rapid.IntRange(1, 30).Draw(t, "reports") {
			c := CallID(rapid.IntRange(1, 2).Draw(t, "whose"))
			first := c == 1 && m.made[c] == 0
			m.report(c)
			fill := m.p.fill(m.now)
			last := m.p.charges[len(m.p.charges)-1].amount * int64(time.Minute)
			if lowest = min(lowest, fill-last); first {
				lowest = fill
			}
		}
		back := min(lowest, m.made[1]*int64(time.Minute))
		if m.made[1] == 0 {
			back = 0
		}
		some = some || back > 0
		m.lose(1)
		if want := m.p.fill(m.now) - back; m.level() != want {
			t.Fatalf("the fill is %d, want %d", m.level(), want)
		}
	})
	if !some {
		t.Error("nothing came back")
	}
}

// However many attempts are lost, the fill is not lower than if what was produced in vain had never been charged.
func TestLostOutputDoesNotComeBackTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newProducer(t, 4)
		for range 60 {
			c := CallID(rapid.IntRange(1, 4).Draw(t, "whose"))
			if rapid.IntRange(0, 5).Draw(t, "lost") > 0 {
				m.report(c)
			} else {
				lost := m.made[c]
				for i := len(m.by) - 1; i >= 0 && lost > 0; i-- {
					if m.by[i] == c {
						lost -= m.p.charges[i].amount
						m.p.charges[i].amount = 0
					}
				}
				m.lose(c)
			}
			if least := m.p.fill(m.now); m.level() < least {
				t.Fatalf("the fill is %d, at least %d", m.level(), least)
			}
		}
	})
}
