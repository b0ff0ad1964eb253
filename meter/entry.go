package meter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"forebay/fault"
	"forebay/meter/bulk"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// A payload of the journal is a row, or begins with one of these numbers, which no row has as the number of its columns.
const (
	// entryTariff is a tariff, before the first row that refers to it: its place, then its values.
	entryTariff = 1<<20 + iota
	// entryCount is a row of refusals, to be added to the one of the same request id if there is one.
	entryCount
)

// countSQL adds a row to the one that there is.
var countSQL = insertCallSQL + ` ON CONFLICT (request_id) DO UPDATE SET count = count + excluded.count, estimate = estimate + excluded.estimate,
 max_tokens = max_tokens + excluded.max_tokens`

// tariffSQL adds a tariff. It may be there: one whose writing failed is written again, at the same place.
const tariffSQL = `INSERT INTO tariffs (id, model, tier, currency, input, output, cache_read, cache_write, date, source)
 VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING`

// tariffValues is the number of values of a tariff with its place.
const tariffValues = 10

func appendTariff(dst []byte, id int64, t *Tariff) []byte {
	b := rowWriter(binary.AppendUvarint(dst, entryTariff))
	b.integer(id)
	b.text(t.Model)
	b.text(t.Tier)
	b.text(t.Currency)
	for _, v := range [...]int64{t.Input, t.Output, t.CacheRead, t.CacheWrite} {
		b.integer(v)
	}
	b.text(t.Date)
	b.text(t.Source)
	return b
}

func appendCount(dst []byte, rec *Record) []byte {
	return appendRow(binary.AppendUvarint(dst, entryCount), rec, &places{})
}

// entry moves what one record of the journal holds.
func (m *mover) entry(payload []byte) error {
	switch kind, n := binary.Uvarint(payload); kind {
	case entryTariff:
		return m.tariff(payload[n:])
	case entryCount:
		if err := m.row.read(payload[n:]); err != nil {
			return err
		}
		return m.once(countSQL, m.row.args[:])
	default:
		return m.insertRow(payload)
	}
}

func (m *mover) tariff(values []byte) error {
	m.row.b = values
	args := make([]value, tariffValues)
	for i := range args {
		if err := m.row.value(&args[i]); err != nil {
			return err
		}
	}
	if len(m.row.b) > 0 {
		return errRow
	}
	return m.once(tariffSQL, args)
}

// once runs a statement that is too rare to be kept.
func (m *mover) once(query string, args []value) error {
	st, err := m.conn.Prepare(query)
	if err != nil {
		return err
	}
	defer st.Close()
	for i := range args {
		if err := args[i].bind(st, i+1); err != nil {
			return err
		}
	}
	return st.Run()
}

// codeOf returns the extended result code of a failure of SQLite, 0 for others.
func codeOf(err error) int {
	if e, ok := errors.AsType[*bulk.Error](err); ok {
		return e.Code
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}

// orphaned reports whether a row refers to a tariff that is not there, because it was in a part of the journal that is damaged. The
// row keeps its amounts, and says no more by which price.
func orphaned(err error) bool {
	return codeOf(err) == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY
}

// Places of tariffs among the values of a row, and of its attempts.
var (
	chargeTariff = slices.Index(columnNames, "charge_tariff")
	costTariff   = slices.Index(columnNames, "cost_tariff")
)

const lostTariff = attemptValues - 1

// forgetTariffs takes the references to tariffs out of a row.
func (r *rowReader) forgetTariffs() {
	r.args[chargeTariff], r.args[costTariff] = value{}, value{}
	for i := lostTariff; i < len(r.tries); i += attemptValues {
		r.tries[i] = value{}
	}
}

// locked reports whether rows cannot be moved only because another program has the database: then they wait in the
// journal, and nothing else is wrong.
func locked(err error) bool {
	code := codeOf(err) & 0xff
	return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
}

// behind is why a question cannot be answered when not all rows are in the tables.
func behind(err error) error {
	code := codeOf(err) & 0xff
	switch {
	case locked(err):
		return fault.Wrap(fault.Unavailable, err, "Another program has the ledger's database; try again when it is done.")
	case code == sqlite3.SQLITE_FULL, code == sqlite3.SQLITE_IOERR:
		return fault.Storage(err)
	default:
		return err
	}
}

// placed is where a tariff is in the file, or will be once the journal has been moved.
type placed struct {
	id int64
	in bool // the journal or the file has it
}

// maxTariffs is about how many tariffs are known by their pointers.
const maxTariffs = 4096

// place returns the id of a tariff, and puts one that is new into the journal, before the rows that refer to it. The ledger has one
// owner, so it can give out ids itself, and needs no database for the first call at a price. 0 stands for none.
func (l *Ledger) place(t *Tariff) (int64, error) {
	if t == nil {
		return 0, nil
	}
	l.mu.Lock()
	id := l.tariffs[t]
	l.mu.Unlock()
	if id != 0 {
		return id, nil
	}
	l.pricing.Lock()
	defer l.pricing.Unlock()
	p, known := l.prices[*t]
	if !known {
		l.lastTariff++
		p.id = l.lastTariff
		l.prices[*t] = p // kept when it cannot be written, since nobody knows then how much of it has been
	}
	if !p.in {
		if err := l.journal.append(func(dst []byte) []byte { return appendTariff(dst, p.id, t) }); err != nil {
			return 0, err
		}
		p.in = true
		l.prices[*t] = p
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.tariffs) >= maxTariffs {
		clear(l.tariffs)
	}
	l.tariffs[t] = p.id
	return p.id, nil
}

// places returns where the tariffs of a record are.
func (l *Ledger) places(rec *Record) (at places, err error) {
	if at.charge, err = l.place(rec.Charge.Tariff); err != nil {
		return at, err
	}
	if at.cost, err = l.place(rec.Cost.Tariff); err != nil {
		return at, err
	}
	for i := range rec.Attempts {
		if rec.Attempts[i].Lost.Tariff == nil {
			continue
		}
		if at.lost == nil {
			at.lost = make([]int64, len(rec.Attempts))
		}
		if at.lost[i], err = l.place(rec.Attempts[i].Lost.Tariff); err != nil {
			return at, err
		}
	}
	return at, nil
}

// loadTariffs reads the tariffs that the file has. Everything that was in the journal has been moved.
func (l *Ledger) loadTariffs(ctx context.Context) error {
	rows, err := l.read.QueryContext(ctx, `SELECT id, model, tier, currency, input, output, cache_read, cache_write, date, source FROM tariffs`)
	if err != nil {
		return fmt.Errorf("tariffs: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var t Tariff
		var id int64
		if err := rows.Scan(&id, &t.Model, &t.Tier, &t.Currency, &t.Input, &t.Output, &t.CacheRead, &t.CacheWrite, &t.Date, &t.Source); err != nil {
			return fmt.Errorf("tariffs: %w", err)
		}
		l.prices[t] = placed{id, true}
		l.lastTariff = max(l.lastTariff, id)
	}
	return rows.Err()
}
