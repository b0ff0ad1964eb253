package server

import (
	"context"
	"maps"
	"sync"
	"time"

	"forebay/api/admin"
	"forebay/capacity"
	"forebay/dispatch"
	"forebay/meter"
)

// sums are amounts of money by currency, in nano-units.
type sums struct {
	mu           sync.Mutex
	charge, cost map[string]int64
}

func newSums() *sums { return &sums{charge: map[string]int64{}, cost: map[string]int64{}} }

func (s *sums) add(r *meter.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Charge.Known {
		s.charge[r.Charge.Currency()] += r.Charge.Total()
	}
	if r.Cost.Known {
		s.cost[r.Cost.Currency()] += r.Cost.Total()
	}
}

func (s *sums) read() (charge, cost map[string]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.charge), maps.Clone(s.cost)
}

// Live implements admin.State.
func (v adminView) Live(context.Context) *admin.Live {
	now, bought := v.s.dispatch.Live(), v.s.provisioned.Load()
	out := &admin.Live{At: time.Now(), Totals: totals(&now.Totals)}
	out.Totals.Charge, out.Totals.Cost = v.s.metrics.sums.read()
	for i := range now.Pools {
		out.Pools = append(out.Pools, livePool(&now.Pools[i]))
	}
	for i := range now.Reservations {
		r := &now.Reservations[i]
		to := admin.LiveReservation{ID: r.ID, Model: r.Model, Use: use(&r.ReservationStatus)}
		if t := bought.byARN[r.ID]; t != nil {
			to.Unit = string(t.Unit.Basis)
		}
		out.Reservations = append(out.Reservations, to)
	}
	for _, t := range now.Tenants {
		out.Tenants = append(out.Tenants, admin.LiveTenant{Account: t.Account, Pool: t.Pool, Tier: t.Tier.String(), Running: t.Running, Waiting: t.Waiting})
	}
	out.Hourly.Charge, out.Hourly.Cost = map[string]int64{}, map[string]int64{}
	for _, f := range v.s.accruer.Figures() {
		out.Hourly.Unpriced += f.Unpriced
		out.Hourly.Uncosted += f.Uncosted
		for currency, nano := range f.ChargePerHour {
			out.Hourly.Charge[currency] += nano
		}
		for currency, nano := range f.CostPerHour {
			out.Hourly.Cost[currency] += nano
		}
	}
	return out
}

func livePool(p *dispatch.LivePool) admin.LivePool {
	out := admin.LivePool{
		Name: p.Name, Kind: p.Kind.String(), Replicas: p.Up, Slots: p.Slots, Busy: p.Busy, Sold: p.Sold, Lent: p.Lent, Waiting: p.Waiting,
	}
	for t, n := range p.WaitingByTier {
		if n > 0 {
			if out.Tiers == nil {
				out.Tiers = map[string]int32{}
			}
			out.Tiers[capacity.Tier(t).String()] = n
		}
	}
	return out
}

func totals(s *capacity.Stats) admin.LiveTotals {
	out := admin.LiveTotals{Arrived: s.Arrived, Admitted: s.Admitted, Settled: s.Settled, Spilled: s.Spilled, Retried: s.Retried, Recalled: s.Recalled}
	for reason, n := range s.Rejected {
		if n > 0 {
			if out.Rejected == nil {
				out.Rejected = map[string]uint64{}
			}
			out.Rejected[capacity.Reason(reason).String()] = n
		}
	}
	return out
}
