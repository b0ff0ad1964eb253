package capacity

// Stats counts what happened since the State was made.
type Stats struct {
	Arrived   uint64
	Admitted  uint64 // calls, each once however many attempts it took
	Settled   uint64
	Spilled   uint64
	Retried   uint64
	Recalled  uint64
	Cancelled uint64
	Expired   uint64
	Rejected  [numReasons]uint64
	Ignored   uint64 // events that named something unknown or came in the wrong order
	ClockBack uint64 // steps whose time lay before the last one
}

// Stats returns the totals.
func (s *State) Stats() Stats { return s.stats }

// BucketStats is where a bucket stands. Amounts are in whole units, rounded down.
type BucketStats struct {
	ID              BucketID
	Fill, Depth     int64
	Rate            int64
	Holds, Refusals uint64
	Held            int64 // in all since the start
	Charged         int64
	Refunded        int64 // given back
	Lapsed          int64 // not charged, and not given back because it had drained
	// BurndownExcess and EstimateExcess are charges beyond the hold, by their cause.
	BurndownExcess, EstimateExcess int64
}

// Bucket returns where a bucket stands now.
func (s *State) Bucket(id BucketID) (BucketStats, bool) {
	i := s.bucketByID[id]
	if i == 0 {
		return BucketStats{}, false
	}
	b := &s.buckets.items[i]
	return BucketStats{
		ID: id, Fill: whole(b.level(s.now)), Depth: whole(b.depth()), Rate: b.Rate, Holds: b.stats.holds, Refusals: b.stats.refusals,
		Held: whole(b.stats.held), Charged: whole(b.stats.charged), Refunded: whole(b.stats.refunded), Lapsed: whole(b.stats.lapsed),
		BurndownExcess: whole(b.stats.burndownExcess), EstimateExcess: whole(b.stats.estimateExcess),
	}, true
}

// CounterStats is where a counter stands in its present period.
type CounterStats struct {
	ID                CounterID
	Period            int64
	Used, Held, Limit int64
	Holds, Refusals   uint64
}

// Counter returns where a counter stands.
func (s *State) Counter(id CounterID) (CounterStats, bool) {
	i := s.counterByID[id]
	if i == 0 {
		return CounterStats{}, false
	}
	k := &s.counters.items[i]
	now := *k
	now.roll(s.calendars[k.Calendar]) // a look changes nothing
	return CounterStats{
		ID: id, Period: now.period, Used: now.used, Held: now.held, Limit: now.Limit, Holds: now.stats.holds, Refusals: now.stats.refusals,
	}, true
}

// PoolStats is where a pool stands.
type PoolStats struct {
	ID                       PoolID
	Waiting, Busy, Slots, Up int32
	WaitingByTier            [numTiers]int32
	// Common is how much of the CommonSlots, which no purchase has, firm work uses: under quota, and of reservations beyond their own.
	Common, CommonSlots int32
	CommonKV            int64 // tokens of memory, likewise
	CommonKVBound       int64 // 0 where memory is not bounded
	// Sold are the slots of all purchases; Lent are slots of purchases that calls which can be recalled occupy; Recalled of these, those
	// that are coming back.
	Sold, Lent, Recalled int32
	// Entitled are waiting calls that may have slots of their reservation, Overflow those of reservations that need common ones.
	Entitled, Overflow int32
}

// Pool returns where a pool stands.
func (s *State) Pool(id PoolID) (PoolStats, bool) {
	i := s.poolByID[id]
	if i == 0 {
		return PoolStats{}, false
	}
	p := &s.pools.items[i]
	limit, bounded := p.commonRoom()
	k := p.base()
	st := PoolStats{
		ID: id, Waiting: p.waiting, Busy: p.busy, Slots: p.slots, Up: p.up,
		Common: p.common.slots, CommonSlots: limit.slots, CommonKV: int64(p.common.kv.lo), Sold: p.sold.slots,
		Lent:     p.owned.borrowed + max(0, k.borrowed-max(0, limit.slots-p.common.slots)),
		Recalled: k.recalling + p.owned.recalling, Entitled: p.due, Overflow: p.overflow,
	}
	if bounded {
		st.CommonKVBound = int64(limit.kv.lo)
	}
	for t := range p.queues {
		st.WaitingByTier[t] = p.queues[t][classFirm].waiting + p.queues[t][classLent].waiting
	}
	return st, true
}

// InFlight returns the number of calls that the State knows.
func (s *State) InFlight() int { return len(s.callByID) }
