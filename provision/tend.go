package provision

import (
	"context"
	"fmt"
	"time"

	"forebay/catalog"
	"forebay/store"
)

// Times of orders that wait for a pool to grow.
const (
	// lookAgain is how long after one look at a growing pool the next one follows.
	lookAgain = 5 * time.Second
	// patience is how long an order waits before it fails.
	patience = 30 * time.Minute
)

// Tend takes every step that is due: what is declared is ordered, and what is declared no more ends; orders that can be backed come into service and others fail or wait for their pool to grow,
// models are put in place, commitments are renewed or end, and new prices are noted. It reports whether calls are
// to be served differently from now on, and when it is to be called again, zero when no time is known. One call at a time.
func (b *Book) Tend(ctx context.Context) (changed bool, next time.Time, err error) {
	now := b.now()
	var unmet []Unmet
	err = b.Store.Update(ctx, func(tx *store.Tx) error {
		all, err := list(ctx, tx, "")
		if err != nil {
			return err
		}
		v := visit{b: b, ctx: ctx, tx: tx, now: now, all: all}
		if err := v.declare(); err != nil {
			return err
		}
		for i := range v.all {
			if err := v.tend(&v.all[i]); err != nil {
				return err
			}
		}
		changed, next, unmet = v.changed, v.next, v.unmet
		return nil
	})
	if err == nil {
		b.mu.Lock()
		b.unmet = unmet
		b.mu.Unlock()
	}
	return changed, next, err
}

// visit is one round of Tend.
type visit struct {
	b       *Book
	ctx     context.Context //nolint:containedctx // the life of one call
	tx      *store.Tx
	now     time.Time
	all     []Throughput // as they are after what has been done so far
	changed bool         // for calls
	next    time.Time
	unmet   []Unmet
	ordered time.Duration // by the configuration, a nanosecond each
}

// due asks for another round at an instant.
func (v *visit) due(at time.Time) {
	if v.next.IsZero() || at.Before(v.next) {
		v.next = at
	}
}

// keep stores a throughput.
func (v *visit) keep(t *Throughput) error {
	if err := t.save(v.ctx, v.tx); err != nil {
		return err
	}
	return t.bought(v.ctx, v.tx, time.Time{})
}

func (v *visit) tend(t *Throughput) error {
	switch t.Status {
	case Creating:
		return v.admit(t)
	case Updating:
		if err := v.replace(t); err != nil {
			return err
		}
	case Failed:
		return nil
	case InService:
	}
	return v.renew(t)
}

// admit holds an order against what its pool can back.
func (v *visit) admit(t *Throughput) error {
	ask := t.ask(t.Model.ID)
	room := v.b.Pools.Room(ask, serving(v.all))
	switch {
	case room.Units >= ask.Units:
		t.Status, t.Began, t.Failure, t.Told, v.changed = InService, v.now, "", "", true
		t.Replicas = room.Replicas
		if t.Term != NoTerm {
			t.Terms, t.Expires = 1, t.Term.End(t.Began, 1)
			v.due(t.Expires)
		}
		if !v.addRate(t, v.now) {
			t.Rates = []Rate{{From: v.now}}
		}
	case room.Grows && v.now.Sub(t.Created) < patience:
		v.due(v.now.Add(lookAgain))
		return nil
	case t.Declared: // it stands as long as it is declared
		before := t.Failure
		t.failed(t.had(&room), &room)
		v.lacks(t, named(v.b.Declared(), t.Account, t.Name), t.had(&room), &room)
		if t.Failure == before {
			return nil
		}
	default:
		t.Status = Failed
		t.failed(t.had(&room), &room)
	}
	t.Changed = v.now
	return v.keep(t)
}

// replace puts the desired model in place, where its pool can back the units.
func (v *visit) replace(t *Throughput) error {
	ask := t.ask(t.Desired.ID)
	room := v.b.Pools.Room(ask, v.beside(t))
	if room.Units < ask.Units && room.Grows && v.now.Sub(t.Changed) < patience {
		v.due(v.now.Add(lookAgain))
		return nil
	}
	if room.Units < ask.Units {
		t.failed(fmt.Sprintf("The model was not replaced: %d of %d model units of %s could be had", max(room.Units, 0), t.Units, t.Desired.ARN), &room)
		t.Desired = t.Model
	} else {
		t.Model, t.Failure, t.Told, t.Replicas = t.Desired, "", "", room.Replicas
	}
	t.Status, t.Changed, v.changed = InService, v.now, true
	return v.keep(t)
}

// renew renews or ends a commitment whose term is over, and notes the price of what has none. Time that goes back changes nothing.
func (v *visit) renew(t *Throughput) error {
	if t.Term == NoTerm {
		if !v.addRate(t, v.now) {
			return nil
		}
		return v.keep(t)
	}
	if v.now.Before(t.Expires) {
		v.due(t.Expires)
		return nil
	}
	if t.Cancelled {
		v.changed = true
		ended := *t
		t.Status = Failed // for what follows in this round, it is not there
		return ended.end(v.ctx, v.tx, t.Expires)
	}
	from := t.Expires
	t.Terms = t.Term.number(t.Began, v.now)
	t.Expires = t.Term.End(t.Began, t.Terms)
	v.due(t.Expires)
	v.addRate(t, from)
	return v.keep(t)
}

// addRate notes the price from an instant on, if it has changed. What is sold no more keeps its price.
func (v *visit) addRate(t *Throughput, from time.Time) bool {
	prices, err := v.b.prices(t)
	if err != nil {
		return false
	}
	r := rate(prices, t.Term)
	r.From = from
	if n := len(t.Rates); n > 0 && (t.Rates[n-1].same(&r) || from.Before(t.Rates[n-1].From)) {
		return false
	}
	t.Rates = append(t.Rates, r)
	return true
}

// rate is the price of a unit-hour at a term, as far as it is known.
func rate(p *catalog.UnitPrices, t Term) Rate {
	if p == nil {
		return Rate{}
	}
	nano := p.None
	switch t {
	case OneMonth:
		nano = p.OneMonth
	case SixMonths:
		nano = p.SixMonths
	case ThreeMonths:
		nano = p.ThreeMonths
	case NoTerm:
	}
	if nano == nil {
		return Rate{}
	}
	return Rate{Known: true, Nano: *nano, Currency: p.Currency, Date: p.Date, Source: p.Source}
}
