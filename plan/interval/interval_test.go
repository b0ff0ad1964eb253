package interval_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"forebay/plan/interval"
	"forebay/plan/purchase"
)

// sample is days of one period each, from Monday on.
func sample(t testing.TB, volumes ...int64) *interval.Days {
	t.Helper()
	d := &interval.Days{}
	for i, v := range volumes {
		d.Add(interval.Day{Weekday: time.Weekday((i + 1) % 7), Demand: demand(t, v)})
	}
	return d
}

// Too few days are refused, with how many are missing; fewer than four weeks are a warning with how many.
func TestTooFewDays(t *testing.T) {
	daily := purchase.Reserve{Period: 24 * time.Hour, Unit: 10, Hour: 1, Spill: 1e9}
	for days, want := range map[int]string{
		3: "3 weekdays and 0 weekend days are too few for an interval: 2 weekdays and 2 weekend days are missing",
		6: "5 weekdays and 1 weekend days are too few for an interval: 1 weekend days are missing",
	} {
		if _, err := sample(t, make([]int64, days)...).Cost(daily, 1, interval.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d days: %v, want %q", days, err, want)
		}
	}
	for days, want := range map[int]string{7: "15 weekdays and 6 weekend days are missing", 27: "1 weekend days are missing", 28: ""} {
		got, err := sample(t, make([]int64, days)...).Cost(daily, 1, interval.Options{})
		if err != nil || (want == "") != (len(got.Warnings) == 0) || want != "" && !strings.Contains(got.Warnings[0], want) {
			t.Errorf("%d days: %v %v, want %q", days, got.Warnings, err, want)
		}
	}
}

// Days that drift are said to.
func TestDaysThatFollow(t *testing.T) {
	var v []int64
	for i := range 28 {
		v = append(v, int64(100+i))
	}
	got, err := sample(t, v...).Cost(purchase.Reserve{Period: 24 * time.Hour, Unit: 10, Spill: 1e9}, 1, interval.Options{})
	if err != nil || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "resemble the days before") {
		t.Error(got.Warnings, err)
	}
}

// The value is the mean of a week of five and two, whatever the sample has more of; the interval is that of Student for the mean of normal figures.
func TestMeanOfAWeek(t *testing.T) {
	d := sample(t, make([]int64, 35)...)
	figures := make([]float64, 35)
	for i := range figures {
		if figures[i] = 700; i%7 >= 5 {
			figures[i] = 1400
		}
		figures[i] += float64((i*11)%35) - 17
	}
	got, err := d.Mean(figures, interval.Options{Resamples: 20_000})
	if err != nil || got.Value < 895 || got.Value > 905 || got.Days != 35 {
		t.Fatal(got, err)
	}
	var variance float64
	for s, share := range []float64{5.0 / 7, 2.0 / 7} {
		var x []float64
		for i, f := range figures {
			if (i%7 >= 5) == (s == 1) {
				x = append(x, f)
			}
		}
		var mean, square float64
		for _, f := range x {
			mean += f / float64(len(x))
		}
		for _, f := range x {
			square += (f - mean) * (f - mean)
		}
		variance += share * share * square / float64(len(x)-1) / float64(len(x))
	}
	want := 2 * 1.70 * math.Sqrt(variance) // t at 0.95 with about 29 degrees of freedom
	if width := float64(got.High - got.Low); math.Abs(width-want) > 1+0.05*want {
		t.Errorf("from %d to %d: a width of %.0f, want about %.1f", got.Low, got.High, width, want)
	}
	if _, err := d.Mean(figures[:3], interval.Options{}); err == nil {
		t.Error("three figures for 35 days are taken")
	}
}

// The same seed gives the same interval, and days without any difference one of no width.
func TestIntervalsAreDeterministic(t *testing.T) {
	var v []int64
	for i := range 28 {
		v = append(v, int64(i*i%17)*10)
	}
	r := purchase.Reserve{Period: 24 * time.Hour, Unit: 10, Hour: 200, Spill: 1e9}
	a, errA := sample(t, v...).Optimum(r, interval.Options{Seed: 3})
	b, errB := sample(t, v...).Optimum(r, interval.Options{Seed: 3})
	if errA != nil || errB != nil || a.Low != b.Low || a.High != b.High || a.Low > a.Value || a.Value > a.High || a.Low == a.High {
		t.Error(a, b, errA, errB)
	}
	same, err := sample(t, slices.Repeat([]int64{100}, 28)...).Cost(r, 4, interval.Options{})
	if want := int64(730*200*4 + 60*1_000*730/24); err != nil || same.Low != want || same.High != want {
		t.Error(same, want, err)
	}
}
