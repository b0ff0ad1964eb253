package plan

import (
	"fmt"
	"math"
	"time"

	"forebay/catalog"
	"forebay/plan/interval"
	"forebay/plan/purchase"
)

// Certainty is how far the best number of units of a term may be off because only so many days were seen. Each is an interval from days that are drawn again.
type Certainty struct {
	Term string `json:"term"`
	// Low, Best and High are numbers of units.
	Low  int64 `json:"lowUnits"`
	Best int64 `json:"bestUnits"`
	High int64 `json:"highUnits"`
	// Regret is what is to be expected that the best number of these days costs more than that of days like them, a month, and RegretHigh what it does not pass with
	// the probability of Level, per mille.
	Regret     int64 `json:"expectedRegret"`
	RegretHigh int64 `json:"regretHigh"`
	Level      int64 `json:"level"`
	Days       int64 `json:"days"`
	// MinimalSample says that the days are fewer than the four weeks that such intervals were shown to hold for.
	MinimalSample bool `json:"fewDays,omitzero"`
}

// Course is a term on a course that traffic may take from here: its units are bought for what was seen, and again at each renewal for the month just past.
type Course struct {
	Name string `json:"name"` // "flat"
	// Assumed says that nothing of the traffic says so.
	Assumed bool   `json:"assumed"`
	Term    string `json:"term"`
	Months  int64  `json:"months"` // of 30 days
	// Units are those held in each month.
	Units []int64 `json:"units"`
	// Cost is what term and spill-over cost over the months, Best what the best purchases with any of the terms would, known afterwards, OnDemand what none would.
	Cost     int64 `json:"cost"`
	Best     int64 `json:"best"`
	OnDemand int64 `json:"onDemand"`
	// Beyond is the part of Cost that pays for time after the last month.
	Beyond int64 `json:"beyond,omitzero"`
	// Kept is the share of the saving that was to be had, per mille, below zero where it costs more than on demand; Poor says that it is less than half.
	Kept int64 `json:"keptPermille"`
	Poor bool  `json:"poor"`
}

// Lost is what the best purchases would have saved more.
func (c *Course) Lost() int64 { return c.Cost - c.Best }

// grid makes needs whole numbers, which package purchase works with.
type grid struct {
	of   need
	unit int64 // of one unit, in a minute
}

// levels is how many numbers the busiest minute is told apart in, at least.
const levels = 4096

func scaleOf(d *Demand, of need) grid {
	most, _ := d.peak(of)
	return grid{of, max(1, min(catalog.MaxUnit, int64(math.Ceil(levels/max(most, 1e-9)))))}
}

func (v grid) demand(d *Demand) (*purchase.Demand, error) {
	series := make([]int64, len(d.Minutes))
	for i := range series {
		series[i] = whole(v.of(&d.Minutes[i]) * float64(v.unit))
	}
	return purchase.NewDemand(series)
}

// price is what a million of volume costs on demand, as the mean of a demand.
func (v grid) price(p *planner, m *catalog.Model, d *Demand) int64 {
	sum := 0.0
	for i := range d.Minutes {
		sum += v.of(&d.Minutes[i]) * float64(v.unit)
	}
	if sum <= 0 {
		return 0
	}
	return whole(p.value(m, &d.Total) / sum * purchase.Million)
}

// wholeDay is a whole day of a traffic, by its own clock.
type wholeDay struct {
	weekday time.Weekday
	part    *Demand
}

// wholeDays are those of a demand of which all is known; none where its clock is not.
func (d *Demand) wholeDays() []wholeDay {
	if d.Start.IsZero() {
		return nil
	}
	var out []wholeDay
	midnight := time.Date(d.Start.Year(), d.Start.Month(), d.Start.Day(), 0, 0, 0, 0, d.Start.Location())
	for day := midnight; ; day = day.AddDate(0, 0, 1) {
		from, to := int(day.Sub(d.Start)/time.Minute), int(day.AddDate(0, 0, 1).Sub(d.Start)/time.Minute) // 23 or 25 hours on some days
		if to > len(d.Minutes) {
			return out
		}
		if from >= 0 && d.known(window{from, to}) {
			out = append(out, wholeDay{day.Weekday(), d.part(window{from, to})})
		}
	}
}

// The courses that are looked at: so many months of so many days, and growth that is assumed where none was seen.
const (
	courseMonths = 6
	courseDays   = 30
	assumedGrow  = 0.10
	// mostBlocks is how many numbers of units hindsight is worked out for; more are bought in blocks.
	mostBlocks = 400
)

// certainties computes how sure the best number of units of each term is, and what each term costs on the courses that traffic may take.
func (p *planner) certainties() error {
	m := p.q.Model
	size, all := p.unit(m), terms(p.unitPrices(m))
	if _, ok := p.rates(m); !ok || size == nil || len(all) == 0 {
		return nil
	}
	d := live(p.demand, p.sold(m))
	v := scaleOf(d, needOf(size))
	spill := v.price(p, m, d)
	if spill == 0 {
		return nil
	}
	var days interval.Days
	for _, x := range p.demand.wholeDays() {
		if len(x.part.Minutes) != minutesOfDay {
			continue // on which clocks change
		}
		demand, err := v.demand(live(x.part, p.sold(m)))
		if err != nil {
			return err
		}
		days.Add(interval.Day{Weekday: x.weekday, Demand: demand})
	}
	reserve := purchase.Reserve{Period: time.Minute, Unit: v.unit, Spill: spill}
	if p.sample != nil {
		for _, t := range all {
			if err := p.certainty(&days, reserve, t); err != nil {
				return err
			}
		}
	}
	return p.courses(&days, reserve, all)
}

// certainty is that of one term.
func (p *planner) certainty(days *interval.Days, r purchase.Reserve, t term) error {
	if missing, _ := days.Missing(); missing != [2]int{} {
		return nil
	}
	r.Hour = t.hour
	o := interval.Options{Level: level, Seed: p.q.Seed, Per: time.Duration(p.q.Days) * hoursOfDay * time.Hour}
	units, err := days.Optimum(r, o)
	if err != nil {
		return err
	}
	regret, err := days.RegretOfBest(r, o)
	if err != nil {
		return err
	}
	_, shown := days.Missing()
	p.a.Certainty = append(p.a.Certainty, Certainty{
		Term: t.id, Low: max(0, min(units.Low, units.Value)), Best: units.Value, High: max(units.High, units.Value), Regret: regret.Value, RegretHigh: regret.High,
		Level: whole(1000 * units.Level), Days: int64(units.Days), MinimalSample: shown != [2]int{},
	})
	p.line(Line{
		ID: "units.certainty." + t.id, What: "best number of units, " + termName(t.id) + ", as an interval", Formula: "quantile of 1 - r / (p c) of the minutes of days that are drawn again, weekdays and weekend days apart",
		Values: fmt.Sprintf("%d days, %s a unit hour, mean price of what a unit holds in an hour %s", units.Days, Amount(t.hour), Amount(whole(float64(r.Spill)*float64(r.Unit)*60/purchase.Million))),
		Result: fmt.Sprintf("%d to %d, %d of these days", units.Low, units.High, units.Value), Method: ClosedForm,
	})
	return nil
}

// courses computes what each term costs on each course.
func (p *planner) courses(days *interval.Days, r purchase.Reserve, all []term) error {
	if days.Len() == 0 {
		return nil
	}
	d := live(p.demand, p.sold(p.q.Model))
	first := (int(d.Start.Weekday()) + len(d.Minutes)/minutesOfDay) % 7
	scenarios, assumed := p.scenarios(days, interval.Forecast{Stretches: courseMonths, Days: courseDays, First: first})
	if len(scenarios) == 0 {
		return nil
	}
	peak := int64(1)
	for _, s := range scenarios {
		for _, x := range s.Stretches {
			peak = max(peak, x.Peak()/r.Unit+1)
		}
	}
	block := (peak + mostBlocks - 1) / mostBlocks
	r.Unit *= block
	var renewals []purchase.Renewal
	for _, t := range all {
		hour, err := product([]int64{t.hour, block}, []int64{1})
		if err != nil {
			return err
		}
		renewals = append(renewals, purchase.Renewal{Name: t.id, Stretches: int(max(1, daysOf(t.id)/courseDays)), Hour: hour})
	}
	list, err := r.TermRegrets(scenarios[0].Stretches[0], renewals, scenarios)
	if err != nil {
		return err
	}
	for i := range list {
		x := &list[i]
		c := Course{
			Name: x.Scenario, Assumed: assumed[x.Scenario], Term: x.Term, Months: courseMonths, Cost: x.Cost, Best: x.BestCost, OnDemand: x.OnDemand, Beyond: x.Beyond,
			Kept: whole(1000 * max(-1e6, min(x.Kept(), 1))), Poor: x.Poor(),
		}
		for _, n := range x.Units {
			c.Units = append(c.Units, n*block)
		}
		p.a.Courses = append(p.a.Courses, c)
	}
	for _, w := range purchase.Worst(list) {
		p.line(Line{
			ID: "courses." + w.Term, What: "largest loss of " + termName(w.Term) + " over the courses", Formula: "cost of the term, renewed for the month just past - least cost with any of the terms, known afterwards",
			Values: fmt.Sprintf("%s: %s - %s", w.Scenario, Amount(w.Cost), Amount(w.BestCost)), Result: Amount(w.Lost()) + " " + p.a.Currency, Method: ClosedForm,
		})
	}
	return nil
}

// scenarios are the courses that these days allow, and which of them nothing of the traffic says.
func (p *planner) scenarios(days *interval.Days, f interval.Forecast) (out []purchase.Scenario, assumed map[string]bool) {
	assumed = map[string]bool{}
	take := func(s purchase.Scenario, err error, guess bool) {
		if err == nil { // some take more days than there are
			out = append(out, s)
			assumed[s.Name] = guess
		}
	}
	s, err := days.Flat(f)
	take(s, err, false)
	if !p.demand.Expected {
		s, err = days.Weekly(f)
		take(s, err, false)
		if g, err := days.Growth(courseDays); err == nil {
			s, err := days.Grown(f, g)
			s.Name = fmt.Sprintf("%+.1f %% a month, as seen", 100*g)
			take(s, err, false)
		}
	}
	for _, g := range []float64{assumedGrow, -assumedGrow} {
		s, err := days.Grown(f, g)
		s.Name = fmt.Sprintf("%+.0f %% a month", 100*g)
		take(s, err, true)
	}
	return out, assumed
}
