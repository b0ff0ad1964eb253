package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"forebay/catalog"
	"forebay/fault"
	"forebay/identity"
	"forebay/infer"
	"forebay/meter"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is an engine in memory.
type fake struct {
	// answer serves the n-th call, counted from 1.
	answer func(ctx context.Context, n int, req *infer.Request) (*infer.Response, error)

	mu     sync.Mutex
	calls  int
	probes int
	health error
}

func (f *fake) Infer(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	f.mu.Lock()
	f.calls++
	n := f.calls
	f.mu.Unlock()
	return f.answer(ctx, n, req)
}

func (f *fake) Probe(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.probes++
	return f.health
}

func (f *fake) Speaks(infer.Dialect) bool { return true }
func (f *fake) Close() error              { return nil }

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func (f *fake) setHealth(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.health = err
}

// pause waits as an engine works: until the time is over or the call is stopped.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fault.Wrap(fault.Canceled, context.Cause(ctx), "")
	}
}

// after answers in one piece after some time.
func after(d time.Duration, u infer.Usage) func(context.Context, int, *infer.Request) (*infer.Response, error) {
	return func(ctx context.Context, _ int, _ *infer.Request) (*infer.Response, error) {
		if err := pause(ctx, d); err != nil {
			return nil, err
		}
		return infer.NewResponse(infer.Head{}, infer.OneResult(&infer.Result{Usage: u})), nil
	}
}

var errDown = fault.New(fault.Unavailable, "connection refused")

// failing refuses every call.
func failing(context.Context, int, *infer.Request) (*infer.Response, error) { return nil, errDown }

// tokens is a stream of one token a second, with usage at the end if it gets there.
type tokens struct {
	ctx   context.Context //nolint:containedctx // the life of the call
	n     int
	fails int // after so many; 0 is never
	sent  int
}

func (s *tokens) Next() (*infer.Event, error) {
	switch {
	case s.fails > 0 && s.sent == s.fails:
		return nil, fault.New(fault.StreamFailed, "the engine broke off")
	case s.sent > s.n:
		return nil, io.EOF
	}
	if err := pause(s.ctx, time.Second); err != nil {
		return nil, err
	}
	s.sent++
	if s.sent > s.n {
		return &infer.Event{Kind: infer.EventUsage, Usage: infer.Usage{Input: 10, Output: int64(s.n)}, HasUsage: true, Last: true}, nil
	}
	return &infer.Event{Kind: infer.EventDelta, Text: "x", Tokens: 1}, nil
}

func (s *tokens) Close() error { return nil }

// streaming streams n tokens, and breaks off after fails of them unless that is 0.
func streaming(n, fails int) func(context.Context, int, *infer.Request) (*infer.Response, error) {
	return func(ctx context.Context, _ int, _ *infer.Request) (*infer.Response, error) {
		return infer.NewResponse(infer.Head{}, &tokens{ctx: ctx, n: n, fails: fails}), nil
	}
}

// book is a ledger in memory.
type book struct {
	mu      sync.Mutex
	rows    []*meter.Record
	broken  error // rows cannot be written
	refuses error // and calls are refused for it
}

func (b *book) Append(_ context.Context, r *meter.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken != nil {
		return b.broken
	}
	b.rows = append(b.rows, r)
	return nil
}

func (b *book) Healthy() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refuses
}

func (b *book) all() []*meter.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]*meter.Record(nil), b.rows...)
}

// last returns the row of the call that ended last.
func (b *book) last(t *testing.T) *meter.Record {
	t.Helper()
	rows := b.all()
	if len(rows) == 0 {
		t.Fatal("there is no row")
	}
	return rows[len(rows)-1]
}

const modelID = "m"

// model is the catalogue's entry of everything served here: 1 USD per million input tokens, 2 per million output tokens.
func model() *catalog.Model {
	in, out := int64(1e9), int64(2e9)
	price := &catalog.Price{Currency: "USD", Input: &in, Output: &out, PriorityPermille: 1750, FlexPermille: 500, BatchPermille: 500}
	price.CacheAsInput()
	return &catalog.Model{ID: modelID, Burndown: 1000, Price: price}
}

// rig is a dispatcher with its surroundings.
type rig struct {
	*Dispatcher
	t    *testing.T
	book *book
	top  Topology
	last int
}

// newRig serves the model with engines a, b, ... of one slot each, unless change says otherwise. It must be called in a bubble
// of synctest, which checks that no goroutine is left.
func newRig(t *testing.T, change func(*rig), engines ...*fake) *rig {
	t.Helper()
	r := &rig{t: t, book: &book{}}
	m := Model{ID: modelID, Entry: model(), MaxOutput: 100, Burndown: 1000}
	for i, f := range engines {
		name := string(rune('a' + i))
		r.top.Engines = append(r.top.Engines, Engine{Name: name, Client: f})
		m.Bindings = append(m.Bindings, Binding{Engine: name, Slots: 1})
	}
	r.top.Models = []Model{m}
	r.top.Accounts = []Account{{ID: "acme", Zone: time.UTC}}
	r.top.Keys = []Scope{{ID: "key", Account: "acme"}}
	r.Dispatcher = New(Options{Recorder: r.book, Log: slog.New(slog.DiscardHandler)})
	if change != nil {
		change(r)
	}
	if err := r.Configure(r.top); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.check)
	return r
}

// check is what holds at the end of every test: nothing is under way.
func (r *rig) check() {
	r.Close()
	if n := r.InFlight(); n != 0 {
		r.t.Errorf("%d calls are left in the dispatcher", n)
	}
	if n := r.state.InFlight(); n != 0 {
		r.t.Errorf("%d calls are left in the scheduler", n)
	}
	for _, m := range r.world.Load().models {
		if p, ok := r.state.Pool(m.pool); ok && (p.Busy != 0 || p.Waiting != 0) {
			r.t.Errorf("pool of %s: %+v", m.name, p)
		}
	}
}

// limits sets what applies to the key.
func limits(l identity.Limits) func(*rig) {
	return func(r *rig) { r.top.Keys[0].Limits = l }
}

// request makes a call of 10 estimated input tokens and at most 20 output tokens.
func (r *rig) request() *infer.Request {
	r.last++
	return &infer.Request{
		ID: fmt.Sprintf("req-%d", r.last), Caller: infer.Caller{Account: "acme", Key: "key"}, Model: modelID, ModelAsked: modelID,
		Facts: infer.Facts{TextBytes: 40, MaxTokens: 20}, Arrived: time.Now(),
	}
}

// do makes a call and reads its answer to the end.
func (r *rig) do(ctx context.Context, req *infer.Request) (events int, err error) {
	resp, err := r.Infer(ctx, req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Close() }()
	for {
		_, err := resp.Next()
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return events, err
		}
		events++
	}
}

// mustDo is do for calls that are to succeed.
func (r *rig) mustDo(req *infer.Request) {
	r.t.Helper()
	if _, err := r.do(r.t.Context(), req); err != nil {
		r.t.Errorf("%s: %v", req.ID, err)
	}
}

// wantKind checks the kind of a failure.
func wantKind(t *testing.T, err error, want fault.Kind) {
	t.Helper()
	if err == nil || fault.KindOf(err) != want {
		t.Errorf("%v, want a fault of kind %s", err, want)
	}
}
