package accrual

import (
	"context"
	"log/slog"
	"math"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"forebay/meter"
)

func ledgerOptions(dir string) meter.LedgerOptions {
	return meter.LedgerOptions{Path: filepath.Join(dir, "ledger.db"), Log: slog.New(slog.DiscardHandler)}
}

// openLedger opens the ledger of a directory.
func openLedger(t testing.TB, dir string) *meter.Ledger {
	t.Helper()
	l, err := meter.OpenLedger(t.Context(), ledgerOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t
}

func usd(nano int64) Rate { return Rate{Known: true, Nano: nano, Currency: "USD"} }
func eur(nano int64) Rate { return Rate{Known: true, Nano: nano, Currency: "EUR"} }

// halfEven rounds a rational number that is not negative.
func halfEven(r *big.Rat) *big.Int {
	q, rest := new(big.Int).QuoRem(r.Num(), r.Denom(), new(big.Int))
	switch c := rest.Lsh(rest, 1).Cmp(r.Denom()); {
	case c > 0, c == 0 && q.Bit(0) == 1:
		q.Add(q, big.NewInt(1))
	}
	return q
}

// Worked by hand: two units at 20.50 USD from 10:20:30 to 12:00:10 are 39 minutes and a half, an hour and ten seconds.
func TestPartsOfHours(t *testing.T) {
	b := NewBook(openLedger(t, t.TempDir()))
	p := &Purchase{
		ID: "p", Name: "titan", Account: "a", Team: "search", Model: "m", Units: 2, Began: at("2026-01-01T10:20:30.9Z"), Ended: at("2026-01-01T12:00:10.1Z"),
		Prices: []Price{{Charge: usd(20_500_000_000), Date: "2024-01-01", Source: "a page"}}, Size: Size{Input: 1000, Output: 100, Basis: "given"},
	}
	if err := b.Post(t.Context(), p, at("2026-01-01T12:00:10Z")); err != nil {
		t.Fatal(err)
	}
	list, more, err := b.Postings(t.Context(), &meter.UsageQuery{})
	if err != nil || more {
		t.Fatal(err)
	}
	want := []struct {
		kind, at, until string
		charge          int64
	}{
		{KindBegin, "2026-01-01T10:20:30Z", "", 0},
		{KindHour, "2026-01-01T10:20:30Z", "2026-01-01T11:00:00Z", 26_991_666_667}, // 41 x 2370/3600 = 26.991666666666...
		{KindHour, "2026-01-01T11:00:00Z", "2026-01-01T12:00:00Z", 41_000_000_000},
		{KindHour, "2026-01-01T12:00:00Z", "2026-01-01T12:00:10Z", 113_888_889},
		{KindEnd, "2026-01-01T12:00:10Z", "", 0},
	}
	if len(list) != len(want) {
		t.Fatalf("%d postings: %+v", len(list), list)
	}
	for i, w := range want {
		p := &list[i]
		if p.Kind != w.kind || !p.At.Equal(at(w.at)) || w.until != "" && !p.Until.Equal(at(w.until)) || p.Charge.Nano != w.charge || p.Charge.Known != (w.kind == KindHour) {
			t.Errorf("%d: %s %v %v %v, want %+v", i, p.Kind, p.At, p.Until, p.Charge, w)
		}
		if p.Cost.Known {
			t.Errorf("%d: a cost that nobody named is %v", i, p.Cost)
		}
	}
	if v, err := b.Verify(t.Context(), time.Time{}, time.Time{}); err != nil || v.Wrong != 0 || v.Hours != 3 || v.Charges["USD"] != 68_105_555_556 || len(v.Costs) != 0 {
		t.Errorf("%+v %v", v, err)
	}
}

// A clock that goes back over an hour posts nothing until it has caught up, and a purchase that is deleted meanwhile ends
// where it has been posted.
func TestClockGoesBack(t *testing.T) {
	b := NewBook(openLedger(t, t.TempDir()))
	p := &Purchase{ID: "p", Account: "a", Model: "m", Units: 1, Began: at("2026-01-01T10:00:00Z"), Prices: []Price{{Charge: usd(3_600_000_000)}}}
	total := func(now string) int64 {
		t.Helper()
		if err := b.Post(t.Context(), p, at(now)); err != nil {
			t.Fatal(err)
		}
		v, err := b.Verify(t.Context(), time.Time{}, time.Time{})
		if err != nil || v.Wrong != 0 {
			t.Fatalf("%+v %v", v, err)
		}
		return v.Charges["USD"] / 1_000_000 // seconds
	}
	for _, x := range []struct {
		now  string
		want int64
	}{
		{"2026-01-01T09:59:59Z", 0}, // before it begins
		{"2026-01-01T12:30:00Z", 7200},
		{"2026-01-01T10:30:00Z", 7200},
		{"2026-01-01T11:59:59Z", 7200},
		{"2026-01-01T12:59:59Z", 7200},
		{"2026-01-01T13:00:00Z", 3 * 3600},
		{"2026-01-01T11:15:00Z", 3 * 3600},
	} {
		if got := total(x.now); got != x.want {
			t.Errorf("at %s %d seconds are posted, want %d", x.now, got, x.want)
		}
	}
	p.Ended = at("2026-01-01T11:20:00Z")
	for _, now := range []string{"2026-01-01T11:20:00Z", "2026-01-01T10:00:00Z", "2026-01-02T00:00:00Z"} {
		if got := total(now); got != 80*60 { // what the clock was ahead of is given back
			t.Errorf("%d seconds after the deletion, at %s", got, now)
		}
		b = NewBook(b.ledger)
	}
	list, _, err := b.Postings(t.Context(), &meter.UsageQuery{})
	var told []string
	var sum int64
	for _, x := range list {
		told = append(told, x.Kind+" "+x.At.Format("15:04"))
		sum += x.Charge.Nano / 1_000_000
	}
	if want := "begin 10:00, hour 10:00, hour 11:00, end 11:20, refund 11:20, hour 12:00, refund 12:00"; err != nil || strings.Join(told, ", ") != want || sum != 80*60 {
		t.Errorf("%s, %d seconds, %v; want %s", strings.Join(told, ", "), sum, err, want)
	}
	rows, err := b.Usage(t.Context(), &meter.UsageQuery{By: []string{"hour"}})
	if err != nil || len(rows) != 2 || rows[0].UnitSeconds != 3600 || rows[1].UnitSeconds != 1200 || rows[1].Charge != 1200*1_000_000 {
		t.Errorf("%+v %v", rows, err)
	}
}

// Prices and costs that change cut hours and are postings; what is not known is posted as unknown until it is.
func TestPriceChanges(t *testing.T) {
	b := NewBook(openLedger(t, t.TempDir()))
	p := &Purchase{
		ID: "p", Account: "a", Model: "m", Units: 1, Term: "OneMonth", Began: at("2026-01-01T00:00:00Z"),
		Prices: []Price{{Since: at("2026-01-10T06:30:00Z"), Charge: usd(20), Date: "d2"}, {Since: at("2026-02-01T00:00:00Z"), Charge: usd(10), Date: "d3"}},
		Terms:  []time.Time{at("2026-02-01T00:00:00Z")},
	}
	for _, x := range []struct {
		now    string
		change func()
	}{
		{"2026-01-01T00:00:00Z", func() {}},
		{"2026-01-20T00:30:00Z", func() { p.Cost = eur(1) }},
		{"2026-02-02T00:00:00Z", func() {}}, // nobody has said whether there is another term
		{"2026-02-02T00:00:00Z", func() { p.Terms = append(p.Terms, at("2026-03-01T00:00:00Z")) }},
	} {
		if err := b.Post(t.Context(), p, at(x.now)); err != nil {
			t.Fatal(err)
		}
		x.change()
	}
	if v, err := b.Verify(t.Context(), time.Time{}, time.Time{}); err != nil || v.Wrong != 0 || v.Hours != 31*24+1 { // one is in two parts
		t.Errorf("%+v %v", v, err)
	}
	if err := b.Post(t.Context(), p, at("2026-02-02T00:00:00Z")); err != nil {
		t.Fatal(err)
	}
	list, _, err := b.Postings(t.Context(), &meter.UsageQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range list {
		if p := &list[i]; p.Kind != KindHour {
			got = append(got, p.Kind+" "+text(p.At)+" until "+text(p.Expires)+": "+rateText(p.ChargeRate)+" "+rateText(p.CostRate)+" "+p.Date)
		}
	}
	want := []string{
		"begin 2026-01-01T00:00:00Z until 2026-02-01T00:00:00Z: unknown unknown ", "price 2026-01-10T06:30:00Z until 2026-02-01T00:00:00Z: 20 unknown d2",
		"price 2026-01-20T00:00:00Z until 2026-02-01T00:00:00Z: 20 1 d2", "renewal 2026-02-01T00:00:00Z until 2026-03-01T00:00:00Z: 10 1 d3",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want\n%q", got, want)
	}
	if v, err := b.Verify(t.Context(), time.Time{}, time.Time{}); err != nil || v.Wrong != 0 || v.Hours != 32*24+1 {
		t.Errorf("%+v %v", v, err)
	}
}

func rateText(r Rate) string {
	if !r.Known {
		return "unknown"
	}
	return big.NewInt(r.Nano).String()
}

// A new name or owner is posted, and holds from the next hour; what is beyond the range of money is not known.
func TestChangesAndBounds(t *testing.T) {
	b := NewBook(openLedger(t, t.TempDir()))
	p := &Purchase{ID: "p", Name: "old", Account: "a", Team: "one", Model: "m", Units: 1 << 62, Began: at("2026-01-01T00:00:00Z"), Prices: []Price{{Charge: usd(1 << 62)}}}
	post := func(now string) {
		t.Helper()
		if err := b.Post(t.Context(), p, at(now)); err != nil {
			t.Fatal(err)
		}
	}
	post("2026-01-01T01:00:00Z")
	p.Name, p.Team, p.Units = "new", "two", 1
	post("2026-01-01T02:00:00Z")
	list, _, err := b.Postings(t.Context(), &meter.UsageQuery{})
	if err != nil || len(list) != 4 || list[1].Charge.Known || list[2].Kind != KindChange || list[2].Name != "new" || list[3].Team != "two" || list[3].Charge.Nano != 1<<62 {
		t.Errorf("%+v %v", list, err)
	}
	rows, err := b.Usage(t.Context(), &meter.UsageQuery{By: []string{"team"}})
	if err != nil || len(rows) != 2 || rows[0].Unpriced == 0 || rows[0].Charge != 0 || rows[1].Charge != 1<<62 || rows[1].Unpriced != 0 || rows[1].Unmeasured != 3600 {
		t.Errorf("%+v %v", rows, err)
	}
	if v, err := b.Verify(t.Context(), time.Time{}, time.Time{}); err != nil || v.Wrong != 0 {
		t.Errorf("%+v %v", v, err)
	}
}

// Totals beyond the range of money are told, and nothing wraps round.
func TestTotalsOutOfRange(t *testing.T) {
	b := NewBook(openLedger(t, t.TempDir()))
	p := &Purchase{ID: "p", Account: "a", Model: "m", Units: 1, Began: at("2026-01-01T00:00:00Z"), Prices: []Price{{Charge: usd(1 << 62)}}}
	if err := b.Post(t.Context(), p, at("2026-01-01T03:00:00Z")); err != nil {
		t.Fatal(err)
	}
	if v, err := b.Verify(t.Context(), time.Time{}, time.Time{}); err != nil || v.Wrong != 2 || v.Charges["USD"] != 1<<62 {
		t.Errorf("%+v %v", v, err)
	}
	if rows, err := b.Usage(t.Context(), &meter.UsageQuery{}); err != nil || len(rows) != 1 || rows[0].Charge != math.MaxInt64 {
		t.Errorf("%+v %v", rows, err)
	}
}

// Several that post at once, each with what it last knew, post everything once.
func TestManyPostAtOnce(t *testing.T) {
	l := openLedger(t, t.TempDir())
	p, end := fiveMonths()
	var wg sync.WaitGroup
	for i := range 4 {
		b := NewBook(l)
		wg.Go(func() {
			for now := p.Began.Add(time.Duration(i) * time.Hour); now.Before(end); now = now.Add(97 * time.Hour) {
				if err := b.Post(context.Background(), p, now); err != nil {
					t.Error(err)
				}
			}
			if err := b.Post(context.Background(), p, end); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if v, err := NewBook(l).Verify(t.Context(), time.Time{}, time.Time{}); err != nil || v.Wrong != 0 || v.Hours != 151*24+4 {
		t.Errorf("%+v %v", v, err)
	}
}
