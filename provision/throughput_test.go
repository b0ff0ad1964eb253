package provision

import (
	"testing"
	"time"
)

// The term that runs is the first whose end has not come, whatever the days of the months are.
func TestTermThatRuns(t *testing.T) {
	for _, began := range []time.Time{
		time.Date(2028, 1, 31, 23, 59, 59, 1, time.UTC), time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC), time.Date(2026, 12, 15, 8, 0, 0, 0, time.FixedZone("", 2*3600)),
	} {
		for _, term := range []Term{OneMonth, ThreeMonths, SixMonths} {
			want := 1
			for at := began; at.Before(began.AddDate(3, 0, 0)); at = at.Add(7 * time.Hour) {
				for !at.Before(term.End(began, want)) {
					want++
				}
				if got := term.number(began, at); got != want {
					t.Fatalf("%s from %s: term %d runs at %s, want %d", term, began, got, at, want)
				}
			}
			for n := 1; n < 30; n++ {
				if end := term.End(began, n); term.number(began, end) != n+1 || term.number(began, end.Add(-1)) != n {
					t.Errorf("%s from %s: wrong at the end of term %d", term, began, n)
				}
			}
		}
	}
}
