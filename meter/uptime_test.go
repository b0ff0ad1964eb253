package meter

import (
	"path/filepath"
	"testing"
	"time"
)

// A server notes when it runs, whoever else opens the ledger notes nothing, and a time grows by what is noted later.
func TestUptimes(t *testing.T) {
	o := LedgerOptions{Path: filepath.Join(t.TempDir(), "ledger.db"), fast: true, Uptimes: true}
	up := func(l *Ledger, since, until time.Time) *Uptimes {
		t.Helper()
		p, err := l.Demand(t.Context(), DemandQuery{Since: since, Until: until})
		if err != nil || p.Up == nil {
			t.Fatalf("%+v %v", p, err)
		}
		return p.Up
	}
	before := time.Now().UnixNano()
	l, err := OpenLedger(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	u := up(l, time.Time{}, time.Time{})
	if len(u.Times) != 1 || u.Known != 0 || u.Times[0].Since < before || u.Times[0].Until != u.Times[0].Since {
		t.Errorf("%+v", u)
	}
	began := u.Times[0].Since
	l.attends(1, time.Unix(0, began+int64(time.Hour)))
	l.attends(1, time.Unix(0, began)) // a clock that was put back takes nothing away
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	o.Uptimes = false
	if l, err = OpenLedger(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	if u := up(l, time.Time{}, time.Time{}); len(u.Times) != 1 || u.Times[0] != (Uptime{began, began + int64(time.Hour)}) {
		t.Errorf("%+v", u)
	}
	at := func(d time.Duration) time.Time { return time.Unix(0, began).Add(d) }
	for _, c := range []struct {
		since, until time.Duration
		n            int
	}{{-time.Hour, 0, 0}, {-time.Hour, time.Minute, 1}, {59 * time.Minute, 2 * time.Hour, 1}, {61 * time.Minute, 2 * time.Hour, 0}} {
		if u := up(l, at(c.since), at(c.until)); len(u.Times) != c.n {
			t.Errorf("from %v to %v: %+v", c.since, c.until, u.Times)
		}
	}
	// Calls from before up-times were noted say from when on they are.
	r := row(0)
	r.Arrived = at(-time.Hour)
	if err := l.Append(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	l.move()
	if u := up(l, time.Time{}, time.Time{}); u.Known != began {
		t.Errorf("known from %d on, want %d", u.Known, began)
	}
}

// A ledger of a server that noted nothing says so.
func TestNoUptimes(t *testing.T) {
	p, err := open(t, nil).Demand(t.Context(), DemandQuery{})
	if err != nil || p.Up == nil || len(p.Up.Times) != 0 || p.Up.Known != 1<<63-1 {
		t.Errorf("%+v %v", p, err)
	}
}
