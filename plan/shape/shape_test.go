package shape

import (
	"math"
	"strings"
	"testing"
	"time"

	"forebay/fault"
)

const worked = "50000/day, 80% 09-17, 1% 22-06, America/New_York, peak x2, in 1000, out 300"

// The worked example by hand: 83.33 calls a minute from 9 to 17 h with a peak of twice that, and 50,000 in a day.
func TestWorkedExample(t *testing.T) {
	s, err := Parse(worked, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Rate(13*time.Hour) * 60; math.Abs(got-2*50_000*0.8/480) > 1e-6 {
		t.Errorf("%v calls a minute at the peak", got)
	}
	day, window := 0.0, 0.0
	for i := range 24 * 3600 {
		r := s.Rate(time.Duration(i)*time.Second + time.Second/2)
		day += r
		if i >= 9*3600 && i < 17*3600 {
			window += r
		}
	}
	if math.Abs(day-50_000) > 0.01 || math.Abs(window-40_000) > 0.01 {
		t.Errorf("%v calls a day, %v from 9 to 17 h", day, window)
	}
	n := 0
	var last time.Duration
	for q, err := range s.All() {
		if err != nil || q.At < last || q.Input != 1000 || q.Output != 300 {
			t.Fatal(q, err)
		}
		last = q.At
		n++
	}
	if want := 350_000.0; math.Abs(float64(n)-want) > 5*math.Sqrt(want) {
		t.Errorf("%d calls in a week", n)
	}
}

func TestRefused(t *testing.T) {
	for words, want := range map[string]string{
		"":                        "how many",
		"in 10, out 10":           "how many",
		"50000/day, in 0, out 10": "tokens",
		"-5/day, in 1, out 1":     "not understood",
		"10/day, 80% 09-17, 30% 18-20, in 1, out 1":             "add up to 110 %",
		"10/day, 50% 09-17, 10% 16-20, in 1, out 1":             "hour 16 has a share already",
		"10/day, 50% 00-24, in 1, out 1":                        "no hour is left",
		"10/day, 50% 09-09, in 1, out 1":                        "another one",
		"10/day, 50% 09-25, in 1, out 1":                        "00 to 24",
		"10/day, weekends 2000%":                                "0 to 1000",
		"10/day, peak x0.5, in 1, out 1":                        "between 1 and 100",
		"10/day, Amerika/New_York, in 1, out 1":                 "not understood",
		"10/day, Local, in 1, out 1":                            "not understood",
		"99999999999999/day, in 1, out 1":                       "10,000,000,000",
		"10/day, in 99999999999999999999, out 1":                "10,000,000",
		"50000/day, 80% 09-17, 1% 22-06, weekends, in 1, out 1": "not understood",
	} {
		_, err := Parse(words, 1)
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", words, err, want)
		}
	}
}

// What the words leave open is assumed, said, and tried otherwise; what they say is not.
func TestAssumptions(t *testing.T) {
	for words, want := range map[string]int{
		worked + ", weekends 30%":                  0,
		worked:                                     2,
		"50000/day, in 1, out 1, no weekends":      2,
		"50000/day, in 1000, weekends 10%":         4,
		"50000/day":                                6,
		"50000/day, out 5, peak x1, weekends 100%": 2,
	} {
		s, err := Parse(words, 1)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for name, other := range s.Assumptions() {
			n++
			if o := other.(*Shape); name == "" || o.in == s.in && o.out == s.out && o.peak == s.peak && o.weekend == s.weekend {
				t.Errorf("%q: %q changes nothing", words, name)
			}
		}
		if n != want {
			t.Errorf("%q has %d other assumptions, want %d", words, n, want)
		}
	}
	s, err := Parse("10/s, in 1, out 1, weekends 25%", 1)
	if err != nil || s.Rate(time.Hour) != 10 || s.Rate(5*24*time.Hour) != 2.5 || s.Rate(4*24*time.Hour) != 10 {
		t.Errorf("%v: weekends are no quarter: %v", err, s)
	}
}

func TestEasternTimeIsPointedOut(t *testing.T) {
	s, err := Parse("10/day, EST, in 1, out 1", 1)
	if err != nil || !strings.Contains(s.Info().Notes[0], "America/New_York") {
		t.Errorf("%v %+v", err, s)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(worked)
	f.Add("1/s, in 1, out 1, peak x100, 100% 22-06")
	f.Fuzz(func(t *testing.T, words string) {
		s, err := Parse(words, 1)
		if err != nil {
			return
		}
		for h := range 7 * 24 {
			if r := s.Rate(time.Duration(h) * time.Hour); r < 0 || math.IsNaN(r) || math.IsInf(r, 0) {
				t.Errorf("%q: %v calls a second at %d h", words, r, h)
			}
		}
	})
}
