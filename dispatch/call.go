package dispatch

import (
	"context"
	"errors"
	"time"

	"forebay/capacity"
	"forebay/fault"
	"forebay/infer"
	"forebay/meter"
)

// call is one request on its way. Its goroutine owns it; deliver touches only box and
// the attempt's cancel function, under the Dispatcher's mutex.
type call struct {
	d   *Dispatcher
	req *infer.Request
	id  capacity.CallID

	lanes   []callLane // as the scheduler knows them
	single  [1]callLane
	lane    int            // of these, in which the call is
	model   *servedModel   // that serves in it
	charged *meter.Tariffs // by whose price
	asked   demand
	limits  []limit // of all lanes

	start    time.Time // of the call, at the front door
	entered  time.Time // at the scheduler's
	admitted time.Time
	first    time.Time
	box      mailbox

	action  capacity.Action // the Admit under which it runs
	replica *replica
	// servedTier is the tier at which the engine says it answered.
	servedTier infer.Tier
	attempts   []meter.Attempt
	failures   int                // attempts that failed by themselves
	stale      bool               // the last of them met the end of a kept connection
	left       []departure        // the lanes that it has left
	ready      int                // the number of the lane for which the request is made, from 1; 0 for none
	recalled   bool               // preempted; guarded by the Dispatcher's mutex
	cancel     context.CancelFunc // of the attempt; guarded by the Dispatcher's mutex
	used       infer.Usage        // by an attempt that showed nothing
	explained  []byte

	waiting time.Time          // since when the call waits for admission, where it is traced
	traced  infer.TraceAttempt // the attempt under way, where it is traced
}

// estimateInput returns the input tokens to hold for the call.
func (c *call) estimateInput() int64 {
	f := &c.req.Facts
	return c.model.ratio.estimate(f.TextBytes, f.MediaUnits)
}

func unbound(model string) *fault.Error {
	return fault.New(fault.UnknownModel, "The provided model identifier is invalid.").
		WithReason("model %q is in the catalogue but bound to no engine; add models.%s.engines to the configuration", model, model)
}

// demand is what a call asks of its limits. The Arrive event itself is gone when the scheduler has seen it: a stream would
// hold it to its end.
type demand struct {
	input, maxOutput int64
	n                int64
}

// prepare finds the model and builds the Arrive event. Its errors are refusals that no
// scheduler need see.
func (c *call) prepare(ev *capacity.Event) error {
	w := c.d.world.Load()
	if err := c.lanesOf(w); err != nil {
		return err
	}
	c.stand(w, 0)
	f := &c.req.Facts
	c.asked = demand{input: c.estimateInput(), maxOutput: c.maxOutput(), n: min(max(f.N, 1), 1<<20)}
	ev.Kind = capacity.EventArrive
	ev.Tier = schedTier(c.req.Tier)
	ev.Account = w.accountID(c.req.Caller.Account)
	ev.Principal = w.principalID(c.req.Caller)
	ev.Input, ev.MaxOutput, ev.N = c.asked.input, c.asked.maxOutput, int32(c.asked.n)
	ev.Prefix = f.PrefixHash
	ev.Preemptible = !c.req.Stream && (c.req.Tier == infer.TierFlex || c.req.Tier == infer.TierBatch)
	if !c.req.Deadline.IsZero() {
		ev.Deadline = capacity.Instant(c.req.Deadline.Sub(c.d.origin))
	}
	if err := c.offerTo(w, ev); err != nil {
		return err
	}
	c.stand(w, 0)
	return nil
}

// maxOutput is the bound on output that is held: the caller's, but never more than the
// model can produce; 0 leaves it to the model's maximum. Embeddings produce no tokens.
func (c *call) maxOutput() int64 {
	if c.req.Task == infer.TaskEmbed {
		return 0
	}
	n := c.req.Facts.MaxTokens
	most := int64(0)
	for i := range c.lanes {
		m := c.lanes[i].model.maxOutput
		if m == 0 {
			return n
		}
		most = max(most, m)
	}
	return min(n, most)
}

// schedTier maps the tiers of the wire, whose zero value is the default tier, to those of
// the scheduler, which are in order of service.
func schedTier(t infer.Tier) capacity.Tier {
	switch t {
	case infer.TierPriority:
		return capacity.TierPriority
	case infer.TierFlex:
		return capacity.TierFlex
	case infer.TierReserved:
		return capacity.TierReserved
	case infer.TierBatch:
		return capacity.TierBatch
	default:
		return capacity.TierDefault
	}
}

// run waits for admission and makes attempts until one has answered or none is left. When it
// returns an error the call has ended in the scheduler.
func (c *call) run(ctx context.Context) (*infer.Response, error) {
	for {
		a, err := c.wait(ctx)
		if err != nil {
			c.abandon()
			return nil, canceled(err)
		}
		switch a.Kind {
		case capacity.ActionSpill:
			c.spill(&a)
		case capacity.ActionAdmit:
			c.admit(a)
			if ctx.Err() != nil { // the client left as its turn came, and no engine hears of the call
				c.settle(infer.Usage{}, 0)
				return nil, canceled(context.Cause(ctx))
			}
			resp, again, err := c.attempt(ctx, a)
			if err == nil {
				return resp, nil
			}
			if !again {
				return nil, err
			}
		case capacity.ActionReject:
			return nil, c.rejection(&a)
		case capacity.ActionExpired:
			return nil, fault.New(fault.Overloaded, "").WithReason("the call waited until its deadline passed")
		default:
			return nil, fault.Newf(fault.Internal, "unexpected action %s", a.Kind)
		}
	}
}

// wait waits for the scheduler's next word.
func (c *call) wait(ctx context.Context) (capacity.Action, error) {
	if c.req.Trace == nil {
		return c.box.get(ctx)
	}
	if c.waiting.IsZero() {
		c.waiting = time.Now()
	}
	a, err := c.box.get(ctx)
	outcome := err
	switch {
	case err != nil:
		outcome = canceled(err)
	case a.Kind == capacity.ActionSpill:
		return a, nil // it goes on waiting
	case a.Kind == capacity.ActionReject:
		outcome = c.rejectionKind(&a)
	case a.Kind != capacity.ActionAdmit:
		outcome = fault.New(fault.Overloaded, "")
	}
	c.req.Trace.Waited(c.waiting, outcome)
	c.waiting = time.Time{}
	return a, err
}

// admit takes note of the call's admission.
func (c *call) admit(a capacity.Action) {
	c.action = a
	if c.admitted.IsZero() {
		c.admitted = time.Now()
	}
}

// attempt sends the call to the replica of a. When it fails, again says whether the call
// is queued for another attempt; if not, it has been settled.
func (c *call) attempt(ctx context.Context, a capacity.Action) (resp *infer.Response, again bool, err error) {
	if err := c.enter(); err != nil {
		return nil, c.giveUp(err), err
	}
	c.replica = c.d.world.Load().replicas[a.Replica]
	if c.replica == nil {
		err = fault.New(fault.Unavailable, "").WithReason("the engine was removed from the configuration while the call waited")
		return nil, c.queueAgain(ctx) || c.giveUp(nil), err
	}
	began := time.Now()
	actx, cancel := context.WithCancel(ctx)
	if !c.hold(cancel) {
		cancel()
		return nil, true, errRecalled
	}
	c.req.UpstreamModel, c.req.Timeouts = c.replica.upstream, c.req.Within.Over(c.model.timeouts)
	if c.req.Trace != nil {
		c.traced, c.req.Propagate = c.req.Trace.Attempt(c.replica.name, c.replica.engine.Provider, c.req)
	}
	resp, err = c.infer(actx)
	var ev *infer.Event
	if err == nil {
		if ev, err = resp.Next(); err != nil {
			_ = resp.Close()
		}
	}
	if err != nil {
		cancel()
		if ctx.Err() != nil {
			err = canceled(context.Cause(ctx))
		}
		c.attempted(began, infer.Usage{}, err)
		return nil, c.recover(ctx, err) || c.giveUp(err), err
	}
	c.first = time.Now()
	if c.req.Stream && c.req.Sent != nil {
		c.req.Sent() // there is no retry behind the first event
		c.req.Body, c.req.Chat, c.req.Embed, c.req.Decode = nil, nil, nil, nil
	}
	s := &stream{c: c, resp: resp, first: ev, cancel: cancel, began: began, next: c.first.Add(progressEvery)}
	head := resp.Head
	c.servedTier = head.Tier
	head.Replica = c.replica.name
	head.Tier = c.tier()
	c.tell(&head)
	head.Simulated = head.Simulated || c.replica.simulated
	return infer.NewResponse(head, s), false, nil
}

// infer sends the call to the engine, decoded if that does not speak the call's dialect.
func (c *call) infer(ctx context.Context) (*infer.Response, error) {
	client, req := c.replica.client, c.req
	if req.Chat == nil && req.Embed == nil && req.Decode != nil && !client.Speaks(req.Dialect) {
		if err := req.Decode(); err != nil {
			return nil, err
		}
	}
	return client.Infer(ctx, req)
}

var errRecalled = errors.New("recalled before the attempt began")

// hold makes the attempt cancellable by a recall. False: it was recalled already, and
// is queued again.
func (c *call) hold(cancel context.CancelFunc) bool {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	if c.freedIfRecalled() {
		return false
	}
	c.cancel = cancel
	return true
}

// preempt stops the attempt. The Dispatcher's mutex is held.
func (c *call) preempt(reason capacity.Reason) {
	c.recalled = reason == capacity.ReasonRecall
	if c.cancel != nil {
		c.cancel()
	}
}

// recover decides what follows a failed attempt, and reports whether the call is queued again.
func (c *call) recover(ctx context.Context, err error) bool {
	c.d.mu.Lock()
	c.cancel = nil
	recalled := c.freedIfRecalled()
	c.d.mu.Unlock()
	if recalled {
		c.lose(&c.attempts[len(c.attempts)-1])
		return true
	}
	c.failures++
	c.stale = stale(err)
	if blames(err) && ctx.Err() == nil {
		c.d.replicaFailed(c.replica, err)
	}
	again := retryable(err) || c.elsewhere() && hung(err) || c.mayFailOver() && failsOver(err)
	if ctx.Err() != nil || !again || c.failures >= maxAttempts {
		return false
	}
	return c.queueAgain(ctx)
}

// freedIfRecalled queues the call again if it was recalled. The Dispatcher's mutex is held.
func (c *call) freedIfRecalled() bool {
	if !c.recalled {
		return false
	}
	c.recalled = false
	c.d.step(&capacity.Event{Kind: capacity.EventFreed, Call: c.id})
	return true
}

// elsewhere reports whether another replica than the one that failed may answer the call.
func (c *call) elsewhere() bool { return len(c.model.replicas) > 1 || c.mayFailOver() }

// queueAgain sends the Retry event after a pause. It reports false when the client left meanwhile.
func (c *call) queueAgain(ctx context.Context) bool {
	elsewhere := c.elsewhere() && !c.stale
	if pause := backoff(c.failures, elsewhere); pause > 0 && !c.stale {
		c.d.mu.Lock()
		recalled := c.freedIfRecalled() // since the attempt failed
		if !recalled {
			c.d.step(&capacity.Event{Kind: capacity.EventFreed, Call: c.id})
		}
		c.d.mu.Unlock()
		if recalled {
			return true
		}
		t := time.NewTimer(pause)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return false
		}
	}
	ev := capacity.Event{Kind: capacity.EventRetry, Call: c.id, Unread: c.stale}
	if elsewhere {
		ev.Replica = c.action.Replica
	}
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.recalled = false // the slot goes back with the event
	c.d.step(&ev)
	return true
}

// giveUp ends a call in the scheduler whose attempt failed with err and is not made again. It reports false.
func (c *call) giveUp(err error) bool {
	if fault.KindOf(err) == fault.Canceled { // the engine has read the prompt; what it had produced nobody has told
		c.used = infer.Usage{Input: c.asked.input, Estimated: true}
	}
	charge := c.price(c.used)
	c.settle(c.used, c.spent(&charge))
	return false
}

// abandon ends a call whose client left while it waited.
func (c *call) abandon() {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	for {
		a, ok, _ := c.box.take()
		switch {
		case !ok:
			c.d.step(&capacity.Event{Kind: capacity.EventCancel, Call: c.id})
			return
		case a.Kind == capacity.ActionAdmit:
			c.admit(a)
			c.d.step(&capacity.Event{Kind: capacity.EventSettle, Call: c.id})
			return
		case a.Kind.Terminal():
			return
		}
	}
}

// settle ends the call in the scheduler with what was used.
func (c *call) settle(u infer.Usage, nano int64) {
	c.d.send(&capacity.Event{
		Kind: capacity.EventSettle, Call: c.id,
		Input: u.Input, CacheRead: u.CacheRead, CacheWrite: u.CacheWrite, Output: u.Output, Money: nano,
	})
}

func canceled(cause error) error {
	if errors.Is(cause, context.DeadlineExceeded) {
		return fault.Wrap(fault.Timeout, cause, "")
	}
	return fault.Wrap(fault.Canceled, cause, "")
}
