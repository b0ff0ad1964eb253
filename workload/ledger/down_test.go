package ledger_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"forebay/meter"
	"forebay/workload"
	"forebay/workload/ledger"
)

// Times in which no server ran are unknown, from a minute after one was last seen to when the next one began; those in which one ran without a call are idle.
func TestDowntimes(t *testing.T) {
	rows := []meter.DemandRow{{At: at(0), Input: 1, Output: 1, Count: 1}, {At: at(10 * time.Hour), Input: 1, Output: 1, Count: 1}}
	up := func(from, to time.Duration) meter.Uptime { return meter.Uptime{Since: at(from), Until: at(to)} }
	span := func(from, to time.Duration) workload.Span { // base is 30 s before the first call
		return workload.Span{From: from + 30*time.Second, To: to + 30*time.Second}
	}
	for _, c := range []struct {
		name string
		up   *meter.Uptimes
		idle bool
		want []workload.Span
		note string
	}{
		{"not told", nil, false, nil, "was not noted then"},
		{"not noted", &meter.Uptimes{Known: 1<<63 - 1}, false, nil, "was not noted then"},
		{"one server", &meter.Uptimes{Times: []meter.Uptime{up(-time.Hour, 11*time.Hour)}}, false, nil, "count as idle while a server ran"},
		{"a restart", &meter.Uptimes{Times: []meter.Uptime{up(-time.Hour, 5*time.Hour), up(5*time.Hour+90*time.Second, 11*time.Hour)}}, false, nil, "count as idle while a server ran"},
		{
			"two gaps",
			&meter.Uptimes{Times: []meter.Uptime{up(-time.Hour, 2*time.Hour), up(3*time.Hour, 4*time.Hour), up(6*time.Hour, 11*time.Hour)}},
			false,
			[]workload.Span{span(2*time.Hour+time.Minute, 3*time.Hour), span(4*time.Hour+time.Minute, 6*time.Hour)},
			"no server ran for 2h58m0s, the longest time from 2026-01-05 14:01 on for 1h59m0s: that is missing data and no idleness; --missing idle says otherwise",
		},
		{"said to be idle", &meter.Uptimes{Times: []meter.Uptime{up(-time.Hour, 2*time.Hour), up(3*time.Hour, 11*time.Hour)}}, true, nil, "59m0s: that counts as idle, as was said"},
		{
			"known from later on",
			&meter.Uptimes{Known: at(4 * time.Hour), Times: []meter.Uptime{up(4*time.Hour, 5*time.Hour), up(6*time.Hour, 11*time.Hour)}},
			false,
			[]workload.Span{span(5*time.Hour+time.Minute, 6*time.Hour)},
			"before 2026-01-05 14:00 it was not noted when a server ran",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			pages := paged(rows, 9)
			s, err := ledger.Open(func(q meter.DemandQuery) (*meter.DemandPage, error) {
				p, err := pages(q)
				if q.UpTo == 0 {
					p.Up = c.up
				}
				return p, err
			}, ledger.Options{Name: "here", Now: start.Add(24 * time.Hour), Idle: c.idle})
			if err != nil {
				t.Fatal(err)
			}
			all(t, s)
			if i := s.Info(); !slices.Equal(i.Unknown, c.want) || !strings.Contains(strings.Join(i.Notes, "\n"), c.note) {
				t.Errorf("%v, want %v\n%s", i.Unknown, c.want, strings.Join(i.Notes, "\n"))
			}
		})
	}
}
