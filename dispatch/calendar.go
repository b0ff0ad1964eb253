package dispatch

import (
	"cmp"
	"slices"
	"time"

	"forebay/capacity"
)

// The periods of calendar counters.
const (
	periodDay   = "day"
	periodMonth = "month"
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
	ends    capacity.Instant
}

func newCalendars() calendars { return calendars{} }

// next returns when the next period of any calendar begins.
func (c *calendars) next() (capacity.Instant, bool) {
	var at capacity.Instant
	for i, cal := range c.list {
		if i == 0 || cal.ends < at {
			at = cal.ends
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
	wall, now := time.Now(), d.now()
	for _, c := range d.cal.list {
		period, end := c.at(wall)
		c.ends = now + capacity.Instant(max(end.Sub(wall), time.Second))
		if period <= c.current {
			continue
		}
		c.current = period
		d.step(&capacity.Event{
			Kind: capacity.EventWallClock, Calendar: c.id, Period: period, At: c.ends,
		})
	}
}

// at returns the number of the period that t is in, which only grows with t, and its end.
func (c *calendar) at(t time.Time) (period int64, end time.Time) {
	y, m, day := t.In(c.zone).Date()
	if c.period == periodMonth {
		return int64(y)*12 + int64(m), time.Date(y, m+1, 1, 0, 0, 0, 0, c.zone)
	}
	return int64(y)*366 + int64(t.In(c.zone).YearDay()), time.Date(y, m, day+1, 0, 0, 0, 0, c.zone)
}

func sortIDs[T cmp.Ordered](ids []T) { slices.Sort(ids) }
