package capacity

import (
	"cmp"
	"slices"
)

// A reservation is a purchase, or a part of one. Its rate is charged as calls go (see Reservation).

// reservation is capacity that was bought.
type reservation struct {
	Reservation
	pool    int32
	parent  int32                 // 0 of a purchase
	parts   []int32               // of a purchase, in ascending order of their handles
	buckets [numUnitBuckets]int32 // 0 is not bounded
	refs    int32                 // calls in flight that use it, and parts
	removed bool

	own     rack   // replicas that are isolated for it
	use     room   // firm calls of its own on shared replicas
	excess  room   // of that, beyond what is its own
	ofParts room   // of a purchase, the excess of its parts
	used    room   // both
	divided room   // what backs the parts
	node    int32  // where it waits, 0 if it has not yet
	demand  demand // of its waiting calls
	kin     demand // of a purchase, of all that belong to it
	due     int32  // of a purchase, how many waiting calls could have slots as it is entitled to
	apart   apart
	away    bool // a part's slots are of the replicas that are its purchase's own
	thirsty bool // its calls may want slots of its own replicas back
}

// numUnitBuckets counts the buckets of a reservation: input, output, tokens.
const numUnitBuckets = 3

// configureReservation makes a reservation, or changes what backs it.
func (s *State) configureReservation(r Reservation) {
	r.Slots, r.KV = max(0, r.Slots), amount(r.KV)
	if i := s.reservationByID[r.ID]; i != 0 {
		x := &s.reservations.items[i]
		same := x.Reservation
		same.Slots, same.KV = r.Slots, r.KV
		if same != r || x.parent != 0 && s.reservations.items[x.parent].removed {
			s.stats.Ignored++
			return
		}
		x.Reservation, x.removed = r, false
		s.touch(x.pool)
		return
	}
	x := reservation{Reservation: r}
	if !s.linkReservation(&x) {
		s.stats.Ignored++
		return
	}
	i := index(&s.reservations, s.reservationByID, r.ID)
	s.reservations.items[i] = x
	s.adopt(i)
	s.touch(x.pool)
}

// linkReservation finds what a reservation names, and says whether all of it is there and fits together.
func (s *State) linkReservation(x *reservation) bool {
	x.pool = s.poolByID[x.Pool]
	x.parent = s.reservationByID[x.Parent]
	if x.ID == 0 || x.pool == 0 || (x.parent == 0) != (x.Parent == 0) {
		return false
	}
	for k, id := range [numUnitBuckets]BucketID{x.Input, x.Output, x.Tokens} {
		x.buckets[k] = s.bucketByID[id]
		if (x.buckets[k] == 0) != (id == 0) {
			return false
		}
	}
	if x.parent == 0 {
		return true
	}
	p := &s.reservations.items[x.parent]
	return p.Parent == 0 && p.Pool == x.Pool && (!p.removed || x.removed) &&
		(p.Input == 0) == (x.Input == 0) && (p.Output == 0) == (x.Output == 0) && (p.Tokens == 0) == (x.Tokens == 0)
}

// adopt counts a new reservation where it is named.
func (s *State) adopt(i int32) {
	r := &s.reservations.items[i]
	s.pools.items[r.pool].refs++
	for _, bi := range r.buckets {
		if bi != 0 {
			s.buckets.items[bi].refs++
		}
	}
	if r.parent != 0 {
		p := &s.reservations.items[r.parent]
		p.refs++
		at, _ := slices.BinarySearchFunc(p.parts, r.ID, func(part int32, id ReservationID) int { return cmp.Compare(s.reservations.items[part].ID, id) })
		p.parts = slices.Insert(p.parts, at, i)
	}
}

// enterReservation finds the reservation of the call's lane, if it has one, and says whether it is there. Calls of reservations are
// served in the reserved tier, and no others are.
func (s *State) enterReservation(c *call) bool {
	id := c.lanes[c.lane].Reservation
	c.reservation, c.tier = 0, c.ownTier
	if id == 0 {
		return true
	}
	if c.reservation = s.reservationByID[id]; c.reservation == 0 {
		return false
	}
	c.tier = TierReserved
	r := &s.reservations.items[c.reservation]
	return !r.removed && r.pool == c.pool
}

// removeReservation ends a reservation and its parts.
func (s *State) removeReservation(i int32) {
	for _, part := range slices.Clone(s.reservations.items[i].parts) {
		s.removeReservation(part)
	}
	s.touch(s.reservations.items[i].pool)
	s.reservations.items[i].removed = true
	s.reservations.items[i].refs++ // until its calls are gone
	for _, ci := range s.waitingIn(func(c *call) bool { return c.reservation == i }) {
		s.dequeue(ci)
		s.reject(ci, verdict{reason: ReasonUnknown})
	}
	s.reservations.items[i].refs--
	s.forgetReservation(i)
}

// forgetReservation drops a reservation that was removed as soon as no call and no part refers to it.
func (s *State) forgetReservation(i int32) {
	r := &s.reservations.items[i]
	if !r.removed || r.refs > 0 {
		return
	}
	delete(s.reservationByID, r.ID)
	for _, bi := range r.buckets {
		if bi != 0 {
			s.buckets.items[bi].refs--
			s.forgetBucket(bi)
		}
	}
	pool, parent := r.pool, r.parent
	if r.node != 0 {
		s.nodes.items[r.node].reservation = 0
	}
	s.reservations.put(i)
	s.pools.items[pool].refs--
	s.forgetPool(pool)
	if parent != 0 {
		p := &s.reservations.items[parent]
		p.refs--
		p.parts = slices.DeleteFunc(p.parts, func(part int32) bool { return part == i })
		s.forgetReservation(parent)
	}
}

// ReservationStats is where a reservation stands.
type ReservationStats struct {
	ID     ReservationID
	Parent ReservationID
	Slots  int32
	KV     int64
	// Firm are its calls, of a purchase without those of its parts, that run on shared replicas and cannot be recalled; Excess those that
	// count as common use, of a part as use of what its purchase has not divided; Waiting those in the queue.
	Firm, Excess, Waiting int32
	// Own are the slots of replicas that are isolated for it, OwnBusy those in use, OwnLent of these by calls that can be recalled.
	Own, OwnBusy, OwnLent int32
	// Apart are the calls of a part that run on the replicas of its purchase and cannot be recalled.
	Apart int32
	// Input, Output and Tokens are where its buckets stand; of those that it has not, all is 0.
	Input, Output, Tokens BucketStats
}

// Reservation returns where a reservation stands.
func (s *State) Reservation(id ReservationID) (ReservationStats, bool) {
	i := s.reservationByID[id]
	if i == 0 {
		return ReservationStats{}, false
	}
	r := &s.reservations.items[i]
	st := ReservationStats{
		ID: id, Parent: r.Parent, Slots: r.Slots, KV: r.KV, Firm: r.use.slots, Excess: r.excess.slots,
		Own: r.own.slots, OwnBusy: r.own.busy, OwnLent: r.own.borrowed, Apart: r.apart.use,
	}
	for k := range class(numClasses) {
		key := nodeKey{pool: r.pool, tier: TierReserved, class: k, account: AccountID(r.ID)}
		if n := s.nodeByKey[key]; n != 0 {
			st.Waiting += s.nodes.items[n].waits()
		}
	}
	st.Input, _ = s.Bucket(r.Input)
	st.Output, _ = s.Bucket(r.Output)
	st.Tokens, _ = s.Bucket(r.Tokens)
	return st, true
}
