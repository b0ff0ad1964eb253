package meter

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// moveAt is how many bytes of rows wait before they are moved without waiting for the clock.
	moveAt = 256 << 10
	// moveBytes is about how much of the journal one transaction takes.
	moveBytes = 256 << 10
	// moveEvery is how long a row waits at most, unless a query asks before.
	moveEvery = time.Second
)

// mover takes rows out of the journal into the tables, in the order of the journal. The place up to which
// it has got is written in the same transaction as the rows, so that none is moved twice. It
// speaks to the driver itself, because database/sql copies and checks every argument
// of every row once more.
type mover struct {
	journal *journal
	driver  driver.Driver
	dsn     string
	lose    func(error) // is told of a row that the tables do not take

	done atomic.Int64 // bytes moved by this program

	mu      sync.Mutex // held over a move
	at      position
	buf     []byte
	row     rowReader
	conn    driver.Conn // nil when it must be opened
	args    []driver.NamedValue
	shapes  map[string]driver.StmtExecContext // by what statement makes of a row
	call    driver.StmtExecContext            // for every other
	attempt driver.StmtExecContext
	moved   driver.StmtExecContext
}

// all moves everything that was appended before the call.
func (m *mover) all(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.journal.waiting(m.at) == 0 {
		return nil
	}
	err := m.connect(ctx)
	for left := m.journal.waiting(m.at); left > 0 && err == nil; {
		var n int64
		n, err = m.batch(ctx)
		left -= n
	}
	if err != nil {
		m.disconnect()
		return fmt.Errorf("rows stay in the journal: %w", err)
	}
	return nil
}

// batch moves about moveBytes in one transaction and returns how many it were.
func (m *mover) batch(ctx context.Context) (int64, error) {
	b, at, err := m.load()
	if err != nil {
		return 0, err
	}
	tx, err := m.conn.(driver.ConnBeginTx).BeginTx(ctx, driver.TxOptions{}) // the driver has it
	if err != nil {
		return 0, err
	}
	n, err := m.insert(ctx, b)
	if err == nil {
		at.offset += int64(n)
		err = exec(ctx, m.moved, []driver.NamedValue{{Ordinal: 1, Value: int64(at.segment)}, {Ordinal: 2, Value: at.offset}})
	}
	if err != nil {
		return 0, errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return 0, err
	}
	m.at = at
	m.done.Add(int64(n))
	return int64(n), m.journal.drop(at)
}

// load reads the journal from where the mover is, at least one whole record.
func (m *mover) load() ([]byte, position, error) {
	if m.buf == nil {
		m.buf = make([]byte, moveBytes)
	}
	for {
		n, at, err := m.journal.read(m.at, m.buf)
		if err != nil {
			return nil, at, err
		}
		if _, size, err := record(m.buf[:n]); err != nil || size > 0 {
			return m.buf[:n], at, err
		}
		if n < len(m.buf) {
			return nil, at, errRow // acknowledged rows are whole
		}
		m.buf = make([]byte, 2*len(m.buf))
	}
}

// insert adds the rows of whole records and returns the bytes they took.
func (m *mover) insert(ctx context.Context, b []byte) (int, error) {
	done := 0
	for {
		payload, n, err := record(b[done:])
		if err != nil {
			return done, err
		}
		if n == 0 {
			return done, nil
		}
		done += n
		if len(payload) == 0 {
			continue
		}
		if err := m.entry(ctx, payload); unfit(err) {
			m.lose(err)
		} else if err != nil {
			return done, err
		}
	}
}

// unfit reports whether it is the row that is at fault, which must not hold up the rows behind it.
func unfit(err error) bool {
	var e *sqlite.Error
	return errors.Is(err, errRow) || errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_CONSTRAINT
}

func (m *mover) insertRow(ctx context.Context, payload []byte) error {
	if err := m.row.read(payload); err != nil {
		return err
	}
	st, args, err := m.statement(ctx)
	if err != nil {
		return err
	}
	res, err := st.ExecContext(ctx, args)
	if orphaned(err) {
		m.row.forgetTariffs()
		res, err = m.call.ExecContext(ctx, m.row.args[:])
	}
	if err != nil || len(m.row.tries) == 0 {
		return err
	}
	id, err := res.LastInsertId()
	if err != nil {
		return err
	}
	for i := 0; i < len(m.row.tries); i += attemptValues {
		args := append([]driver.NamedValue{{Value: id}, {Value: int64(i/attemptValues + 1)}}, m.row.tries[i:i+attemptValues]...)
		for k := range args {
			args[k].Ordinal = k + 1
		}
		if err := exec(ctx, m.attempt, args); err != nil {
			return err
		}
	}
	return nil
}

// maxShapes bounds the statements that are kept for rows of different shapes.
const maxShapes = 32

// statement returns the statement for the row that was read, with its arguments. Half of a row's values are
// usually NULL or 0, and binding a value costs as much as storing it, so such values stand in the
// statement itself: there is one for each shape of row that occurs.
func (m *mover) statement(ctx context.Context) (driver.StmtExecContext, []driver.NamedValue, error) {
	var shape [numColumns]byte
	m.args = m.args[:0]
	for i := range m.row.args {
		switch v := m.row.args[i].Value; v {
		case nil:
			shape[i] = 'n'
		case int64(0):
			shape[i] = '0'
		default:
			shape[i] = '?'
			m.args = append(m.args, driver.NamedValue{Ordinal: len(m.args) + 1, Value: v})
		}
	}
	if st, ok := m.shapes[string(shape[:])]; ok {
		return st, m.args, nil
	}
	if len(m.shapes) >= maxShapes {
		return m.call, m.row.args[:], nil
	}
	st, err := m.prepare(ctx, insertShapeSQL(shape[:]))
	if err == nil {
		m.shapes[string(shape[:])] = st
	}
	return st, m.args, err
}

func (m *mover) prepare(ctx context.Context, query string) (driver.StmtExecContext, error) {
	st, err := m.conn.(driver.ConnPrepareContext).PrepareContext(ctx, query) // the driver has it
	if err != nil {
		return nil, err
	}
	return st.(driver.StmtExecContext), nil // the driver has it
}

func exec(ctx context.Context, st driver.StmtExecContext, args []driver.NamedValue) error {
	_, err := st.ExecContext(ctx, args)
	return err
}

// connect opens the mover's own connection, and again after a failure. The file knows how far rows have been moved: of a
// commit that failed nobody else can tell whether it happened.
func (m *mover) connect(ctx context.Context) error {
	if m.conn != nil {
		return nil
	}
	c, err := m.driver.Open(m.dsn)
	if err != nil {
		return err
	}
	m.conn = c
	m.shapes = make(map[string]driver.StmtExecContext)
	for _, x := range []struct {
		query string
		to    *driver.StmtExecContext
	}{{insertCallSQL, &m.call}, {insertAttemptSQL, &m.attempt}, {movedSQL, &m.moved}} {
		if *x.to, err = m.prepare(ctx, x.query); err != nil {
			return err
		}
	}
	m.at, err = m.place(ctx)
	return err
}

// place returns how far rows have been moved, as the file has it.
func (m *mover) place(ctx context.Context) (at position, err error) {
	rows, err := m.conn.(driver.QueryerContext).QueryContext(ctx, placeSQL, nil) //nolint:forcetypeassert // the driver has it
	if err != nil {
		return at, err
	}
	values := make([]driver.Value, 2)
	if err = rows.Next(values); err == nil {
		segment, _ := values[0].(int64)
		at.offset, _ = values[1].(int64)
		at.segment = uint64(segment)
	}
	return at, errors.Join(err, rows.Close())
}

func (m *mover) disconnect() {
	if m.conn == nil {
		return
	}
	for _, st := range append(slices.Collect(maps.Values(m.shapes)), m.call, m.attempt, m.moved) {
		if st, ok := st.(driver.Stmt); ok {
			_ = st.Close() // what failed has been told
		}
	}
	_ = m.conn.Close()
	m.conn, m.shapes, m.call, m.attempt, m.moved = nil, nil, nil, nil, nil
}

// close moves what is left and closes the connection.
func (m *mover) close(ctx context.Context) error {
	err := m.all(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.disconnect()
	return err
}

// reader is the database for queries: each sees every row that was acknowledged before it.
type reader struct {
	*sql.DB
	mover *mover
}

// QueryContext is sql.DB's, after everything has been moved.
func (r reader) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := r.mover.all(ctx); err != nil {
		return nil, behind(err)
	}
	return r.DB.QueryContext(ctx, query, args...)
}

// QueryRowContext is sql.DB's, after everything has been moved.
func (r reader) QueryRowContext(ctx context.Context, query string, args ...any) answer {
	if err := r.mover.all(ctx); err != nil {
		return answer{err: behind(err)}
	}
	return answer{row: r.DB.QueryRowContext(ctx, query, args...)}
}

// BeginTx is sql.DB's, after everything has been moved.
func (r reader) BeginTx(ctx context.Context, o *sql.TxOptions) (*sql.Tx, error) {
	if err := r.mover.all(ctx); err != nil {
		return nil, behind(err)
	}
	return r.DB.BeginTx(ctx, o)
}

// answer is a sql.Row, or why there is none.
type answer struct {
	row *sql.Row
	err error
}

// Scan is sql.Row's.
func (r answer) Scan(dst ...any) error {
	if r.err != nil {
		return r.err
	}
	return r.row.Scan(dst...)
}
