package capacity

// Quotas of replicas. What stands behind a replica may be rented: its owner takes so many requests and tokens a minute. Which of several
// replicas a call gets is known when it starts, so that it holds on the quota of that one then, and is settled there. It starts where there is
// room; when no replica that serves it has any, it is refused as by a limit of its lane, and what waits already is woken when there is room again.
//
// An attempt that failed, or was recalled, counts as a request to its replica, and gives the tokens back, whether it is followed by another or not.

// numQuotas is how many buckets a replica's quota has.
const numQuotas = 2

// rent makes a replica's quota the buckets that are named, and says whether they are known.
func (s *State) rent(x *replica, quota [numQuotas]BucketID) bool {
	var buckets [numQuotas]int32
	for k, id := range quota {
		if buckets[k] = s.bucketByID[id]; (buckets[k] == 0) != (id == 0) {
			return false
		}
	}
	for _, bi := range buckets {
		if bi != 0 {
			s.buckets.items[bi].refs++
		}
	}
	s.unrent(x)
	x.quotas = buckets
	return true
}

func (s *State) unrent(x *replica) {
	for k, bi := range x.quotas {
		if x.quotas[k] = 0; bi != 0 {
			s.buckets.items[bi].refs--
			s.forgetBucket(bi)
		}
	}
}

// rented says whether the replica has a quota.
func (r *replica) rented() bool { return r.quotas != [numQuotas]int32{} }

// withinQuota says whether the replica's quota has room for the call now.
func (s *State) withinQuota(r *replica, c *call) bool {
	return !r.rented() || s.quotaRefusal(r, c).reason == ReasonNone
}

// quotaRefusal says why the replica's quota has no room for the call now. It changes nothing, because which replicas are looked at depends on
// how they lie in memory.
func (s *State) quotaRefusal(r *replica, c *call) (worst verdict) {
	for _, bi := range r.quotas {
		if bi == 0 {
			continue
		}
		b := &s.buckets.items[bi]
		want := c.holdOf(b.Measure)
		if b.fits(s.now, want) {
			continue
		}
		if v := b.refusal(s.now, want); v.worse(worst) {
			worst = v
		}
	}
	return worst
}

// eachUsable calls visit with the replicas that are up and serve the call sooner or later, until it returns false.
func (s *State) eachUsable(p *pool, c *call, visit func(r *replica) bool) {
	primary := s.primaryUp(p, c)
	for _, ri := range p.replicas {
		r := &s.replicas.items[ri]
		switch {
		case !r.up || c.hasFailedOn(r.ID):
		case r.Standby && primary || !r.Standby && !s.open(c, r):
		case !visit(r):
			return
		}
	}
}

// overQuota is noQuota for a call that is refused for it.
func (s *State) overQuota(p *pool, c *call) verdict {
	v := s.noQuota(p, c)
	if i := s.bucketByID[v.bucket]; i != 0 {
		s.buckets.items[i].stats.refusals++
	}
	return v
}

// noQuota says why no replica has quota left for the call: the answer of the one that has some again first.
func (s *State) noQuota(p *pool, c *call) (best verdict) {
	if p.rented == 0 {
		return verdict{}
	}
	s.eachUsable(p, c, func(r *replica) bool {
		v := s.quotaRefusal(r, c)
		if best.reason == ReasonNone || best.worse(v) {
			best = v
		}
		return v.reason != ReasonNone
	})
	return best
}

// quotaRoom returns when a replica with a free slot, but no quota for the call, has room in it; 0 if there is none, or never will be.
func (s *State) quotaRoom(p *pool, c *call) (at Instant) {
	if p.rented == 0 {
		return 0
	}
	s.eachUsable(p, c, func(r *replica) bool {
		if r.busy >= r.Slots {
			return true
		}
		if v := s.quotaRefusal(r, c); v.retryAfter > 0 {
			if then := s.now.add(v.retryAfter); at == 0 || then < at {
				at = then
			}
		}
		return true
	})
	return at
}

// waitsForQuota says whether the call waits for quota, so that a slot more would not help it.
func (s *State) waitsForQuota(p *pool, c *call) bool {
	return s.quotaRoom(p, c) != 0 || s.noQuota(p, c).reason != ReasonNone
}

// holdQuota holds what a call that starts takes of its replica's quota.
func (s *State) holdQuota(ci int32, r *replica) {
	c := s.calls.at(ci)
	c.quoted = true
	for k, bi := range r.quotas {
		if bi == 0 {
			continue
		}
		b := &s.buckets.items[bi]
		b.drain(s.now)
		h := &c.quota[k]
		h.bucket, h.amount, h.held = bi, c.holdOf(b.Measure), true
		h.layer = b.hold(h.amount)
		b.refs++
	}
}

// settleQuota replaces what a call holds of its replica's quota by a charge.
func (s *State) settleQuota(c *call, charge func(Measure, int64) (charge, plain int64)) {
	if !c.quoted {
		return
	}
	c.quoted = false
	for k := range c.quota {
		h := &c.quota[k]
		if !h.held {
			continue
		}
		b := &s.buckets.items[h.bucket]
		b.drain(s.now)
		x, plain := charge(b.Measure, h.amount)
		b.settle(h.layer, h.amount, x, plain)
		b.refs--
		s.forgetBucket(h.bucket)
		*h = bucketHold{}
	}
}

// leaveQuota ends an attempt of a call that goes on elsewhere, or later.
func (s *State) leaveQuota(c *call) {
	s.settleQuota(c, func(m Measure, held int64) (int64, int64) {
		if m == MeasureRequests {
			return held, held
		}
		return 0, 0
	})
}

// awaitQuota notes when the calls that are next in a pool have quota for a slot that is free.
func (s *State) awaitQuota(pi int32) {
	p := &s.pools.items[pi]
	if p.rented == 0 && p.wakes == 0 {
		return
	}
	at := Instant(0)
	if p.waiting > 0 {
		s.inTurn(p, func(ci int32) bool {
			if then := s.quotaRoom(p, s.calls.at(ci)); then != 0 && (at == 0 || then < at) {
				at = then
			}
			return true
		})
	}
	switch {
	case at == 0:
		s.stopWaking(pi)
	case p.wakes == 0:
		s.waking = append(s.waking, pi)
	}
	p.wakes = at
}

func (s *State) stopWaking(pi int32) {
	s.pools.items[pi].wakes = 0
	for k, x := range s.waking {
		if x == pi {
			s.waking = append(s.waking[:k], s.waking[k+1:]...)
			return
		}
	}
}

// wakePools lets the calls go on that have waited for quota until now.
func (s *State) wakePools() {
	for k := 0; k < len(s.waking); {
		pi := s.waking[k]
		if s.pools.items[pi].wakes > s.now {
			k++
			continue
		}
		s.stopWaking(pi)
		s.pump(pi, 0)
		k = 0 // what waits still has a later time
	}
}
