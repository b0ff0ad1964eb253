package plan

import (
	"fmt"
	"slices"
	"strings"

	"forebay/catalog"
)

// conclude draws the answer from the options.
func (p *planner) conclude() error {
	p.breakEven()
	if err := p.flips(); err != nil {
		return err
	}
	for _, o := range p.offers {
		if o.Used != nil && o.Cost != nil {
			o.Idle = max(0, whole(float64(o.Cost.byTheHour())*float64(1000-*o.Used)/1000))
		}
	}
	p.frontier()
	p.deadlines()
	p.prune()
	if err := p.regrets(); err != nil {
		return err
	}
	if err := p.certainties(); err != nil {
		return err
	}
	p.verdict()
	return nil
}

// byTheHour is what is paid for time and not for use.
func (c *Cost) byTheHour() int64 {
	sum := int64(0)
	for i := range c.Rows {
		if strings.HasSuffix(c.Rows[i].Per, "hour") {
			sum += c.Rows[i].Amount
		}
	}
	return sum
}

// best is the recommended option, nil where there is none.
func (p *planner) best() *offer {
	if len(p.offers) > 0 && p.offers[0].State == Possible {
		return p.offers[0]
	}
	return nil
}

func (p *planner) verdict() {
	a := p.a
	for i := range a.Bounds {
		a.Reasons = append(a.Reasons, a.Bounds[i].Says)
	}
	best := p.best()
	if best == nil {
		a.Verdict = "No recommendation: of no way of serving is enough known to compare it; the options say what is missing of each"
		if a.Instead != nil {
			a.Verdict += "; " + a.Instead.Says
		}
		return
	}
	a.Verdict = fmt.Sprintf("%s, %s %s per %d days", best.Name, Amount(best.Cost.Mid), a.Currency, a.Days)
	if best.Mode == OnDemand {
		for i := range a.Bounds {
			if strings.HasPrefix(a.Bounds[i].Missing, "the price of a unit") || strings.HasPrefix(a.Bounds[i].Missing, "what a unit") {
				a.Verdict += "; " + a.Bounds[i].Says
				break
			}
		}
	}
	if a.Instead != nil {
		a.Verdict += "; " + a.Instead.Says
	}
	for _, o := range p.offers {
		if o.State == Possible && o.model != best.model && o.Rules == "" {
			a.Verdict += fmt.Sprintf("; in its place: %s, %s %s", o.Name, Amount(o.Cost.Mid), a.Currency)
			break
		}
	}
	if best.Refused != nil && best.Refused.Share > fewRefused {
		p.warn("with the quota counted on, %s of a million calls are refused, whatever retries do (%s): ask for the quota of the sizing sheet", Grouped(best.Refused.Share), p.q.Retry.Words)
	}
	if s := a.Sizing; best.Mode == OnDemand && s.DefaultSource != "" && !s.DefaultIsEnough {
		p.warn("the quota of %s requests and %s tokens a minute may not hold the busiest minute (%s requests, %s tokens charged, %s held with max_tokens %d): see the sizing sheet, and set max_tokens near the true size",
			Grouped(s.DefaultRequests), Grouped(s.DefaultTokens), Grouped(s.PeakRequests), Grouped(s.PeakCharged), Grouped(s.PeakHeld), s.MaxOutput)
	}
}

// breakEven computes the volume at which something bought by the hour costs what its calls cost on demand.
func (p *planner) breakEven() {
	m := p.q.Model
	if _, ok := p.rates(m); !ok {
		return
	}
	call := p.perCall(m)
	size := p.unit(m)
	add := func(against string, hour int64, note string, sized bool) {
		perDay := float64(hour) * hoursOfDay / call
		b := BreakEven{
			Against: fmt.Sprintf("%s at %s %s/h", against, Amount(hour), p.a.Currency), PerDay: whole(perDay), PerMinute: whole(1000 * perDay / minutesOfDay), Note: note,
			Formula: "N* = R x 24 / c calls a day, that is N* / 1440 a minute round the clock",
			Values:  fmt.Sprintf("%s x 24 / %s = %s", Amount(hour), rate(whole(call)), Grouped(whole(perDay))),
		}
		if size != nil && sized {
			q := min(float64(size.Input)/max(float64(p.a.Traffic.MeanInput), 1), float64(size.Output)/max(float64(p.a.Traffic.MeanOutput), 1))
			b.Used = whole(1000 * float64(hour) / (60 * call * q))
			b.Formula += "; u* = R / (60 x c x q), q = min(M_i / i, M_o / o) calls a minute of a unit"
			b.Values += fmt.Sprintf("; u* = %s / (60 x %s x %s) = %s %%", Amount(hour), rate(whole(call)), Milli(whole(1000*q)), Milli(b.Used*100))
			if b.Used > 1000 {
				b.Note = "above 100 %: a unit never wins on price"
			}
		}
		p.a.BreakEven = append(p.a.BreakEven, b)
	}
	prices := p.unitPrices(m)
	for _, t := range terms(prices) {
		add("1 unit, "+termName(t.id)+",", t.hour, "", true)
	}
	if prices == nil {
		published := lowestPublished(p.a.Currency)
		if published.hour > 0 {
			add("1 unit at the lowest price published of any model ("+published.name+")", published.hour, "if one unit carried them all; the price and the size of a unit of this model are not published", false)
		}
	}
	for _, o := range p.offers {
		if o.Mode == Endpoint && o.State == Possible && o.model == m && o.Cost != nil && o.Units > 0 {
			add(o.Name, o.Cost.Rows[0].Rate*o.Units, "if it carries them: it is sized for the busiest minute of this traffic", false)
		}
	}
}

// published is the lowest price of a unit of any model.
type published struct {
	hour int64
	name string
}

func lowestPublished(currency string) published {
	hour, of, t := cheapestUnit(catalog.PublishedUnits(), currency)
	return published{hour, of.Name + ", " + termName(t.id)}
}

// prune leaves of each way of serving the number of units that is best; the others are on the frontier.
func (p *planner) prune() {
	seen := map[way]bool{}
	p.a.Options = slices.DeleteFunc(p.a.Options, func(o *Option) bool {
		w := o.way()
		double := o.Units > 0 && seen[w]
		seen[w] = true
		return double
	})
}

// way is what options have in common that differ in their number of units alone.
type way struct {
	mode               Mode
	model, term, rules string
	kind               string // of what is held
}

func (o *Option) way() way {
	w := way{o.Mode, o.Model, o.Term, o.Rules, ""}
	if o.Cost == nil {
		return w
	}
	for i := range o.Cost.Rows {
		if r := &o.Cost.Rows[i]; !strings.HasPrefix(r.Per, "million") { // of what is held, and not of what goes by the token
			w.kind += r.What + " " + r.Unit + ";"
		}
	}
	return w
}
