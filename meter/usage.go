package meter

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"forebay/fault"
)

// Dimensions by which usage can be grouped, with the SQL that computes them.
var dimensions = map[string]string{
	"day": `strftime('%Y-%m-%d', arrived / 1000000000, 'unixepoch')`, "hour": `strftime('%Y-%m-%dT%H:00Z', arrived / 1000000000, 'unixepoch')`,
	"model": `model`, "mode": `mode`, "key": `key`, "team": `team`, "account": `account`, "principal": `key`, "api": `api`,
	"operation": `operation`, "engine": `engine`, "tier": `tier`, "outcome": `outcome`, "reason": `reason`, "region": `region`,
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
	Team    string
	Key     string
	Model   string
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
	Currency   string   `json:"currency,omitempty"`
	Charge     int64    `json:"chargeNano"`
	Cost       int64    `json:"costNano"`
	Unpriced   int64    `json:"unpriced"` // calls that used tokens of unknown price
	Simulated  int64    `json:"simulated"`
}

// expression returns the SQL of a dimension and its arguments.
func expression(by string) (string, []any, error) {
	if e, ok := dimensions[by]; ok {
		return e, nil, nil
	}
	if tag, ok := strings.CutPrefix(by, "tag:"); ok && tag != "" {
		return `json_extract(tags, ?)`, []any{`$."` + strings.ReplaceAll(tag, `"`, ``) + `"`}, nil
	}
	return "", nil, fault.Newf(fault.Invalid, "usage cannot be grouped by %q; use %s or tag:NAME", by, strings.Join(Dimensions(), ", "))
}

// Usage answers a query, ordered by group. Rows of different currencies are never added.
func (l *Ledger) Usage(ctx context.Context, q UsageQuery) ([]UsageRow, error) {
	var groups []string
	var args []any
	for _, by := range q.By {
		e, a, err := expression(by)
		if err != nil {
			return nil, err
		}
		groups = append(groups, "COALESCE("+e+", '')")
		args = append(args, a...)
	}
	where, wargs := q.where()
	sums := `SUM(count), SUM(CASE outcome WHEN 'refused' THEN count ELSE 0 END), SUM(outcome = 'failed'), SUM(outcome = 'canceled'),
 SUM(input), SUM(output), SUM(cache_read), SUM(cache_write), COALESCE(currency, ''), SUM(COALESCE(charge, 0)), SUM(COALESCE(cost, 0)),
 SUM(charge IS NULL AND input + output + cache_read + cache_write > 0), SUM(simulated)`
	n := len(groups)
	sel := strings.Join(append(slices.Clone(groups), sums), ", ")
	order := make([]string, 0, n+1)
	for i := range n {
		order = append(order, fmt.Sprint(i+1))
	}
	order = append(order, fmt.Sprint(n+9)) // the currency
	query := `SELECT ` + sel + ` FROM calls` + where + ` GROUP BY ` + strings.Join(order, ", ") + ` ORDER BY ` + strings.Join(order, ", ")
	rows, err := l.read.QueryContext(ctx, query, append(args, wargs...)...)
	if err != nil {
		return nil, fmt.Errorf("usage: %w", err)
	}
	defer func() { _ = rows.Close() }()
	out := []UsageRow{}
	for rows.Next() {
		r := UsageRow{Group: make([]string, n)}
		dst := make([]any, 0, n+13)
		for i := range r.Group {
			dst = append(dst, &r.Group[i])
		}
		dst = append(dst, &r.Requests, &r.Refused, &r.Failed, &r.Canceled, &r.Input, &r.Output, &r.CacheRead, &r.CacheWrite,
			&r.Currency, &r.Charge, &r.Cost, &r.Unpriced, &r.Simulated)
		if err := rows.Scan(dst...); err != nil {
			return nil, fmt.Errorf("usage: %w", err)
		}
		out = append(out, r)
	}
	return out, rows.Err()
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
	for col, v := range map[string]string{"account": q.Account, "team": q.Team, "key": q.Key, "model": q.Model} {
		if v != "" {
			add(col+" = ?", v)
		}
	}
	if len(conds) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(conds, " AND "), args
}

// Explanation is what the ledger knows of one call.
type Explanation struct {
	RequestID   string         `json:"requestId"`
	Account     string         `json:"account"`
	Key         string         `json:"key"`
	API         string         `json:"api"`
	Operation   string         `json:"operation"`
	ModelAsked  string         `json:"modelAsked"`
	Model       string         `json:"model"`
	Engine      string         `json:"engine"`
	Tier        string         `json:"tier"`
	Arrived     time.Time      `json:"arrived"`
	Status      int            `json:"status"`
	Outcome     string         `json:"outcome"`
	Reason      string         `json:"reason,omitempty"`
	Estimate    int64          `json:"estimatedInputTokens"`
	MaxTokens   int64          `json:"maxTokens"`
	Held        int64          `json:"heldTokens"`
	HeldMoney   int64          `json:"heldNano"`
	Input       int64          `json:"inputTokens"`
	Output      int64          `json:"outputTokens"`
	QueueMs     float64        `json:"queueMs"`
	FirstMs     float64        `json:"firstTokenMs"`
	TotalMs     float64        `json:"totalMs"`
	Charge      *int64         `json:"chargeNano"`
	Currency    string         `json:"currency,omitempty"`
	Simulated   bool           `json:"simulated"`
	Detail      string         `json:"detail,omitempty"` // the scheduler's account, JSON
	Attempts    []AttemptEntry `json:"attempts,omitempty"`
	SameRequest []string       `json:"attemptsOfTheClient,omitempty"` // other calls with the same invocation id
}

// AttemptEntry is one attempt as it is listed.
type AttemptEntry struct {
	Engine  string  `json:"engine"`
	BeganMs float64 `json:"beganMs"`
	TookMs  float64 `json:"tookMs"`
	Outcome string  `json:"outcome"`
}

func ms(ns int64) float64 { return float64(ns) / 1e6 }

// Explain returns the row of a call. Faults: NotFound.
func (l *Ledger) Explain(ctx context.Context, requestID string) (*Explanation, error) {
	var e Explanation
	var id, arrived, queue, first, total int64
	var key, asked, model, eng, tier, reason, currency, detail, invocation sql.NullString
	err := l.read.QueryRowContext(ctx, `SELECT id, request_id, account, key, api, operation, model_asked, model, engine, tier, arrived, status, outcome,
 reason, estimate, max_tokens, held, held_money, input, output, queue_ns, first_ns, total_ns, charge, currency, simulated, explanation, invocation_id
 FROM calls WHERE request_id = ?`, requestID).Scan(&id, &e.RequestID, &e.Account, &key, &e.API, &e.Operation, &asked, &model, &eng, &tier,
		&arrived, &e.Status, &e.Outcome, &reason, &e.Estimate, &e.MaxTokens, &e.Held, &e.HeldMoney, &e.Input, &e.Output, &queue, &first, &total,
		&e.Charge, &currency, &e.Simulated, &detail, &invocation)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.Newf(fault.NotFound, "no call with request id %q is on the ledger", requestID)
	}
	if err != nil {
		return nil, fmt.Errorf("explain: %w", err)
	}
	e.Key, e.ModelAsked, e.Model, e.Engine, e.Tier, e.Reason = key.String, asked.String, model.String, eng.String, tier.String, reason.String
	e.Currency, e.Detail, e.Arrived = currency.String, detail.String, time.Unix(0, arrived).UTC()
	e.QueueMs, e.FirstMs, e.TotalMs = ms(queue), ms(first), ms(total)
	if err := l.attempts(ctx, id, &e); err != nil {
		return nil, err
	}
	if invocation.String != "" {
		err = l.linked(ctx, invocation.String, &e)
	}
	return &e, err
}

func (l *Ledger) attempts(ctx context.Context, id int64, e *Explanation) error {
	rows, err := l.read.QueryContext(ctx, `SELECT COALESCE(engine, ''), began_ns, took_ns, outcome FROM attempts WHERE call = ? ORDER BY n`, id)
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var a AttemptEntry
		var began, took int64
		if err := rows.Scan(&a.Engine, &began, &took, &a.Outcome); err != nil {
			return fmt.Errorf("explain: %w", err)
		}
		a.BeganMs, a.TookMs = ms(began), ms(took)
		e.Attempts = append(e.Attempts, a)
	}
	return rows.Err()
}

// linked lists the other attempts that the client made of the same call.
func (l *Ledger) linked(ctx context.Context, invocation string, e *Explanation) error {
	const window = int64(24 * time.Hour) // the arrival index keeps the search short
	at := e.Arrived.UnixNano()
	rows, err := l.read.QueryContext(ctx, `SELECT request_id FROM calls WHERE arrived BETWEEN ? AND ? AND invocation_id = ? AND request_id <> ? ORDER BY arrived LIMIT 20`,
		at-window, at+window, invocation, e.RequestID)
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return fmt.Errorf("explain: %w", err)
		}
		e.SameRequest = append(e.SameRequest, id)
	}
	return rows.Err()
}

// GaveUp is a time after which clients tend to leave.
type GaveUp struct {
	Seconds int64 `json:"seconds"`
	Times   int64 `json:"times"`
}

// minGaveUp is the waiting time below which leaving is taken for a change of mind.
const minGaveUp = 2 * time.Second

// ClientsGaveUp counts the calls since then whose client left, by whole seconds, the most
// frequent first: read time-outs show as peaks.
func (l *Ledger) ClientsGaveUp(ctx context.Context, since time.Time) ([]GaveUp, error) {
	rows, err := l.read.QueryContext(ctx, `SELECT CAST(ROUND(total_ns / 1e9) AS INTEGER), COUNT(*) FROM calls
 WHERE outcome = 'canceled' AND arrived >= ? AND total_ns >= ? GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10`, since.UnixNano(), int64(minGaveUp))
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

// Charge is what one call took from quotas, for rebuilding them after a restart.
type Charge struct {
	Account, Team, Key, Model string
	At                        time.Time
	Requests                  int64
	Input, Output, CacheWrite int64
	Money                     int64
	Currency                  string
}

// Charges calls f with what every admitted call since then took, in order of arrival.
func (l *Ledger) Charges(ctx context.Context, since time.Time, f func(Charge)) error {
	rows, err := l.read.QueryContext(ctx, `SELECT account, COALESCE(team, ''), COALESCE(key, ''), COALESCE(model, ''), arrived, count, input, output, cache_write,
 COALESCE(charge, 0), COALESCE(currency, '') FROM calls WHERE arrived >= ? AND outcome <> 'refused' ORDER BY arrived`, since.UnixNano())
	if err != nil {
		return fmt.Errorf("charges: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var c Charge
		var at int64
		if err := rows.Scan(&c.Account, &c.Team, &c.Key, &c.Model, &at, &c.Requests, &c.Input, &c.Output, &c.CacheWrite, &c.Money, &c.Currency); err != nil {
			return fmt.Errorf("charges: %w", err)
		}
		c.At = time.Unix(0, at)
		f(c)
	}
	return rows.Err()
}
