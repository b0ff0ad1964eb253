package containerclient

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"forebay/engine"
	"forebay/engine/enginetest"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/engine/upstream"
	"forebay/fault"
	"forebay/infer"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// raw is a container's protocol: none.
var raw = &fakeupstream.Protocol{
	Name: "container", StreamType: "application/octet-stream", Frame: func(p fakeupstream.Payload) []byte { return []byte(p.Data) },
	Stream: func([]string, infer.Usage) []fakeupstream.Payload { return nil },
	Whole:  func([]string, infer.Usage) []byte { return nil },
	Error:  func(_ int, message string) (http.Header, []byte) { return nil, []byte(message) },
	Broken: func(string) []byte { return nil }, Streams: func(string, []byte) bool { return false },
}

func setup(t *testing.T, limits engine.Timeouts) (*fakeupstream.Server, *Client) {
	t.Helper()
	s := fakeupstream.New(t, raw)
	c, err := New(Config{Upstream: upstream.Config{BaseURL: s.URL, Timeouts: limits}, MaxBody: 100, Answers: []string{"X-Amzn-SageMaker-Custom-Attributes"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return s, c
}

// bytesOf every kind: nothing of them means anything on the way.
const strange = "\x00\xff{\"model\":\"x\",\"model\":\"y\"\r\n\r\n"

func call(stream bool) *infer.Request {
	return &infer.Request{
		ID: "req-1", Dialect: infer.DialectOpaque, Body: []byte(strange), Stream: stream,
		Opaque: &infer.Opaque{ContentType: "application/x-npy", Accept: "text/csv", Header: []infer.Header{{Name: "X-Amzn-SageMaker-Custom-Attributes", Value: "a=b"}}},
	}
}

func read(res *infer.Response) (string, error) {
	var out bytes.Buffer
	for {
		ev, err := res.Next()
		if errors.Is(err, io.EOF) {
			return out.String(), nil
		}
		if err != nil {
			return out.String(), err
		}
		out.Write(ev.Raw)
	}
}

func TestBytesPassAsTheyAre(t *testing.T) {
	s, c := setup(t, engine.Timeouts{})
	for _, stream := range []bool{false, true} {
		s.Handle(func(c *fakeupstream.Call) {
			c.Respond(http.StatusOK, http.Header{
				"Content-Type": {"text/csv"}, "X-Amzn-Sagemaker-Custom-Attributes": {"trace=1"}, "X-Internal": {"no"},
			}, c.Body)
		})
		res, err := c.Infer(t.Context(), call(stream))
		if err != nil {
			t.Fatal(err)
		}
		got, err := read(res)
		if err != nil || got != strange {
			t.Errorf("%q, %v", got, err)
		}
		h := res.Head.Opaque
		if h.ContentType != "text/csv" || len(h.Header) != 1 || h.Header[0].Value != "trace=1" {
			t.Errorf("%+v", h)
		}
		if err := res.Close(); err != nil {
			t.Error(err)
		}
		last := s.Calls()[len(s.Calls())-1]
		if last.Target != "/invocations" || last.Header.Get("Content-Type") != "application/x-npy" || last.Header.Get("Accept") != "text/csv" ||
			last.Header.Get("X-Amzn-SageMaker-Custom-Attributes") != "a=b" {
			t.Errorf("%s %v", last.Target, last.Header)
		}
	}
}

func TestRefusals(t *testing.T) {
	s, c := setup(t, engine.Timeouts{})
	for status, kind := range map[int]fault.Kind{
		400: fault.ModelFailed, 422: fault.ModelFailed, 404: fault.ModelFailed, 500: fault.ModelFailed, 429: fault.Overloaded, 503: fault.Unavailable, 302: fault.Unavailable,
	} {
		for _, stream := range []bool{false, true} {
			s.Handle(func(c *fakeupstream.Call) { c.Respond(status, nil, []byte("{\"why\": \"no\"}\n")) })
			_, err := c.Infer(t.Context(), call(stream))
			if e := fault.From(err); err == nil || e.Kind != kind || e.OriginalStatus != status || e.OriginalMessage != "{\"why\": \"no\"}\n" {
				t.Errorf("%d: %v, %q", status, err, e.OriginalMessage)
			}
		}
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	s, c := setup(t, engine.Timeouts{})
	s.Handle(func(c *fakeupstream.Call) { c.Respond(http.StatusOK, nil, make([]byte, 101)) })
	if _, err := c.Infer(t.Context(), call(false)); fault.KindOf(err) != fault.ModelFailed {
		t.Errorf("too large: %v", err)
	}
	res, err := c.Infer(t.Context(), call(true))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := read(res); err != nil || len(got) != 101 {
		t.Errorf("a stream has no bound: %d, %v", len(got), err)
	}
	_ = res.Close()
	cut := func(c *fakeupstream.Call) {
		conn, _ := c.Conn()
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 50\r\n\r\nhalf"))
		_ = conn.Close()
	}
	s.Handle(cut)
	if _, err := c.Infer(t.Context(), call(false)); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("cut off: %v", err)
	}
	if res, err = c.Infer(t.Context(), call(true)); err != nil {
		t.Fatal(err)
	}
	if got, err := read(res); got != "half" || fault.KindOf(err) != fault.StreamFailed {
		t.Errorf("cut off: %q, %v", got, err)
	}
	_ = res.Close()
	if _, err := c.Infer(t.Context(), &infer.Request{Dialect: infer.DialectOpenAI, Body: []byte("{}")}); fault.KindOf(err) != fault.Unsupported {
		t.Errorf("a chat: %v", err)
	}
	bad := call(false)
	bad.Opaque.Accept = "a\r\nX: y"
	if _, err := c.Infer(t.Context(), bad); fault.KindOf(err) != fault.Invalid {
		t.Errorf("two headers in one: %v", err)
	}
}

// When the caller leaves, the container sees it.
func TestLeaving(t *testing.T) {
	s, c := setup(t, engine.Timeouts{})
	for _, stream := range []bool{false, true} {
		came, left := make(chan struct{}), make(chan struct{})
		s.Handle(func(c *fakeupstream.Call) {
			if stream {
				c.Start()
				c.Write([]byte("first"))
			}
			close(came)
			<-c.Gone()
			close(left)
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-came; cancel() }()
		res, err := c.Infer(ctx, call(stream))
		if err == nil {
			_, err = read(res)
			_ = res.Close()
		}
		if fault.KindOf(err) != fault.Canceled {
			t.Errorf("%v", err)
		}
		<-left
		cancel()
	}
}

func TestTimeouts(t *testing.T) {
	s, c := setup(t, engine.Timeouts{Total: time.Hour})
	s.Handle(func(c *fakeupstream.Call) { <-c.Gone() })
	req := call(false)
	req.Timeouts.Total = 50 * time.Millisecond
	if _, err := c.Infer(t.Context(), req); fault.KindOf(err) != fault.Timeout {
		t.Errorf("%v", err)
	}
}

func TestProbe(t *testing.T) {
	s, c := setup(t, engine.Timeouts{})
	for status, well := range map[int]bool{200: true, 204: false, 500: false, 503: false} {
		s.Handle(func(c *fakeupstream.Call) { c.Respond(status, nil, nil) })
		if err := c.Probe(t.Context()); (err == nil) != well {
			t.Errorf("%d: %v", status, err)
		}
		if last := s.Calls()[len(s.Calls())-1]; !strings.HasSuffix(last.Target, "/ping") {
			t.Error(last.Target)
		}
	}
	s.Close()
	if err := c.Probe(t.Context()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("nobody listens: %v", err)
	}
}
