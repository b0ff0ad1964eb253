package meter

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// atPrice is a row at a price of its own.
func atPrice(i int, rate int64) *Record {
	r := row(i)
	r.Charge.Tariff = &Tariff{Model: "m", Tier: "default", Currency: "USD", Input: rate * perMillion, Source: "test"}
	r.Charge.Input, r.Output = rate*r.Input, 0
	return r
}

// hold takes the database as another program would, until the returned function is called.
func hold(t *testing.T, path string) func() {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(1000)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := db.ExecContext(context.WithoutCancel(t.Context()), "ROLLBACK"); err != nil {
			t.Error(err)
		}
		_ = db.Close()
	}
}

// verified counts the rows of a ledger, all of whose amounts follow from their tariffs.
func verified(t testing.TB, l *Ledger) int64 {
	t.Helper()
	v, err := l.Verify(context.Background(), time.Time{}, time.Time{})
	if err != nil || v.Wrong != 0 {
		t.Fatalf("%+v %v", v, err)
	}
	return v.Calls
}

// While another program has the database, however long, the journal alone takes every row, the first at its price too: no
// call is refused, and a kill loses nothing.
func TestNewPricesNeedNoDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := idle(t, path, segmentSize)
	for i := range 3 {
		if err := l.Append(t.Context(), atPrice(i, 1)); err != nil {
			t.Fatal(err)
		}
	}
	l.move()
	release := hold(t, path)
	for i := range 30 {
		if err := l.Append(t.Context(), atPrice(10+i, int64(1+i%5))); err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			l.move()
			l.heal()
		}
		if err := l.Healthy(); err != nil {
			t.Fatal(err)
		}
	}
	copied := crash(t, path)
	release()
	l.move()
	if got := verified(t, l); got != 33 || l.Lost() != 0 || l.waits.Load() {
		t.Errorf("%d rows, %d lost", got, l.Lost())
	}
	if err := l.release(); err != nil {
		t.Fatal(err)
	}
	l = idle(t, copied, segmentSize)
	defer func() { _ = l.release() }()
	if got := verified(t, l); got != 33 || len(l.prices) != 5 {
		t.Errorf("after the kill: %d rows, %d tariffs", got, len(l.prices))
	}
}

// A tariff that could not be written keeps its id, and is written again when there is room.
func TestTariffThatWasNotWritten(t *testing.T) {
	l := open(t, nil)
	l.journal.bound = 0
	if err := l.Append(t.Context(), atPrice(1, 7)); err == nil {
		t.Fatal("a full journal took a row")
	}
	l.journal.bound = journalBound
	l.heal()
	for i := range 2 {
		if err := l.Append(t.Context(), atPrice(2+i, 7)); err != nil {
			t.Fatal(err)
		}
	}
	if got := verified(t, l); got != 2 || len(l.prices) != 1 {
		t.Errorf("%d rows, %d tariffs", got, len(l.prices))
	}
}

// Whatever the order of new prices, counted refusals, moves and kills: every row has its tariff, and every count that
// had been written is there, once.
func TestCrashesKeepTariffsAndCounts(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		path := filepath.Join(t.TempDir(), "ledger.db")
		l := idle(t, path, 2000)
		rows, refusals, unwritten := int64(0), int64(0), int64(0)
		for step := range rapid.IntRange(2, 7).Draw(r, "steps") {
			switch rapid.SampledFrom([]string{"append", "refuse", "write", "move", "kill"}).Draw(r, "step") {
			case "append":
				for range rapid.IntRange(1, 10).Draw(r, "rows") {
					if err := l.Append(context.Background(), atPrice(int(rows), rapid.Int64Range(1, 4).Draw(r, "price"))); err != nil {
						r.Fatal(err)
					}
					rows++
				}
			case "refuse":
				for i := range rapid.IntRange(1, 10).Draw(r, "refusals") { // unauthenticated ones have no rows of their own
					err := l.Append(context.Background(), &Record{
						RequestID: fmt.Sprint("u", step, "-", i), API: "openai", Reason: "unknown_key", Outcome: OutcomeRefused, Arrived: time.Now(), Mode: ModeOnDemand,
					})
					if err != nil {
						r.Fatal(err)
					}
					unwritten++
				}
			case "write":
				l.flushRefusals(time.Now(), false)
				refusals, unwritten = refusals+unwritten, 0
			case "move":
				l.move()
			default:
				next := crash(t, path)
				_ = l.release()
				path, unwritten = next, 0
				l = idle(t, path, 2000)
			}
		}
		l.flushRefusals(time.Now(), true)
		if got := verified(t, l); got != rows+refusals+unwritten || l.Lost() != 0 {
			r.Fatalf("%d calls, want %d and %d; %d lost", got, rows, refusals+unwritten, l.Lost())
		}
		if err := l.release(); err != nil {
			r.Fatal(err)
		}
	})
}

// The counts of a kind and minute are one row, however often they were written.
func TestCountsOfAMinuteAreOneRow(t *testing.T) {
	l := idle(t, filepath.Join(t.TempDir(), "ledger.db"), segmentSize)
	defer func() { _ = l.release() }()
	at := time.Now().Truncate(time.Minute)
	for i := range 50 {
		err := l.Append(t.Context(), &Record{
			RequestID: fmt.Sprint("u", i), API: "openai", Reason: "unknown_key", Outcome: OutcomeRefused, Arrived: at, Mode: ModeOnDemand, Estimate: 2, MaxTokens: 3,
		})
		if err != nil {
			t.Fatal(err)
		}
		l.flushRefusals(at.Add(time.Duration(i)*time.Second), false)
		if i%7 == 0 {
			l.move()
		}
	}
	e, err := l.Explain(t.Context(), "u0")
	if got := ids(t, l); err != nil || len(got) != 1 || e.Count != 50 || e.Estimate != 100 || e.MaxTokens != 150 {
		t.Errorf("%v %+v %v", got, e, err)
	}
}

// What one second writes of counts is bounded; what is left comes with the next.
func TestCountsOfASecondAreBounded(t *testing.T) {
	l := idle(t, filepath.Join(t.TempDir(), "ledger.db"), segmentSize)
	defer func() { _ = l.release() }()
	const kinds = maxTallies + 100
	at := time.Now()
	for i := range kinds {
		err := l.Append(t.Context(), &Record{RequestID: fmt.Sprint("u", i), API: fmt.Sprint("api", i), Outcome: OutcomeRefused, Arrived: at, Mode: ModeOnDemand})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{maxTallies, kinds} {
		l.flushRefusals(at, false)
		if got := ids(t, l); len(got) != want {
			t.Errorf("%d rows, want %d", len(got), want)
		}
	}
}

// The journal of the version before, which had rows alone, is read.
func TestOlderJournal(t *testing.T) {
	path, _ := killed(t, 10, func(b []byte) []byte {
		_, n, err := record(b[len(segmentMark):]) // the tariff, which that version kept elsewhere
		if err != nil {
			t.Fatal(err)
		}
		return append([]byte(segmentProduct+"\x01"), b[len(segmentMark)+n:]...)
	})
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `INSERT INTO tariffs VALUES (1, 'm', 'default', 'USD', 1000000, 0, 0, 0, '', '')`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := OpenLedger(t.Context(), LedgerOptions{Path: path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if got := ids(t, l); len(got) != 10 || l.Lost() != 0 {
		t.Errorf("%d rows, %d lost", len(got), l.Lost())
	}
}

// Rows whose tariff was in a damaged part of the journal keep their amounts.
func TestRowsOfALostTariff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := idle(t, path, 200) // the tariff, and a row, alone in the first segment
	for i := range 5 {
		if err := l.Append(t.Context(), row(i)); err != nil {
			t.Fatal(err)
		}
	}
	next := crash(t, path)
	_ = l.release()
	name := next + ".rows-00000001"
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(segmentMark)+recordHead+4] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	l = idle(t, next, segmentSize)
	defer func() { _ = l.release() }()
	e, err := l.Explain(t.Context(), "r4")
	if err != nil || e.Charge == nil || e.Charge.Total != 4 || e.Charge.Model != "" || l.Lost() != 0 {
		t.Errorf("%+v %v, %d lost", e, err, l.Lost())
	}
}
