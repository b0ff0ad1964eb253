package dispatch

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"forebay/capacity"
	"forebay/fault"
	"forebay/identity"
	"forebay/infer"
)

// scopeKind says whose limit it is.
type scopeKind uint8

const (
	scopeAccount scopeKind = iota
	scopeTeam
	scopeKey
	scopeModel       // an account's quota for one model
	scopeUpstream    // what the owner of an engine lets us have of a model
	scopeLane        // what may spill into a lane of a route
	scopeReservation // what was bought
	scopePart        // what a team has of it
)

var scopeNames = [...]string{"account", "team", "key", "model", "engine", "what spills into lane", "the purchase", "the part of team"}

// scopeRef names one holder of limits.
type scopeRef struct {
	kind    scopeKind
	account string
	id      string // the team's, key's or model's id; the account's own for scopeAccount; "ROUTE, LANE"; "ENGINE for MODEL"; a purchase's id; "TEAM of PURCHASE"
}

func (s scopeRef) String() string { return scopeNames[s.kind] + " " + s.id }

// limit is one bucket or counter that applies to a scope. Exactly one of the two ids is set.
type limit struct {
	scope    scopeRef
	name     string // "requests/min", "tokens/min", "tokens/day", "spend/day", "spend/month", "concurrent calls"
	value    int64
	currency string
	bucket   capacity.BucketID
	counter  capacity.CounterID
	calendar capacity.CalendarID // of the counter
}

const (
	limitRPM   = "requests/min"
	limitTPM   = "tokens/min"
	limitTPD   = "tokens/day"
	limitDay   = "spend/day"
	limitMonth = "spend/month"
	// limitCalls bounds calls from their arrival to their end.
	limitCalls = "concurrent calls"
)

// limitKey is what a handle is remembered by, so that a bucket keeps its fill over
// changes of the configuration for as long as its limit is in force.
type limitKey struct {
	scope scopeRef
	name  string
}

// build registers the limits of one scope and returns them.
func (b *builder) scopeLimits(scope scopeRef, l identity.Limits, zone string) []limit {
	var out []limit
	bucket := func(name string, m capacity.Measure, rate int64) {
		if rate <= 0 {
			return
		}
		id := b.bucket(limitKey{scope, name})
		b.cfg.Buckets = append(b.cfg.Buckets, capacity.Bucket{ID: id, Measure: m, Rate: rate})
		out = append(out, limit{scope: scope, name: name, value: rate, bucket: id})
	}
	counter := func(name string, m capacity.Measure, period string, value int64, currency string) {
		if value <= 0 {
			return
		}
		cal := b.calendar(zone, period)
		id := b.counter(limitKey{scope, name}, cal, currency)
		b.cfg.Counters = append(b.cfg.Counters, capacity.Counter{ID: id, Measure: m, Calendar: cal, Limit: value})
		out = append(out, limit{scope: scope, name: name, value: value, currency: currency, counter: id, calendar: cal})
	}
	bucket(limitRPM, capacity.MeasureRequests, l.RequestsPerMinute)
	bucket(limitTPM, capacity.MeasureTokens, l.TokensPerMinute)
	counter(limitTPD, capacity.MeasureTokens, PeriodDay, l.TokensPerDay, "")
	if l.ConcurrentCalls > 0 {
		id := b.counter(limitKey{scope, limitCalls}, 0, "")
		b.cfg.Counters = append(b.cfg.Counters, capacity.Counter{ID: id, Measure: capacity.MeasureConcurrent, Limit: l.ConcurrentCalls})
		out = append(out, limit{scope: scope, name: limitCalls, value: l.ConcurrentCalls, counter: id})
	}
	counter(limitDay, capacity.MeasureMoney, PeriodDay, l.SpendPerDay, l.Currency)
	counter(limitMonth, capacity.MeasureMoney, PeriodMonth, l.SpendPerMonth, l.Currency)
	return out
}

// callerLimits lists the limits of a caller's key, team and account, which apply in every lane.
func (w *world) callerLimits(c *infer.Caller) []limit {
	key := w.scopes[scopeRef{scopeKey, c.Account, c.Key}]
	account := w.scopes[scopeRef{scopeAccount, c.Account, c.Account}]
	if c.Team == "" {
		return joined(key, account)
	}
	return joined(joined(key, w.scopes[scopeRef{scopeTeam, c.Account, c.Team}]), account)
}

// joined returns both lists in one. Nobody changes what it returns.
func joined(a, b []limit) []limit {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	out := make([]limit, 0, len(a)+len(b))
	return append(append(out, a...), b...)
}

// list adds limits to those of the Arrive event, and to the masks of a lane.
func (c *call) list(ev *capacity.Event, limits []limit, in *capacity.Lane) error {
	for i := range limits {
		l := &limits[i]
		var at int
		mask := &in.Buckets
		if l.bucket != 0 {
			at = place(ev.Buckets[:], &ev.NumBuckets, l.bucket)
		} else {
			at, mask = place(ev.Counters[:], &ev.NumCounters, l.counter), &in.Counters
		}
		if at < 0 {
			return fault.New(fault.Internal, "").WithReason("more limits apply to the call than it can hold")
		}
		*mask |= 1 << at
	}
	return nil
}

// place returns where id is among the first n of a list, to which it is added if it is new; -1 when there is no room.
func place[T comparable](list []T, n *uint8, id T) int {
	if at := slices.Index(list[:*n], id); at >= 0 {
		return at
	}
	if int(*n) == len(list) {
		return -1
	}
	list[*n] = id
	*n++
	return int(*n) - 1
}

// rejection turns the scheduler's refusal into a fault that explains itself.
func (c *call) rejection(a *capacity.Action) error {
	c.explain()
	return c.refusal(a)
}

// refusal is rejection without an account of it.
func (c *call) refusal(a *capacity.Action) error {
	if l := c.limitOf(a); l != nil && l.scope.kind == scopeLane && len(c.left) > 0 {
		return c.spentBudget(l)
	}
	e := new(*c.rejectionKind(a)) // which may be an attempt's
	e.RetryAfter, e.RetryEstimated = a.RetryAfter, a.Estimated
	if len(c.left) > 0 {
		e.Reason = fmt.Sprintf("left %s; in lane %s: %s", c.spilled(), c.lanes[c.lane].name, cmp.Or(e.Reason, e.Message, e.Kind.String()))
	}
	return e
}

// spentBudget is the refusal of a call that the budget of its route keeps in the lane before: that has no room for it.
func (c *call) spentBudget(l *limit) error {
	d := &c.left[len(c.left)-1]
	e := fault.New(fault.Throttled, "Too many requests, please wait before trying again.")
	if d.why != whyOverRate {
		e = fault.New(fault.Overloaded, "")
	}
	e.RetryAfter, e.RetryEstimated = d.wait, d.guess
	return e.WithReason("left %s, and the call might cost more than what is left of the budget of %s a %s for what goes on from there",
		d, money(l.value, l.currency), strings.TrimPrefix(l.name, "spend/"))
}

// overtaken is the refusal of a call for which the configuration has changed between its arrival and its turn: what
// it was to use has been taken away.
func (c *call) overtaken() *fault.Error {
	if w := c.d.world.Load(); w.models[c.req.Model] == nil {
		return unbound(c.req.Model)
	}
	return overtaken()
}

func overtaken() *fault.Error {
	e := fault.New(fault.Unavailable, "")
	e.Reason = "the configuration changed while the call was on its way; try again"
	return e
}

func (c *call) rejectionKind(a *capacity.Action) *fault.Error {
	l := c.limitOf(a)
	switch a.Reason {
	case capacity.ReasonBucket, capacity.ReasonReservation, capacity.ReasonShareEnded, capacity.ReasonZeroLimit:
		if l == nil || l.name == limitTPM || l.scope.kind == scopeReservation || l.scope.kind == scopePart {
			e := fault.New(fault.Throttled, "Too many tokens, please wait before trying again.")
			e.Code = "tokens"
			return withLimit(e, l)
		}
		if l.bucket == 0 {
			return counterRefused(l)
		}
		e := fault.New(fault.Throttled, "Too many requests, please wait before trying again.")
		e.Code = "requests"
		return withLimit(e, l)
	case capacity.ReasonCounter:
		return counterRefused(l)
	case capacity.ReasonConcurrent:
		e := fault.New(fault.Throttled, "Too many requests, please wait before trying again.")
		e.Code = "requests"
		return withLimit(e, l)
	case capacity.ReasonOverDepth:
		return overDepth(l, c)
	case capacity.ReasonQueueFull, capacity.ReasonWaited, capacity.ReasonDeadline, capacity.ReasonLatency, capacity.ReasonMemory:
		e := fault.New(fault.Overloaded, "")
		e.Reason = "the queue of the model's engines refused the call: " + a.Reason.String()
		return e
	case capacity.ReasonStarting:
		e := fault.New(fault.NotReady, "")
		e.Reason = "the model's engines are starting, which takes longer than the call may wait"
		return e
	case capacity.ReasonSoldOut:
		e := fault.New(fault.Overloaded, "")
		e.Reason = "every slot of the model's engines backs purchases, and none is left for work on demand; call what was bought, or add engines"
		return e
	case capacity.ReasonNoReplica, capacity.ReasonReplicasFailed, capacity.ReasonRetryBudget:
		if n := len(c.attempts); n > 0 && c.attempts[n-1].Err != nil {
			return fault.From(c.attempts[n-1].Err)
		}
		e := fault.New(fault.Unavailable, "")
		e.Reason = "no engine that serves the model is up; see `forebay doctor`"
		return e
	case capacity.ReasonUnknown:
		return c.overtaken()
	default:
		return fault.Newf(fault.Internal, "refused: %s", a.Reason)
	}
}

func (c *call) limitOf(a *capacity.Action) *limit {
	for i := range c.limits {
		l := &c.limits[i]
		if a.Bucket != 0 && l.bucket == a.Bucket || a.Counter != 0 && l.counter == a.Counter {
			return l
		}
	}
	return nil
}

func withLimit(e *fault.Error, l *limit) *fault.Error {
	if l != nil {
		e.Reason = fmt.Sprintf("the limit of %d %s of %s is used up", l.value, l.name, l.scope)
	}
	return e
}

func counterRefused(l *limit) *fault.Error {
	if l != nil && l.name == limitTPD {
		e := fault.New(fault.BudgetExceeded, "Too many tokens per day, please wait before trying again.")
		e.Code = "tokens_per_day"
		return withLimit(e, l)
	}
	e := fault.New(fault.BudgetExceeded, "The spend limit is used up.")
	e.Code = "budget"
	if l != nil {
		e.Reason = fmt.Sprintf("the call might cost more than what is left of the %s limit of %s (%s)",
			l.name, l.scope, money(l.value, l.currency))
	}
	return e
}

// overDepth is a call that can never pass: its input is at fault, not its timing.
func overDepth(l *limit, c *call) *fault.Error {
	if l == nil {
		return fault.New(fault.Invalid, "The request holds more tokens than its quota allows.")
	}
	if l.currency != "" {
		return counterRefused(l)
	}
	return fault.Newf(fault.Invalid,
		"The request may use %d tokens (estimated input %d plus the maximum output), more than the limit of %d %s of %s allows at once. Lower max_tokens.",
		c.heldTokens(), c.asked.input, l.value, l.name, l.scope)
}

// heldTokens is what a token bucket holds for the call.
func (c *call) heldTokens() int64 {
	out := c.asked.maxOutput
	if out == 0 {
		out = c.model.maxOutput
	}
	return c.asked.input + max(c.asked.n, 1)*out
}
