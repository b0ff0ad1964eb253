package scale

// wish is what the policies want at the end of a period.
type wish struct {
	out, in int32
	outBy   *Policy // who wants more, nil for nobody
	ready   bool    // somebody wants fewer
	blocked bool    // a target tracking policy is not ready for fewer
}

// evaluate does what the policies want at the end of a period.
func (s *Scaler) evaluate(t Instant) {
	var w wish
	for i := range s.rules.Policies {
		p := &s.rules.Policies[i]
		if p.Kind == Tracking {
			s.tracking(&w, p, s.tracks[i].points)
		} else {
			s.stepping(&w, p, s.tracks[i].points, t)
		}
	}
	if out := min(w.out, s.rules.Max); w.outBy != nil && out > s.desired {
		s.more(t, out, w.outBy)
		return
	}
	if !w.ready || w.blocked || t < s.inFrom {
		return
	}
	least := s.floor()
	if s.seen.Load > 0 {
		least = max(least, 1) // what is under way keeps one
	}
	if n := min(max(w.in, least), s.rules.Max); n < s.desired {
		s.take(t, n)
		s.outUntil = t // more at once, if need be
	}
}

// more takes more instances. The cooldown begins when they are up; until it ends steps count from where the first of them began.
func (s *Scaler) more(t Instant, n int32, by *Policy) {
	if t >= s.outUntil {
		s.outBase = s.desired
	}
	s.take(t, n)
	s.outUntil = t.add(s.rules.Start).add(by.OutCooldown)
}

func (w *wish) more(n int32, by *Policy) {
	if n > w.out || w.outBy == nil {
		w.out, w.outBy = n, by
	}
}

func (w *wish) fewer(n int32) {
	if !w.ready || n > w.in {
		w.in, w.ready = n, true
	}
}

func (s *Scaler) tracking(w *wish, p *Policy, points []point) {
	if n := len(points); n >= high {
		above := true
		for _, x := range points[n-high:] {
			above = above && x.above(p.Target)
		}
		if above {
			w.more(instances(points[n-1].total, p.Target), p)
		}
	}
	if p.NoScaleIn {
		return
	}
	lows, most := p.lows(), int64(0)
	if len(points) < lows {
		w.blocked = true
		return
	}
	for _, x := range points[len(points)-lows:] {
		if !x.below(p.Target, lowShare) {
			w.blocked = true
			return
		}
		most = max(most, x.total)
	}
	w.fewer(instances(most, p.Target))
}

func (s *Scaler) stepping(w *wish, p *Policy, points []point, t Instant) {
	if n := int(p.looksAt()); len(points) > n {
		points = points[len(points)-n:]
	}
	breaching := int32(0)
	for _, x := range points {
		if v := x.value(p.Metric); p.Below && v <= p.Target || !p.Below && v >= p.Target {
			breaching++
		}
	}
	if breaching < p.breaching() {
		return
	}
	by, ok := p.step(points[len(points)-1].value(p.Metric) - p.Target)
	if !ok {
		return
	}
	base := s.desired
	if t < s.outUntil {
		base = s.outBase
	}
	switch n := p.adjusted(base, by); {
	case n > s.desired:
		w.more(n, p)
	case by < 0 || p.Adjust == Exact:
		if n = p.adjusted(s.desired, by); n < s.desired {
			w.fewer(n)
		}
	}
}

// step returns the number of the step for a difference from the threshold.
func (p *Policy) step(d int64) (by int32, ok bool) {
	for _, x := range p.Steps {
		if p.Below && x.From < d && d <= x.To || !p.Below && x.From <= d && d < x.To {
			return x.By, true
		}
	}
	return 0, false
}

// adjusted returns the number of instances after a step.
func (p *Policy) adjusted(base, by int32) int32 {
	change := int64(by)
	switch p.Adjust {
	case Exact:
		return by
	case Percent:
		change = percent(int64(base), int64(by), int64(max(1, p.Least)))
	default:
	}
	return int32(min(max(int64(base)+change, 0), MaxInstances))
}

// percent is so many per cent of a number, rounded toward zero, but at least so many.
func percent(of, by, least int64) int64 {
	n := of * by / 100
	switch {
	case by > 0:
		return max(n, least)
	case by < 0:
		return min(n, -least)
	default:
		return 0
	}
}
