package interval_test

import (
	"math"
	"strings"
	"testing"

	"forebay/plan/interval"
)

// The days of one week have volumes of their own, Monday 10 to Sunday 70, twice as much in the second.
func twoWeeks(t *testing.T) *interval.Days {
	t.Helper()
	return sample(t, 10, 20, 30, 40, 50, 60, 70, 20, 40, 60, 80, 100, 120, 140)
}

func TestCourses(t *testing.T) {
	d := twoWeeks(t)
	f := interval.Forecast{Stretches: 2, Days: 7, First: 3} // a Wednesday
	flat, err := d.Flat(f)
	if err != nil || flat.Stretches[0].Total() != 10+20+30+60+70+40+50 || flat.Stretches[1].Total() != 20+40+60+120+140+80+100 {
		t.Error(flat.Stretches[0].Points(), flat.Stretches[1].Points(), err)
	}
	grown, err := d.Grown(f, -0.5)
	if err != nil || grown.Stretches[0].Total() != 140 || grown.Stretches[1].Total() != 560/4 || grown.Name != "-50.0 % per stretch" {
		t.Error(grown.Name, grown.Stretches[0].Total(), grown.Stretches[1].Total(), err)
	}
	weekly, err := d.Weekly(f) // at the level of the second week, 4/3 of the mean
	if err != nil || math.Abs(float64(weekly.Stretches[0].Total())-280*4/3.0) > 4 || math.Abs(float64(weekly.Stretches[1].Total())-560*4/3.0) > 4 {
		t.Error(weekly.Stretches[0].Points(), weekly.Stretches[1].Points(), err)
	}
	for want, err := range map[string]error{
		"one weekday and one weekend day": func() error { _, err := sample(t, 1, 2).Flat(f); return err }(),
		"day number 0 of the week":        func() error { _, err := sample(t, 1, 2, 3, 4, 5, 6).Weekly(f); return err }(),
		"at least one of each":            func() error { _, err := d.Flat(interval.Forecast{}); return err }(),
		"falls by more than all":          func() error { _, err := d.Grown(f, -2); return err }(),
		"7 days are missing":              func() error { _, err := d.Growth(30); return err }(),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Weeks that double grow by 2^(30/7) - 1 a month, whatever the day they begin with.
func TestGrowthIsSeen(t *testing.T) {
	v := []int64{5, 5}
	for week := range 4 {
		for range 7 {
			v = append(v, 100<<week)
		}
	}
	got, err := sample(t, v...).Growth(30)
	if want := math.Pow(2, 30.0/7) - 1; err != nil || math.Abs(got-want) > 1e-9*want {
		t.Error(got, want, err)
	}
}
