package capacity

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// act lets time pass and something happen in a market. Calls of a careful purchase keep to it in every minute.
func (m *market) act() {
	t := m.t
	m.now += Instant(rapid.SampledFrom([]time.Duration{0, time.Millisecond, time.Second, 7 * time.Second, 30 * time.Second}).Draw(t, "gap"))
	switch n := rapid.IntRange(0, 15).Draw(t, "what"); {
	case n < 4:
		p := m.bought[rapid.IntRange(0, len(m.bought)-1).Draw(t, "who")]
		input := rapid.Int64Range(0, 2*p.rate).Draw(t, "input")
		if p.careful {
			input = min(input, p.room(m.now))
		}
		m.arrive(p, TierDefault, !p.careful && rapid.IntRange(0, 3).Draw(t, "recallable") == 0, input)
	case n < 8:
		tier := Tier(rapid.IntRange(int(TierPriority), int(TierBatch)).Draw(t, "tier"))
		m.arrive(nil, tier, tier >= TierFlex && rapid.Bool().Draw(t, "recallable"), 10)
	case n < 11:
		if c := m.pick("which ends", func(c *customer) bool { return c.running && !c.recalled }); c != nil {
			m.produce(c, m.tokens(c), true)
		}
	case n < 13:
		if c := m.pick("which goes on", func(c *customer) bool { return c.running && !c.recallable }); c != nil {
			m.produce(c, m.tokens(c), false)
		}
	case n < 14:
		if c := m.pick("which begins", func(c *customer) bool { return c.running && c.recallable }); c != nil {
			m.begin(c)
		}
	default:
		if c := m.pick("which is let go", func(c *customer) bool { return c.recalled }); c != nil {
			m.free(c)
		}
	}
}

// tokens draws how many more tokens a call makes.
func (m *market) tokens(c *customer) int64 {
	n := rapid.Int64Range(0, 400).Draw(m.t, "tokens")
	if c.of != nil && c.of.careful {
		n = min(n, c.of.room(m.now))
	}
	return n
}

// Traffic that keeps to its purchase in every 60 s is never refused, whatever quotas, flex, batch and other reservations do, and never waits
// while a slot of its own is free, or lent without coming back. Common use does not pass its capacity by a call that was admitted. No work is lent an
// isolated replica while a shared one has room for it, nor keeps others from a shared one by waiting for its own. The fill
// of each bucket is what the definition says, and so is every refusal, to the nanosecond. An elastic pool wants replicas for its calls, and
// for what is sold whether it is used or not. All calls end once.
func TestReservationsHold(t *testing.T) {
	for _, c := range []struct {
		name                                                string
		isolated, divided, memory, standby, faults, elastic bool
	}{
		{name: "shared"},
		{name: "isolated", isolated: true},
		{name: "divided", divided: true},
		{name: "faults", isolated: true, divided: true, faults: true},
		{name: "memory", memory: true},
		{name: "elastic", isolated: true, divided: true, faults: true, elastic: true},
		{name: "memory of its own", isolated: true, divided: true, memory: true},
		{name: "standby", standby: true, faults: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := newMarket(t, c.isolated, c.divided, c.memory, c.standby)
				m.beCareful(m.bought[rapid.IntRange(0, len(m.bought)-1).Draw(t, "careful")])
				if c.elastic {
					m.beElastic()
				}
				for range 100 {
					m.act()
					if c.faults && rapid.IntRange(0, 9).Draw(t, "fault") == 0 {
						m.fault()
					}
					if !c.memory { // which may be in pieces
						m.checkSlots()
					}
					if c.elastic {
						m.checkWanted()
					}
					m.checkMemory()
					m.checkWork()
					m.checkFills()
				}
				m.finish()
			})
		})
	}
}

// beCareful makes a purchase careful with all its parts.
func (m *market) beCareful(p *purchase) {
	for _, q := range m.bought {
		q.careful = q == p || q.parent == p || p.parent != nil && (q == p.parent || q.parent == p.parent)
	}
}

// fault takes a replica away or brings it back; one that is shared stays, or a standby.
func (m *market) fault() {
	r := m.replicas[rapid.IntRange(0, len(m.replicas)-1).Draw(m.t, "replica")]
	up := 0
	for _, o := range m.replicas {
		if o.up && o.owner == nil {
			up++
		}
	}
	if r.up && r.owner == nil && up == 1 || r.standby {
		return
	}
	kind := EventReplicaUp
	if r.up = !r.up; !r.up {
		kind = EventReplicaDown
	}
	m.step(Event{Kind: kind, Replica: r.id})
}

// finish brings all calls to their end.
func (m *market) finish() {
	for range 2000 {
		m.now += Instant(time.Second)
		c := m.pick("last", func(c *customer) bool { return c.running })
		switch {
		case c == nil && len(m.order) == 0:
			if m.s.InFlight() != 0 {
				m.t.Fatalf("%d calls are left", m.s.InFlight())
			}
			m.idle()
			return
		case c == nil && m.commonCapacity()[0] > 0 && !m.memory:
			m.t.Fatalf("%d calls wait, and nothing runs", len(m.order))
		case c == nil: // all is sold, or the call is too large
			m.step(Event{Kind: EventCancel, Call: m.order[0]})
		case c.recalled:
			m.free(c)
		default:
			m.produce(c, 0, true)
		}
	}
	m.t.Fatal("there is no end")
}

// idle says that nothing is left behind.
func (m *market) idle() {
	p, _ := m.s.Pool(poolID)
	if p.Common != 0 || p.Lent != 0 || p.Recalled != 0 || p.Entitled != 0 || p.Overflow != 0 || p.Waiting != 0 || p.Busy != 0 {
		m.t.Fatalf("an idle pool has %+v", p)
	}
	for id := CallID(1); id <= m.next; id++ {
		if m.ended[id] != 1 {
			m.t.Fatalf("call %d ended %d times", id, m.ended[id])
		}
	}
}
