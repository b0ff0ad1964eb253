package scale

import "forebay/capacity/codec"

// Describe writes or reads rules.
func (r *Rules) Describe(c *codec.Codec) {
	for _, n := range []*int32{&r.Min, &r.Max, &r.Provisioned, &r.Slots} {
		codec.Int(c, n)
	}
	codec.Int(c, &r.Start)
	c.Bool(&r.Follow)
	codec.Int(c, &r.Idle)
	list(c, &r.Policies, (*Policy).describe)
}

// list describes the items of a slice.
func list[T any](c *codec.Codec, items *[]T, describe func(*T, *codec.Codec)) {
	for i := range c.Len(len(*items)) {
		if c.Reading() {
			var x T
			*items = append(*items, x)
		}
		describe(&(*items)[i], c)
		if c.Err() != nil {
			return
		}
	}
}

func (p *Policy) describe(c *codec.Codec) {
	codec.Uint(c, &p.Kind)
	codec.Uint(c, &p.Metric)
	codec.Int(c, &p.Period)
	codec.Int(c, &p.Target)
	codec.Int(c, &p.OutCooldown)
	codec.Int(c, &p.InCooldown)
	c.Bool(&p.NoScaleIn)
	c.Bool(&p.Below)
	codec.Int(c, &p.Points)
	codec.Int(c, &p.Breaching)
	codec.Uint(c, &p.Adjust)
	codec.Int(c, &p.Least)
	list(c, &p.Steps, func(s *Step, c *codec.Codec) {
		codec.Int(c, &s.From)
		codec.Int(c, &s.To)
		codec.Int(c, &s.By)
	})
}

// Describe writes all that decides what the Scaler does next, or reads it into a new one. What cannot have been written is an error.
func (s *Scaler) Describe(c *codec.Codec) {
	s.rules.Describe(c)
	if c.Reading() && c.Err() == nil {
		if err := s.rules.Validate(); err != nil {
			c.Fail("%v", err)
			return
		}
	}
	codec.Int(c, &s.now)
	codec.Uint(c, &s.seen.Arrived)
	codec.Uint(c, &s.seen.Missed)
	for _, n := range []*int32{&s.seen.Load, &s.seen.Serving, &s.seen.Committed, &s.desired, &s.outBase} {
		codec.Int(c, n)
	}
	c.Bool(&s.fewer)
	for _, t := range []*Instant{&s.since, &s.outUntil, &s.inFrom, &s.ready} {
		codec.Int(c, t)
	}
	if c.Reading() {
		s.tracks = make([]track, len(s.rules.Policies))
	}
	for i := range s.tracks {
		k := &s.tracks[i]
		codec.Uint(c, &k.sum)
		codec.Int(c, &k.start)
		list(c, &k.points, func(x *point, c *codec.Codec) {
			codec.Int(c, &x.total)
			codec.Int(c, &x.serving)
		})
	}
	if c.Reading() && c.Err() == nil && !s.sound() {
		c.Fail("a scaler in a state that it cannot be in")
	}
}

// sound says whether the numbers are within their bounds.
func (s *Scaler) sound() bool {
	within := func(n, most int32) bool { return n >= 0 && n <= most }
	ok := s.now >= 0 && within(s.seen.Load, maxLoad) && within(s.seen.Serving, MaxInstances) && within(s.seen.Committed, MaxInstances) && within(s.desired, s.rules.Max) &&
		s.desired >= s.floor() && within(s.outBase, MaxInstances) && s.seen.Missed <= s.seen.Arrived &&
		s.since >= 0 && s.outUntil >= 0 && s.inFrom >= 0 && s.ready >= 0 && (!s.fewer || s.since <= s.now)
	for i := range s.tracks {
		p, k := &s.rules.Policies[i], &s.tracks[i]
		ok = ok && k.start == begin(s.now, p.period()) && len(k.points) <= p.points() && s.summed(i)
		for _, x := range k.points {
			ok = ok && x.total >= 0 && x.total <= maxTotal && within(x.serving, MaxInstances)
		}
	}
	return ok
}

// summed says whether the sum of a present period can have come about.
func (s *Scaler) summed(i int) bool {
	p, k := &s.rules.Policies[i], &s.tracks[i]
	if p.Metric == MetricConcurrency || p.Metric == MetricUtilisation {
		return k.sum <= uint64(s.now-k.start)*maxLoad
	}
	return true
}
