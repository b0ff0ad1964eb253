package meter

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"forebay/infer"
)

// maxFaults bounds the rows that a Verification names; the rest is counted.
const maxFaults = 20

// Verification is the outcome of computing the ledger again from its rows.
type Verification struct {
	Rows  int64 `json:"rows"`
	Calls int64 `json:"calls"` // that the rows stand for
	// Charges and Costs are the totals in nano-units by currency.
	Charges map[string]int64 `json:"chargesNano"`
	Costs   map[string]int64 `json:"costsNano"`
	// Lost is what attempts cost that nobody got an answer from.
	Lost map[string]int64 `json:"lostNano"`
	// Wrong is the number of amounts and totals that do not follow from what they come from, and
	// Faults says what is wrong with the first of them.
	Wrong  int64    `json:"wrong"`
	Faults []string `json:"faults,omitempty"`
}

func (v *Verification) fault(format string, args ...any) {
	v.Wrong++
	if len(v.Faults) < maxFaults {
		v.Faults = append(v.Faults, fmt.Sprintf(format, args...))
	}
}

// amountRow is one amount of a row with what it must follow from: tokens and tariff.
type amountRow struct {
	total                 sql.NullInt64
	currency, tariffMoney sql.NullString
	lines, rates          [4]sql.NullInt64
}

func (a *amountRow) into() []any {
	return []any{
		&a.total, &a.currency, &a.lines[0], &a.lines[1], &a.lines[2], &a.lines[3],
		&a.tariffMoney, &a.rates[0], &a.rates[1], &a.rates[2], &a.rates[3],
	}
}

func amountColumns(total, currency, line, tariff string) string {
	return fmt.Sprintf(`calls.%s, calls.%s, calls.%[3]s_input, calls.%[3]s_output, calls.%[3]s_cache_read, calls.%[3]s_cache_write,
 %[4]s.currency, %[4]s.input, %[4]s.output, %[4]s.cache_read, %[4]s.cache_write`, total, currency, line, tariff)
}

var verifySQL = `SELECT request_id, count, calls.input, calls.output, calls.cache_read, calls.cache_write, ` + //nolint:gosec // of constants
	amountColumns("charge", "currency", "line", "p") + `, ` + amountColumns("cost", "cost_currency", "cost", "c") + `
 FROM calls LEFT JOIN tariffs p ON p.id = charge_tariff LEFT JOIN tariffs c ON c.id = cost_tariff WHERE arrived >= ? AND arrived < ?`

// Verify computes every amount of the calls that arrived in a span of time again, from its tokens and its tariff, and
// compares lines, amounts and totals. It reads one consistent state while rows go on being written.
func (l *Ledger) Verify(ctx context.Context, since, until time.Time) (*Verification, error) {
	tx, err := l.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	v := &Verification{Charges: map[string]int64{}, Costs: map[string]int64{}, Lost: map[string]int64{}}
	from, to := bounds(since, until)
	rows, err := tx.QueryContext(ctx, verifySQL, from, to)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id string
		var count int64
		var tokens [4]int64
		var charge, cost amountRow
		dst := append([]any{&id, &count, &tokens[0], &tokens[1], &tokens[2], &tokens[3]}, charge.into()...)
		if err := rows.Scan(append(dst, cost.into()...)...); err != nil {
			return nil, fmt.Errorf("verify: %w", err)
		}
		v.Rows, v.Calls = v.Rows+1, v.Calls+count
		charge.verify(v, id, "charge", &tokens, v.Charges)
		cost.verify(v, id, "cost", &tokens, v.Costs)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	if err := v.lost(ctx, tx, from, to); err != nil {
		return nil, err
	}
	return v, v.totals(ctx, tx, from, to)
}

// lost computes the costs of attempts again.
func (v *Verification) lost(ctx context.Context, tx *sql.Tx, from, to int64) error {
	rows, err := tx.QueryContext(ctx, `SELECT request_id, n, attempts.input, attempts.output, attempts.cost, COALESCE(t.currency, ''), t.input, t.output
 FROM calls JOIN attempts ON call = calls.id LEFT JOIN tariffs t ON t.id = attempts.cost_tariff
 WHERE arrived >= ? AND arrived < ? AND attempts.cost IS NOT NULL`, from, to)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id, currency string
		var n, input, output, cost int64
		t := Tariff{CacheRead: unknownRate, CacheWrite: unknownRate}
		var in, out sql.NullInt64
		if err := rows.Scan(&id, &n, &input, &output, &cost, &currency, &in, &out); err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		t.Input, t.Output = in.Int64, out.Int64
		want, err := t.Price(infer.Usage{Input: input, Output: output})
		if err != nil || !want.Known || want.Total() != cost {
			v.fault("%s: attempt %d lost %d nano, and its tokens make %d", id, n, cost, want.Total())
		}
		v.Lost[currency] += cost
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	return nil
}

func bounds(since, until time.Time) (from, to int64) {
	to = int64(1<<63 - 1)
	if !since.IsZero() {
		from = since.UnixNano()
	}
	if !until.IsZero() {
		to = until.UnixNano()
	}
	return from, to
}

var lineNames = [4]string{"input", "output", "cache read", "cache write"}

// verify computes one amount again and adds it to its total.
func (a *amountRow) verify(v *Verification, id, what string, tokens *[4]int64, totals map[string]int64) {
	if !a.total.Valid {
		return
	}
	var sum int64
	for i, line := range a.lines {
		sum += line.Int64
		if !a.rates[i].Valid || a.rates[i].Int64 == unknownRate && tokens[i] == 0 {
			continue // a row from before tariffs were kept, or a price that was not needed
		}
		want, err := Amount(a.rates[i].Int64, tokens[i])
		if err != nil || want != line.Int64 {
			v.fault("%s: the %s line of the %s is %d nano, and %d tokens at %d a million make %d", id, lineNames[i], what, line.Int64, tokens[i], a.rates[i].Int64, want)
		}
	}
	if sum != a.total.Int64 {
		v.fault("%s: the %s is %d nano and its lines make %d", id, what, a.total.Int64, sum)
	}
	if a.tariffMoney.Valid && a.tariffMoney.String != a.currency.String {
		v.fault("%s: the %s is in %s and its tariff in %s", id, what, a.currency.String, a.tariffMoney.String)
	}
	if a.currency.Valid || sum != 0 { // a call on reserved capacity takes nothing of any currency
		totals[a.currency.String] += sum
	}
}

// totals compares the sums of the lines with those that usage shows.
func (v *Verification) totals(ctx context.Context, tx *sql.Tx, from, to int64) error {
	for _, x := range []struct {
		what, query string
		computed    map[string]int64
	}{
		{"charge", `SELECT COALESCE(currency, ''), SUM(charge) FROM calls WHERE arrived >= ? AND arrived < ? AND charge IS NOT NULL GROUP BY 1`, v.Charges},
		{"cost", `SELECT COALESCE(cost_currency, ''), SUM(cost) FROM calls WHERE arrived >= ? AND arrived < ? AND cost IS NOT NULL GROUP BY 1`, v.Costs},
	} {
		rows, err := tx.QueryContext(ctx, x.query, from, to)
		if err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var currency string
			var sum int64
			if err := rows.Scan(&currency, &sum); err != nil {
				return fmt.Errorf("verify: %w", err)
			}
			if x.computed[currency] != sum {
				v.fault("the %ss in %s make %d nano and their lines %d", x.what, currency, sum, x.computed[currency])
			}
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("verify: %w", err)
		}
	}
	return nil
}
