package capacity

import "forebay/capacity/scale"

// A market may be elastic: so many slots on a replica, and at most so many of them wanted.
const (
	marketSlots = 2
	marketMost  = 6
)

// beElastic makes the pool follow its calls at once.
func (m *market) beElastic() {
	g := Scaling{Pool: poolID, Rules: scale.Rules{Max: marketMost, Slots: marketSlots, Follow: true}}
	m.step(Event{Kind: EventConfigure, Config: &Config{Scalings: []Scaling{g}}})
}

// checkWanted says how many replicas are wanted: as many as all calls have slots on or, if that is more, as many as back what is sold, with whole
// replicas where those are sold, and have a common slot for each firm call that uses or needs one.
func (m *market) checkWanted() {
	sold, firm, calls := int64(0), m.commonUse()[0], int64(len(m.order))
	for _, p := range m.bought {
		if p.parent == nil {
			sold += p.backing[0]
		}
	}
	for _, r := range m.replicas {
		if r.owner != nil {
			sold += r.slots
		}
	}
	for _, id := range m.order {
		if c := m.calls[id]; !c.running && !c.recallable && (c.of == nil || !m.isolated(c.of)) {
			firm++
		}
	}
	firm -= m.due()
	want := calls
	if sold > 0 {
		want = max(calls, sold+firm)
	}
	if want = min((want+marketSlots-1)/marketSlots, marketMost); m.wanted != want {
		m.t.Fatalf("%d replicas are wanted, want %d: %d calls, %d slots sold, %d firm calls beside", m.wanted, want, calls, sold, firm)
	}
}
