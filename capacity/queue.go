package capacity

import "forebay/capacity/scale"

// class parts the calls of a tier: those that cannot be recalled wait in a queue of their own, so that one of them that needs common
// capacity does not keep the others from what is lent.
type class uint8

const (
	classFirm class = iota
	classLent

	numClasses = iota
)

// tierQueue is what waits in one tier and class of a pool: first the calls that were queued again, in that order,
// then the accounts by fairness. The firm calls of reservations have seats instead.
type tierQueue struct {
	group
	requeued list
	waiting  int32 // requeued ones included
}

// enqueue queues a call that holds what it must. again puts it ahead of those that have not been admitted yet.
func (s *State) enqueue(ci int32, again bool) {
	s.order++
	if c := s.calls.at(ci); again && !c.preemptible && c.class == classLent {
		s.harden(ci)
	}
	s.joinFair(ci)
	c := s.calls.at(ci)
	p := &s.pools.items[c.pool]
	c.state, c.queued, c.order, c.requeued = callWaiting, s.now, s.order, again
	q := &p.queues[c.tier][c.class]
	switch {
	case c.seated():
		s.pushSeated(ci, again)
	case again:
		q.requeued.push(&s.calls, ci)
	default:
		s.pushFair(q, ci)
	}
	q.waiting++
	p.waiting++
	p.mark(&s.calls, ci)
	c.waitEnds = c.deadline
	if again {
		s.chargeUnits(ci, c.unitInput, 0) // what the attempt before had produced is lost
	}
	if p.MaxWait > 0 && c.reservation == 0 {
		if end := s.now.add(p.MaxWait); c.waitEnds == 0 || end < c.waitEnds {
			c.waitEnds = end
		}
	}
	for _, end := range [2]Instant{c.moveOn(), s.holdEnds(p, c)} {
		if end != 0 && (c.waitEnds == 0 || end < c.waitEnds) {
			c.waitEnds = end
		}
	}
	if c.waitEnds != 0 {
		s.deadlines = s.deadlines.push(&s.calls, ci)
	}
}

// mark lists a call that waits if it has failed on a replica.
func (p *pool) mark(calls *callSlab, ci int32) {
	if c := calls.at(ci); c.numFailed > 0 {
		p.scarred = append(p.scarred, ci)
		c.scar = int32(len(p.scarred))
	}
}

// unmark undoes mark.
func (p *pool) unmark(calls *callSlab, c *call) {
	if c.scar == 0 {
		return
	}
	last := len(p.scarred) - 1
	moved := p.scarred[last]
	p.scarred[c.scar-1], calls.at(moved).scar = moved, c.scar
	p.scarred, c.scar = p.scarred[:last], 0
}

// moveOn returns when a waiting call leaves for the next lane because it waits for longer than its lane allows; 0 is never.
func (c *call) moveOn() Instant {
	lane := &c.lanes[c.lane]
	if lane.MaxWait <= 0 || lane.Spill&SpillOverLatency == 0 || c.lane+1 >= c.numLanes {
		return 0
	}
	return c.queued.add(lane.MaxWait)
}

// dequeue takes a waiting call out of its queue.
func (s *State) dequeue(ci int32) {
	c := s.calls.at(ci)
	p := &s.pools.items[c.pool]
	q := &p.queues[c.tier][c.class]
	switch {
	case c.seated():
		s.removeSeated(ci)
	case c.requeued:
		q.requeued.remove(&s.calls, ci)
	default:
		s.removeFair(q, ci)
	}
	q.waiting--
	p.waiting--
	p.unmark(&s.calls, c)
	if c.timer != 0 {
		s.deadlines = s.deadlines.remove(&s.calls, ci)
	}
}

// waitEnded ends the wait of a call whose limit has come, in its lane or at all.
func (s *State) waitEnded(ci int32) {
	c := s.calls.at(ci)
	pi := c.pool
	s.dequeue(ci)
	if c.deadline != 0 && c.deadline <= s.now {
		s.end(ci, ReasonExpired)
	} else {
		v := estimate(s.expectedWait(c))
		v.reason = ReasonWaited
		p := &s.pools.items[pi]
		switch end := c.moveOn(); {
		case end != 0 && end <= s.now:
			v.reason = ReasonLatency
		case p.up == 0 && p.scaling != nil:
			v = estimate(p.scaling.scaler.ReadyIn(scale.Instant(s.now)))
			v.reason = ReasonStarting
		}
		s.nextLane(ci, v)
	}
	s.pump(pi, 0)
}
