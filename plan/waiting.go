package plan

import (
	"fmt"
	"strings"
	"time"

	"forebay/catalog"
	"forebay/infer"
	"forebay/plan/replay"
)

// Tiered is a traffic that says itself how many of its calls may wait, as shares of them: for minutes, and for a day.
type Tiered interface {
	MayWait() (flex, batch float64)
}

// waitingShare returns the calls that wait, as a share of all.
func waitingShare(w replay.Waiting) float64 { return float64(w.Flex+w.Batch) / 1000 }

// asked are the calls that may wait.
func (p *planner) asked() replay.Waiting { return replay.Waiting{Flex: p.q.Flex, Batch: p.q.Batch} }

// sold are those of them that wait where a model is served by a cloud: at tiers whose price is known.
func (p *planner) sold(m *catalog.Model) replay.Waiting {
	w := p.asked()
	if !sells(m, infer.TierFlex) {
		w.Flex = 0
	}
	if !sells(m, infer.TierBatch) {
		w.Batch = 0
	}
	return w
}

func sells(m *catalog.Model, t infer.Tier) bool {
	r := m.Price.Rates(t)
	return r.Input != nil && r.Output != nil
}

// live is what is left of a demand without the calls that wait.
func live(d *Demand, w replay.Waiting) *Demand {
	if w == (replay.Waiting{}) {
		return d
	}
	return d.scaled(1 - waitingShare(w))
}

// liveAt is the part of the flow of a minute that somebody waits for.
func liveAt(f *Flow, w replay.Waiting) Flow {
	var out Flow
	out.add(*f, 1-waitingShare(w))
	return out
}

// laterRows prices the calls that wait, at their tiers.
func (p *planner) laterRows(m *catalog.Model, d *Demand, w replay.Waiting) ([]CostRow, error) {
	var out []CostRow
	for _, x := range []struct {
		share int64
		tier  infer.Tier
	}{{w.Flex, infer.TierFlex}, {w.Batch, infer.TierBatch}} {
		if x.share == 0 {
			continue
		}
		rows, err := p.tokenRows(m, d.scaled(float64(x.share)/1000).Total, d, x.tier)
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	return out, nil
}

// laterValue is what those calls are worth, in nano-units over the length of the demand.
func (p *planner) laterValue(m *catalog.Model, d *Demand, w replay.Waiting) float64 {
	if w == (replay.Waiting{}) {
		return 0
	}
	v := p.value(m, &d.Total)
	return v * (float64(w.Flex)*float64(m.Price.FlexPermille) + float64(w.Batch)*float64(m.Price.BatchPermille)) / 1e6
}

// tiered considers the tiers at which calls wait, for those that may.
func (p *planner) tiered(m *catalog.Model) error {
	asked, w := p.asked(), p.sold(m)
	for _, x := range []struct {
		name        string
		asked, sold int64
	}{{"flex", asked.Flex, w.Flex}, {"batch", asked.Batch, w.Batch}} {
		if x.asked > x.sold {
			p.warn("no price of the tier %s is known of %s: those that could take it are counted as calls that somebody waits for, but on engines of one's own (--tier-factor %s=0.5)", x.name, m.ID, x.name)
		}
	}
	if w.Batch < 1000 && sells(m, infer.TierBatch) {
		o := &offer{model: m, Option: &Option{
			ID: "batch", Mode: Batch, Name: "Batch for all calls", State: Impossible,
			Why:        "answers come within a day and somebody waits for these calls; it is for the share that may wait (--batch)",
			Commitment: "none", Control: "none", Upkeep: "files in, files out",
		}}
		o.cost = func(d *Demand) ([]CostRow, error) { return p.tokenRows(m, d.Total, d, infer.TierBatch) }
		p.add(o)
	}
	if w == (replay.Waiting{}) {
		return nil
	}
	o := &offer{model: m, serving: p.quotaServing(m), Option: &Option{
		Mode: Batch, State: Possible, Commitment: "none", Control: "none", Upkeep: "none",
		Assumptions: []string{spread},
	}}
	o.serving.Waiting = w
	var names, parts []string
	if w.Flex+w.Batch < 1000 {
		names, parts = append(names, "on demand"), append(parts, "on-demand")
	}
	if w.Flex > 0 {
		names, parts = append(names, "flex for "+percentOf(w.Flex)), append(parts, "flex")
		o.Assumptions = append(o.Assumptions, "flex counts against the quota on demand, and may be stopped and begun again, which is not charged")
	}
	if w.Batch > 0 {
		names, parts = append(names, "batch for "+percentOf(w.Batch)), append(parts, "batch")
		o.Upkeep = "files in, files out, for what goes by batch"
		o.Assumptions = append(o.Assumptions, "batch has its own quotas, which are not known here, and is answered within a day")
	}
	o.ID, o.Name = strings.Join(parts, "+"), strings.ToUpper(names[0][:1])+strings.Join(names, ", ")[1:]
	o.cost = func(d *Demand) ([]CostRow, error) {
		rows, err := p.tokenRows(m, live(d, w).Total, d, infer.TierDefault)
		if err != nil {
			return nil, err
		}
		later, err := p.laterRows(m, d, w)
		return append(rows, later...), err
	}
	p.add(o)
	return nil
}

// spread is assumed of the calls that may wait.
const spread = "the calls that may wait come as all others do"

func percentOf(permille int64) string {
	if permille == 1000 {
		return "all calls"
	}
	return "the " + Milli(permille*100) + " % that may wait"
}

// later says in a name how the calls that may wait are served, "" where there are none.
func later(w replay.Waiting) string {
	switch {
	case w.Flex > 0 && w.Batch > 0:
		return ", what may wait by flex and batch"
	case w.Flex > 0:
		return ", what may wait by flex"
	case w.Batch > 0:
		return ", what may wait by batch"
	default:
		return ""
	}
}

// mustEnd is when calls of batch are late.
const mustEnd = 24 * time.Hour

// learnWaited takes in what became of the calls that may wait.
func (p *planner) learnWaited(o *offer) {
	s, r := o.serving, o.serving.result
	n := r.Waited.Count()
	if n == 0 {
		return
	}
	o.Recalled = &PerMillion{r.Recalled * million / n, Replayed}
	if !s.own {
		return
	}
	o.Waited = quantiles(s, func(r *replay.Result) *replay.Histogram { return &r.Waited })
	if o.Waited.P99 > int64(mustEnd) {
		o.Assumptions = append(o.Assumptions, fmt.Sprintf("one in a hundred of the calls that may wait takes %v: more instances, or let them wait longer", time.Duration(o.Waited.P99).Round(time.Minute)))
	}
}

// waiting fills in the shares that the traffic tells of itself, where the question has none.
func (p *planner) waiting() {
	t, ok := p.q.Traffic.(Tiered)
	if !ok || p.q.Flex > 0 || p.q.Batch > 0 {
		return
	}
	flex, batch := t.MayWait()
	p.q.Flex, p.q.Batch = whole(1000*flex), whole(1000*batch)
}
