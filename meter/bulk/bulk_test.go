package bulk

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // reads what was written
)

func open(t *testing.T, pragmas ...string) (*Conn, *sql.DB) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a b#%?.db") // none of which means anything in a path
	db, err := sql.Open("sqlite", "file:"+strings.NewReplacer("%", "%25", "#", "%23", "?", "%3f", " ", "%20").Replace(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, s TEXT UNIQUE) STRICT`); err != nil {
		t.Fatal(err)
	}
	c, err := Open(path, pragmas...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, db
}

func prepare(t *testing.T, c *Conn, query string) *Stmt {
	t.Helper()
	s, err := c.Prepare(query)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// What is bound arrives as it is: texts of any length and bytes, numbers at their limits, NULL and the empty text apart.
func TestRows(t *testing.T) {
	c, db := open(t, "journal_mode(WAL)")
	ins := prepare(t, c, `INSERT INTO t (n, s) VALUES (?, ?)`)
	texts := []string{"", "x", "a\x00b", "grüße", strings.Repeat("long ", 5000)}
	numbers := []int64{0, -1, 1<<63 - 1, -1 << 63, 42}
	buf := c.Buffer(len(strings.Join(texts, "")))
	if err := c.Exec("BEGIN"); err != nil {
		t.Fatal(err)
	}
	for i, s := range texts {
		n := copy(buf, s)
		if err := errors.Join(ins.Int(1, numbers[i]), ins.Text(2, buf[:n]), ins.Run()); err != nil {
			t.Fatal(err)
		}
		if id := c.LastInsertID(); id != int64(i+1) {
			t.Errorf("id %d", id)
		}
		buf = buf[n:]
	}
	if err := errors.Join(ins.Null(1), ins.Null(2), ins.Run()); err != nil || !c.InTransaction() {
		t.Error(err)
	}
	if err := c.Exec("COMMIT"); err != nil || c.InTransaction() {
		t.Error(err)
	}
	for i, s := range texts {
		var n int64
		var got string
		if err := db.QueryRowContext(t.Context(), `SELECT n, s FROM t WHERE id = ?`, i+1).Scan(&n, &got); err != nil || n != numbers[i] || got != s {
			t.Errorf("row %d: %d %.20q %v", i, n, got, err)
		}
	}
	var nulls int
	if err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM t WHERE n IS NULL AND s IS NULL`).Scan(&nulls); err != nil || nulls != 1 {
		t.Errorf("%d rows of NULL, %v", nulls, err)
	}
}

// A row that breaks a rule is told apart from other failures, and leaves its transaction and its statement usable.
func TestConstraint(t *testing.T) {
	c, db := open(t)
	ins := prepare(t, c, `INSERT INTO t (n, s) VALUES (?, 'same')`)
	if err := errors.Join(c.Exec("BEGIN"), ins.Int(1, 1), ins.Run()); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if err := ins.Run(); !errors.As(err, &e) || !e.Constraint() || !strings.Contains(e.Text, "t.s") {
		t.Errorf("%v", err)
	}
	if err := c.Exec("INSERT INTO none VALUES (1)"); !errors.As(err, &e) || e.Constraint() || !strings.Contains(e.Text, "no such table") {
		t.Errorf("%v", err)
	}
	if err := c.Exec("COMMIT"); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM t`).Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

func TestInts(t *testing.T) {
	c, _ := open(t)
	var n, id int64
	get := prepare(t, c, `SELECT n, id FROM t WHERE id = 7`)
	if found, err := get.Ints(&n, &id); found || err != nil {
		t.Errorf("%v %v", found, err)
	}
	if err := c.Exec("INSERT INTO t VALUES (7, 8, NULL)"); err != nil {
		t.Fatal(err)
	}
	if found, err := get.Ints(&n, &id); !found || err != nil || n != 8 || id != 7 {
		t.Errorf("%v %v %d %d", found, err, n, id)
	}
}

func TestOpenFails(t *testing.T) {
	var e *Error
	if _, err := Open(filepath.Join(t.TempDir(), "none.db")); !errors.As(err, &e) {
		t.Errorf("%v", err)
	}
	if c, _ := open(t); c != nil {
		if _, err := c.Prepare("SELEC 1"); !errors.As(err, &e) || !strings.Contains(e.Text, "syntax") {
			t.Errorf("%v", err)
		}
	}
}

// The buffer of a batch grows, and keeps nothing that was bound from an earlier one.
func TestBuffer(t *testing.T) {
	c, _ := open(t)
	a := c.Buffer(10)
	copy(a, "0123456789")
	if b := c.Buffer(5); string(b) != "01234" || len(c.Buffer(1<<20)) != 1<<20 {
		t.Errorf("%q", b)
	}
}
