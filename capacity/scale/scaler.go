package scale

import "time"

// Observation is what is to be known of a pool at an instant. Arrived and Missed only grow.
type Observation struct {
	// Arrived are the calls that have come, Missed those of them that found no instance up.
	Arrived, Missed uint64
	// Load are the calls in flight, those that wait included; Serving the instances that are up.
	Load, Serving int32
	// Committed are the instances that back what is sold, which are there whatever the rules make of the calls, as far as Max allows.
	Committed int32
}

// Scaler keeps the desired number of instances. It is not safe for concurrent use.
type Scaler struct {
	rules   Rules
	now     Instant
	seen    Observation
	desired int32
	tracks  []track // of Rules.Policies

	fewer    bool // fewer were enough
	since    Instant
	outBase  int32 // what steps count from until outUntil
	outUntil Instant
	inFrom   Instant // no fewer before
	ready    Instant // when the first of them is up, as far as Start tells
}

// New returns a Scaler with as many instances as its rules have at least. The rules must be valid.
func New(now Instant, r Rules) *Scaler {
	s := &Scaler{now: max(now, 0)}
	s.ready = s.now.add(r.Start)
	s.configure(r)
	return s
}

// Desired is how many instances there should be.
func (s *Scaler) Desired() int32 { return s.desired }

// floor is the least number of instances.
func (s *Scaler) floor() int32 {
	return min(max(s.rules.Min, s.rules.Provisioned, s.seen.Committed), s.rules.Max)
}

// Rules are those in force.
func (s *Scaler) Rules() *Rules { return &s.rules }

// ReadyIn is how long it takes until an instance is up, as far as Rules.Start tells.
func (s *Scaler) ReadyIn(now Instant) time.Duration {
	switch {
	case s.seen.Serving > 0:
		return 0
	case s.desired == 0:
		return s.rules.Start
	default:
		return time.Duration(max(0, s.ready-now))
	}
}

// Configure puts other rules in force from now on. What policies of the same metric and period have seen is kept.
func (s *Scaler) Configure(now Instant, r Rules) {
	s.pass(max(now, s.now))
	s.configure(r)
	s.follow(s.now)
}

func (s *Scaler) configure(r Rules) {
	tracks := make([]track, len(r.Policies))
	for i := range r.Policies {
		p := &r.Policies[i]
		tracks[i].start = begin(s.now, p.period())
		if i >= len(s.tracks) {
			continue
		}
		if old := &s.rules.Policies[i]; old.Metric == p.Metric && old.period() == p.period() && old.points() == p.points() {
			tracks[i] = s.tracks[i]
		}
	}
	s.rules, s.tracks = r.clone(), tracks
	if n := min(max(s.desired, s.floor()), r.Max); n != s.desired {
		s.take(s.now, n)
	}
}

// Set makes the number another one by hand, within the bounds.
func (s *Scaler) Set(now Instant, n int32) {
	s.pass(max(now, s.now))
	if n = min(max(n, s.floor()), s.rules.Max); n != s.desired {
		s.take(s.now, n)
	}
	s.follow(s.now)
}

// take changes the number, and begins the cooldown of fewer.
func (s *Scaler) take(t Instant, n int32) {
	if s.desired == 0 {
		s.ready = t.add(s.rules.Start)
	}
	complete := t
	if n > s.desired {
		complete = t.add(s.rules.Start)
	}
	if d := s.rules.cooldown(); d > 0 {
		s.inFrom = max(s.inFrom, complete.add(d))
	}
	s.desired = n
}

// Observe takes in how the pool stands at an instant. A time before the last one counts as the last one.
func (s *Scaler) Observe(now Instant, o Observation) {
	s.pass(max(now, s.now))
	o.Load, o.Serving = min(max(o.Load, 0), maxLoad), min(max(o.Serving, 0), MaxInstances)
	o.Committed = min(max(o.Committed, 0), MaxInstances)
	o.Arrived = max(o.Arrived, s.seen.Arrived)
	o.Missed = min(max(o.Missed, s.seen.Missed), o.Arrived)
	missed := o.Missed > s.seen.Missed
	for i := range s.tracks {
		switch s.rules.Policies[i].Metric {
		case MetricInvocations:
			s.tracks[i].sum = plus(s.tracks[i].sum, o.Arrived-s.seen.Arrived)
		case MetricNoCapacity:
			s.tracks[i].sum = plus(s.tracks[i].sum, o.Missed-s.seen.Missed)
		default:
		}
	}
	s.seen = o
	if missed && s.desired == 0 && s.rules.Max > 0 {
		s.take(s.now, 1)
	}
	s.follow(s.now)
}

// plus is a sum that does not wrap.
func plus(a, b uint64) uint64 {
	if c := a + b; c >= a {
		return c
	}
	return 1<<64 - 1
}

// pass lets time go on to an instant, and does what becomes due on the way.
func (s *Scaler) pass(now Instant) {
	for {
		at, ok := s.next()
		if !ok || at > now {
			break
		}
		at = max(at, s.now)
		s.reach(at)
		closed := false
		for i := range s.tracks {
			p := &s.rules.Policies[i]
			if s.tracks[i].end(p) <= at {
				s.tracks[i].close(p, s.rules.slots(), s.seen.Serving)
				closed = true
			}
		}
		if closed {
			s.evaluate(at)
		}
		s.follow(at)
		s.skip(now)
	}
	s.reach(now)
}

// reach adds up what was in flight until an instant.
func (s *Scaler) reach(t Instant) {
	passed := uint64(t - s.now)
	for i := range s.tracks {
		if m := s.rules.Policies[i].Metric; m == MetricConcurrency || m == MetricUtilisation {
			s.tracks[i].sum = plus(s.tracks[i].sum, passed*uint64(s.seen.Load))
		}
	}
	s.now = t
}

// next returns when something becomes due: the end of a period, or of an idle time.
func (s *Scaler) next() (Instant, bool) {
	at, ok := forever, false
	for i := range s.tracks {
		at, ok = min(at, s.tracks[i].end(&s.rules.Policies[i])), true
	}
	if s.fewer {
		at, ok = min(at, s.fewerFrom()), true
	}
	return at, ok && at < forever
}

// NextWake returns when time has to be told at the latest, if nothing is observed before: not at all while nothing can change.
func (s *Scaler) NextWake() (Instant, bool) {
	if s.quiet() {
		return s.fewerFrom(), s.fewer
	}
	return s.next()
}

// fewerFrom is when fewer have been enough for long enough.
func (s *Scaler) fewerFrom() Instant { return max(s.since.add(s.rules.Idle), s.inFrom) }

// follow takes what has to be taken at once: no fewer than the floor, one for the first call, and with Follow what the calls in flight need.
func (s *Scaler) follow(t Instant) {
	r := &s.rules
	want := s.desired
	switch {
	case r.Follow:
		want = int32(min((int64(s.seen.Load)+r.slots()-1)/r.slots(), MaxInstances))
	case s.seen.Load > 0:
		want = max(want, 1)
	case r.Idle > 0:
		want = 0
	}
	want = min(max(want, s.floor()), r.Max)
	switch {
	case want > s.desired:
		s.fewer = false
		s.take(t, want)
	case want == s.desired:
		s.fewer = false
	default:
		if !s.fewer {
			s.fewer, s.since = true, t
		}
		if t >= s.fewerFrom() {
			s.fewer = false
			s.take(t, want)
		}
	}
}
