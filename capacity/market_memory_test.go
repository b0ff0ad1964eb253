package capacity

import "slices"

// checkMemory says that of isolated replicas whose owner waits for a slot or for memory, what is lent comes back.
func (m *market) checkMemory() {
	for _, p := range m.bought {
		if _, lent, recalled := m.slots(p); m.owns(p) && m.claims(p) > 0 && lent > 0 && recalled == 0 {
			m.t.Fatalf("%d calls wait for isolated replicas, where %d calls are lent to, and none is recalled", m.claims(p), lent)
		}
	}
}

// checkWork says that not all calls wait that could start: those that wait for something that is not there keep nobody else back for ever,
// and calls for isolated replicas nobody for shared ones.
func (m *market) checkWork() {
	some := false
	for _, id := range m.order {
		c := m.calls[id]
		if c.running || c.of != nil && !c.recallable && m.isolated(c.of) {
			continue
		}
		if some = true; !m.couldStart(c) {
			return
		}
	}
	if some {
		m.t.Fatal("calls wait for shared replicas, of which each could start")
	}
}

// couldStart says whether a waiting call could have a shared slot now.
func (m *market) couldStart(c *customer) bool {
	for _, r := range m.replicas {
		if m.shared(r) && m.hasRoom(r, c) && (c.recallable || m.keeps(c)) {
			return true
		}
	}
	return false
}

// hasRoom says whether a replica has a slot and memory for a call.
func (m *market) hasRoom(r *machine, c *customer) bool {
	used, busy := int64(0), m.busy(r)
	for _, id := range m.order {
		if o := m.calls[id]; o.running && o.on == r {
			used += o.memory()
		}
	}
	return r.up && busy < r.slots && (r.kv == 0 || busy == 0 || used+c.input+c.maxOutput <= r.kv)
}

// keeps says whether common use would keep to its capacity with a firm call more, wherever that goes.
func (m *market) keeps(c *customer) bool {
	before, capacity := m.commonUse(), m.commonCapacity()
	c.running, c.on = true, &machine{up: true, standby: !m.primary()}
	for _, r := range m.replicas {
		c.on.kv = max(c.on.kv, r.kv)
	}
	after := m.commonUse()
	c.running, c.on = false, nil
	for k := range after {
		if after[k] > before[k] && after[k] > capacity[k] {
			return false
		}
	}
	return true
}

// checkLent says that a call goes to a replica that is isolated for another only for lack of shared ones.
func (m *market) checkLent(c *customer, on *machine) {
	if on.owner == nil || c.of != nil && slices.Contains(c.of.family(), on.owner) {
		return
	}
	for _, r := range m.replicas {
		if m.shared(r) && m.hasRoom(r, c) {
			m.t.Fatalf("call %d goes to replica %d, which is isolated, and shared replica %d has room for it", c.id, on.id, r.id)
		}
	}
}

// oversized says whether a firm call of a reservation would take up more memory than that and the common have, alone.
func (m *market) oversized(c *customer) bool {
	if !m.memory || c.recallable || m.isolated(c.of) {
		return false
	}
	most := int64(0)
	for _, r := range m.replicas {
		most = max(most, r.kv)
	}
	of, x := c.of, min(c.input+c.maxOutput, most)
	if of.parent != nil {
		x = max(0, x-of.backing[1])
		of = of.parent
	}
	inside := of.backing[1]
	for _, p := range m.bought {
		if p.parent == of {
			inside = max(0, inside-p.backing[1])
		}
	}
	return of.backing[1] > 0 && x-inside > m.commonCapacity()[1]
}

// checkPrefix says that no replica has more calls for the sake of a prefix than a quarter above the mean of its kind, rounded up.
func (m *market) checkPrefix(c *customer, placed Placement) {
	if placed != PlacedPrefix {
		return
	}
	calls, replicas := int64(0), int64(0)
	for _, r := range m.replicas {
		if r.up && r.owner == c.on.owner && r.standby == c.on.standby {
			calls, replicas = calls+m.busy(r), replicas+1
		}
	}
	if most := (5*calls + 4*replicas - 1) / (4 * replicas); m.busy(c.on) > most {
		m.t.Fatalf("%d calls on a replica for a prefix, of %d on %d: at most %d", m.busy(c.on), calls, replicas, most)
	}
}
