package meter

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"forebay/fault"
)

// Dimensions by which usage can be grouped, with the SQL that computes them. "local" is the
// arrival in the billing zone.
var dimensions = map[string]string{
	"day": `strftime('%Y-%m-%d', local / 1000000000, 'unixepoch')`, "month": `strftime('%Y-%m', local / 1000000000, 'unixepoch')`,
	"hour": `strftime('%Y-%m-%dT%H:00Z', arrived / 1000000000, 'unixepoch')`, "purchase": `reservation`,
	"model": `model`, "mode": `mode`, "route": `route`, "lane": `lane_name`, "spill": `spill`, "key": `key`, "team": `team`, "account": `account`, "principal": `key`, "api": `api`,
	"operation": `operation`, "asked": `model_asked`, "engine": `engine`, "tier": `tier`, "outcome": `outcome`, "reason": `reason`, "region": `region`,
	"profile": `json_extract(tags, '$."forebay:inference-profile"')`,
}

// Dimensions lists the names usage can be grouped by, in order. "tag:NAME" is one more
// for every tag.
func Dimensions() []string {
	var out []string
	for d := range dimensions {
		out = append(out, d)
	}
	slices.Sort(out)
	return out
}

// UsageQuery selects and groups rows. Empty filters select everything.
type UsageQuery struct {
	By      []string
	Since   time.Time
	Until   time.Time
	Account string
	// Unauthenticated adds to those of Account the calls that were refused before they had one.
	Unauthenticated bool

	Team  string
	Key   string
	Model string
	// Zone is the billing zone, in which days and months begin; nil is UTC. Hours are those of UTC.
	Zone *time.Location
}

// UsageRow is one group.
type UsageRow struct {
	Group      []string `json:"group"`
	Requests   int64    `json:"requests"`
	Refused    int64    `json:"refused"`
	Failed     int64    `json:"failed"`
	Canceled   int64    `json:"canceled"`
	Input      int64    `json:"inputTokens"`
	Output     int64    `json:"outputTokens"`
	CacheRead  int64    `json:"cacheReadTokens"`
	CacheWrite int64    `json:"cacheWriteTokens"`
	Currency   string   `json:"currency,omitempty"` // of the charge
	Charge     int64    `json:"chargeNano"`
	Unpriced   int64    `json:"unpriced"` // calls that used tokens whose charge is not known
	// CostCurrency is "" where the cost of no call is known.
	CostCurrency string `json:"costCurrency,omitempty"`
	Cost         int64  `json:"costNano"`
	Uncosted     int64  `json:"uncosted"` // calls that used tokens whose cost is not known
	Simulated    int64  `json:"simulated"`
}

// expression returns the SQL of a dimension and its arguments.
func (q *UsageQuery) expression(by string) (string, []any, error) {
	if e, ok := dimensions[by]; ok {
		return strings.ReplaceAll(e, "local", q.local()), nil, nil
	}
	if tag, ok := strings.CutPrefix(by, "tag:"); ok && tag != "" {
		return `json_extract(tags, ?)`, []any{tagPath(tag)}, nil
	}
	return "", nil, fault.Newf(fault.Invalid, "usage cannot be grouped by %q; use %s or tag:NAME", by, strings.Join(Dimensions(), ", "))
}

// firstRow is before every row of any ledger.
var firstRow = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// local returns the SQL of the arrival in the billing zone: SQLite knows no zones, so the offsets that hold in the span of
// the query are written out.
func (q *UsageQuery) local() string {
	if q.Zone == nil || q.Zone == time.UTC {
		return "arrived"
	}
	t, until := q.Since, q.Until
	if t.Before(firstRow) {
		t = firstRow
	}
	if last := time.Now().AddDate(1, 0, 0); until.IsZero() || until.After(last) {
		until = last
	}
	var b strings.Builder
	b.WriteString("(arrived + CASE")
	for {
		t = t.In(q.Zone)
		_, offset := t.Zone()
		_, end := t.ZoneBounds()
		if end.IsZero() || !end.Before(until) {
			fmt.Fprintf(&b, " WHEN TRUE THEN %d END)", int64(offset)*int64(time.Second))
			return b.String()
		}
		fmt.Fprintf(&b, " WHEN arrived < %d THEN %d", end.UnixNano(), int64(offset)*int64(time.Second))
		t = end
	}
}

// sums are the columns of a UsageRow behind its group. The currencies are the first two.
const sums = `COALESCE(currency, ''), CASE WHEN cost IS NULL THEN '' ELSE COALESCE(cost_currency, '') END,
 SUM(count), SUM(CASE outcome WHEN 'refused' THEN count ELSE 0 END), SUM(CASE outcome WHEN 'failed' THEN count ELSE 0 END),
 SUM(CASE outcome WHEN 'canceled' THEN count ELSE 0 END),
 SUM(input), SUM(output), SUM(cache_read), SUM(cache_write), SUM(COALESCE(charge, 0)),
 SUM(charge IS NULL AND input + output + cache_read + cache_write > 0), SUM(COALESCE(cost, 0)),
 SUM(cost IS NULL AND input + output + cache_read + cache_write > 0), SUM(simulated)`

// Usage answers a query, ordered by group. Rows of different currencies are never added.
func (l *Ledger) Usage(ctx context.Context, q UsageQuery) ([]UsageRow, error) {
	var groups []string
	var args []any
	for _, by := range q.By {
		e, a, err := q.expression(by)
		if err != nil {
			return nil, err
		}
		groups = append(groups, "COALESCE("+e+", '')")
		args = append(args, a...)
	}
	l.flushRefusals(time.Now(), true) // those that were counted so far
	where, wargs := q.where()
	n := len(groups)
	order := make([]string, 0, n+2)
	for i := range n + 2 { // the groups and both currencies
		order = append(order, strconv.Itoa(i+1))
	}
	by := strings.Join(order, ", ")
	query := `SELECT ` + strings.Join(append(groups, sums), ", ") + ` FROM calls` + where + ` GROUP BY ` + by + ` ORDER BY ` + by
	rows, err := l.read.QueryContext(ctx, query, append(args, wargs...)...)
	if err != nil {
		return nil, fmt.Errorf("usage: %w", err)
	}
	defer func() { _ = rows.Close() }()
	out := []UsageRow{}
	for rows.Next() {
		r := UsageRow{Group: make([]string, n)}
		dst := make([]any, 0, n+15)
		for i := range r.Group {
			dst = append(dst, &r.Group[i])
		}
		dst = append(dst, &r.Currency, &r.CostCurrency, &r.Requests, &r.Refused, &r.Failed, &r.Canceled, &r.Input, &r.Output, &r.CacheRead,
			&r.CacheWrite, &r.Charge, &r.Unpriced, &r.Cost, &r.Uncosted, &r.Simulated)
		if err := rows.Scan(dst...); err != nil {
			return nil, fmt.Errorf("usage: %w", err)
		}
		out = r.joined(out)
	}
	return out, rows.Err()
}

// joined appends the row, or adds it to one of the same group whose money is in the same
// currencies or in none: a call without an amount mixes nothing.
func (r *UsageRow) joined(rows []UsageRow) []UsageRow {
	fits := func(a, b string) bool { return a == b || a == "" || b == "" }
	for i := len(rows) - 1; i >= 0 && slices.Equal(rows[i].Group, r.Group); i-- {
		x := &rows[i]
		if !fits(x.Currency, r.Currency) || !fits(x.CostCurrency, r.CostCurrency) {
			continue
		}
		x.Currency, x.CostCurrency = cmp.Or(x.Currency, r.Currency), cmp.Or(x.CostCurrency, r.CostCurrency)
		x.Requests, x.Refused, x.Failed, x.Canceled = x.Requests+r.Requests, x.Refused+r.Refused, x.Failed+r.Failed, x.Canceled+r.Canceled
		x.Input, x.Output, x.CacheRead, x.CacheWrite = x.Input+r.Input, x.Output+r.Output, x.CacheRead+r.CacheRead, x.CacheWrite+r.CacheWrite
		x.Charge, x.Unpriced, x.Cost, x.Uncosted = x.Charge+r.Charge, x.Unpriced+r.Unpriced, x.Cost+r.Cost, x.Uncosted+r.Uncosted
		x.Simulated += r.Simulated
		return rows
	}
	return append(rows, *r)
}

func (q *UsageQuery) where() (string, []any) {
	var conds []string
	var args []any
	add := func(cond string, arg any) {
		conds = append(conds, cond)
		args = append(args, arg)
	}
	if !q.Since.IsZero() {
		add("arrived >= ?", q.Since.UnixNano())
	}
	if !q.Until.IsZero() {
		add("arrived < ?", q.Until.UnixNano())
	}
	switch {
	case q.Account != "" && q.Unauthenticated:
		add("account IN (?, '')", q.Account)
	case q.Account != "":
		add("account = ?", q.Account)
	}
	for col, v := range map[string]string{"team": q.Team, "key": q.Key, "model": q.Model} {
		if v != "" {
			add(col+" = ?", v)
		}
	}
	if len(conds) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(conds, " AND "), args
}

// GaveUp is a time after which clients tend to leave.
type GaveUp struct {
	Seconds int64 `json:"seconds"`
	Times   int64 `json:"times"`
}

// minGaveUp is the waiting time below which leaving is taken for a change of mind.
const minGaveUp = 2 * time.Second

// ClientsGaveUp counts the calls of an account since then whose client left, by whole seconds, the most
// frequent first: read time-outs show as peaks.
func (l *Ledger) ClientsGaveUp(ctx context.Context, account string, since time.Time) ([]GaveUp, error) {
	from, _ := bounds(since, time.Time{})
	rows, err := l.read.QueryContext(ctx, `SELECT CAST(ROUND(total_ns / 1e9) AS INTEGER), COUNT(*) FROM calls
 WHERE outcome = 'canceled' AND account = ? AND arrived >= ? AND total_ns >= ? GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10`,
		account, from, int64(minGaveUp))
	if err != nil {
		return nil, fmt.Errorf("clients that gave up: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var out []GaveUp
	for rows.Next() {
		var g GaveUp
		if err := rows.Scan(&g.Seconds, &g.Times); err != nil {
			return nil, fmt.Errorf("clients that gave up: %w", err)
		}
		out = append(out, g)
	}
	return out, rows.Err()
}

// Charge is what one call, or several of the same caller and model, took from quotas, for
// rebuilding them after a restart.
type Charge struct {
	Account, Team, Key, Model string
	Reservation               string // that served it, "" for none
	Engine, Route, Lane       string // that served it; "" without a route
	At                        time.Time
	Requests                  int64
	Input, Output, CacheWrite int64
	Money                     int64 // what budgets were charged
	Currency                  string
}

// chargeSlot is the time over which older charges are summed. Days and months of every zone
// in use begin at a quarter of an hour.
const chargeSlot = 15 * time.Minute

// chargesSQL has one row for each call since the second instant, and sums before it.
const chargesSQL = `SELECT account, COALESCE(team, ''), COALESCE(key, ''), COALESCE(model, ''), COALESCE(reservation, ''),
 COALESCE(engine, ''), COALESCE(route, ''), COALESCE(lane_name, ''),
 CASE WHEN arrived >= ?2 THEN arrived ELSE arrived / ?3 * ?3 END AS at, SUM(count), SUM(input), SUM(output), SUM(cache_write),
 SUM(COALESCE(charge, spent, 0)), COALESCE(currency, '')
 FROM calls WHERE arrived >= ?1 AND outcome <> 'refused'
 GROUP BY account, team, key, model, reservation, engine, route, lane_name, currency, at, CASE WHEN arrived >= ?2 THEN id END ORDER BY at`

// Charges calls f with what admitted calls since an instant took, in order of arrival: each call
// that arrived at exact or later by itself, older ones summed by caller, model and quarter of an hour.
func (l *Ledger) Charges(ctx context.Context, since, exact time.Time, f func(Charge)) error {
	rows, err := l.read.QueryContext(ctx, chargesSQL, since.UnixNano(), exact.UnixNano(), int64(chargeSlot))
	if err != nil {
		return fmt.Errorf("charges: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var c Charge
		var at int64
		if err := rows.Scan(&c.Account, &c.Team, &c.Key, &c.Model, &c.Reservation, &c.Engine, &c.Route, &c.Lane, &at, &c.Requests, &c.Input, &c.Output, &c.CacheWrite, &c.Money, &c.Currency); err != nil {
			return fmt.Errorf("charges: %w", err)
		}
		c.At = time.Unix(0, at)
		f(c)
	}
	return rows.Err()
}
