package replay

import (
	"context"
	"fmt"
	"iter"
	"time"

	"forebay/capacity"
	"forebay/internal/minheap"
	"forebay/plan/clouds"
	"forebay/workload"
)

// RunRule replays the requests, in order of time, under the rule by which another cloud admits calls to what was bought of it. Of s it uses the start, the
// step of the profile, which is the time of a token, who may wait, how clients try again, and OnDemand: whether calls that the rule does not take go on
// demand, without a quota, or are refused. A client that is told when to try again does so then. Calls that may wait are served at their tiers.
func RunRule(ctx context.Context, traffic iter.Seq2[workload.Request, error], rule clouds.Rule, s Serving) (*Result, error) {
	r := &ruled{serving: s, rule: rule, result: &Result{Reasons: map[string]int64{}}}
	for q, err := range traffic {
		if err != nil {
			return nil, err
		}
		if r.result.Calls++; r.result.Calls%1024 == 0 && ctx.Err() != nil {
			return r.result, ctx.Err()
		}
		if q.At < s.Start {
			return nil, fmt.Errorf("replay: a call at %v, before the start at %v", q.At, s.Start)
		}
		now := q.At - s.Start
		r.result.Length = now
		for len(r.due) > 0 && r.due[0].at <= now {
			r.next()
		}
		r.arrive(now, &q)
	}
	for len(r.due) > 0 {
		r.next()
	}
	return r.result, nil
}

// ruled is a run of a rule under way.
type ruled struct {
	serving Serving
	rule    clouds.Rule
	result  *Result
	tier    tiers
	due     minheap.Heap[moment, *moment]
	order   uint64
}

// moment is when a call ends, or is offered again.
type moment struct {
	at    time.Duration
	order uint64
	ends  bool
	call  *taken
}

// Before orders moments by time, and those of one instant as they came about.
func (m *moment) Before(o *moment) bool { return m.at < o.at || m.at == o.at && m.order < o.order }

// taken is a call on its way.
type taken struct {
	clouds.Call
	input, output int64 // input less what is cached
	arrived       time.Duration
	tries         int
	answer        clouds.Answer
}

func (r *ruled) arrive(now time.Duration, q *workload.Request) {
	c := &taken{
		Call:  clouds.Call{Input: max(q.Input, 1), Cached: q.Cached, MaxOutput: q.MaxOutput},
		input: max(q.Input-q.Cached, 1), output: max(q.Output, 1), arrived: now,
	}
	r.result.OfferedInput += c.input
	r.result.OfferedOutput += c.output
	if r.tier.next(r.serving.Waiting) != capacity.TierDefault {
		r.result.LaterInput += c.input
		r.result.LaterOutput += c.output
		r.serve(c, now)
		r.result.Waited.Add(r.lasts(c))
		return
	}
	r.offer(now, c)
}

// lasts is how long a call takes.
func (r *ruled) lasts(c *taken) time.Duration {
	return time.Duration(c.output * (r.serving.Profile.Step / 1000)) // picoseconds
}

func (r *ruled) serve(c *taken, now time.Duration) {
	r.result.Served++
	r.result.Input += c.input
	r.result.Output += c.output
	if now > c.arrived {
		r.result.Late++
	}
}

// offer puts a call to the rule.
func (r *ruled) offer(now time.Duration, c *taken) {
	c.answer = r.rule.Take(now, c.Call, c.output)
	switch {
	case c.answer.Verdict == clouds.Admit:
		r.at(now+r.lasts(c), true, c)
	case r.serving.OnDemand:
		r.result.Spilled++
		r.serve(c, now)
		r.result.Whole.Add(now + r.lasts(c) - c.arrived)
	default:
		r.refuse(now, c)
	}
}

func (r *ruled) refuse(now time.Duration, c *taken) {
	r.result.Reasons["what was bought"]++
	c.tries++
	if c.tries >= r.serving.Retry.Attempts {
		r.result.Refused++
		return
	}
	r.result.Retries++
	wait := c.answer.RetryAfter
	if wait == 0 {
		wait = r.serving.Retry.wait(int64(c.arrived), c.tries)
	}
	r.at(now+wait, false, c)
}

func (r *ruled) at(at time.Duration, ends bool, c *taken) {
	r.order++
	r.due.Push(moment{at, r.order, ends, c})
}

// next carries out what is due first.
func (r *ruled) next() {
	m := r.due.Pop()
	if !m.ends {
		r.offer(m.at, m.call)
		return
	}
	c := m.call
	r.rule.Settle(m.at, c.answer, c.Call, c.output)
	began := m.at - r.lasts(c)
	r.serve(c, began)
	r.result.Busy += r.lasts(c)
	r.result.BoughtInput += c.input
	r.result.BoughtOutput += c.output
	r.result.Whole.Add(m.at - c.arrived)
}
