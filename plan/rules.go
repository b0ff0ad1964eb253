package plan

import (
	"fmt"
	"math"

	"forebay/catalog"
	"forebay/infer"
	"forebay/plan/clouds"
)

// RuleOffer is bought capacity under the rule by which another cloud admits calls to it, at the prices of the question's units.
type RuleOffer struct {
	clouds.Preset
	// PerUnit and Weight are what a unit holds, in input tokens a minute, and how many of them an output token counts for, where the preset has none; 0 is
	// what the question's unit holds.
	PerUnit, Weight int64
}

// rules considers what is bought under the rules of other clouds.
func (p *planner) rules(m *catalog.Model) error {
	if m != p.q.Model {
		return nil
	}
	for i := range p.q.Rules {
		if err := p.rule(m, &p.q.Rules[i]); err != nil {
			return err
		}
	}
	return nil
}

// ruleSize completes a preset with what a unit holds: as it is published, as the asker says, or as many weighted tokens as the question's unit holds of both
// kinds together, where an output token counts for as many input tokens as it costs.
func (p *planner) ruleSize(m *catalog.Model, r *RuleOffer) (preset clouds.Preset, note string, err error) {
	perUnit, weight := r.PerUnit, r.Weight
	if u, rates := p.unit(m), m.Price.Rates(infer.TierDefault); u != nil && (perUnit == 0 && r.PerMinute == 0 || weight == 0 && r.OutputWeight == 0) {
		if weight == 0 && rates.Input != nil && rates.Output != nil && *rates.Input > 0 {
			weight = max(1, whole(float64(*rates.Output)/float64(*rates.Input)))
		}
		if r.OutputWeight > 0 {
			weight = r.OutputWeight
		}
		if perUnit == 0 && r.PerMinute == 0 {
			perUnit = u.Input + weight*u.Output
			note = fmt.Sprintf("a unit holds %s tokens a minute, an output token counting %d: as many as the unit of %s and %s holds of both kinds together", Grouped(perUnit), weight, Grouped(u.Input), Grouped(u.Output))
		} else {
			note = fmt.Sprintf("an output token counts %d, as it costs", weight)
		}
	}
	preset, err = r.Sized(perUnit, weight)
	return preset, note, err
}

func underRule(m *catalog.Model, r *clouds.Preset, s State, why string) *offer {
	return &offer{model: m, Option: &Option{
		ID: r.Name, Mode: Provisioned, Name: "Bought under the rules of " + r.Name, State: s, Why: why, Rules: r.Name,
		Commitment: "a term", Control: "none: " + r.Rule, Upkeep: "little: units follow the traffic by hand",
		Assumptions: []string{"rules of " + r.Name + ": " + r.Source + "; assumed: " + r.Assumed},
	}}
}

// rule considers one.
func (p *planner) rule(m *catalog.Model, r *RuleOffer) error {
	preset, note, err := p.ruleSize(m, r)
	if err != nil {
		p.add(underRule(m, &r.Preset, Unknown, err.Error()+" (--rule-unit TOKENS/WEIGHT, or --unit-size)"))
		return nil //nolint:nilerr // what is not known is an option of which that is said
	}
	k := func(f *Flow) float64 {
		return (f.Input + float64(preset.OutputWeight)*f.Output) / float64(preset.PerMinute)
	}
	d := live(p.demand, p.sold(m))
	peak, err := peakUnits(d, k)
	if err != nil {
		return err
	}
	prices := p.unitPrices(m)
	if prices == nil {
		o := underRule(m, &preset, Unknown, "no price of its unit is known: give --unit-price; the busiest minute takes "+unitCount(preset.Sold(peak)))
		p.add(o)
		if _, ok := p.rates(m); ok {
			perHour := p.perHour(m)
			p.a.Bounds = append(p.a.Bounds, Bound{
				Missing: "the price of a unit of " + preset.Name,
				Says:    fmt.Sprintf("%s wins only below %s %s/h in total, for the %s that the busiest minute takes below %s %s/h each", preset.Name, Amount(perHour), p.a.Currency, unitCount(preset.Sold(peak)), Amount(perHour/preset.Sold(peak)), p.a.Currency),
			})
		}
		return nil
	}
	_, onDemand := p.rates(m)
	for _, t := range terms(prices) {
		x := &ruled{p: p, model: m, preset: preset, note: note, term: t, source: prices.Source + ", " + prices.Date, of: k}
		if preset.Refuses() || !onDemand {
			x.buy(preset.Sold(peak), false)
		}
		if !onDemand {
			continue
		}
		best := p.cheapest(m, d, k, t.hour, peak)
		low, high := max(preset.Min, preset.Sold(best)-preset.Step), preset.Sold(best) // the cost falls up to the best number and rises from there on
		x.buy(high, true)
		if low < high && low > 0 {
			x.buy(low, true)
		}
	}
	return nil
}

// ruled is what is bought under a rule for a term.
type ruled struct {
	p      *planner
	model  *catalog.Model
	preset clouds.Preset
	note   string
	term   term
	source string
	of     need
}

// buy adds n units, with or without spill-over to on demand.
func (x *ruled) buy(n int64, spills bool) {
	p, w := x.p, x.p.sold(x.model)
	o := underRule(x.model, &x.preset, Possible, "")
	o.ID = fmt.Sprintf("%s/%s/%d", x.preset.Name, x.term.id, n)
	o.Units, o.Term, o.Commitment = n, x.term.id, x.term.words
	o.Name = fmt.Sprintf("%s of %s, %s", unitCount(n), x.preset.Name, termName(x.term.id))
	if spills {
		o.ID, o.Mode = fmt.Sprintf("%s+on-demand/%s/%d", x.preset.Name, x.term.id, n), Mix
		o.Name += ", the rest on demand"
	}
	o.Name += later(w)
	if x.note != "" {
		o.Assumptions = append(o.Assumptions, x.note)
	}
	o.Used = new(used(live(p.demand, w), x.of, n))
	o.serving = p.quotaServing(x.model)
	o.serving.OnDemand, o.serving.bounds, o.serving.Waiting = spills, true, w
	o.serving.rule = func() (clouds.Rule, error) {
		return x.preset.Apply(clouds.Bought{Units: n, Output: p.mix().Output, MaxOutput: x.model.MaxOutput, Dedicated: !spills})
	}
	o.cost = func(d *Demand) ([]CostRow, error) {
		hours := p.q.Days * hoursOfDay
		amount, err := product([]int64{x.term.hour, n, hours}, []int64{1})
		if err != nil {
			return nil, err
		}
		row := CostRow{What: x.preset.Name, Quantity: n * hours, Unit: "unit hours", Rate: x.term.hour, Per: "unit hour", Amount: amount, Source: x.source}
		if x.preset.Kind == clouds.Minutely {
			row.Quantity, row.Unit = n*hours*60, "unit minutes"
		}
		return p.withRest(o, []CostRow{row}, d, w)
	}
	o.more = func() error {
		x.buy(x.preset.Sold(n+max(x.preset.Step, n/20)), spills)
		return p.price(p.offers[len(p.offers)-1])
	}
	if spills {
		o.spills = func(part *Demand) Flow { return spill(live(part, w), x.of, n) }
		rest := o.spills(p.demand)
		o.Spilled = &PerMillion{whole(million * rest.Calls / p.demand.Total.Calls), ClosedForm}
	}
	p.add(o)
}

// reservedTier considers tokens a minute that are bought by the hour, in thousands of input and of output: what exceeds them goes on at the default tier.
func (p *planner) reservedTier(m *catalog.Model) error {
	prices := m.Tier
	if m == p.q.Model && p.q.Reserved != nil {
		prices = p.q.Reserved
	}
	if _, ok := p.rates(m); !ok || prices == nil || prices.Currency != p.a.Currency {
		return nil
	}
	for _, x := range []struct {
		id, words     string
		input, output *int64
	}{
		{"none", "no commitment: ends at any hour", prices.Input.None, prices.Output.None},
		{"1-month", "one month, not to be ended before", prices.Input.OneMonth, prices.Output.OneMonth},
		{"3-months", "three months, not to be ended before", prices.Input.ThreeMonths, prices.Output.ThreeMonths},
	} {
		if x.input == nil || x.output == nil {
			continue
		}
		in, out := p.thousands(m, *x.input, *x.output)
		if in == 0 {
			continue // nothing of it is worth its price
		}
		hour, err := rateHour(*x.input, in, *x.output, out)
		if err != nil {
			return err
		}
		u := &catalog.Unit{Input: 1000 * in, Output: 1000 * out, Basis: catalog.BasisGiven, Source: prices.Source}
		o := p.buy(m, term{x.id, x.words, hour}, prices.Source+", "+prices.Date, u, 1, true)
		o.ID, o.Mode = "reserved-tier/"+x.id, ReservedTier
		o.Name = fmt.Sprintf("Reserved tier, %s input and %s output tokens a minute, %s, the rest at the default tier", Grouped(u.Input), Grouped(u.Output), termName(x.id)) + later(p.sold(m))
		o.Control = "none: a rate that is served first"
		o.Units, o.sized = 0, nil
		p.add(o)
	}
	return nil
}

// rateHour is what an hour of thousands of input and of output tokens a minute costs.
func rateHour(input, in, output, out int64) (int64, error) {
	a, err := product([]int64{input, in}, []int64{1})
	if err != nil {
		return 0, err
	}
	b, err := product([]int64{output, out}, []int64{1})
	if err != nil {
		return 0, err
	}
	return sumOf([]CostRow{{Amount: a}, {Amount: b}})
}

// thousands finds how many thousands of input and of output tokens a minute cost least together with what exceeds them; none where nothing saves its price. For an
// amount of input the cost is convex in the output, so that bisection finds the best one; the amounts of input are tried, all of them where they are few,
// and else in steps that become smaller around the best, for the cost is convex in both together but for what whole thousands make of it.
func (p *planner) thousands(m *catalog.Model, input, output int64) (in, out int64) {
	d := live(p.demand, p.sold(m))
	hours := float64(len(d.Minutes)) / 60
	cost := func(i, o int64) float64 {
		rest := spill(d, needOf(&catalog.Unit{Input: 1000 * i, Output: 1000 * o}), 1)
		return (float64(i)*float64(input)+float64(o)*float64(output))*hours + p.value(m, &rest)
	}
	thousand := func(of func(f *Flow) float64) int64 {
		most, _ := d.peak(of)
		return max(1, int64(math.Ceil(min(most, catalog.MaxUnit*1000)/1000)))
	}
	const tried = 128
	mostIn, mostOut := thousand(func(f *Flow) float64 { return f.Input }), thousand(func(f *Flow) float64 { return f.Output })
	least := p.value(m, &d.Total)
	for low, high := int64(1), mostIn; ; {
		step := (high - low + tried) / tried
		at := low
		for i := low; i <= high; i += step {
			o := lowest(1, mostOut, func(o int64) float64 { return cost(i, o) })
			if c := cost(i, o); c < least {
				in, out, least, at = i, o, c, i
			}
		}
		if step == 1 || in == 0 {
			return in, out
		}
		low, high = max(1, at-step), min(mostIn, at+step)
	}
}

// lowest returns where a convex function of whole numbers is least, between two of them.
func lowest(low, high int64, of func(n int64) float64) int64 {
	for low < high {
		if n := low + (high-low)/2; of(n+1) < of(n) {
			low = n + 1
		} else {
			high = n
		}
	}
	return low
}
