package simulated

import (
	"context"
	"hash/fnv"
	"io"
	"strconv"
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
	// Hint is the command that puts a real model in the engine's place; it is part of every answer.
	Hint string
	// Directives lets prompts steer the answer, for tests.
	Directives bool
	// Refuse makes every call and probe fail, for tests of fail-over.
	Refuse bool
}

// Engine implements engine.Client and engine.TokenCounter. It is safe for concurrent use.
type Engine struct {
	opts   Options
	origin time.Time
	done   chan struct{}
	once   sync.Once
	ended  sync.WaitGroup

	mu    sync.Mutex
	batch *perf.Engine
	calls map[uint64]*stream
	next  uint64
	wake  chan struct{}
}

var (
	_ engine.Client       = (*Engine)(nil)
	_ engine.TokenCounter = (*Engine)(nil)
)

// New starts an engine. Close must be called.
func New(o Options) (*Engine, error) {
	if err := o.Profile.Validate(); err != nil {
		return nil, err
	}
	e := &Engine{
		opts: o, origin: time.Now(), done: make(chan struct{}), batch: perf.New(o.Profile),
		calls: make(map[uint64]*stream), wake: make(chan struct{}, 1),
	}
	e.ended.Go(e.loop)
	return e, nil
}

func (e *Engine) now() perf.Instant { return perf.Instant(time.Since(e.origin)) }

// loop is the engine's batch: it sleeps to the end of each step and hands out its tokens.
func (e *Engine) loop() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var out []perf.Progress
	for {
		e.mu.Lock()
		now := e.now()
		at, busy := e.batch.NextWake()
		for busy && at <= now {
			out = e.batch.Step(now, out[:0])
			e.hand(out)
			at, busy = e.batch.NextWake()
		}
		e.mu.Unlock()
		if busy {
			timer.Reset(time.Duration(at - now))
		} else {
			timer.Reset(time.Hour)
		}
		select {
		case <-timer.C:
		case <-e.wake:
		case <-e.done:
			return
		}
	}
}

// hand gives progress to the calls. The mutex is held.
func (e *Engine) hand(list []perf.Progress) {
	for _, p := range list {
		if s := e.calls[p.ID]; s != nil && !p.Preempted {
			s.made = p.Tokens
			s.signal()
			if p.Done {
				delete(e.calls, p.ID)
			}
		}
	}
}

// Speaks implements engine.Client: the engine takes decoded calls only.
func (e *Engine) Speaks(infer.Dialect) bool { return false }

// Probe implements engine.Client.
func (e *Engine) Probe(context.Context) error {
	if e.opts.Refuse {
		return fault.New(fault.Unavailable, "")
	}
	return nil
}

// Close implements engine.Client.
func (e *Engine) Close() error {
	e.once.Do(func() { close(e.done) })
	e.ended.Wait()
	return nil
}

// CountTokens implements engine.TokenCounter by the engine's own rule: four bytes of text
// are a token, rounded up for each message, and each message costs three more.
func (e *Engine) CountTokens(_ context.Context, req *infer.Request) (int64, error) {
	return countTokens(req), nil
}

func countTokens(req *infer.Request) int64 {
	const perMessage, bytesPerToken = 3, 4
	var n int64
	add := func(bytes int) { n += int64((bytes + bytesPerToken - 1) / bytesPerToken) }
	if req.Embed != nil {
		for _, s := range req.Embed.Inputs {
			add(len(s))
		}
		return max(n, 1)
	}
	c := req.Chat
	if c == nil {
		return 1
	}
	if c.Prompt != nil {
		add(len(*c.Prompt))
		return max(n, 1)
	}
	add(blocksLen(c.System))
	for _, m := range c.Messages {
		add(blocksLen(m.Content))
		n += perMessage
	}
	for _, t := range c.Tools {
		add(len(t.Name) + len(t.Description) + len(t.Schema))
	}
	return max(n+req.Facts.MediaUnits, 1)
}

func blocksLen(blocks []infer.Block) int {
	n := 0
	for i := range blocks {
		n += len(blocks[i].Text) + len(blocks[i].ToolInput) + blocksLen(blocks[i].Content)
	}
	return n
}

// Infer implements engine.Client.
func (e *Engine) Infer(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	head := infer.Head{RequestID: req.ID, Model: req.UpstreamModel, Simulated: true}
	if e.opts.Refuse {
		return nil, fault.New(fault.Unavailable, "")
	}
	if req.Embed != nil {
		return infer.NewResponse(head, infer.OneResult(e.embed(req))), nil
	}
	if req.Chat == nil {
		return nil, fault.New(fault.Internal, "the simulated engine was given a call that was not decoded")
	}
	d, err := e.plan(req)
	if err != nil {
		return nil, err
	}
	s := &stream{e: e, req: req, plan: d, ctx: ctx, ready: make(chan struct{}, 1), input: countTokens(req)}
	if !d.hang {
		if err := e.start(s); err != nil {
			return nil, err
		}
	}
	if req.Stream {
		return infer.NewResponse(head, s), nil
	}
	return infer.NewResponse(head, &whole{s: s, choices: d.choices}), nil
}

func (e *Engine) start(s *stream) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.next++
	s.id = e.next
	if !e.batch.Add(e.now(), s.id, s.input, int64(len(s.plan.tokens))*s.plan.slow) {
		return fault.Newf(fault.Invalid, "The prompt and the answer do not fit into the model's memory of %d tokens.", e.opts.Profile.KV)
	}
	e.calls[s.id] = s
	select {
	case e.wake <- struct{}{}:
	default:
	}
	return nil
}

// stop takes a call out of the batch.
func (e *Engine) stop(s *stream) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.calls[s.id] == s {
		delete(e.calls, s.id)
		e.batch.Remove(s.id)
	}
}

// embed returns unit vectors that depend on the text alone.
func (e *Engine) embed(req *infer.Request) *infer.Result {
	size := int64(1024)
	if d := req.Embed.Dimensions; d != nil && *d > 0 {
		size = min(*d, 1<<14)
	}
	res := &infer.Result{Model: req.UpstreamModel, Created: time.Now(), Usage: infer.Usage{Input: countTokens(req)}}
	for _, text := range req.Embed.Inputs {
		res.Embeddings = append(res.Embeddings, infer.Embedding{Floats: vector(e.hash(text), size)})
	}
	for range req.Embed.Images {
		res.Embeddings = append(res.Embeddings, infer.Embedding{Floats: vector(e.hash("image"), size)})
	}
	return res
}

func (e *Engine) hash(text string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, strconv.FormatUint(e.opts.Seed, 10)+"\x00"+text)
	return h.Sum64()
}

// signal wakes the reader of the call. The engine's mutex is held.
func (s *stream) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}
