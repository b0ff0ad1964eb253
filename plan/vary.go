package plan

import (
	"context"
	"fmt"
	"iter"
	"math"
	"time"

	"forebay/workload"
)

// Open is a traffic that leaves something open, as a shape in words does.
type Open interface {
	// Assumptions yields the same traffic under each other assumption, with its name.
	Assumptions() iter.Seq2[string, workload.Source]
}

// Joint is one whose assumptions do not hang on each other.
type Joint interface {
	Open
	// Together yields it under two of them or more at once, in every combination.
	Together() iter.Seq[workload.Source]
}

// mostTogether bounds the minutes of the traffics that are measured with several other assumptions at once.
const mostTogether = 30 * 28 * minutesOfDay

// vary measures the traffic under each of its assumptions: they make the range.
func (p *planner) vary(ctx context.Context) error {
	if p.demand.missing > 0 {
		p.variants = append(p.variants, variant{"nothing came in times without data", p.demand.idle()})
	}
	open, ok := p.q.Traffic.(Open)
	if !ok {
		return nil
	}
	for name, s := range open.Assumptions() {
		d, err := Measure(ctx, s)
		if err != nil {
			return err
		}
		p.variants = append(p.variants, variant{name, d})
	}
	joint, ok := open.(Joint)
	if n := len(p.variants); !ok || n*n*len(p.demand.Minutes) > mostTogether {
		return nil
	}
	for s := range joint.Together() {
		d, err := Measure(ctx, s)
		if err != nil {
			return err
		}
		p.variants = append(p.variants, variant{"", d})
	}
	return nil
}

// shortTraffic warns of what a recorded traffic is too short for.
func (p *planner) shortTraffic() {
	d := p.demand
	if d.missing > 0 {
		p.warn("%s %% of the time is not in the data: it is taken to be like the same hours of other days, and days with such a time are not resampled; --missing idle counts it as idleness",
			Milli(int64(100_000*d.missing/len(d.Minutes))))
	}
	if d.Expected {
		return
	}
	span := time.Duration(len(d.Minutes)) * time.Minute
	switch {
	case d.days() < 1:
		p.warn("the traffic covers %v and no whole day: the month is taken to be like it, nights and weekends included; give a day at least, better four weeks", span)
	case d.days() < 7:
		p.warn("the traffic covers %s days and no whole week: weekends are taken to be like them; give a week at least, better four", Milli(whole(1000*d.days())))
	}
	if p.a.Traffic.Empty > 0 {
		p.warn("%s %% of the minutes have no call: that is taken for idleness and not for missing data", Milli(p.a.Traffic.Empty*100))
	}
}

// traceTraffic notes the figures of the traffic.
func (p *planner) traceTraffic() {
	t, d := p.a.Traffic, p.demand
	p.line(Line{
		ID: "traffic.calls", What: "calls a day", Formula: "calls / days", Values: fmt.Sprintf("%s / %s", Grouped(t.Calls), Milli(whole(1000*d.days()))),
		Result: Grouped(t.CallsADay), Source: t.Name, Method: ClosedForm,
	})
	p.line(Line{
		ID: "traffic.peak", What: "calls in the busiest minute", Formula: "max over minutes", Values: fmt.Sprintf("minute %d of %d", t.PeakMinute, t.Minutes),
		Result: Milli(t.PeakCalls), Source: t.Name, Method: ClosedForm,
	})
	p.line(Line{
		ID: "traffic.factor", What: "busiest minute over the mean one, in tokens", Formula: "peak / (total / minutes)",
		Values: fmt.Sprintf("%s / (%s / %d)", Grouped(t.PeakTokens), Grouped(whole(d.Total.Input+d.Total.Cached+d.Total.Output)), t.Minutes),
		Result: Milli(t.PeakFactor), Source: t.Name, Method: ClosedForm,
	})
}

// sizing fills in what a cloud asks for with a request for quota.
func (p *planner) sizing() {
	m, t, d := p.q.Model, p.a.Traffic, p.demand
	limit := p.q.MaxOutput
	if limit == 0 && d.Total.Limited > 0 {
		limit = whole(d.Total.Limit / d.Total.Limited)
	}
	if limit == 0 {
		limit = m.MaxOutput
	}
	burndown := int64(m.Burndown)
	minutes := float64(len(d.Minutes))
	top := func(of func(f *Flow) float64) int64 { v, _ := d.peak(of); return int64(math.Ceil(v - 1e-9)) }
	s := &Sizing{
		Model: m.ID, Region: p.q.Region, MaxOutput: limit, Burndown: burndown, MeanInput: t.MeanInput, MeanOutput: t.MeanOutput,
		SteadyRequests: int64(math.Ceil(d.Total.Calls / minutes)), SteadyTokens: int64(math.Ceil(d.Total.tokens(1000) / minutes)),
		SteadyCharged: int64(math.Ceil(d.Total.tokens(burndown) / minutes)),
		PeakRequests:  top(func(f *Flow) float64 { return f.Calls }), PeakTokens: top(func(f *Flow) float64 { return f.tokens(1000) }),
		PeakCharged: top(func(f *Flow) float64 { return f.tokens(burndown) }), PeakHeld: top(func(f *Flow) float64 { return f.Input + f.Calls*float64(limit) }),
	}
	from, to := d.busiestDay()
	day := Flow{}
	for i := from; i < to; i++ {
		day.add(d.Minutes[i], 1)
	}
	s.TokensPerDay = int64(math.Ceil(day.tokens(burndown) - 1e-6))
	if quota, source := p.quota(m); source != "" {
		s.DefaultRequests, s.DefaultTokens, s.DefaultSource = quota.RequestsPerMinute, quota.TokensPerMinute, source
		s.DefaultIsEnough = s.PeakRequests <= quota.RequestsPerMinute && max(s.PeakCharged, s.PeakHeld) <= quota.TokensPerMinute
	}
	p.a.Sizing = s
	p.line(Line{
		ID: "sizing.charged", What: "tokens a minute that count against the quota, in the busiest minute", Formula: "f x r x (i + b x o)",
		Values: fmt.Sprintf("%s calls x (%d + %s x %d)", Milli(t.PeakCalls), t.MeanInput, Milli(burndown), t.MeanOutput), Result: Grouped(s.PeakCharged), Method: ClosedForm,
	})
	p.line(Line{
		ID: "sizing.held", What: "tokens a minute that are held at admission, in the busiest minute", Formula: "f x r x (i + max_tokens)",
		Values: fmt.Sprintf("%s calls x (%d + %d)", Milli(t.PeakCalls), t.MeanInput, limit), Result: Grouped(s.PeakHeld), Method: ClosedForm,
	})
}
