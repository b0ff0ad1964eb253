package shape

import (
	"fmt"
	"strings"
	"time"

	"forebay/fault"
)

// parser reads the words of one shape.
type parser struct {
	*Shape
	by    map[string]string // the clause that said something, by what it says
	left  float64           // percent of a day's calls that no share names
	given [24]string        // the clause that gives an hour its share
	place *time.Location
	day   time.Time // the first one
	weeks int

	holidays []holiday
}

// holiday is a day with calls of its own, over those of an ordinary day, and the clause that says so.
type holiday struct {
	day   time.Time
	share float64
	by    string
}

func invalid(format string, args ...any) error { return fault.Newf(fault.Invalid, format, args...) }

// The length of a shape that does not say it.
const (
	weeksOfSteady  = 1
	weeksOfGrowing = 26
)

// Parse reads words. What it refuses it names, and says what to write instead.
func Parse(words string, seed uint64) (*Shape, error) {
	p := &parser{
		Shape: &Shape{words: words, peak: 1, week: [7]float64{1, 1, 1, 1, 1, 1, 1}, seed: seed},
		by:    map[string]string{}, left: 100, place: time.UTC, day: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC),
	}
	for part := range strings.SplitSeq(words, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		if err := p.clause(part); err != nil {
			return nil, err
		}
	}
	if p.volume.calls == 0 {
		return nil, invalid("the shape %q does not say how many calls there are: begin with a number such as 50000/day", words)
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	return p.Shape, nil
}

func (p *parser) clause(part string) error {
	for i := range clauses {
		if m := clauses[i].pattern.FindStringSubmatch(part); m != nil {
			return clauses[i].take(p, part, m)
		}
	}
	return p.takeZone(part)
}

// finish brings what was said together.
func (p *parser) finish() error {
	if !p.level() {
		return invalid("the shape %q has no calls on any day of the week: leave one of its days some", p.words)
	}
	if p.most > 0 && p.said.out && p.out > p.most {
		return invalid("%q: answers of %d tokens, by %q, are longer than that: give more, or shorter answers", p.by[saysMost], p.out, p.by[saysOut])
	}
	if err := p.spread(); err != nil {
		return err
	}
	if p.weeks == 0 {
		if p.weeks = weeksOfSteady; p.growth != 0 {
			p.weeks = weeksOfGrowing
			p.notes = append(p.notes, fmt.Sprintf("the words give no length: %d weeks of growth are looked at; add one, such as for 4 weeks", p.weeks))
		}
	}
	p.calendar = newCalendar(p.day, p.weeks, p.place)
	if err := p.dated(); err != nil {
		return err
	}
	p.notes = append(p.notes, p.calendar.changes()...)
	if p.volume.days == month {
		p.notes = append(p.notes, fmt.Sprintf("a month is taken for %d days", month))
	}
	if _, ok := p.by[saysZone]; !ok && p.left < 100 {
		p.notes = append(p.notes, "the words name no time zone: their hours are those of UTC; add one, such as America/New_York")
	}
	p.assume()
	return nil
}

// dated puts holidays into the time that the traffic covers.
func (p *parser) dated() error {
	for _, h := range p.holidays {
		n := int64(h.day.Sub(p.day) / (24 * time.Hour))
		if n < 0 || n >= int64(7*p.weeks) {
			return invalid("%q: %s is not among the %d days from %s on that are looked at: say from when and for how long, such as from %s, for 4 weeks",
				h.by, h.day.Format(time.DateOnly), 7*p.weeks, p.day.Format(time.DateOnly), h.day.AddDate(0, 0, -14).Format(time.DateOnly))
		}
		if p.dates == nil {
			p.dates = map[int64]float64{}
		}
		p.dates[n] = h.share
	}
	return nil
}

// spread gives what no share names to the hours that are left, and finds the curve of the peak.
func (p *parser) spread() error {
	free := 0
	for _, by := range p.given {
		if by == "" {
			free++
		}
	}
	if free == 0 && p.left > 1e-6 {
		return invalid("the shares of the shape %q add up to %g %%, and no hour is left for the rest: raise one of them, or leave some hours out", p.words, 100-p.left)
	}
	for h, by := range p.given {
		if by == "" {
			p.hours[h] = p.left / 100 / float64(free)
		}
	}
	if p.to == 0 {
		p.from, p.to = 0, 24
	}
	p.curve(p.peak)
	return nil
}
