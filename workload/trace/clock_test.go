package trace_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forebay/workload"
	"forebay/workload/trace"

	"pgregory.net/rapid"
)

func place(t testing.TB, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// instants are when the calls of a source come, as a clock in UTC shows them.
func instants(t *testing.T, s workload.Source) []string {
	t.Helper()
	var at []time.Duration
	for q, err := range s.All() {
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, q.At)
	}
	start, out := s.Info().Start, []string{}
	for _, a := range at {
		out = append(out, start.Add(a).UTC().Format("15:04"))
	}
	return out
}

func calls(day string, clocks ...string) string {
	var text strings.Builder
	text.WriteString("time,input,output\n")
	for i, c := range clocks {
		fmt.Fprintf(&text, "%s %s:00,10,%d\n", day, c, i)
	}
	return text.String()
}

// On the days when clocks change, a clock without a zone tells an hour twice, or one that does not happen. New York goes back at 6:00 UTC on
// 1 November 2026, and forward at 7:00 on 8 March; Berlin back at 1:00 on 25 October; Lord Howe by half an hour at 15:00 UTC on 4 April.
func TestClocksChange(t *testing.T) {
	for _, c := range []struct{ name, zone, text, want, note string }{
		{"back", "America/New_York", calls("2026-11-01", "00:30", "01:10", "01:50", "01:05", "01:55", "02:10"), "04:30 05:10 05:50 06:05 06:55 07:10", "4 rows are of an hour that happens twice in America/New_York, where clocks go back: 2 of them"},
		{"back, Berlin", "Europe/Berlin", calls("2026-10-25", "01:59", "02:00", "02:59", "02:00", "03:00"), "23:59 00:00 00:59 01:00 02:00", "1 of them"},
		{"back by half an hour", "Australia/Lord_Howe", calls("2026-04-05", "01:20", "01:31", "01:59", "01:31", "02:01"), "14:20 14:31 14:59 15:01 15:31", "1 of them"},
		{"a little out of order", "America/New_York", calls("2026-11-01", "01:10", "01:05", "01:20", "02:30"), "05:05 05:10 05:20 07:30", "does not go back in it"},
		{"never back", "America/New_York", calls("2026-11-01", "00:59", "01:30", "02:00"), "04:59 05:30 07:00", "1 rows are of an hour that happens twice"},
		{"forward", "America/New_York", calls("2026-03-08", "01:59", "02:30", "03:01"), "06:59 07:01", ""},
		{"twice a year", "America/New_York", calls("2026-11-01", "01:50", "01:05") + "2027-11-07 01:10:00,10,1\n2027-11-07 02:10:00,10,1\n", "05:50 06:05 05:10 07:10", "3 rows"},
		{"no change", "America/New_York", calls("2026-07-01", "01:50", "02:05"), "05:50 06:05", ""},
		{"a zone of its own", "America/New_York", "time,input\n2026-11-01T01:50:00-04:00,1\n2026-11-01T01:05:00-05:00,1\n", "05:50 06:05", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := read(t, c.text, trace.Options{Location: place(t, c.zone)})
			if got := strings.Join(instants(t, s), " "); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if notes := strings.Join(s.Info().Notes, "\n"); !strings.Contains(notes, c.note) || c.note == "" && strings.Contains(notes, "happens twice") {
				t.Error(notes)
			}
			if f := s.Faults(); (c.name == "forward") != (len(f) == 1 && strings.Contains(f[0].Reason, "does not exist in America/New_York") && f[0].Line == 3) {
				t.Errorf("%+v", f)
			}
		})
	}
}

// Windows of an hour come 25 times on the day that clocks go back, and 23 times on the day that they go forward; none is missing.
func TestWindowsOfClockChanges(t *testing.T) {
	for day, hours := range map[string][]int{
		"2026-11-01": {0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23},
		"2026-03-08": {0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23},
	} {
		var text strings.Builder
		text.WriteString("time,requests,input\n")
		for _, h := range hours {
			fmt.Fprintf(&text, "%s %02d:00,6,60\n", day, h)
		}
		s := read(t, text.String(), trace.Options{Location: place(t, "America/New_York"), Seed: 1})
		x := measure(t, s)
		i := s.Info()
		if n := len(hours); x.rows != int64(6*n) || i.Length != time.Duration(n)*time.Hour || len(i.Unknown) != 0 || len(s.Faults()) != 0 {
			t.Errorf("%s: %d calls, %+v", day, x.rows, i)
		}
		for h := range hours {
			n := int64(0)
			for m := range 60 {
				n += x.calls[60*h+m]
			}
			if n != 6 {
				t.Errorf("%s: %d calls in hour %d", day, n, h)
			}
		}
	}
}

// Where a file has several rows of each window, those of an hour that happens twice are told apart by their number; they are added up. A file that
// tells one series after the other tells the day again.
func TestWindowsOfSeveralSeries(t *testing.T) {
	hours := []int{0, 1, 1, 2, 3}
	for name, one := range map[string]bool{"side by side": false, "one after the other": true} {
		var text strings.Builder
		text.WriteString("time,requests,input\n")
		row := func(day string, h int) { fmt.Fprintf(&text, "%s %02d:00,6,60\n", day, h) }
		if one {
			for range 2 {
				row("2026-10-30", 0)
				for h := range 23 {
					row("2026-10-30", h+1)
				}
				for h := range 24 {
					row("2026-10-31", h)
				}
				for _, h := range hours {
					row("2026-11-01", h)
				}
			}
		} else {
			for _, h := range hours {
				row("2026-11-01", h)
				row("2026-11-01", h)
			}
		}
		s := read(t, text.String(), trace.Options{Location: place(t, "America/New_York"), Seed: 1, Copies: true})
		n := map[string]int{}
		for _, at := range instants(t, s) {
			n[at[:2]]++
		}
		want := map[bool]int{true: 36, false: 12}[one] // of three days, or of one
		if n["04"] != want || n["05"] != want || n["06"] != want || n["08"] != want {
			t.Errorf("%s: %v", name, n)
		}
		if notes := strings.Join(s.Info().Notes, "\n"); !strings.Contains(notes, "rows are of a window that a row before them tells of") || len(s.Info().Unknown) != 0 {
			t.Errorf("%s: %+v", name, s.Info())
		}
	}
}

// What a clock in a place showed is read back to the instant, in order, over years of changes and whatever the place.
func TestClocksReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom([]string{"America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Tokyo", "America/St_Johns", "Africa/Casablanca", "UTC"}).Draw(t, "zone")
		l, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 3*365*24).Draw(t, "hour")) * time.Hour)
		// Rows every few minutes over two days: an hour that happens twice is told twice, and the clock goes back in it.
		gap := time.Duration(rapid.IntRange(1, 9).Draw(t, "gap")) * time.Minute
		var text strings.Builder
		var want []time.Time
		text.WriteString("time,input\n")
		for range int(48 * time.Hour / gap) {
			text.WriteString(at.In(l).Format("2006-01-02 15:04:05") + ",5\n")
			want = append(want, at)
			at = at.Add(gap)
		}
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := trace.Read(path, trace.Options{Location: l})
		if err != nil {
			t.Fatal(err)
		}
		var got []time.Duration
		for q, err := range s.All() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, q.At)
		}
		if len(got) != len(want) || len(s.Faults()) != 0 {
			t.Fatalf("%d calls of %d, %+v", len(got), len(want), s.Faults())
		}
		wrong := 0
		for i := range got {
			if !s.Info().Start.Add(got[i]).Equal(want[i]) {
				wrong++
			}
		}
		if wrong > 0 {
			t.Fatalf("%d of %d instants are others", wrong, len(want))
		}
	})
}
