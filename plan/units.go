package plan

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"forebay/catalog"
	"forebay/fault"
	"forebay/infer"
	"forebay/plan/replay"
)

// term is a length of commitment with its price of a unit an hour.
type term struct {
	id, words string
	hour      int64
}

func terms(u *catalog.UnitPrices) []term {
	if u == nil {
		return nil
	}
	var out []term
	for _, t := range []struct {
		id, words string
		hour      *int64
	}{{"none", "no commitment: ends at any hour", u.None}, {"1-month", "one month, not to be ended before", u.OneMonth}, {"6-months", "six months, not to be ended before", u.SixMonths}} {
		if t.hour != nil {
			out = append(out, term{t.id, t.words, *t.hour})
		}
	}
	return out
}

// unitPrices are the prices of a unit of a model, nil where none is known.
func (p *planner) unitPrices(m *catalog.Model) *catalog.UnitPrices {
	if m == p.q.Model && p.q.UnitPrices != nil {
		return p.q.UnitPrices
	}
	if m.UnitPrices != nil && m.UnitPrices.Currency == p.a.Currency {
		return m.UnitPrices
	}
	return nil
}

// unit is what a unit of a model delivers, nil where that is not known. A placeholder is not known.
func (p *planner) unit(m *catalog.Model) *catalog.Unit {
	if m == p.q.Model && p.q.Unit != nil {
		return p.q.Unit
	}
	if u, ok := m.UnitSize(); ok && u.Basis != catalog.BasisPlaceholder {
		return &u
	}
	return nil
}

// provisioned considers units bought by the hour, for all calls and for a base load.
func (p *planner) provisioned(m *catalog.Model) error {
	prices, size := p.unitPrices(m), p.unit(m)
	_, sold := m.UnitSize()
	if !sold && prices == nil {
		p.add(bought(m, "provisioned", Impossible, "no cloud sells model units of "+m.Name))
		return nil
	}
	if size != nil {
		if err := p.unitHoldsCall(m, size); err != nil {
			return err
		}
	}
	if prices == nil || size == nil {
		return p.boundUnits(m, prices, size)
	}
	for _, t := range terms(prices) {
		if err := p.sized(m, t, prices, size); err != nil {
			return err
		}
	}
	return nil
}

// unitHoldsCall refuses a unit that is smaller than one call: it would never take a call without debt.
func (p *planner) unitHoldsCall(m *catalog.Model, u *catalog.Unit) error {
	t := p.a.Traffic
	if t.MeanInput > u.Input || t.MeanOutput > u.Output {
		return fault.Newf(fault.Invalid, "a unit of %s delivers %s input and %s output tokens a minute, which is less than one mean call of %s and %s: give the size per minute, as INPUT/OUTPUT",
			m.ID, Grouped(u.Input), Grouped(u.Output), Grouped(t.MeanInput), Grouped(t.MeanOutput))
	}
	return nil
}

func bought(m *catalog.Model, id string, s State, why string) *offer {
	return &offer{model: m, Option: &Option{
		ID: id, Mode: Provisioned, Name: "Provisioned throughput", State: s, Why: why,
		Commitment: "a term", Control: "none: a rate that is never throttled", Upkeep: "little: units follow the traffic by hand",
	}}
}

// need is how many units, not whole, carry the flow of a minute.
type need func(f *Flow) float64

// needOf is the need of units of a size.
func needOf(u *catalog.Unit) need {
	return func(f *Flow) float64 { return max(f.Input/float64(u.Input), f.Output/float64(u.Output)) }
}

// spill is what n units leave of a demand: of each minute, the share that is beyond them.
func spill(d *Demand, of need, n int64) Flow {
	var out Flow
	for i := range d.Minutes {
		if k := of(&d.Minutes[i]); k > float64(n) {
			out.add(d.Minutes[i], 1-float64(n)/k)
		}
	}
	return out
}

// used is the share of n units that the demand uses, per mille, over all minutes.
func used(d *Demand, of need, n int64) int64 {
	if n == 0 {
		return 0
	}
	sum := 0.0
	for i := range d.Minutes {
		sum += min(1, of(&d.Minutes[i])/float64(n))
	}
	return whole(1000 * sum / float64(len(d.Minutes)))
}

// maxUnits bounds how many units are considered.
const maxUnits = 1 << 30

// peakUnits are the units that carry the busiest minute.
func peakUnits(d *Demand, of need) (int64, error) {
	most, _ := d.peak(of)
	if most > maxUnits {
		return 0, fault.Newf(fault.Invalid, "the busiest minute takes more than %s units: the unit is too small for this traffic", Grouped(maxUnits))
	}
	return int64(math.Ceil(most - 1e-9)), nil
}

// cheapest returns the number of units, of 0 to most, with the least sum of their price and of the spill on demand. What n units leave is worth
// a sum over the minutes of v x max(0, 1 - n/k), each convex in n, and their price is linear: so the cost falls to its least and rises from
// there on, and bisection of its slope finds it (the quantile of the news-vendor, weighed by value).
func (p *planner) cheapest(m *catalog.Model, d *Demand, of need, hour, most int64) int64 {
	hours := float64(len(d.Minutes)) / 60
	cost := func(n int64) float64 {
		f := spill(d, of, n)
		return float64(n)*float64(hour)*hours + p.value(m, &f)
	}
	return lowest(0, most, cost)
}

// sized considers one term where the price and the size of a unit are known.
func (p *planner) sized(m *catalog.Model, t term, prices *catalog.UnitPrices, u *catalog.Unit) error {
	d, k := live(p.demand, p.sold(m)), needOf(u)
	peak, err := peakUnits(d, k)
	if err != nil {
		return err
	}
	source := prices.Source + ", " + prices.Date
	_, onDemand := p.rates(m)
	p.line(Line{
		ID: "units." + m.ID, What: "units that carry the busiest minute", Formula: "MU = ceil(max over minutes of max(input / M_i, output / M_o))",
		Values: fmt.Sprintf("M_i = %s, M_o = %s tokens a minute (%s)", Grouped(u.Input), Grouped(u.Output), u.Basis), Result: Grouped(peak), Source: u.Source, Method: ClosedForm,
	})
	p.purchase(m, t, source, u, peak, false)
	if !onDemand {
		return nil
	}
	best := p.cheapest(m, d, k, t.hour, peak)
	near := []int64{best - 1, best, best + 1}
	if best == 0 {
		near = []int64{1}
	}
	for _, n := range near {
		if n >= 1 && n < peak {
			p.purchase(m, t, source, u, n, true)
		}
	}
	if t.id == "none" {
		p.scheduled(m, t, source, u)
	}
	return nil
}

// purchase adds n units for a term, with or without spill-over to on demand.
func (p *planner) purchase(m *catalog.Model, t term, source string, u *catalog.Unit, n int64, spills bool) {
	p.add(p.buy(m, t, source, u, n, spills))
}

// buy makes the offer of n units for a term.
func (p *planner) buy(m *catalog.Model, t term, source string, u *catalog.Unit, n int64, spills bool) *offer {
	o := bought(m, fmt.Sprintf("provisioned/%s/%d", t.id, n), Possible, "")
	o.Units, o.Term, o.Commitment = n, t.id, t.words
	o.Name = fmt.Sprintf("Provisioned throughput, %s, %s", unitCount(n), termName(t.id))
	if spills {
		o.ID, o.Mode = fmt.Sprintf("provisioned+on-demand/%s/%d", t.id, n), Mix
		o.Name = fmt.Sprintf("%s provisioned, %s, the rest on demand", unitCount(n), termName(t.id))
	}
	if days := p.demand.days(); !p.demand.Expected && days < daysOf(t.id) {
		o.Assumptions = append(o.Assumptions, fmt.Sprintf("the term of %g days is longer than the traffic that was seen (%s days): the rest of it is taken to be alike", daysOf(t.id), Milli(whole(1000*days))))
	}
	w, k := p.sold(m), needOf(u)
	o.Name += later(w)
	share := used(live(p.demand, w), k, n)
	o.Used = &share
	o.serving = p.unitServing(m, u, n, spills)
	o.cost = func(d *Demand) ([]CostRow, error) {
		hours := p.q.Days * hoursOfDay
		amount, err := product([]int64{t.hour, n, hours}, []int64{1})
		if err != nil {
			return nil, err
		}
		rows := []CostRow{{What: "provisioned", Quantity: n * hours, Unit: "unit hours", Rate: t.hour, Per: "unit hour", Amount: amount, Source: source}}
		return p.withRest(o, rows, d, w)
	}
	o.sized = func(n int64) *offer { return p.buy(m, t, source, u, n, spills) }
	o.more = func() error {
		p.purchase(m, t, source, u, n+max(1, n/20), spills)
		return p.price(p.offers[len(p.offers)-1])
	}
	if spills {
		o.spills = func(part *Demand) Flow { return spill(live(part, w), k, n) }
		rest := o.spills(p.demand)
		o.Spilled = &PerMillion{whole(million * rest.Calls / p.demand.Total.Calls), ClosedForm}
	}
	return o
}

// withRest adds to the rows of what is bought those of what it leaves to on demand, if anything, and of the calls that wait.
func (p *planner) withRest(o *offer, rows []CostRow, d *Demand, w replay.Waiting) ([]CostRow, error) {
	if o.spills != nil {
		more, err := p.spillRows(o, d)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	more, err := p.laterRows(o.model, d, w)
	return append(rows, more...), err
}

// spillRows prices what a purchase leaves to on demand.
func (p *planner) spillRows(o *offer, d *Demand) ([]CostRow, error) {
	rest := o.spills(d)
	for _, x := range []*float64{&rest.Input, &rest.Cached, &rest.Output} {
		*x *= o.correction()
	}
	return p.tokenRows(o.model, rest, d, infer.TierDefault)
}

func unitCount(n int64) string {
	if n == 1 {
		return "1 unit"
	}
	return Grouped(n) + " units"
}

// daysOf is how long a commitment lasts, in days.
func daysOf(term string) float64 {
	switch term {
	case "1-month":
		return 30
	case "3-months":
		return 90
	case "6-months":
		return 180
	default:
		return 0
	}
}

func termName(id string) string {
	switch id {
	case "none":
		return "no commitment"
	case "1-month":
		return "one month"
	case "3-months":
		return "three months"
	default:
		return "six months"
	}
}

// cheapestUnit is the least price of a unit of a list, and of which.
func cheapestUnit(list []catalog.PublishedUnit, currency string) (hour int64, of catalog.PublishedUnit, t term) {
	for _, u := range list {
		if u.Currency != currency {
			continue
		}
		for _, x := range terms(&u.UnitPrices) {
			if hour == 0 || x.hour < hour {
				hour, of, t = x.hour, u, x
			}
		}
	}
	return hour, of, t
}

// boundUnits says what follows where the price or the size of a unit is not known.
func (p *planner) boundUnits(m *catalog.Model, prices *catalog.UnitPrices, size *catalog.Unit) error {
	o := bought(m, "provisioned", Unknown, "")
	p.add(o)
	if _, ok := p.rates(m); !ok {
		o.Why = "neither its price on demand nor all of its units' price and size are known"
		return nil
	}
	perHour := p.perHour(m)
	p.line(Line{
		ID: o.ID + ".bound", What: "price below which units can win, in total", Formula: "N x c / 24",
		Values: fmt.Sprintf("%s calls a day x %s / 24", Grouped(p.a.Traffic.CallsADay), rate(whole(p.perCall(m)))), Result: Amount(perHour) + " " + p.a.Currency + "/h", Method: ClosedForm,
	})
	if prices == nil {
		return p.boundPrice(m, o, size, perHour)
	}
	return p.boundSize(m, o, prices, perHour)
}

// perHour is what an hour on demand costs in the mean.
func (p *planner) perHour(m *catalog.Model) int64 {
	return whole(p.value(m, &p.demand.Total) * 60 / float64(len(p.demand.Minutes)))
}

// mostPerHour is that under the assumption that makes it the most.
func (p *planner) mostPerHour(m *catalog.Model) int64 {
	most := p.perHour(m)
	for _, v := range p.variants {
		most = max(most, whole(p.value(m, &v.demand.Total)*60/float64(len(v.demand.Minutes))))
	}
	return most
}

// boundPrice is for units of no known price.
func (p *planner) boundPrice(m *catalog.Model, o *offer, size *catalog.Unit, perHour int64) error {
	lowest, of, t := cheapestUnit(catalog.PublishedUnits(), p.a.Currency)
	units := int64(1)
	o.Why = "no price of a unit of " + m.Name + " is published, nor what a unit delivers"
	if size != nil {
		o.Why = "no price of a unit of " + m.Name + " is published"
		n, err := peakUnits(p.demand, needOf(size))
		if err != nil {
			return err
		}
		units = n
	}
	b := Bound{Missing: "the price of a unit of " + m.Name}
	if lowest == 0 {
		b.Says = fmt.Sprintf("provisioned wins only below %s %s/h in total", Amount(perHour), p.a.Currency)
		p.a.Bounds = append(p.a.Bounds, b)
		return nil
	}
	var err error
	if o.AtLeast, err = product([]int64{lowest, p.q.Days * hoursOfDay}, []int64{1}); err != nil {
		return err
	}
	o.Assumptions = append(o.Assumptions, fmt.Sprintf("at least one unit, at the lowest price of any model's unit that is published (%s, %s, %s)", of.Name, termName(t.id), of.Date))
	b.Says = fmt.Sprintf("provisioned wins only below %s %s/h in total; the lowest published unit price of any model is %s %s/h (%s, %s)",
		Amount(perHour), p.a.Currency, Amount(lowest), p.a.Currency, of.Name, termName(t.id))
	switch {
	case lowest > p.mostPerHour(m):
		b.Settles = true
		b.Says += ", so no unit size can change this"
	case lowest > perHour:
		b.Says += fmt.Sprintf(", so no unit size can change this, unless what is assumed of the traffic is wrong: it spans up to %s %s/h", Amount(p.mostPerHour(m)), p.a.Currency)
	default:
		b.Says += fmt.Sprintf(": ask for a quotation; it is worth it below %s %s/h for the %s that the busiest minute takes", Amount(perHour/max(units, 1)), p.a.Currency, unitCount(units))
	}
	p.a.Bounds = append(p.a.Bounds, b)
	p.line(Line{
		ID: o.ID + ".published", What: "lowest published price of a unit", Formula: "min over models and terms", Values: fmt.Sprintf("%d models with a published price", len(catalog.PublishedUnits())),
		Result: Amount(lowest) + " " + p.a.Currency + "/h", Source: of.Source + ", " + of.Date, Method: ClosedForm,
	})
	return nil
}

// boundSize is for units of a known price that deliver nobody knows how much.
func (p *planner) boundSize(m *catalog.Model, o *offer, prices *catalog.UnitPrices, perHour int64) error {
	all := terms(prices)
	if len(all) == 0 {
		return errors.New("plan: prices of a unit without a price")
	}
	t := slices.MinFunc(all, func(a, b term) int { return cmp.Compare(a.hour, b.hour) })
	o.Why = "what a unit of " + m.Name + " delivers is not published: give --unit-size, or measure it on your own engines (forebay calibrate)"
	var err error
	if o.AtLeast, err = product([]int64{t.hour, p.q.Days * hoursOfDay}, []int64{1}); err != nil {
		return err
	}
	b := Bound{Missing: "what a unit of " + m.Name + " delivers"}
	b.Says = fmt.Sprintf("one unit costs %s %s/h (%s), all calls on demand %s %s/h", Amount(t.hour), p.a.Currency, termName(t.id), Amount(perHour), p.a.Currency)
	switch {
	case t.hour >= p.mostPerHour(m):
		b.Settles = true
		b.Says += ": provisioned loses whatever a unit delivers, also as a base load"
	case t.hour >= perHour:
		b.Says += fmt.Sprintf(": provisioned loses whatever a unit delivers, unless what is assumed of the traffic is wrong: it spans up to %s %s/h", Amount(p.mostPerHour(m)), p.a.Currency)
	default:
		b.Says += fmt.Sprintf(": provisioned wins with up to %s, if those carry the traffic; one unit pays as a base load if it delivers at least %s tokens a minute of this traffic's mix",
			unitCount((perHour-1)/t.hour), Grouped(p.payingUnit(m, t.hour)))
	}
	p.a.Bounds = append(p.a.Bounds, b)
	return nil
}

// payingUnit is the least size, in tokens of the traffic's mix a minute, at which one unit saves on demand what it costs.
func (p *planner) payingUnit(m *catalog.Model, hour int64) int64 {
	mix := p.demand.Total.Input + p.demand.Total.Output
	total := p.value(m, &p.demand.Total)
	hours := float64(len(p.demand.Minutes)) / 60
	low, high := int64(1), int64(catalog.MaxUnit)
	for low < high {
		size := low + (high-low)/2
		u := catalog.Unit{Input: max(1, whole(float64(size)*p.demand.Total.Input/mix)), Output: max(1, whole(float64(size)*p.demand.Total.Output/mix))}
		rest := spill(p.demand, needOf(&u), 1)
		if total-p.value(m, &rest) >= float64(hour)*hours {
			high = size
		} else {
			low = size + 1
		}
	}
	return low
}
