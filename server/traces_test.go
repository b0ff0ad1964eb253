package server

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"forebay/config"
	"forebay/engine/enginetest/fakeupstream"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receiver takes traces as a collector does.
type receiver struct {
	*httptest.Server
	spans chan *otlp.Span
	raw   scroll

	mu   sync.Mutex
	auth string
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{spans: make(chan *otlp.Span, 100)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		var in collector.ExportTraceServiceRequest
		if err != nil || req.URL.Path != "/v1/traces" || proto.Unmarshal(body, &in) != nil {
			http.Error(w, "not OTLP", http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		r.auth = req.Header.Get("Authorization")
		r.mu.Unlock()
		_, _ = r.raw.Write(body)
		for _, rs := range in.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					r.spans <- s
				}
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(r.Close)
	return r
}

// take waits for n spans.
func (r *receiver) take(t *testing.T, n int) []*otlp.Span {
	t.Helper()
	var out []*otlp.Span
	late := time.After(20 * time.Second)
	for len(out) < n {
		select {
		case s := <-r.spans:
			out = append(out, s)
		case <-late:
			t.Fatalf("%d spans came, want %d: %v", len(out), n, out)
		}
	}
	return out
}

// attributes are those of a span as text.
func attributes(s *otlp.Span) map[string]string {
	out := map[string]string{}
	for _, kv := range s.Attributes {
		v := kv.Value
		switch {
		case v.GetStringValue() != "":
			out[kv.Key] = v.GetStringValue()
		case v.GetBoolValue():
			out[kv.Key] = "true"
		case v.GetDoubleValue() != 0:
			out[kv.Key] = "some"
		default:
			out[kv.Key] = strconv.FormatInt(v.GetIntValue(), 10)
		}
	}
	return out
}

func named(t *testing.T, spans []*otlp.Span, name string) []*otlp.Span {
	t.Helper()
	var out []*otlp.Span
	for _, s := range spans {
		if s.Name == name {
			out = append(out, s)
		}
	}
	return out
}

const (
	callersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan  = "00f067aa0ba902b7"
)

// tracedServer has a first engine that fails and a second one that answers, and a collector.
func tracedServer(t *testing.T, change func(*config.Config, string)) (*Server, *fakeupstream.Server, *receiver) {
	t.Helper()
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	up, r := fakeupstream.New(t, fakeupstream.OpenAI), newReceiver(t)
	c := testConfig(t)
	c.Engines["dead"] = config.Engine{Type: "openai", URL: "http://127.0.0.1:1/v1"}
	c.Engines["up"] = config.Engine{Type: "openai", URL: up.URL}
	c.Models[llama] = config.Model{Engines: []config.Binding{{Engine: "dead", Model: "d"}, {Engine: "up", Model: "u", Standby: true}}}
	change(&c, r.URL)
	return run(t, c), up, r
}

const askTraced = `{"model":"` + llama + `","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"` + canary + `"}]}`

// A call is one trace below the caller's: the front door, each wait for admission, each attempt; and
// each engine is told to hang its part below the attempt. No prompt is in it.
func TestCallsAreTraced(t *testing.T) {
	t.Setenv("OTLP_KEY", "Bearer of-the-collector")
	s, up, r := tracedServer(t, func(c *config.Config, url string) {
		c.Tracing.Endpoint, c.Tracing.Headers = url, map[string]string{"authorization": "env:OTLP_KEY"}
	})
	got := post(t, s, chatPath, askTraced, func(r *http.Request) {
		r.Header.Set("Traceparent", "00-"+callersTrace+"-"+callersSpan+"-01")
		r.Header.Set("Tracestate", "vendor=1")
	})
	if got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	spans := r.take(t, 5)
	door, waits, dead, answered := named(t, spans, "openai ChatCompletions"), named(t, spans, "admission"), named(t, spans, "chat d"), named(t, spans, "chat u")
	if len(door) != 1 || len(waits) != 2 || len(dead) != 1 || len(answered) != 1 {
		t.Fatalf("%v", spans)
	}
	for _, s := range spans {
		if hex.EncodeToString(s.TraceId) != callersTrace || s != door[0] && string(s.ParentSpanId) != string(door[0].SpanId) {
			t.Errorf("%s is not below the caller's trace", s.Name)
		}
		if s.EndTimeUnixNano < s.StartTimeUnixNano || s.StartTimeUnixNano < door[0].StartTimeUnixNano {
			t.Errorf("%s ends before it begins, or begins before the call", s.Name)
		}
	}
	if hex.EncodeToString(door[0].ParentSpanId) != callersSpan || door[0].Kind != otlp.Span_SPAN_KIND_SERVER || answered[0].Kind != otlp.Span_SPAN_KIND_CLIENT {
		t.Errorf("%v", door[0])
	}
	for s, want := range map[*otlp.Span]map[string]string{
		door[0]: {
			"http.request.method": "POST", "url.path": chatPath, "http.response.status_code": "200", "gen_ai.request.model": llama,
			"forebay.model.served": llama, "forebay.request.id": got.header.Get("X-Request-Id"), "forebay.account": s.cfg.Account.ID, "forebay.key": usageKey(t, s),
		},
		dead[0]: {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "d", "forebay.engine": "dead", "error.type": "unavailable"},
		answered[0]: {
			"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "u", "gen_ai.request.max_tokens": "9",
			"gen_ai.request.stream": "true", "gen_ai.usage.input_tokens": "16", "gen_ai.usage.cache_read.input_tokens": "5",
			"gen_ai.usage.output_tokens": "3", "gen_ai.response.time_to_first_chunk": "some", "error.type": "",
		},
	} {
		have := attributes(s)
		for k, v := range want {
			if have[k] != v {
				t.Errorf("%s: %s is %q, want %q", s.Name, k, have[k], v)
			}
		}
	}
	sent := up.Calls()[0].Header
	if sent.Get("Traceparent") != fmt.Sprintf("00-%s-%x-01", callersTrace, answered[0].SpanId) || sent.Get("Tracestate") != "vendor=1" {
		t.Errorf("the engine was sent %q %q", sent.Get("Traceparent"), sent.Get("Tracestate"))
	}
	if strings.Contains(r.raw.String(), canary) || strings.Contains(r.raw.String(), s.creds.APIKey) {
		t.Error("a prompt or a key is in the trace")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.auth != "Bearer of-the-collector" {
		t.Errorf("the collector was sent %q", r.auth)
	}
}

// The standard variables do; prompts are recorded where they are asked for; refusals are traced.
func TestTracingByTheStandardVariables(t *testing.T) {
	s, _, r := tracedServer(t, func(c *config.Config, url string) {
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
		c.Tracing.Prompts = true
		c.Account.Models = map[string]config.Limits{llama: {TokensPerMinute: 5}}
	})
	if got := post(t, s, chatPath, askTraced); got.status != 400 {
		t.Errorf("%d %s", got.status, got.body)
	}
	spans := r.take(t, 2)
	door, wait := named(t, spans, "openai ChatCompletions"), named(t, spans, "admission")
	if len(door) != 1 || len(wait) != 1 || attributes(wait[0])["error.type"] != "invalid" || attributes(door[0])["error.type"] != "invalid" {
		t.Fatalf("%v", spans)
	}
	if !strings.Contains(attributes(door[0])["forebay.request.body"], canary) {
		t.Errorf("%v", attributes(door[0]))
	}
}

// Without a collector nothing is traced, and the caller's context reaches the engine as it came; what is
// none is dropped.
func TestTraceContextPassesThroughUntraced(t *testing.T) {
	s, up, r := tracedServer(t, func(*config.Config, string) {})
	const parent = "00-" + callersTrace + "-" + callersSpan + "-01"
	for sent, want := range map[string]string{parent: parent, "": "", "nonsense": "", parent[:54]: "", strings.ToUpper(parent): ""} {
		before := len(up.Calls())
		post(t, s, chatPath, askTraced, func(r *http.Request) { r.Header.Set("Traceparent", sent); r.Header.Set("Tracestate", "a=b") })
		h := up.Calls()[before].Header
		state := ""
		if want != "" {
			state = "a=b"
		}
		if h.Get("Traceparent") != want || h.Get("Tracestate") != state {
			t.Errorf("%q: the engine was sent %q %q", sent, h.Get("Traceparent"), h.Get("Tracestate"))
		}
	}
	if s.tracer != nil || len(r.spans) != 0 {
		t.Error("something is traced")
	}
}
