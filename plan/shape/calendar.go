package shape

import (
	"fmt"
	"time"
)

// calendar is the time that a traffic covers, by the clock on the wall of its place.
type calendar struct {
	start  time.Time
	length time.Duration
	first  time.Weekday
	shifts []shift
}

// shift is how far, from an instant on, the clock is ahead of the time that has passed since the midnight that the first day begins with. It changes
// where clocks are changed.
type shift struct{ from, ahead time.Duration }

// newCalendar returns whole weeks from a day on.
func newCalendar(day time.Time, weeks int, place *time.Location) calendar {
	y, m, d := day.Date()
	c := calendar{start: midnight(y, m, d, place)}
	end := midnight(y, m, d+7*weeks, place)
	c.length, c.first = end.Sub(c.start), c.start.Weekday()
	_, before := c.start.Zone()
	ahead := clockOf(c.start)
	c.shifts = []shift{{0, ahead}}
	for _, at := c.start.ZoneBounds(); !at.IsZero() && at.Before(end); _, at = at.ZoneBounds() {
		_, offset := at.Zone()
		if offset == before {
			continue // another name of the same time
		}
		ahead += time.Duration(offset-before) * time.Second
		before = offset
		c.shifts = append(c.shifts, shift{at.Sub(c.start), ahead})
	}
	return c
}

// midnight is when a day begins: at its midnight, the first of them where clocks are put back over it, or, where they are put forward just then, at the
// change.
func midnight(y int, m time.Month, d int, place *time.Location) time.Time {
	t := time.Date(y, m, d, 0, 0, 0, 0, place)
	change, next := t.ZoneBounds()
	if t.Day() != time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Day() {
		return next // Date has taken the midnight that does not happen for an hour of the day before
	}
	_, after := t.Zone()
	if change.IsZero() {
		return t
	}
	_, before := change.Add(-1).Zone()
	if first := t.Add(time.Duration(after-before) * time.Second); clockOf(first) == 0 && first.Before(change) {
		return first
	}
	return t
}

func clockOf(t time.Time) time.Duration {
	h, m, s := t.Clock()
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second
}

// wall returns the number of the day, from the first on, and the time of the day at an instant.
func (c *calendar) wall(at time.Duration) (day int64, clock time.Duration) {
	k := len(c.shifts) - 1
	for k > 0 && c.shifts[k].from > at {
		k--
	}
	at += c.shifts[k].ahead
	return int64(at / (24 * time.Hour)), at % (24 * time.Hour)
}

// weekday returns the day of the week of a day.
func (c *calendar) weekday(day int64) time.Weekday { return (c.first + time.Weekday(day%7)) % 7 }

// changes says what becomes of the calls of the hours at which clocks are changed.
func (c *calendar) changes() []string {
	var out []string
	for i := 1; i < len(c.shifts); i++ {
		const day = 24 * time.Hour
		at := c.start.Add(c.shifts[i].from)
		by := c.shifts[i].ahead - c.shifts[i-1].ahead
		was := time.Time{}.Add((clockOf(at) - by + day) % day).Format("15:04")
		if by > 0 {
			out = append(out, fmt.Sprintf("on %s the clock goes forward from %s to %s: that time does not happen, nor do its calls", at.Format(time.DateOnly), was, at.Format("15:04")))
		} else {
			out = append(out, fmt.Sprintf("on %s the clock goes back from %s to %s: that time happens twice, and so do its calls", at.Format(time.DateOnly), was, at.Format("15:04")))
		}
	}
	return out
}
