package purchase

import "forebay/fault"

// Regret is a purchase held against the best one for the demand that came.
type Regret struct {
	Units, Best int64 // bought, and what would have been best
	// Cost is what the purchase costs, BestCost what the best one would, OnDemand what none would, nano-units.
	Cost, BestCost, OnDemand int64
}

// Lost is what the best purchase would have saved more.
func (r Regret) Lost() int64 { return r.Cost - r.BestCost }

// Saved is what the purchase saved against everything on demand; below zero where it cost more.
func (r Regret) Saved() int64 { return r.OnDemand - r.Cost }

// Hindsight is what the best purchase would have saved.
func (r Regret) Hindsight() int64 { return r.OnDemand - r.BestCost }

// Kept is the share of the saving in hindsight that the purchase kept; 1 where there was nothing to be saved and nothing was lost, and below zero where
// it cost more than no purchase.
func (r Regret) Kept() float64 {
	if r.Hindsight() == 0 && r.Lost() == 0 {
		return 1
	}
	return share(r.Saved(), r.Hindsight())
}

// Poor says that the purchase kept less than half of what could have been saved: the demand was no guide to what came after it.
func (r Regret) Poor() bool { return 2*r.Saved() < r.Hindsight() }

// Regret returns what a number of units is regretted by when a demand comes.
func (r Reserve) Regret(units int64, came *Demand) (Regret, error) {
	c, err := r.Cost(came, units)
	if err != nil {
		return Regret{}, err
	}
	best, err := r.Optimum(came)
	return Regret{units, best.Units, c.Total(), best.Cost.Total(), best.OnDemand}, err
}

// Renewal is a term as it is taken again and again: a length in stretches of time (months), and what a unit costs an hour on it.
type Renewal struct {
	Name      string
	Stretches int
	Hour      int64
}

// Scenario is a course that demand may take: one demand for each stretch, all of the same length.
type Scenario struct {
	Name      string
	Stretches []*Demand
}

// TermRegret is what a term costs in a scenario.
type TermRegret struct {
	Term, Scenario string
	// Units are those held in each stretch.
	Units []int64
	// Regret holds it against the schedule that would have cost least, with any of the terms; its Units and Best are the unit-stretches of both.
	Regret
	// Beyond is the part of Cost that pays for time after the scenario's end: a term that has begun is paid to its end.
	Beyond int64
}

// TermRegrets returns what each term is regretted by in each scenario, terms within scenarios, in the order given. Whoever is on a term buys what is
// best for the forecast, and at each renewal what would have been best, at its price, for the stretch just past: nothing of the future is used.
// Hindsight chooses freely among all the terms (Commitments.Hindsight).
func (r Reserve) TermRegrets(forecast *Demand, terms []Renewal, scenarios []Scenario) ([]TermRegret, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	var out []TermRegret
	for _, s := range scenarios {
		c := Commitments{Demand: s.Stretches, Unit: r.Unit, Spill: r.Spill}
		for _, t := range terms {
			price, err := r.stretch(s, t)
			if err != nil {
				return nil, err
			}
			c.Terms = append(c.Terms, Commitment{t.Name, t.Stretches, price * int64(t.Stretches)})
		}
		best, err := c.Hindsight()
		if err != nil {
			return nil, err
		}
		none := c
		none.Terms = nil
		demand, err := none.Bill(nil)
		if err != nil {
			return nil, err
		}
		for i, t := range terms {
			got, err := r.renew(c, i, t, forecast)
			if err != nil {
				return nil, err
			}
			got.Scenario = s.Name
			got.Best, got.BestCost, got.OnDemand = sum(best.Held), best.Cost.Total(), demand.Cost.Total()
			out = append(out, got)
		}
	}
	return out, nil
}

// stretch is what a unit costs for one stretch.
func (r Reserve) stretch(s Scenario, t Renewal) (int64, error) {
	if len(s.Stretches) == 0 || t.Stretches < 1 || t.Hour < 0 {
		return 0, fault.Newf(fault.Invalid, "scenario %q, term %q: a scenario and a term have at least one stretch, and no price is negative", s.Name, t.Name)
	}
	for _, d := range s.Stretches {
		if d.Periods() != s.Stretches[0].Periods() {
			return 0, fault.Newf(fault.Invalid, "scenario %q: its stretches have %d and %d periods; all must be of one length", s.Name, s.Stretches[0].Periods(), d.Periods())
		}
	}
	price, err := r.time(s.Stretches[0]).times(t.Hour).over(secondsPerHour)
	if err == nil {
		_, err = product(price, int64(t.Stretches)).over(1)
	}
	return price, err
}

// renew lives through a scenario on one term.
func (r Reserve) renew(c Commitments, term int, t Renewal, forecast *Demand) (TermRegret, error) {
	r.Hour = t.Hour
	buys := make([][]int64, len(c.Terms))
	for i := range buys {
		buys[i] = make([]int64, len(c.Demand))
	}
	out := TermRegret{Term: t.Name}
	for at, last := 0, forecast; at < len(c.Demand); at += t.Stretches {
		if at > 0 {
			last = c.Demand[at-1]
		}
		o, err := r.Optimum(last)
		if err != nil {
			return out, err
		}
		buys[term][at] = o.Units
		if over := at + t.Stretches - len(c.Demand); over > 0 {
			out.Beyond = c.Terms[term].Price / int64(t.Stretches) * int64(over) * o.Units
		}
	}
	bill, err := c.Bill(buys)
	out.Units, out.Regret.Units, out.Cost = bill.Held, sum(bill.Held), bill.Cost.Total()
	return out, err
}

func sum(v []int64) int64 {
	var out int64
	for _, n := range v {
		out += n
	}
	return out
}

// Worst returns, for each term, its largest loss over the scenarios, in the order in which the terms first come: the term whose largest loss is the smallest is the one
// to take by those who give the scenarios no probabilities (Savage, "The theory of statistical decision", J. Am. Stat. Assoc. 46, 1951).
func Worst(all []TermRegret) []TermRegret {
	var out []TermRegret
	at := map[string]int{}
	for _, g := range all {
		i, ok := at[g.Term]
		switch {
		case !ok:
			at[g.Term] = len(out)
			out = append(out, g)
		case g.Lost() > out[i].Lost():
			out[i] = g
		}
	}
	return out
}
