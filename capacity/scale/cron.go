package scale

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// lastYear bounds the search for what a calendar says.
const lastYear = 2199

// cron is a calendar in six fields, as Amazon EventBridge and Application Auto Scaling have them.
type cron struct {
	minutes, hours, months field
	days                   days
	years                  []int // nil is every year
}

// field is a set of small numbers.
type field uint64

func (f field) has(n int) bool { return f>>uint(n)&1 != 0 }

// days are the days of a month that a calendar names: by their number or by the day of the week.
type days struct {
	month     field // 1 to 31
	last      bool  // the last one
	near      int   // the working day nearest to this one; 0 is none
	week      field // 0 Sunday to 6
	lastWeek  int   // the last such day of the month, 1 Sunday to 7; 0 is none
	nth, kind int   // the nth such day, kind 1 Sunday to 7; 0 is none
	byWeek    bool
}

func parseCron(s string) (*cron, error) {
	f := strings.Fields(strings.ToUpper(s))
	if len(f) != 6 {
		return nil, fmt.Errorf("cron has %d fields: give minute, hour, day of the month, month, day of the week, year", len(f))
	}
	c := &cron{}
	var errs [5]error
	c.minutes, errs[0] = parseField(f[0], "minute", 0, 59, nil)
	c.hours, errs[1] = parseField(f[1], "hour", 0, 23, nil)
	c.months, errs[2] = parseField(f[3], "month", 1, 12, monthNames)
	c.years, errs[3] = parseYears(f[5])
	errs[4] = c.days.parse(f[2], f[4])
	return c, cmp.Or(errs[:]...)
}

var (
	monthNames = []string{"", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
	dayNames   = []string{"", "SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
)

// parseNumber reads a number or its name.
func parseNumber(s, what string, least, most int, names []string) (int, error) {
	n, err := strconv.Atoi(s)
	if i := slices.Index(names, s); i > 0 {
		n, err = i, nil
	}
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s %q: give %d to %d", what, s, least, most)
	}
	return n, nil
}

// eachOf calls visit with the numbers of a field: lists, ranges and steps.
func eachOf(s, what string, least, most int, names []string, visit func(n int)) error {
	for part := range strings.SplitSeq(s, ",") {
		span, step, stepped := strings.Cut(part, "/")
		by := 1
		if stepped {
			var err error
			if by, err = parseNumber(step, "step of "+what, 1, most, nil); err != nil {
				return err
			}
		}
		from, to := least, most
		if span != "*" {
			a, b, ranged := strings.Cut(span, "-")
			var err error
			if from, err = parseNumber(a, what, least, most, names); err != nil {
				return err
			}
			switch {
			case ranged:
				if to, err = parseNumber(b, what, least, most, names); err != nil {
					return err
				}
			case !stepped:
				to = from
			}
		}
		if from > to {
			return fmt.Errorf("%s %q: a range goes up; give two ranges with a comma", what, part)
		}
		for n := from; n <= to; n += by {
			visit(n)
		}
	}
	return nil
}

func parseField(s, what string, least, most int, names []string) (field, error) {
	var f field
	err := eachOf(s, what, least, most, names, func(n int) { f |= 1 << uint(n) })
	return f, err
}

func parseYears(s string) ([]int, error) {
	if s == "*" {
		return nil, nil
	}
	var out []int
	err := eachOf(s, "year", 1970, lastYear, nil, func(n int) { out = append(out, n) })
	slices.Sort(out)
	return out, err
}

// parse reads the two fields of days, one of which is a question mark.
func (d *days) parse(month, week string) error {
	var err error
	switch {
	case (month == "?") == (week == "?"):
		return errors.New("one of day of the month and day of the week is ?, and the other one is not")
	case week == "?":
		switch near, isNear := strings.CutSuffix(month, "W"); {
		case month == "L":
			d.last = true
		case isNear:
			d.near, err = parseNumber(near, "day of the month", 1, 31, nil)
		default:
			d.month, err = parseField(month, "day of the month", 1, 31, nil)
		}
		return err
	}
	d.byWeek = true
	kind, nth, isNth := strings.Cut(week, "#")
	last, isLast := strings.CutSuffix(week, "L")
	switch {
	case week == "L":
		d.week = 1 << 6
	case isNth:
		if d.kind, err = parseNumber(kind, "day of the week", 1, 7, dayNames); err == nil {
			d.nth, err = parseNumber(nth, "day of the week in the month", 1, 5, nil)
		}
	case isLast:
		d.lastWeek, err = parseNumber(last, "day of the week", 1, 7, dayNames)
	default:
		err = eachOf(week, "day of the week", 1, 7, dayNames, func(n int) { d.week |= 1 << uint(n-1) })
	}
	return err
}

// has says whether a day of a month of so many days is named. weekday is its day of the week.
func (d *days) has(day, length int, weekday time.Weekday) bool {
	switch {
	case d.byWeek && d.nth > 0:
		return int(weekday)+1 == d.kind && (day-1)/7+1 == d.nth
	case d.byWeek && d.lastWeek > 0:
		return int(weekday)+1 == d.lastWeek && day+7 > length
	case d.byWeek:
		return d.week.has(int(weekday))
	case d.last:
		return day == length
	case d.near > 0:
		return d.near <= length && day == nearest(d.near, length, (weekday+time.Weekday(35+d.near-day))%7)
	default:
		return d.month.has(day)
	}
}

// nearest is the working day nearest to a day of a month, in that month.
func nearest(day, length int, weekday time.Weekday) int {
	switch {
	case weekday == time.Saturday && day > 1:
		return day - 1
	case weekday == time.Saturday:
		return day + 2
	case weekday == time.Sunday && day < length:
		return day + 1
	case weekday == time.Sunday:
		return day - 2
	default:
		return day
	}
}

// next returns the first time of the calendar after an instant.
func (c *cron) next(after time.Time, loc *time.Location) (time.Time, bool) {
	local := after.In(loc)
	y, m, d := local.Date()
	for y <= lastYear {
		if c.years != nil {
			i, _ := slices.BinarySearch(c.years, y)
			if i == len(c.years) {
				return time.Time{}, false
			}
			if c.years[i] > y {
				y, m, d = c.years[i], 1, 1
			}
		}
		length := time.Date(y, m+1, 0, 0, 0, 0, 0, time.UTC).Day()
		for ; c.months.has(int(m)) && d <= length; d++ {
			if !c.days.has(d, length, time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Weekday()) {
				continue
			}
			if t, ok := c.timeOf(y, m, d, after, loc); ok {
				return t, true
			}
		}
		if d, m = 1, m+1; m > 12 {
			y, m = y+1, 1
		}
	}
	return time.Time{}, false
}

// timeOf returns the first time of a day that lies after an instant.
func (c *cron) timeOf(y int, m time.Month, d int, after time.Time, loc *time.Location) (time.Time, bool) {
	h := 0
	if ay, am, ad := after.In(loc).Date(); ay == y && am == m && ad == d {
		h = max(0, after.In(loc).Hour()-3) // clocks are put back by less, as a rule; by more, and it is the second time
	}
	for ; h < 24; h++ {
		for minute := range 60 {
			if !c.hours.has(h) || !c.minutes.has(minute) {
				continue
			}
			if t := moment(y, m, d, h, minute, loc); t.After(after) {
				return t, true
			}
		}
	}
	return time.Time{}, false
}

// moment is when a clock shows a time: the first time that it does, or the moment at which it leaps over it.
func moment(y int, m time.Month, d, h, minute int, loc *time.Location) time.Time {
	t := time.Date(y, m, d, h, minute, 0, 0, loc)
	start, end := t.ZoneBounds()
	switch wall(t).Compare(time.Date(y, m, d, h, minute, 0, 0, time.UTC)) {
	case -1: // before the leap
		return end
	case 1: // behind it
		return start
	}
	if start.IsZero() {
		return t
	}
	_, offset := t.Zone()
	_, before := start.Add(-time.Nanosecond).Zone()
	if first := t.Add(time.Duration(offset-before) * time.Second); first.Before(start) {
		return first // the clock was put back, and showed it before
	}
	return t
}

// wall is what a clock shows, as if it were in UTC.
func wall(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), 0, 0, time.UTC)
}
