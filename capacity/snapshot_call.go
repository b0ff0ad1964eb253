package capacity

import (
	"cmp"
	"errors"
	"slices"

	"forebay/capacity/codec"
)

// The part of a snapshot that describes calls, and what is computed from them.

func (x *snapshot) call(i int32) CallID {
	c := x.s.calls.at(i)
	codec.Uint(x.Codec, &c.id)
	below(x, &c.state, numCallStates)
	below(x, &c.tier, numTiers)
	below(x, &c.ownTier, numTiers)
	below(x, &c.class, numClasses)
	x.Bool(&c.preemptible)
	x.Bool(&c.requeued)
	x.Bool(&c.listed)
	x.Bool(&c.told)
	below(x, &c.stop, numReasons)
	below(x, &c.left, numReasons)
	codec.Uint(x.Codec, &c.leftBucket)
	below(x, &c.placed, numPlacements)
	codec.Int(x.Codec, &c.attempts)
	codec.Uint(x.Codec, &c.account)
	codec.Uint(x.Codec, &c.principal)
	codec.Uint(x.Codec, &c.ran)
	below(x, &c.numFailed, maxFailed+1)
	for k := range c.failed[:c.numFailed] {
		codec.Uint(x.Codec, &c.failed[k])
	}
	codec.Int(x.Codec, &c.n)
	for _, v := range []*int64{&c.input, &c.cacheWrite, &c.asked, &c.maxOutput, &c.kv, &c.sawInput, &c.sawOutput} {
		x.amount(v)
	}
	codec.Uint(x.Codec, &c.prefix)
	for _, t := range []*Instant{&c.deadline, &c.arrived, &c.queued, &c.started, &c.waitEnds} {
		codec.Int(x.Codec, t)
	}
	codec.Uint(x.Codec, &c.order)
	x.lanes(c)
	x.holds(c)
	x.unitHolds(c)
	x.quotaHolds(c)
	return c.id
}

func (x *snapshot) lanes(c *call) {
	below(x, &c.numLanes, MaxLanes+1)
	below(x, &c.lane, max(1, int(c.numLanes)))
	for k := range c.lanes[:c.numLanes] {
		l := &c.lanes[k]
		codec.Uint(x.Codec, &l.Pool)
		codec.Uint(x.Codec, &l.Model)
		codec.Uint(x.Codec, &l.Reservation)
		codec.Uint(x.Codec, &l.Spill)
		codec.Uint(x.Codec, &l.Buckets)
		codec.Uint(x.Codec, &l.Counters)
		x.amount(&l.Money)
		codec.Int(x.Codec, &l.MaxWait)
	}
}

// holds describes the limits that a call lists, and what it holds of them.
func (x *snapshot) holds(c *call) {
	s := x.s
	below(x, &c.numBuckets, MaxBuckets+1)
	for k := range c.holds[:c.numBuckets] {
		h := &c.holds[k].bucket
		var id BucketID
		if !x.Reading() {
			id = s.buckets.items[h.bucket].ID
		}
		codec.Uint(x.Codec, &id)
		x.Bool(&h.held)
		if h.bucket = s.bucketByID[id]; h.bucket == 0 {
			x.Fail("a call with bucket %d", id)
			return
		}
		if h.held {
			x.hold(h)
		}
	}
	below(x, &c.numCounters, MaxCounters+1)
	for k := range c.holds[:c.numCounters] {
		h := &c.holds[k].counter
		var id CounterID
		if !x.Reading() {
			id = s.counters.items[h.counter].ID
		}
		codec.Uint(x.Codec, &id)
		x.Bool(&h.held)
		if h.counter = s.counterByID[id]; h.counter == 0 {
			x.Fail("a call with counter %d", id)
			return
		}
		if h.held {
			x.amount(&h.amount)
			codec.Int(x.Codec, &h.period)
		}
	}
}

// quotaHolds describes what a call holds of its replica's quota.
func (x *snapshot) quotaHolds(c *call) {
	x.Bool(&c.quoted)
	if !c.quoted {
		return
	}
	if c.state != callRunning && c.state != callRecalled && c.state != callParked {
		x.Fail("a call that holds on a replica's quota, and has none")
		return
	}
	for k := range c.quota {
		h := &c.quota[k]
		x.Bool(&h.held)
		if !h.held {
			continue
		}
		var id BucketID
		if !x.Reading() {
			id = x.s.buckets.items[h.bucket].ID
		}
		codec.Uint(x.Codec, &id)
		if h.bucket = x.s.bucketByID[id]; h.bucket == 0 {
			x.Fail("a call with bucket %d", id)
			return
		}
		x.hold(h)
	}
}

// unitHolds describes what a call's reservation has been charged.
func (x *snapshot) unitHolds(c *call) {
	c.reservation = x.s.reservationByID[c.lanes[c.lane].Reservation]
	x.Bool(&c.unitsOpen)
	if !c.unitsOpen {
		return
	}
	if c.reservation == 0 {
		x.Fail("a call without a reservation")
		return
	}
	x.amount(&c.unitInput)
	x.amount(&c.unitOutput)
	for k, bi := range x.s.unitBuckets(c.reservation) {
		if bi != 0 {
			h := &c.units[k]
			x.layer(bi, &h.layer)
			if unitsOf(k, 0, c.unitOutput) > 0 {
				x.layer(bi, &h.made)
			}
		}
	}
}

// hold describes a hold and its place among the layers of its bucket.
func (x *snapshot) hold(h *bucketHold) {
	x.amount(&h.amount)
	x.layer(h.bucket, &h.layer)
}

// layer describes which of a bucket's layers is a call's.
func (x *snapshot) layer(bucket int32, number *int32) {
	l := &x.s.buckets.items[bucket].layers
	var k int32
	if !x.Reading() {
		k = l.at[*number]
	}
	codec.Int(x.Codec, &k)
	if !x.Reading() {
		return
	}
	var ok bool
	if *number, ok = l.claim(k); !ok {
		x.Fail("a hold at layer %d", k)
	}
}

var (
	errCall  = errors.New("a call in a state that cannot be")
	errLayer = errors.New("a layer that no call holds")
)

// link computes what a snapshot leaves out, once all objects are there.
func (s *State) link() error {
	for i := range s.buckets.items {
		if slices.Contains(s.buckets.items[i].owner, unowned) {
			return errLayer
		}
	}
	list := make([]int32, 0, len(s.callByID))
	for i := range s.calls.n {
		if i > 0 {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b int32) int {
		x, y := s.calls.at(a), s.calls.at(b)
		return cmp.Or(cmp.Compare(x.order, y.order), cmp.Compare(x.id, y.id))
	})
	for _, ci := range list {
		if !s.linkCall(ci) {
			return errCall
		}
	}
	for i := range s.nodes.items {
		n := &s.nodes.items[i]
		switch {
		case i == 0:
		case n.reservation != 0 && n.refs > 0: // has a seat
		case n.waiting > 0:
			g := s.groupOf(n)
			g.active = heapPush(g.active, s.nodes.items, int32(i))
		case n.refs == 0:
			g := s.groupOf(n)
			g.idle = heapPush(g.idle, s.nodes.items, int32(i))
		}
	}
	for i := range s.pools.items {
		if i > 0 {
			s.recount(int32(i))
			s.pools.items[i].thirsty = nil
		}
	}
	for i := range s.reservations.items {
		s.reservations.items[i].thirsty = false // it was asked for before
	}
	return nil
}

// linkCall puts a call where its state says that it is.
func (s *State) linkCall(ci int32) bool {
	c := s.calls.at(ci)
	if c.numLanes == 0 || c.tier == 0 || c.n < 1 || c.order > s.order {
		return false
	}
	c.pool = s.poolByID[c.lanes[c.lane].Pool]
	if (c.reservation != 0) != (c.tier == TierReserved) || c.ownTier <= TierReserved {
		return false
	}
	key := c.outerKey()
	key.inner, key.principal = true, c.principal
	c.fair = s.nodeByKey[key]
	if c.pool == 0 || c.fair == 0 {
		return false
	}
	p := &s.pools.items[c.pool]
	if c.reservation != 0 {
		r := &s.reservations.items[c.reservation]
		r.refs++
		if r.pool != c.pool {
			return false
		}
	}
	p.refs++
	s.nodes.items[c.fair].refs++
	s.nodes.items[s.nodes.items[c.fair].parent].refs++
	s.nameNode(c, s.nodes.items[c.fair].parent)
	for i := range c.holds[:c.numBuckets] {
		s.buckets.items[c.holds[i].bucket.bucket].refs++
	}
	for i := range c.quota {
		if h := &c.quota[i]; h.held {
			s.buckets.items[h.bucket].refs++
		}
	}
	for i := range c.holds[:c.numCounters] {
		h := &c.holds[i].counter
		k := &s.counters.items[h.counter]
		k.refs++
		if h.held && h.period == k.period {
			k.held = sum(k.held, h.amount)
		}
	}
	if c.state == callWaiting {
		return s.linkWaiting(ci, c, p)
	}
	if c.requeued || c.state == 0 || c.listed && (c.state != callRunning || !c.preemptible) {
		return false
	}
	if c.told != (c.state == callRecalled) && (!c.told || !c.hasSlot()) {
		return false
	}
	return !c.hasSlot() || s.linkRunning(ci, c, p)
}

func (s *State) linkWaiting(ci int32, c *call, p *pool) bool {
	q := &p.queues[c.tier][c.class]
	n := &s.nodes.items[c.fair]
	outer := &s.nodes.items[n.parent]
	switch {
	case c.requeued && c.seated():
		outer.again.push(&s.calls, ci)
		outer.numAgain++
	case c.requeued:
		q.requeued.push(&s.calls, ci)
	default:
		n.calls.push(&s.calls, ci)
		n.waiting++
		outer.waiting++
		s.countTenant(outer, 1)
	}
	q.waiting++
	p.waiting++
	p.mark(&s.calls, ci)
	if c.waitEnds != 0 {
		s.deadlines = s.deadlines.push(&s.calls, ci)
	}
	return !c.listed
}

func (s *State) linkRunning(ci int32, c *call, p *pool) bool {
	ri := s.replicaByID[c.ran]
	if ri == 0 || s.replicas.items[ri].pool != c.pool {
		return false
	}
	r := &s.replicas.items[ri]
	c.replica = ri
	r.busy++
	r.kvUsed = r.kvUsed.add(wide{lo: uint64(c.kv)})
	p.busy++
	if c.told {
		r.recalling++
	}
	if c.preemptible {
		r.borrowed++
	}
	if c.listed {
		r.lendable[c.tier]++
	}
	r.listOf(c).push(&s.calls, ci)
	return true
}
