package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forebay/config"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/internal/llamatest"
	"forebay/meter"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("modernc.org/sqlite.init.func1"))
}

const haiku = "anthropic.claude-3-haiku-20240307-v1:0"

// testConfig is a server on free ports whose simulated engine takes no time.
func testConfig(t *testing.T) config.Config {
	t.Helper()
	c := config.Default()
	c.DataDir = t.TempDir()
	c.Server.Listen, c.Server.TLSListen = "127.0.0.1:0", ""
	c.Engines = map[string]config.Engine{"sim": {Type: "simulated", Profile: "instant", Directives: true}}
	c.Models = map[string]config.Model{}
	for _, id := range []string{haiku, "meta.llama3-8b-instruct-v1:0", "amazon.titan-embed-text-v2:0", "amazon.nova-lite-v1:0"} {
		c.Models[id] = config.Model{Engines: []config.Binding{{Engine: "sim"}}}
	}
	return c
}

// run starts a server and stops it when the test ends.
func run(t *testing.T, c config.Config) *Server {
	t.Helper()
	s, err := New(t.Context(), c, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})))
	if err != nil {
		t.Fatal(err)
	}
	start(t, s)
	return s
}

// start lets a server run until the test ends, and checks that it leaves nothing behind.
func start(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if n := s.dispatch.InFlight(); n != 0 {
			t.Errorf("%d calls were left behind", n)
		}
		if n := s.front.budget.Used(); n != 0 {
			t.Errorf("%d body bytes were left behind", n)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

type answer struct {
	status int
	header http.Header
	body   string
}

// post sends a body with the development key.
func post(t *testing.T, s *Server, path, body string, change ...func(*http.Request)) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.creds.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.creds.APIKey)
	req.Header.Set("Content-Type", "application/json")
	for _, f := range change {
		f(req)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

const (
	chatPath     = "/v1/chat/completions"
	messagesPath = "/v1/messages"
	conversePath = "/model/" + haiku + "/converse"
	invokePath   = "/model/" + haiku + "/invoke"
)

// Bad input gets the error that the real service gives, and leaves nothing behind (run checks).
func TestBadInput(t *testing.T) {
	s := run(t, testConfig(t))
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	for _, c := range []struct {
		name, path, body string
		status           int
		want             string
	}{
		{"malformed", chatPath, `{"model":`, 400, "invalid_request_error"},
		{"not an object", chatPath, `[]`, 400, "invalid_request_error"},
		{"NaN", chatPath, `{"model":"m","temperature":NaN,"messages":[]}`, 400, "invalid_request_error"},
		{"duplicate control member", chatPath, `{"model":"a","model":"b","messages":[]}`, 400, "twice"},
		{"duplicate, escaped", chatPath, `{"model":"a","\u006dodel":"b","messages":[]}`, 400, "twice"},
		{"too deep", chatPath, `{"model":"m","messages":` + deep + `}`, 400, "invalid_request_error"},
		{"invalid UTF-8", chatPath, "{\"model\":\"\xff\"}", 400, "invalid_request_error"},
		{"no model", chatPath, `{"messages":[{"role":"user","content":"x"}]}`, 400, "you must provide a model parameter"},
		{"wrong type of model", chatPath, `{"model":5}`, 400, "invalid_request_error"},
		{"wrong type of stream", chatPath, `{"model":"` + haiku + `","stream":"yes"}`, 400, `"param":"stream"`},
		{"zero max_tokens", chatPath, `{"model":"` + haiku + `","max_tokens":0,"messages":[]}`, 400, "integer below minimum value"},
		{"huge max_tokens", chatPath, `{"model":"` + haiku + `","max_tokens":99999999999999999999,"messages":[]}`, 400, "expected an integer"},
		{"empty messages", chatPath, `{"model":"` + haiku + `","messages":[]}`, 400, `"param":"messages"`},
		{"unknown role", chatPath, `{"model":"` + haiku + `","messages":[{"role":"wizard","content":"x"}]}`, 400, `messages[0].role`},
		{"unknown model", chatPath, `{"model":"nope","messages":[]}`, 404, "model_not_found"},
		{"embedding model in chat", chatPath, `{"model":"amazon.titan-embed-text-v2:0","messages":[{"role":"user","content":"x"}]}`, 400, "not supported"},
		{"unknown path", "/v1/nope", `{}`, 404, "Unknown request URL"},
		{"base64 garbage", chatPath, `{"model":"` + haiku + `","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,@@@"}}]}]}`, 400, "base64"},
		{"wrong image type", chatPath, `{"model":"` + haiku + `","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,R0lGODlh"}}]}]}`, 400, "does not match"},

		{"anthropic: empty", messagesPath, `{"model":"` + haiku + `","max_tokens":5,"messages":[]}`, 400, "at least one message"},
		{"anthropic: unknown role", messagesPath, `{"model":"` + haiku + `","max_tokens":5,"messages":[{"role":"x","content":"y"}]}`, 400, "invalid_request_error"},

		{"converse: malformed", conversePath, `{`, 400, "SerializationException"},
		{"converse: wrong type", conversePath, `{"messages":"x"}`, 400, "SerializationException"},
		{"converse: out of range", conversePath, `{"messages":[{"role":"user","content":[{"text":"x"}]}],"inferenceConfig":{"maxTokens":1,"temperature":2,"topP":-1}}`, 400, "2 validation errors detected"},
		{"converse: role", conversePath, `{"messages":[{"role":"x","content":[{"text":"x"}]}]}`, 400, "enum value set: [user, assistant]"},
		{"converse: blank text", conversePath, `{"messages":[{"role":"user","content":[{"text":""}]}]}`, 400, "is blank"},
		{"converse: guardrail", conversePath, `{"messages":[{"role":"user","content":[{"text":"x"}]}],"guardrailConfig":{"guardrailIdentifier":"a","guardrailVersion":"1"}}`, 400, "guardrail"},
		{"invoke: missing max_tokens", invokePath, `{"anthropic_version":"bedrock-2023-05-31","messages":[{"role":"user","content":"x"}]}`, 400, "required key [max_tokens] not found"},
		{"invoke: malformed", invokePath, `nope`, 400, "Malformed input request"},
		{"invoke: wrong family", "/model/meta.llama3-8b-instruct-v1:0/invoke", `{"messages":[]}`, 400, "required key [prompt] not found"},
		{"invoke: unknown model", "/model/x.y/invoke", `{}`, 400, "The provided model identifier is invalid."},
		{"unknown operation", "/model/x/nope", `{}`, 404, "UnknownOperationException"},
		{"path tricks", "/model/../v1/models", `{}`, 404, ""},
		{"double slash", "/v1//models", `{}`, 404, ""},
		{"null byte", "/model/a%00b/invoke", `{}`, 404, ""},
	} {
		got := post(t, s, c.path, c.body)
		if got.status != c.status || !strings.Contains(got.body, c.want) {
			t.Errorf("%s: %d %.300s, want %d with %q", c.name, got.status, got.body, c.status, c.want)
		}
		if strings.HasPrefix(got.body, "<") || got.header.Get("Location") != "" {
			t.Errorf("%s: an answer that no API client understands: %.100s", c.name, got.body)
		}
	}
}

func TestAuthentication(t *testing.T) {
	s := run(t, testConfig(t))
	body := `{"model":"` + haiku + `","max_tokens":5,"messages":[{"role":"user","content":"x"}]}`
	set := func(k, v string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Del("Authorization")
			if v != "" {
				r.Header.Set(k, v)
			}
		}
	}
	for _, c := range []struct {
		name, path string
		change     func(*http.Request)
		status     int
		want       string
	}{
		{"none", chatPath, set("X", ""), 401, "API key"},
		{"none, AWS", conversePath, set("X", ""), 403, "MissingAuthenticationTokenException"},
		{"wrong key", chatPath, set("Authorization", "Bearer nonsense"), 401, "invalid_api_key"},
		{"wrong key, anthropic", messagesPath, set("X-Api-Key", "nonsense"), 401, "authentication_error"},
		{"x-api-key", messagesPath, set("X-Api-Key", s.creds.APIKey), 200, "message"},
		{"basic", chatPath, set("Authorization", "Basic eDp5"), 401, "invalid_request_error"},
		{"malformed signature", conversePath, set("Authorization", "AWS4-HMAC-SHA256 Credential=x"), 400, "IncompleteSignatureException"},
		{"short-term nonsense", conversePath, set("Authorization", "Bearer bedrock-api-key-e30="), 403, "UnrecognizedClientException"},
		{"header injection", chatPath, set("Authorization", "Bearer a\tb"), 401, "invalid_api_key"},
	} {
		got := post(t, s, c.path, body, c.change)
		if got.status != c.status || !strings.Contains(got.body, c.want) {
			t.Errorf("%s: %d %.200s, want %d with %q", c.name, got.status, got.body, c.status, c.want)
		}
		if strings.Contains(got.body, s.creds.APIKey) {
			t.Errorf("%s: the key is echoed", c.name)
		}
	}
}

func TestBodyOverTheLimit(t *testing.T) {
	c := testConfig(t)
	c.Server.BodyLimit = 1000
	s := run(t, c)
	big := `{"model":"` + haiku + `","x":"` + strings.Repeat("y", 2000) + `"}`
	if got := post(t, s, chatPath, big); got.status != 413 {
		t.Errorf("with a length: %d %s", got.status, got.body)
	}
	chunked := func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader(big)), -1 }
	if got := post(t, s, chatPath, "", chunked); got.status != 413 {
		t.Errorf("in chunks: %d %s", got.status, got.body)
	}
	if got := post(t, s, conversePath, big); got.status != 400 || !strings.Contains(got.body, "ValidationException") {
		t.Errorf("converse: %d %s", got.status, got.body)
	}
}

// bound is a server one of whose models is served by a fake upstream.
func bound(t *testing.T, p *fakeupstream.Protocol, kind string, more ...config.Binding) (*Server, *fakeupstream.Server) {
	t.Helper()
	up := fakeupstream.New(t, p)
	c := testConfig(t)
	c.Engines["up"] = config.Engine{Type: kind, URL: up.URL}
	c.Models[haiku] = config.Model{Engines: append([]config.Binding{{Engine: "up", Model: "the-engines-own-name"}}, more...)}
	return run(t, c), up
}

// A body whose engine speaks its dialect reaches the engine as it was sent, but for the
// model's name; what we do not know is kept.
func TestPassThroughIsByteIdentical(t *testing.T) {
	s, up := bound(t, fakeupstream.OpenAI, "openai")
	up.Say("Hello", " there")
	body := "{ \"model\" : \"" + haiku + "\",\n \"messages\":[{\"role\":\"user\",\"content\":\"h\\u00e9\"}] , \"unknown_parameter\": {\"a\":[1.0,2e3]} }"
	got := post(t, s, chatPath, body)
	if got.status != 200 || !strings.Contains(got.body, "Hello there") || !strings.Contains(got.body, `"`+haiku+`"`) {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if sent, want := string(up.Calls()[0].Body), strings.Replace(body, haiku, "the-engines-own-name", 1); sent != want {
		t.Errorf("the engine was sent\n%s\nwant\n%s", sent, want)
	}
	stream := strings.Replace(body, `"unknown`, `"stream":true, "unknown`, 1)
	got = post(t, s, chatPath, stream)
	if got.status != 200 || !strings.HasSuffix(got.body, "data: [DONE]\n\n") || strings.Contains(got.body, `"usage":{`) {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestConversionToAnotherDialect(t *testing.T) {
	s, up := bound(t, fakeupstream.OpenAI, "openai")
	up.Say("Hello", " there")
	for _, c := range []struct{ path, body, want string }{
		{conversePath, `{"messages":[{"role":"user","content":[{"text":"hi"}]}]}`, `"text":"Hello there"`},
		{invokePath, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`, `"text":"Hello there"`},
		{messagesPath, `{"model":"` + haiku + `","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`, `"text":"Hello there"`},
	} {
		got := post(t, s, c.path, c.body)
		if got.status != 200 || !strings.Contains(got.body, c.want) {
			t.Errorf("%s: %d %s", c.path, got.status, got.body)
		}
	}
}

// usage waits for nothing: rows are durable before the last byte of a response.
func usage(t *testing.T, s *Server, by ...string) []meter.UsageRow {
	t.Helper()
	rows, err := s.ledger.Usage(t.Context(), meter.UsageQuery{By: by})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestFailOverBeforeTheFirstByte(t *testing.T) {
	s, up := bound(t, fakeupstream.OpenAI, "openai", config.Binding{Engine: "sim"})
	up.Refuse(500, "broken", nil)
	for range 4 {
		got := post(t, s, chatPath, `{"model":"`+haiku+`","messages":[{"role":"user","content":"hi"}]}`)
		if got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if rows := usage(t, s, "outcome"); len(rows) != 1 || rows[0].Group[0] != meter.OutcomeOK || rows[0].Requests != 4 {
		t.Errorf("%+v", rows)
	}
}

func TestModelErrorsKeepTheirStatus(t *testing.T) {
	s, up := bound(t, fakeupstream.OpenAI, "openai")
	up.Refuse(422, "the prompt is odd", nil)
	got := post(t, s, conversePath, `{"messages":[{"role":"user","content":[{"text":"hi"}]}]}`)
	if got.status != 424 || !strings.Contains(got.body, `"originalStatusCode":422`) || got.header.Get("X-Amzn-Errortype") != "ModelErrorException" {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	got = post(t, s, chatPath, `{"model":"`+haiku+`","messages":[{"role":"user","content":"hi"}]}`)
	if got.status != 422 || !strings.Contains(got.body, "the prompt is odd") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// A client that leaves stops the engine; its row says so, with what was produced.
func TestClientThatLeaves(t *testing.T) {
	s, up := bound(t, fakeupstream.OpenAI, "openai")
	gone := make(chan struct{})
	up.Handle(func(c *fakeupstream.Call) {
		c.Start()
		c.Send(fakeupstream.Payload{Data: `{"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"tok"}}]}`})
		<-c.Gone()
		close(gone)
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.creds.URL+chatPath,
		strings.NewReader(`{"model":"`+haiku+`","stream":true,"messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.creds.APIKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := res.Body.Read(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = res.Body.Close()
	<-gone
	deadline := time.Now().Add(10 * time.Second)
	for s.ledger.Rows() == 0 && time.Now().Before(deadline) {
		<-time.After(time.Millisecond)
	}
	if rows := usage(t, s, "outcome"); len(rows) != 1 || rows[0].Group[0] != meter.OutcomeCanceled || rows[0].Output != 1 {
		t.Errorf("%+v", rows)
	}
}

func TestQuotasRefuseWithAReason(t *testing.T) {
	c := testConfig(t)
	c.Account.Models = map[string]config.Limits{haiku: {TokensPerMinute: 100}}
	s := run(t, c)
	ask := func(max int) answer {
		return post(t, s, chatPath, fmt.Sprintf(`{"model":"%s","max_tokens":%d,"messages":[{"role":"user","content":"hi"}]}`, haiku, max))
	}
	if got := ask(1000); got.status != 400 || !strings.Contains(got.body, "Lower max_tokens") {
		t.Errorf("over the depth: %d %s", got.status, got.body)
	}
	if got := ask(10); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	var refused answer
	for range 5 {
		if refused = ask(60); refused.status == 429 {
			break
		}
	}
	if refused.status != 429 || refused.header.Get("Retry-After") == "" || refused.header.Get("X-Forebay-Retry") != "exact" ||
		!strings.Contains(refused.header.Get("X-Forebay-Reason"), "100 tokens/min of model") {
		t.Fatalf("%d %v %s", refused.status, refused.header, refused.body)
	}
	e, err := s.ledger.Explain(t.Context(), refused.header.Get("X-Request-Id"))
	if err != nil || e.Outcome != meter.OutcomeRefused || !strings.Contains(e.Detail, `"refusedBy":"model `+haiku+` tokens/min"`) {
		t.Errorf("%+v %v", e, err)
	}
}

// A budget is held by the most a call can cost, so it is refused before it costs anything.
func TestBudgetIsNeverPassed(t *testing.T) {
	c := testConfig(t)
	c.Account.Limits.SpendPerDay = "0.0002 USD"
	s := run(t, c)
	statuses := make(chan int, 20)
	for range cap(statuses) {
		go func() {
			req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.creds.URL+chatPath,
				strings.NewReader(`{"model":"`+haiku+`","max_tokens":40,"messages":[{"role":"user","content":"hi"}]}`))
			if err != nil {
				statuses <- 0
				return
			}
			req.Header.Set("Authorization", "Bearer "+s.creds.APIKey)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				statuses <- 0
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			statuses <- res.StatusCode
		}()
	}
	counts := map[int]int{}
	for range cap(statuses) {
		counts[<-statuses]++
	}
	if counts[200] == 0 || counts[429] == 0 || counts[200]+counts[429] != cap(statuses) {
		t.Errorf("%v", counts)
	}
	var spent int64
	for _, r := range usage(t, s) {
		spent += r.Charge
	}
	if spent > 200_000 {
		t.Errorf("%d nano-USD were spent of 200000", spent)
	}
	if got := post(t, s, "/v1/embeddings", `{"model":"amazon.titan-embed-text-v2:0","input":"x"}`); got.status != 429 || !strings.Contains(got.header.Get("X-Forebay-Reason"), "price") {
		t.Errorf("a model of unknown price under a budget: %d %v", got.status, got.header)
	}
}

// What was used is known after a restart, and keys are the same.
func TestRestart(t *testing.T) {
	c := testConfig(t)
	c.Account.Limits.TokensPerDay = 500
	body := `{"model":"` + haiku + `","max_tokens":60,"messages":[{"role":"user","content":"hi"}]}`
	var key string
	t.Run("first", func(t *testing.T) {
		s := run(t, c)
		key = s.creds.APIKey
		for post(t, s, chatPath, body).status == 200 {
		}
	})
	s := run(t, c)
	if s.creds.APIKey != key || s.creds.New {
		t.Error("the keys changed")
	}
	if got := post(t, s, chatPath, body); got.status != 429 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// An application's key calls models and administers nothing.
func TestOnlyNamedKeysAdminister(t *testing.T) {
	s := run(t, testConfig(t))
	made := post(t, s, "/admin/v1/keys", `{"name":"app","kind":"api-key"}`)
	_, rest, _ := strings.Cut(made.body, `"secret": "`)
	secret, _, _ := strings.Cut(rest, `"`)
	use := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+secret) }
	if got := post(t, s, chatPath, `{"model":"`+haiku+`","max_tokens":5,"messages":[{"role":"user","content":"x"}]}`, use); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	for _, body := range []string{`{"name":"more","kind":"api-key"}`, ``} {
		if got := post(t, s, "/admin/v1/keys", body, use); got.status != 403 {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
}

func TestKeysCanBeRevoked(t *testing.T) {
	s := run(t, testConfig(t))
	made := post(t, s, "/admin/v1/keys", `{"name":"app","kind":"api-key","policy":{"Models":["amazon.*"]}}`)
	_, rest, _ := strings.Cut(made.body, `"secret": "`)
	secret, _, _ := strings.Cut(rest, `"`)
	_, rest, _ = strings.Cut(made.body, `"id": "`)
	id, _, _ := strings.Cut(rest, `"`)
	use := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+secret) }
	ask := func(model string) int {
		return post(t, s, chatPath, `{"model":"`+model+`","max_tokens":5,"messages":[{"role":"user","content":"x"}]}`, use).status
	}
	if a, b := ask("amazon.nova-lite-v1:0"), ask(haiku); a != 200 || b != 403 {
		t.Errorf("%d and %d with a policy for amazon.*: %s", a, b, made.body)
	}
	if got := post(t, s, "/admin/v1/keys/"+id, "", func(r *http.Request) { r.Method = http.MethodDelete }); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := ask("amazon.nova-lite-v1:0"); got != 401 {
		t.Errorf("a revoked key: %d", got)
	}
}

// A real engine behind every API.
func TestRealEngineThroughEveryAPI(t *testing.T) {
	url := llamatest.Start(t)
	c := testConfig(t)
	c.Engines["llama"] = config.Engine{Type: "openai", Flavour: "llama-server", URL: url + "/v1"}
	c.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "llama", Model: "tiny"}}}
	c.Models["meta.llama3-8b-instruct-v1:0"] = c.Models[haiku]
	s := run(t, c)
	for _, x := range []struct{ path, body, want string }{
		{chatPath, `{"model":"` + haiku + `","max_tokens":8,"temperature":0,"messages":[{"role":"user","content":"hi"}]}`, `"completion_tokens":8`},
		{chatPath, `{"model":"` + haiku + `","max_tokens":8,"temperature":0,"stream":true,"messages":[{"role":"user","content":"hi"}]}`, "[DONE]"},
		{"/v1/completions", `{"model":"` + haiku + `","max_tokens":8,"temperature":0,"prompt":"hi"}`, `"completion_tokens":8`},
		{messagesPath, `{"model":"` + haiku + `","max_tokens":8,"temperature":0,"messages":[{"role":"user","content":"hi"}]}`, `"output_tokens":8`},
		{messagesPath, `{"model":"` + haiku + `","max_tokens":8,"temperature":0,"stream":true,"messages":[{"role":"user","content":"hi"}]}`, "message_stop"},
		{conversePath, `{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":8,"temperature":0}}`, `"outputTokens":8`},
		{conversePath + "-stream", `{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":8,"temperature":0}}`, "messageStop"},
		{invokePath, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":8,"temperature":0,"messages":[{"role":"user","content":"hi"}]}`, `"stop_reason":"max_tokens"`},
		{"/model/meta.llama3-8b-instruct-v1:0/invoke", `{"prompt":"hi","max_gen_len":8,"temperature":0}`, `"generation_token_count":8`},
		{"/model/" + haiku + "/count-tokens", `{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"hi"}]}]}}}`, `"inputTokens":`},
	} {
		if got := post(t, s, x.path, x.body); got.status != 200 || !strings.Contains(got.body, x.want) {
			t.Errorf("%s: %d %.400s, want %s", x.path, got.status, got.body, x.want)
		}
	}
	for _, r := range usage(t, s, "engine") {
		if r.Group[0] != "llama" || r.Requests != 9 || r.Output != 72 {
			t.Errorf("%+v", r)
		}
	}
}

func TestProbesAndMetricsNeedNoKey(t *testing.T) {
	s := run(t, testConfig(t))
	post(t, s, chatPath, `{"model":"`+haiku+`","max_tokens":5,"messages":[{"role":"user","content":"x"}]}`)
	for path, want := range map[string]string{"/livez": "ok", "/readyz": "ok", "/metrics": `forebay_calls_total{api="openai",gen_ai_request_model="` + haiku + `",outcome="ok",reason=""} 1`} {
		got := post(t, s, path, "", func(r *http.Request) { r.Method = http.MethodGet; r.Header.Del("Authorization") })
		if got.status != 200 || !bytes.Contains([]byte(got.body), []byte(want)) {
			t.Errorf("%s: %d %.200s", path, got.status, got.body)
		}
	}
}

func TestPortInUse(t *testing.T) {
	s := run(t, testConfig(t))
	c := testConfig(t)
	c.Server.Listen = strings.TrimPrefix(s.creds.URL, "http://")
	if _, err := New(t.Context(), c, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("%v", err)
	}
}

// secretFile is a reference to a file with the secret.
func secretFile(t *testing.T, secret string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	return "file:" + path
}

// header sets a header of a request.
func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// Forebay in front of another Forebay that plays AWS: bodies of the family pass through, others
// are converted, failures keep their meaning.
func TestForebayBehindForebay(t *testing.T) {
	cloud := run(t, testConfig(t))
	key := secretFile(t, cloud.creds.APIKey)
	c := testConfig(t)
	c.Engines["aws"] = config.Engine{Type: "bedrock", URL: cloud.creds.URL, APIKey: key}
	c.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "aws"}}}
	s := run(t, c)
	native := `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`
	for _, x := range []struct {
		path, body string
		status     int
		want       string
	}{
		{invokePath, native, 200, `"type":"message"`},
		{invokePath + "-with-response-stream", native, 200, "chunk"},
		{conversePath, `{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":9}}`, 200, `"outputTokens":9`},
		{conversePath + "-stream", `{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":9}}`, 200, "messageStop"},
		{chatPath, `{"model":"` + haiku + `","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`, 200, `"completion_tokens":9`},
		{messagesPath, `{"model":"` + haiku + `","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}`, 200, "message_stop"},
		{conversePath, `{"messages":[{"role":"user","content":[{"text":"[[fail:418]]"}]}]}`, 424, "ModelErrorException"},
	} {
		got := post(t, s, x.path, x.body)
		if got.status != x.status || !strings.Contains(got.body, x.want) {
			t.Errorf("%s: %d %.300s, want %s", x.path, got.status, got.body, x.want)
		}
	}
	for _, srv := range []*Server{cloud, s} {
		var output, ok int64
		for _, r := range usage(t, srv, "outcome") {
			if r.Group[0] == meter.OutcomeOK {
				output, ok = r.Output, r.Requests
			}
		}
		if ok != 6 || output != 54 {
			t.Errorf("%d calls and %d tokens on a ledger, want 6 and 54", ok, output)
		}
	}
}

// An Anthropic engine takes the Anthropic and the Bedrock form of the same body.
func TestAnthropicEngine(t *testing.T) {
	s, up := bound(t, fakeupstream.Anthropic, "anthropic")
	up.Say("Hello", " there")
	for _, x := range []struct{ path, body, want string }{
		{messagesPath, `{"model":"` + haiku + `","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"odd":1}`, "Hello there"},
		{messagesPath, `{"model":"` + haiku + `","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}`, "message_stop"},
		{invokePath, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"odd":1}`, "Hello there"},
		{conversePath, `{"messages":[{"role":"user","content":[{"text":"hi"}]}]}`, "Hello there"},
		{chatPath, `{"model":"` + haiku + `","messages":[{"role":"user","content":"hi"}]}`, "Hello there"},
	} {
		if got := post(t, s, x.path, x.body); got.status != 200 || !strings.Contains(got.body, x.want) {
			t.Errorf("%s: %d %.300s", x.path, got.status, got.body)
		}
	}
	for i, c := range up.Calls() {
		if c.Target != "/v1/messages" || !strings.Contains(string(c.Body), `"model":"the-engines-own-name"`) || strings.Contains(string(c.Body), "bedrock-2023") {
			t.Errorf("call %d: %s %s", i, c.Target, c.Body)
		}
	}
	if !strings.Contains(string(up.Calls()[0].Body), `"odd":1`) || !strings.Contains(string(up.Calls()[2].Body), `"odd":1`) {
		t.Error("an unknown parameter was lost")
	}
}
