package interval_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"forebay/internal/testenv"
	"forebay/plan/interval"
	"forebay/plan/purchase"
)

// enumerated is a week of which each way to draw its days again is looked at: four of five weekdays and one of two weekend days, with replacement, all
// alike likely.
type enumerated struct {
	volumes [7][]int64 // by day, from Monday on, and hour
	unit    int64
	hour    float64 // of a unit, nano-units
	spill   float64 // of a million, nano-units
}

// cost is what a number of units costs an hour on a day.
func (e *enumerated) cost(day, units int) float64 {
	sum := 0.0
	for _, v := range e.volumes[day] {
		sum += e.spill * float64(max(0, v-int64(units)*e.unit)) / 1e6
	}
	return float64(units)*e.hour + sum/float64(len(e.volumes[day]))
}

// mean is what it costs under weights of the days.
func (e *enumerated) mean(w [7]float64, units int) float64 {
	sum := 0.0
	for day := range w {
		sum += w[day] * e.cost(day, units)
	}
	return sum
}

// best is the number of units that costs least.
func (e *enumerated) best(w [7]float64) int {
	best := 0
	for n := 1; n <= 60; n++ {
		if e.mean(w, n) < e.mean(w, best)-1e-9 {
			best = n
		}
	}
	return best
}

// all returns a statistic of each way to draw.
func (e *enumerated) all(statistic func(w [7]float64) float64) []float64 {
	var out []float64
	for code := range 5 * 5 * 5 * 5 * 2 {
		var w [7]float64
		rest := code
		for range 4 {
			w[rest%5] += 5.0 / 7 / 4
			rest /= 5
		}
		w[5+rest] += 2.0 / 7
		out = append(out, statistic(w))
	}
	slices.Sort(out)
	return out
}

// tail is where the interval of a level ends on either side: beyond it lies what Student's distribution, with the degrees of freedom of Satterthwaite, has
// beyond its quantile, seen from the normal one.
func tail(influence [7]float64, level float64) float64 {
	var each [2]float64 // the variance of the mean of either kind of days, with its share of the week
	for k, x := range [][]float64{influence[:5], influence[5:]} {
		n, m, s := float64(len(x)), 0.0, 0.0
		for _, v := range x {
			m += v / n
		}
		for _, v := range x {
			s += (v - m) * (v - m)
		}
		each[k] = n / 7 * n / 7 * s / (n - 1) / n
	}
	freedom := (each[0] + each[1]) * (each[0] + each[1]) / (each[0]*each[0]/4 + each[1]*each[1]/1)
	// The quantile, by summing up the density.
	g1, _ := math.Lgamma((freedom + 1) / 2)
	g2, _ := math.Lgamma(freedom / 2)
	area, t := 0.5, 0.0
	for const1 := math.Exp(g1-g2) / math.Sqrt(freedom*math.Pi); area < (1+level)/2; t += 1e-5 {
		area += const1 * math.Pow(1+t*t/freedom, -(freedom+1)/2) * 1e-5
	}
	return math.Erfc(t/math.Sqrt2) / 2
}

// isQuantile says whether a figure is one of a distribution, but for so much of it.
func isQuantile(sorted []float64, figure, p, off float64) bool {
	below, upTo := 0.0, 0.0
	for _, v := range sorted {
		if v < figure-1 {
			below++
		}
		if v <= figure+1 {
			upTo++
		}
	}
	n := float64(len(sorted))
	return below/n <= p+off && upTo/n >= p-off
}

// The intervals are those of all ways to draw the days again, which are looked at one by one, with the best number of units found by trying all.
func TestT12AllDraws(t *testing.T) {
	e := enumerated{unit: 1000, hour: 4e9, spill: 10e9 * 1e3}
	d := &interval.Days{}
	for day := range e.volumes {
		for h := range 24 {
			v := int64(2000 + (day*7919+h*104_729)%9000 + 1500*((day*day*13)%11))
			if day >= 5 {
				v = v/3 + int64(400*(day-5))
			}
			e.volumes[day] = append(e.volumes[day], v)
		}
		d.Add(interval.Day{Weekday: time.Weekday((day + 1) % 7), Demand: demand(t, e.volumes[day]...)})
	}
	r := purchase.Reserve{Period: time.Hour, Unit: e.unit, Hour: int64(e.hour), Spill: int64(e.spill)}
	o := interval.Options{Per: time.Hour, Resamples: 200_000, Seed: 1}
	every := [7]float64{1. / 7, 1. / 7, 1. / 7, 1. / 7, 1. / 7, 1. / 7, 1. / 7}
	best := e.best(every)
	if best < 2 || best > 20 {
		t.Fatalf("the best number is %d: no question", best)
	}
	units := best + 3
	influence := func(less, more int) (out [7]float64) {
		for day := range out {
			if out[day] = e.cost(day, more); less >= 0 {
				out[day] -= e.cost(day, less)
			}
		}
		return out
	}
	for _, x := range []struct {
		what      string
		got       func() (interval.Interval, error)
		statistic func(w [7]float64) float64
		influence [7]float64
	}{
		{"cost", func() (interval.Interval, error) { return d.Cost(r, int64(units), o) }, func(w [7]float64) float64 { return e.mean(w, units) }, influence(-1, units)},
		{"best number", func() (interval.Interval, error) { return d.Optimum(r, o) }, func(w [7]float64) float64 { return float64(e.best(w)) }, influence(best, best+1)},
		{"regret", func() (interval.Interval, error) { return d.Regret(r, int64(units), o) }, func(w [7]float64) float64 { return e.mean(w, units) - e.mean(w, e.best(w)) }, influence(best, units)},
	} {
		got, err := x.got()
		if err != nil {
			t.Fatal(err)
		}
		all := e.all(x.statistic)
		if x.what == "best number" { // whole numbers: a figure is that number alone
			for i := range all {
				all[i] *= 1000
			}
			got.Low, got.High, got.Value = got.Low*1000, got.High*1000, got.Value*1000
		}
		p := tail(x.influence, 0.9)
		if !isQuantile(all, float64(got.Low), p, 0.005) || !isQuantile(all, float64(got.High), 1-p, 0.005) {
			t.Errorf("%s: from %d to %d; of all draws %v to %v, tail %.4f", x.what, got.Low, got.High, all[int(p*1250)], all[int((1-p)*1250)], p)
		}
		want := x.statistic(every)
		if x.what == "best number" {
			want *= 1000
		}
		if math.Abs(float64(got.Value)-want) > 1 {
			t.Errorf("%s: %d, by hand %v", x.what, got.Value, want)
		}
		testenv.Record(t, "T12", fmt.Sprintf("%s of a week: from %d to %d", x.what, got.Low, got.High), "all 1,250 ways to draw its days, the best number by trying all: the same quantiles within 0.5 % of the draws")
	}
	bound, err := d.RegretOfBest(r, o)
	if err != nil {
		t.Fatal(err)
	}
	all := e.all(func(w [7]float64) float64 { return e.mean(every, e.best(w)) - e.mean(every, best) })
	sum := 0.0
	for _, v := range all {
		sum += v / float64(len(all))
	}
	if !isQuantile(all, float64(bound.High), 0.9, 0.005) || math.Abs(float64(bound.Value)/sum-1) > 0.02 || bound.Low != 0 {
		t.Errorf("regret of the best number: %+v; of all draws a mean of %v and a quantile of %v", bound, sum, all[1125])
	}
}
