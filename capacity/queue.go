package capacity

import (
	"math"
	"time"
)

// list is a doubly linked list of calls.
type list struct{ head, tail int32 }

func (l *list) push(calls []call, ci int32) {
	c := &calls[ci]
	c.prev, c.next = l.tail, 0
	if l.tail != 0 {
		calls[l.tail].next = ci
	} else {
		l.head = ci
	}
	l.tail = ci
}

func (l *list) remove(calls []call, ci int32) {
	c := &calls[ci]
	if c.prev != 0 {
		calls[c.prev].next = c.next
	} else {
		l.head = c.next
	}
	if c.next != 0 {
		calls[c.next].prev = c.prev
	} else {
		l.tail = c.prev
	}
	c.prev, c.next = 0, 0
}

// tierQueue is what waits in one tier of a pool: first the calls that were queued again, in that order,
// then the accounts by fairness.
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
	s.joinFair(ci)
	c := &s.calls.items[ci]
	p := &s.pools.items[c.pool]
	c.state, c.queued, c.order, c.requeued = callWaiting, s.now, s.order, again
	q := &p.tiers[c.tier]
	if again {
		q.requeued.push(s.calls.items, ci)
	} else {
		s.pushFair(q, ci)
	}
	q.waiting++
	p.waiting++
	c.waitEnds = c.deadline
	if again {
		s.chargeUnits(ci, c.unitInput, 0) // what the attempt before had produced is lost
	}
	if p.MaxWait > 0 && c.reservation == 0 {
		if end := s.now.add(p.MaxWait); c.waitEnds == 0 || end < c.waitEnds {
			c.waitEnds = end
		}
	}
	if c.waitEnds != 0 {
		s.deadlines = heapPush(s.deadlines, s.calls.items, ci)
	}
}

// dequeue takes a waiting call out of its queue.
func (s *State) dequeue(ci int32) {
	c := &s.calls.items[ci]
	p := &s.pools.items[c.pool]
	q := &p.tiers[c.tier]
	if c.requeued {
		q.requeued.remove(s.calls.items, ci)
	} else {
		s.removeFair(q, ci)
	}
	q.waiting--
	p.waiting--
	if c.timer != 0 {
		s.deadlines = heapRemove(s.deadlines, s.calls.items, ci)
	}
}

// waitEnded ends the wait of a call whose limit has come.
func (s *State) waitEnded(ci int32) {
	c := &s.calls.items[ci]
	pi := c.pool
	s.dequeue(ci)
	if c.deadline != 0 && c.deadline <= s.now {
		s.end(ci, ReasonExpired)
	} else {
		s.reject(ci, verdict{reason: ReasonWaited, retryAfter: s.expectedWait(c), estimated: true})
	}
	s.pump(pi)
}

// checkPool says whether the pool of the call's lane takes it, now or into its queue.
func (s *State) checkPool(c *call) verdict {
	p := &s.pools.items[c.pool]
	if p.up == 0 && p.MaxReplicas <= 0 {
		return verdict{reason: ReasonNoReplica}
	}
	late := c.deadline != 0 && c.deadline <= s.now
	if s.canStart(p, c) && !late {
		return verdict{}
	}
	wait := s.expectedWait(c)
	v := verdict{retryAfter: wait, estimated: true}
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
	for t := range p.tiers[:c.tier+1] {
		if p.tiers[t].waiting > 0 {
			return false
		}
	}
	ri, _ := s.find(p, c)
	return ri != 0
}

// roomFactor is how many times the free part of the queue one account may occupy: 8/9 of the queue if it is alone, and
// with n accounts that flood it, 1/(1+8n) stays free for others.
// Source: Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", 1998.
const roomFactor = 8

// hasRoom says whether one more call of the account may wait.
func (s *State) hasRoom(p *pool, c *call) bool {
	free := int64(p.MaxQueue) - int64(p.waiting-p.tiers[TierReserved].waiting)
	if free <= 0 {
		return false
	}
	var own int64
	for t := range p.tiers {
		if n := s.nodeByKey[nodeKey{pool: c.pool, tier: Tier(t), account: c.account}]; n != 0 {
			own += int64(s.nodes.items[n].waiting)
		}
	}
	return own < roomFactor*free
}

// expectedWait estimates how long the call would wait in the pool of its lane: the calls that would be served
// before it, times the time that one occupies a slot, over the slots.
func (s *State) expectedWait(c *call) time.Duration {
	p := &s.pools.items[c.pool]
	work := mul(uint64(s.ahead(p, c)+1), uint64(p.service))
	return time.Duration(work.divUp(uint64(max(1, p.slots))))
}

// ahead estimates how many waiting calls would be served before a new call: all of higher tiers, those queued again, and of the
// accounts in its own tier, each as many as its own account has waiting, and one.
func (s *State) ahead(p *pool, c *call) int64 {
	var n int64
	for t := range p.tiers[:c.tier] {
		n += int64(p.tiers[t].waiting)
	}
	q := &p.tiers[c.tier]
	own := int64(0)
	if i := s.nodeByKey[c.outerKey()]; i != 0 {
		own = int64(s.nodes.items[i].waiting)
	}
	fair := min(math.MaxInt32, (own+1)*int64(len(q.active)))
	return n + min(int64(q.waiting), fair)
}

// pump admits waiting calls while there are slots for them, then asks back slots that are lent, and adjusts the wish for replicas.
func (s *State) pump(pi int32) {
	for {
		p := &s.pools.items[pi]
		if p.free <= 0 || p.waiting <= 0 {
			break
		}
		ci, ri, placed := s.nextCall(p)
		if ci == 0 {
			break
		}
		s.dequeue(ci)
		s.admit(ci, ri, placed)
	}
	s.recall(pi)
	s.wantReplicas(pi)
	s.forgetPool(pi)
}

// nextCall picks the call to be admitted next, and its replica. A call at the front that fits nowhere now, for lack of
// KV room, keeps the others back, so that it is not starved; one that only avoids the replicas with free slots does not.
func (s *State) nextCall(p *pool) (ci, ri int32, placed Placement) {
	for t := range p.tiers {
		q := &p.tiers[t]
		if q.waiting == 0 {
			continue
		}
		for ci = range s.front(q) {
			c := &s.calls.items[ci]
			if ri, placed = s.find(p, c); ri != 0 {
				return ci, ri, placed
			}
			if !c.requeued || s.lacksMemory(p, c) {
				return 0, 0, PlacedNowhere
			}
		}
	}
	return 0, 0, PlacedNowhere
}

// front yields the calls of a tier that can be next: those queued again, of which each may avoid other replicas, and the one
// whose turn it is by fairness.
func (s *State) front(q *tierQueue) func(yield func(int32) bool) {
	return func(yield func(int32) bool) {
		ci := q.requeued.head
		for range requeuedScan {
			if ci == 0 {
				break
			}
			if !yield(ci) {
				return
			}
			ci = s.calls.items[ci].next
		}
		if ci = s.headFair(q); ci != 0 {
			yield(ci)
		}
	}
}

// lacksMemory says whether a replica that the call may use has a slot for it, but no KV room.
func (s *State) lacksMemory(p *pool, c *call) bool {
	for _, ri := range p.replicas {
		if r := &s.replicas.items[ri]; r.busy < r.Slots && s.mayUse(p, c, r) {
			return true
		}
	}
	return false
}
