package plan

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"forebay/catalog"
	"forebay/perf"
	"forebay/plan/clouds"
	"forebay/plan/replay"
	"forebay/workload"
)

// serving is how an offer is replayed, and what came of it.
type serving struct {
	replay.Serving
	rule   func() (clouds.Rule, error) // of another cloud; nil is the scheduler of live calls
	own    bool                        // engines of one's own, whose speed is known
	bounds bool                        // what it refuses depends on a quota that is known
	result *replay.Result
	slower *replay.Result // with steps 5 % longer
	faster *replay.Result // and shorter
	ratio  float64        // what spilled in the replay over what the closed form says of it; 0 for not replayed
	extra  float64        // engine hours a day that were paid for in the replay beyond what the closed form says of its window
}

// standIn is what stands for the engines of a cloud, of which nothing is published: it tells only for how long a call holds its quota.
var standIn = perf.Profile{Name: "20 ms a token", Step: 20_000_000_000, MaxBatch: 1}

const (
	// decided is how many of the cheapest ways are replayed.
	decided = 6
	// representative is how many minutes a replay must cover to correct the spill-over of a month: a bucket's depth of one minute is free once.
	representative = 6 * 60
	// rounds is how often options are looked at again after replays have changed their order.
	rounds = 4
	// waiting bounds the calls that wait for engines of one's own.
	waiting = 100_000
	// sensitivity is by how much, per mille, steps are made longer and shorter.
	sensitivity = 50
	// fewRefused is the share of calls, of a million, that may be refused by what is sold as never throttled.
	fewRefused = 1000
	// fewLong is the share of calls, per mille, from which on those with prompts beyond what an engine was measured with are seen in its 99th percentile.
	fewLong = 10
)

func (p *planner) retries() replay.Retry {
	r := p.q.Retry.Retry
	r.Seed = p.q.Seed
	return r
}

func (p *planner) quotaServing(m *catalog.Model) *serving {
	quota, known := p.quota(m)
	s := &serving{bounds: known != "", Serving: replay.Serving{
		Burndown: m.Burndown, MaxOutput: m.MaxOutput, OnDemand: true, Profile: standIn, Retry: p.retries(),
		Quota: replay.Quota{Requests: quota.RequestsPerMinute, Tokens: quota.TokensPerMinute},
	}}
	return s
}

func (p *planner) unitServing(m *catalog.Model, u *catalog.Unit, n int64, spills bool) *serving {
	s := p.quotaServing(m)
	s.Bought, s.Waiting = replay.Rate{Input: u.Input * n, Output: u.Output * n}, p.sold(m)
	if s.OnDemand = spills; !spills {
		s.Quota, s.bounds = replay.Quota{}, true
	}
	return s
}

func (p *planner) engineServing(e *perf.Profile, engines, slots int) *serving {
	return &serving{own: true, bounds: true, Serving: replay.Serving{Engines: engines, Slots: slots, Profile: *e, MaxQueue: waiting, Waiting: p.asked(), Retry: p.retries()}}
}

// correction is what the closed form of spill-over is multiplied with after the replay.
func (o *offer) correction() float64 {
	if o.serving == nil || o.serving.ratio == 0 {
		return 1
	}
	return o.serving.ratio
}

// paid are the hours that engines are paid for over a demand: by closed form, with what the replay found beyond it on each day.
func (o *offer) paid(hours float64, d *Demand) float64 {
	return max(0, hours+o.serving.extra*d.days())
}

// window is the part of the traffic that is replayed: minutes of the busiest day.
type window struct{ from, to int }

// window returns as much of the busiest day, around its busiest minute, as has no more calls than a replay may have.
func (p *planner) window() window {
	d := p.demand
	from, to := d.busiestDay()
	w := window{from, to}
	calls := 0.0
	for i := from; i < to; i++ {
		calls += d.Minutes[i].Calls
	}
	for calls > float64(p.q.Calls) && w.to-w.from > 1 {
		if d.Minutes[w.from].Calls <= d.Minutes[w.to-1].Calls {
			calls -= d.Minutes[w.from].Calls
			w.from++
		} else {
			w.to--
			calls -= d.Minutes[w.to].Calls
		}
	}
	return w
}

// within yields the requests of a window, with the question's max_tokens where they have none.
func (p *planner) within(w window) iter.Seq2[workload.Request, error] {
	from, to := time.Duration(w.from)*time.Minute, time.Duration(w.to)*time.Minute
	return func(yield func(workload.Request, error) bool) {
		all := p.q.Traffic.All()
		if r, ok := p.q.Traffic.(workload.Ranged); ok {
			all = r.Between(from, to)
		}
		for r, err := range all {
			if err == nil && r.At < from {
				continue
			}
			if err == nil && r.At >= to {
				return
			}
			if r.MaxOutput == 0 {
				r.MaxOutput = p.q.MaxOutput
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// task is one replay.
type task struct {
	of  *offer
	how replay.Serving
	put func(*replay.Result)
}

// decide replays the cheapest options and puts them into order again. Replays run side by side; none depends on another.
func (p *planner) decide(ctx context.Context) error {
	w := p.window()
	for range rounds {
		chosen := p.undecided()
		if len(chosen) == 0 {
			break
		}
		if err := p.replay(ctx, w, p.tasks(chosen, w)); err != nil {
			return err
		}
		for _, o := range chosen {
			if err := p.learn(o, w); err != nil {
				return err
			}
		}
		p.rank()
	}
	return nil
}

// undecided are the best of the cheapest ways, of the model and of its substitute, with the neighbours of the first one, and paying by the
// token, which all are compared with; of those what was not replayed yet.
func (p *planner) undecided() []*offer {
	var out []*offer
	var ways [2][]way
	for _, o := range p.offers {
		if o.State != Possible || o.serving == nil {
			continue
		}
		of, w := p.other(o), o.way()
		at := slices.Index(ways[of], w)
		if at < 0 {
			at = len(ways[of])
			ways[of] = append(ways[of], w)
		} else if at > 0 {
			continue
		}
		asked := o.Mode == OnDemand || o.Rules != "" || p.q.Deadline > 0 && o.serving.own // whatever it costs
		if (at < decided || asked) && o.serving.result == nil {
			out = append(out, o)
		}
	}
	return out
}

// tasks are the replays of options.
func (p *planner) tasks(of []*offer, w window) []task {
	var out []task
	for _, o := range of {
		s := o.serving
		s.Start, s.End = time.Duration(w.from)*time.Minute, time.Duration(w.to)*time.Minute
		if o.schedule != nil {
			s.Bought, s.Later = o.schedule(w)
		}
		if o.elastic != nil {
			s.Elastic = o.elastic(w)
		}
		out = append(out, task{o, s.Serving, func(r *replay.Result) { s.result = r }})
		if s.own && !o.extra {
			out = append(out, task{o, atSpeed(s.Serving, 1000+sensitivity), func(r *replay.Result) { s.slower = r }},
				task{o, atSpeed(s.Serving, 1000-sensitivity), func(r *replay.Result) { s.faster = r }})
		}
	}
	return out
}

// atSpeed returns a way of serving with engines whose steps take longer by a factor, per mille.
func atSpeed(s replay.Serving, permille int64) replay.Serving {
	for _, c := range []*int64{&s.Profile.Step, &s.Profile.PrefillToken, &s.Profile.ContextToken, &s.Profile.Sequence} {
		*c = *c * permille / 1000
	}
	return s
}

func (p *planner) replay(ctx context.Context, w window, tasks []task) error {
	results, errs := make([]*replay.Result, len(tasks)), make([]error, len(tasks))
	var all sync.WaitGroup
	var lock sync.Mutex
	done := 0
	for i := range tasks {
		all.Go(func() {
			results[i], errs[i] = p.run(ctx, w, &tasks[i])
			lock.Lock()
			defer lock.Unlock()
			done++
			p.q.Progress(int64(1000*done/len(tasks)), "replay of "+tasks[i].of.Name)
		})
	}
	all.Wait()
	for i := range tasks {
		if errs[i] != nil {
			return errs[i]
		}
		tasks[i].put(results[i])
	}
	return nil
}

// run replays one.
func (p *planner) run(ctx context.Context, w window, t *task) (*replay.Result, error) {
	if t.of.serving.rule == nil {
		return replay.Run(ctx, p.within(w), t.how)
	}
	rule, err := t.of.serving.rule()
	if err != nil {
		return nil, err
	}
	return replay.RunRule(ctx, p.within(w), rule, t.how)
}

// learn takes what a replay found into the option.
func (p *planner) learn(o *offer, w window) error {
	s, r := o.serving, o.serving.result
	o.Decided = Replayed
	if r.Calls == 0 {
		return nil
	}
	o.Throttles = nil
	for _, by := range slices.Sorted(maps.Keys(r.Reasons)) {
		o.Throttles = append(o.Throttles, Throttle{by, r.Reasons[by]})
	}
	if s.bounds {
		o.Refused = &PerMillion{r.Refused * million / r.Calls, Replayed}
		if o.Refused.Share > fewRefused && s.OnDemand {
			o.Assumptions = append(o.Assumptions, "what is refused is refused by the quota that was counted on; the cost is that of all calls, which takes a larger one")
		}
	} else {
		o.Assumptions = append(o.Assumptions, "no quota is known, so nothing is refused")
	}
	switch why := guessed(s); {
	case !s.own:
		o.Speed = "no latencies of this service are published"
	case why != "":
		o.Speed = "not told, because it would be a guess: " + why
	default:
		o.First, o.Whole = quantiles(s, func(r *replay.Result) *replay.Histogram { return &r.First }), quantiles(s, func(r *replay.Result) *replay.Histogram { return &r.Whole })
	}
	p.learnWaited(o)
	values := fmt.Sprintf("%s calls in minutes %d to %d, seed %d: %s served, %s refused, %s tries again", Grouped(r.Calls), w.from, w.to, p.q.Seed, Grouped(r.Served), Grouped(r.Refused), Grouped(r.Retries))
	if o.spills != nil {
		if err := p.learnSpill(o, w); err != nil {
			return err
		}
		values += fmt.Sprintf(", %s spilled over", Grouped(r.Spilled))
	}
	if o.up != nil {
		if err := p.learnPaid(o, w); err != nil {
			return err
		}
		values += fmt.Sprintf(", engines paid for %v, %s starts", r.Paid.Round(time.Second), Grouped(r.Starts))
	}
	p.line(Line{
		ID: o.ID + ".replay", What: o.Name + ", replayed", Formula: o.replayed(), Values: values,
		Result: Grouped(r.Refused*million/r.Calls) + " of a million refused", Source: "engine: " + s.Profile.Name, Method: Replayed,
	})
	if o.extra {
		return nil
	}
	if o.Mode == Provisioned && o.Refused != nil && o.Refused.Share > fewRefused {
		o.State, o.Why = Impossible, fmt.Sprintf("it refuses %s of a million calls, in bursts that the minute's mean does not show: more units, or spill-over", Grouped(o.Refused.Share))
		if o.more == nil {
			return p.meetsDeadline(o) // of several kinds no larger size is tried
		}
		if err := o.more(); err != nil {
			return err
		}
	}
	return p.meetsDeadline(o)
}

// replayed says what decided.
func (o *offer) replayed() string {
	if o.Rules != "" {
		return "the rule of " + o.Rules + " on a virtual clock"
	}
	return "the scheduler of live calls on a virtual clock"
}

// learnSpill corrects the cost of spill-over by what was replayed.
func (p *planner) learnSpill(o *offer, w window) error {
	s, r := o.serving, o.serving.result
	o.Spilled = &PerMillion{r.Spilled * million / r.Calls, Replayed}
	fluid := o.spills(p.demand.part(w))
	// What the quota then refuses counts as well: it would be paid for with a larger one.
	spilled := Flow{
		Input:  float64(r.OfferedInput - r.LaterInput - r.BoughtInput - r.OwnInput),
		Output: float64(r.OfferedOutput - r.LaterOutput - r.BoughtOutput - r.OwnOutput),
	}
	if n := w.to - w.from; n < representative && n < len(p.demand.Minutes) {
		o.Assumptions = append(o.Assumptions, fmt.Sprintf("spill-over is what the minute's mean says: the %d minutes that were replayed are too short a part to correct it (--calls)", w.to-w.from))
		return nil
	}
	if v := p.value(o.model, &fluid); v > 0 {
		s.ratio = max(p.value(o.model, &spilled)/v, 1e-9)
		o.Assumptions = append(o.Assumptions, fmt.Sprintf("spill-over is %.2f times what the minute's mean says, as replayed, in the whole month", s.ratio))
	}
	return p.reprice(o)
}

// learnPaid corrects the cost of engines that come and go by what was replayed.
func (p *planner) learnPaid(o *offer, w window) error {
	s, r := o.serving, o.serving.result
	if r.Calls > 0 {
		o.Held = &PerMillion{r.Held * million / r.Calls, Replayed}
	}
	hours, length := o.up(w), float64(w.to-w.from)/60
	if hours <= 0 && o.always == 0 {
		return nil
	}
	paid := r.Paid.Hours() - o.always*length
	s.extra = (paid - hours) / max(1, length/hoursOfDay)
	per := s.Profile.Throughput(s.Slots, p.mix()).Output * int64(max(s.Elastic.Group, 1))
	if all := o.paid(o.up(window{0, len(p.demand.Minutes)}), p.demand) + o.always*hoursOfDay*p.demand.days(); all > 0 && per > 0 {
		o.Used = new(min(1000, whole(1000*p.demand.Total.Output/(all*60*float64(per)))))
	}
	o.Assumptions = append(o.Assumptions, fmt.Sprintf("in the replay of %s hours engines were started %s times and paid for %.1f hours, %.1f by the closed form: the difference is counted once a day",
		Milli(whole(1000*length)), Grouped(r.Starts), paid, hours))
	return p.reprice(o)
}

// reprice computes a cost again after a replay.
func (p *planner) reprice(o *offer) error {
	p.a.Lines = slices.DeleteFunc(p.a.Lines, func(l Line) bool { return l.ID == o.ID+".cost" })
	return p.price(o)
}

func quantiles(s *serving, of func(*replay.Result) *replay.Histogram) *Quantiles {
	times := func(r *replay.Result) *Times {
		if r == nil {
			return nil
		}
		h := of(r)
		return &Times{P50: int64(h.Quantile(500)), P95: int64(h.Quantile(950)), P99: int64(h.Quantile(990))}
	}
	t := times(s.result)
	return &Quantiles{P50: t.P50, P95: t.P95, P99: t.P99, Slower: times(s.slower), Faster: times(s.faster), Method: Replayed}
}

// guessed says why no latencies are told of engines of one's own: the replay has left where their coefficients were measured. "" where it has not, or
// where that is not known.
func guessed(s *serving) string {
	r, m := s.result, &s.Profile.Measured
	if share := r.Long * 1000 / max(r.First.Count(), 1); share >= fewLong {
		return fmt.Sprintf("%s %% of the calls have prompts longer than the %s tokens that the coefficients of %s were measured with: measure longer ones (forebay calibrate --prompt)",
			Milli(share*100), Grouped(m.Prompt), s.Profile.Name)
	}
	up := r.Length * time.Duration(s.Engines)
	if s.Elastic != nil {
		up = r.Paid * time.Duration(max(s.Elastic.Group, 1))
	}
	if n := r.Busy.Seconds() / max(up.Seconds(), 1); m.Least > 1 && n < float64(m.Least) {
		return fmt.Sprintf("an engine has %.1f calls at once in the mean, and the coefficients of %s were measured with at least %d", n, s.Profile.Name, m.Least)
	}
	return ""
}
