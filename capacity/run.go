package capacity

// The life of a call that has been admitted.

// progress takes a report of a running call.
func (s *State) progress(ci int32, ev *Event) {
	c := s.calls.at(ci)
	if c.state != callRunning && c.state != callRecalled {
		s.stats.Ignored++
		return
	}
	begins := ev.Delivered && c.preemptible
	if begins {
		s.begin(ci)
	}
	input := c.sawInput
	if in := amount(ev.Input); in > 0 {
		input = in
	}
	s.serve(c, input, max(c.sawOutput, amount(ev.Output)))
	input = c.unitInput
	if in := amount(ev.Input); in > 0 {
		input = in
	}
	s.chargeUnits(ci, input, max(c.unitOutput, amount(ev.Output)))
	if begins {
		s.pump(c.pool, 0)
	}
}

// settle closes the account of a call that runs, or ran.
func (s *State) settle(ci int32, ev *Event) {
	c := s.calls.at(ci)
	switch c.state {
	case callRunning, callRecalled, callParked:
	default:
		s.stats.Ignored++
		return
	}
	u := usage{input: amount(ev.Input), cacheWrite: amount(ev.CacheWrite), output: amount(ev.Output), money: amount(ev.Money)}
	held := c.holdOf(MeasureTokens)
	charged, _ := u.of(MeasureTokens, s.modelOf(c).Burndown)
	s.serve(c, sum(u.input, u.cacheWrite), u.output)
	s.settleHolds(ci, u)
	s.stats.Settled++
	s.emit(Action{
		Kind: ActionSettled, Call: c.id, Tier: c.tier, Lane: c.lane, Pool: c.lanes[c.lane].Pool, Model: c.lanes[c.lane].Model,
		Replica: c.ran, Reservation: c.lanes[c.lane].Reservation, Held: held, Charged: charged, Refunded: max(0, held-charged), Debt: max(0, charged-held),
	})
	pi := c.pool
	if ev.SlotHeld && c.hasSlot() {
		s.unlist(ci)
		c.state = callLingering // its slot may be on its way to another call
		return
	}
	s.freeSlot(ci)
	s.forgetCall(ci)
	s.pump(pi, 0)
}

// cancel ends a call because its client left, or its time is up.
func (s *State) cancel(ci int32, why Reason) {
	c := s.calls.at(ci)
	pi := c.pool
	switch c.state {
	case callWaiting:
		s.dequeue(ci)
		s.end(ci, why)
		s.pump(pi, 0)
	case callParked:
		s.leaveQuota(c)
		s.end(ci, why)
		s.pump(pi, 0)
	case callRunning, callRecalled:
		if c.stop != ReasonNone {
			s.stats.Ignored++
			return
		}
		s.unlist(ci)
		c.state, c.stop = callRunning, why // a slot that was asked back is on its way still
		s.emit(Action{Kind: ActionPreempt, Call: c.id, Tier: c.tier, Lane: c.lane, Replica: c.ran, Reason: why})
	default:
		s.stats.Ignored++
	}
}

// retryReserve is the most that a pool's retry budget can save up, per mille of a retry: ten retries, so that an idle
// system can lose a replica without refusing anybody.
const retryReserve = 10_000

// retry queues a call again after an attempt failed.
func (s *State) retry(ci int32, ev *Event) {
	c := s.calls.at(ci)
	if c.state != callRunning && c.state != callRecalled && c.state != callParked || c.stop != ReasonNone {
		s.stats.Ignored++
		return
	}
	pi := c.pool
	s.freeSlot(ci)
	s.leaveQuota(c)
	c.state = callParked
	s.avoid(c, ev.Replica)
	p := &s.pools.items[pi]
	switch why := s.barred(p, c); {
	case why != ReasonNone:
		s.nextLane(ci, verdict{reason: why})
	case p.RetryBudget > 0 && p.retries < 1000 && !ev.Unread:
		s.reject(ci, verdict{reason: ReasonRetryBudget})
	default:
		if p.RetryBudget > 0 && !ev.Unread {
			p.retries -= 1000
		}
		s.stats.Retried++
		s.enqueue(ci, true)
	}
	s.pump(pi, 0)
}

// avoid notes that a call has failed on a replica. There is room for as many as a pool lets it fail on; those of the pools of lanes that it has left make
// room for others.
func (s *State) avoid(c *call, id ReplicaID) {
	if id == 0 || c.hasFailedOn(id) {
		return
	}
	if c.numFailed < maxFailed {
		c.failed[c.numFailed] = id
		c.numFailed++
		return
	}
	for k, old := range c.failed {
		if !s.isOf(old, c.pool) {
			copy(c.failed[k:], c.failed[k+1:])
			c.failed[maxFailed-1] = id
			return
		}
	}
}

// exhausted says whether a call has failed on as many replicas of its pool as it may.
func (s *State) exhausted(c *call) bool {
	if c.numFailed < maxFailed {
		return false
	}
	for _, id := range c.failed {
		if !s.isOf(id, c.pool) {
			return false
		}
	}
	return true
}

// isOf says whether a replica is one of a pool's.
func (s *State) isOf(id ReplicaID, pool int32) bool {
	ri := s.replicaByID[id]
	return ri != 0 && s.replicas.items[ri].pool == pool
}

// freed says that the engine has let go of a call.
func (s *State) freed(ci int32) {
	c := s.calls.at(ci)
	pi := c.pool
	switch c.state {
	case callRunning:
		s.freeSlot(ci)
		c.state = callParked
	case callRecalled:
		s.freeSlot(ci)
		s.leaveQuota(c)
		c.state = callParked
		if why := s.barred(&s.pools.items[pi], c); why != ReasonNone { // what could take it has gone meanwhile
			s.nextLane(ci, verdict{reason: why})
		} else {
			s.enqueue(ci, true)
		}
	case callLingering:
		s.freeSlot(ci)
		s.forgetCall(ci)
	default:
		s.stats.Ignored++
		return
	}
	s.pump(pi, 0)
}
