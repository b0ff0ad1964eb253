package simulated

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"sync"
	"time"

	"forebay/engine"
	"forebay/fault"
	"forebay/infer"
	"forebay/perf"
)

// Options configure an engine.
type Options struct {
	Profile perf.Profile
	Seed    uint64
	// Hint is the command that puts a real model in the engine's place; it is part of every answer, with the
	// model's id for MODEL.
	Hint string
	// Directives lets prompts steer the answer, for tests.
	Directives bool
	// Timeouts bounds the phases of calls; the call's own go before them.
	Timeouts engine.Timeouts
	// Refuse makes every call and probe fail, for tests of fail-over.
	Refuse bool
}

// Engine implements engine.Client and engine.TokenCounter. It is safe for concurrent use.
type Engine struct {
	opts   Options
	origin time.Time
	done   chan struct{} // closed by Close
	once   sync.Once
	ended  sync.WaitGroup
	wake   chan struct{} // tells the loop that the batch's next step has changed

	mu    sync.Mutex
	batch *perf.Engine
	calls map[uint64]*choice // by the batch's id
	next  uint64
	out   []perf.Progress
}

var (
	_ engine.Client       = (*Engine)(nil)
	_ engine.TokenCounter = (*Engine)(nil)
)

// New starts an engine. Close must be called.
func New(o Options) (*Engine, error) {
	if err := o.Profile.Validate(); err != nil {
		return nil, fmt.Errorf("engine profile %q: %w", o.Profile.Name, err)
	}
	e := &Engine{
		opts: o, origin: time.Now(), done: make(chan struct{}), batch: perf.New(o.Profile),
		calls: make(map[uint64]*choice), wake: make(chan struct{}, 1),
	}
	e.ended.Go(e.loop)
	return e, nil
}

// loop is the engine's batch: it sleeps to the end of each step and hands out its tokens.
func (e *Engine) loop() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		e.mu.Lock()
		now := e.advance()
		at, busy := e.batch.NextWake()
		e.mu.Unlock()
		var due <-chan time.Time
		if busy {
			timer.Reset(time.Duration(at - now))
			due = timer.C
		}
		select {
		case <-due:
		case <-e.wake:
		case <-e.done:
			return
		}
	}
}

// advance brings the batch to the present, hands its tokens to the calls and returns the present. The mutex is held.
func (e *Engine) advance() perf.Instant {
	now := perf.Instant(time.Since(e.origin))
	e.out = e.batch.Step(now, e.out[:0])
	for _, p := range e.out {
		c := e.calls[p.ID]
		if c == nil || p.Preempted {
			continue
		}
		c.made = p.Tokens
		if p.Done {
			delete(e.calls, p.ID)
		}
		c.of.signal()
	}
	return now
}

// Speaks implements engine.Client: the engine takes decoded calls only.
func (e *Engine) Speaks(infer.Dialect) bool { return false }

// Probe implements engine.Client.
func (e *Engine) Probe(context.Context) error { return e.up() }

// up fails when the engine is closed or told to refuse.
func (e *Engine) up() error {
	select {
	case <-e.done:
		return fault.New(fault.Unavailable, "")
	default:
	}
	if e.opts.Refuse {
		return failed(fault.Unavailable, http.StatusServiceUnavailable, told)
	}
	return nil
}

// Close implements engine.Client.
func (e *Engine) Close() error {
	e.once.Do(func() { close(e.done) })
	e.ended.Wait()
	return nil
}

// CountTokens implements engine.TokenCounter.
func (e *Engine) CountTokens(_ context.Context, req *infer.Request) (int64, error) {
	return countInput(req), nil
}

// Infer implements engine.Client.
func (e *Engine) Infer(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	if ctx.Err() != nil {
		return nil, canceled(ctx)
	}
	if err := e.up(); err != nil {
		return nil, err
	}
	head := infer.Head{RequestID: req.ID, Model: req.UpstreamModel, Simulated: true}
	switch {
	case req.Embed != nil:
		return infer.NewResponse(head, infer.OneResult(e.embed(req))), nil
	case req.Chat == nil:
		return nil, fault.New(fault.Internal, "the simulated engine was given a call that was not decoded")
	}
	for _, field := range req.Chat.ResponseFields {
		if field != "/stop_sequence" {
			head.Dropped = append(head.Dropped, "response field "+field)
		}
	}
	if cites(req.Chat) {
		head.Dropped = append(head.Dropped, "citations")
	}
	p, err := e.plan(req)
	if err != nil {
		return nil, err
	}
	s, err := e.start(ctx, req, p)
	if err != nil {
		return nil, err
	}
	if req.Stream {
		return infer.NewResponse(head, s), nil
	}
	return infer.NewResponse(head, &whole{s: s}), nil
}

// cites reports whether a document of the chat asks to be cited.
func cites(c *infer.Chat) bool {
	for i := range c.Messages {
		for j := range c.Messages[i].Content {
			if c.Messages[i].Content[j].Cite {
				return true
			}
		}
	}
	return false
}

// start puts a call into the batch: a sequence for each choice, each with the prompt in
// its own memory. A call that hangs takes no part in it.
func (e *Engine) start(ctx context.Context, req *infer.Request, p *plan) (*stream, error) {
	s := &stream{e: e, req: req, plan: p, ctx: ctx, ready: make(chan struct{}, 1), input: countInput(req), limits: req.Timeouts.Over(e.opts.Timeouts), began: time.Now()}
	s.choices = make([]choice, len(p.answers))
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.advance()
	for i := range s.choices {
		c := &s.choices[i]
		c.of, c.index, c.answer = s, i, &p.answers[i]
		if p.hang {
			continue
		}
		e.next++
		if !e.batch.Add(now, e.next, s.input, max(int64(c.answer.tokens()), 1)*p.slow) {
			e.drop(s)
			return nil, refusal(http.StatusBadRequest, fmt.Sprintf("The prompt and the answer do not fit into the model's memory of %d tokens.", e.opts.Profile.KV))
		}
		c.id = e.next
		e.calls[c.id] = c
	}
	s.detach = context.AfterFunc(ctx, s.leave)
	e.advance() // an engine that takes no time is done
	select {
	case e.wake <- struct{}{}:
	default:
	}
	return s, nil
}

// drop takes what is left of a call out of the batch. The mutex is held.
func (e *Engine) drop(s *stream) {
	for i := range s.choices {
		if c := &s.choices[i]; e.calls[c.id] == c {
			delete(e.calls, c.id)
			e.batch.Remove(c.id)
		}
	}
}

// hash mixes a text and a number with the engine's seed.
func (e *Engine) hash(text string, n int64) uint64 {
	h := fnv.New64a()
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], e.opts.Seed)
	binary.LittleEndian.PutUint64(b[8:], uint64(n))
	_, _ = h.Write(b[:])
	_, _ = io.WriteString(h, text)
	return h.Sum64()
}
