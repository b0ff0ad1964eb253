package capacity

// In the reserved tier the outer unit of fairness is the reservation, and where one waits depends on what it waits for. Those that are
// entitled to a slot come before those that need a common one, so that nobody's backlog keeps an entitled reservation waiting.

// seat is where the calls of a reservation that cannot be recalled wait.
type seat uint8

const (
	// seatNone is of those that have no call to start, or whose own replicas have no slot for it.
	seatNone seat = iota
	// seatIsolated is of those with a free slot on a replica of their own.
	seatIsolated
	// seatEntitled is of those whose next call does not add to common use.
	seatEntitled
	// seatOverflow is of those whose next call needs common capacity.
	seatOverflow

	numSeats = iota
)

// demand is how many waiting calls of a reservation could have slots for themselves.
type demand struct {
	own    int32 // within the slots that are its own
	rest   int32 // of the others, those that may use what its purchase has not divided
	shared int32 // all that wait for a shared replica
	apart  int32 // all that wait for replicas of their purchase's own
}

// headOf returns the call of a reservation whose turn it is.
func (s *State) headOf(n *node) int32 {
	if n.again.head != 0 {
		return n.again.head
	}
	return s.nodes.items[n.active[0]].calls.head
}

// waits returns how many calls of a node wait.
func (n *node) waits() int32 { return n.waiting + n.numAgain }

// seat puts a reservation where it waits now, and counts what it could have.
func (s *State) seat(ri int32) {
	r := &s.reservations.items[ri]
	p := &s.pools.items[r.pool]
	at, d := seatNone, demand{}
	if r.node != 0 && s.nodes.items[r.node].waits() > 0 {
		n := &s.nodes.items[r.node]
		at, d = s.seatOf(p, ri, n)
		if at == seatNone {
			s.thirst(ri)
		}
	}
	if r.node != 0 {
		s.sit(p, r.node, at)
	}
	s.wantApart(ri, d.apart)
	f := r
	if r.parent != 0 {
		f = &s.reservations.items[r.parent]
	}
	f.kin.own += d.own - r.demand.own
	f.kin.rest += d.rest - r.demand.rest
	p.overflow += d.shared - r.demand.shared
	r.demand = d
	due := f.kin.own + min(f.undivided().slots, f.kin.rest)
	p.due += due - f.due
	p.overflow -= due - f.due
	f.due = due
}

// seatOf returns the seat of a reservation that waits, and its demand.
func (s *State) seatOf(p *pool, ri int32, n *node) (seat, demand) {
	r := &s.reservations.items[ri]
	if oi := s.ownerOf(ri); oi != 0 {
		d := demand{}
		if oi != ri || r.parent == 0 { // a part with replicas of its own takes none of its purchase's
			d.apart = n.waits()
		}
		if s.reservations.items[oi].own.free == 0 || !s.mayStartApart(ri, oi) {
			return seatNone, d
		}
		return seatIsolated, d
	}
	c := s.calls.at(s.headOf(n))
	d := demand{shared: n.waits()}
	grows := s.growth(c, p.occupies(c))
	if _, bounded := p.commonRoom(); grows.slots > 0 || bounded && !grows.kv.zero() {
		return seatOverflow, d
	}
	if r.parent != 0 {
		d.own = min(d.shared, max(0, r.backing().slots-r.use.slots))
	}
	d.rest = d.shared - d.own
	return seatEntitled, d
}

// sit moves a reservation's node from one heap to another.
func (s *State) sit(p *pool, i int32, at seat) {
	n := &s.nodes.items[i]
	if n.seat == at {
		return
	}
	if n.seat != seatNone {
		p.seats[n.seat] = heapRemove(p.seats[n.seat], s.nodes.items, i)
	}
	if n.seat = at; at != seatNone {
		p.seats[at] = heapPush(p.seats[at], s.nodes.items, i)
	}
}

// seatKin seats a purchase and its parts, for which what is not divided has changed.
func (s *State) seatKin(fi int32) {
	s.seat(fi)
	for _, part := range s.reservations.items[fi].parts {
		s.seat(part)
	}
}

// seatOwners seats those whose calls run on a replica only.
func (s *State) seatOwners(r *replica) {
	if oi := s.reservationByID[r.Reservation]; oi != 0 {
		s.seatKin(oi)
	}
}

// pushSeated puts a call into the queue of its reservation, ahead of those that have not been admitted yet if it has been.
func (s *State) pushSeated(ci int32, again bool) {
	c := s.calls.at(ci)
	inner := c.fair
	n := &s.nodes.items[inner]
	outer := &s.nodes.items[n.parent]
	if outer.waits() == 0 {
		s.lift(&s.pools.items[c.pool], n.parent)
	}
	if again {
		outer.again.push(&s.calls, ci)
		outer.numAgain++
	} else {
		n.calls.push(&s.calls, ci)
		n.waiting++
		outer.waiting++
		if n.waiting == 1 {
			s.activate(&outer.group, inner)
		}
	}
	s.seat(c.reservation)
}

// removeSeated takes a waiting call out of the queue of its reservation.
func (s *State) removeSeated(ci int32) {
	c := s.calls.at(ci)
	inner := c.fair
	n := &s.nodes.items[inner]
	outer := &s.nodes.items[n.parent]
	if c.requeued {
		outer.again.remove(&s.calls, ci)
		outer.numAgain--
	} else {
		n.calls.remove(&s.calls, ci)
		n.waiting--
		outer.waiting--
		if n.waiting == 0 {
			outer.active = heapRemove(outer.active, s.nodes.items, inner)
			outer.last = inner
		}
	}
	if outer.waits() == 0 {
		s.groupOf(outer).last = n.parent
	}
	s.seat(c.reservation)
}

// lift brings a reservation that starts to wait up to the lowest counter of those that do.
func (s *State) lift(p *pool, i int32) {
	g := &p.queues[TierReserved][classFirm].group
	first := int32(0)
	for _, h := range p.seats {
		if len(h) > 0 && (first == 0 || s.nodes.items[h[0]].before(&s.nodes.items[first])) {
			first = h[0]
		}
	}
	if first == 0 {
		first = g.last
	}
	if first != 0 {
		g.vtime = g.vtime.max(s.nodes.items[first].counter)
	}
	n := &s.nodes.items[i]
	n.counter = n.counter.max(g.vtime)
	s.sweep(g)
}

// seatScan bounds how many reservations are looked at for one whose call can be placed, if those before it wait for
// memory, or for another replica than the one with a free slot.
const seatScan = 16

// eachSeated calls visit with the calls of the reservations at a seat whose turn it is, in order, until it returns false.
func (s *State) eachSeated(h []int32, visit func(ci int32) bool) {
	if len(h) == 0 || !s.visitReservation(&s.nodes.items[h[0]], visit) {
		return // as a rule
	}
	var frontier [seatScan + 1]int32 // places in the heap whose parents have been visited
	n := 0
	for child := int32(1); child <= 2 && int(child) < len(h); child++ {
		frontier[n] = child
		n++
	}
	for range seatScan - 1 {
		if n == 0 {
			return
		}
		least := 0
		for k := 1; k < n; k++ {
			if s.nodes.items[h[frontier[k]]].before(&s.nodes.items[h[frontier[least]]]) {
				least = k
			}
		}
		at := frontier[least]
		n--
		frontier[least] = frontier[n]
		for child := 2*at + 1; child <= 2*at+2 && int(child) < len(h); child++ {
			frontier[n] = child
			n++
		}
		if !s.visitReservation(&s.nodes.items[h[at]], visit) {
			return
		}
	}
}

// visitReservation calls visit with the calls of a reservation that can be next: those queued again, of which each may avoid other
// replicas, and the one whose turn it is by fairness.
func (s *State) visitReservation(n *node, visit func(ci int32) bool) bool {
	ci := n.again.head
	for range requeuedScan {
		if ci == 0 {
			break
		}
		next := s.calls.at(ci).next
		if !visit(ci) {
			return false
		}
		ci = next
	}
	if len(n.active) > 0 {
		return visit(s.nodes.items[n.active[0]].calls.head)
	}
	return true
}
