package dispatch

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"forebay/capacity"
	"forebay/fault"
	"forebay/infer"
	"forebay/meter"

	"github.com/go-json-experiment/json"
)

// Metrics takes what is measured of each call. Implementations must be safe for
// concurrent use and quick.
type Metrics interface {
	// Called is told of every call that ended, with its row.
	Called(rec *meter.Record)
}

func money(nano int64, currency string) string { return meter.FormatMoney(nano, currency) }

// holdMoney computes the most that the call can cost in a lane, where a budget applies to it. A
// budget in another currency than the price, or a price that is not known, cannot be
// held against each other, so the lane is closed to the call before it costs anything.
func (c *call) holdMoney(w *world, l *callLane, limits []limit) error {
	for i := range limits {
		x := &limits[i]
		if x.currency == "" {
			continue
		}
		most := infer.Usage{Input: c.asked.input, Output: c.asked.maxOutput}
		if most.Output == 0 {
			most.Output = l.model.maxOutput
		}
		most.Output *= max(c.asked.n, 1)
		lines := c.lines(w.chargedIn(l, c.req)[c.req.Tier], most)
		if !lines.Known || lines.Currency() != x.currency {
			e := fault.New(fault.BudgetExceeded, "The spend limit cannot be checked for this model.")
			e.Code = "budget"
			return e.WithReason("%s has a %s limit in %s and the price of %s at tier %s is not known in it; set one with `forebay models price`",
				x.scope, x.name, x.currency, cmp.Or(c.req.ModelCharged, l.model.name), c.req.Tier)
		}
		l.money = lines.Total()
	}
	return nil
}

// price returns what the caller is charged for a usage: at the price of the model that
// serves or, by rule, of the one that was asked for, at the call's tier.
func (c *call) price(u infer.Usage) meter.Lines {
	if c.purchase() != "" {
		return meter.Lines{Known: true} // its hours are paid for
	}
	return c.lines(c.charged[c.req.Tier], u)
}

// cost returns what a usage costs us: at the price of the engine that answered, at the tier
// at which it says it did.
func (c *call) cost(u infer.Usage) meter.Lines {
	if c.replica == nil {
		return meter.Lines{}
	}
	if c.purchase() != "" && c.lanes[c.lane].reserved.Costed {
		return meter.Lines{Known: true}
	}
	return c.lines(c.replica.cost[c.servedTier], u)
}

func (c *call) lines(t *meter.Tariff, u infer.Usage) meter.Lines {
	lines, err := t.Price(u)
	if err != nil {
		c.d.opts.Log.Error("price out of range", "request", c.req.ID, "model", t.Model)
	}
	return lines
}

// attempted remembers an attempt for the row.
func (c *call) attempted(began time.Time, u infer.Usage, err error) {
	if c.traced != nil {
		c.traced.End(u, c.first, err)
		c.traced = nil
	}
	a := meter.Attempt{Began: began.Sub(c.start), Took: time.Since(began), Err: err, Outcome: meter.OutcomeOK}
	if c.replica != nil {
		a.Engine = c.replica.name
	}
	if err != nil {
		a.Outcome = fault.KindOf(err).String()
	}
	if len(c.lanes) > 0 {
		a.Lane = c.lanes[c.lane].name
	}
	c.attempts = append(c.attempts, a)
}

// lose puts on an attempt that was recalled what was lost with it: the engine has read the prompt, or part of it, for nobody. The
// caller is not charged for it; that it costs us is known where the engine's price is.
func (c *call) lose(a *meter.Attempt) {
	a.Recalled, a.Input = true, c.asked.input
	a.Lost = c.lines(c.replica.cost[c.req.Tier], infer.Usage{Input: a.Input})
}

// explanation is the scheduler's account of a call, as it is stored.
type explanation struct {
	Reason     string         `json:"reason,omitempty"`
	Placed     string         `json:"placed,omitempty"`
	Ahead      int64          `json:"ahead,omitzero"`
	RetryMs    int64          `json:"retryAfterMs,omitzero"`
	Estimated  bool           `json:"retryEstimated,omitzero"`
	Limits     []limitExplain `json:"limits,omitempty"`
	Refused    string         `json:"refusedBy,omitempty"`
	Simulated  bool           `json:"simulated,omitzero"`
	UsageGuess bool           `json:"usageEstimated,omitzero"`
}

type limitExplain struct {
	Scope string `json:"scope"`
	Limit string `json:"limit"`
	Value int64  `json:"value"`
	Level int64  `json:"level"`
	Hold  int64  `json:"hold"`
}

// explain takes down why the scheduler refused the call, while it still knows.
func (c *call) explain() {
	c.d.mu.Lock()
	e, ok := c.d.state.Explain(c.id)
	c.d.mu.Unlock()
	if !ok {
		return
	}
	out := explanation{
		Reason: e.Reason.String(), Ahead: e.Ahead, RetryMs: e.RetryAfter.Milliseconds(), Estimated: e.Estimated,
	}
	limit := func(bucket capacity.BucketID, counter capacity.CounterID, level, hold int64) {
		x := limitExplain{Level: level, Hold: hold}
		if k := c.limitOf(&capacity.Action{Bucket: bucket, Counter: counter}); k != nil {
			x.Scope, x.Limit, x.Value = k.scope.String(), k.name, k.value
			if e.Bucket != 0 && e.Bucket == bucket || e.Counter != 0 && e.Counter == counter {
				out.Refused = fmt.Sprintf("%s %s", x.Scope, x.Limit)
			}
		}
		out.Limits = append(out.Limits, x)
	}
	for i := range e.Limits[:e.NumLimits] {
		l := &e.Limits[i]
		limit(l.Bucket, l.Counter, l.Fill, l.Hold)
	}
	for i := range e.Units[:e.NumUnits] { // of what was bought
		u := &e.Units[i]
		limit(u.Bucket, 0, u.Fill, u.Charged)
	}
	if b, err := json.Marshal(&out); err == nil {
		c.explained = b
	}
}

// statuses of failures on the ledger: what the HTTP status means, whatever API answered.
func statusOf(k fault.Kind) int {
	switch k {
	case fault.Throttled, fault.BudgetExceeded:
		return 429
	case fault.Invalid, fault.Malformed, fault.UnknownModel, fault.Unsupported:
		return 400
	case fault.MissingAuth, fault.IncompleteAuth, fault.UnknownKey:
		return 401
	case fault.Denied, fault.BadSignature, fault.Expired:
		return 403
	case fault.NotFound, fault.UnknownOperation:
		return 404
	case fault.Conflict:
		return 409
	case fault.TooLarge:
		return 413
	case fault.Timeout:
		return 504
	case fault.Overloaded, fault.Unavailable, fault.NotReady:
		return 503
	case fault.ModelFailed, fault.StreamFailed:
		return 424
	case fault.Canceled:
		return 499
	default:
		return 500
	}
}

func outcomeOf(err error) string {
	if err == nil {
		return meter.OutcomeOK
	}
	switch fault.KindOf(err) {
	case fault.Canceled:
		return meter.OutcomeCanceled
	case fault.ModelFailed, fault.StreamFailed, fault.Timeout, fault.Unavailable, fault.Internal, fault.NotReady:
		return meter.OutcomeFailed
	default:
		return meter.OutcomeRefused
	}
}

// refused writes the row of a call that was never answered, and returns err, or the
// ledger's own fault.
func (c *call) refused(ctx context.Context, err error) error {
	rec := c.row(err)
	if c.used != (infer.Usage{}) {
		c.fill(rec, c.used, c.price(c.used))
	}
	c.written(ctx, rec)
	return err
}

// written writes the row of a call that was not answered.
func (c *call) written(ctx context.Context, rec *meter.Record) {
	if err := c.d.append(ctx, rec); err != nil {
		c.d.opts.Log.ErrorContext(ctx, "a refused call is not on the ledger", "request", c.req.ID, "error", err.Error())
	}
}

// record writes the row of a call that was answered, in part or in full.
func (c *call) record(u infer.Usage, charge meter.Lines, outcome error) (*meter.Record, error) {
	rec := c.row(outcome)
	c.fill(rec, u, charge)
	rec.FirstToken = c.first.Sub(c.start)
	return rec, c.d.opts.Recorder.Append(context.Background(), rec)
}

// fill puts a usage and its money on a row.
func (c *call) fill(rec *meter.Record, u infer.Usage, charge meter.Lines) {
	rec.Input, rec.Output, rec.CacheRead, rec.CacheWrite, rec.UsageGuess = u.Input, u.Output, u.CacheRead, u.CacheWrite, u.Estimated
	rec.Charge, rec.Cost, rec.Spent = charge, c.cost(u), c.spent(&charge)
}

// spent is what a call takes from budgets: its charge, or where that is not known the most that it
// could be, which the call held.
func (c *call) spent(charge *meter.Lines) int64 {
	if !charge.Known {
		return c.heldMoney()
	}
	return charge.Total()
}

func (d *Dispatcher) append(ctx context.Context, rec *meter.Record) error {
	d.measured(rec)
	return d.opts.Recorder.Append(context.WithoutCancel(ctx), rec)
}

func (d *Dispatcher) measured(rec *meter.Record) {
	if d.opts.Metrics != nil {
		d.opts.Metrics.Called(rec)
	}
}

// row is what is known of every call.
func (c *call) row(outcome error) *meter.Record {
	r := c.req
	rec := &meter.Record{
		RequestID: r.ID, InvocationID: r.Caller.InvocationID, Attempt: r.Caller.Attempt, Account: r.Caller.Account, Team: r.Caller.Team,
		Key: r.Caller.Key, Tags: r.Caller.Tags, Task: r.Operated(), API: r.API, Operation: r.Operation, ModelAsked: r.ModelAsked, Model: r.Model,
		Region: r.RegionPrefix, Mode: c.mode(), Reservation: c.purchase(), TierAsked: cmp.Or(r.TierAsked, r.Tier.String()), Tier: c.tier().String(), Stream: r.Stream,
		Arrived: r.Arrived, Deadline: r.Deadline, Total: time.Since(c.start), MaxTokens: r.Facts.MaxTokens, Estimate: c.asked.input,
		Media: r.Facts.Media, Status: 200, Outcome: outcomeOf(outcome), Attempts: c.attempts, HeldMoney: c.heldMoney(), Explanation: c.explained,
	}
	if c.model != nil {
		rec.Model = c.model.name
	}
	if len(c.lanes) > 0 {
		l := &c.lanes[c.lane]
		rec.Route, rec.Lane, rec.LaneName, rec.Spill = r.Route, l.number, l.name, c.spilled()
	}
	if c.action.Kind == capacity.ActionAdmit {
		rec.Held = c.action.Held
		rec.Queue = c.admitted.Sub(c.entered)
	}
	if c.replica != nil {
		rec.Engine, rec.Simulated = c.replica.name, c.replica.simulated
	}
	if outcome != nil {
		k := fault.KindOf(outcome)
		rec.Reason, rec.Status = k.String(), statusOf(k)
	}
	return rec
}

// Refuse writes the row of a call that was refused before it reached the scheduler, with the
// HTTP status that was sent, 0 when none was. A call whose caller was not authenticated has
// no account, and is counted rather than written.
func (d *Dispatcher) Refuse(ctx context.Context, req *infer.Request, err error, status int) {
	c := d.take(req)
	rec := c.row(err)
	if rec.Outcome != meter.OutcomeCanceled {
		rec.Outcome = meter.OutcomeRefused
	}
	if status != 0 {
		rec.Status = status
	}
	c.written(ctx, rec)
}
