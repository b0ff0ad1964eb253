package accrual

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"
)

// Verification is the outcome of computing the reserved hours again from their contracts.
type Verification struct {
	Hours int64 `json:"hours"` // postings of hours and parts of hours, without those that were given back
	// Charges and Costs are the totals in nano-units by currency.
	Charges map[string]int64 `json:"chargesNano"`
	Costs   map[string]int64 `json:"costsNano"`
	// Wrong is the number of hours and totals that do not follow from what they come from, and Faults says
	// what is wrong with the first of them.
	Wrong  int64    `json:"wrong"`
	Faults []string `json:"faults,omitempty"`
}

// maxFaults bounds the faults that a Verification names; the rest is counted.
const maxFaults = 20

func (v *Verification) fault(format string, args ...any) {
	v.Wrong++
	if len(v.Faults) < maxFaults {
		v.Faults = append(v.Faults, fmt.Sprintf(format, args...))
	}
}

// verifySQL has each hour with its contract, and the contract that the hour must be posted by: the last one that
// began when it did, or before; 0 where there is none.
const verifySQL = `SELECT h.purchase, h.at, h.until, h.charge, h.cost, h.posted, c.name, c.account, c.team, c.model, c.units, c.term, c.expires, c.tags,
 c.currency, c.charge, c.cost_currency, c.cost, c.date, c.source, c.unit_input, c.unit_output, c.size, c.id,
 COALESCE((SELECT id FROM contracts n WHERE n.purchase = h.purchase AND n.at <= h.at AND n.kind <> 'end' ORDER BY n.at DESC, n.id DESC LIMIT 1), 0)
 FROM hours h JOIN contracts c ON c.id = h.contract WHERE h.at >= ? AND h.at < ? ORDER BY h.purchase, h.at`

// Verify computes every amount of the hours in a span of time again from contract and seconds, and looks for hours that are
// missing, overlap, come before the beginning or after the end, or are posted by another contract than the
// one that held. It reads one consistent state.
func (b *Book) Verify(ctx context.Context, since, until time.Time) (*Verification, error) {
	v := &Verification{Charges: map[string]int64{}, Costs: map[string]int64{}}
	from, to := span(since, until)
	err := b.ledger.View(ctx, func(tx *sql.Tx) error {
		if err := v.hours(ctx, tx, from, to); err != nil {
			return err
		}
		if err := v.refunds(ctx, tx, from, to); err != nil {
			return err
		}
		if err := v.ends(ctx, tx, from, to); err != nil {
			return err
		}
		if v.Wrong > 0 {
			return nil // sums of what is wrong may be beyond what a number holds
		}
		return v.totals(ctx, tx, from, to)
	})
	if err != nil {
		return nil, fmt.Errorf("verify reserved hours: %w", err)
	}
	return v, nil
}

// hours looks at each hour, and at how it follows the one before.
func (v *Verification) hours(ctx context.Context, tx *sql.Tx, from, to int64) error {
	rows, err := tx.QueryContext(ctx, verifySQL, from, to)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	var last Posting
	for rows.Next() {
		var h Posting
		var contract, holds int64
		s := postingScan{p: &h}
		if err := rows.Scan(append(s.into(), &contract, &holds)...); err != nil {
			return err
		}
		s.done()
		v.Hours++
		v.hour(&h)
		switch {
		case holds == 0:
			v.fault("%s at %s: posted before its first contract", h.Purchase, text(h.At))
		case contract != holds:
			v.fault("%s at %s: posted by contract %d, and %d held", h.Purchase, text(h.At), contract, holds)
		}
		if last.Purchase == h.Purchase && !last.Until.Equal(h.At) {
			v.fault("%s: posted until %s and then from %s", h.Purchase, text(last.Until), text(h.At))
		}
		last = h
	}
	return rows.Err()
}

func text(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// hour computes the amounts of one hour again.
func (v *Verification) hour(h *Posting) {
	seconds := h.Until.Unix() - h.At.Unix()
	if seconds <= 0 || seconds > 3600 {
		v.fault("%s at %s: %d seconds", h.Purchase, text(h.At), seconds)
	}
	for _, x := range []struct {
		what   string
		posted Amount
		rate   Rate
		totals map[string]int64
	}{{"charge", h.Charge, h.ChargeRate, v.Charges}, {"cost", h.Cost, h.CostRate, v.Costs}} {
		if want := x.rate.amount(h.Units, seconds); want != x.posted {
			v.fault("%s at %s: the %s is %s, and %d units for %d seconds at %d an hour make %s", h.Purchase, text(h.At), x.what, x.posted, h.Units, seconds, x.rate.Nano, want)
		}
		if x.posted.Known {
			sum, posted := x.totals[x.rate.Currency], x.posted.Nano
			if sum > math.MaxInt64-posted {
				v.fault("%s at %s: the %ss in %s pass what an amount can be", h.Purchase, text(h.At), x.what, x.rate.Currency)
				posted = 0
			}
			x.totals[x.rate.Currency] = sum + posted
		}
	}
}

// String is for people.
func (a Amount) String() string {
	if !a.Known {
		return "unknown"
	}
	return fmt.Sprintf("%d nano", a.Nano)
}

// refundsSQL has what was given back, each with its hour, and the end of its purchase.
const refundsSQL = `SELECT h.purchase, h.at, h.until, h.charge, h.cost, h.posted, c.name, c.account, c.team, c.model, c.units, c.term, c.expires, c.tags,
 c.currency, c.charge, c.cost_currency, c.cost, c.date, c.source, c.unit_input, c.unit_output, c.size, b.at, b.charge, b.cost,
 (SELECT at FROM contracts e WHERE e.purchase = b.purchase AND e.kind = 'end')
 FROM refunds b JOIN hours h ON h.purchase = b.purchase AND h.at = b.hour JOIN contracts c ON c.id = h.contract WHERE h.at >= ? AND h.at < ?`

// refunds computes again what was given back of hours, and takes it from the totals.
func (v *Verification) refunds(ctx context.Context, tx *sql.Tx, from, to int64) error {
	rows, err := tx.QueryContext(ctx, refundsSQL, from, to)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var h Posting
		var at int64
		var ended, charge, cost sql.NullInt64
		s := postingScan{p: &h}
		if err := rows.Scan(append(s.into(), &at, &charge, &cost, &ended)...); err != nil {
			return err
		}
		s.done()
		want, posted := h.givenBack(instant(ended.Int64)), refund{instant(at), Amount{charge.Valid, charge.Int64}, Amount{cost.Valid, cost.Int64}}
		if !ended.Valid || !posted.at.Equal(want.at) || posted.charge != want.charge || posted.cost != want.cost {
			v.fault("%s at %s: %s and %s are given back from %s on, and the end makes it %s and %s from %s on", h.Purchase, text(h.At),
				posted.charge, posted.cost, text(posted.at), want.charge, want.cost, text(want.at))
		}
		if posted.charge.Known {
			v.Charges[h.ChargeRate.Currency] -= posted.charge.Nano
		}
		if posted.cost.Known {
			v.Costs[h.CostRate.Currency] -= posted.cost.Nano
		}
		if posted.at.Equal(h.At) {
			v.Hours--
		}
	}
	return rows.Err()
}

// ends compares the first and last hour of each purchase with its beginning and end.
func (v *Verification) ends(ctx context.Context, tx *sql.Tx, from, to int64) error {
	rows, err := tx.QueryContext(ctx, `SELECT c.purchase, c.kind, c.at, COALESCE((SELECT MIN(at) FROM hours h WHERE h.purchase = c.purchase), c.at),
 COALESCE((SELECT MIN(at) FROM refunds b WHERE b.purchase = c.purchase), (SELECT MAX(until) FROM hours h WHERE h.purchase = c.purchase), c.at),
 (SELECT COUNT(*) FROM hours h WHERE h.purchase = c.purchase AND h.until > c.at AND NOT EXISTS (SELECT 1 FROM refunds b WHERE b.purchase = h.purchase AND b.hour = h.at))
 FROM contracts c WHERE c.kind IN ('begin', 'end') AND c.at >= ? AND c.at < ? ORDER BY c.purchase, c.at`, from, to)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var purchase, kind string
		var at, first, last, beyond int64
		if err := rows.Scan(&purchase, &kind, &at, &first, &last, &beyond); err != nil {
			return err
		}
		if kind == KindBegin && at != first {
			v.fault("%s: begins at %s and is posted from %s", purchase, text(instant(at)), text(instant(first)))
		}
		if kind == KindEnd && (at != last || beyond > 0) {
			v.fault("%s: ends at %s and is posted until %s", purchase, text(instant(at)), text(instant(last)))
		}
	}
	return rows.Err()
}

// totals compares the sums of the hours with those of the file.
func (v *Verification) totals(ctx context.Context, tx *sql.Tx, from, to int64) error {
	for _, x := range []struct {
		what, query string
		computed    map[string]int64
	}{
		{"charges", `SELECT c.currency, SUM(h.charge - COALESCE(b.charge, 0)) FROM hours h JOIN contracts c ON c.id = h.contract LEFT JOIN refunds b ON b.purchase = h.purchase AND b.hour = h.at WHERE h.at >= ? AND h.at < ? AND h.charge IS NOT NULL GROUP BY 1`, v.Charges},
		{"costs", `SELECT c.cost_currency, SUM(h.cost - COALESCE(b.cost, 0)) FROM hours h JOIN contracts c ON c.id = h.contract LEFT JOIN refunds b ON b.purchase = h.purchase AND b.hour = h.at WHERE h.at >= ? AND h.at < ? AND h.cost IS NOT NULL GROUP BY 1`, v.Costs},
	} {
		if err := v.total(ctx, tx, x.what, x.query, x.computed, from, to); err != nil {
			return err
		}
	}
	return nil
}

func (v *Verification) total(ctx context.Context, tx *sql.Tx, what, query string, computed map[string]int64, from, to int64) error {
	rows, err := tx.QueryContext(ctx, query, from, to)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var currency sql.NullString
		var sum int64
		if err := rows.Scan(&currency, &sum); err != nil {
			return err
		}
		if computed[currency.String] != sum {
			v.fault("the %s of reserved hours in %s make %d nano and computed again %d", what, currency.String, sum, computed[currency.String])
		}
	}
	return rows.Err()
}
