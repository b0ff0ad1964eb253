package interval

import (
	"fmt"
	"math"

	"forebay/fault"
	"forebay/plan/purchase"
)

// Forecast is how courses of demand are made from days.
type Forecast struct {
	// Stretches is how many there are, and Days how long each is (30 for months).
	Stretches, Days int
	// First is the day of the week of the first day to come, from Sunday = 0 on.
	First int
}

func (f Forecast) check() error {
	if f.Stretches < 1 || f.Days < 1 || f.First < 0 || f.First > 6 || f.Stretches > 1200 || f.Days > 3660 {
		return fault.Newf(fault.Invalid, "a forecast of %d stretches of %d days from day %d of the week: there is at least one of each, no more than a thousand, and days are counted from Sunday = 0 to 6",
			f.Stretches, f.Days, f.First)
	}
	return nil
}

// Flat is the course in which the days that were seen come again and again: weekdays from weekdays, weekend days from weekend days, in their order.
func (d *Days) Flat(f Forecast) (purchase.Scenario, error) {
	return d.course("flat", f, func(i, stratum, turn int) (day int, share float64) {
		return d.of[stratum][turn%len(d.of[stratum])], 1
	})
}

// Grown is the flat course with demand that grows, or for a rate below zero falls, by a share per stretch, compounded; it begins with the first stretch.
func (d *Days) Grown(f Forecast, rate float64) (purchase.Scenario, error) {
	if rate < -1 || rate > 100 || math.IsNaN(rate) {
		return purchase.Scenario{}, fault.Newf(fault.Invalid, "growth by %v per stretch: nothing falls by more than all, and 100 is a hundredfold", rate)
	}
	return d.course(fmt.Sprintf("%+.1f %% per stretch", 100*rate), f, func(i, stratum, turn int) (day int, share float64) {
		return d.of[stratum][turn%len(d.of[stratum])], math.Pow(1+rate, float64(i/f.Days+1))
	})
}

// Weekly is the course that has learned the shape of the week: each day is one of the same day of the week, in turn, at the level of the last seven days. It needs
// each day of the week once.
func (d *Days) Weekly(f Forecast) (purchase.Scenario, error) {
	var of [7][]int
	var sum [7]float64
	for i, day := range d.days {
		of[day.Weekday] = append(of[day.Weekday], i)
		sum[day.Weekday] += float64(day.Demand.Total())
	}
	var last, mean float64
	for w, days := range of {
		if len(days) == 0 {
			return purchase.Scenario{}, fault.Newf(fault.Invalid, "the shape of the week cannot be learned without any day number %d of the week, from Sunday = 0 on: give a longer traffic", w)
		}
		last += float64(d.days[days[len(days)-1]].Demand.Total())
		mean += sum[w] / float64(len(days))
	}
	level := 1.0
	if mean > 0 {
		level = last / mean
	}
	return d.course("the week's shape", f, func(i, _, _ int) (day int, share float64) {
		w := of[(f.First+i)%7]
		return w[i/7%len(w)], level
	})
}

// course makes the stretches out of days, each scaled by a share. The turn counts the days of a stratum.
func (d *Days) course(name string, f Forecast, pick func(i, stratum, turn int) (day int, share float64)) (purchase.Scenario, error) {
	out := purchase.Scenario{Name: name}
	if err := f.check(); err != nil {
		return out, err
	}
	if len(d.of[weekday]) == 0 || len(d.of[weekend]) == 0 {
		return out, fault.New(fault.Invalid, "a course of demand takes at least one weekday and one weekend day: give a longer traffic")
	}
	var turns [strata]int
	for s := range f.Stretches {
		parts := make([]*purchase.Demand, 0, f.Days)
		for k := range f.Days {
			i := s*f.Days + k
			stratum := weekday
			if w := (f.First + i) % 7; w == 0 || w == 6 {
				stratum = weekend
			}
			day, share := pick(i, stratum, turns[stratum])
			turns[stratum]++
			if d.days[day].Demand.Periods() != d.days[0].Demand.Periods() {
				return out, fault.Newf(fault.Invalid, "day %d has %d periods and day 1 has %d: leave out days that are longer or shorter, as those on which clocks change", day+1, d.days[day].Demand.Periods(), d.days[0].Demand.Periods())
			}
			scaled, err := d.days[day].Demand.Scale(int64(math.Round(share*purchase.Million)), purchase.Million)
			if err != nil {
				return out, err
			}
			parts = append(parts, scaled)
		}
		merged, err := purchase.Merge(parts...)
		if err != nil {
			return out, err
		}
		out.Stretches = append(out.Stretches, merged)
	}
	return out, nil
}

// Growth estimates by how much demand grows per stretch of so many days, as a share: the least-squares line through the logarithms of the volumes of whole
// weeks, from the last day backwards. Fewer than three weeks, or one without any demand, are fault.Invalid.
func (d *Days) Growth(days int) (float64, error) {
	weeks := len(d.days) / 7
	if weeks < 3 || days < 1 {
		return 0, fault.Newf(fault.Invalid, "growth takes three whole weeks to be seen, and stretches of at least a day: %d days are missing", max(0, 21-len(d.days)))
	}
	var sx, sy, sxx, sxy float64
	for k := range weeks {
		var volume float64
		for _, day := range d.days[len(d.days)-7*(weeks-k):][:7] {
			volume += float64(day.Demand.Total())
		}
		if volume == 0 {
			return 0, fault.Newf(fault.Invalid, "growth cannot be told from a week without demand, the week %d before the last", weeks-1-k)
		}
		x, y := float64(k), math.Log(volume)
		sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	n := float64(weeks)
	slope := (n*sxy - sx*sy) / (n*sxx - sx*sx) // per week
	return math.Expm1(slope * float64(days) / 7), nil
}
