package capacity

import (
	"cmp"
	"slices"
)

// What is stranded. A call does not wait for what will not come: it is refused, or goes on to the next lane of its route.

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

// stranded refuses what waits in a pool that bars it, or lets it go on to the next lane of its route. As long as a replica that is nobody's in
// particular is up, and purchases leave something, only calls that have failed somewhere can be barred.
func (s *State) stranded(pi int32) {
	p := &s.pools.items[pi]
	if p.elastic() || p.waiting == 0 {
		return
	}
	var list []int32
	switch {
	case p.shared.up+p.standby.up == 0 || p.short():
		list = s.waitingIn(func(c *call) bool { return c.pool == pi })
	case len(p.scarred) > 0:
		list = s.inOrder(slices.Clone(p.scarred))
	}
	for _, ci := range list {
		if s.calls.at(ci).state != callWaiting {
			continue // one before it has gone on to a lane of the same pool, where it came next
		}
		if why := s.barred(&s.pools.items[pi], s.calls.at(ci)); why != ReasonNone {
			s.dequeue(ci)
			s.nextLane(ci, verdict{reason: why})
		}
	}
}

// waitingIn returns the waiting calls that are chosen, by tier and then in the order in which they were queued.
func (s *State) waitingIn(chosen func(c *call) bool) []int32 {
	var list []int32
	for i := range s.calls.n {
		if c := s.calls.at(i); c.state == callWaiting && chosen(c) {
			list = append(list, i)
		}
	}
	return s.inOrder(list)
}

// inOrder sorts calls by tier and then in the order in which they were queued.
func (s *State) inOrder(list []int32) []int32 {
	slices.SortFunc(list, func(a, b int32) int {
		x, y := s.calls.at(a), s.calls.at(b)
		return cmp.Or(cmp.Compare(x.tier, y.tier), cmp.Compare(x.order, y.order))
	})
	return list
}

// nextLane moves a call that is in no queue and has no slot to the next lane of its route, if the present lane's rule
// covers the reason; else it is refused.
func (s *State) nextLane(ci int32, v verdict) {
	c := s.calls.at(ci)
	if c.lane+1 >= c.numLanes || !c.lanes[c.lane].Spill.covers(v.reason) {
		s.reject(ci, v)
		return
	}
	s.releaseHolds(ci)
	s.leaveFair(c)
	s.spill(c, c.lane+1, v)
	s.offer(ci, c.lane+1)
}
