package capacity

import (
	"cmp"
	"slices"
	"time"
)

// pool is the set of replicas behind one queue.
type pool struct {
	Pool
	removed  bool
	touched  bool  // its objects have changed
	refs     int32 // calls in flight that were queued here
	queues   [numTiers][numClasses]tierQueue
	seats    [numSeats][]int32 // heaps of the reservations that wait
	thirsty  []int32           // reservations whose calls may want slots of their own replicas back
	scarred  []int32           // waiting calls that have failed on a replica
	unsorted []int32           // replicas that are to be put in order before a call is recalled
	waiting  int32
	due      int32 // waiting calls that may have slots as reservations are entitled to
	overflow int32 // others of reservations, which need common capacity
	up       int32 // replicas that take calls
	slots    int32 // of these replicas
	busy     int32 // slots occupied, on whatever replica
	replicas []int32
	shared   rack
	standby  rack
	owned    rack          // isolated replicas
	rented   int32         // replicas with a quota
	wakes    Instant       // when calls that wait for quota have some; 0 is never
	memory   int64         // of the largest replica, 0 if none is bounded
	sold     room          // slots and memory of all purchases
	isolated int64         // slots of isolated replicas, up or not
	common   room          // common use
	service  time.Duration // how long a call occupies a slot, smoothed
	affinity []affinity
	retries  int64    // retry budget left, per mille of a retry
	scaling  *scaling // nil is not elastic
}

// affinity remembers which replica served a prompt prefix last.
type affinity struct {
	prefix  uint64
	replica int32
}

// replica is one engine instance.
type replica struct {
	Replica
	pool    int32
	up      bool
	untold  bool // whether it is up has not been told since it was configured
	removed bool
	busy    int32
	kvUsed  wide // saturates for nobody: slots x MaxTokens stay below 2^93
	// Calls with a slot: those that can be recalled, by tier, the oldest first, and all others.
	recallable [numTiers]list
	others     list
	lendable   [numTiers]int32 // how many the former are
	lentIn     Tier            // where it was put by the lowest tier of them
	unsorted   bool            // it may have to be put elsewhere
	recalling  int32           // calls told to give their slots back
	borrowed   int32           // slots of calls that can be recalled, or are being
	// turns grows by turn / weight with every call, so that replicas with equal load take calls in proportion to their weights.
	turns  uint64
	quotas [numQuotas]int32 // what it may take of buckets; 0 is not bounded
}

// turn is what a replica of weight 1 grows by. 2^40 calls do not wrap.
const turn = 1 << 24

func (r *replica) weight() int64 { return int64(max(1, r.Weight)) }

// fits says whether the replica can take the call now. A call too large for the memory runs alone.
func (r *replica) fits(c *call) bool {
	if !r.up || r.busy >= r.Slots || c.hasFailedOn(r.ID) {
		return false
	}
	return r.KV == 0 || r.busy == 0 || !wide{lo: uint64(r.KV)}.less(r.kvUsed.add(wide{lo: uint64(c.tokens())}))
}

// tokens is the memory that a call may occupy.
func (c *call) tokens() int64 { return sum(sum(c.input, c.cacheWrite), c.maxOutput) }

// find returns the replica on which the call would start now, 0 for none: of those that are its reservation's, or that the pool shares, or,
// for a call that can be recalled, are idle and somebody else's; a standby only for lack of others. Among these it is the one that served its
// prefix last, unless that is loaded beyond the bound; else the one with the least load for its weight.
func (s *State) find(p *pool, c *call) (int32, Placement) {
	near := s.affine(p, c)
	own := s.ownRack(c)
	if own != nil {
		if ri, placed := s.findIn(own, c, near, PlacedLeastLoad); ri != 0 || !c.preemptible {
			return ri, placed
		}
	}
	if ri, placed := s.findIn(&p.shared, c, near, PlacedLeastLoad); ri != 0 {
		return ri, placed
	}
	if c.preemptible {
		if ri, placed := s.findIn(&p.owned, c, near, PlacedLent); ri != 0 {
			return ri, placed
		}
	}
	if p.standby.free > 0 && !s.primaryUp(p, c) {
		return s.findIn(&p.standby, c, 0, PlacedStandby)
	}
	return 0, PlacedNowhere
}

// findIn returns the replica of a rack on which the call would start now, which is near if that is one of them, and why.
func (s *State) findIn(k *rack, c *call, near int32, why Placement) (int32, Placement) {
	if k.free <= 0 {
		return 0, PlacedNowhere
	}
	if near != 0 && k.open.has(near) {
		if why != PlacedLent {
			why = PlacedPrefix
		}
		return near, why
	}
	ri := k.open.lightest(s.replicas.items, func(r *replica) bool { return r.fits(c) && s.mayGo(c, r) })
	if ri == 0 {
		why = PlacedNowhere
	}
	return ri, why
}

// mayGo says whether a call may go to a replica of a rack that is open to it, if that has room for it.
func (s *State) mayGo(c *call, r *replica) bool {
	return !c.hasFailedOn(r.ID) && s.withinQuota(r, c) && (!c.preemptible || !s.awaited(r))
}

// upFor counts the replicas that serve the call sooner or later.
func (s *State) upFor(p *pool, c *call) (primary, standby int32) {
	own := s.ownRack(c)
	switch {
	case own != nil && !c.preemptible:
		primary = own.up
	case c.preemptible:
		primary, standby = p.shared.up+p.owned.up, p.standby.up
	default:
		primary, standby = p.shared.up, p.standby.up
	}
	for _, id := range c.failed[:c.numFailed] {
		ri := s.replicaByID[id]
		if ri == 0 {
			continue
		}
		switch r := &s.replicas.items[ri]; {
		case !r.up || r.pool != c.pool:
		case r.Standby:
			standby--
		case s.open(c, r):
			primary--
		}
	}
	return primary, max(0, standby)
}

// open says whether a replica that is no standby is there for the call.
func (s *State) open(c *call, r *replica) bool {
	if c.preemptible {
		return true
	}
	if s.ownRack(c) == nil {
		return r.Reservation == 0
	}
	own := &s.reservations.items[c.reservation]
	return r.Reservation == own.ID || r.Reservation == own.Parent && own.own.up == 0
}

// primaryUp says whether a replica that is no standby serves the call sooner or later.
func (s *State) primaryUp(p *pool, c *call) bool {
	primary, _ := s.upFor(p, c)
	return primary > 0
}

// served says whether any replica serves the call sooner or later.
func (s *State) served(p *pool, c *call) bool {
	primary, standby := s.upFor(p, c)
	return primary+standby > 0
}

// lacksMemory says whether a replica that the call may use has a slot for it, but no room in its memory. It fits nowhere.
func (s *State) lacksMemory(p *pool, c *call) bool {
	racks := [3]*rack{&p.shared}
	own := s.ownRack(c)
	switch {
	case c.preemptible:
		racks[1] = &p.owned
	case own != nil:
		racks[0] = own
	}
	if p.standby.free > 0 && !s.primaryUp(p, c) {
		racks[2] = &p.standby
	}
	for _, k := range racks {
		if k != nil && k.open.lightest(s.replicas.items, func(r *replica) bool { return s.mayGo(c, r) }) != 0 {
			return true
		}
	}
	return false
}

// join lets a replica that comes up take turns with those that are: what it missed is not made up for.
func (s *State) join(r *replica) {
	least, some := uint64(0), false
	for _, ri := range s.pools.items[r.pool].replicas {
		if o := &s.replicas.items[ri]; o != r && o.up && o.Standby == r.Standby && (!some || o.turns < least) {
			least, some = o.turns, true
		}
	}
	r.turns = max(r.turns, least)
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

// admit gives a call that waits in no queue any more the slot on a replica.
func (s *State) admit(ci, ri int32, placed Placement) {
	c, p, r := s.calls.at(ci), &s.pools.items[s.calls.at(ci).pool], &s.replicas.items[ri]
	s.order++
	c.state, c.replica, c.ran, c.started, c.placed, c.order, c.requeued = callRunning, ri, r.ID, s.now, placed, s.order, false
	c.attempts++
	c.kv = c.tokens()
	if r.KV > 0 {
		c.kv = min(c.kv, r.KV)
	}
	r.turns += turn / uint64(r.weight())
	p.busy++
	c.listed = c.preemptible
	r.listOf(c).push(&s.calls, ci)
	s.countLendable(r, c, 1)
	s.load(ri, c, 1)
	if c.prefix != 0 && len(p.affinity) > 0 && !r.Standby {
		p.affinity[c.prefix&uint64(len(p.affinity)-1)] = affinity{c.prefix, ri}
	}
	if r.rented() {
		s.holdQuota(ci, r)
	}
	if c.attempts == 1 {
		s.stats.Admitted++
		p.retries = min(p.retries+int64(p.RetryBudget), retryReserve)
	}
	lane := &c.lanes[c.lane]
	s.emit(Action{
		Kind: ActionAdmit, Call: c.id, Tier: c.tier, Lane: c.lane, Pool: lane.Pool, Model: lane.Model, Replica: r.ID,
		Reservation: lane.Reservation, Held: c.holdOf(MeasureTokens), Placed: placed,
	})
	s.serve(c, sum(c.input, c.cacheWrite), c.sawOutput)
}

// load puts a call on its replica (by 1) or takes it off (by -1).
func (s *State) load(ri int32, c *call, by int32) {
	r := &s.replicas.items[ri]
	kv := wide{lo: uint64(c.kv)}
	if by > 0 {
		r.kvUsed = r.kvUsed.add(kv)
	} else {
		r.kvUsed = r.kvUsed.sub(kv)
	}
	free := max(0, r.Slots-r.busy)
	r.busy += by
	if r.up {
		s.racksOf(r).each(func(k *rack) {
			k.busy += by
			k.free += max(0, r.Slots-r.busy) - free
		})
		s.occupy(c, by > 0)
	}
	s.countBorrowed(c, by)
	s.place(ri)
	if r.Reservation != 0 && r.up && (free > 0) != (r.busy < r.Slots) {
		s.seatOwners(r)
	}
}

// freeSlot takes the slot of a call back.
func (s *State) freeSlot(ci int32) {
	c := s.calls.at(ci)
	if !c.hasSlot() {
		return
	}
	s.untell(c)
	ri := c.replica
	r := &s.replicas.items[ri]
	p := &s.pools.items[r.pool]
	r.listOf(c).remove(&s.calls, ci)
	s.countLendable(r, c, -1)
	c.listed = false
	p.busy--
	s.load(ri, c, -1)
	c.kv = 0
	const smooth = 8 // the last eight or so calls
	p.service += (span(c.started, s.now) - p.service) / smooth
	c.replica = 0
	s.forgetReplica(ri)
}

// applyToReplica changes whether a replica takes calls.
func (s *State) applyToReplica(ev *Event) {
	ri := s.replicaByID[ev.Replica]
	if ri == 0 || s.replicas.items[ri].removed {
		s.stats.Ignored++
		return
	}
	r := &s.replicas.items[ri]
	p := &s.pools.items[r.pool]
	if ev.Kind == EventReplicaUp && !r.up {
		s.join(r)
	}
	limit, bounded := p.commonRoom()
	up, memory, shared := p.up, p.memory, p.shared.up > 0
	s.count(ri, -1)
	r.up, r.untold = ev.Kind == EventReplicaUp, false
	if r.up {
		if slots := min(ev.Slots, maxSlots); slots > 0 && slots != r.Slots {
			r.Slots = slots
			p.isolated = s.soldWhole(p)
		}
		if kv := amount(ev.KV); kv > 0 && kv != r.KV {
			r.KV = kv
			p.memory = s.largest(p)
		}
	}
	s.count(ri, 1)
	s.place(ri)
	now, boundedNow := p.commonRoom()
	switch {
	case shared != (p.shared.up > 0) && p.standby.up > 0:
		s.recount(r.pool) // calls on standbys are in common use, or not any more
	case boundedNow != bounded || p.memory != memory:
		s.seatAll(r.pool)
	case r.Reservation != 0:
		s.seatOwners(r)
	}
	less := now.slots < limit.slots || boundedNow && (!bounded || now.kv.less(limit.kv))
	if !r.up || up == 0 || less || len(p.scarred) > 0 {
		s.stranded(r.pool)
	}
	s.pump(r.pool, 0)
}

// largest returns the memory of the pool's largest replica as they are, up or down; 0 if none is bounded.
func (s *State) largest(p *pool) (kv int64) {
	for _, ri := range p.replicas {
		if r := &s.replicas.items[ri]; !r.removed {
			kv = max(kv, r.KV)
		}
	}
	return kv
}

// soldWhole returns the slots of the replicas that purchases have for themselves, up or down.
func (s *State) soldWhole(p *pool) (slots int64) {
	for _, ri := range p.replicas {
		r := &s.replicas.items[ri]
		if oi := s.reservationByID[r.Reservation]; oi != 0 && !r.removed && !s.reservations.items[oi].removed {
			slots += int64(r.Slots)
		}
	}
	return slots
}

// seatAll seats the reservations of a pool, for which it has changed how much memory counts.
func (s *State) seatAll(pi int32) {
	if s.pools.items[pi].waiting == 0 {
		return
	}
	for i := range s.reservations.items {
		if s.reservations.items[i].pool == pi && i > 0 {
			s.seat(int32(i))
		}
	}
}

// stranded refuses what waits in a pool that bars it, or lets it go on to the next lane of its route. As long as a replica that is nobody's in
// particular is up, and purchases leave something, only calls that have failed somewhere can be barred.
func (s *State) stranded(pi int32) {
	p := &s.pools.items[pi]
	if p.elastic() || p.waiting == 0 {
		return
	}
	var list []int32
	switch {
	case p.shared.up+p.standby.up == 0 || p.short():
		list = s.waitingIn(func(c *call) bool { return c.pool == pi })
	case len(p.scarred) > 0:
		list = s.inOrder(slices.Clone(p.scarred))
	}
	for _, ci := range list {
		if s.calls.at(ci).state != callWaiting {
			continue // one before it has gone on to a lane of the same pool, where it came next
		}
		if why := s.barred(&s.pools.items[pi], s.calls.at(ci)); why != ReasonNone {
			s.dequeue(ci)
			s.nextLane(ci, verdict{reason: why})
		}
	}
}

// waitingIn returns the waiting calls that are chosen, by tier and then in the order in which they were queued.
func (s *State) waitingIn(chosen func(c *call) bool) []int32 {
	var list []int32
	for i := range s.calls.n {
		if c := s.calls.at(i); c.state == callWaiting && chosen(c) {
			list = append(list, i)
		}
	}
	return s.inOrder(list)
}

// inOrder sorts calls by tier and then in the order in which they were queued.
func (s *State) inOrder(list []int32) []int32 {
	slices.SortFunc(list, func(a, b int32) int {
		x, y := s.calls.at(a), s.calls.at(b)
		return cmp.Or(cmp.Compare(x.tier, y.tier), cmp.Compare(x.order, y.order))
	})
	return list
}

// nextLane moves a call that is in no queue and has no slot to the next lane of its route, if the present lane's rule
// covers the reason; else it is refused.
func (s *State) nextLane(ci int32, v verdict) {
	c := s.calls.at(ci)
	if c.lane+1 >= c.numLanes || !c.lanes[c.lane].Spill.covers(v.reason) {
		s.reject(ci, v)
		return
	}
	s.releaseHolds(ci)
	s.leaveFair(c)
	s.spill(c, c.lane+1, v)
	s.offer(ci, c.lane+1)
}
