package capacity

import (
	"cmp"
	"slices"
)

// Lending. What lies idle is lent to calls that can be recalled: those that have not begun to answer. When a call comes that has
// a better right to a slot and there is none, the newest of them on the replica where it would go best gives its own back. Its call is
// queued again when the engine has let go of it.
//
// A call under quota, or of a reservation beyond its own, asks for the slots of lower tiers only, and only if it may start itself.
// One that is entitled asks for any.

// recall asks for as many slots back as there are calls waiting for them that may have them; subject is a call that has
// just come, if any.
func (s *State) recall(pi, subject int32) {
	s.recallOwn(pi)
	p := &s.pools.items[pi]
	if p.waiting == 0 {
		return
	}
	if k := p.base(); k.borrowed > k.recalling {
		s.recallShared(p, k, subject)
	}
	if p.owned.borrowed > p.owned.recalling {
		s.recallLent(p)
	}
}

// recallShared asks for slots of the replicas that the pool shares.
func (s *State) recallShared(p *pool, k *rack, subject int32) {
	lowest := lowestOf(&k.lendable)
	if lowest == 0 || s.claims(p, lowest) <= k.recalling {
		return
	}
	if subject != 0 && s.calls.at(subject).state == callWaiting && &s.pools.items[s.calls.at(subject).pool] == p {
		if c := s.calls.at(subject); s.ownRack(c) == nil && s.mayStart(p, c) {
			s.recallFor(p, subject)
		}
	}
	s.inTurn(p, func(ci int32) bool {
		switch c := s.calls.at(ci); {
		case c.tier >= lowest && c.tier != TierReserved:
			return false // and so are all that follow
		case s.ownRack(c) != nil:
			return true
		default:
			return s.recallFor(p, ci)
		}
	})
}

// recallLent asks for slots of isolated replicas that are lent, for calls of higher tiers that can be recalled themselves, as far as no
// shared slot is on its way to them.
func (s *State) recallLent(p *pool) {
	k := &p.owned
	lowest := lowestOf(&k.lendable)
	for t := TierReserved; t < lowest; t++ {
		if p.queues[t][classLent].waiting == 0 {
			continue
		}
		s.front(&p.queues[t][classLent], func(ci int32) bool {
			c := s.calls.at(ci)
			if s.waitsForQuota(p, c) {
				return false
			}
			if s.lacksMemory(p, c) {
				if victim := s.victim(p, k, c); victim != 0 && k.recalling == 0 && p.base().recalling == 0 {
					s.preempt(victim)
				}
				return false
			}
			victim := s.victim(p, k, c)
			for victim != 0 && s.borrowers(p, s.calls.at(victim).tier) > k.recalling {
				s.preempt(victim)
				victim = s.victim(p, k, c)
			}
			return true
		})
	}
}

// recallFor asks for slots back on behalf of a waiting call that may start, and says whether others may ask, too.
func (s *State) recallFor(p *pool, ci int32) bool {
	c := s.calls.at(ci)
	k := p.base()
	if s.waitsForQuota(p, c) {
		return c.tier == TierReserved
	}
	if s.lacksMemory(p, c) { // one after the other, until it fits
		if k.recalling == 0 {
			if victim := s.victim(p, k, c); victim != 0 {
				s.preempt(victim)
			}
		}
		return c.tier == TierReserved
	}
	for {
		victim := s.victim(p, k, c)
		if victim == 0 {
			return true
		}
		if s.claims(p, s.calls.at(victim).tier) <= k.recalling {
			return s.claims(p, lowestOf(&k.lendable)) > k.recalling
		}
		s.preempt(victim)
	}
}

// claims is how many waiting calls may take slots of shared replicas from calls of a tier that can be recalled.
func (s *State) claims(p *pool, t Tier) int32 {
	firm, lent := s.claimants(p, t)
	return firm + lent
}

// borrowers is how many waiting calls that can be recalled may take slots from others of a tier, and get none of a shared replica that
// is on its way.
func (s *State) borrowers(p *pool, t Tier) int32 {
	firm, lent := s.claimants(p, t)
	return lent - max(0, p.base().recalling-firm)
}

// claimants counts waiting calls that may take slots from calls of a tier that can be recalled: those that cannot be recalled
// themselves, and those that can.
func (s *State) claimants(p *pool, t Tier) (firm, lent int32) {
	for u := TierReserved; u < t; u++ {
		lent += p.queues[u][classLent].waiting
		if u == TierReserved {
			firm += p.overflow
		} else {
			firm += p.queues[u][classFirm].waiting
		}
	}
	limit, _ := p.commonRoom()
	return p.due + min(max(0, limit.slots-p.common.slots), firm), lent
}

// recallOwn asks for the slots of isolated replicas back that reservations wait for, in the order of their handles, and for memory, if it is that
// which is missing.
func (s *State) recallOwn(pi int32) {
	p := &s.pools.items[pi]
	if len(p.thirsty) > 1 { // which came about in an order that depends on where they lie in memory
		slices.SortFunc(p.thirsty, func(a, b int32) int { return cmp.Compare(s.reservations.items[a].ID, s.reservations.items[b].ID) })
	}
	for _, ri := range p.thirsty {
		r := &s.reservations.items[ri]
		if !r.thirsty {
			continue
		}
		r.thirsty = false
		if oi := s.ownerOf(ri); oi != 0 && s.reservations.items[oi].parent == 0 {
			s.recallApart(oi)
			continue
		}
		if r.node == 0 || s.nodes.items[r.node].waits() == 0 {
			continue
		}
		n := &s.nodes.items[r.node] // of a part with replicas of its own
		c := s.calls.at(s.headOf(n))
		k := s.ownRack(c)
		for k != nil && k.recalling < n.waits() {
			victim := s.victim(p, k, c)
			if victim == 0 {
				break
			}
			s.preempt(victim)
		}
	}
	p.thirsty = p.thirsty[:0]
	s.recallMemory(p)
}

// victim returns the call that is recalled for another: the newest of those it may recall, on the replica that has its
// prefix or else has the least load. 0 if there is none.
func (s *State) victim(p *pool, k *rack, c *call) int32 {
	from := c.tier + 1
	if c.tier == TierReserved && !c.preemptible && (s.ownRack(c) != nil || s.growth(c, p.occupies(c)).slots == 0) {
		from = TierReserved
	}
	s.sortLent(p)
	rs := s.replicas.items
	prefix := p.prefixOf(c)
	if prefix != 0 && (rs[prefix].lentIn < from || !k.lent[rs[prefix].lentIn].has(prefix) || c.hasFailedOn(rs[prefix].ID)) {
		prefix = 0
	}
	best, least := prefix, load{}
	for t := from; prefix == 0 && int(t) < numTiers; t++ {
		ri := k.lent[t].lightest(rs, func(r *replica) bool { return !c.hasFailedOn(r.ID) })
		if ri == 0 {
			continue
		}
		if l := loadOf(rs, ri); best == 0 || l.before(&least) {
			best, least = ri, l
		}
	}
	if best == 0 {
		return 0
	}
	newest := int32(0)
	for t := from; int(t) < numTiers; t++ {
		if ci := rs[best].recallable[t].tail; ci != 0 && (newest == 0 || s.calls.at(ci).order > s.calls.at(newest).order) {
			newest = ci
		}
	}
	return newest
}

// preempt tells a running call to give its slot back.
func (s *State) preempt(ci int32) {
	c := s.calls.at(ci)
	s.unlist(ci)
	c.state, c.told = callRecalled, true
	s.countTold(c.replica, 1)
	s.stats.Recalled++
	s.emit(Action{Kind: ActionPreempt, Call: c.id, Tier: c.tier, Lane: c.lane, Replica: c.ran, Reason: ReasonRecall})
}

// untell says that a slot is not awaited any more: it is there, or will not be.
func (s *State) untell(c *call) {
	if c.told {
		c.told = false
		s.countTold(c.replica, -1)
	}
}

func (s *State) countTold(ri, by int32) {
	r := &s.replicas.items[ri]
	r.recalling += by
	if !r.up {
		return
	}
	s.racksOf(r).each(func(k *rack) { k.recalling += by })
}

// listOf returns which of the replica's lists a call with a slot is in.
func (r *replica) listOf(c *call) *list {
	if c.listed {
		return &r.recallable[c.tier]
	}
	return &r.others
}

// countLendable counts a call that was put among those that can be recalled, or is taken out of them.
func (s *State) countLendable(r *replica, c *call, by int32) {
	if !c.listed {
		return
	}
	r.lendable[c.tier] += by
	if r.up {
		s.racksOf(r).each(func(k *rack) { k.lendable[c.tier] += by })
	}
}

// unlist takes a call out of those that can be recalled.
func (s *State) unlist(ci int32) {
	c := s.calls.at(ci)
	if !c.listed {
		return
	}
	r := &s.replicas.items[c.replica]
	r.listOf(c).remove(&s.calls, ci)
	s.countLendable(r, c, -1)
	c.listed = false
	r.listOf(c).push(&s.calls, ci)
	s.place(c.replica)
}

// begin makes a call firm that has begun to answer, whatever that does to common use. If it was told to stop, it was too late.
func (s *State) begin(ci int32) {
	c := s.calls.at(ci)
	s.unlist(ci)
	s.untell(c)
	if c.state == callRecalled {
		c.state = callRunning
	}
	s.countBorrowed(c, -1)
	c.preemptible = false
	r := &s.replicas.items[c.replica]
	if r.up {
		s.occupy(c, true)
	}
	s.seatOwners(r) // who may ask for another one
}

// countBorrowed counts the slot of a call that can be recalled.
func (s *State) countBorrowed(c *call, by int32) {
	if !c.preemptible {
		return
	}
	r := &s.replicas.items[c.replica]
	r.borrowed += by
	if !r.up {
		return
	}
	s.racksOf(r).each(func(k *rack) { k.borrowed += by })
}
