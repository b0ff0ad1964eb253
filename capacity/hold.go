package capacity

import (
	"math"
	"time"
)

// verdict is the answer to an offer: ReasonNone if it is taken.
type verdict struct {
	reason      Reason
	bucket      BucketID
	counter     CounterID
	reservation ReservationID
	retryAfter  time.Duration
	estimated   bool
}

// span returns b-a, for a <= b, without wrapping.
func span(a, b Instant) time.Duration {
	if d := uint64(b) - uint64(a); d <= math.MaxInt64 {
		return time.Duration(d)
	}
	return math.MaxInt64
}

// worse says whether v tells a caller more than w: what waiting cannot help before what it can, then the longer
// wait. An unknown wait (0) is the longest.
func (v verdict) worse(w verdict) bool {
	if v.rank() != w.rank() {
		return v.rank() > w.rank()
	}
	if v.retryAfter == 0 || w.retryAfter == 0 {
		return v.retryAfter == 0 && w.retryAfter != 0
	}
	return v.retryAfter > w.retryAfter
}

func (v verdict) rank() int {
	switch v.reason {
	case ReasonNone:
		return 0
	case ReasonBucket, ReasonReservation:
		return 1
	case ReasonCounter, ReasonConcurrent:
		return 2
	case ReasonShareEnded:
		return 3
	case ReasonOverDepth:
		return 4
	default: // ReasonZeroLimit
		return 5
	}
}

// usage is what a call really used.
type usage struct{ input, cacheWrite, output, money int64 }

// holdOf returns what the call holds of a measure in its present lane.
// Formula: input + cache write + N x max output, unmultiplied (Amazon Bedrock user guide, "Token burndown").
func (c *call) holdOf(m Measure) int64 {
	switch m {
	case MeasureRequests, MeasureConcurrent:
		return 1
	case MeasureTokens:
		return sum(sum(c.input, c.cacheWrite), c.maxOutput)
	case MeasureInput:
		return sum(c.input, c.cacheWrite)
	case MeasureOutput:
		return c.maxOutput
	case MeasureMoney:
		return c.lanes[c.lane].Money
	default:
		return 0
	}
}

// of returns what a settled call is charged in a measure, with and without burndown.
// Formula: input + cache write + output x burndown; cache reads are free (same source).
func (u usage) of(m Measure, burndown int32) (charge, plain int64) {
	out := perMille(u.output, burndown)
	switch in := sum(u.input, u.cacheWrite); m {
	case MeasureRequests:
		return 1, 1
	case MeasureTokens:
		return sum(in, out), sum(in, u.output)
	case MeasureInput:
		return in, in
	case MeasureOutput:
		return out, u.output
	case MeasureMoney:
		return u.money, u.money
	default:
		return 0, 0
	}
}

// checkLimits says whether the call's holds fit into every bucket and counter of its present lane; if not, the
// answer that tells the caller most.
func (s *State) checkLimits(c *call) verdict {
	var worst verdict
	lane := &c.lanes[c.lane]
	for i := range c.holds[:c.numBuckets] {
		if lane.Buckets>>i&1 == 0 {
			continue
		}
		b := &s.buckets.items[c.holds[i].bucket.bucket]
		b.drain(s.now)
		want := c.holdOf(b.Measure)
		if b.fits(s.now, want) {
			continue
		}
		b.stats.refusals++
		s.wantShare(b, want)
		if v := b.refusal(s.now, want); v.worse(worst) {
			worst = v
		}
	}
	for i := range c.holds[:c.numCounters] {
		if lane.Counters>>i&1 == 0 {
			continue
		}
		k := &s.counters.items[c.holds[i].counter.counter]
		cal := s.calendars[k.Calendar]
		k.roll(cal)
		want := c.holdOf(k.Measure)
		if k.fits(want) {
			continue
		}
		k.stats.refusals++
		if v := k.refusal(s.now, cal, want); v.worse(worst) {
			worst = v
		}
	}
	return worst
}

// hold takes every hold of the call's present lane, and charges its reservation. checkLimits and checkUnits have said that all fit.
func (s *State) hold(ci int32) {
	c := s.calls.at(ci)
	if c.reservation != 0 {
		s.openUnits(ci)
	}
	lane := &c.lanes[c.lane]
	for i := range c.holds[:c.numBuckets] {
		if lane.Buckets>>i&1 == 0 {
			continue
		}
		h := &c.holds[i].bucket
		b := &s.buckets.items[h.bucket]
		h.amount = c.holdOf(b.Measure)
		h.layer = b.hold(h.amount)
		h.held = true
	}
	for i := range c.holds[:c.numCounters] {
		if lane.Counters>>i&1 == 0 {
			continue
		}
		h := &c.holds[i].counter
		k := &s.counters.items[h.counter]
		h.amount = c.holdOf(k.Measure)
		h.period = k.hold(h.amount)
		h.held = true
	}
}

// settleHolds replaces every hold of the call by its charge.
func (s *State) settleHolds(ci int32, u usage) {
	c := s.calls.at(ci)
	burndown := s.modelOf(c).Burndown
	s.eachHold(c, func(m Measure, _ int64) (int64, int64) { return u.of(m, burndown) })
	s.closeUnits(ci, sum(u.input, u.cacheWrite), u.output)
}

// releaseHolds gives every hold of the call back: it is charged nothing.
func (s *State) releaseHolds(ci int32) {
	s.eachHold(s.calls.at(ci), func(Measure, int64) (int64, int64) { return 0, 0 })
	s.closeUnits(ci, 0, 0)
}

func (s *State) eachHold(c *call, charge func(Measure, int64) (charge, plain int64)) {
	for i := range c.holds[:c.numBuckets] {
		h := &c.holds[i].bucket
		if !h.held {
			continue
		}
		b := &s.buckets.items[h.bucket]
		b.drain(s.now)
		x, plain := charge(b.Measure, h.amount)
		b.settle(h.layer, h.amount, x, plain)
		h.held = false
	}
	for i := range c.holds[:c.numCounters] {
		h := &c.holds[i].counter
		if !h.held {
			continue
		}
		k := &s.counters.items[h.counter]
		k.roll(s.calendars[k.Calendar])
		x, _ := charge(k.Measure, h.amount)
		k.settle(h.period, h.amount, x)
		h.held = false
	}
	s.settleQuota(c, charge)
}
