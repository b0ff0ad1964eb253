package openaiclient

import (
	"io"
	"strings"
	"testing"

	"forebay/engine"
	"forebay/engine/upstream"
	"forebay/fault"
	"forebay/infer"
	"forebay/internal/llamatest"
)

// attempt makes an attempt, and another one where a kept connection had been closed, as the scheduler does: this engine closes them as it pleases.
func attempt(t *testing.T, c *Client, req *infer.Request) (*infer.Response, error) {
	t.Helper()
	resp, err := c.Infer(t.Context(), req)
	if e := fault.From(err); err != nil && e.Code == engine.StaleConnection {
		return c.Infer(t.Context(), req)
	}
	return resp, err
}

// TestRealEngine holds the client against llama.cpp's own server.
func TestRealEngine(t *testing.T) {
	url := llamatest.Start(t)
	c := open(t, Config{Upstream: upstream.Config{BaseURL: url}, Flavour: LlamaServer})
	if err := c.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	const body = `{"messages":[{"role":"user","content":"hi"}],"max_tokens":8,"temperature":0`
	whole, err := attempt(t, c, request(t, infer.DialectOpenAI, body+"}", false))
	if err != nil {
		t.Fatal(err)
	}
	if ev, err := whole.Next(); err != nil || !strings.Contains(string(ev.Raw), `"chat.completion"`) {
		t.Fatal(ev, err)
	}
	u, ok := whole.Usage()
	_ = whole.Close()
	if !ok || u.Output != 8 || u.Input+u.CacheRead == 0 {
		t.Errorf("usage %+v", u)
	}
	count, err := c.CountTokens(t.Context(), request(t, infer.DialectOpenAI, body+"}", false))
	if err != nil || count != u.Input+u.CacheRead {
		t.Errorf("the tokenizer counts %d, the call %d, %v", count, u.Input+u.CacheRead, err)
	}
	n, greedy := int64(8), 0.0
	chat := &infer.Chat{MaxTokens: &n, Temperature: &greedy, Messages: []infer.Message{{Role: infer.RoleUser, Content: []infer.Block{{Text: "hi"}}}}}
	for _, req := range []*infer.Request{request(t, infer.DialectOpenAI, body+`,"stream":true}`, true), {Chat: chat, Stream: true, UpstreamModel: "up"}} {
		res, err := attempt(t, c, req)
		if err != nil {
			t.Fatal(err)
		}
		last, tokens := false, int64(0)
		for {
			ev, err := res.Next()
			if err == io.EOF { //nolint:errorlint // bare
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			last = ev.Last
			tokens += ev.Tokens
		}
		if u, ok := res.Usage(); !ok || u.Output != 8 || tokens < 8 || req.Body != nil && !last {
			t.Errorf("usage %+v, %d tokens, last %v", u, tokens, last)
		}
		_ = res.Close()
	}
	_, err = attempt(t, c, request(t, infer.DialectOpenAI, `{"messages":[{"role":"nobody"}]}`, false))
	if e := fault.From(err); e == nil || e.Kind != fault.ModelFailed || e.OriginalStatus != 400 || e.OriginalMessage == "" {
		t.Errorf("a bad request: %+v", e)
	}
}
