package capacity

import "math"

// rack is a set of replicas that the same calls may use: those that all of a pool share, its standbys, those that are isolated for
// reservations, and of these each reservation's own. Only replicas that are up count.
type rack struct {
	up, slots, busy int32
	free            int32 // slots, per replica at least 0, also after slots were taken away from running calls
	recalling       int32 // calls that were told to give their slots back
	borrowed        int32 // slots of calls that can be recalled, or are being
	boundless       int32 // replicas without a bound of memory
	weight          int64
	kv              wide               // of the others
	lendable        [numTiers]int32    // calls that can be recalled
	open            loadHeap           // replicas with a free slot
	lent            [numTiers]loadHeap // replicas with calls to recall, by the lowest tier among them; but for those that are unsorted
}

// loadHeap orders replicas by their load. What it is ordered by lies in it, so that it is put in order without a look at the replicas.
type loadHeap struct {
	items []load
	place []int32 // of each replica in items, counted from 1
}

// load is what tells which of two replicas comes first.
type load struct {
	turns        uint64
	busy, weight int32
	id           ReplicaID
	replica      int32
}

// loadOf returns the load of replica i.
func loadOf(rs []replica, i int32) load {
	r := &rs[i]
	return load{r.turns, r.busy, int32(r.weight()), r.ID, i}
}

// before says whether a replica comes before another: the one with the lower load for its weight; of equals the one that has
// had fewer calls for its weight, then the one with the lower handle.
func (l *load) before(o *load) bool {
	ll, lo := int64(l.busy)*int64(o.weight), int64(o.busy)*int64(l.weight)
	switch {
	case ll != lo:
		return ll < lo
	case l.turns != o.turns:
		return l.turns < o.turns
	default:
		return l.id < o.id
	}
}

// put adds replica i, takes it out, or moves it after its load has changed.
func (h *loadHeap) put(rs []replica, i int32, in bool) {
	for int(i) >= len(h.place) {
		h.place = append(h.place, 0)
	}
	k := int(h.place[i]) - 1
	switch {
	case in && k < 0:
		l := loadOf(rs, i)
		h.items = append(h.items, l)
		h.up(len(h.items)-1, l)
	case in:
		h.fix(k, loadOf(rs, i))
	case k >= 0:
		h.place[i] = 0
		last := len(h.items) - 1
		moved := h.items[last]
		h.items = h.items[:last]
		if k < last {
			h.fix(k, moved)
		}
	}
}

// fix puts l where the item at k was, or above or below.
func (h *loadHeap) fix(k int, l load) {
	if k > 0 && l.before(&h.items[(k-1)/2]) {
		h.up(k, l)
	} else {
		h.down(k, l)
	}
}

func (h *loadHeap) set(k int, l load) {
	h.items[k] = l
	h.place[l.replica] = int32(k + 1)
}

func (h *loadHeap) up(k int, l load) {
	for k > 0 {
		parent := (k - 1) / 2
		if !l.before(&h.items[parent]) {
			break
		}
		h.set(k, h.items[parent])
		k = parent
	}
	h.set(k, l)
}

func (h *loadHeap) down(k int, l load) {
	for {
		child := 2*k + 1
		if child >= len(h.items) {
			break
		}
		if child+1 < len(h.items) && h.items[child+1].before(&h.items[child]) {
			child++
		}
		if !h.items[child].before(&l) {
			break
		}
		h.set(k, h.items[child])
		k = child
	}
	h.set(k, l)
}

// lightest returns the replica with the least load that is fit, 0 if none is. As a rule the first one is; below each that is not, both that follow it are
// looked at, unless one that comes before them is fit.
func (h *loadHeap) lightest(rs []replica, fit func(r *replica) bool) int32 {
	if len(h.items) == 0 {
		return 0
	}
	if l := &h.items[0]; fit(&rs[l.replica]) {
		return l.replica
	}
	best := h.search(rs, 1, -1, fit)
	if best = h.search(rs, 2, best, fit); best < 0 {
		return 0
	}
	return h.items[best].replica
}

// search returns the place of the lightest that is fit of those from the k-th on, or best, which is the place of one, if that comes before it.
func (h *loadHeap) search(rs []replica, k, best int, fit func(r *replica) bool) int {
	switch {
	case k >= len(h.items) || best >= 0 && h.items[best].before(&h.items[k]):
		return best
	case fit(&rs[h.items[k].replica]):
		return k
	}
	best = h.search(rs, 2*k+1, best, fit)
	return h.search(rs, 2*k+2, best, fit)
}

func (h *loadHeap) has(i int32) bool { return int(i) < len(h.place) && h.place[i] != 0 }

func (h *loadHeap) reset() {
	h.items = h.items[:0]
	clear(h.place)
}

func (k *rack) reset() {
	open, lent := k.open, k.lent
	open.reset()
	for t := range lent {
		lent[t].reset()
	}
	*k = rack{open: open, lent: lent}
}

// racks are those that a replica is in: one, and of an isolated replica its owner's if that is there. The pointers are valid until an
// object is added.
type racks struct{ all, owner *rack }

// racksOf returns the racks that a replica is in.
func (s *State) racksOf(r *replica) racks {
	p := &s.pools.items[r.pool]
	switch {
	case r.Standby:
		return racks{all: &p.standby}
	case r.Reservation == 0:
		return racks{all: &p.shared}
	}
	if oi := s.reservationByID[r.Reservation]; oi != 0 && s.reservations.items[oi].pool == r.pool {
		return racks{&p.owned, &s.reservations.items[oi].own}
	}
	return racks{all: &p.owned}
}

// each calls visit with each of the racks.
func (k racks) each(visit func(k *rack)) {
	visit(k.all)
	if k.owner != nil {
		visit(k.owner)
	}
}

// narrowest returns the owner's rack if there is one.
func (k racks) narrowest() *rack {
	if k.owner != nil {
		return k.owner
	}
	return k.all
}

// place puts a replica where its racks look for it, after its load, its slots or its calls have changed.
func (s *State) place(ri int32) {
	rs := s.replicas.items
	r := &rs[ri]
	s.racksOf(r).each(func(k *rack) { k.open.put(rs, ri, r.up && r.busy < r.Slots) })
	if !r.unsorted && (r.lentIn != 0 || r.lends() != 0) {
		p := &s.pools.items[r.pool]
		r.unsorted = true
		p.unsorted = append(p.unsorted, ri)
	}
}

// lends returns the lowest tier of the calls that can be recalled from the replica, 0 if there are none.
func (r *replica) lends() Tier {
	if !r.up {
		return 0
	}
	return lowestOf(&r.lendable)
}

// lowestOf returns the lowest tier of which there are calls.
func lowestOf(calls *[numTiers]int32) Tier {
	t := TierBatch
	for t > 0 && calls[t] == 0 {
		t--
	}
	return t
}

// sortLent puts the replicas whose load has changed since it was last called where calls are recalled from.
func (s *State) sortLent(p *pool) {
	rs := s.replicas.items
	for _, ri := range p.unsorted {
		r := &rs[ri]
		if r.pool == 0 {
			continue // gone
		}
		in := r.lends()
		s.racksOf(r).each(func(k *rack) {
			if r.lentIn != 0 && r.lentIn != in {
				k.lent[r.lentIn].put(rs, ri, false)
			}
			if in != 0 {
				k.lent[in].put(rs, ri, true)
			}
		})
		r.lentIn, r.unsorted = in, false
	}
	p.unsorted = p.unsorted[:0]
}

// count adds a replica that is up, and the calls on it, to what its pool knows (by 1), or takes them out of it (by -1).
func (s *State) count(ri, by int32) {
	s.countReplica(ri, by)
	s.countCalls(ri, by > 0)
}

func (s *State) countReplica(ri, by int32) {
	r := &s.replicas.items[ri]
	if !r.up {
		return
	}
	p := &s.pools.items[r.pool]
	p.up += by
	p.slots += by * r.Slots
	s.racksOf(r).each(func(k *rack) {
		k.up += by
		k.slots += by * r.Slots
		k.busy += by * r.busy
		k.free += by * max(0, r.Slots-r.busy)
		k.recalling += by * r.recalling
		k.borrowed += by * r.borrowed
		k.weight += int64(by) * r.weight()
		switch kv := (wide{lo: uint64(max(0, r.KV))}); {
		case kv.zero():
			k.boundless += by
		case by > 0:
			k.kv = k.kv.add(kv)
		default:
			k.kv = k.kv.sub(kv)
		}
		for t, n := range r.lendable {
			k.lendable[t] += by * n
		}
	})
}

func (s *State) countCalls(ri int32, on bool) {
	r := &s.replicas.items[ri]
	for ci := r.others.head; r.up && ci != 0; ci = s.calls.at(ci).next {
		s.occupy(s.calls.at(ci), on)
	}
}

// recount computes what a pool knows of its replicas, reservations and the calls on them.
func (s *State) recount(pi int32) {
	p := &s.pools.items[pi]
	p.shared.reset()
	p.standby.reset()
	p.owned.reset()
	p.up, p.slots, p.memory, p.rented = 0, 0, s.largest(p), 0
	p.common, p.sold = room{}, room{}
	for i := range s.reservations.items {
		if r := &s.reservations.items[i]; r.pool == pi && i > 0 {
			r.own.reset()
			r.use, r.ofParts, r.used, r.excess, r.divided = room{}, room{}, room{}, room{}, room{}
			r.apart.use, r.apart.excess, r.apart.shared, r.apart.given = 0, 0, 0, 0
		}
	}
	for i := range s.reservations.items {
		r := &s.reservations.items[i]
		switch {
		case r.pool != pi || i == 0 || r.removed:
		case r.parent == 0:
			p.sold = p.sold.plus(r.backing())
		default:
			f := &s.reservations.items[r.parent]
			r.away = f.Slots == 0
			f.divided = f.divided.plus(r.backing())
			f.apart.given = int32(min(int64(f.apart.given)+int64(s.slotsApart(r)), math.MaxInt32))
		}
	}
	for _, ri := range p.replicas {
		s.replicas.items[ri].lentIn = 0 // of heaps that are empty
		if s.replicas.items[ri].rented() {
			p.rented++
		}
		s.countReplica(ri, 1)
		s.place(ri)
	}
	for _, ri := range p.replicas {
		s.countCalls(ri, true)
	}
	p.isolated = s.soldWhole(p)
	for i := range s.reservations.items {
		if r := &s.reservations.items[i]; r.pool == pi && i > 0 {
			s.seat(int32(i))
		}
	}
}
