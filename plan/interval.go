package plan

import (
	"fmt"
	"math"

	"forebay/plan/interval"
	"forebay/plan/purchase"
)

// sample are the whole days of a recorded traffic.
type sample struct {
	parts []*Demand
	days  interval.Days
}

// sampled divides a recorded traffic into days of its own clock; nil where they are too few for an interval, which is said.
func (p *planner) sampled() (*sample, error) {
	d := p.demand
	if d.Expected || d.Start.IsZero() {
		return nil, nil //nolint:nilnil // a traffic that cannot be resampled is no error
	}
	s := &sample{}
	for _, day := range d.wholeDays() {
		part := day.part
		series := make([]int64, len(part.Minutes))
		for i := range series {
			f := &part.Minutes[i]
			series[i] = whole(f.Input + f.Cached + f.Output)
		}
		demand, err := purchase.NewDemand(series)
		if err != nil {
			return nil, err
		}
		s.parts = append(s.parts, part)
		s.days.Add(interval.Day{Weekday: day.weekday, Demand: demand})
	}
	if missing, _ := s.days.Missing(); missing != [2]int{} {
		p.warn("no interval can be given: whole weekdays are short by %d, and whole weekend days by %d; costs are points", missing[0], missing[1])
		return nil, nil //nolint:nilnil // likewise
	}
	return s, nil
}

// level is the share of samples whose interval holds the truth.
const level = 0.9

// resample gives a cost its interval: the days of the traffic are drawn again, weekdays and weekend days apart.
func (p *planner) resample(o *offer, c *Cost) error {
	figures := make([]float64, len(p.sample.parts))
	for i, d := range p.sample.parts {
		rows, err := o.cost(d)
		if err != nil {
			return err
		}
		amount, err := sumOf(rows)
		if err != nil {
			return err
		}
		figures[i] = float64(amount)
	}
	x, err := p.sample.days.Mean(figures, interval.Options{Level: level, Seed: p.q.Seed})
	if err != nil {
		return err
	}
	c.Low, c.High, c.Kind = min(c.Mid, x.Low), max(c.Mid, x.High), "interval"
	c.Over = []string{fmt.Sprintf("%.0f %% of such intervals hold the mean month of days like these %d, which were resampled whole, weekdays and weekend days apart; that coming months are like them is assumed", math.Round(100*level), x.Days)}
	for _, w := range x.Warnings {
		p.warn("%s", w)
	}
	return nil
}
