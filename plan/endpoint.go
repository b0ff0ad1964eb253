package plan

import (
	"fmt"
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

// notes are what is assumed of an engine.
func notes(e *engine) []string {
	out := []string{reach(e)}
	if e.note != "" {
		out = append(out, "engine "+e.profile.Name+": "+e.note)
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

// endpoint considers instances of each type that the model runs on.
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
			if err := p.instances(m, &engines[i], &x); err != nil {
				return err
			}
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

// slots are the calls that an engine is given at once: as many of its batch as its memory holds of the mean call, and as its coefficients were measured with.
func (p *planner) slots(e *perf.Profile) int { return max(1, e.Slots(p.mix())) }

// reach is what is assumed of where an engine's coefficients hold.
func reach(e *engine) string {
	m := &e.profile.Measured
	if m.Most == 0 {
		return fmt.Sprintf("where the coefficients of %s were measured is not known (%s): they are taken to hold everywhere", e.profile.Name, e.profile.Source)
	}
	text := fmt.Sprintf("the coefficients of %s were measured with %d to %d calls at once", e.profile.Name, m.Least, m.Most)
	if m.Least == 0 {
		text = fmt.Sprintf("the coefficients of %s were measured with up to %d calls at once", e.profile.Name, m.Most)
	}
	if m.Prompt > 0 {
		text += fmt.Sprintf(", prompts of up to %s tokens", Grouped(m.Prompt))
	}
	if m.Context > 0 {
		text += fmt.Sprintf(", and %s tokens of context", Grouped(m.Context))
	}
	return text + "; an engine is given no more than that"
}

// beyondMeasured is what is told of an engine whose coefficients do not cover the calls.
const beyondMeasured = ": nothing is planned outside of that; measure it there (forebay calibrate --prompt)"

// carry returns how many instances carry a minute's calls that somebody waits for, with waits within the usual target.
func (p *planner) carry(e *engine, x *machine, f *Flow) (int64, perf.Headroom, error) {
	slots, mix := p.slots(&e.profile), p.mix()
	live := liveAt(f, p.asked())
	head, err := e.profile.Headroom(perf.Demand{Input: max(1, whole(live.Input+live.Cached)), Output: whole(live.Output), Prompt: mix.Input}, slots, mix, perf.Usual)
	per := int64(slots) * x.engines
	return max(1, (head.Slots+per-1)/per, p.holdsAll(&e.profile, x)), head, err
}

// instances considers as many of one type as the busiest minute takes, and fewer where fewer are enough.
func (p *planner) instances(m *catalog.Model, e *engine, x *machine) error {
	mix, slots := p.mix(), p.slots(&e.profile)
	if beyond := e.profile.Covers(mix); beyond != nil {
		o := p.add(ownMachines(m, "endpoint/"+x.Type, Unknown, beyond.Error()+beyondMeasured))
		if one, err := product([]int64{x.Hour, p.q.Days * hoursOfDay}, []int64{1}); err == nil {
			o.AtLeast = one // whatever it does
		}
		return nil
	}
	if _, ok := e.profile.Among(slots, mix, mix); !ok {
		p.add(ownMachines(m, "endpoint/"+x.Type, Impossible, fmt.Sprintf("a mean call of %d and %d tokens does not fit into the memory of %s", mix.Input, mix.Output, e.profile.Name)))
		return nil
	}
	busiest, at := p.demand.peak(func(f *Flow) float64 { return f.Calls })
	n, head, unfit := p.carry(e, x, &p.demand.Minutes[at])
	if unfit != nil {
		p.add(ownMachines(m, "endpoint/"+x.Type, Impossible, "the busiest minute: "+unfit.Error()))
		return nil //nolint:nilerr // it is why the option is impossible
	}
	p.line(Line{
		ID: "endpoint." + x.Type + ".slots", What: "instances that carry the busiest minute", Formula: "ceil(slots / (slots of an engine x engines of an instance)); slots: least n with n / W(n) above the rate, and a 99th percentile of waits of 0.5 s",
		Values: fmt.Sprintf("%s calls in the busiest minute that somebody waits for, W = %v: %d slots / (%d x %d)", Milli(whole(1000*busiest*(1-waitingShare(p.asked())))), time.Duration(head.W).Round(time.Millisecond), head.Slots, slots, x.engines),
		Result: Grouped(n), Source: e.profile.Name + ": " + e.profile.Source, Method: ClosedForm,
	})
	p.add(p.fleet(m, e, x, n))
	if n > 1 || len(p.q.Scaling.Scheduled) > 0 {
		if err := p.tracked(m, e, x, n); err != nil {
			return err
		}
	}
	if n > 1 {
		return p.timed(m, e, x)
	}
	return nil
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
	o.Assumptions = append(o.Assumptions, notes(e)...)
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
