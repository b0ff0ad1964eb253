package capacity

import "time"

// keptRefusals is how many refused calls can still be explained.
const keptRefusals = 256

// LimitState is where a bucket or counter that applies to a call stands.
type LimitState struct {
	Bucket  BucketID
	Counter CounterID
	Measure Measure
	Fill    int64 // of a bucket what has not drained, rounded up, so that what passes Depth with Hold is refused; of a counter what is used and held
	Depth   int64 // of a counter its limit
	Rate    int64 // units per minute; 0 for counters
	Hold    int64 // what the call holds, or asked to
}

// Explanation is a decision as data.
type Explanation struct {
	Call       CallID
	State      string // "waiting", "running", "refused", ...
	Reason     Reason
	Lane       uint8
	Tier       Tier
	Bucket     BucketID // that refused
	Counter    CounterID
	RetryAfter time.Duration
	Estimated  bool
	Placed     Placement
	Replica    ReplicaID
	Attempts   int32
	Waited     time.Duration // so far, or until it was admitted
	Ahead      int64         // calls expected to be served before a waiting one
	NumLimits  int
	Limits     [MaxBuckets + MaxCounters]LimitState

	// Reservation is that of the lane, Units where its buckets stand.
	Reservation ReservationID
	NumUnits    int
	Units       [2 * numUnitBuckets]UnitState
	// Left is why the call left the lane before the present one, LeftBucket what had no room there.
	Left       Reason
	LeftBucket BucketID
	// Waits is what a waiting call waits for, Slots what there is of it; Kind is what stands behind the pool.
	Waits Wait
	Slots SlotState
	Kind  PoolKind
}

var callStateNames = [numCallStates]string{"unknown", "waiting", "running", "parked", "recalled", "lingering"}

// Explain says how a call that is in flight stands, or why one of the last refused calls was refused.
func (s *State) Explain(id CallID) (Explanation, bool) {
	if ci := s.callByID[id]; ci != 0 {
		return s.explain(s.calls.at(ci)), true
	}
	for i := range s.refused {
		if s.refused[i].Call == id && id != 0 {
			return s.refused[i], true
		}
	}
	return Explanation{}, false
}

func (s *State) explain(c *call) Explanation {
	e := Explanation{Call: c.id, State: nameOf(callStateNames[:], int(c.state)), Lane: c.lane, Tier: c.tier, Placed: c.placed, Attempts: c.attempts}
	switch {
	case c.state == callWaiting:
		e.Waited = span(c.queued, s.now)
		e.Ahead = s.ahead(&s.pools.items[c.pool], c)
	case c.state != 0:
		e.Waited = span(c.arrived, max(c.started, c.arrived))
		e.Replica = c.ran
	}
	lane := &c.lanes[c.lane]
	e.Reservation, e.Left, e.LeftBucket = lane.Reservation, c.left, c.leftBucket
	e.unitsOf(s, c)
	if c.pool != 0 {
		p := &s.pools.items[c.pool]
		e.Slots, e.Kind = s.slotsOf(p, c), p.Kind
		if c.state == callWaiting {
			e.Waits = s.waitOf(p, c)
		}
	}
	for i := range c.holds[:c.numBuckets] {
		if lane.Buckets>>i&1 == 0 || c.holds[i].bucket.bucket == 0 {
			continue
		}
		b := &s.buckets.items[c.holds[i].bucket.bucket]
		e.Limits[e.NumLimits] = LimitState{
			Bucket: b.ID, Measure: b.Measure, Fill: b.level(s.now).divUp(minute), Depth: whole(b.depth()), Rate: b.Rate, Hold: c.holdOf(b.Measure),
		}
		e.NumLimits++
	}
	for i := range c.holds[:c.numCounters] {
		if lane.Counters>>i&1 == 0 || c.holds[i].counter.counter == 0 {
			continue
		}
		k := &s.counters.items[c.holds[i].counter.counter]
		e.Limits[e.NumLimits] = LimitState{
			Counter: k.ID, Measure: k.Measure, Fill: sum(k.used, k.held), Depth: k.Limit, Hold: c.holdOf(k.Measure),
		}
		e.NumLimits++
	}
	return e
}

// keepRefusal remembers why a call is refused, before its holds are given back.
func (s *State) keepRefusal(c *call, v verdict) {
	e := s.explain(c)
	e.State, e.Reason, e.Bucket, e.Counter, e.RetryAfter, e.Estimated = "refused", v.reason, v.bucket, v.counter, v.retryAfter, v.estimated
	s.refused[s.refusedAt%keptRefusals] = e
	s.refusedAt++
}
