package meter

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// migrations bring a ledger from each version to the next. They are never edited, only added to.
var migrations = []string{`
CREATE TABLE calls (
  id INTEGER PRIMARY KEY,
  request_id TEXT NOT NULL UNIQUE,
  invocation_id TEXT, client_attempt INTEGER,
  account TEXT NOT NULL, team TEXT, key TEXT, tags TEXT,
  api TEXT NOT NULL, operation TEXT NOT NULL, model_asked TEXT, model TEXT, region TEXT,
  mode TEXT NOT NULL, lane INTEGER NOT NULL, tier_asked TEXT, tier TEXT, stream INTEGER NOT NULL,
  engine TEXT, simulated INTEGER NOT NULL,
  arrived INTEGER NOT NULL, deadline INTEGER, queue_ns INTEGER, first_ns INTEGER, total_ns INTEGER,
  max_tokens INTEGER, estimate INTEGER, held INTEGER, held_money INTEGER,
  input INTEGER, output INTEGER, cache_read INTEGER, cache_write INTEGER, usage_guess INTEGER, media INTEGER,
  status INTEGER, outcome TEXT NOT NULL, reason TEXT,
  currency TEXT, charge INTEGER, cost INTEGER,
  line_input INTEGER, line_output INTEGER, line_cache_read INTEGER, line_cache_write INTEGER,
  explanation TEXT, count INTEGER NOT NULL
) STRICT;
CREATE INDEX calls_arrived ON calls (arrived);
CREATE TABLE attempts (
  call INTEGER NOT NULL REFERENCES calls (id), n INTEGER NOT NULL,
  engine TEXT, began_ns INTEGER, took_ns INTEGER, outcome TEXT NOT NULL, recalled INTEGER NOT NULL,
  PRIMARY KEY (call, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE probes (at INTEGER NOT NULL) STRICT;
`, `
-- The tariffs that amounts were computed with; -1 is a price that was not known.
CREATE TABLE tariffs (
  id INTEGER PRIMARY KEY,
  model TEXT NOT NULL, tier TEXT NOT NULL, currency TEXT NOT NULL,
  input INTEGER NOT NULL, output INTEGER NOT NULL, cache_read INTEGER NOT NULL, cache_write INTEGER NOT NULL,
  date TEXT NOT NULL, source TEXT NOT NULL,
  UNIQUE (model, tier, currency, input, output, cache_read, cache_write, date, source)
) STRICT;
ALTER TABLE calls ADD COLUMN charge_tariff INTEGER REFERENCES tariffs (id);
ALTER TABLE calls ADD COLUMN cost_tariff INTEGER REFERENCES tariffs (id);
ALTER TABLE calls ADD COLUMN cost_currency TEXT;
ALTER TABLE calls ADD COLUMN cost_input INTEGER;
ALTER TABLE calls ADD COLUMN cost_output INTEGER;
ALTER TABLE calls ADD COLUMN cost_cache_read INTEGER;
ALTER TABLE calls ADD COLUMN cost_cache_write INTEGER;
`}

// migrate brings the schema up to date, and refuses a file of a newer program.
func migrate(ctx context.Context, db *sql.DB) error {
	var version int
	if err := db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
		return err
	}
	if version > len(migrations) {
		return fmt.Errorf("written by a newer forebay (schema %d, this one knows %d): upgrade forebay", version, len(migrations))
	}
	for v := version; v < len(migrations); v++ {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if _, err = tx.ExecContext(ctx, migrations[v]); err == nil {
			_, err = tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, v+1))
		}
		if err != nil {
			return errors.Join(err, tx.Rollback())
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}

const columns = `request_id, invocation_id, client_attempt, account, team, key, tags, api, operation, model_asked, model, region, mode, lane,
 tier_asked, tier, stream, engine, simulated, arrived, deadline, queue_ns, first_ns, total_ns, max_tokens, estimate, held, held_money,
 input, output, cache_read, cache_write, usage_guess, media, status, outcome, reason, currency, charge, cost,
 line_input, line_output, line_cache_read, line_cache_write, explanation, count, charge_tariff, cost_tariff, cost_currency,
 cost_input, cost_output, cost_cache_read, cost_cache_write`

const numColumns = 53

var insertCallSQL = `INSERT INTO calls (` + columns + `) VALUES (` + strings.TrimSuffix(strings.Repeat("?,", numColumns), ",") + `)` //nolint:gosec // of constants

// insert writes rows in one transaction: all or none.
func (l *Ledger) insert(recs []*Record) error {
	ctx := context.Background()
	if err := l.intern(ctx, recs); err != nil {
		return err
	}
	tx, err := l.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := l.insertAll(ctx, tx, recs); err != nil {
		_ = tx.Rollback() // the first error is the one to tell
		return err
	}
	return tx.Commit()
}

// maxTariffs is about how many tariffs are remembered; when there are more, all are looked up again.
const maxTariffs = 4096

// intern gives every tariff of the rows its place in the file. Only the writer calls it.
func (l *Ledger) intern(ctx context.Context, recs []*Record) error {
	if len(l.tariffs) >= maxTariffs {
		clear(l.tariffs)
	}
	for _, r := range recs {
		for _, t := range [...]*Tariff{r.Charge.Tariff, r.Cost.Tariff} {
			if t == nil || l.tariffs[t] != 0 {
				continue
			}
			id, err := l.tariff(ctx, t)
			if err != nil {
				return err
			}
			l.tariffs[t] = id
		}
	}
	return nil
}

func (l *Ledger) tariff(ctx context.Context, t *Tariff) (id int64, err error) {
	args := []any{t.Model, t.Tier, t.Currency, t.Input, t.Output, t.CacheRead, t.CacheWrite, t.Date, t.Source}
	if _, err := l.write.ExecContext(ctx, `INSERT OR IGNORE INTO tariffs (model, tier, currency, input, output, cache_read, cache_write, date, source)
 VALUES (?,?,?,?,?,?,?,?,?)`, args...); err != nil {
		return 0, err
	}
	err = l.write.QueryRowContext(ctx, `SELECT id FROM tariffs WHERE model = ? AND tier = ? AND currency = ? AND input = ? AND output = ?
 AND cache_read = ? AND cache_write = ? AND date = ? AND source = ?`, args...).Scan(&id)
	return id, err
}

func (l *Ledger) insertAll(ctx context.Context, tx *sql.Tx, recs []*Record) error {
	st := tx.StmtContext(ctx, l.insertCall) // the one connection's own: nothing is prepared anew
	defer func() { _ = st.Close() }()
	var args [numColumns]any
	for _, r := range recs {
		l.values(&args, r)
		res, err := st.ExecContext(ctx, args[:]...)
		if err != nil {
			return err
		}
		if len(r.Attempts) == 0 || len(r.Attempts) == 1 && r.Attempts[0].Err == nil {
			continue
		}
		id, err := res.LastInsertId()
		if err != nil {
			return err
		}
		for n, a := range r.Attempts {
			if _, err := tx.ExecContext(ctx, `INSERT INTO attempts VALUES (?,?,?,?,?,?,?)`,
				id, n+1, a.Engine, int64(a.Began), int64(a.Took), a.Outcome, a.Recalled); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *Ledger) values(a *[numColumns]any, r *Record) {
	*a = [numColumns]any{
		r.RequestID, text(r.InvocationID), r.Attempt, r.Account, text(r.Team), text(r.Key), tags(r.Tags), r.API, r.Operation,
		text(r.ModelAsked), text(r.Model), text(r.Region), r.Mode, r.Lane, text(r.TierAsked), text(r.Tier), r.Stream,
		text(r.Engine), r.Simulated, r.Arrived.UnixNano(), instant(r.Deadline), int64(r.Queue), int64(r.FirstToken), int64(r.Total),
		r.MaxTokens, r.Estimate, r.Held, r.HeldMoney, r.Input, r.Output, r.CacheRead, r.CacheWrite, r.UsageGuess, r.Media,
		r.Status, r.Outcome, text(r.Reason), text(r.Charge.Currency()), known(r.Charge.Total(), &r.Charge), known(r.Cost.Total(), &r.Cost),
		known(r.Charge.Input, &r.Charge), known(r.Charge.Output, &r.Charge), known(r.Charge.CacheRead, &r.Charge),
		known(r.Charge.CacheWrite, &r.Charge), text(string(r.Explanation)), r.Count,
		l.tariffID(&r.Charge), l.tariffID(&r.Cost), text(r.Cost.Currency()),
		known(r.Cost.Input, &r.Cost), known(r.Cost.Output, &r.Cost), known(r.Cost.CacheRead, &r.Cost), known(r.Cost.CacheWrite, &r.Cost),
	}
}

// tariffID is the place of a tariff that intern has seen.
func (l *Ledger) tariffID(n *Lines) any {
	if n.Tariff == nil {
		return nil
	}
	return l.tariffs[n.Tariff]
}

// text stores "" as NULL, which takes no room.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// known stores an amount that is not known as NULL.
func known(v int64, of *Lines) any {
	if !of.Known {
		return nil
	}
	return v
}

func instant(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixNano()
}

func tags(m map[string]string) any {
	if len(m) == 0 {
		return nil
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil // a map of strings always encodes
	}
	return string(b)
}
