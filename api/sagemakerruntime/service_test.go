package sagemakerruntime_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"forebay/api"
	"forebay/api/sagemakerruntime"
	"forebay/endpoint"
	"forebay/engine/containerclient"
	"forebay/engine/upstream"
	"forebay/fault"
	"forebay/identity"
	"forebay/infer"
	"forebay/wire/eventstream"
)

// observed is one endpoint, "chat", with the variants "a" and "serverless".
type observed struct{ seen []bool }

func (o *observed) Route(_, name, variant string) (endpoint.Target, error) {
	if name != "chat" || variant == "none" {
		return endpoint.Target{}, fault.New(fault.NotFound, "Endpoint "+name+" of account 0 not found.")
	}
	if variant == "" {
		variant = "a"
	}
	return endpoint.Target{ID: "id", Variant: variant, Container: "primary", Serverless: variant == "serverless"}, nil
}

func (o *observed) Observe(_ string, failed bool, _ time.Duration) { o.seen = append(o.seen, failed) }

// container answers by the container contract what the header of attributes says.
func container(t *testing.T) *containerclient.Client {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if status := r.Header.Get("X-Amzn-SageMaker-Custom-Attributes"); status == "refuse" {
			http.Error(w, "no such \"column\"", http.StatusUnprocessableEntity)
			return
		}
		w.Header().Set("Content-Type", "text/csv")
		w.Header().Set("X-Amzn-SageMaker-Custom-Attributes", "trace=1")
		w.Header().Set("Server", "hidden")
		_, _ = w.Write(append([]byte(r.Header.Get("Content-Type")+" "+r.Header.Get("Accept")+" "), body...))
	}))
	t.Cleanup(srv.Close)
	c, err := containerclient.New(containerclient.Config{Upstream: upstream.Config{BaseURL: srv.URL}, Answers: sagemakerruntime.AnswerHeaders})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask makes a call as the front door does.
func ask(t *testing.T, s *sagemakerruntime.Service, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	rec := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	c := &api.Call{ID: "the-id", HTTP: r, W: api.NewWriter(rec, 0), Path: path, Body: []byte(body), Principal: &identity.Principal{Account: "0"}, Log: slog.New(slog.DiscardHandler)}
	if err := s.Serve(c); err != nil && !c.W.Started() {
		s.Fail(c, fault.From(err))
	}
	return rec
}

const (
	whole  = "/endpoints/chat/invocations"
	stream = "/endpoints/chat/invocations-response-stream"
)

func TestInvoke(t *testing.T) {
	client, where := container(t), &observed{}
	s := sagemakerruntime.New(&api.Gateway{Infer: client.Infer}, where)
	got := ask(t, s, whole, "1,2", "Content-Type", "text/csv", "Accept", "text/csv")
	h := got.Header()
	if got.Code != http.StatusOK || got.Body.String() != "text/csv text/csv 1,2" || h.Get("Content-Type") != "text/csv" || h.Get("X-Amzn-Invoked-Production-Variant") != "a" ||
		h.Get("X-Amzn-Sagemaker-Custom-Attributes") != "trace=1" || h.Get("X-Amzn-Requestid") != "the-id" || h.Get("Server") != "" {
		t.Errorf("%d %s %v", got.Code, got.Body, h)
	}
	got = ask(t, s, whole, "x", "X-Amzn-SageMaker-Target-Variant", "b")
	if got.Body.String() != "application/octet-stream  x" || got.Header().Get("X-Amzn-Invoked-Production-Variant") != "b" {
		t.Errorf("%d %s %v", got.Code, got.Body, got.Header())
	}
	got = ask(t, s, whole, "x", "X-Amzn-SageMaker-Custom-Attributes", "refuse")
	const says = `"Message":"Received client error (422) from primary with message \"no such \\\"column\\\"\\n\". See the logs of endpoint chat in account 0 for more information."`
	if b := got.Body.String(); got.Code != http.StatusFailedDependency || got.Header().Get("X-Amzn-Errortype") != "ModelError" || !strings.Contains(b, says) ||
		!strings.Contains(b, `"OriginalStatusCode":422`) || !strings.Contains(b, `"OriginalMessage":"no such \"column\"\n"`) {
		t.Errorf("%d %s", got.Code, b)
	}
	if len(where.seen) != 3 || where.seen[0] || where.seen[2] { // what a caller did wrong is no fault of the container
		t.Errorf("observed %v", where.seen)
	}
}

func TestRefused(t *testing.T) {
	var fails error
	s := sagemakerruntime.New(&api.Gateway{Infer: func(context.Context, *infer.Request) (*infer.Response, error) { return nil, fails }}, &observed{})
	waits := fault.New(fault.NotReady, "")
	waits.RetryAfter = 3 * time.Second
	for _, c := range []struct {
		name, path, body string
		header           []string
		fails            error
		status           int
		kind, says       string
	}{
		{"no endpoint", "/endpoints/none/invocations", "x", nil, nil, 400, "ValidationError", "Endpoint none of account 0 not found."},
		{"no variant", whole, "x", []string{"X-Amzn-SageMaker-Target-Variant", "none"}, nil, 400, "ValidationError", "not found"},
		{"attributes beyond their length", whole, "x", []string{"X-Amzn-SageMaker-Custom-Attributes", strings.Repeat("a", 1025)}, nil, 400, "ValidationError", "at 'customAttributes'"},
		{"many models", whole, "x", []string{"X-Amzn-SageMaker-Target-Model", "m"}, nil, 400, "ValidationError", "TargetModel"},
		{"a component", whole, "x", []string{"X-Amzn-SageMaker-Inference-Component", "m"}, nil, 400, "ValidationError", "Inference Component"},
		{"too large for serverless", whole, strings.Repeat("x", 4<<20+1), []string{"X-Amzn-SageMaker-Target-Variant", "serverless"}, nil, 400, "ValidationError", "at most 4194304"},
		{"asynchronous", "/endpoints/chat/async-invocations", "", nil, nil, 400, "ValidationError", "The operation InvokeEndpointAsync is not supported by this server."},
		{"starting", whole, "x", nil, waits, 429, "ModelNotReadyException", ""},
		{"too slow", whole, "x", nil, fault.New(fault.Timeout, ""), 424, "ModelError", "Received server error (0) from primary"},
		{"nothing up", stream, "x", nil, fault.New(fault.Unavailable, ""), 503, "ServiceUnavailable", ""},
		{"ours", stream, "x", nil, errors.New("secret"), 500, "InternalFailure", "An internal failure occurred."},
	} {
		fails = c.fails
		got := ask(t, s, c.path, c.body, c.header...)
		if got.Code != c.status || got.Header().Get("X-Amzn-Errortype") != c.kind || !strings.Contains(got.Body.String(), c.says) {
			t.Errorf("%s: %d %s %s", c.name, got.Code, got.Header().Get("X-Amzn-Errortype"), got.Body)
		}
		if errors.Is(c.fails, waits) && (got.Header().Get("Retry-After") != "3" || got.Header().Get("X-Amz-Retry-After") != "3000") {
			t.Errorf("%s: %v", c.name, got.Header())
		}
	}
}

// frames reads an event stream: the bytes of its parts, and what ended it.
func frames(t *testing.T, r io.Reader) (parts, ended string) {
	t.Helper()
	events := eventstream.NewReader(r)
	for {
		m, err := events.Next()
		if errors.Is(err, io.EOF) {
			return parts, ended
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.String(":message-type") == "exception" {
			ended += m.String(":exception-type") + string(m.Payload)
			continue
		}
		if m.String(":event-type") != "PayloadPart" || m.String(":content-type") != "application/octet-stream" {
			t.Errorf("%+v", m)
		}
		parts += string(m.Payload)
	}
}

func TestStream(t *testing.T) {
	client := container(t)
	got := ask(t, sagemakerruntime.New(&api.Gateway{Infer: client.Infer}, &observed{}), stream, "hello", "Content-Type", "text/plain", "X-Amzn-SageMaker-Accept", "text/csv")
	if parts, ended := frames(t, got.Body); got.Code != http.StatusOK || parts != "text/plain text/csv hello" || ended != "" ||
		got.Header().Get("Content-Type") != "application/vnd.amazon.eventstream" || got.Header().Get("X-Amzn-Sagemaker-Content-Type") != "text/csv" {
		t.Errorf("%d %q %q %v", got.Code, parts, ended, got.Header())
	}
	for fails, want := range map[error]string{
		fault.New(fault.StreamFailed, "The connection broke."): `ModelStreamError{"__type":"ModelStreamError","Message":"The connection broke.","ErrorCode":"StreamBroken"}`,
		errors.New("secret"): `InternalStreamFailure{"__type":"InternalStreamFailure","Message":"The stream failed."}`,
	} {
		where := &observed{}
		s := sagemakerruntime.New(&api.Gateway{Infer: func(context.Context, *infer.Request) (*infer.Response, error) {
			return infer.NewResponse(infer.Head{}, &cut{fails: fails}), nil
		}}, where)
		got := ask(t, s, stream, "x")
		if parts, ended := frames(t, bytes.NewReader(got.Body.Bytes())); parts != "part" || ended != want {
			t.Errorf("%q %q, want %q", parts, ended, want)
		}
	}
}

// cut is a stream of one part that fails.
type cut struct {
	fails error
	begun bool
}

func (c *cut) Next() (*infer.Event, error) {
	if c.begun {
		return nil, c.fails
	}
	c.begun = true
	return &infer.Event{Kind: infer.EventRaw, Raw: []byte("part")}, nil
}

func (c *cut) Close() error { return nil }
