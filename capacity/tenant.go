package capacity

// tenant is an account under quota in a pool, over all its queues there: what bounds how many of its calls may wait.
type tenant struct {
	tenantKey
	nodes   int32 // in the queues
	waiting int32 // calls, without those queued again
}

type tenantKey struct {
	pool    int32
	account AccountID
}

// joinTenant counts a new node of an account. One of a reservation is nobody's.
func (s *State) joinTenant(n *node) {
	if n.key.tier == TierReserved {
		return
	}
	key := tenantKey{n.key.pool, n.key.account}
	n.tenant = index(&s.tenants, s.tenantByKey, key)
	t := &s.tenants.items[n.tenant]
	t.tenantKey = key
	t.nodes++
}

func (s *State) leaveTenant(n *node) {
	if n.tenant == 0 {
		return
	}
	if t := &s.tenants.items[n.tenant]; t.nodes > 1 {
		t.nodes--
		return
	}
	delete(s.tenantByKey, s.tenants.items[n.tenant].tenantKey)
	s.tenants.put(n.tenant)
}

// countTenant counts calls that wait in a queue of an account.
func (s *State) countTenant(n *node, by int32) {
	if n.tenant != 0 {
		s.tenants.items[n.tenant].waiting += by
	}
}
