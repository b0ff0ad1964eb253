package accrual

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"forebay/meter"
)

// runs posts in the background until the test ends, and returns what a restart would be told.
func runs(t *testing.T, o Options) (*Accruer, func()) {
	t.Helper()
	a := New(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	return a, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// A running server posts within a minute of an hour's end, at once when it is woken, and goes on from there after a restart.
func TestRun(t *testing.T) {
	ledger := openLedger(t, t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		b := NewBook(ledger)
		p := Purchase{ID: "p", Account: "a", Model: "m", Units: 2, Began: time.Now(), Prices: []Price{{Charge: usd(1_000_000_000)}}, Cost: eur(250_000_000), Size: Size{Input: 10, Basis: "measured"}}
		o := Options{Book: b, Log: slog.New(slog.DiscardHandler), Purchases: func(context.Context, time.Time) ([]Purchase, error) { return []Purchase{p}, nil }}
		hours := func() int64 {
			t.Helper()
			v, err := b.Verify(context.Background(), time.Time{}, time.Time{})
			if err != nil || v.Wrong != 0 {
				t.Fatalf("%+v %v", v, err)
			}
			return v.Hours
		}
		a, stop := runs(t, o)
		time.Sleep(3*time.Hour + time.Minute) // virtual
		synctest.Wait()
		if got := hours(); got != 3 {
			t.Errorf("%d hours after three", got)
		}
		f := a.Figures()
		if len(f) != 1 || f[0].Units != 2 || f[0].ChargePerHour["USD"] != 2_000_000_000 || f[0].CostPerHour["EUR"] != 500_000_000 || f[0].UnitSeconds != 7200 || f[0].IdleUnitSeconds != 7200 {
			t.Errorf("%+v", f)
		}
		stop()
		time.Sleep(48 * time.Hour)
		if got := hours(); got != 3 {
			t.Errorf("%d hours while nothing runs", got)
		}
		o.Book = NewBook(ledger)
		a, stop = runs(t, o)
		synctest.Wait()
		if got := hours(); got != 51 {
			t.Errorf("%d hours after a restart", got)
		}
		p.Ended = time.Now()
		a.Wake()
		synctest.Wait()
		if got := hours(); got != 52 { // and a minute
			t.Errorf("%d parts after the deletion", got)
		}
		if f := a.Figures(); len(f) != 1 || f[0].Units != 0 || len(f[0].ChargePerHour) != 0 {
			t.Errorf("%+v", f)
		}
		stop()
	})
}

// What cannot be posted is said once, and posted when it can be.
func TestRunWhileTheLedgerFails(t *testing.T) {
	ledger := openLedger(t, t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var broken atomic.Bool
		broken.Store(true)
		b := NewBook(ledger)
		_, stop := runs(t, Options{
			Book: b, Log: slog.New(slog.NewTextHandler(&log, nil)),
			Purchases: func(context.Context, time.Time) ([]Purchase, error) {
				if broken.Load() {
					return nil, errors.New("no purchases today")
				}
				return []Purchase{{ID: "p", Account: "a", Model: "m", Units: 1, Began: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}}, nil
			},
		})
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		broken.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		stop()
		if n := strings.Count(log.String(), "no purchases today"); n != 1 || !strings.Contains(log.String(), "posted again") {
			t.Errorf("said %d times: %s", n, log.String())
		}
		v, err := b.Verify(context.Background(), time.Time{}, time.Time{})
		if err != nil || v.Hours != 2 || len(v.Charges) != 0 {
			t.Errorf("%+v %v", v, err)
		}
	})
}

// What was used of an hour is held against what was bought, by the larger of both shares; what was not is idle, and every grouping adds
// up to the same.
func TestUsageOfReservedHours(t *testing.T) {
	ledger := openLedger(t, t.TempDir())
	b := NewBook(ledger)
	sized := Size{Input: 1000, Output: 100, Basis: "placeholder"} // a unit: 60,000 and 6,000 an hour
	for _, p := range []Purchase{
		{ID: "one", Account: "a", Team: "search", Model: "m", Units: 2, Began: at("2026-01-31T22:00:00Z"), Size: sized, Prices: []Price{{Charge: usd(10_000_000_001)}}, Cost: eur(4_000_000_000)},
		{ID: "two", Account: "a", Team: "chat", Model: "n", Units: 1, Began: at("2026-01-31T22:00:00Z"), Prices: []Price{{Charge: usd(5_000_000_000)}}},
		{ID: "other", Account: "b", Model: "m", Units: 1, Began: at("2026-01-31T22:00:00Z"), Size: sized},
	} {
		if err := b.Post(t.Context(), &p, at("2026-02-01T00:00:00Z")); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range []struct {
		at, purchase          string
		input, output, cached int64
	}{
		{"2026-01-31T22:00:00Z", "one", 30_000, 1_000, 500_000},  // a quarter of the input
		{"2026-01-31T22:59:59.999Z", "one", 30_000, 2_000, 0},    // with it half of the input, a quarter of the output
		{"2026-01-31T23:00:00Z", "one", 1_000, 24_000, 0},        // twice the output
		{"2026-01-31T23:10:00Z", "", 1_000_000, 1_000_000, 0},    // spilled: no part of it
		{"2026-01-31T23:20:00Z", "two", 5, 5, 0},                 // of unknown size
		{"2026-02-01T00:00:00Z", "one", 1_000_000, 1_000_000, 0}, // of the hour that is running
	} {
		err := ledger.Append(t.Context(), &meter.Record{
			RequestID: c.at, Account: "a", Key: "k", API: "openai", Operation: "ChatCompletions", Mode: meter.ModeProvisioned, Model: "m", Arrived: at(c.at).Add(time.Duration(i)),
			Outcome: meter.OutcomeOK, Reservation: c.purchase, Input: c.input, Output: c.output, CacheRead: c.cached, Charge: meter.Lines{Known: true},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	rows, err := b.Usage(t.Context(), &meter.UsageQuery{By: []string{"purchase", "hour", "key"}, Account: "a"})
	if err != nil || len(rows) != 4 {
		t.Fatalf("%+v %v", rows, err)
	}
	half, over, unknown := rows[0], rows[1], rows[3]
	if half.Requests != 2 || half.Input != 60_000 || half.BoughtInput != 120_000 || half.BoughtOutput != 12_000 || half.Charge != 20_000_000_002 ||
		half.Idle != 10_000_000_001 || half.IdleCost != 4_000_000_000 || half.IdleUnitSeconds != 3600 || !half.Placeholder || half.Group[2] != "" {
		t.Errorf("half used: %+v", half)
	}
	if over.Requests != 1 || over.Idle != 0 || over.IdleUnitSeconds != 0 || over.Output != 24_000 {
		t.Errorf("used twice over: %+v", over)
	}
	if unknown.Unmeasured != 3600 || unknown.Idle != 0 || unknown.Charge != 5_000_000_000 || unknown.Uncosted != 3600 || unknown.CostCurrency != "" {
		t.Errorf("of unknown size: %+v", unknown)
	}
	rome := zone(t, "Europe/Rome")
	for _, by := range [][]string{{"team"}, {"month"}, {"day", "model"}, {"account"}, {"mode"}, {"engine"}, {}} {
		rows, err := b.Usage(t.Context(), &meter.UsageQuery{By: by, Account: "a", Zone: rome})
		if err != nil {
			t.Fatal(err)
		}
		var charge, idle, cost, seconds int64
		for _, r := range rows {
			charge, idle, cost, seconds = charge+r.Charge, idle+r.Idle, cost+r.Cost, seconds+r.UnitSeconds
		}
		if charge != 50_000_000_004 || idle != 10_000_000_001 || cost != 16_000_000_000 || seconds != 6*3600 {
			t.Errorf("by %v: charge %d, idle %d, cost %d, %d seconds", by, charge, idle, cost, seconds)
		}
		if slices.Equal(by, []string{"month"}) && (len(rows) != 4 || rows[0].Group[0] != "2026-01" || rows[2].Group[0] != "2026-02") {
			t.Errorf("months of Rome, where February begins at 23:00 UTC: %+v", rows)
		}
	}
	for _, q := range []meter.UsageQuery{{Key: "k"}, {Model: "none"}, {Since: at("2026-02-01T00:00:00Z")}} {
		if rows, err := b.Usage(t.Context(), &q); err != nil || len(rows) != 0 {
			t.Errorf("%+v: %+v %v", q, rows, err)
		}
	}
}

// Verify names what was changed in the file.
func TestVerifyFindsWhatWasChanged(t *testing.T) {
	for _, c := range []struct{ change, want string }{
		{"UPDATE hours SET charge = charge + 1 WHERE at = (SELECT MIN(at) FROM hours)", "make 1000000007 nano"},
		{"UPDATE hours SET charge = NULL WHERE at = (SELECT MAX(at) FROM hours)", "the charge is unknown"},
		{"UPDATE contracts SET units = 2 WHERE kind = 'begin'", "2 units for 3600 seconds"},
		{"DELETE FROM hours WHERE at = (SELECT MIN(at) FROM hours)", "begins at 2026-01-01T00:00:00Z and is posted from 2026-01-01T01:00:00Z"},
		{"DELETE FROM hours WHERE at = (SELECT at FROM hours ORDER BY at LIMIT 1 OFFSET 1)", "posted until 2026-01-01T01:00:00Z and then from 2026-01-01T02:00:00Z"},
		{"DELETE FROM hours WHERE at = (SELECT MAX(at) FROM hours)", "ends at 2026-01-01T05:00:00Z and is posted until"},
		{"UPDATE hours SET until = until + 1000000000 WHERE at = (SELECT MIN(at) FROM hours)", "3601 seconds"},
		{"UPDATE hours SET contract = (SELECT MAX(id) FROM contracts) WHERE at = (SELECT MIN(at) FROM hours)", "posted by contract 3, and 1 held"},
		{"UPDATE contracts SET at = at + 1000000000 WHERE kind = 'begin'", "posted before its first contract"},
	} {
		l := openLedger(t, t.TempDir())
		b := NewBook(l)
		p := &Purchase{
			ID: "p", Account: "a", Model: "m", Units: 1, Began: at("2026-01-01T00:00:00Z"), Ended: at("2026-01-01T05:00:00Z"),
			Prices: []Price{{Charge: usd(1_000_000_007)}, {Since: at("2026-01-01T03:00:00Z"), Charge: usd(1)}},
		}
		if err := b.Post(t.Context(), p, at("2026-01-02T00:00:00Z")); err != nil {
			t.Fatal(err)
		}
		finds(t, l, c.change, c.want)
	}
}

// The same of what was given back.
func TestVerifyFindsWrongRefunds(t *testing.T) {
	for _, c := range []struct{ change, want string }{
		{"DELETE FROM refunds WHERE hour = (SELECT MAX(hour) FROM refunds)", "ends at 2026-01-01T02:30:00Z and is posted until"},
		{"UPDATE refunds SET charge = charge + 1 WHERE hour = (SELECT MIN(hour) FROM refunds)", "and the end makes it 500000003 nano"},
		{"UPDATE refunds SET at = at + 1000000000 WHERE hour = (SELECT MIN(hour) FROM refunds)", "ends at 2026-01-01T02:30:00Z and is posted until 2026-01-01T02:30:01Z"},
		{"DELETE FROM contracts WHERE kind = 'end'", "are given back"},
	} {
		l := openLedger(t, t.TempDir())
		b := NewBook(l)
		p := &Purchase{ID: "p", Account: "a", Model: "m", Units: 1, Began: at("2026-01-01T00:00:00Z"), Prices: []Price{{Charge: usd(1_000_000_007)}}}
		err := b.Post(t.Context(), p, at("2026-01-01T05:00:00Z"))
		p.Ended = at("2026-01-01T02:30:00Z") // by a clock that is behind that of its hours
		if err = errors.Join(err, b.Post(t.Context(), p, p.Ended)); err != nil {
			t.Fatal(err)
		}
		finds(t, l, c.change, c.want)
	}
}

// finds changes a file and fails if Verify does not say what is wrong.
func finds(t *testing.T, l Ledger, change, want string) {
	t.Helper()
	err := l.Update(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), change)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewBook(l).Verify(t.Context(), time.Time{}, time.Time{})
	if err != nil || v.Wrong == 0 || !strings.Contains(strings.Join(v.Faults, "\n"), want) {
		t.Errorf("%s: %+v %v", change, v, err)
	}
}

// What is not known is counted, and not taken for nothing.
func TestUnitsWithoutARateAreCounted(t *testing.T) {
	to := map[string]int64{}
	if unknown := addRate(to, &Rate{}, 3); unknown != 3 || len(to) != 0 {
		t.Errorf("%d units, %v", unknown, to)
	}
	if unknown := addRate(to, &Rate{Known: true, Nano: 5, Currency: "USD"}, 3); unknown != 0 || to["USD"] != 15 {
		t.Errorf("%d units, %v", unknown, to)
	}
}
