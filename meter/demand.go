package meter

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"forebay/fault"
)

// DemandQuery selects calls to plan for. Empty filters select everything.
type DemandQuery struct {
	Since, Until time.Time

	Account, Team, Key, Model, Mode string
	Tags                            map[string]string // all of them

	// UpTo is the last row that counts: the pages of one reading are of one state of the ledger. 0 begins a reading.
	UpTo int64
	// After is where the page before ended, as it said.
	After string
	// Limit is how many rows a page has at most; 0 is MaxDemandRows.
	Limit int
}

// MaxDemandRows bounds the rows of a page.
const MaxDemandRows = 10_000

// DemandPage is a part of the calls that a query selects, in order of arrival.
type DemandPage struct {
	Rows []DemandRow `json:"rows"`
	// Next is where the next page begins; "" after the last one.
	Next string `json:"next,omitzero"`
	UpTo int64  `json:"upTo"`
	// Totals are those of all calls that were served; on the first page of a reading.
	Totals *DemandTotals `json:"totals,omitempty"`
	// Up are the times in which a server ran; on the first page of a reading.
	Up *Uptimes `json:"up,omitempty"`
}

// DemandRow is a call that somebody wanted: served, failed, or refused for want of capacity. What was refused as invalid is none.
type DemandRow struct {
	At int64 `json:"at"` // nanoseconds since 1970
	// Input are the tokens of the prompt, Cached those of them that were read from a cache.
	Input  int64 `json:"input,omitzero"`
	Cached int64 `json:"cached,omitzero"`
	Output int64 `json:"output,omitzero"`
	// Estimate are the tokens of the prompt before anybody had counted them, MaxTokens what was asked for at most: sums of Count calls.
	Estimate  int64 `json:"estimate,omitzero"`
	MaxTokens int64 `json:"maxTokens,omitzero"`
	Count     int64 `json:"count"` // more than 1 for refusals that were counted by the minute
	Refused   bool  `json:"refused,omitzero"`

	Key        string `json:"key,omitzero"`
	Tier       string `json:"tier,omitzero"`
	Invocation string `json:"invocation,omitzero"` // equal for the attempts that a client made of one call
}

// DemandTotals sum up what was served.
type DemandTotals struct {
	Served int64 `json:"served"`
	Input  int64 `json:"input"` // with cached ones
	Output int64 `json:"output"`
	// Models are those that have calls, without the filter by model, the most called first; given where that filter selects nothing.
	Models []ModelCalls `json:"models,omitempty"`
}

// ModelCalls is how often a model was called.
type ModelCalls struct {
	Model string `json:"model"`
	Calls int64  `json:"calls"`
}

// wanted are the refusals that are demand: for want of capacity, and not because nothing was there to be served.
var wanted = []fault.Kind{
	fault.Throttled, fault.BudgetExceeded, fault.QuotaExceeded, fault.Overloaded, fault.NotReady, fault.Timeout, fault.Unavailable,
}

// isDemand is the SQL of rows that are demand.
var isDemand = func() string {
	var reasons []string
	for _, k := range wanted {
		reasons = append(reasons, "'"+k.String()+"'")
	}
	return "(outcome <> '" + OutcomeRefused + "' OR reason IN (" + strings.Join(reasons, ", ") + "))"
}()

// where returns the conditions of the query, those of its model if model is true.
func (q *DemandQuery) where(model bool) (conditions string, args []any) {
	from, to := bounds(q.Since, q.Until)
	conditions, args = "id <= ? AND arrived >= ? AND arrived < ? AND account <> '' AND "+isDemand, []any{q.UpTo, from, to}
	and := func(condition string, arg ...any) {
		conditions += " AND " + condition
		args = append(args, arg...)
	}
	for _, f := range [...]struct{ column, value string }{
		{"account", q.Account}, {"team", q.Team}, {"key", q.Key}, {"mode", q.Mode}, {"model", q.Model},
	} {
		if f.value != "" && (model || f.column != "model") {
			and(f.column+" = ?", f.value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(q.Tags)) {
		and("json_extract(tags, ?) = ?", tagPath(name), q.Tags[name])
	}
	return conditions, args
}

// tagPath is where SQLite finds a tag.
func tagPath(name string) string { return `$."` + strings.ReplaceAll(name, `"`, ``) + `"` }

// Demand returns a page of the calls that a query selects. Faults: Invalid for a page that begins nowhere.
func (l *Ledger) Demand(ctx context.Context, q DemandQuery) (*DemandPage, error) {
	var at, id int64
	if q.After != "" {
		if n, err := fmt.Sscanf(q.After+"\n", "%d.%d\n", &at, &id); err != nil || n != 2 || q.UpTo < 1 {
			return nil, fault.Newf(fault.Invalid, "a page cannot begin after %q: give next and upTo of the page before", q.After)
		}
	}
	if q.Limit < 1 || q.Limit > MaxDemandRows {
		q.Limit = MaxDemandRows
	}
	p := &DemandPage{Rows: []DemandRow{}, UpTo: q.UpTo}
	if q.UpTo == 0 {
		l.flushRefusals(time.Now(), true) // those that were counted so far
		if err := l.read.QueryRowContext(ctx, `SELECT COALESCE(MAX(id), 0) FROM calls`).Scan(&p.UpTo); err != nil {
			return nil, fmt.Errorf("demand: %w", err)
		}
		q.UpTo = p.UpTo
		p.Totals = &DemandTotals{}
		if err := l.demandTotals(ctx, &q, p.Totals); err != nil {
			return nil, err
		}
		var err error
		if p.Up, err = l.uptimes(ctx, q.Since, q.Until); err != nil {
			return nil, err
		}
	}
	return p, l.demandRows(ctx, &q, at, id, p)
}

func (l *Ledger) demandTotals(ctx context.Context, q *DemandQuery, t *DemandTotals) error {
	where, args := q.where(true)
	err := l.read.QueryRowContext(ctx, `SELECT COALESCE(SUM(count), 0), COALESCE(SUM(input + cache_read + cache_write), 0), COALESCE(SUM(output), 0)
 FROM calls WHERE `+where+` AND outcome = 'ok'`, args...).Scan(&t.Served, &t.Input, &t.Output)
	if err != nil {
		return fmt.Errorf("demand: %w", err)
	}
	if q.Model == "" || t.Served > 0 {
		return nil
	}
	where, args = q.where(false)
	rows, err := l.read.QueryContext(ctx, `SELECT COALESCE(model, ''), SUM(count) FROM calls WHERE `+where+` GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10`, args...)
	if err != nil {
		return fmt.Errorf("demand: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var m ModelCalls
		if err := rows.Scan(&m.Model, &m.Calls); err != nil {
			return fmt.Errorf("demand: %w", err)
		}
		t.Models = append(t.Models, m)
	}
	return rows.Err()
}

// demandRows reads the rows behind one that arrived at an instant. The index over arrivals ends in the id.
func (l *Ledger) demandRows(ctx context.Context, q *DemandQuery, at, id int64, p *DemandPage) (err error) {
	where, args := q.where(true)
	rows, err := l.read.QueryContext(ctx, `SELECT id, arrived, input + cache_read + cache_write, cache_read, output, estimate, max_tokens, count, outcome = 'refused',
 COALESCE(key, ''), COALESCE(tier, ''), COALESCE(invocation_id, '') FROM calls WHERE (arrived, id) > (?, ?) AND `+where+` ORDER BY arrived, id LIMIT ?`,
		append(append([]any{at, id}, args...), q.Limit)...)
	if err != nil {
		return fmt.Errorf("demand: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r DemandRow
		var estimate, most sql.NullInt64
		if err := rows.Scan(&id, &r.At, &r.Input, &r.Cached, &r.Output, &estimate, &most, &r.Count, &r.Refused, &r.Key, &r.Tier, &r.Invocation); err != nil {
			return fmt.Errorf("demand: %w", err)
		}
		r.Estimate, r.MaxTokens = estimate.Int64, most.Int64
		p.Rows = append(p.Rows, r)
	}
	if len(p.Rows) == q.Limit {
		p.Next = fmt.Sprintf("%d.%d", p.Rows[len(p.Rows)-1].At, id)
	}
	return rows.Err()
}
