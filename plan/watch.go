package plan

import (
	"context"
	"fmt"
	"time"

	"forebay/catalog"
	"forebay/fault"
	"forebay/plan/purchase"
	"forebay/plan/replay"
)

// Advice is what to buy on what has been seen so far, with nothing known of what comes: to rent, by the token, or to buy, units on a term.
type Advice struct {
	Model    string `json:"model"`
	Currency string `json:"currency"`
	Term     string `json:"term"`
	// Hours were seen, the last of which ended at Until; nil where the traffic has no clock. What is seen of an hour that has not ended is left out.
	Hours int64      `json:"hours"`
	Until *time.Time `json:"until,omitempty"`
	// Units are what following the advice from the first hour on holds now, Held those that are held already, More what to buy now.
	Units int64 `json:"units"`
	Held  int64 `json:"held"`
	More  int64 `json:"buyNow"`
	// Missed is what one more unit would have saved within the last term, and Threshold what it must exceed to be bought: its price over the term.
	Missed    int64 `json:"missed"`
	Threshold int64 `json:"threshold"`
	// Bound is how many times the cost of the best purchases, known afterwards, following the advice costs at most, whatever comes; per mille.
	Bound int64 `json:"boundPermille"`
	// Paid is what following it has cost by now, terms that have begun to their end; OnDemand what everything on demand has.
	Paid     int64 `json:"paid"`
	OnDemand int64 `json:"onDemand"`
	// Buys are the purchases that it advised, the first ones first.
	Buys []Buy  `json:"buys,omitempty"`
	Says string `json:"says"`
}

// Buy is a purchase that was advised at the end of an hour, counted from 1 on.
type Buy struct {
	Hour  int64 `json:"hour"`
	Units int64 `json:"units"`
}

// Advise says of each term with a commitment what to buy now of the question's model, given the units that are held.
func Advise(ctx context.Context, q *Question, held int64) ([]Advice, error) {
	if err := q.complete(); err != nil {
		return nil, err
	}
	if held < 0 {
		return nil, fault.New(fault.Invalid, "the units that are held are not negative")
	}
	d, err := Measure(ctx, q.Traffic)
	if err != nil {
		return nil, err
	}
	return advise(q, d, held)
}

// AdviseHours is Advise for flows that are known by the hour, the first of which begins at start: each minute of an hour counts as the others.
func AdviseHours(m *catalog.Model, hours []Flow, start time.Time, held int64) ([]Advice, error) {
	d := &Demand{Start: start}
	for i := range hours {
		var f Flow
		f.add(hours[i], 1.0/60)
		for range 60 {
			d.Minutes = append(d.Minutes, f)
		}
		d.Total.add(hours[i], 1)
	}
	return advise(&Question{Model: m}, d, held)
}

func advise(q *Question, d *Demand, held int64) ([]Advice, error) {
	p := &planner{q: q, demand: d, a: &Answer{Currency: "USD"}}
	m := q.Model
	if m.Price != nil {
		p.a.Currency = m.Price.Currency
	}
	size, all := p.unit(m), terms(p.unitPrices(m))
	if _, ok := p.rates(m); !ok {
		return nil, fault.Newf(fault.Invalid, "no price on demand is known of %s, so nothing can be said to be saved", m.ID)
	}
	if size == nil {
		return nil, fault.Newf(fault.Invalid, "what a unit of %s delivers is not known: give --unit-size INPUT/OUTPUT", m.ID)
	}
	waits := replay.Waiting{}
	if q.Traffic != nil {
		p.waiting()
		waits = p.sold(m)
	}
	now := live(d, waits)
	v := scaleOf(now, needOf(size))
	spill := v.price(p, m, now)
	var hours []*purchase.Demand
	for at := 0; at+60 <= len(now.Minutes); at += 60 {
		h, err := v.demand(now.part(window{at, at + 60}))
		if err != nil {
			return nil, err
		}
		hours = append(hours, h)
	}
	if len(hours) == 0 || spill == 0 {
		return nil, fault.New(fault.Invalid, "no whole hour with calls has been seen: nothing can be advised yet")
	}
	var out []Advice
	for _, t := range all {
		if daysOf(t.id) == 0 {
			continue // what ends at any hour is no commitment
		}
		a, err := p.follow(t, v, spill, hours, held)
		if err != nil {
			return nil, err
		}
		out = append(out, *a)
	}
	if len(out) == 0 {
		return nil, fault.Newf(fault.Invalid, "no price of a unit of %s with a commitment is known: give --unit-price 1-month=PRICE or 6-months=PRICE", m.ID)
	}
	return out, nil
}

// follow goes through the hours and does what is advised.
func (p *planner) follow(t term, v grid, spill int64, hours []*purchase.Demand, held int64) (*Advice, error) {
	periods := int64(daysOf(t.id)) * hoursOfDay
	price, err := product([]int64{t.hour, periods}, []int64{1})
	if err != nil {
		return nil, err
	}
	commitment := purchase.Commitment{Name: t.id, Periods: int(periods), Price: price}
	advisor, err := purchase.RentOrBuy{Unit: v.unit, Spill: spill, Term: commitment}.Deterministic()
	if err != nil {
		return nil, err
	}
	a := &Advice{Model: p.q.Model.ID, Currency: p.a.Currency, Term: t.id, Hours: int64(len(hours)), Held: held}
	if s := p.demand.Start; !s.IsZero() {
		a.Until = new(s.Add(time.Duration(len(hours)) * time.Hour))
	}
	buys := make([]int64, len(hours))
	for i, h := range hours {
		x, err := advisor.Observe(h)
		if err != nil {
			return nil, err
		}
		if buys[i] = x.Buy; x.Buy > 0 {
			a.Buys = append(a.Buys, Buy{int64(i + 1), x.Buy})
		}
		a.Units, a.Missed, a.Threshold, a.Bound = x.Held, x.Missed, x.Threshold, whole(1000*x.Bound)
	}
	a.More = max(0, a.Units-held)
	for _, b := range []struct {
		buys [][]int64
		cost *int64
	}{{[][]int64{buys}, &a.Paid}, {[][]int64{make([]int64, len(hours))}, &a.OnDemand}} {
		c := purchase.Commitments{Demand: hours, Unit: v.unit, Spill: spill, Terms: []purchase.Commitment{commitment}}
		s, err := c.Bill(b.buys)
		if err != nil {
			return nil, err
		}
		*b.cost = s.Cost.Total()
	}
	a.says()
	return a, nil
}

// says writes the advice out.
func (a *Advice) says() {
	a.Says = fmt.Sprintf("on what has been seen so far (%s hours), ", Grouped(a.Hours))
	switch {
	case a.More > 0 && a.Held > 0:
		a.Says += fmt.Sprintf("reserve %s more now, on %s, beside the %s held", unitCount(a.More), termName(a.Term), Grouped(a.Held))
	case a.More > 0:
		a.Says += fmt.Sprintf("reserve %s now, on %s", unitCount(a.More), termName(a.Term))
	default:
		a.Says += "reserve nothing more now on " + termName(a.Term)
	}
	a.Says += fmt.Sprintf(": beside %s, one more would have saved %s %s within the last %s, and costs %s; who follows this pays at most %s times what the best purchases would have cost, whatever comes",
		unitCount(max(a.Units, a.Held)), Amount(a.Missed), a.Currency, lastTerm(a.Term), Amount(a.Threshold), Milli(a.Bound))
}

// lastTerm is the length of a term in words.
func lastTerm(id string) string {
	switch id {
	case "1-month":
		return "month"
	case "3-months":
		return "three months"
	default:
		return "six months"
	}
}
