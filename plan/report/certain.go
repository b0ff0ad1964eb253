package report

import (
	"fmt"
	"strings"

	"forebay/plan"
)

// termWords names a term.
func termWords(id string) string {
	switch id {
	case "none":
		return "no commitment"
	case "1-month":
		return "one month"
	case "3-months":
		return "three months"
	case "6-months":
		return "six months"
	default:
		return id
	}
}

// certainty says how sure the best number of units is.
func certainty(a *plan.Answer) []string {
	var out []string
	for i := range a.Certainty {
		c := &a.Certainty[i]
		s := fmt.Sprintf("%s: %s units are best for these %d days, %s to %s with %s %% certainty; for days like them the best number of these costs %s %s a month too much in the mean, and with the same certainty no more than %s",
			termWords(c.Term), plan.Grouped(c.Best), c.Days, plan.Grouped(c.Low), plan.Grouped(c.High), plan.Milli(c.Level*100), plan.Amount(c.Regret), a.Currency, plan.Amount(c.RegretHigh))
		if c.MinimalSample {
			s += " (fewer than four weeks: take it as too narrow)"
		}
		out = append(out, s)
	}
	return out
}

// courses say what each term costs as traffic may go on, the names that are assumed marked.
func courses(a *plan.Answer) []string {
	var out []string
	for i := range a.Courses {
		c := &a.Courses[i]
		name := c.Name
		if c.Assumed {
			name += " (assumed)"
		}
		s := fmt.Sprintf("%s, on %s: %s %s in %d months, %s more than the best purchases, known afterwards; units %s", name, termWords(c.Term), plan.Amount(c.Cost), a.Currency, c.Months, plan.Amount(c.Lost()), run(c.Units))
		switch {
		case c.Cost > c.OnDemand:
			s += "; everything on demand costs less: " + plan.Amount(c.OnDemand)
		case c.Poor:
			s += fmt.Sprintf("; it keeps %s %% of what could be saved, less than half", plan.Milli(c.Kept*100))
		}
		if c.Beyond > 0 {
			s += fmt.Sprintf("; %s of it pays for time after those months", plan.Amount(c.Beyond))
		}
		out = append(out, s)
	}
	return out
}

// run writes numbers of successive months, equal ones once: "3, 4 from month 3".
func run(units []int64) string {
	var out []string
	for i, n := range units {
		switch {
		case i == 0:
			out = append(out, plan.Grouped(n))
		case n != units[i-1]:
			out = append(out, fmt.Sprintf("%s from month %d", plan.Grouped(n), i+1))
		}
	}
	return strings.Join(out, ", ")
}

// searches say how the mixes were searched, and how far.
func searches(a *plan.Answer) []string {
	var out []string
	for i := range a.Searches {
		s := &a.Searches[i]
		x := fmt.Sprintf("%s: %s, %s %s by closed form, for the calls that somebody waits for; %s of about %.3g mixes were costed", strings.Join(s.Kinds, " + "), s.Found, plan.Amount(s.Cost), a.Currency, plan.Grouped(s.Looked), s.Mixes)
		switch {
		case s.Exact:
			x += ", and none costs less"
		case s.AtLeast > 0:
			x += "; the search stopped there, and none costs less than " + plan.Amount(s.AtLeast)
		default:
			x += "; hours of the week were taken together, so that another division of them may cost a little less"
		}
		out = append(out, x)
	}
	return out
}

// callers say who waits long enough.
func callers(a *plan.Answer) []string {
	var out []string
	for i := range a.Callers {
		out = append(out, a.Callers[i].Says)
	}
	return out
}

// waited says what became of the calls that may wait, "" where there are none.
func waited(o *plan.Option) string {
	var out []string
	if o.Waited != nil {
		out = append(out, fmt.Sprintf("the calls that may wait take %s (p50 / p95 / p99)", Times(o.Waited)))
	}
	if o.Recalled != nil && o.Recalled.Share > 0 {
		out = append(out, fmt.Sprintf("of a hundred of them %s are stopped for others and begin again", plan.Milli(o.Recalled.Share/10)))
	}
	return strings.Join(out, "; ")
}

// frontiers are the options that no other one beats: in cost and refusals, and in cost and the time to the first token; each if it has more than one.
func frontiers(a *plan.Answer) (refusals, latency []string) {
	for i := range a.Frontier {
		p := &a.Frontier[i]
		name := p.Name
		if !p.Listed {
			name += " (for comparison)"
		}
		if p.Sure {
			refusals = append(refusals, fmt.Sprintf("%s %s: %s %% refused: %s", plan.Amount(p.Cost), a.Currency, plan.Milli(p.Refused/10), name))
		}
		if p.Quick {
			latency = append(latency, fmt.Sprintf("%s %s: first token within %s for 99 %%: %s", plan.Amount(p.Cost), a.Currency, Span(p.P99), name))
		}
	}
	if len(refusals) < 2 {
		refusals = nil
	}
	if len(latency) < 2 {
		latency = nil
	}
	return refusals, latency
}

// clients say what becomes of the calls that are refused on demand, by how clients try again.
func clients(a *plan.Answer) []string {
	var out []string
	for i := range a.Clients {
		c := &a.Clients[i]
		s := fmt.Sprintf("%s: %s %% refused in the end", c.Words, plan.Milli(c.Refused/10))
		if c.Late > 0 {
			s += fmt.Sprintf(", %s %% served later, 99 %% of these within %s; %s attempts a call", plan.Milli(c.Late/10), Span(c.Delay), plan.Milli(c.Attempts))
		}
		if c.Asked {
			s += " (counted on above; others with --retry)"
		}
		out = append(out, s)
	}
	return out
}
