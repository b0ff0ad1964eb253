package dispatch

import (
	"cmp"
	"slices"
	"time"

	"forebay/capacity"
)

// The periods of calendar counters.
const (
	PeriodDay   = "day"
	PeriodMonth = "month"
)

// calendarKey names a sequence of periods: days or months in one billing zone.
type calendarKey struct {
	zone   string
	period string
}

// calendars knows which period of each calendar it is. Guarded by the Dispatcher's mutex.
type calendars struct {
	list []*calendar
}

type calendar struct {
	id      capacity.CalendarID
	zone    *time.Location
	period  string
	current int64
	due     capacity.Instant // when to look at the wall clock again
}

func newCalendars() calendars { return calendars{} }

// wallEvery bounds the time between two looks at the wall clock, which may be set, or go on while the machine sleeps.
const wallEvery = time.Minute

// next returns when to look at the wall clock again.
func (c *calendars) next() (capacity.Instant, bool) {
	var at capacity.Instant
	for i, cal := range c.list {
		if i == 0 || cal.due < at {
			at = cal.due
		}
	}
	return at, len(c.list) > 0
}

func (c *calendars) byID(id capacity.CalendarID) *calendar {
	for _, cal := range c.list {
		if cal.id == id {
			return cal
		}
	}
	return nil
}

// calendar returns the handle of the calendar of a zone and period, which begins when it is new.
func (b *builder) calendar(zone, period string) capacity.CalendarID {
	key := calendarKey{zone, period}
	if id, ok := b.ids.calendars[key]; ok {
		return id
	}
	id := handle(&b.ids.next, b.ids.calendars, key)
	loc, err := time.LoadLocation(zone)
	if err != nil {
		loc = time.UTC // the configuration has checked the name
	}
	b.cal.list = append(b.cal.list, &calendar{id: id, zone: loc, period: period})
	return id
}

// rollCalendars begins the periods that are due by the wall clock. A wall clock that was
// set back changes nothing: periods only grow. The mutex must be held.
func (d *Dispatcher) rollCalendars() {
	wall, now := d.wall(), d.now()
	for _, c := range d.cal.list {
		period, end := c.at(wall)
		left := max(end.Sub(wall), time.Second)
		c.due = now + capacity.Instant(min(left, wallEvery))
		if period <= c.current {
			continue
		}
		c.current = period
		d.step(&capacity.Event{
			Kind: capacity.EventWallClock, Calendar: c.id, Period: period, At: now + capacity.Instant(left),
		})
	}
}

// at returns the number of the period that t is in, which only grows with t, and its end.
func (c *calendar) at(t time.Time) (period int64, end time.Time) {
	y, m, day := t.In(c.zone).Date()
	if c.period == PeriodMonth {
		return int64(y)*12 + int64(m), time.Date(y, m+1, 1, 0, 0, 0, 0, c.zone)
	}
	for end = t; !end.After(t); day++ { // a zone may leave out a midnight, or a whole day
		end = time.Date(y, m, day+1, 0, 0, 0, 0, c.zone)
	}
	return int64(y)*366 + int64(t.In(c.zone).YearDay()), end
}

func sortIDs[T cmp.Ordered](ids []T) { slices.Sort(ids) }
