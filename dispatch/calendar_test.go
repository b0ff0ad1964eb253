package dispatch

import (
	"testing"
	"testing/synctest"
	"time"

	"forebay/fault"
	"forebay/identity"
	"forebay/infer"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// Periods follow the wall clock of the billing zone: days of 23 and 25 hours where summer time begins and ends, months of their own length.
func TestPeriodsFollowTheBillingZone(t *testing.T) {
	for _, c := range []struct {
		zone, period, at, end string
	}{
		{"UTC", PeriodDay, "2026-03-01T12:00:00Z", "2026-03-02T00:00:00Z"},
		{"Europe/Rome", PeriodDay, "2026-03-28T23:30:00Z", "2026-03-29T22:00:00Z"},  // 29 March, 23 hours
		{"Europe/Rome", PeriodDay, "2026-10-24T22:30:00Z", "2026-10-25T23:00:00Z"},  // 25 October, 25 hours
		{"Asia/Kolkata", PeriodDay, "2026-01-01T18:00:00Z", "2026-01-01T18:30:00Z"}, // half past six in London
		{"America/New_York", PeriodMonth, "2026-03-01T04:59:00Z", "2026-03-01T05:00:00Z"},
		{"America/New_York", PeriodMonth, "2026-03-01T05:00:00Z", "2026-04-01T04:00:00Z"}, // summer time began
		{"UTC", PeriodMonth, "2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z"},
		{"UTC", PeriodDay, "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"},
	} {
		cal := calendar{zone: zone(t, c.zone), period: c.period}
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		period, end := cal.at(at)
		if got := end.UTC().Format(time.RFC3339); got != c.end {
			t.Errorf("%s %s of %s ends %s, want %s", c.zone, c.period, c.at, got, c.end)
		}
		if last, _ := cal.at(end.Add(-time.Nanosecond)); last != period {
			t.Errorf("%s %s of %s: its last nanosecond is in another period", c.zone, c.period, c.at)
		}
		if next, _ := cal.at(end); next <= period {
			t.Errorf("%s %s of %s: what begins at its end is no later period", c.zone, c.period, c.at)
		}
	}
}

// The numbers of days and months grow for ever, also over leap years.
func TestPeriodNumbersOnlyGrow(t *testing.T) {
	for _, period := range []string{PeriodDay, PeriodMonth} {
		cal := calendar{zone: zone(t, "Pacific/Apia"), period: period} // which left out a day in 2011
		at := time.Date(2008, 1, 1, 12, 0, 0, 0, time.UTC)
		last, _ := cal.at(at)
		for range 25 * 366 {
			at = at.Add(24 * time.Hour)
			now, end := cal.at(at)
			if now < last || period == PeriodDay && now == last || !end.After(at) {
				t.Fatalf("%s: period %d after %d, until %s", at, now, last, end)
			}
			last = now
		}
	}
}

// A day's budget that is used up is there again at midnight in the billing zone, which Retry-After says. The bubble's
// clock starts at midnight UTC of 2000-01-01: 01:00 in Rome.
func TestADayRollsOverAtMidnightOfTheZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) {
			r.top.Accounts[0].Zone = zone(t, "Europe/Rome")
			r.top.Keys[0].Limits = identity.Limits{TokensPerDay: 40}
		}, &fake{answer: after(0, infer.Usage{Input: 10, Output: 20})})
		r.mustDo(r.request())
		_, err := r.do(t.Context(), r.request())
		wantKind(t, err, fault.BudgetExceeded)
		if e := fault.From(err); e.RetryAfter != 23*time.Hour || !e.RetryEstimated {
			t.Errorf("retry after %s", e.RetryAfter)
		}
		time.Sleep(23*time.Hour - time.Second)
		_, err = r.do(t.Context(), r.request())
		wantKind(t, err, fault.BudgetExceeded)
		time.Sleep(time.Second)
		synctest.Wait()
		r.mustDo(r.request())
	})
}

// A wall clock that is set forward starts the new day within a minute; one that is set back changes nothing.
func TestTheWallClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var set time.Duration
		r := newRig(t, func(r *rig) {
			r.wall = func() time.Time { return time.Now().Add(set) }
			r.top.Keys[0].Limits = identity.Limits{TokensPerDay: 40}
		}, &fake{answer: after(0, infer.Usage{Input: 10, Output: 20})})
		r.mustDo(r.request())
		_, err := r.do(t.Context(), r.request())
		wantKind(t, err, fault.BudgetExceeded)
		move := func(to time.Duration) {
			r.mu.Lock()
			set = to
			r.mu.Unlock()
			time.Sleep(wallEvery)
			synctest.Wait()
		}
		move(24 * time.Hour)
		r.mustDo(r.request())
		move(-24 * time.Hour)
		_, err = r.do(t.Context(), r.request())
		wantKind(t, err, fault.BudgetExceeded)
	})
}
