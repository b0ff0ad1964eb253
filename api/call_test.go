package api

import (
	"regexp"
	"testing"
	"time"
)

func TestRequestIDsAreOrderedByTime(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	now := time.Date(2026, 3, 1, 12, 0, 0, 999_000_000, time.UTC)
	last, seen := "", map[string]bool{}
	for range 5000 {
		id := NewID(now)
		if !form.MatchString(id) || id <= last || seen[id] {
			t.Fatalf("%s after %s", id, last)
		}
		last, seen[id] = id, true
		now = now.Add(250 * time.Nanosecond) // one step of the fraction is 244 ns
	}
}

// The example of RFC 9562, appendix A.6: 017F22E2-79B0-7CC3-98C4-DC0C0C07398F is of Tuesday, February 22, 2022 2:22:22.00 PM GMT-05:00.
func TestRequestIDTime(t *testing.T) {
	at := time.Date(2022, 2, 22, 19, 22, 22, 0, time.UTC)
	if id := NewID(at); id[:15] != "017f22e2-79b0-7" {
		t.Errorf("%s", id)
	}
}
