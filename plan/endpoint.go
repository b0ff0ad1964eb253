package plan

import (
	"fmt"
	"math"
	"strings"
	"time"

	"forebay/catalog"
	"forebay/perf"
	"forebay/plan/replay"
)

// engine is an engine of a model that can run on machines of one's own.
type engine struct {
	profile perf.Profile
	note    string
}

// engines are those of which the coefficients are known.
func (p *planner) engines(m *catalog.Model) []engine {
	if m == p.q.Model && p.q.Engine != nil {
		return []engine{{*p.q.Engine, "given"}}
	}
	var out []engine
	for _, e := range catalog.EnginesOf(m.ID) {
		if profile, err := perf.Named(e.Profile); err == nil {
			out = append(out, engine{profile, e.Note})
		}
	}
	return out
}

// machines are those that run an engine, with how many each.
func (p *planner) machines(m *catalog.Model, e *engine) []machine {
	_, hardware, _ := strings.Cut(e.profile.Name, "/")
	if m == p.q.Model && p.q.Instance != nil {
		return []machine{{*p.q.Instance, max(1, p.q.Instance.Engines(hardware))}}
	}
	var out []machine
	for _, i := range catalog.Instances() {
		if n := i.Engines(hardware); n > 0 && i.Currency == p.a.Currency {
			out = append(out, machine{i, n})
		}
	}
	return out
}

type machine struct {
	catalog.Instance
	engines int64 // on each
}

func ownMachines(m *catalog.Model, id string, s State, why string) *offer {
	return &offer{model: m, Option: &Option{
		ID: id, Mode: Endpoint, Name: "Endpoint of one's own", State: s, Why: why,
		Commitment: "none", Control: "full: instances, batch, placement", Upkeep: "yours: images, weights, scaling, failures",
	}}
}

// endpoint considers instances that are always up.
func (p *planner) endpoint(m *catalog.Model) error {
	if why := m.Closed(); why != "" && (m != p.q.Model || p.q.Engine == nil) {
		p.add(ownMachines(m, "endpoint", Impossible, why+": compare an open model in its place (--substitute)"))
		return nil
	}
	engines := p.engines(m)
	if len(engines) == 0 {
		o := p.add(ownMachines(m, "endpoint", Unknown, "no coefficients of an engine of "+m.Name+" are published: give --profile, measured by forebay calibrate"))
		return p.boundInstance(m, o)
	}
	found := false
	for i := range engines {
		for _, x := range p.machines(m, &engines[i]) {
			found = true
			p.instances(m, &engines[i], &x)
		}
	}
	if !found {
		o := p.add(ownMachines(m, "endpoint", Unknown, fmt.Sprintf("no price is known of an instance with the hardware of %s: give --instance-price", engines[0].profile.Name)))
		return p.boundInstance(m, o)
	}
	return nil
}

// boundInstance compares on demand with the cheapest instance of any kind.
func (p *planner) boundInstance(m *catalog.Model, o *offer) error {
	var lowest *catalog.Instance
	for i, x := range catalog.Instances() {
		if x.Currency == p.a.Currency && (lowest == nil || x.Hour < lowest.Hour) {
			lowest = &catalog.Instances()[i]
		}
	}
	if _, ok := p.rates(m); !ok || lowest == nil {
		return nil
	}
	var err error
	if o.AtLeast, err = product([]int64{lowest.Hour, p.q.Days * hoursOfDay}, []int64{1}); err != nil {
		return err
	}
	perHour := p.perHour(m)
	b := Bound{Missing: "an engine of " + m.Name + " on an instance", Settles: lowest.Hour > p.mostPerHour(m)}
	b.Says = fmt.Sprintf("an endpoint wins only below %s %s/h in total; the cheapest instance whose price is known is %s at %s %s/h",
		Amount(perHour), p.a.Currency, lowest.Type, Amount(lowest.Hour), p.a.Currency)
	if b.Settles {
		b.Says += ", so no speed can change this"
	}
	p.a.Bounds = append(p.a.Bounds, b)
	return nil
}

// mix is the size of a mean call.
func (p *planner) mix() perf.Mix {
	return perf.Mix{Input: max(p.a.Traffic.MeanInput, 1), Output: max(p.a.Traffic.MeanOutput, 1)}
}

// slots are the calls that an engine is given at once: as many of its batch as its memory holds of the mean call.
func (p *planner) slots(e *perf.Profile) int { return max(1, min(e.MaxBatch, e.Fits(p.mix()))) }

// instances considers as many of one type as the busiest minute takes.
func (p *planner) instances(m *catalog.Model, e *engine, x *machine) {
	mix, slots := p.mix(), p.slots(&e.profile)
	if _, ok := e.profile.Among(slots, mix, mix); !ok {
		p.add(ownMachines(m, "endpoint/"+x.Type, Impossible, fmt.Sprintf("a mean call of %d and %d tokens does not fit into the memory of %s", mix.Input, mix.Output, e.profile.Name)))
		return
	}
	busiest, at := p.demand.peak(func(f *Flow) float64 { return f.Calls })
	f := liveAt(&p.demand.Minutes[at], p.asked())
	head, unfit := e.profile.Headroom(perf.Demand{Input: max(1, whole(f.Input+f.Cached)), Output: whole(f.Output), Prompt: mix.Input}, slots, mix, perf.Usual)
	if unfit != nil {
		p.add(ownMachines(m, "endpoint/"+x.Type, Impossible, "the busiest minute: "+unfit.Error()))
		return
	}
	per := int64(slots) * x.engines
	n := max(1, (head.Slots+per-1)/per, p.holdsAll(&e.profile, x))
	p.line(Line{
		ID: "endpoint." + x.Type + ".slots", What: "instances that carry the busiest minute", Formula: "ceil(slots / (slots of an engine x engines of an instance)); slots: least n with n / W(n) above the rate, and a 99th percentile of waits of 0.5 s",
		Values: fmt.Sprintf("%s calls in the busiest minute that somebody waits for, W = %v: %d slots / (%d x %d)", Milli(whole(1000*busiest*(1-waitingShare(p.asked())))), time.Duration(head.W).Round(time.Millisecond), head.Slots, slots, x.engines),
		Result: Grouped(n), Source: e.profile.Name + ": " + e.profile.Source, Method: ClosedForm,
	})
	p.add(p.fleet(m, e, x, n))
	if n > 1 {
		p.elastic(m, e, x, n)
	}
}

// holdsAll is how many instances carry all of the traffic, were it spread evenly: those that may wait take what the others leave.
func (p *planner) holdsAll(e *perf.Profile, x *machine) int64 {
	per := e.Throughput(p.slots(e), p.mix()).Output * x.engines
	if p.asked() == (replay.Waiting{}) || per == 0 {
		return 1
	}
	return int64(p.demand.Total.Output/float64(len(p.demand.Minutes))/float64(per)) + 1
}

// fleet makes the offer of n instances that are always up.
func (p *planner) fleet(m *catalog.Model, e *engine, x *machine, n int64) *offer {
	o := ownMachines(m, fmt.Sprintf("endpoint/%s/%d", x.Type, n), Possible, "")
	o.Name = fmt.Sprintf("Endpoint of one's own, %s %s", Grouped(n), x.Type)
	o.Units, o.Term = n, "none"
	if e.note != "" {
		o.Assumptions = append(o.Assumptions, "engine "+e.profile.Name+": "+e.note)
	}
	if p.asked() != (replay.Waiting{}) {
		o.Assumptions = append(o.Assumptions, spread+", and run at the tiers flex and batch in what the others leave")
	}
	slots := p.slots(&e.profile)
	rate := e.profile.Throughput(slots, p.mix())
	share := int64(0)
	if rate.Output > 0 {
		share = whole(1000 * p.demand.Total.Output / float64(len(p.demand.Minutes)) / float64(rate.Output*n*x.engines))
	}
	o.Used = &share
	o.serving = p.engineServing(&e.profile, int(n*x.engines), slots)
	o.cost = func(*Demand) ([]CostRow, error) {
		hours := p.q.Days * hoursOfDay
		amount, err := product([]int64{x.Hour, n, hours}, []int64{1})
		return []CostRow{{What: "instances", Quantity: n * hours, Unit: "instance hours of " + x.Type, Rate: x.Hour, Per: "instance hour", Amount: amount, Source: x.Source + ", " + x.Date}}, err
	}
	o.sized = func(n int64) *offer { return p.fleet(m, e, x, n) }
	return o
}

// elastic adds instances that follow the demand: as many as the calls in flight and those that wait take, between one and half as many again as
// the busiest minute takes in steady state.
func (p *planner) elastic(m *catalog.Model, e *engine, x *machine, n int64) {
	o := ownMachines(m, "endpoint/"+x.Type+"/elastic", Possible, "")
	most := n + (n+1)/2
	o.Name = fmt.Sprintf("Endpoint of one's own, 1 to %s %s, with the demand", Grouped(most), x.Type)
	o.Term = "elastic"
	o.Upkeep = "yours: images, weights, scaling rules, failures"
	o.Assumptions = []string{fmt.Sprintf("an instance is up and paid for %v after it was asked for, and goes when fewer were enough for %v", p.q.InstanceStart, p.q.InstanceIdle)}
	if e.note != "" {
		o.Assumptions = append(o.Assumptions, "engine "+e.profile.Name+": "+e.note)
	}
	slots := p.slots(&e.profile)
	per := float64(max(e.profile.Throughput(slots, p.mix()).Output*x.engines, 1))
	hours := func(d *Demand) (sum float64) {
		for i := range d.Minutes {
			sum += max(1, math.Ceil(d.Minutes[i].Output/per)) / 60
		}
		return sum
	}
	o.up = func(w window) float64 { return hours(p.demand.part(w)) }
	o.serving = p.engineServing(&e.profile, int(most*x.engines), slots)
	o.serving.Elastic = &replay.Elastic{Min: int(x.engines), Group: int(x.engines), Cold: p.q.InstanceStart, Idle: p.q.InstanceIdle}
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

// serverless considers an endpoint that is up only while it is called.
func (p *planner) serverless(m *catalog.Model) error {
	o := &offer{model: m, Option: &Option{
		ID: "serverless", Mode: Serverless, Name: "Serverless endpoint", State: Impossible,
		Commitment: "none", Control: "full, but for the machines", Upkeep: "little: images and weights",
	}}
	engines := p.engines(m)
	switch why := m.Closed(); {
	case why != "" && (m != p.q.Model || p.q.Engine == nil):
		o.Why = why + ": compare an open model in its place (--substitute)"
	case p.q.Serverless == nil:
		o.State, o.Why = Unknown, "no price of a serverless endpoint with accelerators is published in a form that can be dated here (SageMaker's are without accelerators, at most 6 GB and 60 s): give --serverless-price"
		p.boundServerless(m)
	case len(engines) == 0:
		o.State, o.Why = Unknown, "no coefficients of an engine of "+m.Name+" are published: give --profile"
	default:
		p.awake(o, &engines[0].profile)
	}
	p.add(o)
	return nil
}

// boundServerless says at which price of an hour a serverless endpoint wins.
func (p *planner) boundServerless(m *catalog.Model) {
	engines := p.engines(m)
	if _, ok := p.rates(m); !ok || len(engines) == 0 {
		return
	}
	up, _ := p.uptime(&engines[0].profile, p.demand, 0)
	total := p.value(m, &p.demand.Total) / up
	p.a.Bounds = append(p.a.Bounds, Bound{
		Missing: "the price of a serverless endpoint for " + m.Name,
		Says: fmt.Sprintf("without an idle timeout its engines (%s) are up for %s engine hours a day, so serverless wins only below %s %s for such an hour",
			engines[0].profile.Name, Milli(whole(1000*up/p.demand.days())), Amount(whole(total)), p.a.Currency),
	})
}

// uptime returns the engine-hours that a serverless endpoint is up over a demand, and the share of calls that find it down.
//
// In a minute with calls at rate l that take T each, and an idle timeout t, it is up for 1 - exp(-l (T + t)) of the time (the busy period of
// M/G/infinity with services longer by t), and a call finds it down with probability exp(-l (T + t)). Where the minute's calls take more
// than one engine, it is up for as many as their tokens take.
func (p *planner) uptime(e *perf.Profile, d *Demand, idle time.Duration) (hours, cold float64) {
	slots := p.slots(e)
	w, ok := e.Among(1, p.mix(), p.mix())
	if !ok {
		return math.Inf(1), 1
	}
	perEngine := e.Throughput(slots, p.mix())
	missed := 0.0
	for i := range d.Minutes {
		f := &d.Minutes[i]
		down := math.Exp(-f.Calls / 60 * (time.Duration(w) + idle).Seconds())
		engines := max(1-down, f.Output/float64(max(perEngine.Output, 1)))
		hours += engines / 60
		missed += f.Calls * down
	}
	return hours, missed / d.Total.Calls
}

// awake prices a serverless endpoint.
func (p *planner) awake(o *offer, e *perf.Profile) {
	s := p.q.Serverless
	o.State = Possible
	o.up = func(w window) float64 {
		hours, _ := p.uptime(e, p.demand.part(w), s.Idle+s.Cold)
		return hours
	}
	o.cost = func(d *Demand) ([]CostRow, error) {
		hours, _ := p.uptime(e, d, s.Idle+s.Cold)
		seconds, err := p.monthly(whole(o.paid(hours, d)*3600), d)
		if err != nil {
			return nil, err
		}
		up, err := product([]int64{s.Hour, seconds}, []int64{3600})
		if err != nil {
			return nil, err
		}
		rows := []CostRow{{What: "serverless", Quantity: seconds, Unit: "engine seconds", Rate: s.Hour, Per: "engine hour", Amount: up, Source: s.Source}}
		if s.Invocation == 0 {
			return rows, nil
		}
		calls, err := p.monthly(whole(d.Total.Calls), d)
		if err != nil {
			return nil, err
		}
		each, err := product([]int64{s.Invocation, calls}, []int64{million})
		return append(rows, CostRow{What: "serverless", Quantity: calls, Unit: "calls", Rate: s.Invocation, Per: "million calls", Amount: each, Source: s.Source}), err
	}
	slots := p.slots(e)
	per := e.Throughput(slots, p.mix())
	most, _ := p.demand.peak(func(f *Flow) float64 { return f.Output })
	limit := max(1, int(math.Ceil(2*most/float64(max(per.Output, 1)))))
	o.serving = p.engineServing(e, limit, slots)
	o.serving.Elastic = &replay.Elastic{Cold: s.Cold, Idle: s.Idle}
	_, cold := p.uptime(e, p.demand, s.Idle)
	o.Assumptions = append(o.Assumptions,
		fmt.Sprintf("engine %s, which starts in %v and stays up %v without a call; starts are paid for; at most %d engines", e.Name, s.Cold, s.Idle, limit),
		fmt.Sprintf("by the closed form, %s of a million calls find no engine up", Grouped(whole(cold*million))))
	p.sweep(e)
}

// sweep says what other idle timeouts would cost, and how many calls would wait for a start.
func (p *planner) sweep(e *perf.Profile) {
	s := p.q.Serverless
	for _, idle := range []time.Duration{0, 15 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour} {
		hours, _ := p.uptime(e, p.demand, idle+s.Cold)
		_, cold := p.uptime(e, p.demand, idle)
		p.a.Idle = append(p.a.Idle, IdlePoint{
			Idle: int64(idle), Cost: whole(hours * float64(s.Hour) * float64(p.q.Days) / p.demand.days()), Cold: whole(cold * million),
		})
	}
}
