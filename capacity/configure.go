package capacity

import (
	"slices"
)

// configure applies a delta of the configuration.
func (s *State) configure(cfg *Config) {
	for _, m := range cfg.Models {
		if m.ID == 0 {
			s.stats.Ignored++
			continue
		}
		m.MaxOutput = amount(m.MaxOutput)
		i := index(&s.models, s.modelByID, m.ID)
		s.models.items[i] = m
	}
	for _, b := range cfg.Buckets {
		s.configureBucket(b)
	}
	for _, k := range cfg.Counters {
		if k.ID == 0 || int(k.Measure) >= numMeasures || k.Measure == MeasureConcurrent && k.Calendar != 0 {
			s.stats.Ignored++
			continue
		}
		k.Limit = amount(k.Limit)
		i := index(&s.counters, s.counterByID, k.ID)
		c := &s.counters.items[i]
		if c.Calendar != k.Calendar {
			c.period, c.used = 0, 0
			s.detach(i)
		}
		c.Counter, c.removed = k, false
	}
	for _, p := range cfg.Pools {
		s.configurePool(p)
	}
	for _, g := range cfg.Scalings {
		s.configureScaling(g)
	}
	for _, r := range cfg.Reservations {
		s.configureReservation(r)
	}
	for _, r := range cfg.Replicas {
		s.configureReplica(r)
	}
	s.remove(cfg)
	slices.Sort(s.touched)
	for _, id := range s.touched {
		if i := s.poolByID[id]; i != 0 && s.pools.items[i].touched { // nothing is left of it otherwise
			s.recount(i)
		}
	}
	for _, id := range s.touched {
		if i := s.poolByID[id]; i != 0 && s.pools.items[i].touched {
			p := &s.pools.items[i]
			p.touched = false
			if p.up > 0 || !slices.ContainsFunc(p.replicas, func(ri int32) bool { return s.replicas.items[ri].untold }) {
				s.stranded(i)
			}
			s.pump(i, 0)
		}
	}
	s.touched = s.touched[:0]
}

// touch notes that what a pool knows of its objects has changed.
func (s *State) touch(pi int32) {
	if p := &s.pools.items[pi]; !p.touched {
		p.touched = true
		s.touched = append(s.touched, p.ID)
	}
}

// detach makes what calls hold on a counter count in no period: the numbers of its old calendar's periods mean nothing in the new one.
func (s *State) detach(counter int32) {
	s.counters.items[counter].held = 0
	for ci := range s.calls.n {
		c := s.calls.at(ci)
		for i := range c.holds[:c.numCounters] {
			if h := &c.holds[i].counter; h.counter == counter {
				h.period = noPeriod
			}
		}
	}
}

// index returns the place of an object, a new one if it has none.
func index[K comparable, T any](items *slab[T], byID map[K]int32, id K) int32 {
	i := byID[id]
	if i == 0 {
		i = items.take()
		byID[id] = i
	}
	return i
}

func (s *State) configureBucket(b Bucket) {
	if b.ID == 0 || int(b.Measure) >= numMeasures || b.Measure == MeasureConcurrent {
		s.stats.Ignored++
		return
	}
	b.Rate, b.Depth = amount(b.Rate), amount(b.Depth)
	known := s.bucketByID[b.ID] != 0
	i := index(&s.buckets, s.bucketByID, b.ID)
	x := &s.buckets.items[i]
	if !known {
		x.at = s.now
	}
	x.drain(s.now) // what passed so far drained at the old rate
	if b.Share && x.granted {
		b.Rate, b.Depth = x.Rate, x.Depth // the grant stands
	}
	x.Bucket, x.removed = b, false
}

// maxAffinity bounds the table of prefixes of one pool.
const maxAffinity = 1 << 16

// tableSize is the size of a table of prefixes for so many entries: a power of two, or 0.
func tableSize(entries int32) int {
	if entries <= 0 {
		return 0
	}
	size := 1
	for size < int(entries) && size < maxAffinity {
		size *= 2
	}
	return size
}

func (s *State) configurePool(p Pool) {
	if p.ID == 0 || int(p.Kind) >= numPoolKinds {
		s.stats.Ignored++
		return
	}
	known := s.poolByID[p.ID] != 0
	i := index(&s.pools, s.poolByID, p.ID)
	x := &s.pools.items[i]
	if !known {
		x.service = max(0, p.Service)
		x.retries = retryReserve
	}
	if size := tableSize(p.AffinityEntries); size != len(x.affinity) {
		x.affinity = nil
		if size > 0 {
			x.affinity = make([]affinity, size)
		}
	}
	x.Pool, x.removed = p, false
	s.touch(i)
}

// maxSlots is the most slots of a replica that count, so that sums over replicas do not wrap.
const maxSlots = 1 << 20

func (s *State) configureReplica(r Replica) {
	pi := s.poolByID[r.Pool]
	if pi == 0 || r.ID == 0 || r.Standby && r.Reservation != 0 {
		s.stats.Ignored++
		return
	}
	r.Slots, r.KV = max(0, min(r.Slots, maxSlots)), amount(r.KV)
	known := s.replicaByID[r.ID] != 0
	i := index(&s.replicas, s.replicaByID, r.ID)
	x := &s.replicas.items[i]
	if known && x.pool != pi {
		s.stats.Ignored++ // a replica does not change its pool: remove it first
		return
	}
	if !s.rent(x, r.Quota) {
		r.Quota = x.Quota
		s.stats.Ignored++
	}
	x.untold = x.untold || !known || x.removed
	x.Replica, x.pool, x.removed = r, pi, false
	s.touch(pi)
	p := &s.pools.items[pi]
	if !slices.Contains(p.replicas, i) {
		p.replicas = append(p.replicas, i)
	}
}

func (s *State) remove(cfg *Config) {
	for _, id := range cfg.RemoveReservations {
		if i := s.reservationByID[id]; i != 0 {
			s.removeReservation(i)
		}
	}
	for _, id := range cfg.RemoveScalings {
		s.removeScaling(id)
	}
	for _, id := range cfg.RemoveModels {
		if i := s.modelByID[id]; i != 0 {
			delete(s.modelByID, id)
			s.models.put(i)
		}
	}
	for _, id := range cfg.RemoveReplicas {
		if i := s.replicaByID[id]; i != 0 {
			r := &s.replicas.items[i]
			r.up, r.untold, r.removed = false, false, true
			s.recount(r.pool)
			s.touch(r.pool)
			s.forgetReplica(i)
		}
	}
	for _, id := range cfg.RemoveBuckets {
		if i := s.bucketByID[id]; i != 0 {
			s.buckets.items[i].removed = true
			s.forgetBucket(i)
		}
	}
	for _, id := range cfg.RemoveCounters {
		if i := s.counterByID[id]; i != 0 {
			s.counters.items[i].removed = true
			s.forgetCounter(i)
		}
	}
	for _, id := range cfg.RemovePools {
		i := s.poolByID[id]
		if i == 0 {
			continue
		}
		s.removeScaling(id)
		s.pools.items[i].removed = true
		for _, ci := range s.waitingIn(func(c *call) bool { return c.pool == i }) {
			s.dequeue(ci)
			s.reject(ci, verdict{reason: ReasonUnknown})
		}
		for ri := range s.reservations.items {
			if r := &s.reservations.items[ri]; r.pool == i && r.parent == 0 {
				s.removeReservation(int32(ri))
			}
		}
		s.forgetPool(i)
	}
}

// The forget functions drop what was removed as soon as no call refers to it.

func (s *State) forgetBucket(i int32) {
	if b := &s.buckets.items[i]; b.removed && b.refs == 0 {
		delete(s.bucketByID, b.ID)
		s.buckets.put(i)
	}
}

func (s *State) forgetCounter(i int32) {
	if k := &s.counters.items[i]; k.removed && k.refs == 0 {
		delete(s.counterByID, k.ID)
		s.counters.put(i)
	}
}

func (s *State) forgetReplica(i int32) {
	r := &s.replicas.items[i]
	if !r.removed || r.busy > 0 {
		return
	}
	p := &s.pools.items[r.pool]
	for k, ri := range p.replicas {
		if ri == i {
			p.replicas = append(p.replicas[:k], p.replicas[k+1:]...)
			break
		}
	}
	for k := range p.affinity {
		if p.affinity[k].replica == i {
			p.affinity[k] = affinity{}
		}
	}
	s.unrent(r)
	delete(s.replicaByID, r.ID)
	s.replicas.put(i)
}

func (s *State) forgetPool(i int32) {
	p := &s.pools.items[i]
	if !p.removed || p.refs > 0 || len(p.replicas) > 0 {
		return
	}
	for t := range p.queues {
		for k := range p.queues[t] {
			g := &p.queues[t][k].group
			for len(g.idle) > 0 {
				s.forgetIdle(g, g.idle[len(g.idle)-1])
			}
		}
	}
	s.sleepScaling(i)
	s.stopWaking(i)
	delete(s.poolByID, p.ID)
	s.pools.put(i)
}
