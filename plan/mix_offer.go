package plan

import (
	"fmt"
	"time"

	"forebay/plan/replay"
)

// baseEndpoint considers instances for a base load, with what exceeds them on demand: the number whose cost is least, which is convex in it.
func (x *mixture) baseEndpoint() error {
	if x.engine == nil || x.enough < 2 {
		return nil
	}
	hours := float64(len(x.demand.Minutes)) / 60
	h := &holding{engine: x.engine, machine: x.machine, per: x.per, rest: true}
	h.instances = lowest(1, x.enough-1, func(n int64) float64 {
		rest := spill(x.demand, x.per, n)
		return float64(n)*float64(x.machine.Hour)*hours + x.p.value(x.model, &rest)
	})
	if !x.p.has(h.id()) {
		x.p.add(x.offer(h))
	}
	return nil
}

// offer makes an option of a mix.
func (x *mixture) offer(h *holding) *offer {
	p := x.p
	o := &offer{model: x.model, Option: &Option{
		ID: h.id(), Mode: h.mode(), Name: h.words() + later(x.waits), State: Possible, Units: h.base, Term: "none",
		Commitment: "none", Control: "of what runs on engines of one's own, full", Upkeep: "yours for the instances: images, weights, scaling, failures",
	}}
	if h.instances == 0 {
		o.Control, o.Upkeep = "none: a rate that is never throttled", "a schedule that makes and ends units"
	}
	if h.base > 0 {
		o.Term, o.Commitment = h.term.id, h.term.words
		o.Used = new(used(x.demand, needOf(h.unit), h.base))
	}
	if h.most() > 0 {
		o.Assumptions = append(o.Assumptions, "units by the hour of the week: "+p.words(h.hours))
	}
	if h.instances > 0 {
		o.Assumptions = append(o.Assumptions, notes(h.engine)...)
	}
	if h.instances > 0 && h.rest {
		o.Assumptions = append(o.Assumptions, fmt.Sprintf("a call that would wait longer than %v for an engine goes on demand", mixWait))
	}
	o.cost = func(d *Demand) ([]CostRow, error) {
		rows, err := x.rows(h, d)
		if err != nil {
			return nil, err
		}
		return p.withRest(o, rows, d, x.waits)
	}
	if h.rest {
		o.spills = func(part *Demand) Flow {
			var out Flow
			for i := range part.Minutes {
				f := liveAt(&part.Minutes[i], x.waits)
				if left := h.left(&f, p.demand.slot(part.from+i)); left > 0 {
					out.add(f, left)
				}
			}
			return out
		}
		rest := o.spills(p.demand)
		o.Spilled = &PerMillion{whole(million * rest.Calls / p.demand.Total.Calls), ClosedForm}
	}
	x.serve(o, h)
	return o
}

// rows price what is held.
func (x *mixture) rows(h *holding, d *Demand) ([]CostRow, error) {
	var out []CostRow
	hours := x.p.q.Days * hoursOfDay
	add := func(what, unit, per string, n, rate int64, source string) error {
		if n == 0 {
			return nil
		}
		amount, err := product([]int64{rate, n}, []int64{60})
		out = append(out, CostRow{What: what, Quantity: n / 60, Unit: unit, Rate: rate, Per: per, Amount: amount, Source: source})
		return err
	}
	if err := add("provisioned", "unit hours", "unit hour", h.base*hours*60, h.term.hour, x.source); err != nil {
		return nil, err
	}
	if h.hours != nil {
		minutes := int64(0)
		for i := range d.Minutes {
			minutes += h.hours[x.p.demand.slot(d.from+i)]
		}
		month, err := product([]int64{minutes, x.p.q.Days, minutesOfDay}, []int64{int64(len(d.Minutes))})
		if err != nil {
			return nil, err
		}
		if err := add("provisioned by the hour", "unit hours", "unit hour", month, h.hourly.hour, x.source); err != nil {
			return nil, err
		}
	}
	if h.instances == 0 {
		return out, nil
	}
	m := h.machine
	err := add("instances", "instance hours of "+m.Type, "instance hour", h.instances*hours*60, m.Hour, m.Source+", "+m.Date)
	return out, err
}

// serve prepares the replay of a mix.
func (x *mixture) serve(o *offer, h *holding) {
	p := x.p
	s := p.quotaServing(x.model)
	s.OnDemand, s.Waiting = h.rest, x.waits
	if !h.rest {
		s.Quota, s.bounds = replay.Quota{}, true
	}
	if h.instances > 0 {
		e := &h.engine.profile
		s.Engines, s.Slots, s.Profile, s.MaxQueue, s.MaxWait = int(h.instances*h.machine.engines), p.slots(e), *e, waiting, mixWait
	}
	o.serving = s
	if h.base == 0 && h.most() == 0 {
		return
	}
	rate := func(minute int) replay.Rate {
		n := h.at(p.demand.slot(minute))
		return replay.Rate{Input: h.unit.Input * n, Output: h.unit.Output * n}
	}
	o.schedule = func(w window) (replay.Rate, []replay.Change) {
		var changes []replay.Change
		for i := w.from + 1; i < w.to; i++ {
			if r := rate(i); r != rate(i-1) {
				changes = append(changes, replay.Change{At: time.Duration(i-w.from) * time.Minute, Rate: r})
			}
		}
		return rate(w.from), changes
	}
}
