package plan

import (
	"fmt"

	"forebay/catalog"
	"forebay/infer"
)

// onDemand considers paying by the token, and leaving to batch what may wait.
func (p *planner) onDemand(m *catalog.Model) error {
	o := &offer{model: m, Option: &Option{
		ID: "on-demand", Mode: OnDemand, Name: "On demand", State: Possible,
		Commitment: "none", Control: "none: a quota, and what the service does", Upkeep: "none",
	}}
	r, ok := p.rates(m)
	if !ok {
		o.State, o.Why = Unknown, "no price on demand is known of "+m.ID
		p.add(o)
		return nil
	}
	o.cost = func(d *Demand) ([]CostRow, error) { return p.tokenRows(m, d.Total, d, infer.TierDefault) }
	o.serving = p.quotaServing(m)
	p.add(o)
	p.line(Line{
		ID: o.ID + ".call", What: "price of a mean call on demand", Formula: "c = i x p_in + o x p_out",
		Values: fmt.Sprintf("%d x %s + %d x %s per million tokens", p.a.Traffic.MeanInput, rate(*r.Input), p.a.Traffic.MeanOutput, rate(*r.Output)),
		Result: fmt.Sprintf("%s %s", rate(whole(p.perCall(m))), p.a.Currency), Source: m.Price.Source, Method: ClosedForm,
	})
	return p.tiered(m)
}

// tokenRows prices a total of a demand's tokens at a tier, by the month.
func (p *planner) tokenRows(m *catalog.Model, total Flow, d *Demand, tier infer.Tier) ([]CostRow, error) {
	r := m.Price.Rates(tier)
	what := "on demand"
	if tier != infer.TierDefault {
		what = tier.String()
	}
	var rows []CostRow
	for _, x := range []struct {
		unit  string
		total float64
		rate  *int64
	}{{"input tokens", total.Input, r.Input}, {"cached input tokens", total.Cached, r.CacheRead}, {"output tokens", total.Output, r.Output}} {
		tokens := whole(x.total)
		if tokens == 0 {
			continue
		}
		at := x.rate
		if at == nil { // tokens read from a cache at no known price count as all others
			at = r.Input
			p.warn("no price of cached input is known of %s: it is counted as input", m.ID)
		}
		row := CostRow{What: what, Unit: x.unit, Rate: *at, Per: "million " + x.unit, Source: m.Price.Source}
		var err error
		if row.Quantity, err = p.monthly(tokens, d); err != nil {
			return nil, err
		}
		if row.Amount, err = product([]int64{*at, tokens, p.q.Days, minutesOfDay}, []int64{million, int64(len(d.Minutes))}); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// perCall is what a mean call costs on demand, in nano-units.
func (p *planner) perCall(m *catalog.Model) float64 {
	t := &p.demand.Total
	return p.value(m, t) / t.Calls
}

// value is what a flow costs on demand, in nano-units.
func (p *planner) value(m *catalog.Model, f *Flow) float64 {
	r, ok := p.rates(m)
	if !ok {
		return 0
	}
	cached := *r.Input
	if r.CacheRead != nil {
		cached = *r.CacheRead
	}
	return (f.Input*float64(*r.Input) + f.Cached*float64(cached) + f.Output*float64(*r.Output)) / million
}

// quota returns the quota on demand, and where it comes from; "" where none is known.
func (p *planner) quota(m *catalog.Model) (catalog.Quota, string) {
	if p.q.Quota != nil {
		return *p.q.Quota, "given"
	}
	q := catalog.AWSQuotas()
	if x, ok := q.Of(m.ID, p.q.Region); ok {
		return x, q.Source + ", " + q.Date
	}
	return catalog.Quota{}, ""
}

// rate writes an exact amount of nano-units.
func rate(nano int64) string {
	units, frac := Grouped(nano/1e9), fmt.Sprintf("%09d", nano%1e9)
	for len(frac) > 2 && frac[len(frac)-1] == '0' {
		frac = frac[:len(frac)-1]
	}
	return units + "." + frac
}
