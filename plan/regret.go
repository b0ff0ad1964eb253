package plan

import "fmt"

// Regret is what a commitment costs beyond what would have been best, when traffic changes as soon as it was made.
type Regret struct {
	ID   string `json:"id"` // of the option
	Name string `json:"name"`
	// Volume is the traffic that comes over the one that was planned for, per mille.
	Volume int64 `json:"volumePermille"`
	// Cost is that of the option a month then, Best that of the best way, sized for that volume; Lost the difference over the whole term.
	Cost int64  `json:"cost"`
	Best int64  `json:"best"`
	To   string `json:"to"` // the best way
	Lost int64  `json:"lostOverTerm"`
}

// volumes are the courses that traffic may take, in per mille of what was planned for.
var volumes = []int64{100, 500, 1000, 2000}

// regrets computes what each commitment is regretted by. What has no commitment is ended within the hour and not regretted for longer.
func (p *planner) regrets() error {
	all := p.families(p.q.Model)
	if len(all) < 2 {
		return nil
	}
	byID := map[string]*offer{}
	for _, o := range p.offers {
		byID[o.ID] = o
	}
	for _, v := range volumes {
		d := p.demand.scaled(float64(v) / 1000)
		at := cheapestFamily(all, d)
		if at < 0 {
			continue
		}
		least, _ := all[at].cost(d)
		least *= float64(p.q.Days) / d.days()
		for _, x := range p.a.Options {
			o := byID[x.ID]
			days := daysOf(o.Term)
			if o.State != Possible || o.cost == nil || days == 0 || o.model != p.q.Model || o.Rules != "" {
				continue
			}
			if o.Mode == Provisioned && v > 1000 {
				continue // it would refuse what it was not bought for
			}
			rows, err := o.cost(d)
			if err != nil {
				return err
			}
			cost, err := sumOf(rows)
			if err != nil {
				return err
			}
			r := Regret{ID: o.ID, Name: o.Name, Volume: v, Cost: cost, Best: min(cost, whole(least)), To: all[at].name}
			r.Lost = whole(float64(r.Cost-r.Best) * days / float64(p.q.Days))
			p.a.Regrets = append(p.a.Regrets, r)
			p.line(Line{
				ID: fmt.Sprintf("%s.regret.%d", o.ID, v), What: fmt.Sprintf("regret of %s at %d per mille of the traffic", o.Name, v),
				Formula: "(cost of the units that were bought - cost of the best way, sized anew) x term / month",
				Values:  fmt.Sprintf("(%s - %s) x %g / %d", Amount(r.Cost), Amount(r.Best), days, p.q.Days), Result: Amount(r.Lost) + " " + p.a.Currency, Method: ClosedForm,
			})
		}
	}
	return nil
}
