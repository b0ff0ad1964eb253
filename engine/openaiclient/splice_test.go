package openaiclient

import (
	"cmp"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"forebay/dialect"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/engine/upstream"
	"forebay/fault"
	"forebay/infer"
)

func open(t testing.TB, cfg Config) *Client {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func request(t testing.TB, d infer.Dialect, body string, stream bool) *infer.Request {
	t.Helper()
	codec, _ := dialect.Get(d)
	req := &infer.Request{Dialect: d, Body: []byte(body), Stream: stream, UpstreamModel: "up"}
	if d == infer.DialectOpenAIEmbeddings {
		req.Task = infer.TaskEmbed
	}
	if err := codec.Inspect(req.Body, &req.Facts); err != nil {
		t.Fatal(err)
	}
	return req
}

func TestSplices(t *testing.T) {
	for _, c := range []struct {
		name, in, out string
		stream        bool
		cfg           Config
	}{
		{"nothing to change", `{"model":"up","messages":[]}`, `{"model":"up","messages":[]}`, false, Config{}},
		{"no model", `{"messages":[]}`, `{"model":"up","messages":[]}`, false, Config{}},
		{
			"other stream options", `{"model":"up","stream":true,"stream_options":{"x":[1] , "include_usage":false}}`,
			`{"model":"up","stream":true,"stream_options":{"x":[1] , "include_usage":true}}`, true,
			Config{},
		},
		{
			"usage asked for", `{"model":"up","stream":true,"stream_options":{"include_usage":true}}`,
			`{"model":"up","stream":true,"stream_options":{"include_usage":true}}`, true,
			Config{},
		},
		{"no usage option", `{"model":"up","stream":true}`, `{"model":"up","stream":true}`, true, Config{NoUsageOption: true}},
		{
			"null stream options", `{"stream":true,"stream_options":null,"model":"up"}`,
			`{"stream":true,"stream_options":{"include_usage":true},"model":"up"}`, true,
			Config{},
		},
		{"streaming decided outside", `{"model":"up"}`, `{"stream":true,"stream_options":{"include_usage":true},"model":"up"}`, true, Config{}},
		{"not streaming, decided outside", `{"model":"up","stream":true}`, `{"model":"up","stream":false}`, false, Config{}},
		{"a model to quote", `{"model":"a\"b"}`, `{"model":"up"}`, false, Config{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := fakeupstream.New(t, fakeupstream.OpenAI)
			c.cfg.Upstream.BaseURL = s.URL
			cl := open(t, c.cfg)
			res, err := cl.Infer(t.Context(), request(t, infer.DialectOpenAI, c.in, c.stream))
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Close()
			if got := string(s.Calls()[0].Body); got != c.out {
				t.Errorf("%s\nwant %s", got, c.out)
			}
		})
	}
}

// TestUsageChunk holds the ways in which engines report usage against what clients asked for.
func TestUsageChunk(t *testing.T) {
	const chunk = `{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}`
	const finish = `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
	const usage = `"usage":{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":3}}`
	const apart = `{"choices":[],` + usage + `}`
	const within = `{"choices":[{"index":0,"delta":{},"finish_reason":"length"}],` + usage + `}`
	const null = `{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"usage":null}`
	const content = `{"choices":[{"index":0,"delta":{"content":"\"usage\": {} \"finish_reason\":\"stop\""},"finish_reason":null}]}`
	for _, c := range []struct {
		name       string
		sent, want string // separated by spaces
		wanted     bool
	}{
		{"apart, not wanted", chunk + " " + finish + " " + apart, chunk + " " + finish + "!", false},
		{"apart, wanted", chunk + " " + finish + " " + apart, chunk + " " + finish + " " + apart + "!", true},
		{"within, not wanted", chunk + " " + within, chunk + " " + within + "!", false},
		{"within, wanted", chunk + " " + within, chunk + " " + within + "!", true},
		{"nulls", null + " " + finish + " " + apart, null + " " + finish + "!", false},
		{"two choices", finish + " " + chunk + " " + finish + " " + apart, finish + " " + chunk + " " + finish + "!", false},
		{"no finish", chunk + " " + apart, chunk + " ", false},
		{"spaces", `{"choices":[{"finish_reason":"stop"}]}` + " " + strings.ReplaceAll(apart, "[]", "[ ]"), `{"choices":[{"finish_reason":"stop"}]}!`, false},
		{"in the text", content + " " + finish + " " + apart, content + " " + finish + "!", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := fakeupstream.New(t, fakeupstream.OpenAI)
			s.Handle(func(call *fakeupstream.Call) {
				for _, p := range split(c.sent) {
					call.Send(fakeupstream.Payload{Data: p})
				}
				call.End()
			})
			body := `{"model":"up","stream":true,"stream_options":{"include_usage":` + strconv.FormatBool(c.wanted) + `}}`
			res, err := open(t, Config{Upstream: upstream.Config{BaseURL: s.URL}}).Infer(t.Context(), request(t, infer.DialectOpenAI, body, true))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Close() //nolint:errcheck // test
			got := payloads(t, res)
			if strings.Join(got, "\n") != strings.Join(split(c.want), "\n") {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(split(c.want), "\n"))
			}
			if u, ok := res.Usage(); !ok || u != (infer.Usage{Input: 4, CacheRead: 3, Output: 2}) {
				t.Errorf("usage %+v", u)
			}
		})
	}
}

// payloads pulls a stream to its end; the last payload is marked.
func payloads(t *testing.T, res *infer.Response) (got []string) {
	for {
		ev, err := res.Next()
		if err == io.EOF { //nolint:errorlint // bare
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		text := string(ev.Raw)
		if ev.Last {
			text += "!"
		}
		if ev.Raw == nil && ev.Kind != infer.EventUsage {
			t.Errorf("event %d without a payload", ev.Kind)
		}
		got = append(got, text)
	}
}

// split separates payloads, which are objects.
func split(s string) []string {
	out := strings.Split(s, " {")
	for i := 1; i < len(out); i++ {
		out[i] = "{" + out[i]
	}
	if strings.HasSuffix(s, " ") { // an event without a payload at the end
		out[len(out)-1] = strings.TrimSuffix(out[len(out)-1], " ")
		out = append(out, "")
	}
	return out
}

func TestErrorsInStreams(t *testing.T) {
	for payload, want := range map[string]struct {
		status  int
		message string
	}{
		`{"error":{"message":"boom","code":503}}`:                         {503, "boom"},
		`{"error":"boom"}`:                                                {500, "boom"},
		`{"object": "error", "message": "boom", "code": 40303}`:           {500, "boom"},
		`{"error": {"message": "boom", "type": "x", "code": "overflow"}}`: {500, "boom"},
	} {
		s := fakeupstream.New(t, fakeupstream.OpenAI)
		s.Handle(func(c *fakeupstream.Call) { c.Send(fakeupstream.Payload{Data: payload}); c.End() })
		res, err := open(t, Config{Upstream: upstream.Config{BaseURL: s.URL}}).Infer(t.Context(), request(t, infer.DialectOpenAI, `{"stream":true}`, true))
		if err != nil {
			t.Fatal(err)
		}
		_, err = res.Next()
		if e := fault.From(err); err == nil || e.Kind != fault.StreamFailed || e.OriginalStatus != want.status || e.OriginalMessage != want.message {
			t.Errorf("%s: %+v", payload, err)
		}
		_ = res.Close()
	}
}

func TestOtherDialects(t *testing.T) {
	s := fakeupstream.New(t, fakeupstream.OpenAI)
	c := open(t, Config{Upstream: upstream.Config{BaseURL: s.URL + "/openai/"}, Flavour: OpenAI})
	prompt, n := "once", int64(9)
	answers := map[string]string{
		"/openai/completions":      `{"choices":[{"text":"upon","index":0,"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`,
		"/openai/embeddings":       `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-1]}],"model":"m","usage":{"prompt_tokens":4,"total_tokens":4}}`,
		"/openai/chat/completions": `{"choices":[{"message":{"content":"upon"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`,
	}
	s.Handle(func(call *fakeupstream.Call) { call.Respond(http.StatusOK, nil, []byte(answers[call.Target])) })
	for _, req := range []*infer.Request{
		request(t, infer.DialectOpenAICompletions, `{"model":"x","prompt":"once"}`, false),
		request(t, infer.DialectOpenAIEmbeddings, `{"model":"x","input":"once"}`, false),
		{UpstreamModel: "up", Chat: &infer.Chat{Prompt: &prompt, MaxTokens: &n}},
		{UpstreamModel: "up", Task: infer.TaskEmbed, Embed: &infer.Embed{Inputs: []string{"once"}}},
		{UpstreamModel: "up", Chat: &infer.Chat{MaxTokens: &n, Messages: []infer.Message{{Role: infer.RoleUser, Content: []infer.Block{{Text: "hi"}}}}}},
	} {
		res, err := c.Infer(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		ev, err := res.Next()
		if err != nil || !ev.HasUsage || ev.Raw == nil && ev.Result == nil {
			t.Errorf("%+v, %v", ev, err)
		}
		if ev.Result != nil && req.Embed != nil && (len(ev.Result.Embeddings) != 1 || ev.Result.Embeddings[0].Floats[1] != -1) {
			t.Errorf("%+v", ev.Result)
		}
		_ = res.Close()
	}
	calls := s.Calls()
	for i, want := range []string{
		`{"model":"up","prompt":"once"}`, `{"model":"up","input":"once"}`,
	} {
		if got := string(calls[i].Body); got != want {
			t.Errorf("call %d: %s", i, got)
		}
	}
	if b := string(calls[4].Body); !strings.Contains(b, `"max_completion_tokens":9`) || strings.Contains(b, `"max_tokens"`) {
		t.Errorf("OpenAI's own API got %s", b)
	}
}

func TestKeys(t *testing.T) {
	s := fakeupstream.New(t, fakeupstream.OpenAI)
	for header, want := range map[string]string{"": "Bearer k", "api-key": "k"} {
		c := open(t, Config{Upstream: upstream.Config{BaseURL: s.URL, Header: []upstream.Field{{Name: "X-Extra", Value: "e"}}}, APIKey: "k", KeyHeader: header})
		res, err := c.Infer(t.Context(), request(t, infer.DialectOpenAI, `{}`, false))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Close()
		calls := s.Calls()
		h := calls[len(calls)-1].Header
		if got := h.Get(cmp.Or(header, "Authorization")); got != want || h.Get("X-Extra") != "e" {
			t.Errorf("%q: %v", header, h)
		}
	}
	if _, err := New(Config{Upstream: upstream.Config{BaseURL: "http://x"}, APIKey: "sec\nret"}); err == nil || strings.Contains(err.Error(), "sec") {
		t.Errorf("a key that would split the header: %v", err)
	}
}

func TestProbeAndCount(t *testing.T) {
	for flavour, probe := range map[Flavour]string{
		Generic: "/v1/models", LlamaServer: "/health", VLLM: "/health", SGLang: "/health", TGI: "/health", Ollama: "/api/version", OpenAI: "/v1/models",
	} {
		s := fakeupstream.New(t, fakeupstream.OpenAI)
		s.Handle(func(c *fakeupstream.Call) {
			answers := map[string]string{
				"/apply-template": `{"prompt":"<user>hi"}`, "/tokenize": `{"count":3,"max_model_len":10,"tokens":[1,2,3]}`, probe: `{}`,
			}
			if a, ok := answers[c.Target]; ok {
				c.Respond(http.StatusOK, nil, []byte(a))
				return
			}
			c.Respond(http.StatusNotFound, nil, []byte(`{}`))
		})
		c := open(t, Config{Upstream: upstream.Config{BaseURL: s.URL}, Flavour: flavour})
		if err := c.Probe(t.Context()); err != nil {
			t.Errorf("%s: %v", flavour, err)
		}
		prompt := "x"
		for _, req := range []*infer.Request{
			request(t, infer.DialectOpenAI, `{"messages":[{"role":"user","content":"hi"}]}`, false),
			{UpstreamModel: "up", Chat: &infer.Chat{Prompt: &prompt}},
			{UpstreamModel: "up", Chat: &infer.Chat{Messages: []infer.Message{{Role: infer.RoleUser, Content: []infer.Block{{Text: "hi"}}}}}},
		} {
			n, err := c.CountTokens(t.Context(), req)
			counts := flavour == LlamaServer || flavour == VLLM
			if counts && (n != 3 || err != nil) || !counts && fault.KindOf(err) != fault.Unsupported {
				t.Errorf("%s: %d, %v", flavour, n, err)
			}
		}
	}
	if _, err := New(Config{Upstream: upstream.Config{BaseURL: "http://x"}, Flavour: "vlm"}); err == nil {
		t.Error("an unknown flavour was taken")
	}
}

// FuzzLook shows the look at chunks whatever an engine may send; a chunk without its marks
// must never end or silence anything.
func FuzzLook(f *testing.F) {
	for _, s := range []string{
		`{"choices":[{"delta":{"content":"a"},"finish_reason":null}]}`, `{"choices":[],"usage":{"prompt_tokens":1}}`, `{"error":{"code":"x"}}`,
		`{"choices" : [ ] , "usage" : { } }`, `[DONE]`, `{"choices":`, `{"usage":{"prompt_tokens":-1}}`, `{"object":"error","code":1e9}`, ``,
	} {
		f.Add([]byte(s), true)
	}
	codec, _ := dialect.Get(infer.DialectOpenAI)
	f.Fuzz(func(t *testing.T, p []byte, silent bool) {
		n, err := (&looker{codec: codec, silent: silent}).look("", p)
		if err != nil && fault.KindOf(err) != fault.StreamFailed {
			t.Fatal(err)
		}
		if n.End != (string(p) == "[DONE]") || n.Silent && (!silent || !n.HasUsage) || n.Ends {
			t.Fatalf("%q: %+v", p, n)
		}
	})
}
