package capacity

import (
	"math"
	"time"

	"forebay/capacity/scale"
)

// list is a doubly linked list of calls.
type list struct{ head, tail int32 }

func (l *list) push(calls *callSlab, ci int32) {
	c := calls.at(ci)
	c.prev, c.next = l.tail, 0
	if l.tail != 0 {
		calls.at(l.tail).next = ci
	} else {
		l.head = ci
	}
	l.tail = ci
}

func (l *list) remove(calls *callSlab, ci int32) {
	c := calls.at(ci)
	if c.prev != 0 {
		calls.at(c.prev).next = c.next
	} else {
		l.head = c.next
	}
	if c.next != 0 {
		calls.at(c.next).prev = c.prev
	} else {
		l.tail = c.prev
	}
	c.prev, c.next = 0, 0
}

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

// requeuedScan bounds how many calls that were queued again are looked at for one that can be placed.
const requeuedScan = 16

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

// checkPool says whether the pool of the call's lane takes it, now or into its queue.
func (s *State) checkPool(c *call) verdict {
	p := &s.pools.items[c.pool]
	if why := s.barred(p, c); why != ReasonNone {
		return verdict{reason: why}
	}
	if v := s.whileDown(p, c); v.reason != ReasonNone {
		return v
	}
	late := c.deadline != 0 && c.deadline <= s.now
	if s.canStart(p, c) && !late {
		return verdict{}
	}
	if v := s.overQuota(p, c); v.reason != ReasonNone {
		return v
	}
	wait := s.expectedWait(c)
	v := estimate(wait)
	lane := &c.lanes[c.lane]
	bounded := c.reservation == 0 // what is within a purchase waits as long as it must
	switch {
	case bounded && !s.hasRoom(p, c):
		v.reason = ReasonQueueFull
	case late || bounded && c.deadline != 0 && s.now.add(wait) >= c.deadline:
		v.reason = ReasonDeadline
	case lane.MaxWait > 0 && wait > lane.MaxWait && lane.Spill&SpillOverLatency != 0 && c.lane+1 < c.numLanes:
		v.reason = ReasonLatency
	default:
		return verdict{}
	}
	return v
}

// canStart says whether the call would be admitted at once.
func (s *State) canStart(p *pool, c *call) bool {
	if c.seated() {
		if i := s.outerOf(c); i != 0 && s.nodes.items[i].waits() > 0 {
			return false
		}
	} else {
		for t := range p.queues[:c.tier+1] {
			if Tier(t) == TierReserved && c.class == classFirm {
				if p.overflow > 0 {
					return false
				}
			} else if p.queues[t][c.class].waiting > 0 {
				return false
			}
		}
	}
	if !s.mayStart(p, c) {
		return false
	}
	ri, _ := s.find(p, c)
	return ri != 0
}

// barred says why the pool as it stands never serves the call, however long that waits: it has failed on as many replicas as it may, or on all
// that serve it, none serves it at all, or the call is a firm one under quota, for which purchases leave no slot, or too little memory, or it is one of a purchase that is too large for that and all that is
// common. A pool that can grow bars only the first; one that was removed is as if it had never been, and a purchase that has ended likewise.
func (s *State) barred(p *pool, c *call) Reason {
	switch {
	case p.removed:
		return ReasonUnknown
	case s.exhausted(c):
		return ReasonReplicasFailed
	case p.elastic():
		return ReasonNone
	case !s.served(p, c):
		if c.numFailed > 0 && p.up > 0 {
			return ReasonReplicasFailed
		}
		return ReasonNoReplica
	case c.preemptible:
		return ReasonNone
	case c.reservation != 0 && !s.reservations.items[c.reservation].removed:
		if s.oversized(p, c) {
			return ReasonMemory
		}
		return ReasonNone
	}
	limit, bounded := p.commonRoom()
	switch {
	case p.sold.slots > 0 && limit.slots == 0:
		return ReasonSoldOut
	case !p.sold.kv.zero() && bounded && limit.kv.less(p.occupies(c).kv):
		return ReasonMemory
	default:
		return ReasonNone
	}
}

// short says whether purchases leave work under quota so little that it may be barred.
func (p *pool) short() bool {
	limit, bounded := p.commonRoom()
	return p.sold.slots > 0 && limit.slots == 0 || !p.sold.kv.zero() && bounded && limit.kv.less(wide{lo: uint64(p.memory)})
}

// roomFactor is how many times the free part of the queue one account may occupy: 8/9 of the queue if it is alone, and
// with n accounts that flood it, 1/(1+8n) stays free for others.
// Source: Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", 1998.
const roomFactor = 8

// hasRoom says whether one more call of the account may wait. What waits within a purchase takes no room.
func (s *State) hasRoom(p *pool, c *call) bool {
	reserved := &p.queues[TierReserved]
	free := int64(p.MaxQueue) - int64(p.waiting-reserved[classFirm].waiting-reserved[classLent].waiting)
	if free <= 0 {
		return false
	}
	own := int32(0)
	if i := s.tenantByKey[tenantKey{c.pool, c.account}]; i != 0 {
		own = s.tenants.items[i].waiting
	}
	return int64(own) < roomFactor*free
}

// never is a wait for what does not come.
const never = time.Duration(math.MaxInt64)

// estimate is a verdict that tells of an expected wait.
func estimate(wait time.Duration) verdict {
	if wait == never {
		wait = 0
	}
	return verdict{retryAfter: wait, estimated: true}
}

// expectedWait estimates how long the call would wait in the pool of its lane: the calls that would be served
// before it, times the time that one occupies a slot, over the slots that it shares with them.
func (s *State) expectedWait(c *call) time.Duration {
	p := &s.pools.items[c.pool]
	slots := p.slots
	switch {
	case c.reservation != 0:
		own, left := s.ownSlots(c)
		if s.ahead(p, c) < int64(left) {
			return 0 // but for a recall
		}
		slots = own
	case !c.preemptible && p.sold.slots > 0:
		limit, _ := p.commonRoom()
		if slots = limit.slots; slots == 0 && !p.elastic() {
			return never
		}
	}
	work := mul(uint64(s.ahead(p, c)+1), uint64(p.service))
	return time.Duration(work.divUp(uint64(max(1, slots))))
}

// ownSlots returns how many slots the call's reservation has for calls like it, and how many of them none of its firm calls use.
func (s *State) ownSlots(c *call) (own, left int32) {
	r := &s.reservations.items[c.reservation]
	if k := s.ownRack(c); k != nil {
		if f := &s.reservations.items[s.ownerOf(c.reservation)]; f.apart.given > 0 {
			part := s.slotsApart(r)
			return part + f.undividedApart(), max(0, part-r.apart.use) + f.left()
		}
		return k.slots, k.slots - (k.busy - k.borrowed)
	}
	f := r
	if r.parent != 0 {
		f = &s.reservations.items[r.parent]
		own, left = r.backing().slots, max(0, r.backing().slots-r.use.slots)
	}
	return own + f.backing().minus(f.divided).slots, left + f.undivided().slots
}

// ahead estimates how many waiting calls would be served before a new call: all of higher tiers, those queued again, and of the
// accounts in its own queue, each as many as its own account has waiting, and one. Before one of a reservation are those of the reservation.
func (s *State) ahead(p *pool, c *call) int64 {
	own := int64(0)
	if i := s.outerOf(c); i != 0 {
		own = int64(s.nodes.items[i].waits())
	}
	if c.seated() {
		return own
	}
	var n int64
	for t := range p.queues[:c.tier] {
		n += int64(p.queues[t][classFirm].waiting) + int64(p.queues[t][classLent].waiting)
	}
	q := &p.queues[c.tier][c.class]
	fair := min(math.MaxInt32, (own+1)*int64(len(q.active)))
	return n + min(int64(q.waiting), fair)
}

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
