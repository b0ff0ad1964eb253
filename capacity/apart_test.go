package capacity

import (
	"slices"

	"pgregory.net/rapid"
)

// own sells a purchase with one or two replicas of its own, which its parts divide.
func (m *market) own(sell func(parent *purchase, most amounts) *purchase) {
	p := sell(nil, amounts{})
	inside := amounts{}
	for range rapid.IntRange(1, 2).Draw(m.t, "own replicas") {
		r := m.machine(rapid.Int64Range(1, 4).Draw(m.t, "own slots"), p)
		m.replicas, inside = append(m.replicas, r), inside.plus(amounts{r.slots, 0})
	}
	for range rapid.IntRange(1, 3).Draw(m.t, "parts of its own") {
		inside = inside.minus(sell(p, inside).backing)
	}
}

// shared is what backs a reservation of the shared replicas: nothing, for a part of a purchase that has nothing there.
func (p *purchase) shared() amounts {
	if p.parent != nil && p.parent.backing[0] == 0 {
		return amounts{0, p.backing[1]}
	}
	return p.backing
}

// slotsApart are the slots of a part on its purchase's own replicas.
func (p *purchase) slotsApart() int64 { return p.backing[0] - p.shared()[0] }

// undivided is how many firm calls use what no part has of a purchase's own replicas that are up, and how many may; bounded is whether parts have some.
func (m *market) undivided(p *purchase) (used, most int64, bounded bool) {
	for _, id := range m.order {
		if c := m.calls[id]; c.running && !c.recallable && c.on.up && c.on.owner == p && (c.of == nil || c.of.parent != p) {
			used++
		}
	}
	for _, r := range m.replicas {
		if r.up && r.owner == p {
			most += r.slots
		}
	}
	for _, part := range m.bought {
		if part.parent == p {
			used += max(0, m.useApart(part)-part.slotsApart())
			most -= part.slotsApart()
			bounded = bounded || part.slotsApart() > 0
		}
	}
	return used, max(1, most), bounded
}

// useApart is how many firm calls of a part run on its purchase's own replicas that are up.
func (m *market) useApart(part *purchase) (n int64) {
	for _, id := range m.order {
		if c := m.calls[id]; c.of == part && c.running && !c.recallable && c.on.up && c.on.owner == part.parent {
			n++
		}
	}
	return n
}

// claims is how many calls wait that may have slots of a purchase's own replicas.
func (m *market) claims(p *purchase) (n int64) {
	rest := m.waiting(p)
	for _, part := range m.bought {
		if part.parent == p && !m.owns(part) {
			w := m.waiting(part)
			own := min(w, max(0, part.slotsApart()-m.useApart(part)))
			n, rest = n+own, rest+w-own
		}
	}
	used, most, bounded := m.undivided(p)
	if !bounded {
		return n + rest
	}
	return n + min(rest, max(0, most-used))
}

// owns says whether a reservation itself has a replica that is up.
func (m *market) owns(p *purchase) bool {
	return slices.ContainsFunc(m.replicas, func(r *machine) bool { return r.up && r.owner == p })
}
