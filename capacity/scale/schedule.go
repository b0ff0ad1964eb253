package scale

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Schedule says when something is done: once, every so often, or by the calendar of a time zone. It is what Application Auto Scaling takes
// for scheduled actions: at(...), rate(...) and cron(...).
//
// A time of day that the change to summer time leaves out is taken as the moment of the change, and one that comes twice in autumn counts
// the first time.
type Schedule struct {
	text  string
	at    time.Time     // once
	every time.Duration // from the origin of rates on
	cron  *cron
	loc   *time.Location
}

// rateOrigin is what rates count from: a Monday, so that days and weeks begin where people's do, in UTC.
var rateOrigin = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)

// maxSchedule bounds the text of a schedule, as Application Auto Scaling does.
const maxSchedule = 1600

// ParseSchedule reads an expression; the times in it are those of a location.
//
//	at(2026-11-27T08:00:00)        once
//	rate(6 hours)                  each 6 hours (minutes, days)
//	cron(55 8 ? * MON-FRI *)       minute, hour, day of the month, month, day of the week, year
func ParseSchedule(text string, loc *time.Location) (Schedule, error) {
	s := Schedule{text: text, loc: loc}
	kind, rest, ok := strings.Cut(strings.TrimSpace(text), "(")
	inner, closed := strings.CutSuffix(rest, ")")
	if len(text) > maxSchedule {
		return s, fmt.Errorf("a schedule of %d characters: give at most %d", len(text), maxSchedule)
	}
	if !ok || !closed {
		return s, fmt.Errorf("schedule %q: give cron(55 8 ? * MON-FRI *), at(2026-11-27T08:00:00) or rate(6 hours)", text)
	}
	var err error
	switch kind {
	case "at":
		s.at, err = time.ParseInLocation("2006-01-02T15:04:05", strings.TrimSpace(inner), loc)
		if err != nil {
			err = errors.New("give a time such as 2026-11-27T08:00:00")
		}
	case "rate":
		s.every, err = parseRate(inner)
	case "cron":
		s.cron, err = parseCron(inner)
	default:
		err = errors.New("it is neither cron, nor at, nor rate")
	}
	if err != nil {
		return s, fmt.Errorf("schedule %q: %w", text, err)
	}
	return s, nil
}

func parseRate(s string) (time.Duration, error) {
	f := strings.Fields(s)
	units := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}
	if len(f) == 2 {
		n, err := strconv.ParseInt(f[0], 10, 32)
		if u := units[strings.TrimSuffix(f[1], "s")]; err == nil && u > 0 && n > 0 && time.Duration(n) <= maxTime/u {
			return time.Duration(n) * u, nil
		}
	}
	return 0, errors.New("give a number of minutes, hours or days, such as rate(6 hours)")
}

// String returns the expression.
func (s Schedule) String() string { return s.text }

// Next returns the first time after an instant, false if there is none.
func (s Schedule) Next(after time.Time) (time.Time, bool) {
	switch {
	case s.every > 0:
		since := after.Sub(rateOrigin)
		last := since - since%s.every
		if since < last {
			last -= s.every
		}
		return rateOrigin.Add(last + s.every).In(s.loc), true
	case s.cron != nil:
		return s.cron.next(after, s.loc)
	default:
		return s.at, s.at.After(after)
	}
}

// Action changes the bounds of the number of instances when its schedule says so. Nil leaves a bound as it is.
type Action struct {
	Schedule Schedule
	Min, Max *int32
}

// Bounds are a minimum and a maximum that hold from an instant on.
type Bounds struct {
	At       time.Time
	Min, Max int32
}

// maxTimeline bounds the changes that Timeline returns.
const maxTimeline = 1 << 16

// Timeline returns what actions make of bounds between two instants: those that hold at the first, and then each change. Actions of one instant
// are done in their order. The bounds at the start are what the actions of the weeks before have left. A minimum above the maximum takes the
// maximum with it, and the other way round.
func Timeline(actions []Action, from, to time.Time, first Bounds) ([]Bounds, error) {
	const before = 5 * 7 * 24 * time.Hour // more than a month
	now := Bounds{At: from, Min: first.Min, Max: first.Max}
	out := []Bounds{now}
	nexts := make([]time.Time, len(actions)) // zero is never
	advance := func(i int, after time.Time) {
		if next, ok := actions[i].Schedule.Next(after); ok {
			nexts[i] = next
		} else {
			nexts[i] = time.Time{}
		}
	}
	for i := range actions {
		advance(i, from.Add(-before))
	}
	for n := 0; ; n++ {
		next := earliest(nexts)
		if next.IsZero() || !next.Before(to) {
			return out, nil
		}
		if n == maxTimeline {
			return nil, fmt.Errorf("the schedules are due more than %d times: give longer ones", maxTimeline)
		}
		for i := range actions {
			if nexts[i].Equal(next) {
				now.apply(&actions[i])
				advance(i, next)
			}
		}
		if now.At = next; !next.After(from) {
			now.At = from
			out[0] = now
		} else if last := out[len(out)-1]; last.Min != now.Min || last.Max != now.Max {
			out = append(out, now)
		}
	}
}

// earliest returns the earliest time, zero if there is none.
func earliest(times []time.Time) (at time.Time) {
	for _, t := range times {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	return at
}

func (b *Bounds) apply(a *Action) {
	if a.Max != nil {
		b.Max = *a.Max
		b.Min = min(b.Min, b.Max)
	}
	if a.Min != nil {
		b.Min = *a.Min
		b.Max = max(b.Max, b.Min)
	}
}
