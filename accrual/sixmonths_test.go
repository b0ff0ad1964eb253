package accrual

import (
	"context"
	"errors"
	"maps"
	"math/big"
	"slices"
	"testing"
	"time"

	"forebay/catalog"
	"forebay/meter"
	"forebay/provision"
	"forebay/store"
)

// line is a line of the spreadsheet: units at a rate from one instant to another. Cells are its clock hours; where the billing
// zone's midnight is not at a full hour (UTC), it cuts cells, too.
type line struct {
	units        int64
	from, to     string
	charge, cost Rate
	midnight     int64 // second of the day (UTC) of a midnight that is not at a full hour, 0 for none
}

// sheet adds up the cells of lines: each is computed as a fraction and rounded for itself.
func sheet(lines []line) (charges, costs map[string]*big.Int, cells int64) {
	charges, costs = map[string]*big.Int{}, map[string]*big.Int{}
	add := func(to map[string]*big.Int, r Rate, units, seconds int64) {
		if !r.Known {
			return
		}
		cell := new(big.Rat).SetFrac64(units*seconds, 3600)
		cell.Mul(cell, new(big.Rat).SetInt64(r.Nano))
		if to[r.Currency] == nil {
			to[r.Currency] = new(big.Int)
		}
		to[r.Currency].Add(to[r.Currency], halfEven(cell))
	}
	for i := range lines {
		l := &lines[i]
		begin, end := at(l.from).Unix(), at(l.to).Unix()
		cell := begin
		for s := begin + 1; s <= end; s++ {
			if s%3600 != 0 && (l.midnight == 0 || s%86400 != l.midnight) && s != end {
				continue
			}
			add(charges, l.charge, l.units, s-cell)
			add(costs, l.cost, l.units, s-cell)
			cells++
			cell = s
		}
	}
	return charges, costs, cells
}

// market is what is sold, at prices that change.
type market struct {
	prices map[string]catalog.UnitPrices
}

// Offer implements provision.Models.
func (m *market) Offer(_, id string) (provision.Offer, error) {
	o := provision.Offer{Model: provision.Model{ID: id, ARN: id, Base: id}, Unit: catalog.Unit{Input: 100, Output: 10, Basis: catalog.BasisGiven}}
	if p, ok := m.prices[id]; ok {
		o.Prices = &p
	}
	return o, nil
}

// OfferTier implements provision.Models: the reserved tier is not sold.
func (m *market) OfferTier(string, string) (provision.Offer, error) {
	return provision.Offer{}, errors.ErrUnsupported
}

// Taken implements provision.Models.
func (m *market) Taken(context.Context, *store.Tx, string, string) (bool, error) { return false, nil }

// Route implements provision.Models.
func (m *market) Route(context.Context, *store.Tx, string, string) (string, error) { return "", nil }

// Gone implements provision.Models.
func (m *market) Gone(context.Context, *store.Tx, *provision.Model) (bool, error) { return false, nil }

// Quota implements provision.Models.
func (m *market) Quota(string) (int64, bool) { return 0, false }

// Room implements provision.Pools.
func (m *market) Room(*provision.Ask, []provision.Throughput) provision.Room {
	return provision.Room{Units: 1000}
}

func (m *market) price(model, currency string, none, month, halfYear int64) func() {
	return func() {
		m.prices[model] = catalog.UnitPrices{Currency: currency, None: &none, OneMonth: &month, SixMonths: &halfYear, Source: "test", Date: "2026-01-01"}
	}
}

// sold is the store of what was bought.
type sold struct{ *store.Store }

func (s sold) View(ctx context.Context, f func(*store.Tx) error) error { return s.Update(ctx, f) }

// site is a server that lasts, with processes that come and go, a wall clock that is not always right and
// two files.
type site struct {
	t      *testing.T
	dir    string
	market market
	zones  map[string]*time.Location // by account
	costs  map[string]Rate           // by model

	truth time.Time     // what time it is
	skew  time.Duration // of the wall clock

	store  *store.Store
	ledger *meter.Ledger
	shop   *provision.Book
	book   *Book
	accrue *Accruer
}

func (s *site) now() time.Time { return s.truth.Add(s.skew) }

func (s *site) start() {
	s.t.Helper()
	db, err := store.Open(s.t.Context(), s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	s.store, s.ledger = db, openLedger(s.t, s.dir)
	s.shop = provision.New(provision.Options{Store: sold{db}, Models: &s.market, Pools: &s.market, Region: "us-east-1", Now: s.now})
	s.book = NewBook(s.ledger)
	s.accrue = New(Options{
		Book: s.book, Log: ledgerOptions("").Log, Now: s.now,
		Purchases: func(ctx context.Context, since time.Time) ([]Purchase, error) {
			list, err := s.shop.Purchases(ctx, since)
			out := make([]Purchase, 0, len(list))
			for i := range list {
				out = append(out, Provisioned(&list[i], s.costs[list[i].Model.ID], s.zones[list[i].Account]))
			}
			return out, err
		},
	})
}

func (s *site) stop() {
	s.t.Helper()
	for _, end := range []func() error{s.store.Close, s.ledger.Close} {
		if err := end(); err != nil {
			s.t.Fatal(err)
		}
	}
}

// tick does what a running server does each minute, in either order.
func (s *site) tick(n int) {
	s.t.Helper()
	if n%2 == 0 {
		s.accrue.Pass(s.t.Context())
	}
	if _, _, err := s.shop.Tend(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.accrue.Pass(s.t.Context())
	if s.accrue.failed != "" {
		s.t.Fatal(s.accrue.failed)
	}
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%v: %v", s.truth, err)
	}
}

func (s *site) buy(account, name, model string, units int64, term provision.Term) func() {
	return func() {
		_, err := s.shop.Create(s.t.Context(), &provision.Order{Account: account, Name: name, Model: model, Units: units, Term: term})
		s.must(err)
	}
}

func (s *site) remove(account, name string) func() {
	return func() { s.must(s.shop.Delete(s.t.Context(), account, name)) }
}

func (s *site) cancel(account, name string) func() {
	return func() {
		_, err := s.shop.Cancel(s.t.Context(), account, name)
		s.must(err)
	}
}

func (s *site) cost(model string, r Rate) func() { return func() { s.costs[model] = r } }

// Six months on a virtual clock: orders, terms, renewals, cancellations, price changes, deletions, restarts, days without a
// process and a clock that jumps both ways make what a spreadsheet makes, to the nano-unit. The instants and rates of its
// lines are written down by hand from the rules, not computed.
func TestSixMonths(t *testing.T) {
	const (
		utc, rome, kolkata = "000000000000", "111111111111", "222222222222"
		end                = "2026-07-01T00:00:00Z"
	)
	s := &site{
		t: t, dir: t.TempDir(), truth: at("2026-01-01T00:00:00Z"), costs: map[string]Rate{}, market: market{prices: map[string]catalog.UnitPrices{}},
		zones: map[string]*time.Location{utc: nil, rome: zone(t, "Europe/Rome"), kolkata: zone(t, "Asia/Kolkata")},
	}
	m := &s.market
	events := map[string]func(){
		"2026-01-01T00:00:00Z":   m.price("lite", "USD", 7_100_000_001, 6_400_000_007, 5_100_000_017),
		"2026-01-01T10:20:35.7Z": s.buy(utc, "hourly", "lite", 2, provision.NoTerm),
		"2026-01-10T00:00:01Z":   s.buy(utc, "half-year", "lite", 1, provision.SixMonths),
		"2026-01-31T08:30:00Z":   s.buy(rome, "monthly", "lite", 3, provision.OneMonth),
		"2026-01-31T08:30:05Z":   s.cost("lite", eur(3_333_333_333)),
		"2026-02-10T00:00:00Z":   m.price("lite", "USD", 7_500_000_003, 6_000_000_011, 9_000_000_000),
		"2026-02-14T18:29:59Z":   s.buy(kolkata, "unknown", "new", 5, provision.NoTerm),
		"2026-02-20T12:12:12.5Z": s.buy(utc, "one-term", "lite", 4, provision.OneMonth),
		"2026-03-01T00:00:00Z":   m.price("new", "EUR", 1_234_567_891, 1, 1),
		"2026-03-02T02:02:02Z":   s.cancel(utc, "one-term"),
		"2026-03-17T08:03:09.2Z": s.remove(utc, "hourly"),
		"2026-03-29T00:59:43Z":   s.buy(rome, "seconds", "lite", 1, provision.NoTerm),
		"2026-03-29T01:00:00Z":   s.remove(rome, "seconds"),
		"2026-04-01T00:00:00.1Z": s.buy(utc, "at-once", "lite", 9, provision.NoTerm),
		"2026-04-01T00:00:00.9Z": s.remove(utc, "at-once"),
		"2026-04-05T05:05:05Z":   m.price("lite", "USD", 7_777_777_777, 5_900_000_013, 1),
		"2026-05-20T20:20:20Z":   s.remove(kolkata, "unknown"),
		"2026-06-01T00:00:00Z":   s.cost("lite", Rate{}),
	}
	c := eur(3_333_333_333)
	lines := []line{
		// By the hour. The cost holds from the hour that was running when it was given.
		{units: 2, from: "2026-01-01T10:20:35Z", to: "2026-01-31T08:00:00Z", charge: usd(7_100_000_001)},
		{units: 2, from: "2026-01-31T08:00:00Z", to: "2026-02-10T00:00:00Z", charge: usd(7_100_000_001), cost: c},
		{units: 2, from: "2026-02-10T00:00:00Z", to: "2026-03-17T08:03:09Z", charge: usd(7_500_000_003), cost: c},
		// For half a year at one price. What a change of other prices cuts, it does not.
		{units: 1, from: "2026-01-10T00:00:01Z", to: "2026-01-31T08:00:00Z", charge: usd(5_100_000_017)},
		{units: 1, from: "2026-01-31T08:00:00Z", to: "2026-06-01T00:00:00Z", charge: usd(5_100_000_017), cost: c},
		{units: 1, from: "2026-06-01T00:00:00Z", to: end, charge: usd(5_100_000_017)},
		// By the month. January's price holds for the term; February's from the renewal on 28 February, April's from that on 30 April.
		{units: 3, from: "2026-01-31T08:30:00Z", to: "2026-02-28T08:30:00Z", charge: usd(6_400_000_007), cost: c},
		{units: 3, from: "2026-02-28T08:30:00Z", to: "2026-03-31T08:30:00Z", charge: usd(6_000_000_011), cost: c},
		{units: 3, from: "2026-03-31T08:30:00Z", to: "2026-04-30T08:30:00Z", charge: usd(6_000_000_011), cost: c},
		{units: 3, from: "2026-04-30T08:30:00Z", to: "2026-05-31T08:30:00Z", charge: usd(5_900_000_013), cost: c},
		{units: 3, from: "2026-05-31T08:30:00Z", to: "2026-06-01T00:00:00Z", charge: usd(5_900_000_013), cost: c},
		{units: 3, from: "2026-06-01T00:00:00Z", to: "2026-06-30T08:30:00Z", charge: usd(5_900_000_013)},
		{units: 3, from: "2026-06-30T08:30:00Z", to: end, charge: usd(5_900_000_013)},
		// Of unknown price until March; its days begin at half past six in the evening.
		{units: 5, from: "2026-02-14T18:29:59Z", to: "2026-03-01T00:00:00Z", midnight: 18*3600 + 1800},
		{units: 5, from: "2026-03-01T00:00:00Z", to: "2026-05-20T20:20:20Z", charge: eur(1_234_567_891), midnight: 18*3600 + 1800},
		// Cancelled, so that it ends with its term.
		{units: 4, from: "2026-02-20T12:12:12Z", to: "2026-03-20T12:12:12Z", charge: usd(6_000_000_011), cost: c},
		{units: 1, from: "2026-03-29T00:59:43Z", to: "2026-03-29T01:00:00Z", charge: usd(7_500_000_003), cost: c},
	}

	s.start()
	due := slices.SortedFunc(maps.Keys(events), func(a, b string) int { return at(a).Compare(at(b)) })
	for n := 0; s.truth.Before(at(end)); n++ {
		s.tick(n)
		next := s.truth.Add(5*time.Hour + 31*time.Minute + 17*time.Second)
		switch {
		case n%40 == 39: // a restart
			s.stop()
			s.start()
		case n%90 == 89: // days without a process
			next = next.Add(73 * time.Hour)
		case n%31 == 30: // a wall clock that is behind for some steps
			s.skew = -17 * time.Hour
		case n%31 == 3:
			s.skew = 0
		case n == 46: // and one that is ahead of time
			s.skew = 31 * time.Hour
		}
		if len(due) > 0 && next.After(at(due[0])) {
			if due[0] == "2026-03-17T08:03:09.2Z" || due[0] == "2026-05-20T20:20:20Z" { // what was posted before a deletion is given back
				s.truth, s.skew = at(due[0]), 31*time.Hour
				s.tick(n)
			}
			next = at(due[0]) // somebody does something: by a clock that is right, and while a process runs
			s.truth, s.skew = next, 0
			s.tick(n)
			events[due[0]]()
			due = due[1:]
		}
		if next.After(at(end)) {
			next = at(end)
		}
		s.truth = next
	}
	s.skew = 0
	s.tick(1)

	charges, costs, cells := sheet(lines)
	v, err := s.book.Verify(t.Context(), time.Time{}, time.Time{})
	if err != nil || v.Wrong != 0 {
		t.Fatalf("%+v %v", v, err)
	}
	if v.Hours != cells {
		t.Errorf("%d postings, the sheet has %d cells", v.Hours, cells)
	}
	same := func(what string, got map[string]int64, want map[string]*big.Int) {
		t.Helper()
		if len(got) != len(want) {
			t.Errorf("%s in %v, want %v", what, got, want)
		}
		for currency, want := range want {
			if want.Cmp(big.NewInt(got[currency])) != 0 {
				t.Errorf("%s in %s: %d, the sheet makes %s", what, currency, got[currency], want)
			}
		}
	}
	same("charge", v.Charges, charges)
	same("cost", v.Costs, costs)
	rows, err := s.book.Usage(t.Context(), &meter.UsageQuery{By: []string{"purchase", "month"}, Zone: s.zones[rome]})
	if err != nil {
		t.Fatal(err)
	}
	charged, idle := map[string]int64{}, map[string]int64{}
	for _, r := range rows {
		if r.Currency != "" {
			charged[r.Currency] += r.Charge
			idle[r.Currency] += r.Idle
		}
	}
	same("the months' charge", charged, charges)
	same("what lay idle, which is all,", idle, charges)
	t.Logf("%d postings, %s and %s", v.Hours, meter.FormatMoney(v.Charges["USD"], "USD"), meter.FormatMoney(v.Charges["EUR"], "EUR"))
	s.stop()
}
