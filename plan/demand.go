package plan

import (
	"context"
	"math"
	"slices"
	"time"

	"forebay/fault"
	"forebay/workload"
)

// Flow is what comes in one minute. It is not whole where it is expected and not counted.
type Flow struct {
	Calls, Input, Cached, Output float64 // Input is without what was read from a cache
	Limit                        float64 // the most output that callers ask for, of those that say so
	Limited                      float64 // calls that say so
}

func (f *Flow) add(g Flow, k float64) {
	f.Calls += k * g.Calls
	f.Input += k * g.Input
	f.Cached += k * g.Cached
	f.Output += k * g.Output
	f.Limit += k * g.Limit
	f.Limited += k * g.Limited
}

func (f *Flow) times(k float64) Flow {
	return Flow{k * f.Calls, k * f.Input, k * f.Cached, k * f.Output, k * f.Limit, k * f.Limited}
}

// tokens are all but those read from a cache, with output weighed per mille.
func (f *Flow) tokens(burndown int64) float64 { return f.Input + f.Output*float64(burndown)/1000 }

// Demand is the flow of a traffic, minute by minute.
type Demand struct {
	Minutes []Flow
	Total   Flow
	// Start is the wall clock of the first minute; zero if it is not known.
	Start time.Time
	// from is the minute of the whole that a part begins at.
	from int
	// Expected says that the flow is known without counting calls.
	Expected bool
	// unknown are minutes of which nothing is known, and that have what others had; nil for none. missing is how many there are.
	unknown []bool
	missing int
}

// Rated is a traffic whose expected flow is known without reading it, as that of a shape in words is.
type Rated interface {
	workload.Source
	// Rate returns the calls a second that are expected at an instant.
	Rate(at time.Duration) float64
	// Call is the size of a call.
	Call() workload.Request
}

const (
	minutesOfDay = 24 * 60
	// longest is a bound on the traffic that is looked at: ten years, by the minute.
	longest = 10 * 366 * minutesOfDay
)

// Measure reads the flow of a traffic.
func Measure(ctx context.Context, s workload.Source) (*Demand, error) {
	if r, ok := s.(Rated); ok {
		d := expected(r)
		d.fill(s.Info().Unknown)
		return d, nil
	}
	d := &Demand{}
	n := 0
	for q, err := range s.All() {
		if err != nil {
			return nil, err
		}
		if n++; n%4096 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		at := int64(q.At / time.Minute)
		if q.At < 0 || at >= longest {
			return nil, fault.Newf(fault.Invalid, "%s: a call at %v from the start; traffic of at most ten years is looked at: cut the file", s.Info().Name, q.At)
		}
		for int64(len(d.Minutes)) <= at {
			d.Minutes = append(d.Minutes, Flow{})
		}
		f := Flow{Calls: 1, Input: float64(q.Input - q.Cached), Cached: float64(q.Cached), Output: float64(q.Output)}
		if q.MaxOutput > 0 {
			f.Limit, f.Limited = float64(q.MaxOutput), 1
		}
		d.Minutes[at].add(f, 1)
		d.Total.add(f, 1)
	}
	if d.Total.Calls == 0 {
		return nil, fault.Newf(fault.Invalid, "%s has no calls: nothing can be planned for it", s.Info().Name)
	}
	d.Start = s.Info().Start // which a file tells only when it has been read
	if whole := int64(s.Info().Length / time.Minute); whole > int64(len(d.Minutes)) && whole < longest {
		d.Minutes = append(d.Minutes, make([]Flow, whole-int64(len(d.Minutes)))...)
	}
	d.fill(s.Info().Unknown)
	return d, nil
}

// expected integrates the rate of a shape over its length, a minute as six steps at their middles.
func expected(r Rated) *Demand {
	const steps = 6
	c := r.Call()
	call := Flow{Calls: 1, Input: float64(c.Input - c.Cached), Cached: float64(c.Cached), Output: float64(c.Output)}
	if c.MaxOutput > 0 {
		call.Limit, call.Limited = float64(c.MaxOutput), 1
	}
	d := &Demand{Start: r.Info().Start, Expected: true}
	d.Minutes = make([]Flow, r.Info().Length/time.Minute)
	for m := range d.Minutes {
		calls := 0.0
		for k := range steps {
			calls += r.Rate(time.Duration(m)*time.Minute+time.Minute*time.Duration(2*k+1)/(2*steps)) * 60 / steps
		}
		d.Minutes[m].add(call, calls)
		d.Total.add(d.Minutes[m], 1)
	}
	return d
}

// scaled returns the demand with every minute multiplied.
func (d *Demand) scaled(k float64) *Demand { return d.scaledOver(k, &Demand{}) }

// scaledOver does so in the place of another demand.
func (d *Demand) scaledOver(k float64, over *Demand) *Demand {
	*over = Demand{Start: d.Start, Expected: d.Expected, Total: d.Total.times(k), Minutes: slices.Grow(over.Minutes[:0], len(d.Minutes))}
	for i := range d.Minutes {
		over.Minutes = append(over.Minutes, d.Minutes[i].times(k))
	}
	return over
}

// whole rounds a total to whole tokens or calls.
func whole(v float64) int64 { return int64(math.Round(v)) }

// peak returns the largest of a measure over the minutes, and the minute.
func (d *Demand) peak(of func(f *Flow) float64) (most float64, at int) {
	for i := range d.Minutes {
		if v := of(&d.Minutes[i]); v > most {
			most, at = v, i
		}
	}
	return most, at
}

// busiestDay returns the first minute of the 24 hours, from the start on, with the most calls, and its end.
func (d *Demand) busiestDay() (from, to int) {
	most := -1.0
	for day := 0; day < len(d.Minutes); day += minutesOfDay {
		end, calls := min(day+minutesOfDay, len(d.Minutes)), 0.0
		for i := day; i < end; i++ {
			if d.unknown == nil || !d.unknown[i] { // what is filled in cannot be replayed
				calls += d.Minutes[i].Calls
			}
		}
		if calls > most {
			most, from, to = calls, day, end
		}
	}
	return from, to
}

// part is the demand of a window.
func (d *Demand) part(w window) *Demand {
	out := &Demand{Start: d.Start.Add(time.Duration(w.from) * time.Minute), from: d.from + w.from, Expected: d.Expected, Minutes: d.Minutes[w.from:w.to]}
	if d.Start.IsZero() {
		out.Start = d.Start
	}
	for i := range out.Minutes {
		out.Total.add(out.Minutes[i], 1)
	}
	return out
}

// days are how many days the demand covers.
func (d *Demand) days() float64 { return float64(len(d.Minutes)) / minutesOfDay }
