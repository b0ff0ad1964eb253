package capacity

import (
	"math"
	"time"
)

// minute is the number of bucket units per whole unit: a fill is counted in units x nanoseconds per minute, in
// which draining for d nanoseconds at a rate of r per minute is exactly r*d.
const minute = uint64(time.Minute)

// bucket is a leaky bucket: a fill that drains at the rate and takes a hold while fill + hold <= depth.
type bucket struct {
	Bucket
	layers
	at      Instant // up to which it has drained
	until   Instant // end of the share; 0 is none
	granted bool    // Rate and Depth of the share are valid until then
	asked   bool    // ShareWanted is out
	refs    int32   // calls in flight that list it
	removed bool
	mark    uint64
	stats   bucketStats
}

// bucketStats are totals in bucket units. Of each hold: held + excess = charged + refunded + lapsed.
type bucketStats struct {
	holds, refusals                 uint64
	held, charged, refunded, lapsed wide
	burndownExcess, estimateExcess  wide
	rebuilt                         wide
}

func units(x int64) wide { return mul(uint64(x), minute) }

func (b *bucket) depth() wide {
	if b.Depth > 0 {
		return units(b.Depth)
	}
	return units(b.Rate)
}

// valid says whether the bucket may admit at all: it is no share, or its share has not ended.
func (b *bucket) valid(now Instant) bool {
	return !b.Share || (b.granted && (b.until == 0 || now < b.until))
}

// level returns the fill at now, which is not before the last drain. A share drains only until its end.
func (b *bucket) level(now Instant) wide {
	total := b.total()
	if total.zero() || now <= b.at || b.Share && !b.granted {
		return total
	}
	if b.Share && b.until != 0 {
		now = min(now, max(b.until, b.at))
	}
	return total.sub(mul(uint64(b.Rate), uint64(now-b.at)))
}

// drain lets time pass up to now.
func (b *bucket) drain(now Instant) {
	if now <= b.at {
		return
	}
	b.truncate(b.level(now))
	b.at = now
}

// fits says whether a hold of x fits at now.
func (b *bucket) fits(now Instant, x int64) bool {
	return b.valid(now) && !b.depth().less(b.level(now).add(units(x)))
}

// refusal says why a hold of x does not fit at now.
func (b *bucket) refusal(now Instant, x int64) verdict {
	v := verdict{bucket: b.ID}
	depth, want := b.depth(), units(x)
	switch {
	case !b.valid(now):
		v.reason = ReasonShareEnded
	case depth.zero():
		v.reason = ReasonZeroLimit
	case depth.less(want):
		v.reason = ReasonOverDepth
	default:
		v.reason = ReasonBucket
		v.retryAfter = b.wait(b.level(now).add(want).sub(depth))
		v.estimated = b.Share && b.until != 0 && now.add(v.retryAfter) >= b.until
	}
	return v
}

// wait returns how long the bucket takes to drain by x; 0 if it never does.
func (b *bucket) wait(x wide) time.Duration {
	if b.Rate == 0 {
		return 0
	}
	return time.Duration(x.divUp(uint64(b.Rate)))
}

// hold adds a hold of x for a call on top.
func (b *bucket) hold(x int64) int32 {
	u := units(x)
	b.stats.holds++
	b.stats.held = b.stats.held.add(u)
	return b.push(true, u)
}

// settle replaces a hold at layer at by a charge: gives back what has not drained, or carries the excess as debt.
// plain is the charge without burndown. The bucket has been drained to now.
func (b *bucket) settle(at int32, hold, charge, plain int64) {
	h, c := units(hold), units(charge)
	b.stats.charged = b.stats.charged.add(c)
	if charge <= hold {
		back := b.take(at, h.sub(c))
		b.stats.refunded = b.stats.refunded.add(back)
		b.stats.lapsed = b.stats.lapsed.add(h.sub(c).sub(back))
	}
	b.release(at)
	if charge > hold {
		byEstimate := amount(plain - hold)
		b.stats.estimateExcess = b.stats.estimateExcess.add(units(byEstimate))
		b.stats.burndownExcess = b.stats.burndownExcess.add(units(charge - hold - byEstimate))
		b.push(false, c.sub(h))
	}
}

// rebuild adds a charge of the past. A bucket that is still empty starts at the charge's time; charges come in ascending
// order, and one that does not counts in full.
func (b *bucket) rebuild(now, at Instant, x int64) {
	at = min(at, now)
	if b.total().zero() && b.live == 0 {
		b.at = at
	}
	b.drain(at)
	b.stats.rebuilt = b.stats.rebuilt.add(units(x))
	b.push(false, units(x))
}

// whole returns bucket units as whole units, rounded down, at most math.MaxInt64.
func whole(u wide) int64 {
	q, _ := u.div(minute)
	return int64(min(q, math.MaxInt64))
}
