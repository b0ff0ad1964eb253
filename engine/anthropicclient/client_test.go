package anthropicclient

import (
	"net/http"
	"slices"
	"testing"

	"forebay/engine"
	"forebay/engine/enginetest"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/engine/upstream"
	"forebay/fault"
	"forebay/infer"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

var (
	_ engine.Client       = (*Client)(nil)
	_ engine.TokenCounter = (*Client)(nil)
)

const members = `"max_tokens":10 , "messages":[{"role":"user","content":"Hi \u00e9 \"model\""}],"x_unknown" : {"model":[1.0,2e3]}`

func open(t testing.TB, up upstream.Config) *Client {
	c, err := New(Config{Upstream: up, APIKey: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func setup(body func(stream bool) (string, string)) enginetest.Setup {
	return enginetest.Setup{
		New:     func(t testing.TB, up upstream.Config) engine.Client { return open(t, up) },
		Through: fakeupstream.Anthropic, Dialect: infer.DialectAnthropic,
		Body:    body,
		Target:  func(bool) string { return "/v1/messages" },
		Raw:     func(sent []fakeupstream.Payload) []fakeupstream.Payload { return sent },
		Garbled: "event: content_block_delta\ndata: {\"type\": \n\n",
	}
}

func TestConformance(t *testing.T) {
	enginetest.Run(t, setup(func(stream bool) (string, string) {
		tail := `}`
		if stream {
			tail = `, "stream": true}`
		}
		return `{"model":"asked", ` + members + tail, `{"model":"` + enginetest.UpstreamModel + `", ` + members + tail
	}))
}

// TestConformanceOfBedrockBodies sends bodies in Bedrock's form.
func TestConformanceOfBedrockBodies(t *testing.T) {
	enginetest.Run(t, setup(func(stream bool) (string, string) {
		head := `{"model":"` + enginetest.UpstreamModel + `",`
		if stream {
			head += `"stream":true,`
		}
		return `{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["a-2025"],` + members + `}`, head + members + `}`
	}))
}

func TestHeaders(t *testing.T) {
	s := fakeupstream.New(t, fakeupstream.Anthropic)
	c := open(t, upstream.Config{BaseURL: s.URL + "/proxy/v1/"})
	defer c.Close() //nolint:errcheck // test
	req := &infer.Request{
		Dialect: infer.DialectAnthropic, Betas: []string{"b", "a"},
		Body: []byte(`{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["a"],"max_tokens":1,"messages":[]}`),
	}
	res, err := c.Infer(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Close()
	call := s.Calls()[0]
	for name, want := range map[string]string{"anthropic-beta": "a,b", "anthropic-version": DefaultVersion, "x-api-key": "secret"} {
		if got := call.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if call.Target != "/proxy/v1/messages" || string(call.Body) != `{"max_tokens":1,"messages":[]}` {
		t.Errorf("%s %s", call.Target, call.Body)
	}
	req.Betas = []string{"a\r\nx: y"}
	if _, err := c.Infer(t.Context(), req); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a beta that would split the header: %v", err)
	}
}

func TestOverloaded(t *testing.T) {
	s := fakeupstream.New(t, fakeupstream.Anthropic)
	s.Refuse(529, "Overloaded", nil)
	c := open(t, upstream.Config{BaseURL: s.URL})
	defer c.Close() //nolint:errcheck // test
	_, err := c.Infer(t.Context(), &infer.Request{Dialect: infer.DialectAnthropic, Body: []byte(`{}`)})
	if fault.KindOf(err) != fault.Overloaded {
		t.Error(err)
	}
}

func TestCountTokens(t *testing.T) {
	s := fakeupstream.New(t, fakeupstream.Anthropic)
	s.Handle(func(c *fakeupstream.Call) { c.Respond(http.StatusOK, nil, []byte(`{"input_tokens":42}`)) })
	c := open(t, upstream.Config{BaseURL: s.URL})
	defer c.Close() //nolint:errcheck // test
	n, err := c.CountTokens(t.Context(), &infer.Request{
		Dialect: infer.DialectAnthropic, UpstreamModel: "m", Stream: true,
		Body: []byte(`{"max_tokens":5,"system":"s","stream":true,"temperature":1,"messages":[],"tools":[],"top_k":3}`),
	})
	call := s.Calls()[0]
	if n != 42 || err != nil || call.Target != "/v1/messages/count_tokens" || string(call.Body) != `{"model":"m","system":"s","messages":[],"tools":[]}` {
		t.Errorf("%d, %v: %s %s", n, err, call.Target, call.Body)
	}
	s.Refuse(404, "no such thing", nil)
	if _, err := c.CountTokens(t.Context(), &infer.Request{Dialect: infer.DialectAnthropic, Body: []byte(`{}`)}); fault.KindOf(err) != fault.ModelFailed {
		t.Error(err)
	}
	if slices.Contains(uncounted, "messages") {
		t.Error("messages are counted")
	}
}
