package plan

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"forebay/catalog"
	"forebay/fault"
	"forebay/infer"
	"forebay/plan/replay"
)

// planner works one question out.
type planner struct {
	q        *Question
	demand   *Demand
	variants []variant
	sample   *sample // nil where nothing can be resampled
	a        *Answer
	offers   []*offer // what can be had, with what is needed to replay it
	extra    []*offer // what was replayed for the frontier alone
}

// variant is the demand under a named assumption, or without a name under several of those that are named.
type variant struct {
	name   string
	demand *Demand
}

// offer is an option with how it is computed again.
type offer struct {
	*Option
	model *catalog.Model
	// cost computes rows for a demand; nil where the cost is not known.
	cost func(d *Demand) ([]CostRow, error)
	// serving prepares a replay; nil where it cannot be replayed.
	serving *serving
	// spills is what a purchase leaves of the demand, or of a part of it; nil for what is no mix.
	spills func(part *Demand) Flow
	// schedule is what is bought in a window: at its start, and the changes in it; nil for the same at all times.
	schedule func(w window) (replay.Rate, []replay.Change)
	// elastic is how engines come and go in a window; nil where they are always there.
	elastic func(w window) *replay.Elastic
	// up is for how many engine-hours a window is paid for, by closed form; nil where engines do not come and go.
	up func(w window) float64
	// sized makes the same offer with another number of units or instances, for the frontier; nil where there is none. extra says that it is for that alone.
	sized func(n int64) *offer
	extra bool
	// late says that it is ruled out because its answers come after the deadline.
	late bool
	// always are engines that are up at all times and paid for apart from those.
	always float64
	// more adds the same purchase with more units, where bursts take them.
	more func() error
}

// Do answers a question. Where ctx ends before it is done, it returns what is known by then, and no error.
func Do(ctx context.Context, q *Question) (*Answer, error) {
	if err := q.complete(); err != nil {
		return nil, err
	}
	q.Progress(0, "reading the traffic")
	d, err := Measure(ctx, q.Traffic)
	if err != nil {
		return nil, err
	}
	if len(d.Minutes) == 0 || d.Total.Calls <= 0 {
		return nil, fault.Newf(fault.Invalid, "%s has no calls: nothing can be planned for it", q.Traffic.Info().Name)
	}
	p := &planner{q: q, demand: d, a: &Answer{
		Version: 1, Days: q.Days, Hours: q.Days * hoursOfDay, Model: q.Model.ID, Region: q.Region, Deadline: int64(q.Deadline), Seed: q.Seed,
		Traffic: summary(q.Traffic, d),
	}}
	p.waiting()
	if err := p.vary(ctx); err != nil {
		return nil, err
	}
	if p.sample, err = p.sampled(); err != nil {
		return nil, err
	}
	if err := p.screen(); err != nil {
		return nil, err
	}
	if err = p.decide(ctx); err == nil {
		err = p.explore(ctx)
	}
	if err == nil {
		err = p.clients(ctx)
	}
	if err != nil && ctx.Err() == nil {
		return nil, err
	}
	p.a.Complete = err == nil
	return p.a, p.conclude()
}

// screen finds what each way of serving costs, by closed forms.
func (p *planner) screen() error {
	price := p.q.Model.Price
	if p.a.Currency = "USD"; price != nil {
		p.a.Currency = price.Currency
	}
	p.traceTraffic()
	p.shortTraffic()
	models := []*catalog.Model{p.q.Model}
	if p.q.Substitute != nil {
		models = append(models, p.q.Substitute)
	}
	for _, m := range models {
		for _, consider := range []func(*catalog.Model) error{p.onDemand, p.provisioned, p.rules, p.reservedTier, p.endpoint, p.serverless, p.mixes} {
			if err := consider(m); err != nil {
				return err
			}
		}
	}
	for _, o := range p.offers {
		if err := p.price(o); err != nil {
			return err
		}
	}
	p.rank()
	p.sizing()
	return nil
}

// add takes an option in.
func (p *planner) add(o *offer) *offer {
	if o.model != p.q.Model {
		o.ID = o.model.ID + "/" + o.ID
		o.Model = o.model.ID
		o.Name += " of " + o.model.Name
	}
	if o.Decided == "" {
		o.Decided = ClosedForm
	}
	p.offers = append(p.offers, o)
	return o
}

// price computes what an offer costs, and its range over the variants.
func (p *planner) price(o *offer) error {
	if o.cost == nil {
		return nil
	}
	rows, err := o.cost(p.demand)
	if err != nil {
		return err
	}
	mid, err := sumOf(rows)
	if err != nil {
		return err
	}
	c := &Cost{Low: mid, Mid: mid, High: mid, Kind: "point", Rows: rows}
	for _, v := range p.variants {
		rows, err := o.cost(v.demand)
		if err != nil {
			return err
		}
		amount, err := sumOf(rows)
		if err != nil {
			return err
		}
		c.Low, c.High = min(c.Low, amount), max(c.High, amount)
		c.Kind = "range"
		if v.name != "" {
			c.Over = append(c.Over, v.name)
		}
	}
	if n := len(p.variants); n > 0 && p.variants[n-1].name == "" {
		c.Over = append(c.Over, "any of these together")
	}
	if p.sample != nil {
		if err := p.resample(o, c); err != nil {
			return err
		}
	}
	o.Cost = c
	var values []string
	for i := range rows {
		r := &rows[i]
		values = append(values, fmt.Sprintf("%s %s x %s per %s", Grouped(r.Quantity), r.Unit, rate(r.Rate), r.Per))
	}
	p.line(Line{
		ID: o.ID + ".cost", What: "cost of " + o.Name + " a month", Formula: "sum of quantity x rate, each row rounded once",
		Values: strings.Join(values, " + "), Result: Amount(mid) + " " + p.a.Currency, Source: sources(rows), Method: ClosedForm,
	})
	return nil
}

// sources names where the rates of rows come from, each once.
func sources(rows []CostRow) string {
	var out []string
	for i := range rows {
		if !slices.Contains(out, rows[i].Source) {
			out = append(out, rows[i].Source)
		}
	}
	return strings.Join(out, "; ")
}

// line notes where a figure comes from.
func (p *planner) line(l Line) { p.a.Lines = append(p.a.Lines, l) }

func (p *planner) warn(format string, args ...any) {
	w := fmt.Sprintf(format, args...)
	if !slices.Contains(p.a.Warnings, w) {
		p.a.Warnings = append(p.a.Warnings, w)
	}
}

// rank puts the options into order. Those of a substitute, and of another cloud, come behind those of the model that was asked about: another model, or cloud, is another answer.
func (p *planner) rank() {
	order := map[State]int{Possible: 0, Unknown: 1, Impossible: 2}
	slices.SortStableFunc(p.offers, func(a, b *offer) int {
		return cmp.Or(cmp.Compare(order[a.State], order[b.State]), p.other(a)-p.other(b), cmp.Compare(a.amount(), b.amount()), cmp.Compare(a.Units, b.Units), cmp.Compare(a.ID, b.ID))
	})
	p.a.Options = nil
	for _, o := range p.offers {
		p.a.Options = append(p.a.Options, o.Option)
	}
	p.a.Recommended = ""
	if len(p.offers) > 0 && p.offers[0].State == Possible {
		p.a.Recommended = p.offers[0].ID
	}
}

// other is 1 for an option of a substitute, or of another cloud.
func (p *planner) other(o *offer) int {
	if o.model != p.q.Model || o.Rules != "" {
		return 1
	}
	return 0
}

// amount is what options of one state are ranked by.
func (o *Option) amount() int64 {
	if o.Cost != nil {
		return o.Cost.Mid
	}
	return o.AtLeast
}

// rates are the prices on demand of a model, false where they are not known.
func (p *planner) rates(m *catalog.Model) (catalog.Rates, bool) {
	r := m.Price.Rates(infer.TierDefault)
	return r, r.Input != nil && r.Output != nil && r.Currency == p.a.Currency
}

// monthly returns what a total of the demand comes to in a month.
func (p *planner) monthly(total int64, d *Demand) (int64, error) {
	return product([]int64{total, p.q.Days, minutesOfDay}, []int64{int64(len(d.Minutes))})
}
