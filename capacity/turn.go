package capacity

// Whose turn it is: reservations with slots of their own, then tier by tier those that were queued again, and by fairness.

// requeuedScan bounds how many calls that were queued again are looked at for one that can be placed.
const requeuedScan = 16

// pump admits waiting calls while there are slots for them, then asks back slots that are lent, and adjusts the wish for
// replicas. subject is a call that has just been queued, if any.
func (s *State) pump(pi, subject int32) {
	for {
		p := &s.pools.items[pi]
		if p.waiting <= 0 || p.shared.free <= 0 && p.standby.free <= 0 && p.owned.free <= 0 {
			break
		}
		ci, ri, placed := s.nextCall(p)
		if ci == 0 {
			break
		}
		s.dequeue(ci)
		s.admit(ci, ri, placed)
	}
	s.recall(pi, subject)
	s.awaitQuota(pi)
	s.scale(pi)
	s.forgetPool(pi)
}

// nextCall picks the call to be admitted next, and its replica. A call at the front that fits nowhere now, for lack of
// memory or quota, keeps those after it back, so that it is not starved, but not what other reservations are entitled to; one that waits for
// replicas of its own only what would be lent these (see awaited), and one that only avoids the replicas with free slots nobody.
func (s *State) nextCall(p *pool) (next, ri int32, placed Placement) {
	blocked := false
	s.inTurn(p, func(ci int32) bool {
		c := s.calls.at(ci)
		entitled := c.seated() && s.nodes.items[s.reservations.items[c.reservation].node].seat < seatOverflow
		if blocked && !entitled {
			return false
		}
		if ri, placed = s.find(p, c); ri != 0 {
			next = ci
			return false
		}
		if entitled && s.ownRack(c) != nil {
			return true
		}
		blocked = blocked || s.lacksMemory(p, c) || s.quotaRoom(p, c) != 0
		return entitled || !blocked
	})
	return next, ri, placed
}

// inTurn calls visit with the calls that can be next and may have a slot, in the order of service, until it returns false.
func (s *State) inTurn(p *pool, visit func(ci int32) bool) {
	on := true
	visitAny := func(ci int32) bool {
		on = visit(ci)
		return on
	}
	s.eachSeated(p.seats[seatIsolated], visitAny)
	if on {
		_, bounded := p.commonRoom()
		s.eachSeated(p.seats[seatEntitled], func(ci int32) bool {
			if bounded && !s.mayStart(p, s.calls.at(ci)) {
				return true // it needs more memory than the one by which its reservation is entitled
			}
			return visitAny(ci)
		})
	}
	if !on {
		return
	}
	firm := true // calls that need common capacity may have some
	visitFirm := func(ci int32) bool {
		if firm = s.mayStart(p, s.calls.at(ci)); firm {
			on = visit(ci)
		}
		return firm && on
	}
	s.eachSeated(p.seats[seatOverflow], func(ci int32) bool { return s.tooLarge(p, s.calls.at(ci)) || visitFirm(ci) })
	for t := range p.queues {
		q := &p.queues[t]
		if q[classFirm].waiting+q[classLent].waiting == 0 {
			continue
		}
		first, second := classFirm, classLent
		if s.older(&q[classLent], &q[classFirm]) {
			first, second = second, first
		}
		for _, k := range [2]class{first, second} {
			switch {
			case !on:
				return
			case k == classLent:
				s.front(&q[k], visitAny)
			case firm && Tier(t) != TierReserved:
				s.front(&q[k], visitFirm)
			}
		}
	}
}

// older says whether the call at the front of a queue was queued before that at the front of another.
func (s *State) older(a, b *tierQueue) bool {
	x, y := s.first(a), s.first(b)
	return x != 0 && (y == 0 || s.calls.at(x).order < s.calls.at(y).order)
}

func (s *State) first(q *tierQueue) int32 {
	if q.requeued.head != 0 {
		return q.requeued.head
	}
	return s.headFair(q)
}

// front calls visit with the calls of a queue that can be next, until it returns false: those queued again, of which each may avoid
// other replicas, and the one whose turn it is by fairness.
func (s *State) front(q *tierQueue, visit func(ci int32) bool) {
	ci := q.requeued.head
	for range requeuedScan {
		if ci == 0 {
			break
		}
		next := s.calls.at(ci).next
		if !visit(ci) {
			return
		}
		ci = next
	}
	if ci = s.headFair(q); ci != 0 {
		visit(ci)
	}
}
