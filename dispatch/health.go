package dispatch

import (
	"context"
	"time"

	"forebay/capacity"
	"forebay/fault"

	"golang.org/x/sync/errgroup"
)

// probeTimeout bounds one health probe.
const probeTimeout = 5 * time.Second

// EngineHealth is what is known of one engine.
type EngineHealth struct {
	Name      string    `json:"name"`
	Up        bool      `json:"up"`
	Simulated bool      `json:"simulated"`
	Failures  int       `json:"failures"` // in a row
	RetryAt   time.Time `json:"retryAt,omitzero"`
}

// Health lists the engines in the order of the topology.
func (d *Dispatcher) Health() []EngineHealth {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []EngineHealth
	for _, e := range d.world.Load().engines {
		out = append(out, EngineHealth{
			Name: e.Name, Up: !e.breaker.open, Simulated: e.Simulated, Failures: e.breaker.failures, RetryAt: e.breaker.retryAt,
		})
	}
	return out
}

// replicaFailed counts a failure against the engine and takes it out when its breaker opens.
func (d *Dispatcher) replicaFailed(r *replica, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.current(r.engine); e != nil && e.breaker.failed(time.Now()) {
		d.opts.Log.Warn("engine taken out", "engine", r.name, "kind", fault.KindOf(err).String())
		d.down(e)
	}
}

// replicaOK counts a success.
func (d *Dispatcher) replicaOK(r *replica) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.current(r.engine); e != nil && e.breaker.failures > 0 && e.breaker.ok() {
		d.up(e)
	}
}

// current returns what an engine's health is kept in now: the topology may have been replaced
// since a call or probe began. It is nil when the engine has gone, or has become another one.
func (d *Dispatcher) current(e *engineState) *engineState {
	if now := d.ids.engines[e.Name]; now != nil && now.Client == e.Client {
		return now
	}
	return nil
}

func (d *Dispatcher) down(e *engineState) {
	for _, r := range e.replicas {
		d.step(&capacity.Event{Kind: capacity.EventReplicaDown, Replica: r.id})
	}
}

func (d *Dispatcher) up(e *engineState) {
	d.opts.Log.Info("engine back", "engine", e.Name)
	for _, r := range e.replicas {
		d.step(&capacity.Event{Kind: capacity.EventReplicaUp, Replica: r.id})
	}
}

// probeEvery is how often the prober looks for engines that are due.
const probeLoop = 500 * time.Millisecond

// Run probes engines until ctx ends: those with a probe interval, and those taken out
// when their pause is over. It also records events, if that was asked for.
func (d *Dispatcher) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error {
		d.probe(ctx)
		return nil
	})
	if d.rec != nil {
		g.Go(func() error {
			d.record(ctx)
			return nil
		})
	}
	return g.Wait()
}

func (d *Dispatcher) probe(ctx context.Context) {
	tick := time.NewTicker(probeLoop)
	defer tick.Stop()
	last := make(map[string]time.Time)
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			d.probeDue(ctx, now, last)
		}
	}
}

func (d *Dispatcher) probeDue(ctx context.Context, now time.Time, last map[string]time.Time) {
	var g errgroup.Group
	g.SetLimit(16)
	for _, e := range d.due(now, last) {
		last[e.Name] = now
		g.Go(func() error {
			pctx, cancel := context.WithTimeout(ctx, probeTimeout)
			defer cancel()
			d.probed(e, e.Client.Probe(pctx))
			return nil
		})
	}
	_ = g.Wait() // probes report through probed
}

func (d *Dispatcher) due(now time.Time, last map[string]time.Time) []*engineState {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []*engineState
	for _, e := range d.world.Load().engines {
		switch {
		case e.breaker.open:
			if !now.Before(e.breaker.retryAt) {
				out = append(out, e)
			}
		case e.ProbeEvery > 0 && now.Sub(last[e.Name]) >= e.ProbeEvery:
			out = append(out, e)
		}
	}
	return out
}

// probed takes the outcome of a probe.
func (d *Dispatcher) probed(e *engineState, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e = d.current(e); e == nil || d.ctx.Err() != nil {
		return
	}
	if err == nil {
		if e.breaker.ok() {
			d.up(e)
		}
		return
	}
	if !e.breaker.open {
		d.opts.Log.Warn("engine taken out by its probe", "engine", e.Name, "error", err.Error())
		d.down(e)
	}
	e.breaker.trip(time.Now())
}

// Close stops timers. Calls under way are not waited for: the front door drains first.
func (d *Dispatcher) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stop()
	if d.timer != nil {
		d.timer.Stop()
	}
}
