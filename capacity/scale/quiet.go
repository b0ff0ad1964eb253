package scale

// quiet says that nothing changes as long as nothing else is observed: every data point to come is as those that are there, all cooldowns
// have passed, and what the policies want of such points has been done.
func (s *Scaler) quiet() bool {
	if len(s.tracks) == 0 {
		return true
	}
	rests := s.desired == s.floor() && s.seen.Load == 0
	for i := range s.tracks {
		rests = rests && s.rules.Policies[i].Kind == Tracking
	}
	for i := range s.tracks {
		if !s.still(i, rests) {
			return false
		}
	}
	return rests || s.now >= s.inFrom && s.now >= s.outUntil && s.settled()
}

// still says whether the points of a policy stay what they are. Where all rests there is nothing to be tracked, and nothing to be taken away, however
// many points there are.
func (s *Scaler) still(i int, rests bool) bool {
	p, k := &s.rules.Policies[i], &s.tracks[i]
	x := s.steady(i)
	if rests {
		x = point{serving: -1} // any number
	} else if len(k.points) < p.points() {
		return false
	}
	for _, y := range k.points {
		if y.total != x.total || x.serving >= 0 && y.serving != x.serving {
			return false
		}
	}
	if p.Metric == MetricConcurrency || p.Metric == MetricUtilisation {
		return k.sum == uint64(s.now-k.start)*uint64(s.seen.Load)
	}
	return k.sum == 0
}

// steady is the point of a period in which nothing is observed.
func (s *Scaler) steady(i int) point {
	p := &s.rules.Policies[i]
	k := track{}
	if p.Metric == MetricConcurrency || p.Metric == MetricUtilisation {
		k.sum = uint64(p.period()) * uint64(s.seen.Load)
	}
	return point{k.total(p, s.rules.slots()), s.seen.Serving}
}

// settled says whether the policies leave the number as it is.
func (s *Scaler) settled() bool {
	try := *s
	try.evaluate(s.now)
	return try.desired == s.desired
}

// skip passes over periods in which nothing changes, as far as an instant, with the points that they would have left.
func (s *Scaler) skip(to Instant) {
	if s.fewer {
		to = min(to, s.fewerFrom())
	}
	if len(s.tracks) == 0 || to <= s.now || !s.quiet() {
		return
	}
	for i := range s.tracks {
		p, k := &s.rules.Policies[i], &s.tracks[i]
		x, start := s.steady(i), begin(to, p.period())
		for range min(int64(start-k.start)/int64(p.period()), int64(p.points())) {
			k.keep(p, x)
		}
		if k.start = start; p.Metric == MetricConcurrency || p.Metric == MetricUtilisation {
			k.sum = uint64(to-start) * uint64(s.seen.Load)
		}
	}
	s.now = to
}
