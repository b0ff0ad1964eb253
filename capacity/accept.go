package capacity

// Whether a pool takes a call into its queue: one that can start at once, or that there is room for and that is expected to start in time.

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
