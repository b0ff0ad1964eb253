package meter

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
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
`, `
-- The place in the journal up to which its rows are in this file.
CREATE TABLE moved (one INTEGER PRIMARY KEY CHECK (one = 1), segment INTEGER NOT NULL, place INTEGER NOT NULL) STRICT;
INSERT INTO moved VALUES (1, 0, 0);
DROP TABLE probes;
`, `
-- What budgets were charged, where the charge is not known.
ALTER TABLE calls ADD COLUMN spent INTEGER;
`, `
-- The purchase that served a call.
ALTER TABLE calls ADD COLUMN reservation TEXT;
CREATE INDEX calls_reservation ON calls (reservation, arrived) WHERE reservation IS NOT NULL;
-- Reserved capacity (package accrual): what was agreed from an instant on, one row for each change, and the hours
-- posted by it. Instants are nanoseconds, rates nano-units of a unit and an hour; NULL is not known.
CREATE TABLE contracts (
  id INTEGER PRIMARY KEY,
  purchase TEXT NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL,
  name TEXT NOT NULL, account TEXT NOT NULL, team TEXT NOT NULL, model TEXT NOT NULL, units INTEGER NOT NULL,
  term TEXT NOT NULL, expires INTEGER,
  currency TEXT, charge INTEGER, cost_currency TEXT, cost INTEGER, date TEXT NOT NULL, source TEXT NOT NULL,
  unit_input INTEGER NOT NULL, unit_output INTEGER NOT NULL, size TEXT NOT NULL,
  posted INTEGER NOT NULL,
  UNIQUE (purchase, at, kind)
) STRICT;
CREATE TABLE hours (
  purchase TEXT NOT NULL, at INTEGER NOT NULL, until INTEGER NOT NULL,
  contract INTEGER NOT NULL REFERENCES contracts (id),
  charge INTEGER, cost INTEGER,
  posted INTEGER NOT NULL,
  PRIMARY KEY (purchase, at)
) STRICT, WITHOUT ROWID;
CREATE INDEX hours_at ON hours (at);
`, `
-- The route that was called, the lane that served, and the lanes that were left before. Attempts tell what was lost with them.
ALTER TABLE calls ADD COLUMN route TEXT;
ALTER TABLE calls ADD COLUMN lane_name TEXT;
ALTER TABLE calls ADD COLUMN spill TEXT;
ALTER TABLE attempts ADD COLUMN lane TEXT;
ALTER TABLE attempts ADD COLUMN input INTEGER;
ALTER TABLE attempts ADD COLUMN output INTEGER;
ALTER TABLE attempts ADD COLUMN cost INTEGER;
ALTER TABLE attempts ADD COLUMN cost_tariff INTEGER REFERENCES tariffs (id);
`, `
-- The tags of a purchase, as a JSON object.
ALTER TABLE contracts ADD COLUMN tags TEXT;
`, `
-- What is given back of hours that were posted before their time, by a clock that was ahead, of a purchase that has ended: from an
-- instant of the hour on, which is named by its own instant.
CREATE TABLE refunds (
  purchase TEXT NOT NULL, hour INTEGER NOT NULL, at INTEGER NOT NULL,
  charge INTEGER, cost INTEGER,
  posted INTEGER NOT NULL,
  PRIMARY KEY (purchase, hour)
) STRICT, WITHOUT ROWID;
`, `
-- When a server ran on the ledger: from when to when it was last seen.
CREATE TABLE uptimes (id INTEGER PRIMARY KEY, since INTEGER NOT NULL, until INTEGER NOT NULL) STRICT;
CREATE INDEX uptimes_since ON uptimes (since);
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

// columns are those of a row, in the order in which the journal has them (see appendRow): new ones go
// to the end, and are NULL in rows that an older program left in the journal.
const columns = `request_id, invocation_id, client_attempt, account, team, key, tags, api, operation, model_asked, model, region, mode, lane,
 tier_asked, tier, stream, engine, simulated, arrived, deadline, queue_ns, first_ns, total_ns, max_tokens, estimate, held, held_money,
 input, output, cache_read, cache_write, usage_guess, media, status, outcome, reason, currency, charge, cost,
 line_input, line_output, line_cache_read, line_cache_write, explanation, count, charge_tariff, cost_tariff, cost_currency,
 cost_input, cost_output, cost_cache_read, cost_cache_write, spent, reservation, route, lane_name, spill`

const numColumns = 58

// Statements of the move from the journal into the tables.
var (
	insertCallSQL    = `INSERT INTO calls (` + columns + `) VALUES (` + strings.TrimSuffix(strings.Repeat("?,", numColumns), ",") + `)`
	insertAttemptSQL = `INSERT INTO attempts (call, n, engine, began_ns, took_ns, outcome, recalled, lane, input, output, cost, cost_tariff) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)`
	placeSQL         = `SELECT segment, place FROM moved`
	movedSQL         = `UPDATE moved SET segment = ?, place = ?`
)

// columnNames are columns, one by one.
var columnNames = strings.Split(strings.Join(strings.Fields(columns), ""), ",")

// insertShapeSQL is insertCallSQL for rows of one shape: a byte a column, 'n' for NULL, '0' for the
// number, '?' for an argument.
func insertShapeSQL(shape []byte) string {
	var names, values []string
	for i, c := range shape {
		if c != 'n' {
			names, values = append(names, columnNames[i]), append(values, string(c))
		}
	}
	return `INSERT INTO calls (` + strings.Join(names, ", ") + `) VALUES (` + strings.Join(values, ", ") + `)`
}
