package fleet

import (
	"context"
	"sync"
	"time"

	"forebay/engine"
	"forebay/fault"
	"forebay/infer"
)

// gauge is a client that knows what runs on it, so that a replica can be let go when nothing does.
type gauge struct {
	engine.Client

	mu     sync.Mutex
	calls  int
	sealed bool
	idle   chan struct{} // closed when it is sealed and nothing runs
	first  time.Time
}

func newGauge(c engine.Client) *gauge { return &gauge{Client: c, idle: make(chan struct{})} }

// Infer implements engine.Client. A call that comes late, after the replica was taken from the scheduler, is to go elsewhere.
func (g *gauge) Infer(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	if !g.begin() {
		return nil, fault.New(fault.Unavailable, "The replica is ending.")
	}
	res, err := g.Client.Infer(ctx, req)
	if err != nil {
		g.ended()
		return nil, err
	}
	res.Events = &counted{Events: res.Events, ended: sync.OnceFunc(g.ended)}
	return res, nil
}

func (g *gauge) begin() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sealed {
		return false
	}
	g.calls++
	if g.first.IsZero() {
		g.first = time.Now()
	}
	return true
}

func (g *gauge) ended() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.calls--; g.calls == 0 && g.sealed {
		close(g.idle)
	}
}

// drain takes no more calls and waits for those that run, for a time at most.
func (g *gauge) drain(ctx context.Context, limit time.Duration) {
	g.mu.Lock()
	if !g.sealed {
		g.sealed = true
		if g.calls == 0 {
			close(g.idle)
		}
	}
	g.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-g.idle:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (g *gauge) firstCall() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.first
}

// CountTokens implements engine.TokenCounter where the client does.
func (g *gauge) CountTokens(ctx context.Context, req *infer.Request) (int64, error) {
	if c, ok := g.Client.(engine.TokenCounter); ok {
		return c.CountTokens(ctx, req)
	}
	return 0, fault.New(fault.Unsupported, "The provided model doesn't support counting tokens.")
}

// counted are events whose end is noticed.
type counted struct {
	infer.Events
	ended func()
}

// Close implements infer.Events.
func (c *counted) Close() error {
	defer c.ended()
	return c.Events.Close()
}

// Ready says whether the next event can be had without waiting.
func (c *counted) Ready() bool {
	r, ok := c.Events.(interface{ Ready() bool })
	return ok && r.Ready()
}
