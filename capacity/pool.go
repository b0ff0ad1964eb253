package capacity

import "time"

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
