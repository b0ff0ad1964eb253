package accrual

import (
	"math"
	"time"

	"forebay/meter"

	"github.com/go-json-experiment/json"
)

// Kinds of postings.
const (
	KindBegin   = "begin"   // a purchase begins, and with it its first term
	KindRenewal = "renewal" // a term is over and the next one begins
	KindPrice   = "price"   // the rate of charge or cost changes
	KindChange  = "change"  // its name, owner, model or size changes
	KindHour    = "hour"
	KindRefund  = "refund" // of an hour that was posted before its time, and beyond the end
	KindEnd     = "end"
)

// Terms are what hours are posted by.
type Terms struct {
	Name    string
	Account string
	Team    string
	Model   string
	Units   int64
	Term    string
	Expires time.Time // of the term that runs; zero without a commitment
	Tags    string    // a JSON object, "" for none
	Charge  Rate
	Cost    Rate
	Date    string // of the charge's rate, with its source
	Source  string
	Size    Size
}

// Amount is an amount of money in nano-units.
type Amount struct {
	Known bool  `json:"known"`
	Nano  int64 `json:"nano"`
}

// posting is one row of the ledger: an hour or part of one, or a contract, that is what holds from At on.
type posting struct {
	kind   string
	at     time.Time
	until  time.Time // of an hour
	terms  Terms
	charge Amount // of an hour
	cost   Amount
}

// standing is how far a purchase has been posted.
type standing struct {
	begun bool
	ended bool
	until time.Time // hours are posted up to here
	terms Terms     // of the last contract
}

// due returns the postings that are due at an instant of the wall clock, at most limit and some, in their order, and brings
// the standing to where they lead.
func (s *standing) due(p *Purchase, now time.Time, limit int) []posting {
	var out []posting
	contract := func(kind string, t *Terms) {
		s.terms = *t
		out = append(out, posting{kind: kind, at: s.until, terms: *t})
	}
	now = second(now)
	if began := second(p.Began); !s.begun {
		if began.After(now) {
			return nil
		}
		s.begun, s.until = true, began
		contract(KindBegin, p.agreed(began))
	}
	ended := second(p.Ended)
	if began := second(p.Began); !ended.IsZero() && ended.Before(began) {
		ended = began // by a clock that was ahead when it began
	}
	for !s.ended && len(out) < limit {
		if !ended.IsZero() && !ended.After(s.until) {
			s.ended, s.until = true, ended // what was posted beyond is given back
			contract(KindEnd, &s.terms)
			break
		}
		next := p.boundary(s.until)
		if next.IsZero() {
			break
		}
		if e := s.terms.Expires; !e.IsZero() && !s.until.Before(e) {
			contract(KindRenewal, p.agreed(s.until))
		}
		if !ended.IsZero() && ended.Before(next) {
			next = ended
		}
		if next.After(now) {
			break // it may still end, or change its price
		}
		if t := p.agreed(s.until); *t != s.terms {
			kind := KindChange
			if t.Charge != s.terms.Charge || t.Cost != s.terms.Cost {
				kind = KindPrice
			}
			contract(kind, t)
		}
		out = append(out, s.hour(next))
		s.until = next
	}
	return out
}

// agreed is what holds from an instant on.
func (p *Purchase) agreed(at time.Time) *Terms {
	price, cost := p.price(at), p.Cost
	for _, r := range []*Rate{&price.Charge, &cost} {
		if !r.Known {
			*r = Rate{} // as it comes back from the ledger
		}
	}
	return &Terms{
		Name: p.Name, Account: p.Account, Team: p.Team, Model: p.Model, Units: p.Units, Term: p.Term, Expires: p.expires(at), Tags: tags(p.Tags),
		Charge: price.Charge, Cost: cost, Date: price.Date, Source: price.Source, Size: p.Size,
	}
}

// tags writes tags as JSON, the same for the same tags.
func tags(m map[string]string) string {
	if len(m) == 0 {
		return ""
	}
	b, err := json.Marshal(m, json.Deterministic(true))
	if err != nil {
		return "" // not UTF-8, which no tag is
	}
	return string(b)
}

// hour is the posting from s.until on.
func (s *standing) hour(until time.Time) posting {
	h := posting{kind: KindHour, at: s.until, until: until, terms: s.terms}
	seconds := until.Unix() - s.until.Unix()
	h.charge, h.cost = s.terms.Charge.amount(s.terms.Units, seconds), s.terms.Cost.amount(s.terms.Units, seconds)
	return h
}

// amount is rate x units x seconds / 3600. What is beyond the range of money is not known.
func (r *Rate) amount(units, seconds int64) Amount {
	if !r.Known || units < 0 || units > math.MaxInt64/3600 || seconds < 0 || seconds > 3600 {
		return Amount{}
	}
	v, err := meter.Proportion(r.Nano, units*seconds, 3600)
	return Amount{Known: err == nil, Nano: v}
}
