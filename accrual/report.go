package accrual

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"

	"forebay/meter"

	"github.com/go-json-experiment/json"
)

// Row is the reserved hours of one group of usage, in one currency of charge and one of cost.
type Row struct {
	Group []string `json:"group"`
	// UnitSeconds are units x seconds; 3600 make a unit-hour.
	UnitSeconds int64 `json:"unitSeconds"`
	// IdleUnitSeconds are those that were not used; Unmeasured those of units whose size is not known, which count as neither
	// used nor idle.
	IdleUnitSeconds int64 `json:"idleUnitSeconds"`
	Unmeasured      int64 `json:"unmeasuredUnitSeconds"`

	Requests     int64 `json:"requests"` // that the reservation served
	Input        int64 `json:"inputTokens"`
	Output       int64 `json:"outputTokens"`
	BoughtInput  int64 `json:"boughtInputTokens"`
	BoughtOutput int64 `json:"boughtOutputTokens"`
	// Placeholder says that the size of a unit is neither given nor measured, for some of the hours.
	Placeholder bool `json:"placeholder"`

	Currency string `json:"currency,omitempty"` // of the charge
	Charge   int64  `json:"chargeNano"`
	// Idle is the part of the charge for what was not used.
	Idle     int64 `json:"idleNano"`
	Unpriced int64 `json:"unpricedUnitSeconds"` // of unknown charge

	CostCurrency string `json:"costCurrency,omitempty"`
	Cost         int64  `json:"costNano"`
	IdleCost     int64  `json:"idleCostNano"`
	Uncosted     int64  `json:"uncostedUnitSeconds"` // of unknown cost
}

// reserved is one hour as the ledger has it, with what its reservation served in it.
type reserved struct {
	Posting
	requests, input, output int64
}

// dimensions are those of usage that reserved hours have; a group is "" in the others.
var dimensions = map[string]func(r *reserved, zone *time.Location) string{
	"day":      func(r *reserved, zone *time.Location) string { return r.At.In(zone).Format(time.DateOnly) },
	"month":    func(r *reserved, zone *time.Location) string { return r.At.In(zone).Format("2006-01") },
	"hour":     func(r *reserved, _ *time.Location) string { return r.At.UTC().Format("2006-01-02T15:00Z") },
	"account":  func(r *reserved, _ *time.Location) string { return r.Account },
	"team":     func(r *reserved, _ *time.Location) string { return r.Team },
	"model":    func(r *reserved, _ *time.Location) string { return r.Model },
	"purchase": func(r *reserved, _ *time.Location) string { return r.Purchase },
	"mode":     func(*reserved, *time.Location) string { return meter.ModeProvisioned },
}

// group is the hour's group by a dimension, tags of the purchase included.
func (h *reserved) group(by string, zone *time.Location) string {
	if tag, ok := strings.CutPrefix(by, "tag:"); ok {
		var tags map[string]string
		if h.Tags == "" || json.Unmarshal([]byte(h.Tags), &tags) != nil {
			return ""
		}
		return tags[tag]
	}
	if f := dimensions[by]; f != nil {
		return f(h, zone)
	}
	return ""
}

// reservedSQL has the hours with what was used of them. Tokens count in the hour in which their call arrived. Like the
// buckets of a reservation it counts input that was not read from a cache, and output one to one. Of an hour of which a part was given back it has the rest.
const reservedSQL = `SELECT h.purchase, h.at, COALESCE(b.at, h.until), h.charge - COALESCE(b.charge, 0), h.cost - COALESCE(b.cost, 0), h.posted, c.name, c.account, c.team, c.model, c.units, c.term, c.expires, c.tags,
 c.currency, c.charge, c.cost_currency, c.cost, c.date, c.source, c.unit_input, c.unit_output, c.size,
 COALESCE(u.requests, 0), COALESCE(u.input, 0), COALESCE(u.output, 0)
 FROM hours h JOIN contracts c ON c.id = h.contract LEFT JOIN refunds b ON b.purchase = h.purchase AND b.hour = h.at
 LEFT JOIN (SELECT x.purchase, x.at, SUM(CASE calls.outcome WHEN 'refused' THEN 0 ELSE calls.count END) AS requests, SUM(calls.input + calls.cache_write) AS input, SUM(calls.output) AS output
  FROM hours x JOIN calls ON calls.reservation = x.purchase AND calls.arrived >= x.at AND calls.arrived < x.until
  WHERE x.at >= ?1 AND x.at < ?2 GROUP BY x.purchase, x.at) u ON u.purchase = h.purchase AND u.at = h.at
 WHERE (b.at IS NULL OR b.at > h.at) AND h.at >= ?1 AND h.at < ?2 AND (?3 = '' OR c.account = ?3) AND (?4 = '' OR c.team = ?4) AND (?5 = '' OR c.model = ?5)
 ORDER BY h.at, h.purchase`

// Usage returns the reserved hours that begin in the span of a query, grouped by its dimensions, with what was used of
// them. The hour that is running is not among them. Rows of different currencies are never added. A query about one key
// has none: hours belong to a purchase and its owner.
func (b *Book) Usage(ctx context.Context, q *meter.UsageQuery) ([]Row, error) {
	out := []Row{}
	if q.Key != "" {
		return out, nil
	}
	zone := cmp.Or(q.Zone, time.UTC)
	at := map[string]int{} // place in out
	err := b.hours(ctx, q, func(h *reserved) {
		row := h.row()
		for _, by := range q.By {
			row.Group = append(row.Group, h.group(by, zone))
		}
		key := strings.Join(append(slices.Clone(row.Group), row.Currency, row.CostCurrency), "\x00")
		i, ok := at[key]
		if !ok {
			at[key] = len(out)
			out = append(out, row)
			return
		}
		out[i].add(&row)
	})
	slices.SortStableFunc(out, func(a, b Row) int {
		return cmp.Or(slices.Compare(a.Group, b.Group), cmp.Compare(a.Currency, b.Currency), cmp.Compare(a.CostCurrency, b.CostCurrency))
	})
	return out, err
}

func (b *Book) hours(ctx context.Context, q *meter.UsageQuery, f func(*reserved)) error {
	from, to := span(q.Since, q.Until)
	return b.ledger.View(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, reservedSQL, from, to, q.Account, q.Team, q.Model)
		if err != nil {
			return fmt.Errorf("reserved hours: %w", err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			h := reserved{Posting: Posting{Kind: KindHour}}
			s := postingScan{p: &h.Posting}
			if err := rows.Scan(append(s.into(), &h.requests, &h.input, &h.output)...); err != nil {
				return fmt.Errorf("reserved hours: %w", err)
			}
			s.done()
			f(&h)
		}
		return rows.Err()
	})
}

// span are the bounds of a query in nanoseconds; zero times are none.
func span(since, until time.Time) (from, to int64) {
	from, to = math.MinInt64, math.MaxInt64
	if !since.IsZero() {
		from = since.UnixNano()
	}
	if !until.IsZero() {
		to = until.UnixNano()
	}
	return from, to
}

// row computes what was used of one hour, and what was not.
func (h *reserved) row() Row {
	seconds := h.Until.Unix() - h.At.Unix()
	r := Row{
		UnitSeconds: times(h.Units, seconds), Requests: h.requests, Input: h.input, Output: h.output, Placeholder: h.Size.Basis == basisPlaceholder,
		BoughtInput: bought(h.Units, h.Size.Input, seconds), BoughtOutput: bought(h.Units, h.Size.Output, seconds),
	}
	used, whole := larger(h.input, r.BoughtInput, h.output, r.BoughtOutput)
	if r.Currency = h.ChargeRate.Currency; h.Charge.Known {
		r.Charge, r.Idle = h.Charge.Nano, idle(h.Charge.Nano, used, whole)
	} else {
		r.Unpriced = r.UnitSeconds
	}
	if r.CostCurrency = h.CostRate.Currency; h.Cost.Known {
		r.Cost, r.IdleCost = h.Cost.Nano, idle(h.Cost.Nano, used, whole)
	} else {
		r.Uncosted = r.UnitSeconds
	}
	if r.IdleUnitSeconds = idle(r.UnitSeconds, used, whole); whole == 0 {
		r.Unmeasured = r.UnitSeconds
	}
	return r
}

// basisPlaceholder marks the size of a unit that nobody has measured or given.
const basisPlaceholder = "placeholder"

// bought returns the tokens that units take in some seconds, rounded down to one at least; 0 is not bounded.
func bought(units, perMinute, seconds int64) int64 {
	if units <= 0 || perMinute <= 0 || seconds <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(times(units, perMinute)), uint64(seconds))
	if hi >= 60 {
		return math.MaxInt64
	}
	q, _ := bits.Div64(hi, lo, 60)
	return int64(max(1, min(q, math.MaxInt64)))
}

// times multiplies what is not negative, and stops at the end of the range.
func times(a, b int64) int64 {
	if hi, lo := bits.Mul64(uint64(a), uint64(b)); hi == 0 && lo <= math.MaxInt64 {
		return int64(lo)
	}
	return math.MaxInt64
}

// larger returns the larger of two fractions of what was bought, at most 1; a whole of 0 when nothing
// bounds the purchase.
func larger(a, ofA, b, ofB int64) (part, whole int64) {
	a, b = min(a, ofA), min(b, ofB)
	ah, al := bits.Mul64(uint64(a), uint64(ofB))
	bh, bl := bits.Mul64(uint64(b), uint64(ofA))
	if ofA == 0 || ofB != 0 && (bh > ah || bh == ah && bl > al) {
		return b, ofB
	}
	return a, ofA
}

// idle is what is left of an amount without its used part, which is rounded once, half to even; 0 when the use is not known.
func idle(amount, used, whole int64) int64 {
	if whole == 0 {
		return 0
	}
	part, err := meter.Proportion(amount, used, whole)
	if err != nil {
		return 0 // a fraction of at most 1 does not pass the range
	}
	return amount - part
}

// WithoutCost takes the costs off rows, as they are shown to those who do not pay them.
func WithoutCost(rows []Row) []Row {
	var out []Row
	for i := range rows {
		r := &rows[i]
		r.CostCurrency, r.Cost, r.IdleCost, r.Uncosted = "", 0, 0, 0
		if n := len(out); n > 0 && slices.Equal(out[n-1].Group, r.Group) && out[n-1].Currency == r.Currency {
			out[n-1].add(r)
			continue
		}
		out = append(out, *r)
	}
	return out
}

// add adds another row of the same group and currencies.
func (r *Row) add(o *Row) {
	for _, x := range [...]struct{ to, v *int64 }{
		{&r.UnitSeconds, &o.UnitSeconds},
		{&r.IdleUnitSeconds, &o.IdleUnitSeconds},
		{&r.Unmeasured, &o.Unmeasured},
		{&r.Requests, &o.Requests},
		{&r.Input, &o.Input},
		{&r.Output, &o.Output},
		{&r.BoughtInput, &o.BoughtInput},
		{&r.BoughtOutput, &o.BoughtOutput},
		{&r.Charge, &o.Charge},
		{&r.Idle, &o.Idle},
		{&r.Unpriced, &o.Unpriced},
		{&r.Cost, &o.Cost},
		{&r.IdleCost, &o.IdleCost},
		{&r.Uncosted, &o.Uncosted},
	} {
		if *x.to > math.MaxInt64-*x.v {
			*x.to = math.MaxInt64
			continue
		}
		*x.to += *x.v
	}
	r.Placeholder = r.Placeholder || o.Placeholder
}
