// Package bulk writes many small rows into SQLite at little cost: it speaks to the library below its database/sql driver.
//
// The driver opens every connection for use by several threads at once, so that each value that is bound takes and leaves a
// lock; it copies each text twice, unbinds every value after each row, and starts a goroutine to watch a context. Together
// that is a third of what a row costs. A Conn is used by one goroutine at a time, and texts are bound where they lie.
package bulk

import (
	"fmt"
	"strings"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Error is what SQLite says of a failure.
type Error struct {
	Code int // extended; its low byte is the primary code
	Text string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Text, e.Code) }

// Constraint reports whether a row was refused by a rule of its table. Its transaction goes on.
func (e *Error) Constraint() bool { return e.Code&0xff == sqlite3.SQLITE_CONSTRAINT }

// Conn is a connection to a database file. Its methods and those of its statements must not be called at the same time.
type Conn struct {
	tls  *libc.TLS
	db   uintptr
	room uintptr // of the buffer
	buf  []byte
}

// Open opens a database that is there, and runs pragmas on the connection. Close must be called.
func Open(path string, pragmas ...string) (*Conn, error) {
	c := &Conn{tls: libc.NewTLS()}
	name, err := libc.CString(path)
	if err != nil {
		c.tls.Close()
		return nil, err
	}
	defer libc.Xfree(c.tls, name)
	out := c.tls.Alloc(int(unsafe.Sizeof(c.db)))
	code := sqlite3.Xsqlite3_open_v2(c.tls, name, out, sqlite3.SQLITE_OPEN_READWRITE|sqlite3.SQLITE_OPEN_NOMUTEX|sqlite3.SQLITE_OPEN_EXRESCODE, 0)
	c.db = pointer(out)
	c.tls.Free(int(unsafe.Sizeof(c.db)))
	if err := c.check(code); err != nil { // there is a handle even so, to be closed
		_ = c.Close()
		return nil, err
	}
	for _, p := range pragmas {
		if err := c.Exec("PRAGMA " + p); err != nil {
			_ = c.Close()
			return nil, fmt.Errorf("PRAGMA %s: %w", p, err)
		}
	}
	return c, nil
}

// pointer reads a C pointer that the library has written.
func pointer(at uintptr) uintptr {
	b := libc.GoBytes(at, int(unsafe.Sizeof(at)))
	return *(*uintptr)(unsafe.Pointer(&b[0])) //nolint:gosec // as many bytes as it has
}

func (c *Conn) check(code int32) error {
	if code == sqlite3.SQLITE_OK {
		return nil
	}
	e := &Error{Code: int(code), Text: "out of memory"}
	if c.db != 0 {
		e.Text = libc.GoString(sqlite3.Xsqlite3_errmsg(c.tls, c.db))
	}
	return e
}

// Exec runs a statement whose rows, if it has any, nobody wants.
func (c *Conn) Exec(query string) error {
	text, err := libc.CString(query)
	if err != nil {
		return err
	}
	defer libc.Xfree(c.tls, text)
	return c.check(sqlite3.Xsqlite3_exec(c.tls, c.db, text, 0, 0, 0))
}

// InTransaction reports whether a transaction is open. Some failures, such as a full disk, have ended it already.
func (c *Conn) InTransaction() bool { return sqlite3.Xsqlite3_get_autocommit(c.tls, c.db) == 0 }

// LastInsertID returns the id of the row that was inserted last.
func (c *Conn) LastInsertID() int64 { return sqlite3.Xsqlite3_last_insert_rowid(c.tls, c.db) }

// Buffer returns n bytes from which texts can be bound. They are the connection's, and valid until the next call or Close.
func (c *Conn) Buffer(n int) []byte {
	if n > len(c.buf) {
		libc.Xfree(c.tls, c.room)
		if c.room = libc.Xmalloc(c.tls, libc.Tsize_t(n)); c.room == 0 {
			panic("out of memory") // as Go's own allocator does
		}
		c.buf = libc.GoBytes(c.room, n)
	}
	return c.buf[:n]
}

// Close closes the connection. Its statements must be closed before.
func (c *Conn) Close() error {
	err := c.check(sqlite3.Xsqlite3_close_v2(c.tls, c.db))
	libc.Xfree(c.tls, c.room)
	c.room, c.buf = 0, nil
	c.tls.Close()
	return err
}

// Stmt is a statement that is run many times. What is not bound is NULL at first, and afterwards what it was.
type Stmt struct {
	c    *Conn
	stmt uintptr
}

// Prepare compiles one statement. Close must be called.
func (c *Conn) Prepare(query string) (*Stmt, error) {
	text, err := libc.CString(strings.TrimSpace(query))
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, text)
	s := &Stmt{c: c}
	out := c.tls.Alloc(int(unsafe.Sizeof(s.stmt)))
	defer c.tls.Free(int(unsafe.Sizeof(s.stmt)))
	if err := c.check(sqlite3.Xsqlite3_prepare_v3(c.tls, c.db, text, -1, sqlite3.SQLITE_PREPARE_PERSISTENT, out, 0)); err != nil {
		return nil, err
	}
	s.stmt = pointer(out)
	return s, nil
}

// Null binds NULL to argument i, counted from 1. Arguments are bound between runs.
func (s *Stmt) Null(i int) error {
	return s.c.check(sqlite3.Xsqlite3_bind_null(s.c.tls, s.stmt, int32(i)))
}

// Int binds a number.
func (s *Stmt) Int(i int, v int64) error {
	return s.c.check(sqlite3.Xsqlite3_bind_int64(s.c.tls, s.stmt, int32(i), v))
}

// Text binds a text that lies in the connection's buffer, where it must be left alone until the statement has been run.
func (s *Stmt) Text(i int, text []byte) error {
	at := s.c.room // of an empty one, because no address would be NULL
	if len(text) > 0 {
		at = uintptr(unsafe.Pointer(&text[0])) //nolint:gosec // not Go's memory, see Buffer: it lies where it is
	}
	return s.c.check(sqlite3.Xsqlite3_bind_text(s.c.tls, s.stmt, int32(i), at, int32(len(text)), sqlite3.SQLITE_STATIC))
}

// Run runs the statement.
func (s *Stmt) Run() error {
	var err error
	if code := sqlite3.Xsqlite3_step(s.c.tls, s.stmt); code != sqlite3.SQLITE_DONE {
		err = s.c.check(code)
	}
	sqlite3.Xsqlite3_reset(s.c.tls, s.stmt) // repeats the failure of the run
	return err
}

// Ints runs a query for one row of numbers and reads them. found is false when there is none.
func (s *Stmt) Ints(to ...*int64) (found bool, err error) {
	defer sqlite3.Xsqlite3_reset(s.c.tls, s.stmt)
	switch code := sqlite3.Xsqlite3_step(s.c.tls, s.stmt); code {
	case sqlite3.SQLITE_ROW:
		for i, p := range to {
			*p = sqlite3.Xsqlite3_column_int64(s.c.tls, s.stmt, int32(i))
		}
		return true, nil
	case sqlite3.SQLITE_DONE:
		return false, nil
	default:
		return false, s.c.check(code)
	}
}

// Close frees the statement.
func (s *Stmt) Close() { sqlite3.Xsqlite3_finalize(s.c.tls, s.stmt) }
