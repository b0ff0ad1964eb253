package plan

import (
	"time"

	"forebay/workload"
)

// fill gives minutes of which nothing is known what others had on average: those of the same hour on days of the same kind (working days, days at
// the weekend), else those of that hour on any day, else all. Without them, the demand would be taken for less than it was.
func (d *Demand) fill(unknown []workload.Span) {
	if len(unknown) == 0 {
		return
	}
	d.unknown = make([]bool, len(d.Minutes))
	for _, s := range unknown {
		from, to := int((s.From+time.Minute-1)/time.Minute), int(s.To/time.Minute) // whole ones
		for i := max(from, 0); i < min(to, len(d.unknown)); i++ {
			if d.unknown[i] = d.Minutes[i].Calls == 0; d.unknown[i] {
				d.missing++
			}
		}
	}
	var kinds [2][hoursOfDay]mean
	var hours [hoursOfDay]mean
	var all mean
	for i := range d.Minutes {
		if !d.unknown[i] {
			weekend, hour := d.clock(i)
			for _, m := range []*mean{&kinds[weekend][hour], &hours[hour], &all} {
				m.add(&d.Minutes[i])
			}
		}
	}
	for i := range d.Minutes {
		if !d.unknown[i] {
			continue
		}
		weekend, hour := d.clock(i)
		for _, m := range []*mean{&kinds[weekend][hour], &hours[hour], &all} {
			if m.minutes > 0 {
				d.Minutes[i] = m.flow()
				break
			}
		}
		d.Total.add(d.Minutes[i], 1)
	}
}

// mean is the flow of minutes that are taken together.
type mean struct {
	sum     Flow
	minutes int
}

func (m *mean) add(f *Flow) {
	m.sum.add(*f, 1)
	m.minutes++
}

func (m *mean) flow() (f Flow) {
	f.add(m.sum, 1/float64(m.minutes))
	return f
}

// clock returns whether a minute is at a weekend, as 0 or 1, and the hour of its day. Where no wall clock is known, days begin with the traffic.
func (d *Demand) clock(minute int) (weekend, hour int) {
	if d.Start.IsZero() {
		return 0, minute / 60 % hoursOfDay
	}
	t := d.Start.Add(time.Duration(minute) * time.Minute)
	if w := t.Weekday(); w == time.Saturday || w == time.Sunday {
		weekend = 1
	}
	return weekend, t.Hour()
}

// idle returns the demand with nothing in the minutes of which nothing is known.
func (d *Demand) idle() *Demand {
	out := &Demand{Start: d.Start, Expected: d.Expected, Minutes: make([]Flow, len(d.Minutes))}
	for i := range d.Minutes {
		if !d.unknown[i] {
			out.Minutes[i] = d.Minutes[i]
			out.Total.add(d.Minutes[i], 1)
		}
	}
	return out
}

// known says whether something is known of all minutes of a window.
func (d *Demand) known(w window) bool {
	if d.unknown == nil {
		return true
	}
	for _, u := range d.unknown[w.from:w.to] {
		if u {
			return false
		}
	}
	return true
}
