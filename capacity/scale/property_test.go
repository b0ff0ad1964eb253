package scale_test

import (
	"bytes"
	"testing"
	"time"

	"forebay/capacity/codec"
	"forebay/capacity/scale"

	"pgregory.net/rapid"
)

func drawPolicy(t *rapid.T) scale.Policy {
	p := scale.Policy{
		Kind:   scale.Kind(rapid.IntRange(1, 2).Draw(t, "kind")),
		Metric: scale.Metric(rapid.IntRange(1, 4).Draw(t, "metric")),
		Period: rapid.SampledFrom([]time.Duration{0, 10 * time.Second, time.Minute, 5 * time.Minute}).Draw(t, "period"),
		Target: rapid.Int64Range(1, 20_000).Draw(t, "target"),
	}
	p.OutCooldown, p.InCooldown = drawTime(t, "out"), drawTime(t, "in")
	if p.Kind == scale.Tracking {
		if p.Metric == scale.MetricNoCapacity {
			p.Metric = scale.MetricInvocations
		}
		p.NoScaleIn = rapid.Bool().Draw(t, "no scale-in")
		return p
	}
	p.Below, p.Points = rapid.Bool().Draw(t, "below"), rapid.Int32Range(0, 5).Draw(t, "points")
	p.Adjust, p.Least = scale.Adjustment(rapid.IntRange(1, 3).Draw(t, "adjust")), rapid.Int32Range(0, 2).Draw(t, "least")
	least := int32(-60)
	if p.Adjust == scale.Exact {
		least = 0
	}
	p.Steps = []scale.Step{
		{From: -scale.Open, To: 0, By: rapid.Int32Range(least, 0).Draw(t, "first")},
		{From: 0, To: 5000, By: rapid.Int32Range(least, 60).Draw(t, "second")},
		{From: 5000, To: scale.Open, By: rapid.Int32Range(least, 60).Draw(t, "third")},
	}
	return p
}

func drawTime(t *rapid.T, what string) time.Duration {
	return rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute, 5 * time.Minute}).Draw(t, what)
}

func drawRules(t *rapid.T) scale.Rules {
	r := scale.Rules{
		Max: rapid.Int32Range(0, 12).Draw(t, "max"), Slots: rapid.Int32Range(0, 4).Draw(t, "slots"), Start: drawTime(t, "start"),
		Follow: rapid.Bool().Draw(t, "follow"), Idle: drawTime(t, "idle"),
	}
	r.Min, r.Provisioned = rapid.Int32Range(0, r.Max).Draw(t, "min"), rapid.Int32Range(0, r.Max).Draw(t, "provisioned")
	if !r.Follow {
		for range rapid.IntRange(0, 3).Draw(t, "policies") {
			r.Policies = append(r.Policies, drawPolicy(t))
		}
	}
	return r
}

// cooldown is the longest one of fewer instances.
func cooldown(r *scale.Rules) (d time.Duration) {
	for i := range r.Policies {
		d = max(d, r.Policies[i].InCooldown)
	}
	return d
}

// watch follows a scaler that is told of time when it has to be, and checks what must always be true of it.
type watch struct {
	t       *rapid.T
	s       *scale.Scaler
	r       scale.Rules
	now     scale.Instant
	seen    scale.Observation
	last    int32
	changed scale.Instant // when a rule changed the number last; -1 is never
}

func (w *watch) observe() {
	w.s.Observe(w.now, w.seen)
	n, floor := w.s.Desired(), min(max(w.r.Min, w.r.Provisioned, w.seen.Committed), w.r.Max)
	switch since := time.Duration(w.now - w.changed); {
	case n < floor || n > w.r.Max:
		w.t.Fatalf("%d instances, of %d to %d", n, floor, w.r.Max)
	case n < w.last && w.changed >= 0 && since < cooldown(&w.r):
		w.t.Fatalf("from %d to %d, %v after a change, with a cooldown of %v", w.last, n, since, cooldown(&w.r))
	case n < w.last && n == 0 && w.seen.Load > 0:
		w.t.Fatalf("none under %d calls", w.seen.Load)
	case n != w.last:
		w.last, w.changed = n, w.now
	}
}

func (w *watch) pass(to scale.Instant) {
	for {
		at, ok := w.s.NextWake()
		if !ok || at > to {
			break
		}
		if at <= w.now {
			w.t.Fatalf("wakes at %v, and it is %v", at, w.now)
		}
		w.now = at
		w.observe()
	}
	w.now = to
	w.observe()
}

// change draws what happens to the pool.
func (w *watch) change() {
	switch rapid.IntRange(0, 3).Draw(w.t, "what") {
	case 0:
		n := rapid.Uint64Range(0, 50).Draw(w.t, "calls")
		w.seen.Arrived += n
		if w.seen.Serving == 0 {
			w.seen.Missed += n
		}
	case 1:
		w.seen.Load = rapid.SampledFrom([]int32{0, 0, 1, 3, 10, 40}).Draw(w.t, "load")
	case 2:
		w.seen.Committed = rapid.Int32Range(0, 9).Draw(w.t, "sold")
	default:
		w.seen.Serving = w.s.Desired()
	}
}

// The number is always within its bounds; it falls by a rule never before the cooldown of fewer has passed since it was changed, and never to 0
// under calls; and scalers that are told of time when they ask for it, at other times besides, or only when something happens are the same.
func TestScalerKeepsItsPromises(t *testing.T) {
	gaps := []time.Duration{0, time.Millisecond, time.Second, 10 * time.Second, 50 * time.Second, 3 * time.Minute, 20 * time.Minute, 7 * time.Hour}
	rapid.Check(t, func(t *rapid.T) {
		r := drawRules(t)
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		w := &watch{t: t, s: scale.New(0, r), r: r, changed: -1}
		w.last = w.s.Desired()
		often, seldom := scale.New(0, r), scale.New(0, r)
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			from, to := w.now, w.now+scale.Instant(rapid.SampledFrom(gaps).Draw(t, "gap"))
			seen := w.seen
			w.pass(to)
			for k := range scale.Instant(4) {
				often.Observe(from+(to-from)*k/4, seen)
			}
			often.Observe(to, seen)
			w.change()
			w.observe()
			often.Observe(to, w.seen)
			seldom.Observe(to, w.seen)
			if a := snapshot(w.s); !bytes.Equal(a, snapshot(often)) || !bytes.Equal(a, snapshot(seldom)) {
				t.Fatalf("%d, %d and %d instances, or other states", w.s.Desired(), often.Desired(), seldom.Desired())
			}
			if rapid.IntRange(0, 9).Draw(t, "restored") == 0 {
				w.s = restored(t, w.s)
			}
		}
	})
}

// Rules change on the way: the bounds hold at once, and by the new rules.
func TestBoundsHoldAtOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := scale.New(0, drawRules(t))
		now, seen := scale.Instant(0), scale.Observation{}
		for range rapid.IntRange(1, 20).Draw(t, "changes") {
			now += scale.Instant(drawTime(t, "gap"))
			seen.Load, seen.Serving = rapid.Int32Range(0, 20).Draw(t, "load"), s.Desired()
			s.Observe(now, seen)
			r := drawRules(t)
			s.Configure(now, r)
			if rapid.Bool().Draw(t, "by hand") {
				s.Set(now, rapid.Int32Range(0, 20).Draw(t, "hand"))
			}
			if n := s.Desired(); n < min(max(r.Min, r.Provisioned), r.Max) || n > r.Max {
				t.Fatalf("%d instances by %+v", n, r)
			}
		}
	})
}

// A target that tracking has reached is held: with the number that it took, no point of those that it looked at lies above the target.
func TestTrackingBringsTheMetricToTheTarget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		target, load := rapid.Int64Range(500, 20_000).Draw(t, "target"), rapid.Int32Range(1, 2000).Draw(t, "load")
		s := scale.New(0, scale.Rules{Min: 1, Max: scale.MaxInstances, Policies: []scale.Policy{{Kind: scale.Tracking, Metric: scale.MetricConcurrency, Target: target}}})
		if rapid.Bool().Draw(t, "from above") {
			s.Set(0, 5000)
		}
		s.Observe(0, scale.Observation{Load: load, Serving: s.Desired()})
		for range 1000 {
			if at, ok := s.NextWake(); ok {
				s.Observe(at, scale.Observation{Load: load, Serving: s.Desired()})
			}
		}
		n := int64(s.Desired())
		if each := 1000 * int64(load); each > n*target || n > 1 && each < (n-1)*target*9/10 {
			t.Fatalf("%d instances for %d calls, each to have %d thousandths", n, load, target)
		}
		if at, ok := s.NextWake(); ok {
			t.Fatalf("wakes at %v with nothing to do", at)
		}
	})
}

// Bytes from anywhere make a scaler that keeps its promises, or an error.
func FuzzScaler(f *testing.F) {
	busy := scale.New(0, scale.Rules{Min: 1, Max: 9, Start: time.Minute, Slots: 4, Policies: []scale.Policy{
		{Kind: scale.Tracking, Metric: scale.MetricInvocations, Target: 30_000, InCooldown: time.Minute},
		{Kind: scale.Stepping, Metric: scale.MetricUtilisation, Target: 700, Adjust: scale.Percent, Steps: []scale.Step{{From: 0, To: scale.Open, By: 50}}},
	}})
	for i := range scale.Instant(40) {
		busy.Observe(i*10e9, scale.Observation{Arrived: uint64(10 * i), Load: int32(i), Serving: busy.Desired()})
	}
	f.Add(snapshot(busy), []byte{1, 2, 3, 200, 9, 250, 17, 80})
	f.Add(snapshot(scale.New(0, scale.Rules{Max: 3, Follow: true, Idle: time.Minute})), []byte{255, 0, 1, 7, 3, 3})
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, raw, events []byte) {
		s := new(scale.Scaler)
		c := codec.Reader(raw)
		if s.Describe(c); c.Done() != nil {
			return
		}
		if !bytes.Equal(snapshot(s), raw) {
			t.Fatal("a snapshot that is read is written otherwise")
		}
		var seen scale.Observation
		now := scale.Instant(0)
		for i, e := range events {
			switch e % 4 {
			case 0:
				now += scale.Instant(e) << (e % 40)
			case 1:
				seen.Load = int32(e) << (e % 24)
			case 2:
				seen.Serving = int32(e) - 100
			default:
				seen.Arrived += uint64(e)
				seen.Missed += uint64(i % 2)
			}
			s.Observe(now, seen)
			r := s.Rules()
			if n := s.Desired(); n < min(max(r.Min, r.Provisioned), r.Max) || n > r.Max {
				t.Fatalf("%d instances by %+v", n, r)
			}
			restored(t, s)
		}
	})
}
