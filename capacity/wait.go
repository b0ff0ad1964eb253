package capacity

import (
	"math"
	"time"
)

// How long calls are expected to wait.

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
