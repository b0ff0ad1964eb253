package plan

import (
	"fmt"
	"strings"
	"time"

	"forebay/catalog"
	"forebay/plan/replay"
)

// hoursOfWeek are the slots of a schedule: units without a commitment are made and ended at any hour.
const hoursOfWeek = 7 * hoursOfDay

// slot is the hour of the week of a minute of a demand, from Monday 0 h on; without a clock or a whole week, the hour of the day.
func (d *Demand) slot(minute int) int {
	if d.Start.IsZero() || len(d.Minutes) < 7*minutesOfDay {
		return minute / 60 % hoursOfDay
	}
	at := d.Start.Add(time.Duration(minute) * time.Minute)
	return (int(at.Weekday())+6)%7*hoursOfDay + at.Hour()
}

// scheduled considers units without a commitment that are bought for some hours of the week only: in each hour as many as are cheapest for
// the minutes that fall into it, the rest on demand.
func (p *planner) scheduled(m *catalog.Model, t term, source string, u *catalog.Unit) {
	var hours [hoursOfWeek]Demand
	d, k := live(p.demand, p.sold(m)), needOf(u)
	for i := range d.Minutes {
		h := &hours[d.slot(i)]
		h.Minutes = append(h.Minutes, d.Minutes[i])
		h.Total.add(d.Minutes[i], 1)
	}
	var units [hoursOfWeek]int64
	same, most := true, int64(0)
	for i := range hours {
		if len(hours[i].Minutes) == 0 {
			continue
		}
		peak, err := peakUnits(&hours[i], k)
		if err != nil {
			return // of a unit so small no number is bought
		}
		units[i] = p.cheapest(m, &hours[i], k, t.hour, peak)
		same = same && units[i] == units[p.demand.slot(0)]
		most = max(most, units[i])
	}
	if same || most == 0 {
		return // that is no schedule
	}
	o := bought(m, "provisioned+on-demand/scheduled", Possible, "")
	o.Mode, o.Term, o.Commitment, o.Control = Mix, "scheduled", t.words, "none: a rate that is never throttled, for some hours"
	o.Upkeep = "a schedule that makes and ends units"
	o.Name = fmt.Sprintf("Up to %s for some hours, no commitment, the rest on demand", unitCount(most)) + later(p.sold(m))
	o.Assumptions = []string{
		"units are there when their hour begins, and the account's quota of units without commitment lets them be made",
		"units by the hour of the week: " + p.words(&units),
	}
	if !p.demand.Expected {
		o.Assumptions = append(o.Assumptions, "coming weeks are like the one that the schedule was made from: it costs more where they are not")
	}
	p.planned(o, t, source, u, &units)
	p.add(o)
}

// planned gives the option its cost, its spill-over and its replay.
func (p *planner) planned(o *offer, t term, source string, u *catalog.Unit, units *[hoursOfWeek]int64) {
	base, w, k := p.demand, p.sold(o.model), needOf(u)
	o.spills = func(part *Demand) Flow {
		var out Flow
		for i := range part.Minutes {
			f := liveAt(&part.Minutes[i], w)
			if n, k := units[base.slot(part.from+i)], k(&f); k > float64(n) {
				out.add(f, 1-float64(n)/k)
			}
		}
		return out
	}
	o.cost = func(d *Demand) ([]CostRow, error) {
		minutes := int64(0)
		for i := range d.Minutes {
			minutes += units[base.slot(d.from+i)]
		}
		whole := []int64{60, int64(len(d.Minutes))}
		hours, err := product([]int64{minutes, p.q.Days, minutesOfDay}, whole)
		if err != nil {
			return nil, err
		}
		amount, err := product([]int64{t.hour, minutes, p.q.Days, minutesOfDay}, whole)
		if err != nil {
			return nil, err
		}
		return p.withRest(o, []CostRow{{What: "provisioned", Quantity: hours, Unit: "unit hours", Rate: t.hour, Per: "unit hour", Amount: amount, Source: source}}, d, w)
	}
	rate := func(minute int) replay.Rate {
		n := units[base.slot(minute)]
		return replay.Rate{Input: u.Input * n, Output: u.Output * n}
	}
	o.serving = p.unitServing(o.model, u, 1, true)
	o.schedule = func(w window) (replay.Rate, []replay.Change) {
		var later []replay.Change
		for i := w.from + 1; i < w.to; i++ {
			if r := rate(i); r != rate(i-1) {
				later = append(later, replay.Change{At: time.Duration(i-w.from) * time.Minute, Rate: r})
			}
		}
		return rate(w.from), later
	}
	rest := o.spills(base)
	o.Spilled = &PerMillion{whole(million * rest.Calls / base.Total.Calls), ClosedForm}
}

// words writes a schedule: "Mon-Sun 09-17 2, ...".
func (p *planner) words(units *[hoursOfWeek]int64) string {
	names := []string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}
	day := func(d int) string {
		var out []string
		for h := 0; h < hoursOfDay; {
			end := h + 1
			for end < hoursOfDay && units[d*hoursOfDay+end] == units[d*hoursOfDay+h] {
				end++
			}
			if n := units[d*hoursOfDay+h]; n > 0 {
				out = append(out, fmt.Sprintf("%02d-%02d h %s", h, end, unitCount(n)))
			}
			h = end
		}
		return strings.Join(out, ", ")
	}
	if p.demand.Start.IsZero() || len(p.demand.Minutes) < 7*minutesOfDay {
		return "each day " + day(0)
	}
	var out []string
	for d := 0; d < 7; {
		end := d + 1
		for end < 7 && day(end) == day(d) {
			end++
		}
		if w := day(d); w != "" {
			name := names[d]
			if end > d+1 {
				name += "-" + names[end-1]
			}
			out = append(out, name+" "+w)
		}
		d = end
	}
	return strings.Join(out, "; ")
}
