package capacity

// Affinity. A call goes to the replica that served its prompt's prefix last, which may have it in its memory still, as far as that is not loaded
// beyond a bound.

// affinity remembers which replica served a prompt prefix last.
type affinity struct {
	prefix  uint64
	replica int32
}

// prefixOf returns the replica that served the call's prefix last, 0 if it is not known.
func (p *pool) prefixOf(c *call) int32 {
	if c.prefix == 0 || len(p.affinity) == 0 {
		return 0
	}
	if e := &p.affinity[c.prefix&uint64(len(p.affinity)-1)]; e.prefix == c.prefix {
		return e.replica
	}
	return 0
}

// affine returns the replica that served the call's prefix last, if it can take it within the load bound.
func (s *State) affine(p *pool, c *call) int32 {
	ri := p.prefixOf(c)
	if ri == 0 {
		return 0
	}
	r := &s.replicas.items[ri]
	if r.pool != c.pool || r.removed || r.Standby || !r.fits(c) || !s.open(c, r) || !s.mayGo(c, r) {
		return 0
	}
	bound := int64(p.AffinityLoad)
	if bound == 0 {
		bound = 1250
	}
	k := s.racksOf(r).narrowest()
	weight := max(1, k.weight)
	even := (int64(k.busy) + 1) * r.weight() * bound
	if int64(r.busy)*weight*1000 >= even { // busy >= even share x bound, so that the call would pass it, rounded up
		return 0
	}
	return ri
}
