package trace

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// clock reads the times of one file, which are all of one form: a wall clock, an epoch in seconds down to nanoseconds, or numbers from any origin.
type clock struct {
	layout   string        // of a wall clock
	unit     time.Duration // of a number
	epoch    bool          // numbers count from 1970 on
	location *time.Location
}

// layouts are the forms of wall clocks, fractions of a second included.
var layouts = []string{
	time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006/01/02 15:04:05", "01/02/2006 15:04:05", "2006-01-02",
}

// epochs are the units of numbers that count from 1970 on, by the least that is one: 1973 in each.
var epochs = []struct {
	least float64
	unit  time.Duration
}{{1e17, 1}, {1e14, time.Microsecond}, {1e11, time.Millisecond}, {1e8, time.Second}}

// newClock finds the form of a first time. relative is the unit of numbers that are no epoch.
func newClock(s string, relative time.Duration, location *time.Location) (*clock, bool) {
	c := &clock{location: location}
	if v, err := strconv.ParseFloat(s, 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
		c.unit = relative
		for _, e := range epochs {
			if v >= e.least {
				c.unit, c.epoch = e.unit, true
				break
			}
		}
		return c, true
	}
	for _, l := range layouts {
		if _, err := time.ParseInLocation(l, s, location); err == nil {
			c.layout = l
			return c, true
		}
	}
	return nil, false
}

// counted returns a time that a call can come at. Those of other centuries cannot be counted in nanoseconds from each other.
func counted(t time.Time) (at int64, wrong string) {
	if y := t.Year(); y < 1970 || y > 2200 {
		return 0, "the time is of another century"
	}
	return t.UnixNano(), ""
}

// absolute says whether the times are of a wall clock.
func (c *clock) absolute() bool { return c.layout != "" || c.epoch }

// read returns a time in nanoseconds, since 1970 if the clock is absolute. wrong says why it is none.
func (c *clock) read(s string) (at int64, wrong string) {
	if c.layout != "" {
		t, err := time.ParseInLocation(c.layout, s, c.location)
		if err != nil {
			return 0, "the time is of another form than the first row's"
		}
		return counted(t)
	}
	whole, fraction, _ := strings.Cut(s, ".")
	if n, err := strconv.ParseInt(whole, 10, 64); err == nil && !strings.ContainsAny(s, "eE") { // exact, where a float of nanoseconds would not be
		if c.epoch && !c.sameUnit(float64(n)) || !c.epoch && float64(n) >= 1000*epochs[len(epochs)-1].least {
			return 0, "the time is in another unit than the first row's"
		}
		if math.Abs(float64(n)) > math.MaxInt64/float64(c.unit) {
			return 0, "the time is beyond what can be counted"
		}
		f, err := strconv.ParseFloat("0."+fraction+"0", 64)
		if err != nil {
			return 0, "the time is no number"
		}
		if strings.HasPrefix(whole, "-") {
			f = -f
		}
		return n*int64(c.unit) + int64(math.Round(f*float64(c.unit))), ""
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.Abs(v)*float64(c.unit) > math.MaxInt64/2 {
		return 0, "the time is no number"
	}
	return int64(math.Round(v * float64(c.unit))), ""
}

func (c *clock) sameUnit(v float64) bool {
	for _, e := range epochs {
		if v >= e.least {
			return c.unit == e.unit
		}
	}
	return false
}

// wall reads the times of a file one after the other. Clocks without a zone tell some hours twice, and some not at all, on days of daylight
// saving time: where an hour happens twice, rows are of its first time until the clock goes back.
type wall struct {
	*clock

	shifts  bool // the clock has no zone, and its place has shifts
	windows bool // rows are windows, of which each time has as many

	last       time.Time // the row before, as the clock shows it
	run, usual int       // rows of that time, and of the time before

	fold   int64     // where the second time begins of the hour that is being told
	before time.Time // the row before in it, as the clock shows it
	second bool

	twice, again int64 // rows of hours that happen twice, and those of them that are of the second time
}

func newWall(c *clock, windows bool) *wall {
	return &wall{clock: c, windows: windows, shifts: c.layout != "" && !strings.Contains(c.layout, "Z07:00") && c.location != time.UTC}
}

// read is the clock's, for the next row.
func (w *wall) read(s string) (at int64, wrong string) {
	if !w.shifts {
		return w.clock.read(s)
	}
	shown, err := time.Parse(w.layout, s)
	if err != nil {
		return 0, "the time is of another form than the first row's"
	}
	if _, wrong := counted(shown); wrong != "" {
		return 0, wrong
	}
	w.count(shown)
	first, second, ok := w.instants(shown)
	switch {
	case !ok:
		return 0, "the time does not exist in " + w.location.String() + ", where clocks went forward over it: say the file's own zone with --timezone"
	case first.Equal(second):
		return first.UnixNano(), ""
	}
	if begins, _ := second.ZoneBounds(); begins.UnixNano() != w.fold {
		w.fold, w.second, w.before = begins.UnixNano(), false, time.Time{}
	}
	back := second.Sub(first) / 2 // less is rows that are out of order
	if w.windows {
		back = 0 // and as many rows of a time as of others: more are of its second time
		w.second = w.second || shown.Equal(w.before) && w.run > max(w.usual, 1)
	}
	if !w.before.IsZero() && shown.Before(w.before.Add(-back)) {
		w.second = true
	}
	w.before = shown
	w.twice++
	if w.second {
		w.again++
		return second.UnixNano(), ""
	}
	return first.UnixNano(), ""
}

// count takes note of a row. A file that goes back by days begins anew.
func (w *wall) count(shown time.Time) {
	switch {
	case shown.Equal(w.last):
		w.run++
		return
	case shown.Before(w.last.AddDate(0, 0, -1)):
		w.fold, w.run = 0, 0
	}
	w.last, w.usual, w.run = shown, w.run, 1
}

// instants are when a clock of the place shows a time: the same twice, but for hours that happen twice. ok is false where it never does.
func (w *wall) instants(shown time.Time) (first, second time.Time, ok bool) {
	y, m, d := shown.Date()
	t := time.Date(y, m, d, shown.Hour(), shown.Minute(), shown.Second(), shown.Nanosecond(), w.location)
	if w.layout == time.DateOnly { // a day is one, also where it does not begin at midnight
		return t, t, true
	}
	if t.Hour() != shown.Hour() || t.Minute() != shown.Minute() || t.Day() != shown.Day() {
		return t, t, false
	}
	begins, ends := t.ZoneBounds()
	if !begins.IsZero() { // as it was before the last shift
		_, offset := begins.Add(-1).Zone()
		if u := shown.Add(-time.Duration(offset) * time.Second); u.Before(begins) {
			return u.In(w.location), t, true
		}
	}
	if !ends.IsZero() { // as it will be after the next one
		_, offset := ends.Zone()
		if u := shown.Add(-time.Duration(offset) * time.Second); !u.Before(ends) {
			return t, u.In(w.location), true
		}
	}
	return t, t, true
}

// notes say what was made of hours that happen twice.
func (w *wall) notes() []string {
	switch {
	case w.twice == 0:
		return nil
	case w.again == 0:
		return []string{fmt.Sprintf("%d rows are of an hour that happens twice in %s, where clocks go back: the file's clock does not go back in it, so that all are of the first time", w.twice, w.location)}
	default:
		return []string{fmt.Sprintf("%d rows are of an hour that happens twice in %s, where clocks go back: %d of them, after the file's clock went back, are of the second time", w.twice, w.location, w.again)}
	}
}
