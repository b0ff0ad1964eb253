package plan

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"forebay/capacity/scale"
	"forebay/catalog"
	"forebay/fault"
	"forebay/plan/replay"
)

// Scaling is how instances of an endpoint follow the demand: by target tracking, and with what is done by a schedule.
type Scaling struct {
	// Metric is what is tracked: calls in flight (the usual one), calls a minute, or the share of the slots in use.
	Metric scale.Metric
	// Target is the share, per mille, of what an instance does at most, that the metric is kept at; 0 is 700.
	Target int64
	// OutCooldown and InCooldown are those of the policy.
	OutCooldown, InCooldown time.Duration
	// Scheduled are changes of the least and most instances.
	Scheduled []Scheduled
}

// Scheduled is a change of the least and most instances at times of the traffic's own clock.
type Scheduled struct {
	When     string // see scale.ParseSchedule
	Min, Max int32
}

// MostInstances bounds the instances that a schedule can ask for: each is an engine of the replay.
const MostInstances = 10_000

// usualScaling is what Application Auto Scaling does where nothing is said, at 70 % of what an instance can do.
var usualScaling = Scaling{Metric: scale.MetricConcurrency, Target: 700, OutCooldown: 5 * time.Minute, InCooldown: 5 * time.Minute}

func (s *Scaling) check() error {
	switch {
	case s.Metric != scale.MetricConcurrency && s.Metric != scale.MetricInvocations && s.Metric != scale.MetricUtilisation:
		return fault.New(fault.Invalid, "target tracking follows concurrency, invocations or utilisation: name one of them")
	case s.Target < 10 || s.Target > 1000:
		return fault.Newf(fault.Invalid, "a target of %s %% of what an instance does: give 1 to 100", Milli(s.Target*100))
	case s.OutCooldown < 0 || s.InCooldown < 0:
		return fault.New(fault.Invalid, "a cooldown must not be negative")
	}
	for _, x := range s.Scheduled {
		if x.Min < 0 || x.Max < max(x.Min, 1) || x.Max > MostInstances {
			return fault.Newf(fault.Invalid, "%s to %d to %d instances: give the least and the most, of at most %d", x.When, x.Min, x.Max, MostInstances)
		}
	}
	return nil
}

// actions are the scheduled changes on the traffic's own clock.
func (p *planner) actions() ([]scale.Action, error) {
	var out []scale.Action
	for _, x := range p.q.Scaling.Scheduled {
		s, err := scale.ParseSchedule(x.When, p.clock().Location())
		if err != nil {
			return nil, fault.Newf(fault.Invalid, "%v", err)
		}
		out = append(out, scale.Action{Schedule: s, Min: new(x.Min), Max: new(x.Max)})
	}
	return out, nil
}

// outputAt is how many tokens of output a minute an instance makes while the metric is at its target.
func (p *planner) outputAt(e *engine, x *machine) float64 {
	slots, s := p.slots(&e.profile), p.q.Scaling
	if s.Metric == scale.MetricInvocations {
		return float64(e.profile.Throughput(slots, p.mix()).Output*x.engines) * float64(s.Target) / 1000
	}
	return float64(e.profile.Throughput(max(1, slots*int(s.Target)/1000), p.mix()).Output * x.engines)
}

// policy tracks the target on instances of a type.
func (p *planner) policy(e *engine, x *machine) scale.Policy {
	s := p.q.Scaling
	out := scale.Policy{Kind: scale.Tracking, Metric: s.Metric, OutCooldown: s.OutCooldown, InCooldown: s.InCooldown}
	switch s.Metric {
	case scale.MetricInvocations:
		out.Target = whole(1000 * p.outputAt(e, x) / float64(p.mix().Output))
	case scale.MetricConcurrency:
		out.Target = s.Target * int64(p.slots(&e.profile)) * x.engines
	default:
		out.Target = s.Target
	}
	out.Target = max(out.Target, 1)
	return out
}

// course are the least and most instances of each minute of the demand.
type course []scale.Bounds

// course works out what scheduled actions make of bounds.
func (p *planner) course(actions []scale.Action, least, most int32) (course, error) {
	start := p.clock()
	minutes := len(p.demand.Minutes)
	changes, err := scale.Timeline(actions, start, start.Add(time.Duration(minutes)*time.Minute), scale.Bounds{Min: least, Max: most})
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "%v", err)
	}
	out, k := make(course, minutes), 0
	for i := range out {
		end := start.Add(time.Duration(i+1) * time.Minute)
		for k+1 < len(changes) && changes[k+1].At.Before(end) {
			k++
		}
		out[i] = changes[k]
	}
	return out, nil
}

// clock is the wall clock of the first minute. Where none is known, the traffic begins with a Monday.
func (p *planner) clock() time.Time {
	if p.demand.Start.IsZero() {
		return time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return p.demand.Start
}

// at returns the bounds of a minute.
func (c course) at(minute int) scale.Bounds { return c[min(minute, len(c)-1)] }

// most is the largest number there is.
func (c course) most() (n int32) {
	for i := range c {
		n = max(n, c[i].Max)
	}
	return n
}

// within are the bounds at the start of a window, and the changes in it.
func (c course) within(w window) (first scale.Bounds, later []replay.Bounds) {
	for i := w.from + 1; i < w.to; i++ {
		if b, a := c.at(i), c.at(i-1); a.Min != b.Min || a.Max != b.Max {
			later = append(later, replay.Bounds{At: time.Duration(i-w.from) * time.Minute, Min: b.Min, Max: b.Max})
		}
	}
	return c.at(w.from), later
}

// lag is how long instances are kept that are not needed any more: as long as target tracking looks back.
const lag = 15

// needed returns how many instances each minute of a demand has within a course: those that keep the metric at its target, for as long as
// target tracking keeps them.
func needed(d *Demand, c course, output float64) []float64 {
	out := make([]float64, len(d.Minutes))
	var peaks []int // minutes with the most output of all from there on, as far back as is looked
	for i := range d.Minutes {
		for len(peaks) > 0 && d.Minutes[peaks[len(peaks)-1]].Output <= d.Minutes[i].Output {
			peaks = peaks[:len(peaks)-1]
		}
		if peaks = append(peaks, i); peaks[0] <= i-lag {
			peaks = peaks[1:]
		}
		b := c.at(d.from + i)
		out[i] = min(max(math.Ceil(d.Minutes[peaks[0]].Output/output), float64(b.Min)), float64(b.Max))
	}
	return out
}

// tracked adds instances that follow the demand by target tracking: between one and half as many again as the busiest minute takes in steady state, or
// within what a schedule makes of that.
func (p *planner) tracked(m *catalog.Model, e *engine, x *machine, n int64) error {
	s := p.q.Scaling
	actions, err := p.actions()
	if err != nil {
		return err
	}
	c, err := p.course(actions, 1, int32(min(n+(n+1)/2, scale.MaxInstances)))
	if err != nil {
		return err
	}
	o := ownMachines(m, "endpoint/"+x.Type+"/tracking", Possible, "")
	o.Name = fmt.Sprintf("Endpoint of one's own, 1 to %s %s, by target tracking", Grouped(int64(c.most())), x.Type)
	if len(actions) > 0 {
		o.Name = fmt.Sprintf("Endpoint of one's own, up to %s %s, by target tracking and a schedule", Grouped(int64(c.most())), x.Type)
	}
	policy, output := p.policy(e, x), p.outputAt(e, x)
	o.Term = "tracking"
	o.Assumptions = []string{fmt.Sprintf(
		"%s of %s %% of what an instance does (%s), cooldowns of %v and %v; more after 3 data points in a row above it, fewer after 15 minutes below 90 %% of it; an instance is up and paid for %v after it was asked for",
		s.Metric, Milli(s.Target*100), Milli(policy.Target), s.OutCooldown, s.InCooldown, p.q.InstanceStart)}
	o.elastic = func(w window) *replay.Elastic {
		first, later := c.within(w)
		return &replay.Elastic{
			Group: int(x.engines), Later: later,
			Rules:   scale.Rules{Min: first.Min, Max: first.Max, Start: p.q.InstanceStart, Policies: []scale.Policy{policy}},
			Initial: int(needed(p.demand.part(window{max(0, w.from-lag), w.from + 1}), c, output)[min(lag, w.from)]),
		}
	}
	p.scaled(o, e, x, c, func(d *Demand) float64 {
		sum := 0.0
		for _, n := range needed(d, c, output) {
			sum += n / 60
		}
		return sum
	})
	return nil
}

// scaled completes an option of instances that come and go, of which the hours are known by closed form.
func (p *planner) scaled(o *offer, e *engine, x *machine, c course, hours func(d *Demand) float64) {
	o.Upkeep = "yours: images, weights, scaling rules, failures"
	o.Assumptions = append(o.Assumptions, notes(e)...)
	o.up = func(w window) float64 { return hours(p.demand.part(w)) }
	o.serving = p.engineServing(&e.profile, int(int64(c.most())*x.engines), p.slots(&e.profile))
	o.cost = func(d *Demand) ([]CostRow, error) {
		seconds, err := p.monthly(whole(o.paid(hours(d), d)*3600), d)
		if err != nil {
			return nil, err
		}
		amount, err := product([]int64{x.Hour, seconds}, []int64{3600})
		return []CostRow{{What: "instances", Quantity: seconds, Unit: "instance seconds of " + x.Type, Rate: x.Hour, Per: "instance hour", Amount: amount, Source: x.Source + ", " + x.Date}}, err
	}
	p.add(o)
}

// timed adds instances whose number a schedule sets: in each hour of the week as many as its busiest minute takes, started ahead of it.
func (p *planner) timed(m *catalog.Model, e *engine, x *machine) error {
	var hours [hoursOfWeek]Flow
	for i := range p.demand.Minutes {
		if f, h := &p.demand.Minutes[i], &hours[p.demand.slot(i)]; f.Calls > h.Calls {
			*h = *f
		}
	}
	var of [hoursOfWeek]int32
	for i := range hours {
		n, _, err := p.carry(e, x, &hours[i])
		if err != nil || n > scale.MaxInstances {
			return nil //nolint:nilerr // an hour that no number carries has no schedule; the busiest minute's option says why
		}
		of[i] = int32(n)
	}
	actions, err := p.timetable(&of)
	if err != nil || len(actions) == 0 {
		return err
	}
	c, err := p.course(actions, 1, scale.MaxInstances)
	if err != nil {
		return err
	}
	o := ownMachines(m, "endpoint/"+x.Type+"/scheduled", Possible, "")
	o.Name = fmt.Sprintf("Endpoint of one's own, up to %s %s, by a schedule", Grouped(int64(c.most())), x.Type)
	o.Term = "scheduled"
	o.Assumptions = []string{fmt.Sprintf("instances are started %v before the hour that needs them; scheduled actions: %s", p.q.InstanceStart, actionWords(actions))}
	if !p.demand.Expected {
		o.Assumptions = append(o.Assumptions, "coming weeks are like the one that the schedule was made from: calls wait where they are not")
	}
	o.elastic = func(w window) *replay.Elastic {
		first, later := c.within(w)
		return &replay.Elastic{Group: int(x.engines), Rules: scale.Rules{Min: first.Min, Max: first.Max, Start: p.q.InstanceStart}, Later: later}
	}
	p.scaled(o, e, x, c, func(d *Demand) float64 {
		sum := 0.0
		for i := range d.Minutes {
			sum += float64(c.at(d.from+i).Min) / 60
		}
		return sum
	})
	return nil
}

// cronDays are the days of the week as schedules name them, from Monday on.
var cronDays = []string{"MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"}

// timetable makes scheduled actions of the instances that each hour of the week, or of the day, needs. There are none where all hours need as many.
func (p *planner) timetable(hours *[hoursOfWeek]int32) ([]scale.Action, error) {
	days, begins := 7, 0
	if p.demand.Start.IsZero() || len(p.demand.Minutes) < 7*minutesOfDay {
		days, begins = 1, p.clock().Hour()*60+p.clock().Minute() // hours are counted from the start on
	}
	ahead := int((p.q.InstanceStart + time.Minute - 1) / time.Minute)
	minutes := days * minutesOfDay
	number := func(minute int) int32 { // the most of what is needed from now until what is started now is up
		n := int32(0)
		for k := minute; k <= minute+ahead; k += min(60, max(1, minute+ahead-k)) {
			n = max(n, hours[k%minutes/60])
		}
		return n
	}
	type moment struct {
		minute int // of the day
		n      int32
	}
	var order []moment
	on := map[moment][]string{}
	for i := range minutes {
		n := number(i)
		if n == number((i+minutes-1)%minutes) {
			continue
		}
		k := moment{(i + begins) % minutesOfDay, n}
		if on[k] == nil {
			order = append(order, k)
		}
		on[k] = append(on[k], cronDays[i/minutesOfDay])
	}
	slices.SortStableFunc(order, func(a, b moment) int { return a.minute - b.minute })
	var out []scale.Action
	for _, k := range order {
		text := fmt.Sprintf("cron(%d %d ? * %s *)", k.minute%60, k.minute/60, strings.Join(on[k], ","))
		if len(on[k]) == days {
			text = fmt.Sprintf("cron(%d %d * * ? *)", k.minute%60, k.minute/60)
		}
		s, err := scale.ParseSchedule(text, p.clock().Location())
		if err != nil {
			return nil, err
		}
		out = append(out, scale.Action{Schedule: s, Min: new(k.n), Max: new(k.n)})
	}
	return out, nil
}

// actionWords writes scheduled actions with the least instances of each.
func actionWords(actions []scale.Action) string {
	var out []string
	for i := range actions {
		out = append(out, fmt.Sprintf("%s %d", actions[i].Schedule, *actions[i].Min))
	}
	return strings.Join(out, "; ")
}
