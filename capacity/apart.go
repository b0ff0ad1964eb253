package capacity

import (
	"math"
	"slices"
)

// Parts on isolated replicas. The slots of a part are of what backs its purchase: of its shared slots, or of a purchase that has none, of the
// replicas that are its own:
//
//	excess of a part there = firm calls of the part there beyond its slots
//	use of the undivided   = firm calls there of the purchase, and of others that were lent to and have begun to answer, and the excess of its parts
//	the undivided          = slots of the replicas that are up, less the slots of all parts, and at least one, so that nobody waits for ever
//
// A firm call starts there while the use of the undivided stays within the undivided, or does not grow. A call that can be recalled
// starts on any free slot, as everywhere.

// apart is where a reservation stands on isolated replicas.
type apart struct {
	use    int32 // of a part, its firm calls on the replicas of its purchase
	excess int32 // of that, beyond its slots
	shared int32 // of a purchase, the use of what is undivided
	given  int32 // of a purchase, the slots of its parts
	kin    struct {
		own  int32 // of a purchase, how many waiting calls of its parts could have slots of their own
		rest int32 // how many more calls of it and its parts wait
	}
	own, rest int32 // of that, those of the reservation itself
}

// slotsApart are the slots of a part on the replicas of its purchase.
func (s *State) slotsApart(r *reservation) int32 {
	if r.parent == 0 || r.removed || s.reservations.items[r.parent].Slots > 0 {
		return 0
	}
	return r.Slots
}

// left is what of a purchase's own replicas no part has and nobody uses; without a bound where nothing is divided.
func (r *reservation) left() int32 {
	if r.apart.given == 0 {
		return math.MaxInt32
	}
	return max(0, r.undividedApart()-r.apart.shared)
}

// undividedApart are the slots of a purchase's own replicas that no part has.
func (r *reservation) undividedApart() int32 { return max(1, r.own.slots-r.apart.given) }

// ownerOf returns the reservation whose replicas a reservation's calls have for themselves: its own, or its purchase's; 0 for none that is up.
func (s *State) ownerOf(ri int32) int32 {
	r := &s.reservations.items[ri]
	switch {
	case r.own.up > 0:
		return ri
	case r.parent != 0 && s.reservations.items[r.parent].own.up > 0:
		return r.parent
	default:
		return 0
	}
}

// mayStartApart says whether a firm call of a reservation may have a slot of the replicas that are isolated for it by their owner, if there is one.
func (s *State) mayStartApart(ri, owner int32) bool {
	r := &s.reservations.items[ri]
	return ri != owner && r.apart.use < s.slotsApart(r) || s.reservations.items[owner].left() > 0
}

// occupyApart counts a firm call that has a slot of an isolated replica that is up, or has it no more.
func (s *State) occupyApart(c *call, r *replica, by int32) {
	oi := s.reservationByID[r.Reservation]
	if oi == 0 || s.reservations.items[oi].pool != r.pool {
		return
	}
	f := &s.reservations.items[oi]
	had := f.left()
	part := c.reservation != 0 && s.reservations.items[c.reservation].parent == oi
	if part {
		x := &s.reservations.items[c.reservation]
		x.apart.use += by
		excess := max(0, x.apart.use-s.slotsApart(x))
		f.apart.shared += excess - x.apart.excess
		x.apart.excess = excess
	} else {
		f.apart.shared += by
	}
	switch has := f.left(); {
	case f.apart.given == 0:
		return
	case (had > 0) != (has > 0):
		s.seatKin(oi)
	case part:
		s.seat(c.reservation)
	}
	s.thirst(oi)
}

// thirst notes that calls of a reservation may want slots of its own replicas back.
func (s *State) thirst(ri int32) {
	if r := &s.reservations.items[ri]; !r.thirsty {
		r.thirsty = true
		p := &s.pools.items[r.pool]
		p.thirsty = append(p.thirsty, ri)
	}
}

// wantApart counts how many calls of a reservation wait for replicas of its purchase's own, and how many of them for slots of the part's.
func (s *State) wantApart(ri int32, waits int32) {
	r := &s.reservations.items[ri]
	f, own := r, int32(0)
	if r.parent != 0 {
		f = &s.reservations.items[r.parent]
		own = min(waits, max(0, s.slotsApart(r)-r.apart.use))
	}
	f.apart.kin.own += own - r.apart.own
	f.apart.kin.rest += waits - own - r.apart.rest
	r.apart.own, r.apart.rest = own, waits-own
}

// recallApart asks for as many slots of a purchase's own replicas back as calls of it and its parts wait that may have them.
func (s *State) recallApart(fi int32) {
	f := &s.reservations.items[fi]
	claims := f.apart.kin.own + min(f.left(), f.apart.kin.rest)
	if f.own.recalling >= claims {
		return
	}
	s.recallApartFor(fi, fi, claims)
	for _, part := range f.parts {
		s.recallApartFor(fi, part, claims)
	}
}

// recallApartFor asks for slots back on behalf of one reservation.
func (s *State) recallApartFor(fi, ri, claims int32) {
	f, r := &s.reservations.items[fi], &s.reservations.items[ri]
	if r.node == 0 || s.nodes.items[r.node].waits() == 0 || s.ownerOf(ri) != fi || !s.mayStartApart(ri, fi) {
		return
	}
	c := s.calls.at(s.headOf(&s.nodes.items[r.node]))
	for f.own.recalling < claims {
		victim := s.victim(&s.pools.items[f.pool], &f.own, c)
		if victim == 0 {
			return
		}
		s.preempt(victim)
	}
}

// awaited says whether a call waits for memory of an isolated replica, which is not lent to others meanwhile. One that waited for nothing else than a
// slot would have started where there is one.
func (s *State) awaited(r *replica) bool {
	oi := s.reservationByID[r.Reservation]
	if oi == 0 || s.reservations.items[oi].pool != r.pool || len(s.pools.items[r.pool].seats[seatIsolated]) == 0 {
		return false
	}
	waits := func(ri int32) bool {
		x := &s.reservations.items[ri]
		if x.node == 0 || s.nodes.items[x.node].seat != seatIsolated || s.ownerOf(ri) != oi {
			return false
		}
		return !s.calls.at(s.headOf(&s.nodes.items[x.node])).hasFailedOn(r.ID)
	}
	return waits(oi) || slices.ContainsFunc(s.reservations.items[oi].parts, waits)
}

// recallMemory asks for memory of isolated replicas back that calls wait for which have a slot there: one lent call after the other, until it fits.
func (s *State) recallMemory(p *pool) {
	if p.owned.borrowed == p.owned.recalling {
		return
	}
	s.eachSeated(p.seats[seatIsolated], func(ci int32) bool {
		c := s.calls.at(ci)
		if k := s.ownRack(c); k.recalling == 0 && s.lacksMemory(p, c) {
			if victim := s.victim(p, k, c); victim != 0 {
				s.preempt(victim)
			}
		}
		return true
	})
}
