package meter

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"forebay/fault"

	"github.com/go-json-experiment/json/jsontext"
)

// Explanation is what the ledger knows of one call.
type Explanation struct {
	RequestID   string         `json:"requestId"`
	Account     string         `json:"account"`
	Team        string         `json:"team,omitempty"`
	Key         string         `json:"key"`
	Tags        jsontext.Value `json:"tags,omitempty"`
	API         string         `json:"api"`
	Operation   string         `json:"operation"`
	ModelAsked  string         `json:"modelAsked"`
	Model       string         `json:"model"`
	Region      string         `json:"region,omitempty"`
	Mode        string         `json:"mode"`
	Reservation string         `json:"reservation,omitempty"` // the purchase that served it
	Route       string         `json:"route,omitempty"`
	Lane        int            `json:"lane"`
	LaneName    string         `json:"laneName,omitempty"`
	Spill       string         `json:"spill,omitempty"` // the lanes that it has left, and why
	Engine      string         `json:"engine"`
	TierAsked   string         `json:"tierAsked"`
	Tier        string         `json:"tier"`
	Stream      bool           `json:"stream"`
	Arrived     time.Time      `json:"arrived"`
	Deadline    time.Time      `json:"deadline,omitzero"`
	Status      int            `json:"status"`
	Outcome     string         `json:"outcome"`
	Reason      string         `json:"reason,omitempty"`
	Estimate    int64          `json:"estimatedInputTokens"`
	MaxTokens   int64          `json:"maxTokens"`
	Held        int64          `json:"heldTokens"`
	HeldMoney   int64          `json:"heldNano"`
	Input       int64          `json:"inputTokens"`
	Output      int64          `json:"outputTokens"`
	CacheRead   int64          `json:"cacheReadTokens"`
	CacheWrite  int64          `json:"cacheWriteTokens"`
	UsageGuess  bool           `json:"usageEstimated,omitzero"`
	Media       int64          `json:"media,omitzero"`
	QueueMs     float64        `json:"queueMs"`
	FirstMs     float64        `json:"firstTokenMs"`
	TotalMs     float64        `json:"totalMs"`
	Charge      *Money         `json:"charge"` // null where it is not known
	Cost        *Money         `json:"cost"`
	Simulated   bool           `json:"simulated"`
	Detail      jsontext.Value `json:"detail,omitempty"` // the scheduler's account
	Attempts    []AttemptEntry `json:"attempts,omitempty"`
	Invocation  string         `json:"invocationId,omitempty"`
	Attempt     int            `json:"attemptOfTheClient,omitzero"`
	SameRequest []string       `json:"attemptsOfTheClient,omitempty"` // other calls with the same invocation id
	Count       int64          `json:"count"`                         // calls that the row stands for
}

// Money is an amount with the lines and the tariff that it comes from, in nano-units.
type Money struct {
	Currency   string `json:"currency"`
	Total      int64  `json:"totalNano"`
	Input      int64  `json:"inputNano"`
	Output     int64  `json:"outputNano"`
	CacheRead  int64  `json:"cacheReadNano"`
	CacheWrite int64  `json:"cacheWriteNano"`
	Model      string `json:"priceOf"` // the model, or the engine's name of it
	Tier       string `json:"tier"`
	Date       string `json:"priceDate,omitempty"`
	Source     string `json:"priceSource,omitempty"`
}

// AttemptEntry is one attempt as it is listed.
type AttemptEntry struct {
	Engine  string  `json:"engine"`
	BeganMs float64 `json:"beganMs"`
	TookMs  float64 `json:"tookMs"`
	Outcome string  `json:"outcome"`
	// Recalled says that the call was taken back for another and queued again.
	Recalled bool   `json:"recalled,omitzero"`
	Lane     string `json:"lane,omitempty"`
	// Tokens that the engine worked on for nobody, and what they cost us: null where it is not known.
	Input        int64  `json:"inputTokens,omitzero"`
	Output       int64  `json:"outputTokens,omitzero"`
	Lost         *int64 `json:"lostNano,omitempty"`
	LostCurrency string `json:"lostCurrency,omitempty"`
}

func ms(ns int64) float64 { return float64(ns) / 1e6 }

// moneyColumns selects what scanMoney reads, of the lines and tariff with these prefixes.
func moneyColumns(total, line, tariff string) string {
	return fmt.Sprintf(`calls.%s, calls.%[2]s_input, calls.%[2]s_output, calls.%[2]s_cache_read, calls.%[2]s_cache_write,
 COALESCE(%[3]s.currency, ''), COALESCE(%[3]s.model, ''), COALESCE(%[3]s.tier, ''), COALESCE(%[3]s.date, ''), COALESCE(%[3]s.source, '')`, total, line, tariff)
}

// moneyScan is an amount as it comes from the file: NULL when it is not known.
type moneyScan struct {
	total, input, output, read, write sql.NullInt64
	m                                 Money
}

func (s *moneyScan) into() []any {
	return []any{&s.total, &s.input, &s.output, &s.read, &s.write, &s.m.Currency, &s.m.Model, &s.m.Tier, &s.m.Date, &s.m.Source}
}

func (s *moneyScan) money() *Money {
	if !s.total.Valid {
		return nil
	}
	s.m.Total, s.m.Input, s.m.Output, s.m.CacheRead, s.m.CacheWrite = s.total.Int64, s.input.Int64, s.output.Int64, s.read.Int64, s.write.Int64
	return &s.m
}

var explainSQL = `SELECT calls.id, request_id, COALESCE(invocation_id, ''), COALESCE(client_attempt, 0), account, COALESCE(team, ''), COALESCE(key, ''),
 tags, api, operation, COALESCE(model_asked, ''), COALESCE(calls.model, ''), COALESCE(region, ''), mode, COALESCE(reservation, ''), COALESCE(route, ''), lane, COALESCE(lane_name, ''), COALESCE(spill, ''), COALESCE(engine, ''),
 COALESCE(tier_asked, ''), COALESCE(calls.tier, ''), stream, arrived, deadline, status, outcome, COALESCE(reason, ''), estimate, max_tokens,
 held, held_money, calls.input, calls.output, calls.cache_read, calls.cache_write, usage_guess, media, queue_ns, first_ns, total_ns,
 simulated, COALESCE(explanation, ''), count, ` + moneyColumns("charge", "line", "p") + `, ` + moneyColumns("cost", "cost", "c") + `
 FROM calls LEFT JOIN tariffs p ON p.id = charge_tariff LEFT JOIN tariffs c ON c.id = cost_tariff WHERE request_id = ?`

// Explain returns the row of a call. Faults: NotFound.
func (l *Ledger) Explain(ctx context.Context, requestID string) (*Explanation, error) {
	var e Explanation
	var id, arrived, queue, first, total int64
	var deadline sql.NullInt64
	var tags sql.NullString
	var detail string
	var charge, cost moneyScan
	dst := []any{
		&id, &e.RequestID, &e.Invocation, &e.Attempt, &e.Account, &e.Team, &e.Key, &tags, &e.API, &e.Operation, &e.ModelAsked, &e.Model,
		&e.Region, &e.Mode, &e.Reservation, &e.Route, &e.Lane, &e.LaneName, &e.Spill, &e.Engine, &e.TierAsked, &e.Tier, &e.Stream, &arrived, &deadline, &e.Status, &e.Outcome, &e.Reason,
		&e.Estimate, &e.MaxTokens, &e.Held, &e.HeldMoney, &e.Input, &e.Output, &e.CacheRead, &e.CacheWrite, &e.UsageGuess, &e.Media,
		&queue, &first, &total, &e.Simulated, &detail, &e.Count,
	}
	dst = append(append(dst, charge.into()...), cost.into()...)
	err := l.read.QueryRowContext(ctx, explainSQL, requestID).Scan(dst...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.Newf(fault.NotFound, "no call with request id %q is on the ledger", requestID)
	}
	if err != nil {
		return nil, fmt.Errorf("explain: %w", err)
	}
	e.Charge, e.Cost, e.Arrived = charge.money(), cost.money(), time.Unix(0, arrived).UTC()
	if deadline.Valid {
		e.Deadline = time.Unix(0, deadline.Int64).UTC()
	}
	if tags.Valid {
		e.Tags = jsontext.Value(tags.String)
	}
	if detail != "" {
		e.Detail = jsontext.Value(detail)
	}
	e.QueueMs, e.FirstMs, e.TotalMs = ms(queue), ms(first), ms(total)
	if err := l.attempts(ctx, id, &e); err != nil {
		return nil, err
	}
	if e.Invocation != "" {
		err = l.linked(ctx, e.Invocation, &e)
	}
	return &e, err
}

func (l *Ledger) attempts(ctx context.Context, id int64, e *Explanation) error {
	rows, err := l.read.QueryContext(ctx, `SELECT COALESCE(engine, ''), began_ns, took_ns, outcome, recalled,
 COALESCE(lane, ''), COALESCE(attempts.input, 0), COALESCE(attempts.output, 0), cost, COALESCE(currency, '')
 FROM attempts LEFT JOIN tariffs ON tariffs.id = cost_tariff WHERE call = ? ORDER BY n`, id)
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var a AttemptEntry
		var began, took int64
		if err := rows.Scan(&a.Engine, &began, &took, &a.Outcome, &a.Recalled, &a.Lane, &a.Input, &a.Output, &a.Lost, &a.LostCurrency); err != nil {
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
