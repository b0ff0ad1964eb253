package capacity

import "math"

// calendar is a sequence of periods. Which wall-clock time a period covers is the shell's business.
type calendar struct {
	period int64
	ends   Instant // expected end on the monotonic clock; 0 is unknown
}

// noPeriod is before every period.
const noPeriod = math.MinInt64

// counter limits a total per period: used + held + hold <= limit. A call counts in the period in which it was
// admitted, also if it ends in a later one, so neither period can overshoot by more than the call's own excess.
type counter struct {
	Counter
	period  int64
	used    int64 // charged in this period
	held    int64 // held in this period by calls in flight
	refs    int32 // calls in flight that list it
	removed bool
	mark    uint64
	stats   counterStats
}

// counterStats are totals since the start, or since the snapshot's.
type counterStats struct {
	holds, refusals uint64
	charged         int64
	excess          int64
}

// roll starts a new period if the calendar has one.
func (c *counter) roll(cal calendar) {
	if c.period < cal.period {
		c.period, c.used, c.held = cal.period, 0, 0
	}
}

// fits says whether a hold of x fits into the period.
func (c *counter) fits(x int64) bool { return x <= c.Limit-c.used-c.held }

// refusal says why a hold of x does not fit.
func (c *counter) refusal(now Instant, cal calendar, x int64) verdict {
	v := verdict{counter: c.ID}
	switch {
	case c.Limit == 0:
		v.reason = ReasonZeroLimit
	case x > c.Limit:
		v.reason = ReasonOverDepth
	case c.Measure == MeasureConcurrent:
		v.reason, v.estimated = ReasonConcurrent, true
	default:
		v.reason, v.estimated = ReasonCounter, true
		if cal.ends > now {
			v.retryAfter = span(now, cal.ends)
		}
	}
	return v
}

func (c *counter) hold(x int64) (period int64) {
	c.held += x
	c.stats.holds++
	return c.period
}

// settle replaces a hold made in a period by a charge.
func (c *counter) settle(period, hold, charge int64) {
	c.stats.charged = sum(c.stats.charged, charge)
	if charge > hold {
		c.stats.excess = sum(c.stats.excess, charge-hold)
	}
	if period == c.period {
		c.held -= hold
		c.used = sum(c.used, charge)
	}
}
