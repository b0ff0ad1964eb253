package scale_test

import (
	"strings"
	"testing"
	"time"

	"forebay/capacity/scale"
)

func location(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// Each schedule, and the times that it gives in New York from an instant on, worked out by hand from the calendar. In 2026 summer time begins on
// 8 March and ends on 1 November, both at 2 h.
func TestSchedules(t *testing.T) {
	ny := location(t, "America/New_York")
	for _, c := range []struct{ text, after, want string }{
		{"cron(55 8 ? * MON-FRI *)", "2026-11-25T09:00:00-05:00", "2026-11-26T08:55:00-05:00 2026-11-27T08:55:00-05:00 2026-11-30T08:55:00-05:00"},
		{"cron(0 9,17 * * ? *)", "2026-11-25T09:00:00-05:00", "2026-11-25T17:00:00-05:00 2026-11-26T09:00:00-05:00"},
		{"cron(0/20 * * * ? *)", "2026-11-25T23:30:00-05:00", "2026-11-25T23:40:00-05:00 2026-11-26T00:00:00-05:00"},
		{"cron(0 0 L * ? *)", "2028-01-31T12:00:00-05:00", "2028-02-29T00:00:00-05:00 2028-03-31T00:00:00-04:00"},
		{"cron(0 0 31 * ? *)", "2026-01-31T12:00:00-05:00", "2026-03-31T00:00:00-04:00 2026-05-31T00:00:00-04:00"},
		{"cron(0 12 ? * 6#3 *)", "2026-11-25T09:00:00-05:00", "2026-12-18T12:00:00-05:00 2027-01-15T12:00:00-05:00"},
		{"cron(0 12 ? * FRIL *)", "2026-11-25T09:00:00-05:00", "2026-11-27T12:00:00-05:00 2026-12-25T12:00:00-05:00"},
		{"cron(0 12 ? JAN-MAR SUN,SAT *)", "2026-03-28T13:00:00-04:00", "2026-03-29T12:00:00-04:00 2027-01-02T12:00:00-05:00"},
		{"cron(0 12 15W * ? *)", "2026-07-31T09:00:00-04:00", "2026-08-14T12:00:00-04:00 2026-09-15T12:00:00-04:00"}, // 15 August is a Saturday
		{"cron(0 12 1W * ? *)", "2026-07-31T09:00:00-04:00", "2026-08-03T12:00:00-04:00 2026-09-01T12:00:00-04:00"},
		{"cron(0 12 1 1 ? 2027-2028)", "2026-11-25T09:00:00-05:00", "2027-01-01T12:00:00-05:00 2028-01-01T12:00:00-05:00 never"},
		{"cron(0 12 30 2 ? *)", "2026-11-25T09:00:00-05:00", "never"},
		{"cron(30 2 * * ? *)", "2026-03-07T03:00:00-05:00", "2026-03-08T03:00:00-04:00 2026-03-09T02:30:00-04:00"}, // the clock leaps over it
		{"cron(30 1 * * ? *)", "2026-10-31T03:00:00-04:00", "2026-11-01T01:30:00-04:00 2026-11-02T01:30:00-05:00"}, // the clock shows it twice
		{"cron(0 9 * * ? *)", "2026-03-07T10:00:00-05:00", "2026-03-08T09:00:00-04:00"},
		{"at(2026-12-01T08:00:00)", "2026-11-25T09:00:00-05:00", "2026-12-01T08:00:00-05:00 never"},
		{"rate(6 hours)", "2026-11-25T09:00:00-05:00", "2026-11-25T13:00:00-05:00 2026-11-25T19:00:00-05:00"},
		{"rate(1 day)", "2026-11-25T09:00:00-05:00", "2026-11-25T19:00:00-05:00"},
	} {
		s, err := scale.ParseSchedule(c.text, ny)
		if err != nil {
			t.Error(err)
			continue
		}
		at, err := time.Parse(time.RFC3339, c.after)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for range strings.FieldsSeq(c.want) {
			next, ok := s.Next(at)
			if !ok {
				got = append(got, "never")
				break
			}
			if !next.After(at) {
				t.Fatalf("%s: %v is not after %v", c.text, next, at)
			}
			at = next
			got = append(got, at.In(ny).Format(time.RFC3339))
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%s after %s: %s, want %s", c.text, c.after, g, c.want)
		}
	}
}

// A day that is left out altogether, as 30 December 2011 in Samoa, is the moment at which it is.
func TestADayThatIsNot(t *testing.T) {
	apia := location(t, "Pacific/Apia")
	s, err := scale.ParseSchedule("cron(0 12 30 12 ? *)", apia)
	if err != nil {
		t.Fatal(err)
	}
	at, _ := s.Next(time.Date(2011, 12, 1, 0, 0, 0, 0, apia))
	if want := time.Date(2011, 12, 30, 10, 0, 0, 0, time.UTC); !at.Equal(want) {
		t.Errorf("%v, want %v", at, want)
	}
}

// What is wrong with a schedule is named.
func TestSchedulesThatAreWrong(t *testing.T) {
	for text, want := range map[string]string{
		"8 o'clock":                 "give cron",
		"cron(0 9 * * *)":           "5 fields",
		"cron(0 9 * * * *)":         "one of day of the month",
		"cron(0 9 ? * ? *)":         "one of day of the month",
		"cron(60 9 * * ? *)":        `minute "60": give 0 to 59`,
		"cron(0 24 * * ? *)":        `hour "24"`,
		"cron(0 9 ? * FRI-MON *)":   "a range goes up",
		"cron(0 9 ? * MON#6 *)":     "in the month",
		"cron(0/0 9 * * ? *)":       "step of minute",
		"cron(0 9 * 13 ? *)":        `month "13"`,
		"cron(0 9 * * ? 1969)":      `year "1969"`,
		"cron(0 9 32W * ? *)":       "day of the month",
		"rate(0 minutes)":           "give a number of minutes",
		"rate(5 fortnights)":        "give a number of minutes",
		"at(tomorrow)":              "give a time such as",
		"monthly(1)":                "neither cron",
		"rate(99999999999 minutes)": "give a number of minutes",
	} {
		if _, err := scale.ParseSchedule(text, time.UTC); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// What schedules make of bounds, worked out by hand: those at the start are what the days before have left.
func TestTimeline(t *testing.T) {
	action := func(text string, least, most int32) scale.Action {
		s, err := scale.ParseSchedule(text, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		a := scale.Action{Schedule: s}
		if least >= 0 {
			a.Min = &least
		}
		if most >= 0 {
			a.Max = &most
		}
		return a
	}
	actions := []scale.Action{
		action("cron(0 8 ? * MON-FRI *)", 4, -1), // above the maximum of 3, which goes with it
		action("cron(0 18 ? * MON-FRI *)", 1, 3),
		action("cron(0 18 ? * MON-FRI *)", 1, 3), // twice, and once is told
	}
	sunday := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	got, err := scale.Timeline(actions, sunday, sunday.Add(49*time.Hour), scale.Bounds{Min: 2, Max: 9})
	if err != nil {
		t.Fatal(err)
	}
	want := []scale.Bounds{{At: sunday, Min: 1, Max: 3}, {At: sunday.Add(32 * time.Hour), Min: 4, Max: 4}, {At: sunday.Add(42 * time.Hour), Min: 1, Max: 3}}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if !got[i].At.Equal(want[i].At) || got[i].Min != want[i].Min || got[i].Max != want[i].Max {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
	if none, err := scale.Timeline(nil, sunday, sunday.Add(time.Hour), scale.Bounds{Min: 2, Max: 9}); err != nil || len(none) != 1 || none[0].Max != 9 {
		t.Errorf("%+v %v", none, err)
	}
	if _, err := scale.Timeline([]scale.Action{action("cron(* * * * ? *)", 1, -1)}, sunday, sunday.AddDate(0, 2, 0), scale.Bounds{Max: 1}); err == nil {
		t.Error("a schedule that is due each minute for months is no error")
	}
}

// Whatever text is a schedule gives times that go up.
func FuzzSchedule(f *testing.F) {
	for _, s := range []string{"cron(0 9 ? * MON-FRI *)", "cron(0/5 */2 L * ? 2026)", "cron(30 2 15W 3 ? *)", "cron(0 0 ? * 6#5 *)", "rate(7 days)", "at(2026-03-08T02:30:00)"} {
		f.Add(s)
	}
	loc, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		loc = time.UTC
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := scale.ParseSchedule(text, loc)
		if err != nil {
			return
		}
		at := time.Date(2026, 3, 27, 0, 0, 0, 0, loc)
		for range 20 {
			next, ok := s.Next(at)
			if !ok {
				break
			}
			if !next.After(at) {
				t.Fatalf("%s: %v after %v", text, next, at)
			}
			at = next
		}
	})
}
