package scale

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Every call is in exactly one data point, and so is every second that one is in flight, whenever time is told.
func TestPointsLoseNothing(t *testing.T) {
	step := func(m Metric) Policy {
		return Policy{Kind: Stepping, Metric: m, Period: time.Minute, Target: maxTarget, Points: MaxPoints, Adjust: Change, Steps: []Step{{0, Open, 1}}}
	}
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := New(0, Rules{Max: 5, Policies: []Policy{step(MetricInvocations), step(MetricNoCapacity), step(MetricConcurrency)}})
		var o Observation
		seconds := int64(0) // call-seconds
		now := Instant(0)
		for now < Instant(90*time.Minute) {
			gap := Instant(r.Int64N(200)) * Instant(time.Second)
			seconds += int64(o.Load) * int64(gap/Instant(time.Second))
			now += gap
			s.Observe(now, o)
			n := r.Uint64N(5)
			o.Arrived += n
			if o.Serving == 0 {
				o.Missed += n
			}
			o.Load, o.Serving = int32(r.IntN(9)), int32(r.IntN(2))
			s.Observe(now, o)
		}
		var in [3]int64
		for i := range s.tracks {
			in[i] = s.tracks[i].total(&s.rules.Policies[i], 1)
			for _, x := range s.tracks[i].points {
				in[i] += x.total
			}
		}
		// A total of calls in flight is rounded down to thousandths in each of the 90 points.
		if in[0] != 1000*int64(o.Arrived) || in[1] != 1000*int64(o.Missed) || in[2] > 1000*seconds/60 || in[2] < 1000*seconds/60-95 {
			t.Errorf("%v in the points, of %d calls, %d that found nothing, and %d call-seconds", in, o.Arrived, o.Missed, seconds)
		}
	}
}

// The longest and largest of everything is counted without wrapping.
func TestLargestPoint(t *testing.T) {
	p := Policy{Kind: Stepping, Metric: MetricConcurrency, Period: time.Hour, Target: 1, Points: 1, Adjust: Change, Steps: []Step{{0, Open, 1}}}
	s := New(0, Rules{Max: 1, Policies: []Policy{p}})
	s.Observe(0, Observation{Load: 1 << 30, Serving: MaxInstances})
	s.Observe(Instant(time.Hour), Observation{Load: 1 << 30})
	if x := s.tracks[0].points[0]; x.total != 1000*maxLoad || x.value(p.Metric) != 1000*maxLoad/MaxInstances {
		t.Errorf("%+v", x)
	}
	k := track{sum: 1<<64 - 1}
	if n := k.total(&Policy{Metric: MetricInvocations}, 1); n != maxTotal {
		t.Error(n)
	}
}
