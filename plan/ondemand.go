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
	return p.batch(m)
}

// batch considers batch inference for what may wait.
func (p *planner) batch(m *catalog.Model) error {
	if m.Price.BatchPermille == 0 {
		return nil
	}
	o := &offer{model: m, Option: &Option{
		ID: "batch", Mode: Batch, Name: "Batch for all calls", State: Impossible,
		Why:        "answers come within a day and somebody waits for these calls; it is for the share that may wait (--may-wait)",
		Commitment: "none", Control: "none", Upkeep: "files in, files out",
		Assumptions: []string{"the share that may wait is spread as all calls are"},
	}}
	o.cost = func(d *Demand) ([]CostRow, error) { return p.tokenRows(m, d.Total, d, infer.TierBatch) }
	switch share := p.q.MayWait; {
	case share == 1000:
		o.State, o.Why = Possible, ""
	case share > 0:
		part := *o.Option
		x := &offer{model: m, Option: &part, serving: p.quotaServing(m)}
		x.ID, x.Name, x.State, x.Why = "on-demand+batch", fmt.Sprintf("On demand, and batch for the %s %% that may wait", Milli(share*100)), Possible, ""
		x.cost = func(d *Demand) ([]CostRow, error) {
			rows, err := p.tokenRows(m, d.scaled(1-float64(share)/1000).Total, d, infer.TierDefault)
			if err != nil {
				return nil, err
			}
			later, err := p.tokenRows(m, d.scaled(float64(share)/1000).Total, d, infer.TierBatch)
			return append(rows, later...), err
		}
		p.add(x)
	}
	p.add(o)
	return nil
}

// tokenRows prices a total of a demand's tokens at a tier, by the month.
func (p *planner) tokenRows(m *catalog.Model, total Flow, d *Demand, tier infer.Tier) ([]CostRow, error) {
	r := m.Price.Rates(tier)
	what := "on demand"
	if tier == infer.TierBatch {
		what = "batch"
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
