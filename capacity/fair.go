package capacity

// Fairness is by virtual token counters: each account of a tier, or reservation of the reserved tier, counts the tokens that it was served, weighted by
// price; the waiting account with the lowest counter goes first, and inside it likewise the principal. An account that starts to wait
// is lifted to the lowest counter of those that wait, so that idle time is not saved up.
//
// Source: Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024. Its Theorem 4.4 bounds the difference in
// service of two continuously backlogged clients by 2 max(wp*Linput, wq*M), with M the most tokens in flight at once; here output is
// counted when Progress tells of it, which adds one report's tokens per slot to M.

// nodeKey names an account (inner false) or a principal in one queue of one pool.
type nodeKey struct {
	pool      int32
	account   AccountID
	principal PrincipalID
	tier      Tier
	class     class
	inner     bool
}

// node is an account or a principal that waits, runs something, or is ahead of the others' counters.
type node struct {
	group   // an account's principals
	key     nodeKey
	parent  int32 // a principal's account
	tenant  int32 // an account's, over all queues of the pool
	refs    int32 // calls in flight
	waiting int32 // calls in the queue, without those queued again
	at      int32 // place in the active or the idle heap of its group, or at its seat
	counter wide
	calls   list // a principal's waiting calls

	// Of a reservation in the reserved tier's queue of firm calls:
	reservation int32
	seat        seat
	again       list // calls that were queued again
	numAgain    int32
}

// group is a set of nodes that compete. A node lies in active while it waits, in idle while it has no
// call at all, and in neither while it only runs.
type group struct {
	active []int32
	idle   []int32
	vtime  wide  // no node that starts to wait is behind it
	last   int32 // the node that stopped waiting last
}

func (n *node) before(m *node) bool {
	if n.counter != m.counter {
		return n.counter.less(m.counter)
	}
	if n.key.account != m.key.account {
		return n.key.account < m.key.account
	}
	return n.key.principal < m.key.principal
}

func (n *node) place() *int32 { return &n.at }

// groupOf returns the group in which a node competes. The pointer is valid until a node is added.
func (s *State) groupOf(n *node) *group {
	if n.parent != 0 {
		return &s.nodes.items[n.parent].group
	}
	return &s.pools.items[n.key.pool].queues[n.key.tier][n.key.class].group
}

// joinFair finds or makes the nodes of the call's account and principal in its pool and tier.
func (s *State) joinFair(ci int32) {
	c := s.calls.at(ci)
	if c.fair != 0 {
		return
	}
	s.pools.items[c.pool].refs++
	if c.reservation != 0 {
		s.reservations.items[c.reservation].refs++
	}
	outer := c.outerKey()
	key := outer
	key.inner, key.principal = true, c.principal
	if c.fair = s.nodeByKey[key]; c.fair == 0 {
		account := s.nodeByKey[outer]
		if account == 0 {
			account = s.newNode(outer, 0)
			s.joinTenant(&s.nodes.items[account])
		}
		c.fair = s.newNode(key, account)
	}
	account := s.nodes.items[c.fair].parent
	s.useNode(account)
	s.useNode(c.fair)
	s.nameNode(c, account)
}

// nameNode lets a reservation find its node among those with a seat.
func (s *State) nameNode(c *call, account int32) {
	if c.seated() {
		s.nodes.items[account].reservation = c.reservation
		s.reservations.items[c.reservation].node = account
	}
}

// seated says whether the call waits at a seat of its reservation.
func (c *call) seated() bool { return c.reservation != 0 && c.class == classFirm }

// outerKey names the outer unit of fairness that the call belongs to: its account or, in the reserved tier, its reservation.
func (c *call) outerKey() nodeKey {
	k := nodeKey{pool: c.pool, tier: c.tier, class: c.class, account: c.account}
	if c.reservation != 0 {
		k.account = AccountID(c.lanes[c.lane].Reservation)
	}
	return k
}

// outerOf returns the node of the outer unit of fairness that the call belongs to, 0 if there is none.
func (s *State) outerOf(c *call) int32 {
	if c.seated() {
		return s.reservations.items[c.reservation].node
	}
	return s.nodeByKey[c.outerKey()]
}

func (s *State) newNode(key nodeKey, parent int32) int32 {
	i := s.nodes.take()
	n := &s.nodes.items[i]
	n.key, n.parent = key, parent
	s.nodeByKey[key] = i
	return i
}

// useNode counts one more call of a node.
func (s *State) useNode(i int32) {
	n := &s.nodes.items[i]
	if n.refs == 0 && n.at != 0 { // it is idle, and not new
		g := s.groupOf(n)
		g.idle = heapRemove(g.idle, s.nodes.items, i)
	}
	n.refs++
}

// leaveFair undoes joinFair.
func (s *State) leaveFair(c *call) {
	if c.fair == 0 {
		return
	}
	s.pools.items[c.pool].refs--
	inner := c.fair
	outer := s.nodes.items[inner].parent
	for _, i := range [2]int32{inner, outer} {
		n := &s.nodes.items[i]
		n.refs--
		if n.refs == 0 {
			s.rest(s.groupOf(n), i)
		}
	}
	c.fair = 0
	if ri := c.reservation; ri != 0 {
		s.reservations.items[ri].refs--
		s.forgetReservation(ri)
	}
}

// rest leaves a node without calls among the idle ones, unless its counter says nothing any more.
func (s *State) rest(g *group, i int32) {
	if g.vtime.less(s.nodes.items[i].counter) {
		g.idle = heapPush(g.idle, s.nodes.items, i)
	} else {
		s.forgetNode(g, i)
	}
}

// harden moves a call that can be recalled no more among those that cannot.
func (s *State) harden(ci int32) {
	c := s.calls.at(ci)
	ri := c.reservation
	if ri != 0 {
		s.reservations.items[ri].refs++
	}
	s.leaveFair(c)
	c.class = classFirm
	s.joinFair(ci)
	if ri != 0 {
		s.reservations.items[ri].refs--
	}
}

// sweep forgets idle nodes whose counter says nothing any more.
func (s *State) sweep(g *group) {
	for len(g.idle) > 0 && !g.vtime.less(s.nodes.items[g.idle[0]].counter) {
		s.forgetIdle(g, g.idle[0])
	}
}

// forgetIdle removes an idle node.
func (s *State) forgetIdle(g *group, i int32) {
	g.idle = heapRemove(g.idle, s.nodes.items, i)
	s.forgetNode(g, i)
}

// forgetNode removes a node without calls that is not among the idle ones any more, with the idle nodes of its own group.
func (s *State) forgetNode(g *group, i int32) {
	if g.last == i {
		g.last = 0
	}
	n := &s.nodes.items[i]
	if n.reservation != 0 {
		s.reservations.items[n.reservation].node = 0
	}
	for len(n.idle) > 0 {
		s.forgetIdle(&n.group, n.idle[len(n.idle)-1])
	}
	s.leaveTenant(n)
	delete(s.nodeByKey, n.key)
	active, idle := n.active[:0], n.idle[:0]
	s.nodes.put(i)
	n.active, n.idle = active, idle // keep their room
}

// pushFair puts a call at the end of its principal's queue.
func (s *State) pushFair(q *tierQueue, ci int32) {
	inner := s.calls.at(ci).fair
	n := &s.nodes.items[inner]
	outer := &s.nodes.items[n.parent]
	n.calls.push(&s.calls, ci)
	n.waiting++
	outer.waiting++
	s.countTenant(outer, 1)
	if n.waiting == 1 {
		s.activate(&outer.group, inner)
	}
	if outer.waiting == 1 {
		s.activate(&q.group, n.parent)
	}
}

// activate lets a node compete that starts to wait.
func (s *State) activate(g *group, i int32) {
	first := g.last
	if len(g.active) > 0 {
		first = g.active[0]
	}
	if first != 0 {
		g.vtime = g.vtime.max(s.nodes.items[first].counter)
	}
	n := &s.nodes.items[i]
	n.counter = n.counter.max(g.vtime)
	g.active = heapPush(g.active, s.nodes.items, i)
	s.sweep(g)
}

// removeFair takes a waiting call out of its principal's queue.
func (s *State) removeFair(q *tierQueue, ci int32) {
	inner := s.calls.at(ci).fair
	n := &s.nodes.items[inner]
	outer := &s.nodes.items[n.parent]
	n.calls.remove(&s.calls, ci)
	n.waiting--
	outer.waiting--
	s.countTenant(outer, -1)
	if n.waiting == 0 {
		outer.active = heapRemove(outer.active, s.nodes.items, inner)
		outer.last = inner
	}
	if outer.waiting == 0 {
		q.active = heapRemove(q.active, s.nodes.items, n.parent)
		q.last = n.parent
	}
}

// headFair returns the call whose turn it is, 0 if none waits.
func (s *State) headFair(q *tierQueue) int32 {
	if len(q.active) == 0 {
		return 0
	}
	account := &s.nodes.items[q.active[0]]
	return s.nodes.items[account.active[0]].calls.head
}

// serve brings the counters up to what the call has been served so far. A correction of an estimate may lower them.
func (s *State) serve(c *call, input, output int64) {
	if c.fair == 0 {
		return
	}
	m := s.modelOf(c)
	inner := c.fair
	outer := &s.nodes.items[s.nodes.items[inner].parent]
	turn := outer.first()
	for _, i := range [2]int32{inner, s.nodes.items[inner].parent} {
		n := &s.nodes.items[i]
		n.counter = n.counter.add(mul(uint64(max(0, input-c.sawInput)), uint64(m.WeightInput)))
		n.counter = n.counter.add(mul(uint64(max(0, output-c.sawOutput)), uint64(m.WeightOutput)))
		n.counter = n.counter.sub(mul(uint64(max(0, c.sawInput-input)), uint64(m.WeightInput)))
		n.counter = n.counter.sub(mul(uint64(max(0, c.sawOutput-output)), uint64(m.WeightOutput)))
		switch {
		case n.seat != seatNone:
			heapFix(s.pools.items[n.key.pool].seats[n.seat], s.nodes.items, i)
		case n.waiting > 0 && n.reservation == 0:
			heapFix(s.groupOf(n).active, s.nodes.items, i)
		}
	}
	c.sawInput, c.sawOutput = input, output
	if outer.seat >= seatEntitled && outer.first() != turn {
		s.seat(outer.reservation) // by the call whose turn it is now, which may need more memory, or less
	}
}

// first returns the node of a group whose turn it is, 0 if none waits.
func (g *group) first() int32 {
	if len(g.active) == 0 {
		return 0
	}
	return g.active[0]
}
