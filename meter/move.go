package meter

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"forebay/meter/bulk"
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
// it has got is written in the same transaction as the rows, so that none is moved twice.
type mover struct {
	journal *journal
	open    func() (*bulk.Conn, error)
	lose    func(error) // is told of a row that the tables do not take

	done atomic.Int64 // bytes moved by this program

	mu      sync.Mutex // held over a move
	at      position
	size    int // of a batch, which lies in the connection's buffer
	row     rowReader
	conn    *bulk.Conn            // nil when it must be opened
	shapes  map[string]*bulk.Stmt // by what statement makes of a row
	call    *bulk.Stmt            // for every other
	attempt *bulk.Stmt
	moved   *bulk.Stmt
}

// all moves everything that was appended before the call.
func (m *mover) all(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.journal.waiting(m.at) == 0 {
		return nil
	}
	err := m.connect()
	for left := m.journal.waiting(m.at); left > 0 && err == nil && ctx.Err() == nil; {
		var n int64
		n, err = m.batch()
		left -= n
	}
	if err != nil {
		m.disconnect()
		return fmt.Errorf("rows stay in the journal: %w", err)
	}
	return ctx.Err()
}

// batch moves about moveBytes in one transaction and returns how many it were.
func (m *mover) batch() (int64, error) {
	b, at, err := m.load()
	if err != nil {
		return 0, err
	}
	if err := m.conn.Exec("BEGIN IMMEDIATE"); err != nil {
		return 0, err
	}
	n, err := m.insert(b)
	if err == nil {
		at.offset += int64(n)
		err = m.note(at)
	}
	if err == nil {
		err = m.conn.Exec("COMMIT")
	}
	if err != nil {
		if m.conn.InTransaction() {
			err = errors.Join(err, m.conn.Exec("ROLLBACK"))
		}
		return 0, err
	}
	m.at = at
	m.done.Add(int64(n))
	return int64(n), m.journal.drop(at)
}

// note writes how far the rows have been moved.
func (m *mover) note(at position) error {
	if err := errors.Join(m.moved.Int(1, int64(at.segment)), m.moved.Int(2, at.offset)); err != nil {
		return err
	}
	return m.moved.Run()
}

// load reads the journal from where the mover is, at least one whole record.
func (m *mover) load() ([]byte, position, error) {
	m.size = max(m.size, moveBytes)
	for {
		buf := m.conn.Buffer(m.size)
		n, at, err := m.journal.read(m.at, buf)
		if err != nil {
			return nil, at, err
		}
		if _, size, err := record(buf[:n]); err != nil || size > 0 {
			return buf[:n], at, err
		}
		if n < len(buf) {
			return nil, at, errRow // acknowledged rows are whole
		}
		m.size *= 2
	}
}

// insert adds the rows of whole records and returns the bytes they took.
func (m *mover) insert(b []byte) (int, error) {
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
		if err := m.entry(payload); unfit(err) {
			m.lose(err)
		} else if err != nil {
			return done, err
		}
	}
}

// unfit reports whether it is the row that is at fault, which must not hold up the rows behind it.
func unfit(err error) bool {
	var e *bulk.Error
	return errors.Is(err, errRow) || errors.As(err, &e) && e.Constraint()
}

func (m *mover) insertRow(payload []byte) error {
	if err := m.row.read(payload); err != nil {
		return err
	}
	st, err := m.statement()
	if err != nil {
		return err
	}
	err = st.Run()
	if orphaned(err) {
		m.row.forgetTariffs()
		if err = m.bind(m.call, &everyArgument); err == nil {
			err = m.call.Run()
		}
	}
	if err != nil || len(m.row.tries) == 0 {
		return err
	}
	id := m.conn.LastInsertID()
	for i := 0; i < len(m.row.tries); i += attemptValues {
		if err := errors.Join(m.attempt.Int(1, id), m.attempt.Int(2, int64(i/attemptValues+1))); err != nil {
			return err
		}
		for k := range attemptValues {
			if err := m.row.tries[i+k].bind(m.attempt, k+3); err != nil {
				return err
			}
		}
		if err := m.attempt.Run(); err != nil {
			return err
		}
	}
	return nil
}

// maxShapes bounds the statements that are kept for rows of different shapes.
const maxShapes = 32

// statement returns the statement for the row that was read, with its arguments bound. Half of a row's values are
// usually NULL or 0, and binding a value costs as much as storing it, so such values stand in the
// statement itself: there is one for each shape of row that occurs.
func (m *mover) statement() (*bulk.Stmt, error) {
	var shape [numColumns]byte
	for i := range m.row.args {
		shape[i] = m.row.args[i].shape()
	}
	st, ok := m.shapes[string(shape[:])]
	switch {
	case ok:
	case len(m.shapes) < maxShapes:
		var err error
		if st, err = m.conn.Prepare(insertShapeSQL(shape[:])); err != nil {
			return nil, err
		}
		m.shapes[string(shape[:])] = st
	default:
		st, shape = m.call, everyArgument
	}
	return st, m.bind(st, &shape)
}

// bind binds the values that are arguments in a statement of a shape.
func (m *mover) bind(st *bulk.Stmt, shape *[numColumns]byte) error {
	at := 0
	for i, c := range shape {
		if c != '?' {
			continue
		}
		at++
		if err := m.row.args[i].bind(st, at); err != nil {
			return err
		}
	}
	return nil
}

// everyArgument is the shape of insertCallSQL.
var everyArgument = [numColumns]byte(bytes.Repeat([]byte{'?'}, numColumns))

// shape is what insertShapeSQL is to make of the value.
func (v *value) shape() byte {
	switch {
	case v.kind == valueNull:
		return 'n'
	case v.kind == valueInteger && v.n == 0:
		return '0'
	default:
		return '?'
	}
}

// bind makes the value argument i of a statement.
func (v *value) bind(st *bulk.Stmt, i int) error {
	switch v.kind {
	case valueNull:
		return st.Null(i)
	case valueInteger:
		return st.Int(i, v.n)
	default:
		return st.Text(i, v.text)
	}
}

// connect opens the mover's own connection, and again after a failure. The file knows how far rows have been moved: of a
// commit that failed nobody else can tell whether it happened.
func (m *mover) connect() error {
	if m.conn != nil {
		return nil
	}
	c, err := m.open()
	if err != nil {
		return err
	}
	m.conn = c
	m.shapes = make(map[string]*bulk.Stmt)
	for _, x := range []struct {
		query string
		to    **bulk.Stmt
	}{{insertCallSQL, &m.call}, {insertAttemptSQL, &m.attempt}, {movedSQL, &m.moved}} {
		if *x.to, err = c.Prepare(x.query); err != nil {
			return err
		}
	}
	m.at, err = m.place()
	return err
}

// place returns how far rows have been moved, as the file has it.
func (m *mover) place() (at position, err error) {
	st, err := m.conn.Prepare(placeSQL)
	if err != nil {
		return at, err
	}
	defer st.Close()
	var segment int64
	_, err = st.Ints(&segment, &at.offset)
	at.segment = uint64(segment)
	return at, err
}

func (m *mover) disconnect() {
	if m.conn == nil {
		return
	}
	for _, st := range append(slices.Collect(maps.Values(m.shapes)), m.call, m.attempt, m.moved) {
		if st != nil {
			st.Close()
		}
	}
	_ = m.conn.Close() // what failed has been told
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
