package accrual

import (
	"time"
)

// Term is the length of a commitment, in the words of Bedrock's API.
type Term string

// Terms of commitment.
const (
	TermNone  Term = "" // by the hour, until it is deleted
	OneMonth  Term = "OneMonth"
	SixMonths Term = "SixMonths"
)

// months is the length of a term in calendar months.
func (t Term) months() int {
	switch t {
	case OneMonth:
		return 1
	case SixMonths:
		return 6
	default:
		return 0
	}
}

// minTerm is shorter than every term, and longer than what moves the end of one (summer time, another zone).
const minTerm = 20 * 24 * time.Hour

// Expiry returns when a term expires that begins at an instant, the first one at the purchase's creation: whole calendar
// months of the zone after the creation, at the same time of day, on the last day of a month that has no such
// day. It is zero without a commitment.
func (t Term) Expiry(created, begins time.Time, zone *time.Location) time.Time {
	if t.months() == 0 {
		return time.Time{}
	}
	c := created.In(zone)
	for n := 1; ; n++ {
		y, m, d := c.Date()
		m += time.Month(n * t.months())
		last := time.Date(y, m+1, 0, 0, 0, 0, 0, time.UTC).Day()
		end := time.Date(y, m, min(d, last), c.Hour(), c.Minute(), c.Second(), 0, zone)
		if end.Sub(begins) > minTerm {
			return end
		}
	}
}

// Rate is the price of one unit for one hour.
type Rate struct {
	Known    bool
	Nano     int64 // nano-units of the currency; not negative
	Currency string
}

// Price is what a unit and an hour cost from an instant on.
type Price struct {
	Since  time.Time // zero: always
	Charge Rate      // what the owner is shown
	Cost   Rate      // what it costs us: instance-hours, or a commitment upstream
	Date   string    // of the price, as its source says
	Source string
}

// Size is what a unit is, in tokens a minute; zero is not bounded.
type Size struct {
	Input  int64
	Output int64
	Basis  string // "placeholder", "given", "measured"
}

// Purchase is reserved capacity with its history, as its owner holds it now. Its instants count in whole seconds.
type Purchase struct {
	ID      string // unique for ever, such as an ARN
	Name    string
	Account string
	Team    string // of the account, "" for none
	Model   string
	Units   int64
	Term    Term
	Created time.Time
	Ended   time.Time      // zero while it lasts
	Zone    *time.Location // the account's billing zone; nil is UTC
	Prices  []Price        // of its model and term, by Since, ascending
	Size    Size           // of a unit
}

func (p *Purchase) zone() *time.Location {
	if p.Zone == nil {
		return time.UTC
	}
	return p.Zone
}

// price returns what holds at an instant; nothing is known before the first price.
func (p *Purchase) price(at time.Time) Price {
	var out Price
	for i := range p.Prices {
		if p.Prices[i].Since.After(at) {
			break
		}
		out = p.Prices[i]
	}
	return out
}

// boundary returns the first instant after another that no posting crosses.
func (p *Purchase) boundary(at, expires time.Time) time.Time {
	next := at.Truncate(time.Hour).Add(time.Hour)
	earlier := func(t time.Time) {
		if t.After(at) && t.Before(next) {
			next = t
		}
	}
	y, m, d := at.In(p.zone()).Date()
	earlier(time.Date(y, m, d+1, 0, 0, 0, 0, p.zone()))
	earlier(expires)
	for i := range p.Prices {
		earlier(second(p.Prices[i].Since))
	}
	return next.UTC()
}

// second cuts an instant to its second.
func second(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return time.Unix(t.Unix(), 0).UTC()
}
