// Package enginetest is the conformance suite of engine.Client: Run holds a client against
// what the port promises, with a scripted upstream on the other side. What can be
// tested in virtual time is; nothing sleeps and nothing is measured.
package enginetest

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"forebay/dialect"
	"forebay/engine"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/engine/upstream"
	"forebay/fault"
	"forebay/infer"

	"go.uber.org/goleak"
)

// Setup describes a client to the suite.
type Setup struct {
	// New returns the client under test for an upstream. The suite closes it.
	New func(t testing.TB, cfg upstream.Config) engine.Client

	// Through is the protocol of calls that pass through, in Dialect.
	Through *fakeupstream.Protocol
	Dialect infer.Dialect
	// Body returns a body with members nobody knows, and how it must arrive. The model it
	// asks for is to be replaced by UpstreamModel.
	Body func(stream bool) (sent, arrives string)
	// Target is the path that a call must arrive at.
	Target func(stream bool) string
	// Raw returns the payloads that must reach the caller, out of those sent.
	Raw func(sent []fakeupstream.Payload) []fakeupstream.Payload
	// Garbled is bytes of a stream that cannot be a payload.
	Garbled string

	// Canonical is the protocol of converted calls; nil means Through.
	Canonical *fakeupstream.Protocol
}

// UpstreamModel is the engine's name of the model in the suite's calls.
const UpstreamModel = "vendor/upstream-model:1"

// Run runs the whole suite.
func Run(t *testing.T, s Setup) {
	if s.Canonical == nil {
		s.Canonical = s.Through
	}
	leaks := goleak.IgnoreCurrent()
	for _, c := range []struct {
		name string
		test func(t *testing.T, s *Setup)
	}{
		{"PassThroughStream", testRawStream},
		{"PassThroughWhole", testRawWhole},
		{"CanonicalStream", testCanonicalStream},
		{"CanonicalWhole", testCanonicalWhole},
		{"Speaks", testSpeaks},
		{"RefusedBeforeTheHead", testRefused},
		{"RefusedSlowly", testSlowFailure},
		{"FailedAfterTheFirstByte", testBrokenStream},
		{"Truncated", testTruncated},
		{"HalfClosed", testHalfClosed},
		{"Garbage", testGarbage},
		{"NotAStream", testNotAStream},
		{"CancelBeforeTheHead", testCancelBefore},
		{"CancelInTheStream", testCancelWithin},
		{"CloseOfTheResponse", testCloseResponse},
		{"Phases", testPhases},
		{"Connect", testConnect},
		{"TimeoutsOfTheCall", testTimeoutsOfTheCall},
		{"Oversized", testOversized},
		{"CloseWhileRunning", testCloseClient},
		{"LargePayload", testLarge},
		{"SlowReader", testSlowReader},
		{"ManyAtOnce", testConcurrent},
		{"ConnectionIsKept", testReuse},
		{"ConnectionIsKeptWithoutTheEnd", testReuseWithoutTheEnd},
		{"Probe", testProbe},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, &s) })
	}
	goleak.VerifyNone(t, leaks)
}

// setting is a fake upstream and a client of it.
type setting struct {
	*Setup
	server *fakeupstream.Server
	client engine.Client
}

// loopback connects a client to a fake over TCP.
func loopback(t *testing.T, s *Setup, p *fakeupstream.Protocol, limits engine.Timeouts) *setting {
	t.Helper()
	x := &setting{Setup: s, server: fakeupstream.New(t, p)}
	x.client = s.New(t, upstream.Config{BaseURL: x.server.URL, Timeouts: limits})
	t.Cleanup(func() { _ = x.client.Close() })
	return x
}

// bubble connects a client to a fake in virtual time.
func bubble(t *testing.T, s *Setup, p *fakeupstream.Protocol, limits engine.Timeouts, test func(t *testing.T, x *setting)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		x := &setting{Setup: s, server: fakeupstream.Piped(p)}
		x.client = s.New(t, upstream.Config{BaseURL: x.server.URL, Timeouts: limits, Dial: x.server.Dial})
		test(t, x)
		_ = x.client.Close()
		x.server.Close()
	})
}

// raw is a call that passes through.
func (s *Setup) raw(t testing.TB, stream bool) *infer.Request {
	t.Helper()
	sent, _ := s.Body(stream)
	codec, ok := dialect.Get(s.Dialect)
	if !ok {
		t.Fatalf("no codec for %s", s.Dialect)
	}
	req := &infer.Request{ID: "req-1", Dialect: s.Dialect, Body: []byte(sent), Stream: stream, UpstreamModel: UpstreamModel}
	if err := codec.Inspect(req.Body, &req.Facts); err != nil {
		t.Fatal(err)
	}
	return req
}

// canonical is a call that has been decoded.
func canonical(stream bool) *infer.Request {
	limit := int64(64)
	return &infer.Request{ID: "req-2", Stream: stream, UpstreamModel: UpstreamModel, Chat: &infer.Chat{
		System:    []infer.Block{{Kind: infer.BlockText, Text: "Be brief."}},
		Messages:  []infer.Message{{Role: infer.RoleUser, Content: []infer.Block{{Kind: infer.BlockText, Text: "Hi"}}}},
		MaxTokens: &limit,
	}}
}

// infer makes a call that must get a head.
func (x *setting) infer(t testing.TB, req *infer.Request) *infer.Response {
	t.Helper()
	res, err := x.client.Infer(t.Context(), req)
	if err != nil {
		t.Fatalf("Infer: %v", err)
	}
	t.Cleanup(func() { _ = res.Close() })
	return res
}

// pull reads events to the end and returns copies of them.
func pull(res *infer.Response) (list []infer.Event, err error) {
	for {
		ev, err := res.Next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return list, err
		}
		c := *ev
		c.Raw = slices.Clone(ev.Raw)
		list = append(list, c)
	}
}

func text(list []infer.Event) string {
	var b strings.Builder
	for _, ev := range list {
		if ev.Kind == infer.EventDelta && ev.Delta == infer.BlockText {
			b.WriteString(ev.Text)
		}
	}
	return b.String()
}

func wantKind(t testing.TB, err error, kinds ...fault.Kind) *fault.Error {
	t.Helper()
	if err == nil || !slices.Contains(kinds, fault.KindOf(err)) {
		t.Fatalf("got %v, want %v", err, kinds)
	}
	return fault.From(err)
}

// wantUsage checks the usage that the fake reported.
func wantUsage(t testing.TB, res *infer.Response) {
	t.Helper()
	if u, ok := res.Usage(); !ok || u != fakeupstream.SaidUsage {
		t.Errorf("usage %+v (%v), want %+v", u, ok, fakeupstream.SaidUsage)
	}
}

// both runs a test for a call that passes through and for a converted one.
func both(t *testing.T, s *Setup, test func(t *testing.T, p *fakeupstream.Protocol, req func(t testing.TB, stream bool) *infer.Request)) {
	t.Run("through", func(t *testing.T) { test(t, s.Through, s.raw) })
	t.Run("canonical", func(t *testing.T) {
		test(t, s.Canonical, func(_ testing.TB, stream bool) *infer.Request { return canonical(stream) })
	})
}

// attempt makes a streaming call and pulls it to its end; the error is from either.
func attempt(ctx context.Context, c engine.Client, req *infer.Request) (list []infer.Event, err error) {
	res, err := c.Infer(ctx, req)
	if err != nil {
		return nil, err
	}
	defer res.Close() //nolint:errcheck // Next has told
	return pull(res)
}
