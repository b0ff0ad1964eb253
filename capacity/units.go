package capacity

// Reservations are charged as they go. A call is taken while the fill of each unit bucket, before the call, is within its
// depth; its estimated input is charged then, its output as Progress tells of it, and the rest when it is settled. What passes the
// depth is carried as debt. So the most that clients may ask for (max_tokens) costs nothing, and what passes the purchase
// is bounded by what is in flight.
//
// The fill at t is the largest of charges in (u, t] - rate x (t-u) over all u <= t. If the charges of every 60 s stay within one minute of
// the rate, those of k+1 minutes or less stay within k+1 minutes of the rate, so the fill never passes the depth of one minute, and
// no call is refused.
//
// What was charged too much (an estimate of input, all of a call that never ran, the output of an attempt that was lost) comes back by the rule of
// layers: at most what has not drained since the call was taken or, of output, since the attempt's first was charged.

// unitBuckets returns the buckets that a call of a reservation is charged to: its own, and its parent's.
func (s *State) unitBuckets(reservation int32) (buckets [2 * numUnitBuckets]int32) {
	r := &s.reservations.items[reservation]
	copy(buckets[:], r.buckets[:])
	if r.parent != 0 {
		copy(buckets[numUnitBuckets:], s.reservations.items[r.parent].buckets[:])
	}
	return buckets
}

// unitsOf returns what a bucket counts of input and output: the k-th of unitBuckets.
func unitsOf(k int, input, output int64) int64 {
	switch k % numUnitBuckets {
	case 0:
		return input
	case 1:
		return output
	default:
		return sum(input, output)
	}
}

// checkUnits says whether the reservation of the call's lane takes it: of input, output and tokens each while its own fill is
// within the depth, or, of a part, its parent's is: it borrows what the others leave.
func (s *State) checkUnits(c *call) verdict {
	if c.reservation == 0 {
		return verdict{}
	}
	var worst verdict
	buckets := s.unitBuckets(c.reservation)
	for k := range numUnitBuckets {
		bi, parent := buckets[k], buckets[numUnitBuckets+k]
		if bi == 0 {
			continue
		}
		v := s.overUnits(bi)
		if parent != 0 && v.reason != ReasonNone {
			if w := s.overUnits(parent); v.worse(w) {
				v, bi = w, parent
			}
		}
		if v.reason == ReasonNone {
			continue
		}
		b := &s.buckets.items[bi]
		b.stats.refusals++
		s.wantShare(b, c.holdOf(MeasureInput))
		if v.worse(worst) {
			worst = v
		}
	}
	worst.reservation = c.lanes[c.lane].Reservation
	return worst
}

// overUnits says why a unit bucket takes no call now.
func (s *State) overUnits(bi int32) verdict {
	b := &s.buckets.items[bi]
	b.drain(s.now)
	depth, fill := b.depth(), b.total()
	switch {
	case !b.valid(s.now):
		return verdict{reason: ReasonShareEnded, bucket: b.ID}
	case depth.zero():
		return verdict{reason: ReasonZeroLimit, bucket: b.ID}
	case depth.less(fill):
		v := verdict{reason: ReasonReservation, bucket: b.ID, retryAfter: b.wait(fill.sub(depth))}
		v.estimated = b.Share && b.until != 0 && s.now.add(v.retryAfter) >= b.until
		return v
	default:
		return verdict{}
	}
}

// openUnits charges the estimated input of a call that its reservation takes.
func (s *State) openUnits(ci int32) {
	c := s.calls.at(ci)
	c.unitInput, c.unitOutput, c.unitsOpen = c.holdOf(MeasureInput), 0, true
	for k, bi := range s.unitBuckets(c.reservation) {
		if bi == 0 {
			continue
		}
		b := &s.buckets.items[bi]
		b.drain(s.now)
		c.units[k] = unitHold{layer: b.hold(unitsOf(k, c.unitInput, 0))}
	}
}

// chargeUnits brings what a call of a reservation is charged to input and output so far.
func (s *State) chargeUnits(ci int32, input, output int64) {
	c := s.calls.at(ci)
	if !c.unitsOpen {
		return
	}
	for k, bi := range s.unitBuckets(c.reservation) {
		if bi == 0 || input == c.unitInput && output == c.unitOutput {
			continue
		}
		b := &s.buckets.items[bi]
		b.drain(s.now)
		b.recharge(&c.units[k], unitsOf(k, c.unitInput, 0), unitsOf(k, input, 0))
		b.remake(&c.units[k], unitsOf(k, 0, c.unitOutput), unitsOf(k, 0, output))
	}
	c.unitInput, c.unitOutput = input, output
}

// closeUnits charges a call of a reservation for the last time.
func (s *State) closeUnits(ci int32, input, output int64) {
	s.chargeUnits(ci, input, output)
	c := s.calls.at(ci)
	if !c.unitsOpen {
		return
	}
	c.unitsOpen = false
	for k, bi := range s.unitBuckets(c.reservation) {
		if bi == 0 {
			continue
		}
		b := &s.buckets.items[bi]
		b.drain(s.now)
		b.stats.charged = b.stats.charged.add(units(unitsOf(k, input, 0))).add(units(unitsOf(k, 0, output)))
		b.release(c.units[k].layer)
		if c.units[k].made != 0 {
			b.release(c.units[k].made)
		}
	}
}

// recharge changes what a call has been charged of its input: more lies on top, less comes back as a refund does. The bucket has been drained to now.
func (b *bucket) recharge(h *unitHold, was, is int64) {
	if is > was {
		more := units(is - was)
		b.stats.held = b.stats.held.add(more)
		b.push(false, more)
	} else {
		b.giveBack(h.layer, was-is)
	}
}

// remake changes what a call has been charged of its present attempt's output, which comes back as if all of it had been charged with the first of it: at
// most what has not drained since. Later output has drained less, but who was refunded what between two reports of a call is not kept.
func (b *bucket) remake(h *unitHold, was, is int64) {
	switch {
	case is > was:
		more := units(is - was)
		b.stats.held = b.stats.held.add(more)
		if at := b.push(h.made == 0, more); h.made == 0 {
			h.made = at
		}
	case is < was:
		b.giveBack(h.made, was-is)
		if is == 0 {
			b.release(h.made)
			h.made = 0
		}
	}
}

// giveBack refunds what has not drained since the layer at was charged, of x.
func (b *bucket) giveBack(at int32, x int64) {
	less := units(x)
	back := b.take(at, less)
	b.stats.refunded = b.stats.refunded.add(back)
	b.stats.lapsed = b.stats.lapsed.add(less.sub(back))
}
