package plan

import (
	"fmt"
	"math"
	"time"

	"forebay/capacity/scale"
	"forebay/catalog"
	"forebay/fault"
	"forebay/perf"
	"forebay/plan/replay"
)

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
		o.State, o.Why = Unknown, "no price of a serverless endpoint with accelerators is published in a form that can be dated here (SageMaker's are without accelerators, at most 6 GB and 60 s): give --serverless-price, --serverless-call or --serverless-tokens"
		p.boundServerless(m)
	case len(engines) == 0:
		o.State, o.Why = Unknown, "no coefficients of an engine of "+m.Name+" are published: give --profile"
	case engines[0].profile.Covers(p.mix()) != nil:
		o.State, o.Why = Unknown, engines[0].profile.Covers(p.mix()).Error()+beyondMeasured
	default:
		if err := p.awake(o, &engines[0].profile); err != nil {
			return err
		}
		o.Assumptions = append(o.Assumptions, notes(&engines[0])...)
	}
	p.add(o)
	return nil
}

// boundServerless says at which price of an hour a serverless endpoint wins.
func (p *planner) boundServerless(m *catalog.Model) {
	engines := p.engines(m)
	if _, ok := p.rates(m); !ok || len(engines) == 0 || engines[0].profile.Covers(p.mix()) != nil {
		return
	}
	up, _ := p.uptime(&engines[0].profile, p.demand, &ServerlessOffer{}, 0)
	total := p.value(m, &p.demand.Total) / up
	p.a.Bounds = append(p.a.Bounds, Bound{
		Missing: "the price of a serverless endpoint for " + m.Name,
		Says: fmt.Sprintf("without an idle timeout its engines (%s) are up for %s engine hours a day, so serverless wins only below %s %s for such an hour",
			engines[0].profile.Name, Milli(whole(1000*up/p.demand.days())), Amount(whole(total)), p.a.Currency),
	})
}

// check refuses what makes no sense.
func (s *ServerlessOffer) check() error {
	switch {
	case s.Idle < 0 || s.Cold < 0 || s.Invocation < 0 || s.Window < 0 || s.Hold < 0 || s.Held < 0 || s.Concurrency < 0 || s.Provisioned < 0:
		return fault.New(fault.Invalid, "a serverless endpoint's times, bounds and price of calls must not be negative")
	case s.Hour < 0 || s.Input < 0 || s.Output < 0 || s.Hour == 0 && s.Invocation == 0 && s.Input == 0 && s.Output == 0:
		return fault.New(fault.Invalid, "a serverless endpoint that costs nothing, or less: give what an hour, a call or a token of it costs, or leave it out to have it counted as unknown")
	case s.Provisioned > scale.MaxInstances || s.Concurrency > math.MaxInt32 || s.Held > math.MaxInt32:
		return fault.Newf(fault.Invalid, "a serverless endpoint of %d engines provisioned, %d calls at once and %d held: give fewer", s.Provisioned, s.Concurrency, s.Held)
	case s.Provisioned > 0 && s.ProvisionedHour <= 0:
		return fault.New(fault.Invalid, "the price of a provisioned engine's hour is zero or negative: give what it costs")
	}
	return nil
}

// uptime returns the engine-hours that a serverless endpoint is up over a demand beyond those provisioned, and the share of calls that find it down.
//
// In a minute with calls at rate l that take T each, and an idle timeout t, it is up for 1 - exp(-l (T + t)) of the time (the busy period of
// M/G/infinity with services longer by t), and a call finds it down with probability exp(-l (T + t)). Where the minute's calls take more
// than one engine, it is up for as many as their tokens take. A window of billing adds half of itself to each time that it is up.
func (p *planner) uptime(e *perf.Profile, d *Demand, s *ServerlessOffer, idle time.Duration) (hours, cold float64) {
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
		if s.Provisioned > 0 {
			down = 0
		}
		engines := max(1-down, f.Output/float64(max(perEngine.Output, 1))) - float64(s.Provisioned)
		hours += max(engines, 0)/60 + f.Calls*down*s.Window.Hours()/2
		missed += f.Calls * down
	}
	return hours, missed / d.Total.Calls
}

// awake prices a serverless endpoint.
func (p *planner) awake(o *offer, e *perf.Profile) error {
	s := p.q.Serverless
	o.State = Possible
	up := func(d *Demand) float64 {
		hours, _ := p.uptime(e, d, s, s.Idle+s.Cold)
		return hours
	}
	o.up = func(w window) float64 { return up(p.demand.part(w)) }
	o.always = float64(s.Provisioned)
	o.cost = func(d *Demand) ([]CostRow, error) { return p.serverlessRows(o, d, up(d)) }
	slots := p.slots(e)
	per := e.Throughput(slots, p.mix())
	most, _ := p.demand.peak(func(f *Flow) float64 { return f.Output })
	limit := max(1, int(math.Ceil(2*most/float64(max(per.Output, 1)))))
	if s.Concurrency > 0 {
		limit = min(limit, int((s.Concurrency+int64(slots)-1)/int64(slots)))
	}
	limit = min(max(limit, int(s.Provisioned)), scale.MaxInstances)
	o.serving = p.engineServing(e, limit, slots)
	o.serving.Concurrent = s.Concurrency
	o.serving.Elastic = &replay.Elastic{
		Rules:   scale.Rules{Max: int32(limit), Provisioned: int32(s.Provisioned), Start: s.Cold, Follow: true, Idle: s.Idle},
		MaxHold: s.Hold, MaxHeld: int32(s.Held), Window: s.Window,
	}
	_, cold := p.uptime(e, p.demand, s, s.Idle)
	o.Assumptions = append(o.Assumptions,
		fmt.Sprintf("engine %s, which starts in %v and stays up %v without a call; starts are paid for; at most %d engines", e.Name, s.Cold, s.Idle, limit),
		fmt.Sprintf("by the closed form, %s of a million calls find no engine up", Grouped(whole(cold*million))))
	o.Assumptions = append(o.Assumptions, s.words()...)
	return p.sweep(e)
}

// words say what bounds a serverless endpoint has.
func (s *ServerlessOffer) words() []string {
	var out []string
	if s.Provisioned > 0 {
		out = append(out, fmt.Sprintf("%s always up, at %s an hour each", engineCount(s.Provisioned), Amount(s.ProvisionedHour)))
	}
	if s.Concurrency > 0 {
		out = append(out, fmt.Sprintf("at most %s calls at once: others are refused", Grouped(s.Concurrency)))
	}
	if s.Hold > 0 || s.Held > 0 {
		bound := "a call that finds no engine up is held"
		if s.Hold > 0 {
			bound += fmt.Sprintf(" for %v at most", s.Hold)
		}
		if s.Held > 0 {
			bound += fmt.Sprintf(", if there are fewer than %s such", Grouped(s.Held))
		}
		out = append(out, bound+"; then it is refused, and comes again as SDKs do")
	}
	if s.Window > 0 {
		out = append(out, fmt.Sprintf("an engine's time is paid in windows of %v", s.Window))
	}
	return out
}

func engineCount(n int64) string {
	if n == 1 {
		return "1 engine"
	}
	return Grouped(n) + " engines"
}

// serverlessRows are the cost of a serverless endpoint that is up for so many engine-hours beyond those provisioned.
func (p *planner) serverlessRows(o *offer, d *Demand, hours float64) ([]CostRow, error) {
	s := p.q.Serverless
	var rows []CostRow
	if s.Hour > 0 {
		seconds, err := p.monthly(whole(o.paid(hours, d)*3600), d)
		if err != nil {
			return nil, err
		}
		up, err := product([]int64{s.Hour, seconds}, []int64{3600})
		if err != nil {
			return nil, err
		}
		rows = append(rows, CostRow{What: "serverless", Quantity: seconds, Unit: "engine seconds", Rate: s.Hour, Per: "engine hour", Amount: up, Source: s.Source})
	}
	if s.Provisioned > 0 {
		always := s.Provisioned * p.q.Days * hoursOfDay
		amount, err := product([]int64{s.ProvisionedHour, always}, []int64{1})
		if err != nil {
			return nil, err
		}
		rows = append(rows, CostRow{What: "serverless", Quantity: always, Unit: "hours of provisioned engines", Rate: s.ProvisionedHour, Per: "engine hour", Amount: amount, Source: s.Source})
	}
	used, err := p.serverlessUse(d)
	return append(rows, used...), err
}

// serverlessUse is what is paid for by the call and by the token, however long engines are up.
func (p *planner) serverlessUse(d *Demand) ([]CostRow, error) {
	s := p.q.Serverless
	var rows []CostRow
	for _, x := range []struct {
		unit  string
		total float64
		rate  int64
	}{{"calls", d.Total.Calls, s.Invocation}, {"input tokens", d.Total.Input + d.Total.Cached, s.Input}, {"output tokens", d.Total.Output, s.Output}} {
		if x.rate == 0 {
			continue
		}
		n, err := p.monthly(whole(x.total), d)
		if err != nil {
			return nil, err
		}
		each, err := product([]int64{x.rate, n}, []int64{million})
		if err != nil {
			return nil, err
		}
		rows = append(rows, CostRow{What: "serverless", Quantity: n, Unit: x.unit, Rate: x.rate, Per: "million " + x.unit, Amount: each, Source: s.Source})
	}
	return rows, nil
}

// sweep says what other idle timeouts would cost, and how many calls would wait for a start.
func (p *planner) sweep(e *perf.Profile) error {
	s := p.q.Serverless
	rows, err := p.serverlessUse(p.demand)
	if err != nil {
		return err
	}
	used, err := sumOf(rows)
	if err != nil {
		return err
	}
	always := float64(s.Provisioned*s.ProvisionedHour)*float64(p.q.Days*hoursOfDay) + float64(used)
	for _, idle := range []time.Duration{0, 15 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour} {
		hours, _ := p.uptime(e, p.demand, s, idle+s.Cold)
		_, cold := p.uptime(e, p.demand, s, idle)
		p.a.Idle = append(p.a.Idle, IdlePoint{
			Idle: int64(idle), Cost: whole(hours*float64(s.Hour)*float64(p.q.Days)/p.demand.days() + always), Cold: whole(cold * million),
		})
	}
	return nil
}
