package trace

import (
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

// absolute says whether the times are of a wall clock.
func (c *clock) absolute() bool { return c.layout != "" || c.epoch }

// read returns a time in nanoseconds, since 1970 if the clock is absolute. wrong says why it is none.
func (c *clock) read(s string) (at int64, wrong string) {
	if c.layout != "" {
		t, err := time.ParseInLocation(c.layout, s, c.location)
		if err != nil {
			return 0, "the time is of another form than the first row's"
		}
		return t.UnixNano(), ""
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
