package scale

import (
	"math"
	"math/bits"
	"time"
)

// point is a data point: the metric summed over all instances, in thousandths, and how many were up at its end.
type point struct {
	total   int64
	serving int32
}

// track collects the data points of a policy.
type track struct {
	start  Instant // of the present period
	sum    uint64  // calls in it, or call-nanoseconds
	points []point // the newest last
}

// begin returns the start of the period that an instant lies in.
func begin(t Instant, period time.Duration) Instant { return t - t%Instant(period) }

// end is the end of the present period.
func (k *track) end(p *Policy) Instant { return k.start.add(p.period()) }

// total is the metric of the present period, as it would be if it ended now.
func (k *track) total(p *Policy, slots int64) int64 {
	period := uint64(p.period())
	switch p.Metric {
	case MetricInvocations:
		return ratio(k.sum, 1000*uint64(time.Minute), period)
	case MetricConcurrency:
		return ratio(k.sum, 1000, period)
	case MetricUtilisation:
		return ratio(k.sum, 1000, period*uint64(slots))
	default:
		return ratio(k.sum, 1000, 1)
	}
}

// close ends the present period with what is up at its end.
func (k *track) close(p *Policy, slots int64, serving int32) {
	k.keep(p, point{k.total(p, slots), serving})
	k.sum = 0
	k.start = k.end(p)
}

// keep adds a data point, and drops the oldest one that nothing looks at.
func (k *track) keep(p *Policy, x point) {
	if n := p.points(); len(k.points) >= n {
		copy(k.points, k.points[len(k.points)-n+1:])
		k.points = k.points[:n-1]
	}
	k.points = append(k.points, x)
}

// ratio returns a*b/c, at most maxTotal.
func ratio(a, b, c uint64) int64 {
	hi, lo := bits.Mul64(a, b)
	if hi >= c {
		return maxTotal
	}
	q, _ := bits.Div64(hi, lo, c)
	return int64(min(q, maxTotal))
}

// maxTotal is the largest total that is told apart.
const maxTotal = math.MaxInt64 / (1 << 21)

// above says whether the metric of each instance lies above a target. Where none is up, the metric is that of one.
func (x point) above(target int64) bool {
	hi, lo := bits.Mul64(uint64(target), uint64(max(1, x.serving)))
	return hi == 0 && lo < uint64(x.total)
}

// below says whether the metric of each instance lies below a share, per mille, of a target.
func (x point) below(target, share int64) bool {
	hi, lo := bits.Mul64(uint64(target), uint64(max(1, x.serving))*uint64(share))
	return hi > 0 || lo/1000 > uint64(x.total) || lo/1000 == uint64(x.total) && lo%1000 > 0
}

// value is the metric as an alarm of steps sees it, in thousandths.
func (x point) value(m Metric) int64 {
	if m == MetricNoCapacity {
		return x.total
	}
	return x.total / int64(max(1, x.serving))
}

// instances is how many bring a total to the target.
func instances(total, target int64) int32 {
	n := (total + target - 1) / target
	return int32(min(n, MaxInstances))
}
