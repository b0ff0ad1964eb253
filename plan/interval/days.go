package interval

import (
	"fmt"
	"math"
	"time"

	"forebay/fault"
	"forebay/plan/purchase"
)

// The strata: weekdays, and weekend days.
const (
	weekday = iota
	weekend
	strata
)

var (
	// inWeek is how many days of a week are in each stratum.
	inWeek = [strata]float64{5, 2}
	// least is how many days of a stratum an interval needs at all, and full how many it was shown to hold with: four weeks.
	least = [strata]int{5, 2}
	full  = [strata]int{20, 8}
	names = [strata]string{"weekdays", "weekend days"}
)

// Day is one whole day of a traffic.
type Day struct {
	Weekday time.Weekday
	// Demand is what was asked for in each period of the day.
	Demand *purchase.Demand
}

func (d Day) stratum() int {
	if d.Weekday == time.Saturday || d.Weekday == time.Sunday {
		return weekend
	}
	return weekday
}

// Days is a sample of whole days, in order.
type Days struct {
	days []Day
	of   [strata][]int // the days of each stratum, by number
}

// Add takes in the next day. Parts of days, at the ends of a traffic, are left to the caller to leave out.
func (d *Days) Add(day Day) {
	s := day.stratum()
	d.of[s] = append(d.of[s], len(d.days))
	d.days = append(d.days, day)
}

// Len returns the number of days.
func (d *Days) Len() int { return len(d.days) }

// Missing returns how many weekdays and weekend days are missing to what an interval needs at all, and to the four weeks for which its coverage was
// shown.
func (d *Days) Missing() (atAll, shown [2]int) {
	for s := range strata {
		atAll[s], shown[s] = max(0, least[s]-len(d.of[s])), max(0, full[s]-len(d.of[s]))
	}
	return atAll, shown
}

// check refuses what is too little for any interval.
func (d *Days) check() error {
	if m, _ := d.Missing(); m != [strata]int{} {
		return fault.Newf(fault.Invalid, "%d weekdays and %d weekend days are too few for an interval: %s missing. Give a longer traffic, or take the figure as a point",
			len(d.of[weekday]), len(d.of[weekend]), missing(m))
	}
	return nil
}

func missing(m [strata]int) string {
	switch {
	case m[weekday] == 0:
		return fmt.Sprintf("%d %s are", m[weekend], names[weekend])
	case m[weekend] == 0:
		return fmt.Sprintf("%d %s are", m[weekday], names[weekday])
	}
	return fmt.Sprintf("%d %s and %d %s are", m[weekday], names[weekday], m[weekend], names[weekend])
}

// warnings says what makes an interval of these days less certain than its level.
func (d *Days) warnings() []string {
	var out []string
	if _, m := d.Missing(); m != [strata]int{} {
		out = append(out, fmt.Sprintf("the interval is of %d days, and holds what it says from four weeks on: %s missing; take it as too narrow", len(d.days), missing(m)))
	}
	if r, limit := d.follow(); r > limit {
		out = append(out, fmt.Sprintf("days resemble the days before them (correlation %.2f): they are less evidence than their number, and the interval is too narrow", r))
	}
	return out
}

// follow is the correlation of the volumes of successive days, less the mean of their strata, and what it is below in 19 of 20 samples of
// independent days (Bartlett, J. R. Stat. Soc. Suppl. 8, 1946: the standard deviation is about 1/sqrt(n)).
func (d *Days) follow() (r, limit float64) {
	rest := make([]float64, len(d.days))
	for _, of := range d.of {
		var mean float64
		for _, i := range of {
			mean += float64(d.days[i].Demand.Total()) / float64(len(of))
		}
		for _, i := range of {
			rest[i] = float64(d.days[i].Demand.Total()) - mean
		}
	}
	var with, square float64
	for i, x := range rest {
		square += x * x
		if i > 0 {
			with += x * rest[i-1]
		}
	}
	if square == 0 {
		return 0, 1
	}
	return with / square, 1.645 / math.Sqrt(float64(len(rest)))
}
