package capacity

// wantReplicas follows the demand of an elastic pool.
func (s *State) wantReplicas(pi int32) {
	p := &s.pools.items[pi]
	if p.MaxReplicas <= 0 {
		s.stopShrinking(pi)
		return
	}
	per := max(1, p.SlotsPerReplica)
	want := min(max((p.busy+p.waiting+per-1)/per, p.MinReplicas), p.MaxReplicas)
	switch {
	case want > p.wanted:
		s.setWanted(pi, want)
	case want == p.wanted:
		s.stopShrinking(pi)
	case !p.shrinks:
		p.shrinks, p.lowSince = true, s.now
		s.shrinking = append(s.shrinking, pi)
		if p.ShrinkAfter <= 0 {
			s.setWanted(pi, want)
		}
	case s.now >= p.lowSince.add(p.ShrinkAfter):
		s.setWanted(pi, want)
	}
}

func (s *State) setWanted(pi, want int32) {
	s.stopShrinking(pi)
	p := &s.pools.items[pi]
	p.wanted = want
	s.emit(Action{Kind: ActionWantReplicas, Pool: p.ID, N: want})
}

func (s *State) stopShrinking(pi int32) {
	p := &s.pools.items[pi]
	if !p.shrinks {
		return
	}
	p.shrinks = false
	for i, x := range s.shrinking {
		if x == pi {
			s.shrinking = append(s.shrinking[:i], s.shrinking[i+1:]...)
			return
		}
	}
}
