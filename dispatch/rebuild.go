package dispatch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"forebay/capacity"
	"forebay/infer"
	"forebay/meter"
)

// History gives back what calls took from quotas since an instant, in order of arrival: one by
// one since the second instant, and in sums before it.
type History interface {
	Charges(ctx context.Context, since, exact time.Time, f func(meter.Charge)) error
}

// drained is how far back charges of buckets are replayed. A full bucket drains in a minute; one that was charged five times
// what it held, which is the highest burndown published, in five.
const drained = 10 * time.Minute

// Rebuild brings the buckets, day counters and budgets that the last Configure brought to where
// the ledger says they stand. It is called after the first Configure and before the first
// call; and after a later one that may have given limits to those who have called before: then
// calls that are under way meanwhile may be missed, or counted twice.
func (d *Dispatcher) Rebuild(ctx context.Context, h History) error {
	now := time.Now()
	d.mu.Lock()
	w, fresh := d.world.Load(), d.fresh
	d.fresh = nil
	d.mu.Unlock()
	if len(fresh) == 0 {
		return nil
	}
	earlier := now.UTC().Add(-24 * time.Hour) // somewhere it is still yesterday, and last month
	since := time.Date(earlier.Year(), earlier.Month(), 1, 0, 0, 0, 0, time.UTC).Add(-24 * time.Hour)
	err := h.Charges(ctx, since, now.Add(-drained), func(c meter.Charge) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.recharge(w, fresh, &c, now)
	})
	if err != nil {
		return fmt.Errorf("rebuild quotas from the ledger: %w", err)
	}
	return nil
}

func (d *Dispatcher) recharge(w *world, fresh map[limitKey]bool, c *meter.Charge, now time.Time) {
	if c.Reservation != "" {
		d.rechargeReserved(w, fresh, c, now)
	}
	burndown := int64(1000)
	if m := w.models[c.Model]; m != nil && m.entry.Burndown > 0 {
		burndown = int64(m.entry.Burndown)
	}
	tokens := c.Input + c.CacheWrite + (c.Output*burndown+999)/1000
	for _, ref := range []scopeRef{
		{scopeKey, c.Account, c.Key},
		{scopeTeam, c.Account, c.Team},
		{scopeAccount, c.Account, c.Account},
		{scopeModel, c.Account, c.Model},
		w.upstream[[2]string{c.Engine, c.Model}],
		{scopeLane, c.Route, c.Lane},
	} {
		for _, l := range w.scopes[ref] {
			if !fresh[limitKey{ref, l.name}] || !w.tookFrom(c, &l) {
				continue
			}
			amount := tokens
			switch l.name {
			case limitRPM:
				amount = c.Requests
			case limitDay, limitMonth:
				if c.Currency != l.currency {
					continue // it was not held against this budget either
				}
				amount = c.Money
			}
			ev := capacity.Event{Kind: capacity.EventCharge, Amount: amount}
			switch {
			case l.bucket != 0:
				if now.Sub(c.At) > drained {
					continue
				}
				ev.Bucket, ev.At = l.bucket, capacity.Instant(c.At.Sub(d.origin))
			default:
				ev.Counter = l.counter
				ev.Period, _ = d.cal.byID(l.calendar).at(c.At)
			}
			d.step(&ev)
		}
	}
}

// tookFrom reports whether calls took from a limit. The tokens and the money of those that a purchase served were bought; what they took beside it is
// their number, and what they held of the engine on which they started.
func (w *world) tookFrom(c *meter.Charge, l *limit) bool {
	switch {
	case l.name == limitCalls:
		return false // no call that the ledger has is in flight
	case c.Reservation == "":
		return true
	case l.scope.kind == scopeModel:
		return false // it is the account's quota on demand
	case l.name == limitRPM:
		return true
	}
	m := w.models[c.Model]
	return m != nil && l.bucket != 0 && slices.ContainsFunc(m.rented, func(q limit) bool { return q.bucket == l.bucket })
}

// rechargeReserved charges what a call took from what was bought, and from the team's part of it.
func (d *Dispatcher) rechargeReserved(w *world, fresh map[limitKey]bool, c *meter.Charge, now time.Time) {
	r := w.reservations[c.Reservation]
	if r == nil {
		return
	}
	for _, l := range w.limitsOf(r, &infer.Caller{Account: c.Account, Team: c.Team}) {
		if !fresh[limitKey{l.scope, l.name}] || now.Sub(c.At) > drained {
			continue
		}
		amount := c.Input + c.CacheWrite
		if l.name == limitOutput {
			amount = c.Output
		}
		d.step(&capacity.Event{Kind: capacity.EventCharge, Bucket: l.bucket, Amount: amount, At: capacity.Instant(c.At.Sub(d.origin))})
	}
}
