package accrual

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"forebay/meter"

	"pgregory.net/rapid"
)

var errCrash = errors.New("the process died")

// crashing is a ledger whose process dies at the next transaction.
type crashing struct {
	Ledger

	at string // "", "before" the commit, or "after" it
}

func (c *crashing) Update(ctx context.Context, f func(*sql.Tx) error) error {
	at := c.at
	c.at = ""
	err := c.Ledger.Update(ctx, func(tx *sql.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		if at == "before" {
			return errCrash
		}
		return nil
	})
	if err == nil && at == "after" {
		return errCrash
	}
	return err
}

// interval is what must be posted: from one instant to another, at one rate.
type interval struct {
	at, until int64
	charge    Rate
}

// expected computes from the rules what must be posted of a purchase at an instant, which is its end or just now. It sorts
// the instants that no posting crosses, where the code under test looks for the next one.
func expected(p *Purchase, horizon time.Time, ends bool) []interval {
	from, to := p.Began.Unix(), horizon.Unix()
	var cuts []int64
	for h := from / 3600 * 3600; h <= to+3600; h += 3600 {
		cuts = append(cuts, h)
	}
	z := p.zone()
	for day := p.Began.In(z).AddDate(0, 0, -1); day.Unix() <= to+86400; day = day.AddDate(0, 0, 1) {
		cuts = append(cuts, time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, z).Unix())
	}
	for _, x := range p.Prices {
		cuts = append(cuts, x.Since.Unix())
	}
	for _, end := range p.Terms {
		cuts = append(cuts, end.Unix())
	}
	if n := len(p.Terms); n > 0 && !ends {
		to = min(to, p.Terms[n-1].Unix()) // what comes then is not known
	}
	cuts = append(cuts, from)
	if ends {
		cuts = append(cuts, to)
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	var out []interval
	for i, c := range cuts[:len(cuts)-1] {
		if c < from || cuts[i+1] > to {
			continue
		}
		out = append(out, interval{at: c, until: cuts[i+1], charge: p.rateAt(c)})
	}
	return out
}

// rateAt is the charge that holds at an instant.
func (p *Purchase) rateAt(at int64) (r Rate) {
	for _, x := range p.Prices {
		if x.Since.Unix() <= at {
			r = x.Charge
		}
	}
	return r
}

// drawPurchase draws a purchase that is made, and prices that change, within some seconds of each other.
func drawPurchase(r *rapid.T, account string, n int, origin time.Time, within int64, zones []*time.Location) Purchase {
	p := Purchase{
		ID: fmt.Sprintf("%s-%d", account, n), Account: account, Model: "m", Units: rapid.Int64Range(1, 1000).Draw(r, "units"),
		Began: origin.Add(time.Duration(rapid.Int64Range(0, within).Draw(r, "created")) * time.Second), Zone: rapid.SampledFrom(zones).Draw(r, "zone"),
	}
	if rapid.Bool().Draw(r, "committed") {
		p.Term = "OneMonth"
		end := p.Began
		for range rapid.IntRange(1, 5).Draw(r, "terms") {
			end = end.Add(time.Duration(rapid.Int64Range(1, 2*within).Draw(r, "term")) * time.Second)
			p.Terms = append(p.Terms, end)
		}
	}
	since := time.Time{}
	for range rapid.IntRange(0, 4).Draw(r, "prices") {
		x := Price{Since: since}
		if rapid.IntRange(0, 4).Draw(r, "known") > 0 {
			x.Charge = usd(rapid.Int64Range(0, 100_000_000_000).Draw(r, "rate"))
		}
		p.Prices = append(p.Prices, x)
		if since.IsZero() {
			since = origin
		}
		since = since.Add(time.Duration(rapid.Int64Range(1, within).Draw(r, "since")) * time.Second)
	}
	return p
}

// poster posts; it is one of several processes.
type poster interface {
	Post(ctx context.Context, p *Purchase, now time.Time) error
}

// memory is the rules alone: postings in a list, and how far they have got read from it.
type memory struct{ list *[]Posting }

func (m memory) Post(_ context.Context, p *Purchase, now time.Time) error {
	for {
		var s standing
		for i := range *m.list {
			x := &(*m.list)[i]
			switch {
			case x.Purchase != p.ID, x.Kind == KindRefund:
			case x.Kind == KindHour:
				s.until = x.Until
			default:
				s = standing{begun: true, ended: x.Kind == KindEnd, until: x.At, terms: Terms{
					Name: x.Name, Account: x.Account, Team: x.Team, Model: x.Model, Units: x.Units, Term: x.Term, Expires: x.Expires, Charge: x.ChargeRate, Cost: x.CostRate,
					Date: x.Date, Source: x.Source, Size: x.Size,
				}}
			}
		}
		due := s.due(p, now, 1000)
		if len(due) == 0 {
			return nil
		}
		for _, d := range due {
			if d.kind == KindEnd {
				for _, x := range *m.list {
					if x.Purchase != p.ID || x.Kind != KindHour || !x.Until.After(d.at) {
						continue
					}
					back := x.givenBack(d.at)
					x.Kind, x.At, x.Charge = KindRefund, back.at, Amount{back.charge.Known, -back.charge.Nano}
					*m.list = append(*m.list, x)
				}
			}
			*m.list = append(*m.list, Posting{
				Kind: d.kind, Purchase: p.ID, At: d.at, Until: d.until, Account: d.terms.Account, Model: d.terms.Model, Units: d.terms.Units, Term: d.terms.Term,
				Expires: d.terms.Expires, ChargeRate: d.terms.Charge, Charge: d.charge,
			})
		}
	}
}

// history is one random run: purchases, a wall clock that goes where it likes, and processes that die.
type history struct {
	r         *rapid.T
	account   string
	restart   func() poster
	crash     *string // what happens to the next transaction
	books     [2]poster
	purchases []Purchase
	now       time.Time
	far       int64 // hours of a long step
}

func (h *history) post(i int) {
	p := &h.purchases[i]
	*h.crash = rapid.SampledFrom([]string{"", "", "", "before", "after"}).Draw(h.r, "crash")
	who := rapid.IntRange(0, 1).Draw(h.r, "process")
	err := h.books[who].Post(context.Background(), p, h.now)
	*h.crash = ""
	if errors.Is(err, errCrash) {
		h.books[who] = h.restart()
		err = h.books[who].Post(context.Background(), p, h.now)
	}
	if err != nil {
		h.r.Fatal(err)
	}
}

func (h *history) step() {
	switch rapid.SampledFrom([]string{"on", "on", "on", "far", "back", "delete", "restart"}).Draw(h.r, "step") {
	case "on":
		h.now = h.now.Add(time.Duration(rapid.Int64Range(1, 10_000).Draw(h.r, "seconds")) * time.Second)
	case "far":
		h.now = h.now.Add(time.Duration(rapid.Int64Range(1, h.far).Draw(h.r, "hours")) * time.Hour)
	case "back":
		h.now = h.now.Add(-time.Duration(rapid.Int64Range(1, h.far*3600).Draw(h.r, "seconds back")) * time.Second)
	case "delete":
		if p := &h.purchases[rapid.IntRange(0, len(h.purchases)-1).Draw(h.r, "which")]; p.Ended.IsZero() && !p.Began.After(h.now) {
			p.Ended = h.now
		}
	case "restart":
		h.books[rapid.IntRange(0, 1).Draw(h.r, "who")] = h.restart()
	}
	for i := range h.purchases {
		h.post(i)
	}
}

// run draws a history of some days and carries it to its end.
func (h *history) run(t *testing.T, days int) {
	zones := []*time.Location{nil, zone(t, "Europe/Rome"), zone(t, "Asia/Kolkata"), zone(t, "America/New_York"), zone(t, "Australia/Lord_Howe")}
	origin := at("2026-03-28T17:00:00Z") // summer time begins, or ends, within some days in every zone that has one
	h.now, h.far = origin, int64(days)*2
	h.books = [2]poster{h.restart(), h.restart()}
	for n := range rapid.IntRange(1, 3).Draw(h.r, "purchases") {
		h.purchases = append(h.purchases, drawPurchase(h.r, h.account, n, origin, int64(days)*86400/4, zones))
	}
	for range rapid.IntRange(1, 15).Draw(h.r, "steps") {
		h.step()
	}
	if end := origin.AddDate(0, 0, days).Add(17*time.Minute + 3*time.Second); h.now.Before(end) {
		h.now = end
	}
	for i := range h.purchases {
		h.post(i)
	}
}

// Whatever clocks and processes do: in the end each purchase is posted from its beginning to its end without a hole or an
// overlap, each part once and at the rate that held.
func TestAnyHistory(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var list []Posting
		h := &history{r: r, crash: new(string), restart: func() poster { return memory{&list} }}
		h.run(t, rapid.SampledFrom([]int{3, 45, 200}).Draw(r, "days"))
		h.check(list)
	})
}

// The same in the file, where transactions fail before and after their commit, for some days.
func TestAnyHistoryOfALedger(t *testing.T) {
	ledger := openLedger(t, t.TempDir())
	b := NewBook(ledger)
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		c := &crashing{Ledger: ledger}
		h := &history{r: r, account: fmt.Sprint("a", n), crash: &c.at, restart: func() poster { return NewBook(c) }}
		h.run(t, 1)
		list, more, err := b.Postings(context.Background(), &meter.UsageQuery{Account: h.account})
		if err != nil || more {
			r.Fatal(err, more)
		}
		h.check(list)
	})
	if v, err := b.Verify(context.Background(), time.Time{}, time.Time{}); err != nil || v.Wrong != 0 {
		t.Fatalf("%+v %v", v, err)
	}
}

func (h *history) check(list []Posting) {
	for i := range h.purchases {
		p := &h.purchases[i]
		want := expected(p, h.now, false)
		if !p.Ended.IsZero() {
			want = expected(p, p.Ended, true)
		}
		back := map[int64]*Posting{} // what is given back of the hour that ends at an instant
		for k := range list {
			if x := &list[k]; x.Purchase == p.ID && x.Kind == KindRefund {
				back[x.Until.Unix()] = x
			}
		}
		got := 0
		for _, x := range list {
			if x.Purchase != p.ID || x.Kind != KindHour {
				continue
			}
			if b := back[x.Until.Unix()]; b != nil {
				if x.Until, x.Charge.Nano = b.At, x.Charge.Nano+b.Charge.Nano; x.Until.Equal(x.At) && x.Charge.Nano == 0 {
					continue
				}
			}
			if got >= len(want) {
				h.r.Fatalf("%s: posted %v to %v, and nothing more is due", p.ID, x.At, x.Until)
			}
			w := want[got]
			if x.At.Unix() != w.at || x.Until.Unix() != w.until {
				h.r.Fatalf("%s: posted %v to %v, want %v to %v", p.ID, x.At, x.Until, time.Unix(w.at, 0).UTC(), time.Unix(w.until, 0).UTC())
			}
			cell := new(big.Rat).SetFrac64(p.Units*(w.until-w.at), 3600)
			cell.Mul(cell, new(big.Rat).SetInt64(w.charge.Nano))
			if x.Charge.Known != w.charge.Known || w.charge.Known && halfEven(cell).Cmp(big.NewInt(x.Charge.Nano)) != 0 {
				h.r.Fatalf("%s: %v is charged %v, want %v for the rate %v", p.ID, x.At, x.Charge, halfEven(cell), w.charge)
			}
			got++
		}
		if got < len(want) {
			h.r.Fatalf("%s: %d parts of %d are posted", p.ID, got, len(want))
		}
	}
}
