package plan

import (
	"fmt"
	"time"

	"forebay/plan/replay"
)

// Caller is somebody who waits for an answer only so long.
type Caller struct {
	ID, Of string
	After  time.Duration
	// Instead is what to do where answers take longer.
	Instead string
}

// Callers are those whose limits are published: of AWS Lambda's quotas the 3 s default and the 900 s maximum of a function, SageMaker's 60 s of a
// real-time invocation, and botocore's default read time-out of 60 s.
func Callers() []Caller {
	return []Caller{
		{"lambda", "a Lambda function's default", 3 * time.Second, "raise the function's time-out, or call asynchronously and let another function take the answer"},
		{"lambda-max", "a Lambda function's maximum", 15 * time.Minute, "leave it to a queue or a workflow that waits, or to batch"},
		{"sagemaker", "a SageMaker invocation", time.Minute, "call the endpoint asynchronously (up to an hour), or stream"},
		{"sdk", "botocore's default read time-out", time.Minute, "stream, or raise it: Config(read_timeout=...)"},
	}
}

// Fit is whether a caller waits long enough for the answers of an option.
type Fit struct {
	ID    string `json:"id"` // of the option
	Of    string `json:"caller"`
	After int64  `json:"afterNanos"`
	// Late are the answers that take longer.
	Late PerMillion `json:"late"`
	Fits bool       `json:"fits"` // all but one in a hundred come in time
	Says string     `json:"says"`
}

// Instead is what is best for those who call without waiting.
type Instead struct {
	ID   string `json:"id"` // of the option
	Name string `json:"name"`
	Cost int64  `json:"cost"`
	Says string `json:"says"`
}

// mayBeLate is the share of answers, of a million, that may come after the deadline.
const mayBeLate = million / 100

// lateOf is the share of the answers that somebody waits for that take longer.
func lateOf(r *replay.Result, after time.Duration) int64 {
	if n := r.Whole.Count(); n > 0 {
		return r.Whole.Above(after) * million / n
	}
	return 0
}

// meetsDeadline rules out what answers too late.
func (p *planner) meetsDeadline(o *offer) error {
	if p.q.Deadline == 0 {
		return nil
	}
	if o.Whole == nil {
		p.warn("whether what runs at a cloud answers within %v (%s) is not known: no latencies are published", p.q.Deadline, p.q.DeadlineOf)
		return nil
	}
	if late := lateOf(o.serving.result, p.q.Deadline); late > mayBeLate {
		o.State, o.late = Impossible, true
		o.Why = fmt.Sprintf("%s %% of the answers take longer than %v, which the caller (%s) waits, one in a hundred longer than %v: stream, call asynchronously, or use batch",
			Milli(late/10), p.q.Deadline, p.q.DeadlineOf, time.Duration(o.Whole.P99).Round(time.Millisecond))
	}
	return nil
}

// deadlines says who can wait for the answers, and what is best for those who need not.
func (p *planner) deadlines() {
	p.callers()
	if p.q.Deadline == 0 {
		return
	}
	p.pace()
	var best *offer
	late := false
	for _, o := range p.offers {
		if o.model != p.q.Model || o.Rules != "" || o.Cost == nil || o.State != Possible && !o.late {
			continue
		}
		late = late || o.late
		if best == nil || o.Cost.Mid < best.Cost.Mid {
			best = o
		}
	}
	if !late {
		return
	}
	x := &Instead{ID: best.ID, Name: best.Name, Cost: best.Cost.Mid}
	x.Says = fmt.Sprintf("for callers who do not wait, asynchronously through a queue whose worker does: %s, %s %s", best.Name, Amount(best.Cost.Mid), p.a.Currency)
	if _, ok := p.rates(p.q.Model); ok {
		all := p.value(p.q.Model, &p.demand.Total) * float64(p.q.Days) / p.demand.days()
		if f := p.q.Model.Price.BatchPermille; f > 0 {
			x.Says += "; batch for all calls, within a day, costs " + Amount(whole(all*float64(f)/1000))
		}
	}
	p.a.Instead = x
}

// callers holds the answers of the best option whose latency is known against those who may wait for them.
func (p *planner) callers() {
	for _, o := range p.offers {
		if o.Whole == nil || o.model != p.q.Model || o.State != Possible && !o.late {
			continue
		}
		for _, c := range Callers() {
			f := Fit{ID: o.ID, Of: c.Of, After: int64(c.After), Late: PerMillion{lateOf(o.serving.result, c.After), Replayed}}
			f.Fits = f.Late.Share <= mayBeLate
			f.Says = fmt.Sprintf("%s waits %v: %s %% of the answers of %s take longer", c.Of, c.After, Milli(f.Late.Share/10), o.Name)
			if !f.Fits {
				f.Says += "; " + c.Instead
			}
			p.a.Callers = append(p.a.Callers, f)
		}
		return
	}
}

// pace says how quick a service must be whose speed is not known.
func (p *planner) pace() {
	out := p.mix().Output
	perSecond := float64(out) / p.q.Deadline.Seconds()
	p.a.Bounds = append(p.a.Bounds, Bound{
		Missing: "latencies on demand",
		Says: fmt.Sprintf("a mean answer of %s tokens within %v takes more than %s tokens a second, first token included: measure the service, and where it is slower stream, call asynchronously, or use batch",
			Grouped(out), p.q.Deadline, Milli(whole(1000*perSecond))),
	})
}
