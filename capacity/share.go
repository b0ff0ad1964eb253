package capacity

// shareGranted gives a bucket a share of a wider limit.
func (s *State) shareGranted(ev *Event) {
	bi := s.bucketByID[ev.Bucket]
	if bi == 0 {
		s.stats.Ignored++
		return
	}
	b := &s.buckets.items[bi]
	b.drain(s.now)
	b.Share, b.granted, b.asked = true, true, false
	b.Rate, b.Depth, b.until = amount(ev.Rate), amount(ev.Depth), ev.Until
}

// shareEnded takes a share back.
func (s *State) shareEnded(ev *Event) {
	bi := s.bucketByID[ev.Bucket]
	if bi == 0 || !s.buckets.items[bi].granted {
		s.stats.Ignored++
		return
	}
	b := &s.buckets.items[bi]
	b.drain(s.now)
	b.granted, b.asked = false, false
	s.emit(Action{Kind: ActionShareReturned, Bucket: b.ID, Amount: whole(b.depth().sub(b.total()))})
}

// wantShare asks, once per grant, for a share that was too small.
func (s *State) wantShare(b *bucket, x int64) {
	if b.Share && !b.asked {
		b.asked = true
		s.emit(Action{Kind: ActionShareWanted, Bucket: b.ID, Amount: x})
	}
}

// wallClock starts a period of a calendar.
func (s *State) wallClock(ev *Event) {
	cal := s.calendars[ev.Calendar]
	if ev.Period < cal.period || ev.Calendar == 0 {
		s.stats.Ignored++
		return
	}
	s.calendars[ev.Calendar] = calendar{period: ev.Period, ends: ev.At}
}

// charge rebuilds usage from the ledger.
func (s *State) charge(ev *Event) {
	x := amount(ev.Amount)
	switch bi, ki := s.bucketByID[ev.Bucket], s.counterByID[ev.Counter]; {
	case bi != 0:
		s.buckets.items[bi].rebuild(s.now, ev.At, x)
	case ki != 0 && s.counters.items[ki].Measure != MeasureConcurrent:
		k := &s.counters.items[ki]
		k.roll(s.calendars[k.Calendar])
		if ev.Period == k.period {
			k.used = sum(k.used, x)
		}
	default:
		s.stats.Ignored++
	}
}
