package accrual

import (
	"fmt"
	"math/big"
	"testing"
	"time"

	"forebay/meter"
)

// line is a line of the spreadsheet: units at a rate from one instant to another. Cells are its clock hours; where the billing
// zone's midnight is not at a full hour (UTC), its minute cuts cells, too.
type line struct {
	units          int64
	from, to       string
	charge, cost   Rate
	midnight, hour int // minute and hour (UTC) of a midnight that is not at a full hour
}

// sheet adds up the cells of lines: each is computed as a fraction and rounded for itself.
func sheet(lines []line) (charges, costs map[string]*big.Int, cells int64) {
	charges, costs = map[string]*big.Int{}, map[string]*big.Int{}
	add := func(to map[string]*big.Int, r Rate, l *line, seconds int64) {
		if !r.Known {
			return
		}
		cell := new(big.Rat).SetFrac64(l.units*seconds, 3600)
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
			inHour := s % 3600
			cut := inHour == 0 || l.midnight > 0 && inHour == int64(l.midnight*60) && s/3600%24 == int64(l.hour)
			if !cut && s != end {
				continue
			}
			add(charges, l.charge, l, s-cell)
			add(costs, l.cost, l, s-cell)
			cells++
			cell = s
		}
	}
	return charges, costs, cells
}

// Six months on a virtual clock: terms, renewals, price changes, deletions, restarts, days without a process and a clock that
// jumps both ways make what a spreadsheet makes, to the nano-unit. The instants and rates of the lines are written down by
// hand from the rules, not computed.
func TestSixMonths(t *testing.T) {
	rome, kolkata := zone(t, "Europe/Rome"), zone(t, "Asia/Kolkata")
	purchases := []Purchase{
		{ // by the hour, through two changes of the price
			ID: "hourly", Units: 2, Created: at("2026-01-01T10:20:35.7Z"), Ended: at("2026-03-17T08:03:09.2Z"),
			Prices: []Price{{Charge: usd(7_100_000_001)}, {Since: at("2026-02-01T00:00:00Z"), Charge: usd(7_500_000_003)}, {Since: at("2026-03-01T13:37:11Z"), Charge: usd(6_999_999_999)}},
		},
		{ // by the month, renewed on the last day of short months, at half past nine in Rome
			ID: "monthly", Units: 3, Term: OneMonth, Zone: rome, Created: at("2026-01-31T09:30:00+01:00"),
			Prices: []Price{{Charge: usd(6_400_000_007), Cost: eur(3_333_333_333)}, {Since: at("2026-02-10T00:00:00Z"), Charge: usd(6_000_000_011), Cost: eur(3_333_333_333)}, {Since: at("2026-04-05T05:05:05Z"), Charge: usd(5_900_000_013), Cost: eur(3_111_111_111)}},
		},
		{ // for half a year, at a price that goes on changing
			ID: "half-year", Units: 1, Term: SixMonths, Created: at("2026-01-10T00:00:01Z"),
			Prices: []Price{{Charge: usd(5_100_000_017)}, {Since: at("2026-04-01T00:00:00Z"), Charge: usd(9_900_000_000)}},
		},
		{ // of unknown price until March, and midnight at half past six in the evening
			ID: "unknown", Units: 5, Zone: kolkata, Created: at("2026-02-14T18:29:59Z"), Ended: at("2026-05-20T20:20:20Z"),
			Prices: []Price{{Since: at("2026-03-01T00:00:00Z"), Charge: eur(1_234_567_891), Cost: eur(777_777_777)}},
		},
		{ID: "seconds", Units: 1, Created: at("2026-03-29T00:59:43Z"), Ended: at("2026-03-29T01:00:00Z"), Zone: rome, Prices: []Price{{Charge: usd(1_000_000_007)}}},
		{ID: "at once", Units: 9, Created: at("2026-04-01T00:00:00.1Z"), Ended: at("2026-04-01T00:00:00.9Z"), Prices: []Price{{Charge: usd(1)}}},
		{ // a commitment that ends with its term and is not renewed
			ID: "one term", Units: 4, Term: OneMonth, Created: at("2026-02-28T12:12:12Z"), Ended: at("2026-03-28T12:12:12Z"), Prices: []Price{{Charge: eur(20_500_000_019), Cost: eur(0)}},
		},
	}
	const end = "2026-07-01T00:00:00Z"
	lines := []line{
		{units: 2, from: "2026-01-01T10:20:35Z", to: "2026-02-01T00:00:00Z", charge: usd(7_100_000_001)},
		{units: 2, from: "2026-02-01T00:00:00Z", to: "2026-03-01T13:37:11Z", charge: usd(7_500_000_003)},
		{units: 2, from: "2026-03-01T13:37:11Z", to: "2026-03-17T08:03:09Z", charge: usd(6_999_999_999)},
		// January's price holds for the term; February's from the renewal on 28 February, April's from 30 April (summer time).
		{units: 3, from: "2026-01-31T08:30:00Z", to: "2026-02-28T08:30:00Z", charge: usd(6_400_000_007), cost: eur(3_333_333_333)},
		{units: 3, from: "2026-02-28T08:30:00Z", to: "2026-03-31T07:30:00Z", charge: usd(6_000_000_011), cost: eur(3_333_333_333)},
		{units: 3, from: "2026-03-31T07:30:00Z", to: "2026-04-05T05:05:05Z", charge: usd(6_000_000_011), cost: eur(3_333_333_333)},
		{units: 3, from: "2026-04-05T05:05:05Z", to: "2026-04-30T07:30:00Z", charge: usd(6_000_000_011), cost: eur(3_111_111_111)},
		{units: 3, from: "2026-04-30T07:30:00Z", to: "2026-05-31T07:30:00Z", charge: usd(5_900_000_013), cost: eur(3_111_111_111)},
		{units: 3, from: "2026-05-31T07:30:00Z", to: "2026-06-30T07:30:00Z", charge: usd(5_900_000_013), cost: eur(3_111_111_111)},
		{units: 3, from: "2026-06-30T07:30:00Z", to: end, charge: usd(5_900_000_013), cost: eur(3_111_111_111)},
		// A price posting cuts an hour even where the commitment's charge does not change.
		{units: 1, from: "2026-01-10T00:00:01Z", to: end, charge: usd(5_100_000_017)},
		{units: 5, from: "2026-02-14T18:29:59Z", to: "2026-03-01T00:00:00Z", midnight: 30, hour: 18},
		{units: 5, from: "2026-03-01T00:00:00Z", to: "2026-05-20T20:20:20Z", charge: eur(1_234_567_891), cost: eur(777_777_777), midnight: 30, hour: 18},
		{units: 1, from: "2026-03-29T00:59:43Z", to: "2026-03-29T01:00:00Z", charge: usd(1_000_000_007)},
		{units: 4, from: "2026-02-28T12:12:12Z", to: "2026-03-28T12:12:12Z", charge: eur(20_500_000_019), cost: eur(0)},
	}
	for i := range purchases {
		p := &purchases[i]
		p.Name, p.Account, p.Model = p.ID, "000000000000", "m"
	}

	dir := t.TempDir()
	ledger := openLedger(t, dir)
	b := NewBook(ledger)
	clock := at("2025-12-31T00:00:00Z") // what is true; the wall clock may be wrong by skew
	var skew time.Duration
	for step := 0; clock.Before(at(end)); step++ {
		for i := range purchases {
			p := purchases[i] // as it is known at this moment
			now := clock.Add(skew)
			if p.Created.After(clock) {
				continue
			}
			if p.Ended.After(clock) {
				p.Ended = time.Time{}
			}
			if err := b.Post(t.Context(), &p, now); err != nil {
				t.Fatal(err)
			}
		}
		clock = clock.Add(97*time.Minute + 31*time.Second)
		switch {
		case step%100 == 99: // a restart
			if err := ledger.Close(); err != nil {
				t.Fatal(err)
			}
			ledger = openLedger(t, dir)
			b = NewBook(ledger)
		case step%370 == 369: // three days without a process
			clock = clock.Add(73 * time.Hour)
		case step%61 == 60: // a wall clock that is behind for some steps
			skew = -5 * time.Hour
		case step == 200: // and one that is ahead of time
			skew = 31 * time.Hour
		case step%61 == 4:
			skew = 0
		}
	}
	for i := range purchases {
		if err := b.Post(t.Context(), &purchases[i], at(end)); err != nil {
			t.Fatal(err)
		}
	}

	charges, costs, cells := sheet(lines)
	v, err := b.Verify(t.Context(), time.Time{}, time.Time{})
	if err != nil || v.Wrong != 0 {
		t.Fatalf("%+v %v", v, err)
	}
	if v.Hours != cells {
		t.Errorf("%d postings, the sheet has %d cells", v.Hours, cells)
	}
	for _, x := range []struct {
		what string
		got  map[string]int64
		want map[string]*big.Int
	}{{"charge", v.Charges, charges}, {"cost", v.Costs, costs}} {
		if len(x.got) != len(x.want) {
			t.Errorf("%s in %v, want %v", x.what, x.got, x.want)
		}
		for currency, want := range x.want {
			if got := x.got[currency]; want.Cmp(big.NewInt(got)) != 0 {
				t.Errorf("%s in %s: %s, the sheet makes %s", x.what, currency, meter.FormatMoney(got, ""), want)
			}
		}
	}
	rows, err := b.Usage(t.Context(), &meter.UsageQuery{By: []string{"purchase", "month"}, Zone: rome})
	if err != nil {
		t.Fatal(err)
	}
	sum := map[string]int64{}
	for _, r := range rows {
		sum[r.Currency] += r.Charge
	}
	if fmt.Sprint(sum) != fmt.Sprint(map[string]int64{"": 0, "USD": v.Charges["USD"], "EUR": v.Charges["EUR"]}) {
		t.Errorf("usage by month makes %v, the ledger %v", sum, v.Charges)
	}
	t.Logf("%d postings, %s and %s", v.Hours, meter.FormatMoney(v.Charges["USD"], "USD"), meter.FormatMoney(v.Charges["EUR"], "EUR"))
}
