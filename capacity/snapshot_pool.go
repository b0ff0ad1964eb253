package capacity

import (
	"cmp"
	"slices"

	"forebay/capacity/codec"
)

// The part of a snapshot that describes pools.

func (x *snapshot) pool(i int32) PoolID {
	p := &x.s.pools.items[i]
	codec.Uint(x.Codec, &p.ID)
	below(x, &p.Kind, numPoolKinds)
	for _, n := range []*int32{&p.MaxQueue, &p.AffinityEntries, &p.AffinityLoad, &p.RetryBudget} {
		codec.Int(x.Codec, n)
	}
	codec.Int(x.Codec, &p.MaxWait)
	codec.Int(x.Codec, &p.Service)
	x.Bool(&p.removed)
	codec.Int(x.Codec, &p.service)
	codec.Int(x.Codec, &p.retries)
	x.scaling(p)
	for k := range x.Len(len(p.replicas)) {
		x.replica(i, k)
	}
	x.affinity(p)
	for t := range p.queues {
		for k := range p.queues[t] {
			x.wide(&p.queues[t][k].vtime)
		}
	}
	return p.ID
}

// replica describes the k-th replica of a pool.
func (x *snapshot) replica(pool int32, k int) {
	s := x.s
	p := &s.pools.items[pool]
	if x.Reading() {
		p.replicas = append(p.replicas, s.replicas.take())
	}
	i := p.replicas[k]
	r := &s.replicas.items[i]
	codec.Uint(x.Codec, &r.ID)
	codec.Int(x.Codec, &r.Slots)
	codec.Int(x.Codec, &r.KV)
	codec.Int(x.Codec, &r.Weight)
	x.Bool(&r.Standby)
	codec.Uint(x.Codec, &r.Reservation)
	for k := range r.Quota {
		codec.Uint(x.Codec, &r.Quota[k])
	}
	x.Bool(&r.up)
	x.Bool(&r.untold)
	x.Bool(&r.removed)
	codec.Uint(x.Codec, &r.turns)
	if !x.Reading() {
		return
	}
	if !s.rent(r, r.Quota) {
		x.Fail("replica %d with a quota that is not known", r.ID)
		return
	}
	if r.ID == 0 || s.replicaByID[r.ID] != 0 || r.Slots < 0 || r.Slots > maxSlots || r.KV != amount(r.KV) {
		x.Fail("replica %d", r.ID)
	}
	r.Pool, r.pool = p.ID, pool
	s.replicaByID[r.ID] = i
}

func (x *snapshot) reservation(i int32) ReservationID {
	r := &x.s.reservations.items[i]
	codec.Uint(x.Codec, &r.ID)
	codec.Uint(x.Codec, &r.Pool)
	codec.Uint(x.Codec, &r.Parent)
	codec.Uint(x.Codec, &r.Input)
	codec.Uint(x.Codec, &r.Output)
	codec.Uint(x.Codec, &r.Tokens)
	codec.Int(x.Codec, &r.Slots)
	x.amount(&r.KV)
	x.Bool(&r.removed)
	if r.Slots < 0 {
		x.Fail("reservation %d with %d slots", r.ID, r.Slots)
	}
	return r.ID
}

// linkReservations connects the reservations that were read with what they name.
func (x *snapshot) linkReservations() {
	s := x.s
	if !x.Reading() || x.Err() != nil {
		return
	}
	for i := 1; i < len(s.reservations.items); i++ {
		if r := &s.reservations.items[i]; !s.linkReservation(r) {
			x.Fail("reservation %d of what is not there", r.ID)
			return
		}
	}
	for i := 1; i < len(s.reservations.items); i++ {
		s.adopt(int32(i))
	}
}

// affinity describes which replica served which prefix last, in the order of the table.
func (x *snapshot) affinity(p *pool) {
	var used []affinity
	for _, e := range p.affinity {
		if e.replica != 0 {
			used = append(used, e)
		}
	}
	n := x.Len(len(used))
	size := tableSize(p.AffinityEntries)
	if x.Reading() && size > 0 && x.Err() == nil {
		p.affinity = make([]affinity, size)
	}
	last := -1
	for k := range n {
		var e affinity
		var id ReplicaID
		if !x.Reading() {
			e, id = used[k], x.s.replicas.items[used[k].replica].ID
		}
		codec.Uint(x.Codec, &e.prefix)
		codec.Uint(x.Codec, &id)
		if !x.Reading() {
			continue
		}
		e.replica = x.s.replicaByID[id]
		at := int(e.prefix & uint64(size-1))
		if size == 0 || e.prefix == 0 || at <= last || !slices.Contains(p.replicas, e.replica) {
			x.Fail("prefix %x on replica %d", e.prefix, id)
			return
		}
		p.affinity[at], last = e, at
	}
}

// compareKeys orders nodes by pool handle, tier, account, and a principal after its account.
func (s *State) compareKeys(a, b nodeKey) int {
	inner := 0
	if a.inner != b.inner {
		inner = -1
		if a.inner {
			inner = 1
		}
	}
	return cmp.Or(
		cmp.Compare(s.pools.items[a.pool].ID, s.pools.items[b.pool].ID), cmp.Compare(a.tier, b.tier), cmp.Compare(a.class, b.class),
		cmp.Compare(a.account, b.account), inner, cmp.Compare(a.principal, b.principal),
	)
}

// nodes describes the accounts and principals that the pools know.
func (x *snapshot) nodes() {
	s := x.s
	var list []int32
	if !x.Reading() {
		for i := range s.nodes.items {
			if s.nodes.items[i].key.pool != 0 {
				list = append(list, int32(i))
			}
		}
		slices.SortFunc(list, func(a, b int32) int { return s.compareKeys(s.nodes.items[a].key, s.nodes.items[b].key) })
	}
	var last nodeKey
	for k := range x.Len(len(list)) {
		if x.Reading() {
			list = append(list, s.nodes.take())
		}
		i := list[k]
		x.node(i)
		if x.Err() != nil {
			return
		}
		key := s.nodes.items[i].key
		if k > 0 && s.compareKeys(key, last) <= 0 {
			x.Fail("account %d after %d", key.account, last.account)
			return
		}
		last = key
	}
}

func (x *snapshot) node(i int32) {
	s := x.s
	n := &s.nodes.items[i]
	key := n.key
	pool := PoolID(0)
	last := false // it was the last of its group to stop waiting
	if !x.Reading() {
		pool, last = s.pools.items[key.pool].ID, s.groupOf(n).last == i
	}
	codec.Uint(x.Codec, &pool)
	below(x, &key.tier, numTiers)
	below(x, &key.class, numClasses)
	codec.Uint(x.Codec, &key.account)
	x.Bool(&key.inner)
	if key.inner {
		codec.Uint(x.Codec, &key.principal)
	}
	x.wide(&n.counter)
	if !key.inner {
		x.wide(&n.vtime)
	}
	x.Bool(&last)
	if !x.Reading() {
		return
	}
	key.pool = s.poolByID[pool]
	outer := key
	outer.inner, outer.principal = false, 0
	if key.pool == 0 || key.inner && s.nodeByKey[outer] == 0 {
		x.Fail("an account or principal of no pool")
		return
	}
	n.key = key
	if key.inner {
		n.parent = s.nodeByKey[outer]
	} else {
		s.joinTenant(n)
	}
	s.nodeByKey[key] = i
	if g := s.groupOf(n); last && g.last != 0 {
		x.Fail("two accounts were the last to wait")
	} else if last {
		g.last = i
	}
}
