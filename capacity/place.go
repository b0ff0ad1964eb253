package capacity

import "time"

// pool is the set of replicas behind one queue.
type pool struct {
	Pool
	removed    bool
	refs       int32 // calls in flight that were queued here
	tiers      [numTiers]tierQueue
	waiting    int32
	up         int32 // replicas that take calls
	slots      int32 // of these replicas
	free       int32 // of these slots, per replica at least 0, also after slots were taken away from running calls
	busy       int32 // slots occupied, on whatever replica
	weight     int64 // of the replicas that are up and no standby
	replicas   []int32
	service    time.Duration // how long a call occupies a slot, smoothed
	affinity   []affinity
	retries    int64 // retry budget left, per mille of a retry
	recallable list  // running calls that may be stopped, oldest first
	recalling  int32 // of these, told to stop
	wanted     int32
	lowSince   Instant
	shrinks    bool
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
	removed bool
	busy    int32
	kvUsed  wide // saturates for nobody: slots x MaxTokens stay below 2^93
	// turns grows by turn / weight with every call, so that replicas with equal load take calls in proportion to their weights.
	turns uint64
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

// find returns the replica on which the call would start now, 0 for none: the one that served its prefix last, unless that
// is loaded beyond the bound; else the one with the least load for its weight; a standby only for lack of others.
func (s *State) find(p *pool, c *call) (int32, Placement) {
	if p.free <= 0 {
		return 0, PlacedNowhere
	}
	if ri := s.affine(p, c); ri != 0 {
		return ri, PlacedPrefix
	}
	var best, standby int32
	for _, ri := range p.replicas {
		r := &s.replicas.items[ri]
		if !r.fits(c) {
			continue
		}
		if r.Standby {
			standby = s.lighter(standby, ri)
		} else {
			best = s.lighter(best, ri)
		}
	}
	switch {
	case best != 0:
		return best, PlacedLeastLoad
	case standby != 0 && !s.primaryUp(p, c):
		return standby, PlacedStandby
	default:
		return 0, PlacedNowhere
	}
}

// primaryUp says whether a replica that is no standby serves the call sooner or later.
func (s *State) primaryUp(p *pool, c *call) bool {
	for _, ri := range p.replicas {
		if r := &s.replicas.items[ri]; r.up && !r.Standby && !c.hasFailedOn(r.ID) {
			return true
		}
	}
	return false
}

// lighter returns the replica with the lower load for its weight; of equals the one that has had fewer calls for its weight, then
// the first.
func (s *State) lighter(a, b int32) int32 {
	if a == 0 {
		return b
	}
	x, y := &s.replicas.items[a], &s.replicas.items[b]
	switch lx, ly := int64(x.busy)*y.weight(), int64(y.busy)*x.weight(); {
	case ly < lx, ly == lx && y.turns < x.turns:
		return b
	default:
		return a
	}
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

// affine returns the replica that served the call's prefix last, if it can take it within the load bound.
func (s *State) affine(p *pool, c *call) int32 {
	if c.prefix == 0 || len(p.affinity) == 0 {
		return 0
	}
	e := &p.affinity[c.prefix&uint64(len(p.affinity)-1)]
	if e.replica == 0 || e.prefix != c.prefix {
		return 0
	}
	r := &s.replicas.items[e.replica]
	if r.pool != c.pool || r.removed || r.Standby || !r.fits(c) {
		return 0
	}
	bound := int64(p.AffinityLoad)
	if bound == 0 {
		bound = 1250
	}
	even := (int64(p.busy) + 1) * r.weight() * bound
	if int64(r.busy)*max(1, p.weight)*1000 >= even+max(1, p.weight)*1000-1 { // busy >= ceil(even share x bound)
		return 0
	}
	return e.replica
}

// admit gives a call that waits in no queue any more the slot on a replica.
func (s *State) admit(ci, ri int32, placed Placement) {
	c, p, r := &s.calls.items[ci], &s.pools.items[s.calls.items[ci].pool], &s.replicas.items[ri]
	s.order++
	c.state, c.replica, c.ran, c.started, c.placed, c.order, c.requeued = callRunning, ri, r.ID, s.now, placed, s.order, false
	c.attempts++
	c.kv = c.tokens()
	r.busy++
	r.turns += turn / uint64(r.weight())
	r.kvUsed = r.kvUsed.add(wide{lo: uint64(c.kv)})
	p.busy++
	p.free--
	if c.prefix != 0 && len(p.affinity) > 0 && !r.Standby {
		p.affinity[c.prefix&uint64(len(p.affinity)-1)] = affinity{c.prefix, ri}
	}
	if c.attempts == 1 {
		s.stats.Admitted++
		p.retries = min(p.retries+int64(p.RetryBudget), retryReserve)
	}
	if c.preemptible {
		p.recallable.push(s.calls.items, ci)
		c.listed = true
	}
	lane := &c.lanes[c.lane]
	s.emit(Action{
		Kind: ActionAdmit, Call: c.id, Tier: c.tier, Lane: c.lane, Pool: lane.Pool, Model: lane.Model, Replica: r.ID,
		Reservation: lane.Reservation, Held: c.holdOf(MeasureTokens), Placed: placed,
	})
	s.serve(c, sum(c.input, c.cacheWrite), c.sawOutput)
}

// freeSlot takes the slot of a call back.
func (s *State) freeSlot(ci int32) {
	c := &s.calls.items[ci]
	if !c.hasSlot() {
		return
	}
	r := &s.replicas.items[c.replica]
	p := &s.pools.items[r.pool]
	r.busy--
	r.kvUsed = r.kvUsed.sub(wide{lo: uint64(c.kv)})
	c.kv = 0
	p.busy--
	if r.up && r.busy < r.Slots {
		p.free++
	}
	if c.state == callRecalled {
		p.recalling--
	}
	s.unlist(c, ci)
	const smooth = 8 // the last eight or so calls
	p.service += (span(c.started, s.now) - p.service) / smooth
	ri := c.replica
	c.replica = 0
	s.forgetReplica(ri)
}

// unlist takes a call out of those that may be stopped.
func (s *State) unlist(c *call, ci int32) {
	if c.listed {
		s.pools.items[s.replicas.items[c.replica].pool].recallable.remove(s.calls.items, ci)
		c.listed = false
	}
}

// recall asks the newest stoppable calls to give their slots to waiting calls of higher tiers.
func (s *State) recall(pi int32) {
	p := &s.pools.items[pi]
	if p.free > 0 || p.waiting == 0 {
		return
	}
	for ci := p.recallable.tail; ci != 0; {
		c := &s.calls.items[ci]
		before := c.prev
		if s.waitingAbove(p, c.tier) <= p.recalling {
			return
		}
		if !s.wanted(p, c.tier, &s.replicas.items[c.replica]) {
			ci = before
			continue
		}
		s.unlist(c, ci)
		c.state = callRecalled
		p.recalling++
		s.stats.Recalled++
		s.emit(Action{Kind: ActionPreempt, Call: c.id, Tier: c.tier, Lane: c.lane, Replica: c.ran, Reason: ReasonRecall})
		ci = before
	}
}

// wanted says whether a call of a higher tier would take a place on a replica, once it is free. If none would, the call that was
// recalled would get its own place back, and be recalled again.
func (s *State) wanted(p *pool, t Tier, r *replica) bool {
	for i := range p.tiers[:t] {
		for ci := range s.front(&p.tiers[i]) {
			if s.mayUse(p, &s.calls.items[ci], r) {
				return true
			}
		}
	}
	return false
}

// mayUse says whether a call can be placed on a replica sooner or later.
func (s *State) mayUse(p *pool, c *call, r *replica) bool {
	return r.up && !c.hasFailedOn(r.ID) && (!r.Standby || !s.primaryUp(p, c))
}

func (s *State) waitingAbove(p *pool, t Tier) int32 {
	var n int32
	for i := range p.tiers[:t] {
		n += p.tiers[i].waiting
	}
	return n
}

// applyToReplica changes whether a replica takes calls.
func (s *State) applyToReplica(ev *Event) {
	ri := s.replicaByID[ev.Replica]
	if ri == 0 || s.replicas.items[ri].removed {
		s.stats.Ignored++
		return
	}
	r := &s.replicas.items[ri]
	if ev.Kind == EventReplicaUp && !r.up {
		s.join(r)
	}
	r.up = ev.Kind == EventReplicaUp
	if r.up {
		if ev.Slots > 0 {
			r.Slots = ev.Slots
		}
		if ev.KV > 0 {
			r.KV = ev.KV
		}
	}
	s.recount(r.pool)
	s.pump(r.pool)
	if !r.up {
		s.stranded(r.pool)
	}
}

// recount computes what the pool knows of its replicas.
func (s *State) recount(pi int32) {
	p := &s.pools.items[pi]
	p.up, p.slots, p.free, p.weight = 0, 0, 0, 0
	for _, ri := range p.replicas {
		if r := &s.replicas.items[ri]; r.up {
			p.up++
			p.slots += r.Slots
			p.free += max(0, r.Slots-r.busy)
			if !r.Standby {
				p.weight += r.weight()
			}
		}
	}
}

// stranded refuses what waits in a pool that has no replica and will get none, or lets it fail over.
func (s *State) stranded(pi int32) {
	for {
		p := &s.pools.items[pi]
		if p.up > 0 || p.MaxReplicas > 0 || p.waiting == 0 {
			return
		}
		ci := s.anyWaiting(p)
		if ci == 0 {
			return
		}
		s.dequeue(ci)
		s.nextLane(ci, verdict{reason: ReasonNoReplica})
	}
}

// anyWaiting returns a waiting call, in the order of service.
func (s *State) anyWaiting(p *pool) int32 {
	for t := range p.tiers {
		q := &p.tiers[t]
		if q.requeued.head != 0 {
			return q.requeued.head
		}
		if ci := s.headFair(q); ci != 0 {
			return ci
		}
	}
	return 0
}

// nextLane moves a call that is in no queue and has no slot to the next lane of its route, if the present lane's rule
// covers the reason; else it is refused.
func (s *State) nextLane(ci int32, v verdict) {
	c := &s.calls.items[ci]
	if c.lane+1 >= c.numLanes || !c.lanes[c.lane].Spill.covers(v.reason) {
		s.reject(ci, v)
		return
	}
	s.releaseHolds(ci)
	s.leaveFair(c)
	s.spill(c, c.lane+1, v)
	s.offer(ci, c.lane+1)
}

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
