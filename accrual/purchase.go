package accrual

import (
	"cmp"
	"time"

	"forebay/provision"
)

// Rate is the price of one unit for one hour.
type Rate struct {
	Known    bool   `json:"known"`
	Nano     int64  `json:"nano"` // nano-units of the currency; not negative
	Currency string `json:"currency"`
}

// Price is what a unit and an hour are charged from an instant on.
type Price struct {
	Since  time.Time
	Charge Rate
	Date   string // of the price, as its source says
	Source string
}

// Size is what a unit is, in tokens a minute; zero is not bounded.
type Size struct {
	Input  int64  `json:"input"`
	Output int64  `json:"output"`
	Basis  string `json:"basis"` // "placeholder", "given", "measured"
}

// Purchase is reserved capacity with its history, as its owner holds it now. Its instants count in whole seconds.
type Purchase struct {
	ID      string // unique for ever, such as an ARN
	Name    string
	Account string
	Team    string // of the account, "" for none
	Tags    map[string]string
	Model   string
	Units   int64
	Term    string // of the commitment, "" for none
	// Terms are the ends of the terms of a commitment, ascending. The last one is running: whether there is another one,
	// and at which price, is not known, so that nothing is posted beyond its end.
	Terms []time.Time
	Began time.Time
	Ended time.Time      // zero while it lasts; it may lie ahead
	Zone  *time.Location // the account's billing zone; nil is UTC
	// Prices are what is charged, by Since, ascending; nothing is known before the first.
	Prices []Price
	Cost   Rate // what it costs us: a share of instance-hours, or of a commitment upstream
	Size   Size // of a unit
}

// teamTag names the team that owns a purchase: Bedrock's API has no place for one but tags.
const teamTag = "team"

// Provisioned is a provisioned throughput as it must be paid for. A commitment that was cancelled ends with its term.
func Provisioned(p *provision.Purchase, cost Rate, zone *time.Location) Purchase {
	out := Purchase{
		ID: p.ARN, Name: p.Name, Account: p.Account, Team: p.Tags[teamTag], Tags: p.Tags, Model: p.Model.ID, Units: p.Units, Term: string(p.Term),
		Began: p.Began, Ended: p.Ended, Zone: zone, Cost: cost, Size: Size{Input: p.Unit.Input, Output: p.Unit.Output, Basis: string(p.Unit.Basis)},
	}
	for n := range p.Terms {
		out.Terms = append(out.Terms, p.Term.End(p.Began, n+1))
	}
	if p.Cancelled && p.Ended.IsZero() {
		out.Ended = p.Expires
	}
	for i := range p.Rates {
		r := &p.Rates[i]
		out.Prices = append(out.Prices, Price{Since: r.From, Charge: Rate{Known: r.Known, Nano: r.Nano, Currency: r.Currency}, Date: r.Date, Source: r.Source})
	}
	return out
}

func (p *Purchase) zone() *time.Location { return cmp.Or(p.Zone, time.UTC) }

// price returns what is charged from an instant on.
func (p *Purchase) price(at time.Time) Price {
	var out Price
	for i := range p.Prices {
		if second(p.Prices[i].Since).After(at) {
			break
		}
		out = p.Prices[i]
	}
	return out
}

// expires returns the end of the term that runs at an instant, zero where none does.
func (p *Purchase) expires(at time.Time) time.Time {
	for _, end := range p.Terms {
		if end = second(end); end.After(at) {
			return end
		}
	}
	return time.Time{}
}

// boundary returns the first instant after another that no posting crosses, zero where nothing is known beyond.
func (p *Purchase) boundary(at time.Time) time.Time {
	next := at.Truncate(time.Hour).Add(time.Hour)
	earlier := func(t time.Time) {
		if t.After(at) && t.Before(next) {
			next = t
		}
	}
	y, m, d := at.In(p.zone()).Date()
	earlier(time.Date(y, m, d+1, 0, 0, 0, 0, p.zone()))
	if len(p.Terms) > 0 {
		expires := p.expires(at)
		if expires.IsZero() && p.Ended.IsZero() {
			return expires
		}
		earlier(expires)
	}
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
