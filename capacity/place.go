package capacity

// fits says whether the replica can take the call now. A call too large for the memory runs alone.
func (r *replica) fits(c *call) bool {
	if !r.up || r.busy >= r.Slots || c.hasFailedOn(r.ID) {
		return false
	}
	return r.KV == 0 || r.busy == 0 || !wide{lo: uint64(r.KV)}.less(r.kvUsed.add(wide{lo: uint64(c.tokens())}))
}

// tokens is the memory that a call may occupy.
func (c *call) tokens() int64 { return sum(sum(c.input, c.cacheWrite), c.maxOutput) }

// find returns the replica on which the call would start now, 0 for none: of those that are its reservation's, or that the pool shares, or,
// for a call that can be recalled, are idle and somebody else's; a standby only for lack of others. Among these it is the one that served its
// prefix last, unless that is loaded beyond the bound; else the one with the least load for its weight.
func (s *State) find(p *pool, c *call) (int32, Placement) {
	near := s.affine(p, c)
	own := s.ownRack(c)
	if own != nil {
		if ri, placed := s.findIn(own, c, near, PlacedLeastLoad); ri != 0 || !c.preemptible {
			return ri, placed
		}
	}
	if ri, placed := s.findIn(&p.shared, c, near, PlacedLeastLoad); ri != 0 {
		return ri, placed
	}
	if c.preemptible {
		if ri, placed := s.findIn(&p.owned, c, near, PlacedLent); ri != 0 {
			return ri, placed
		}
	}
	if p.standby.free > 0 && !s.primaryUp(p, c) {
		return s.findIn(&p.standby, c, 0, PlacedStandby)
	}
	return 0, PlacedNowhere
}

// findIn returns the replica of a rack on which the call would start now, which is near if that is one of them, and why.
func (s *State) findIn(k *rack, c *call, near int32, why Placement) (int32, Placement) {
	if k.free <= 0 {
		return 0, PlacedNowhere
	}
	if near != 0 && k.open.has(near) {
		if why != PlacedLent {
			why = PlacedPrefix
		}
		return near, why
	}
	ri := k.open.lightest(s.replicas.items, func(r *replica) bool { return r.fits(c) && s.mayGo(c, r) })
	if ri == 0 {
		why = PlacedNowhere
	}
	return ri, why
}

// mayGo says whether a call may go to a replica of a rack that is open to it, if that has room for it.
func (s *State) mayGo(c *call, r *replica) bool {
	return !c.hasFailedOn(r.ID) && s.withinQuota(r, c) && (!c.preemptible || !s.awaited(r))
}

// upFor counts the replicas that serve the call sooner or later.
func (s *State) upFor(p *pool, c *call) (primary, standby int32) {
	own := s.ownRack(c)
	switch {
	case own != nil && !c.preemptible:
		primary = own.up
	case c.preemptible:
		primary, standby = p.shared.up+p.owned.up, p.standby.up
	default:
		primary, standby = p.shared.up, p.standby.up
	}
	for _, id := range c.failed[:c.numFailed] {
		ri := s.replicaByID[id]
		if ri == 0 {
			continue
		}
		switch r := &s.replicas.items[ri]; {
		case !r.up || r.pool != c.pool:
		case r.Standby:
			standby--
		case s.open(c, r):
			primary--
		}
	}
	return primary, max(0, standby)
}

// open says whether a replica that is no standby is there for the call.
func (s *State) open(c *call, r *replica) bool {
	if c.preemptible {
		return true
	}
	if s.ownRack(c) == nil {
		return r.Reservation == 0
	}
	own := &s.reservations.items[c.reservation]
	return r.Reservation == own.ID || r.Reservation == own.Parent && own.own.up == 0
}

// primaryUp says whether a replica that is no standby serves the call sooner or later.
func (s *State) primaryUp(p *pool, c *call) bool {
	primary, _ := s.upFor(p, c)
	return primary > 0
}

// served says whether any replica serves the call sooner or later.
func (s *State) served(p *pool, c *call) bool {
	primary, standby := s.upFor(p, c)
	return primary+standby > 0
}

// lacksMemory says whether a replica that the call may use has a slot for it, but no room in its memory. It fits nowhere.
func (s *State) lacksMemory(p *pool, c *call) bool {
	racks := [3]*rack{&p.shared}
	own := s.ownRack(c)
	switch {
	case c.preemptible:
		racks[1] = &p.owned
	case own != nil:
		racks[0] = own
	}
	if p.standby.free > 0 && !s.primaryUp(p, c) {
		racks[2] = &p.standby
	}
	for _, k := range racks {
		if k != nil && k.open.lightest(s.replicas.items, func(r *replica) bool { return s.mayGo(c, r) }) != 0 {
			return true
		}
	}
	return false
}
