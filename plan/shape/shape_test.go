package shape

import (
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forebay/fault"
	"forebay/internal/testenv"
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
		"10/day, 80% 09-17, 30% 18-20, in 1, out 1":             "add up to 110 %, at most 100 % can be: lower one",
		"10/day, 50% 09-17, 10% 16-20, in 1, out 1":             `hour 16 has a share already, by "50% 09-17": let them not overlap`,
		"10/day, 50% 00-24, in 1, out 1":                        "no hour is left",
		"10/day, 50% 09-09, in 1, out 1":                        "another one",
		"10/day, 50% 09-25, in 1, out 1":                        "00 to 24",
		"10/day, weekends 2000%":                                "0 to 1000",
		"10/day, peak x0.5, in 1, out 1":                        "between 1 and 100",
		"10/day, Amerika/New_York, in 1, out 1":                 "not understood",
		"10/day, Local, in 1, out 1":                            "not understood",
		"99999999999999/day, in 1, out 1":                       "10,000,000,000",
		"10/day, in 99999999999999999999, out 1":                "10,000,000",
		"50000/day, 80% 09-17, 1% 22-06, weekends, in 1, out 1": "not understood: write it as weekends 30%",
		"50,000/day": "write numbers without them, such as 50000/day or 50k/day",
		"0/day":      "more than 0",
		"1.2.3k/day": "more than 0",
		"50m/day":    "not understood: write 50k/day, 80% 09-17",
		"soon":       "or a time zone such as America/New_York",

		// Said twice, or against each other.
		"10/day, 70/week":                              `"70/week": how many calls there are is said already, by "10/day": leave one of them out`,
		"10/day, peak x2, peak x2":                     "the peak is said already",
		"10/day, in 1, in 2":                           "the size of prompts is said already",
		"10/day, out 1, out 1":                         "the size of answers is said already",
		"10/day, cached 1%, cached 2%":                 "what is cached is said already",
		"10/day, max-tokens 9, max-tokens 9":           "max_tokens is said already",
		"10/day, bursts cv 2, bursts weibull cv 2":     "how calls follow each other is said already",
		"10/day, weekends 30%, no weekends":            `what Saturdays have is said already, by "weekends 30%"`,
		"10/day, no weekends, Sun 5%":                  `what Sundays have is said already, by "no weekends"`,
		"10/day, mon-thu 80%, wed 90%":                 `what Wednesdays have is said already, by "mon-thu 80%"`,
		"10/day, growth 1% a month, growth 1% a month": "the growth is said already",
		"10/day, from 2026-03-02, from 2026-03-09":     "the first day is said already",
		"10/day, for 4 weeks, 5 weeks":                 "the length is said already",
		"10/day, tenants a 50% b 50%, 3 tenants":       "who calls is said already",
		"10/day, UTC, America/New_York":                "the time zone is said already",
		"10/day, out 300, max-tokens 200":              `"max-tokens 200": answers of 300 tokens, by "out 300", are longer`,
		"10/day, mon-sun 0%":                           "no calls on any day",
		"10/week, mon-fri 0%, no weekends":             "no calls on any day",

		// Beyond what can be.
		"10/day, bursts cv 50":         "0.1 to 20 times",
		"10/day, bursts":               "write it as bursts cv 4",
		"10/day, cached 101%":          "0 to 100 %",
		"10/day, cached":               "write it as cached 40%",
		"10/day, mon 1001%":            "0 to 1000 %",
		"10/day, growth -100% a month": "more than -100 %",
		"10/day, growth 5%":            "write it as growth 5% a month",
		"10/day, from 2026-02-30":      "give a day",
		"10/day, for 105 weeks":        "1 to 104 weeks",
		"10/day, 0 tenants":            "1 to 1000 tenants",
		"10/day, tenants a 50% b 40%":  "add up to 90 %: they must be 100 % together",
		"10/day, tenants a 50% a 50%":  "each tenant once",
		"10/day, tenants a 150%":       "0 to 100 %",
		"10/day, tenants":              "write it as tenants web 60% batch 40%",
		"10/day, PST":                  "write America/Los_Angeles",
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
		worked + ", weekends 30%":                      0,
		worked:                                         2,
		"50000/day, in 1, out 1, no weekends":          2,
		"50000/day, in 1000, weekends 10%":             4,
		"50000/day":                                    6,
		"50000/day, out 5, peak x1, weekends 100%":     2,
		"50000/day, sat 10%":                           6,
		"50000/day, sat 10%, sun 10%":                  4,
		"50000/day, in 5, max-tokens 20":               4, // no other answer is within that
		"50000/week, mon-fri 0%, peak x1, in 1, out 1": 1,
	} {
		s, err := Parse(words, 1)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for name, other := range s.Assumptions() {
			n++
			if o := other.(*Shape); name == "" || o.in == s.in && o.out == s.out && o.peak == s.peak && o.week == s.week {
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

// A week and a month have as many calls as are said, whatever their days have of them; a day is one that no clause names.
func TestVolumes(t *testing.T) {
	for words, want := range map[string]float64{ // in a week
		"1000/day":                            7000,
		"1k/day, no weekends":                 5000,
		"1k/day, fri 50%, weekends 10%":       4700,
		"1_000/hour":                          168_000,
		"0.5/s":                               302_400,
		"2/minute, no weekends":               14_400,
		"7k/week, no weekends":                7000,
		"7000/week, mon-thu 120%, sat-sun 5%": 7000,
		"3M/month, fri-mon 50%":               700_000,
		"1.5M/month":                          350_000,
	} {
		for _, other := range []string{"", ", 80% 09-17", ", 80% 09-17, peak x3", ", Asia/Kolkata, bursts cv 3"} {
			s, err := Parse(words+other, 1)
			if err != nil {
				t.Fatal(err)
			}
			if got := expected(s, 0, s.Info().Length); math.Abs(got/want-1) > 1e-5 {
				t.Errorf("%q: %v calls in a week, want %v", words+other, got, want)
			}
		}
	}
	s, err := Parse("7k/week, no weekends, 100% 09-17", 1)
	if err != nil || math.Abs(s.Rate(12*time.Hour)*3600-7000.0/5/8) > 1e-9 || s.Rate(5*24*time.Hour+12*time.Hour) != 0 {
		t.Errorf("%v: %v calls an hour on a Monday", err, s.Rate(12*time.Hour)*3600)
	}
}

// expected sums the rate, in steps of ten seconds.
func expected(s *Shape, from, to time.Duration) float64 {
	sum := 0.0
	for at := from; at < to; at += 10 * time.Second {
		sum += s.Rate(at+5*time.Second) * 10
	}
	return sum
}

// On the days on which clocks are changed each hour has what it says by the clock on the wall, as often as it happens.
func TestClocksAreChanged(t *testing.T) {
	for _, c := range []struct {
		words string
		days  map[string]int // the hours of days that do not have 24
		note  string
	}{
		{"24/day, America/New_York, from 2026-03-02", map[string]int{"2026-03-08": 23}, "on 2026-03-08 the clock goes forward from 02:00 to 03:00: that time does not happen"},
		{"24/day, America/New_York, from 2026-10-26", map[string]int{"2026-11-01": 25}, "on 2026-11-01 the clock goes back from 02:00 to 01:00: that time happens twice"},
		{"24/day, Europe/London, from 2026-03-29, 31 weeks", map[string]int{"2026-03-29": 23, "2026-10-25": 25}, "on 2026-10-25 the clock goes back from 02:00 to 01:00"},
		{"24/day, America/Sao_Paulo, from 2018-11-04", map[string]int{"2018-11-04": 23}, ""}, // its midnight does not happen
		{"24/day, America/Sao_Paulo, from 2018-02-17", map[string]int{"2018-02-17": 25}, "on 2018-02-17 the clock goes back from 00:00 to 23:00"},
		{"24/day, America/Havana, from 2026-11-01", map[string]int{"2026-11-01": 25}, "from 01:00 to 00:00"}, // its midnight happens twice
		{"24/day, Australia/Lord_Howe, from 2026-04-05", nil, "from 02:00 to 01:30"},
		{"24/day, Asia/Tokyo, 104 weeks", nil, ""},
		{"24/day, EST, from 2026-03-02", nil, "EST has no daylight saving time"},
	} {
		s, err := Parse(c.words+", in 1, out 1, peak x1, weekends 100%", 1)
		if err != nil {
			t.Fatal(err)
		}
		info := s.Info()
		place := info.Start.Location()
		if info.Start.Add(-time.Second).Day() == info.Start.Day() {
			t.Errorf("%s: %v is not when its day begins", c.words, info.Start)
		}
		hours := map[string]int{}
		for at := time.Duration(0); at < info.Length; at += 30 * time.Minute {
			hours[info.Start.Add(at).In(place).Format(time.DateOnly)]++
			if r := s.Rate(at + time.Minute); math.Abs(r*3600-1) > 1e-9 {
				t.Fatalf("%s: %v calls an hour after %v", c.words, r*3600, at)
			}
		}
		for day, n := range hours {
			want := 48
			if h := c.days[day]; h != 0 {
				want = 2 * h
			}
			if n != want && !strings.Contains(c.words, "Lord_Howe") {
				t.Errorf("%s: %s has %d half hours, want %d", c.words, day, n, want)
			}
		}
		if notes := strings.Join(info.Notes, "\n"); !strings.Contains(notes, c.note) || c.note == "" && notes != "" {
			t.Errorf("%s: %q", c.words, notes)
		}
	}
}

// The hours of a share and of the weekend are those of the place, before and after its clocks are changed, and twice where they happen twice.
func TestHoursAreOfThePlace(t *testing.T) {
	s, err := Parse("100/day, 60% 01-02, 30% 02-03, America/New_York, from 2026-03-01, 36 weeks, sat 200%, sun 50%", 1)
	if err != nil {
		t.Fatal(err)
	}
	place, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	for at := time.Duration(0); at < s.Info().Length; at += 10 * time.Minute {
		clock := time.Date(2026, 3, 1, 0, 0, 0, 0, place).Add(at)
		want := map[int]float64{1: 60, 2: 30}[clock.Hour()]
		if want == 0 {
			want = 10.0 / 22
		}
		want *= map[time.Weekday]float64{time.Monday: 1, time.Tuesday: 1, time.Wednesday: 1, time.Thursday: 1, time.Friday: 1, time.Saturday: 2, time.Sunday: 0.5}[clock.Weekday()]
		if got := s.Rate(at) * 3600; math.Abs(got-want) > 1e-9 {
			t.Fatalf("%v: %v calls an hour, want %v", clock, got, want)
		}
	}
	day := func(month time.Month, d int) float64 {
		from := time.Date(2026, month, d, 0, 0, 0, 0, place)
		start := s.Info().Start
		return expected(s, from.Sub(start), from.AddDate(0, 0, 1).Sub(start))
	}
	if spring, autumn := day(3, 8), day(11, 1); math.Abs(spring-0.5*70) > 1e-6 || math.Abs(autumn-0.5*160) > 1e-6 {
		t.Errorf("%v calls on the day without 02 h, want 35; %v on that with 01 h twice, want 80", spring, autumn)
	}
}

// Calls have what the words say of them: cached tokens, max_tokens, tenants with their shares.
func TestCalls(t *testing.T) {
	s, err := Parse("20k/day, in 1k, cached 40%, out 300, max-tokens 4k, tenants web 70% batch 20% test 10%", 1)
	if err != nil {
		t.Fatal(err)
	}
	if names := s.Info().Tenants; strings.Join(names, " ") != "web batch test" {
		t.Error(names)
	}
	var by [3]float64
	n := 0.0
	for q, err := range s.All() {
		if err != nil {
			t.Fatal(err)
		}
		if q.Input != 1000 || q.Cached != 400 || q.Output != 300 || q.MaxOutput != 4000 {
			t.Fatalf("%+v", q)
		}
		by[q.Tenant]++
		n++
	}
	for i, want := range []float64{0.7, 0.2, 0.1} {
		if got := by[i] / n; math.Abs(got-want) > 5*math.Sqrt(want/n) {
			t.Errorf("tenant %d has %v of the calls, want %v", i, got, want)
		}
	}
	if s, err = Parse("1k/day, 4 tenants", 1); err != nil || len(s.Info().Tenants) != 4 || s.tenants[1].upTo != 0.5 {
		t.Errorf("%v %+v", err, s)
	}
}

// Traffic grows evenly, by so much in thirty days.
func TestGrowth(t *testing.T) {
	s, err := Parse("24/day, growth 10% a month", 1)
	if err != nil || s.Info().Length != 26*7*24*time.Hour || !strings.Contains(strings.Join(s.Info().Notes, "|"), "26 weeks of growth") {
		t.Fatal(err, s)
	}
	for months, want := range map[int]float64{0: 1, 1: 1.1, 2: 1.21, 6: math.Pow(1.1, 6)} {
		if got := s.Rate(time.Duration(months)*30*24*time.Hour) * 3600; math.Abs(got-want) > 1e-9 {
			t.Errorf("%v calls an hour after %d months, want %v", got, months, want)
		}
	}
}

// Bursts change nothing of how many calls come, and as much of how they come as they say: the times between calls of a steady traffic vary by so many
// times their mean, and the numbers of calls in long windows, over their mean, by the square of it.
func TestBursts(t *testing.T) {
	for words, cv := range map[string]float64{"": 1, ", bursts cv 3": 3, ", bursts gamma cv 0.5": 0.5, ", bursts weibull cv 3": 3} {
		s, err := Parse("100k/day, 4 weeks"+words, 3)
		if err != nil {
			t.Fatal(err)
		}
		var last time.Duration
		n, sum, square := 0.0, 0.0, 0.0
		windows := map[time.Duration]float64{}
		for q, err := range s.All() {
			if err != nil {
				t.Fatal(err)
			}
			gap := (q.At - last).Seconds()
			last, n, sum, square = q.At, n+1, sum+gap, square+gap*gap
			windows[q.At/time.Hour]++
		}
		mean := sum / n
		if got := math.Sqrt(square/n-mean*mean) / mean; math.Abs(got/cv-1) > 0.03 {
			t.Errorf("%q: the times between calls vary by %.3f of their mean, want %v", words, got, cv)
		}
		if want := 2_800_000.0; math.Abs(n-want) > 5*cv*math.Sqrt(want) {
			t.Errorf("%q: %v calls, want %v", words, n, want)
		}
		spread, hours := 0.0, 28*24.0
		for _, c := range windows {
			spread += (c - n/hours) * (c - n/hours) / hours
		}
		if got := spread / (n / hours); math.Abs(got/(cv*cv)-1) > 0.3 {
			t.Errorf("%q: the numbers of calls in an hour vary by %.2f times their mean, want %v", words, got, cv*cv)
		}
	}
}

// Each form is taken as it is listed, for the clause that lists it, and the guide has it.
func TestFormsOfClauses(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "planning.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range Clauses() {
		if !strings.Contains(string(guide), "`"+c.Form+"`") {
			t.Errorf("docs/planning.md lacks %q", c.Form)
		}
		words := c.Form
		if !strings.HasSuffix(words, "/day") {
			words = "10/day, " + words
		}
		if _, err := Parse(words, 1); err != nil {
			t.Error(err)
		}
		for _, other := range Clauses() {
			if other.pattern.MatchString(c.Form) != (other.Form == c.Form) {
				t.Errorf("%q is taken for %q", c.Form, other.Form)
			}
		}
	}
}

func TestEasternTimeIsPointedOut(t *testing.T) {
	s, err := Parse("10/day, EST, in 1, out 1", 1)
	if err != nil || !strings.Contains(s.Info().Notes[0], "America/New_York") {
		t.Errorf("%v %+v", err, s)
	}
}

// Whatever is taken makes traffic: rates that are numbers, and calls in order, of the sizes and callers that it says.
func FuzzParse(f *testing.F) {
	f.Add(worked)
	f.Add("1/s, in 1, out 1, peak x100, 100% 22-06")
	f.Add("1.5M/month, mon-thu 110%, fri 60%, no weekends, cached 40%, max-tokens 1k, bursts weibull cv 20, growth -99% a month, tenants a 1% b 99%, from 2026-10-25, for 2 weeks, Europe/London")
	f.Add("70k/week, 3 tenants, bursts cv 0.1, from 2018-11-04, America/Sao_Paulo")
	f.Fuzz(func(t *testing.T, words string) {
		s, err := Parse(words, 1)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: %v", words, err)
			}
			return
		}
		length := s.Info().Length
		for at := time.Duration(0); at < length; at += time.Hour {
			if r := s.Rate(at); r < 0 || math.IsNaN(r) || math.IsInf(r, 0) {
				t.Fatalf("%q: %v calls a second after %v", words, r, at)
			}
		}
		if length > 5*7*24*time.Hour {
			return // a few calls in years take long to find
		}
		n, last, tenants := 0, time.Duration(0), int32(max(1, len(s.Info().Tenants)))
		for q, err := range s.All() {
			if err != nil || q.At < last || q.At > length || q.Cached > q.Input || q.Input < 1 || q.Output < 1 || q.Tenant < 0 || q.Tenant >= tenants {
				t.Fatalf("%q: %+v after %v, %v", words, q, last, err)
			}
			if last = q.At; n == 1000 {
				break
			}
			n++
		}
	})
}

// Assumptions that are taken together: one of each list or none, in every combination of two or more.
func TestTogether(t *testing.T) {
	for words, want := range map[string]int{
		worked + ", weekends 30%":          0,
		worked:                             0,
		"50000/day":                        3*3*3 - 1 - 6,
		"50000/day, in 1000, weekends 10%": 3*3 - 1 - 4,
	} {
		s, err := Parse(words, 1)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for other := range s.Together() {
			o := other.(*Shape)
			changed := 0
			for _, c := range []bool{o.in != s.in || o.out != s.out, o.peak != s.peak, o.week != s.week} {
				if c {
					changed++
				}
			}
			if changed < 2 {
				t.Errorf("%q: %d are other together", words, changed)
			}
			seen[fmt.Sprint(o.in, o.out, o.peak, o.week)] = true
		}
		if len(seen) != want {
			t.Errorf("%q: %d together, want %d", words, len(seen), want)
		}
	}
}

// Holidays have their calls from midnight to midnight of the clock on the wall, whatever day of the week they are, and other days keep theirs; also behind a day on
// which clocks are changed.
func TestHolidays(t *testing.T) {
	s, err := Parse("24000/day, no weekends, holidays 10% 2026-03-09 2026-03-14, holidays 0% 2026-03-11, from 2026-03-02, for 2 weeks, America/New_York, peak x1, in 1, out 1", 1)
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]float64{}
	for at := time.Duration(0); at < s.Info().Length; at += time.Minute {
		calls[s.Info().Start.Add(at).Format(time.DateOnly)] += s.Rate(at+30*time.Second) * 60
	}
	for day, want := range map[string]float64{
		"2026-03-02": 24000, "2026-03-06": 24000, "2026-03-07": 0, "2026-03-08": 0, // the clock goes forward on the 8th
		"2026-03-09": 2400, "2026-03-10": 24000, "2026-03-11": 0, "2026-03-12": 24000, "2026-03-14": 2400, "2026-03-15": 0,
	} {
		if math.Abs(calls[day]-want) > 1e-6 {
			t.Errorf("%s has %v calls, want %v", day, calls[day], want)
		}
	}
	for words, want := range map[string]string{
		"holidays 10% 2026-12-25":                             "2026-12-25 is not among the 7 days from 2026-01-05 on that are looked at: say from when and for how long, such as from 2026-12-11",
		"holidays 10% 2026-02-30, for 20 weeks":               "there is no day 2026-02-30",
		"holidays 10% 2026-01-06, holidays 20% 2026-01-06":    "said already",
		"holidays 2000% 2026-01-06":                           "0 to 1000 %",
		"holidays 2026-01-06":                                 "write it as holidays 10% 2026-01-06",
		"holidays 0% 2026-01-04, from 2026-01-05, for 2 week": "not among the 14 days",
	} {
		if _, err := Parse("10/day, in 1, out 1, "+words, 1); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", words, err, want)
		}
	}
}

// A part has as many calls as are expected in it, in order and within it, the same each time; a part from the beginning is that of the whole.
func TestBetween(t *testing.T) {
	s, err := Parse(worked+", no weekends, bursts cv 2, growth 5% a month", 3)
	if err != nil {
		t.Fatal(err)
	}
	from, to := 40*24*time.Hour+9*time.Hour, 40*24*time.Hour+17*time.Hour // a Saturday
	for _, c := range []struct{ from, to time.Duration }{{from, to}, {from + 48*time.Hour, to + 48*time.Hour}} {
		want, got, again := 0.0, 0, 0
		for at := c.from; at < c.to; at += time.Minute {
			want += s.Rate(at+30*time.Second) * 60
		}
		last := c.from
		for q, err := range s.Between(c.from, c.to) {
			if err != nil || q.At < last || q.At >= c.to {
				t.Fatal(q, err)
			}
			last = q.At
			got++
		}
		for _, err := range s.Between(c.from, c.to) {
			if err != nil {
				t.Fatal(err)
			}
			again++
		}
		if got != again || math.Abs(float64(got)-want) > 8*math.Sqrt(want) { // a variance of four times the mean
			t.Errorf("%d calls, then %d, want %v", got, again, want)
		}
	}
	next, stop := iter.Pull2(s.All())
	defer stop()
	for q, err := range s.Between(0, time.Hour) {
		if w, _, ok := next(); !ok || w != q || err != nil {
			t.Fatalf("%+v, want %+v, %v", q, w, err)
		}
	}
}
