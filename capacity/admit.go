package capacity

// The slot of a call, from the moment in which it is given one to that in which it is taken back.

// admit gives a call that waits in no queue any more the slot on a replica.
func (s *State) admit(ci, ri int32, placed Placement) {
	c, p, r := s.calls.at(ci), &s.pools.items[s.calls.at(ci).pool], &s.replicas.items[ri]
	s.order++
	c.state, c.replica, c.ran, c.started, c.placed, c.order, c.requeued = callRunning, ri, r.ID, s.now, placed, s.order, false
	c.attempts++
	c.kv = c.tokens()
	if r.KV > 0 {
		c.kv = min(c.kv, r.KV)
	}
	r.turns += turn / uint64(r.weight())
	p.busy++
	c.listed = c.preemptible
	r.listOf(c).push(&s.calls, ci)
	s.countLendable(r, c, 1)
	s.load(ri, c, 1)
	if c.prefix != 0 && len(p.affinity) > 0 && !r.Standby {
		p.affinity[c.prefix&uint64(len(p.affinity)-1)] = affinity{c.prefix, ri}
	}
	if r.rented() {
		s.holdQuota(ci, r)
	}
	if c.attempts == 1 {
		s.stats.Admitted++
		p.retries = min(p.retries+int64(p.RetryBudget), retryReserve)
	}
	lane := &c.lanes[c.lane]
	s.emit(Action{
		Kind: ActionAdmit, Call: c.id, Tier: c.tier, Lane: c.lane, Pool: lane.Pool, Model: lane.Model, Replica: r.ID,
		Reservation: lane.Reservation, Held: c.holdOf(MeasureTokens), Placed: placed,
	})
	s.serve(c, sum(c.input, c.cacheWrite), c.sawOutput)
}

// load puts a call on its replica (by 1) or takes it off (by -1).
func (s *State) load(ri int32, c *call, by int32) {
	r := &s.replicas.items[ri]
	kv := wide{lo: uint64(c.kv)}
	if by > 0 {
		r.kvUsed = r.kvUsed.add(kv)
	} else {
		r.kvUsed = r.kvUsed.sub(kv)
	}
	free := max(0, r.Slots-r.busy)
	r.busy += by
	if r.up {
		s.racksOf(r).each(func(k *rack) {
			k.busy += by
			k.free += max(0, r.Slots-r.busy) - free
		})
		s.occupy(c, by > 0)
	}
	s.countBorrowed(c, by)
	s.place(ri)
	if r.Reservation != 0 && r.up && (free > 0) != (r.busy < r.Slots) {
		s.seatOwners(r)
	}
}

// freeSlot takes the slot of a call back.
func (s *State) freeSlot(ci int32) {
	c := s.calls.at(ci)
	if !c.hasSlot() {
		return
	}
	s.untell(c)
	ri := c.replica
	r := &s.replicas.items[ri]
	p := &s.pools.items[r.pool]
	r.listOf(c).remove(&s.calls, ci)
	s.countLendable(r, c, -1)
	c.listed = false
	p.busy--
	s.load(ri, c, -1)
	c.kv = 0
	const smooth = 8 // the last eight or so calls
	p.service += (span(c.started, s.now) - p.service) / smooth
	c.replica = 0
	s.forgetReplica(ri)
}
