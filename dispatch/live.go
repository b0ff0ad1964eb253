package dispatch

import (
	"cmp"
	"slices"

	"forebay/capacity"
)

// Live is where the scheduler stands at one moment.
type Live struct {
	Pools        []LivePool
	Reservations []LiveReservation
	Tenants      []LiveTenant
	Totals       capacity.Stats // since the start
}

// LivePool is a pool, by the name that lanes have of it.
type LivePool struct {
	Name string
	Kind capacity.PoolKind
	capacity.PoolStats
}

// LiveReservation is a reservation, by what was bought.
type LiveReservation struct {
	ID, Model string
	ReservationStatus
}

// LiveTenant is what an account has in flight in one tier of a pool.
type LiveTenant struct {
	Pool, Account string
	capacity.TenantStats
}

// Live returns where the scheduler stands, in the order of names.
func (d *Dispatcher) Live() Live {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.step(&capacity.Event{Kind: capacity.EventTick}) // buckets drain with time
	w := d.world.Load()
	out := Live{Totals: d.state.Stats()}
	pools := make(map[capacity.PoolID]string, len(w.pools))
	for name, m := range w.pools {
		pools[m.pool] = name
		p := LivePool{Name: name}
		p.PoolStats, _ = d.state.Pool(m.pool)
		if len(m.replicas) > 0 {
			p.Kind = m.replicas[0].kind
		}
		out.Pools = append(out.Pools, p)
	}
	for id, r := range w.reservations {
		out.Reservations = append(out.Reservations, LiveReservation{ID: id, Model: r.Model, ReservationStatus: d.reservation(r)})
	}
	accounts := make(map[capacity.AccountID]string, len(w.accounts))
	for name, id := range w.accounts {
		accounts[id] = name
	}
	for _, t := range d.state.Tenants() {
		out.Tenants = append(out.Tenants, LiveTenant{Pool: pools[t.Pool], Account: accounts[t.Account], TenantStats: t})
	}
	slices.SortFunc(out.Pools, func(a, b LivePool) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(out.Reservations, func(a, b LiveReservation) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(out.Tenants, func(a, b LiveTenant) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Tier, b.Tier))
	})
	return out
}
