package capacity

// Step applies an event at a time and appends the resulting actions to out. A time before the last one counts as
// the last one. An event that names an unknown call, or a call in another state than it expects, changes nothing and is
// counted in Stats.Ignored.
func (s *State) Step(now Instant, ev Event, out []Action) []Action {
	s.out = out
	if now < s.now {
		s.stats.ClockBack++
	} else {
		s.now = now
	}
	s.passTime()
	s.apply(&ev)
	out, s.out = s.out, nil
	return out
}

// passTime does what became due since the last step.
func (s *State) passTime() {
	for len(s.deadlines) > 0 {
		ci := s.deadlines[0].call
		if s.deadlines[0].at > s.now {
			break
		}
		s.waitEnded(ci)
	}
	s.scalePools()
	s.wakePools()
}

func (s *State) apply(ev *Event) {
	switch ev.Kind {
	case EventConfigure:
		if ev.Config != nil {
			s.configure(ev.Config)
		}
	case EventArrive:
		s.arrive(ev)
	case EventProgress, EventSettle, EventCancel, EventExpire, EventRetry, EventFreed:
		s.applyToCall(ev)
	case EventReplicaUp, EventReplicaDown, EventReplicaDraining:
		s.applyToReplica(ev)
	case EventShareGranted:
		s.shareGranted(ev)
	case EventShareEnded:
		s.shareEnded(ev)
	case EventWallClock:
		s.wallClock(ev)
	case EventCharge:
		s.charge(ev)
	case EventTick:
	default:
		s.stats.Ignored++
	}
}

func (s *State) applyToCall(ev *Event) {
	ci := s.callByID[ev.Call]
	if ci == 0 {
		s.stats.Ignored++
		return
	}
	switch ev.Kind {
	case EventProgress:
		s.progress(ci, ev)
	case EventSettle:
		s.settle(ci, ev)
	case EventCancel:
		s.cancel(ci, ReasonCancelled)
	case EventExpire:
		s.cancel(ci, ReasonExpired)
	case EventRetry:
		s.retry(ci, ev)
	case EventFreed:
		s.freed(ci)
	}
}

// arrive offers a new call to the lanes of its route.
func (s *State) arrive(ev *Event) {
	if s.callByID[ev.Call] != 0 || ev.Call == 0 {
		s.stats.Ignored++
		return
	}
	s.stats.Arrived++
	ci := s.calls.take()
	s.callByID[ev.Call] = ci
	c := s.calls.at(ci)
	c.callCore = callCore{}
	c.id, c.tier, c.account, c.principal, c.preemptible = ev.Call, ev.Tier, ev.Account, ev.Principal, ev.Preemptible && !ev.Delivered
	c.lanes, c.numLanes = ev.Lanes, min(ev.NumLanes, MaxLanes)
	c.numBuckets, c.numCounters = min(ev.NumBuckets, MaxBuckets), min(ev.NumCounters, MaxCounters)
	clear(c.holds[:max(c.numBuckets, c.numCounters)])
	c.n, c.input, c.cacheWrite, c.asked = max(1, ev.N), amount(ev.Input), amount(ev.CacheWrite), amount(ev.MaxOutput)
	c.prefix, c.deadline, c.arrived = ev.Prefix, ev.Deadline, s.now
	if c.tier <= TierReserved || int(c.tier) >= numTiers {
		c.tier = TierDefault
	}
	c.ownTier = c.tier
	if c.preemptible {
		c.class = classLent
	}
	for i := range c.lanes {
		c.lanes[i].Money = amount(c.lanes[i].Money)
	}
	if !s.resolve(c, ev) {
		s.reject(ci, verdict{reason: ReasonUnknown})
		return
	}
	s.offer(ci, 0)
}

// resolve finds the buckets and counters that the event lists, each at most once.
func (s *State) resolve(c *call, ev *Event) bool {
	s.stamp++
	for i, id := range ev.Buckets[:c.numBuckets] {
		bi := s.bucketByID[id]
		if bi == 0 {
			return false
		}
		b := &s.buckets.items[bi]
		if b.removed || b.mark == s.stamp {
			return false
		}
		b.mark = s.stamp
		b.refs++
		c.holds[i].bucket.bucket = bi
	}
	for i, id := range ev.Counters[:c.numCounters] {
		ki := s.counterByID[id]
		if ki == 0 {
			return false
		}
		k := &s.counters.items[ki]
		if k.removed || k.mark == s.stamp {
			return false
		}
		k.mark = s.stamp
		k.refs++
		c.holds[i].counter.counter = ki
	}
	return c.numLanes > 0
}

// offer tries the lanes of the route in order from one on. The first that takes the call gets it; the rules of each say whether
// the next may be tried; the answer of the last one tried is the caller's.
func (s *State) offer(ci int32, lane uint8) {
	c := s.calls.at(ci)
	for {
		v := s.tryLane(c, lane)
		if v.reason == ReasonNone {
			s.hold(ci)
			s.enqueue(ci, false)
			s.pump(c.pool, ci)
			return
		}
		if c.pool != 0 {
			s.scale(c.pool) // which has been called
		}
		if lane+1 >= c.numLanes || !c.lanes[lane].Spill.covers(v.reason) {
			s.reject(ci, v)
			return
		}
		lane++
		s.spill(c, lane, v)
	}
}

func (s *State) spill(c *call, lane uint8, v verdict) {
	s.stats.Spilled++
	c.left, c.leftBucket = v.reason, v.bucket
	s.emit(Action{
		Kind: ActionSpill, Call: c.id, Tier: c.tier, Lane: lane, Reason: v.reason, Reservation: v.reservation, Bucket: v.bucket, Counter: v.counter,
		RetryAfter: v.retryAfter, Estimated: v.estimated,
	})
}

// covers says whether a call may leave a lane for a reason.
func (sp Spill) covers(r Reason) bool {
	switch r {
	case ReasonBucket, ReasonCounter, ReasonConcurrent, ReasonReservation, ReasonOverDepth, ReasonZeroLimit, ReasonShareEnded:
		return sp&SpillOverRate != 0
	case ReasonQueueFull, ReasonDeadline, ReasonLatency, ReasonWaited, ReasonMemory, ReasonSoldOut, ReasonStarting:
		return sp&SpillOverLatency != 0
	case ReasonNoReplica, ReasonReplicasFailed:
		return sp&FailOver != 0
	default:
		return false
	}
}

// tryLane says whether a lane takes the call: first its limits, then its pool. It changes nothing but where the call stands, and what the pool
// knows of its demand.
func (s *State) tryLane(c *call, lane uint8) verdict {
	c.lane = lane
	c.pool = s.poolByID[c.lanes[lane].Pool]
	c.model = s.modelByID[c.lanes[lane].Model]
	if c.pool == 0 || c.model == 0 || s.pools.items[c.pool].removed || !s.enterReservation(c) {
		return verdict{reason: ReasonUnknown}
	}
	c.maxOutput = c.asked
	if c.asked == 0 {
		c.maxOutput = s.models.items[c.model].MaxOutput
	}
	c.maxOutput = product(c.maxOutput, int64(c.n))
	v := s.checkLimits(c)
	if w := s.checkUnits(c); w.worse(v) {
		v = w
	}
	if v.reason != ReasonNone {
		return v
	}
	s.called(c.pool)
	return s.checkPool(c)
}

// reject ends a call that is in no queue and has no slot. Its holds come back.
func (s *State) reject(ci int32, v verdict) {
	c := s.calls.at(ci)
	s.stats.Rejected[v.reason]++
	s.emit(Action{
		Kind: ActionReject, Call: c.id, Tier: c.tier, Lane: c.lane, Pool: c.lanes[c.lane].Pool, Model: c.lanes[c.lane].Model,
		Reason: v.reason, Reservation: v.reservation, Bucket: v.bucket, Counter: v.counter, RetryAfter: v.retryAfter, Estimated: v.estimated,
	})
	s.keepRefusal(c, v)
	s.releaseHolds(ci)
	s.forgetCall(ci)
}

// end is the terminal action of a call that was never answered, without a slot. Its holds come back.
func (s *State) end(ci int32, why Reason) {
	c := s.calls.at(ci)
	a := Action{Kind: ActionCancelled, Call: c.id, Tier: c.tier, Lane: c.lane, Pool: c.lanes[c.lane].Pool, Model: c.lanes[c.lane].Model}
	if why == ReasonExpired {
		a.Kind = ActionExpired
		s.stats.Expired++
	} else {
		s.stats.Cancelled++
	}
	s.emit(a)
	s.releaseHolds(ci)
	s.forgetCall(ci)
}

// forgetCall removes a call that is in no list, holds nothing and has no slot.
func (s *State) forgetCall(ci int32) {
	c := s.calls.at(ci)
	s.leaveFair(c)
	for i := range c.holds[:c.numBuckets] {
		if bi := c.holds[i].bucket.bucket; bi != 0 { // 0 after the first that was not found
			s.buckets.items[bi].refs--
			s.forgetBucket(bi)
		}
	}
	for i := range c.holds[:c.numCounters] {
		if ki := c.holds[i].counter.counter; ki != 0 {
			s.counters.items[ki].refs--
			s.forgetCounter(ki)
		}
	}
	delete(s.callByID, c.id)
	c.id, c.state, c.numBuckets, c.numCounters = 0, 0, 0, 0 // all that is looked at of one that is gone
	s.calls.drop(ci)
}
