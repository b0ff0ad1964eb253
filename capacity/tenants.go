package capacity

import (
	"cmp"
	"slices"
)

// TenantStats is what one account has in flight in one tier of one pool.
type TenantStats struct {
	Pool    PoolID
	Account AccountID
	Tier    Tier
	Waiting int32 // queued, or between two attempts
	Running int32 // in a slot
}

// Tenants returns what each account has in flight, in the order of pools, accounts and tiers. It looks at every call.
func (s *State) Tenants() []TenantStats {
	type key struct {
		pool    PoolID
		account AccountID
		tier    Tier
	}
	at := make(map[key]int)
	var out []TenantStats
	for i := range s.calls.n {
		c := s.calls.at(i)
		if s.callByID[c.id] != i || i == 0 {
			continue // not in use
		}
		k := key{c.lanes[c.lane].Pool, c.account, c.tier}
		n, known := at[k]
		if !known {
			n = len(out)
			at[k] = n
			out = append(out, TenantStats{Pool: k.pool, Account: k.account, Tier: k.tier})
		}
		if c.hasSlot() {
			out[n].Running++
		} else {
			out[n].Waiting++
		}
	}
	slices.SortFunc(out, func(a, b TenantStats) int {
		return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Account, b.Account), cmp.Compare(a.Tier, b.Tier))
	})
	return out
}
