package dispatch

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"forebay/capacity"
	"forebay/infer"
	"forebay/meter"
)

// Recorder is where rows go. Append returns when the row is durable.
type Recorder interface {
	Append(ctx context.Context, rec *meter.Record) error
	// Healthy returns nil while rows can be written; else the fault with which calls are refused.
	Healthy() error
}

// Options are what a Dispatcher is made with.
type Options struct {
	Recorder Recorder
	Log      *slog.Logger
	Metrics  Metrics
	// Recording is where the scheduler's events go; the zero value is nowhere.
	Recording Recording
	// Want is called with the number of engines that the rules of a model want, when that changes. It must not wait, nor call the Dispatcher.
	Want func(model string, n int32)
}

// Dispatcher is the live scheduler. It is safe for concurrent use.
type Dispatcher struct {
	opts   Options
	origin time.Time
	wall   func() time.Time // time.Now, but for tests that set the clock
	world  atomic.Pointer[world]
	ctx    context.Context //nolint:containedctx // the life of the component, for work that outlives a call
	stop   context.CancelFunc

	mu       sync.Mutex
	state    *capacity.State
	actions  []capacity.Action
	calls    map[capacity.CallID]*call
	nextCall capacity.CallID
	ids      ids
	fresh    map[limitKey]bool // limits that the last Configure put in force
	timer    *time.Timer
	armed    capacity.Instant // when the timer fires; 0 when it does not run
	cal      calendars
	elastic  map[capacity.PoolID]string // models whose engines come and go
	rec      *recorder                  // nil if nothing is recorded
}

// New returns a dispatcher that serves nothing until Configure.
func New(opts Options) *Dispatcher {
	d := &Dispatcher{
		opts:   opts,
		origin: time.Now(),
		wall:   time.Now,
		state:  capacity.New(),
		calls:  make(map[capacity.CallID]*call),
		ids:    newIDs(),
		cal:    newCalendars(),
	}
	d.ctx, d.stop = context.WithCancel(context.Background())
	if opts.Recording.Dir != "" {
		d.rec = newRecorder(opts.Recording, opts.Log)
	}
	d.world.Store(&world{})
	return d
}

// InFlight returns the number of calls that wait or run.
func (d *Dispatcher) InFlight() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.calls)
}

// Infer answers one call; it is an infer.Handler. The response's last event is
// returned only when the call's ledger row is durable.
func (d *Dispatcher) Infer(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	c := d.take(req)
	if err := d.opts.Recorder.Healthy(); err != nil {
		d.Refuse(ctx, req, err, 0)
		return nil, err
	}
	if err := d.arrive(c); err != nil {
		return nil, c.refused(ctx, err)
	}
	resp, err := c.run(ctx)
	if err != nil {
		return nil, c.refused(ctx, err)
	}
	return resp, nil
}

// take begins a call. Its times count from its arrival at the front door.
func (d *Dispatcher) take(req *infer.Request) *call {
	now := time.Now()
	c := &call{d: d, req: req, start: req.Arrived, entered: now}
	if c.start.IsZero() {
		c.start = now
	}
	return c
}

// now is the monotonic instant. It is read under the mutex, so that instants never run backwards.
func (d *Dispatcher) now() capacity.Instant { return capacity.Instant(time.Since(d.origin)) }

// step feeds one event and delivers the actions. The mutex must be held.
func (d *Dispatcher) step(ev *capacity.Event) {
	now := d.now()
	d.actions = d.state.Step(now, *ev, d.actions[:0])
	if d.rec != nil && d.rec.on {
		d.recorded(now, ev)
	}
	for i := range d.actions {
		d.deliver(&d.actions[i])
	}
	d.arm(now)
}

// send is step with the mutex taken.
func (d *Dispatcher) send(ev *capacity.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.step(ev)
}

// deliver puts an action into the mailbox of the call it names. A terminal action is the
// last one, so the call is forgotten.
func (d *Dispatcher) deliver(a *capacity.Action) {
	if a.Kind == capacity.ActionWantReplicas {
		if model, ok := d.elastic[a.Pool]; ok && d.opts.Want != nil {
			d.opts.Want(model, a.N)
		}
		return
	}
	c := d.calls[a.Call]
	if c == nil {
		return
	}
	if a.Kind.Terminal() {
		delete(d.calls, a.Call)
	}
	if a.Kind == capacity.ActionPreempt {
		c.preempt(a.Reason)
		return
	}
	c.box.put(*a)
}

// arm sets the timer to the scheduler's next wake. A timer that fires too early does no
// harm, so it is only ever moved forward. The mutex must be held.
func (d *Dispatcher) arm(now capacity.Instant) {
	at, ok := d.state.NextWake()
	if next, some := d.cal.next(); some && (!ok || next < at) {
		at, ok = next, true
	}
	if !ok || d.armed != 0 && d.armed <= at {
		return
	}
	d.armed = at
	wait := max(time.Duration(at-now), time.Microsecond)
	if d.timer == nil {
		d.timer = time.AfterFunc(wait, d.tick)
		return
	}
	d.timer.Reset(wait)
}

func (d *Dispatcher) tick() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() != nil {
		return
	}
	d.armed = 0
	d.rollCalendars()
	d.step(&capacity.Event{Kind: capacity.EventTick})
}

var arrivals = sync.Pool{New: func() any { return new(capacity.Event) }}

// arrive takes a call to the scheduler.
func (d *Dispatcher) arrive(c *call) error {
	ev := arrivals.Get().(*capacity.Event) // the pool's own
	defer func() {
		*ev = capacity.Event{}
		arrivals.Put(ev)
	}()
	if err := c.prepare(ev); err != nil {
		return err
	}
	d.offer(c, ev)
	return nil
}

// offer registers the call and lets it arrive.
func (d *Dispatcher) offer(c *call, ev *capacity.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nextCall++
	c.id = d.nextCall
	d.calls[c.id] = c
	ev.Call = c.id
	d.step(ev)
}
