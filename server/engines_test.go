package server

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forebay/config"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/meter"
)

// bound is a server one of whose models is served by a fake upstream.
func bound(t *testing.T, p *fakeupstream.Protocol, kind string, more ...config.Binding) (*Server, *fakeupstream.Server) {
	t.Helper()
	up := fakeupstream.New(t, p)
	c := testConfig(t)
	c.Engines["up"] = config.Engine{Type: kind, URL: up.URL}
	c.Models[haiku] = config.Model{Engines: append([]config.Binding{{Engine: "up", Model: "the-engines-own-name"}}, more...)}
	return run(t, c), up
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

// secretFile is a reference to a file with the secret.
func secretFile(t *testing.T, secret string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	return "file:" + path
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

// Counting goes on to the next engine when one cannot count or is not there; a refusal of the
// request itself stands.
func TestCountingFailsOver(t *testing.T) {
	const path = "/model/" + haiku + "/count-tokens"
	const body = `{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"hi"}]}]}}}`
	for _, k := range []struct {
		kind   string
		p      *fakeupstream.Protocol
		status int
		want   string
	}{
		{"openai", fakeupstream.OpenAI, 200, `{"inputTokens":`},       // no tokenizer at hand
		{"anthropic", fakeupstream.Anthropic, 200, `{"inputTokens":`}, // down
	} {
		s, up := bound(t, k.p, k.kind, config.Binding{Engine: "sim"})
		up.Refuse(503, "down", nil)
		if got := post(t, s, path, body); got.status != k.status || !strings.Contains(got.body, k.want) {
			t.Errorf("%s: %d %s", k.kind, got.status, got.body)
		}
	}
	s, up := bound(t, fakeupstream.Anthropic, "anthropic", config.Binding{Engine: "sim"})
	up.Refuse(400, "odd request", nil)
	if got := post(t, s, path, body); got.status != 424 || !strings.Contains(got.body, "odd request") {
		t.Errorf("%d %s", got.status, got.body)
	}
	s, _ = bound(t, fakeupstream.OpenAI, "openai")
	got := post(t, s, messagesPath+"/count_tokens", `{"model":"`+haiku+`","messages":[{"role":"user","content":"hi"}]}`)
	if got.status != 400 || !strings.Contains(got.body, `"invalid_request_error"`) || !strings.Contains(got.body, "counting tokens") {
		t.Errorf("an engine without a tokenizer: %d %s", got.status, got.body)
	}
}

// An alias is listed and found beside the models, and answers under its own name.
func TestAliasesAreModels(t *testing.T) {
	c := testConfig(t)
	c.Aliases = map[string]string{"gpt-4o-mini": haiku}
	s := run(t, c)
	get := func(r *http.Request) { r.Method = http.MethodGet }
	version := header("Anthropic-Version", "2023-06-01")
	for _, x := range []struct {
		path   string
		change []func(*http.Request)
	}{
		{"/v1/models", []func(*http.Request){get}},
		{"/openai/v1/models/gpt-4o-mini", []func(*http.Request){get}},
		{"/v1/models", []func(*http.Request){get, version}},
		{"/v1/models/gpt-4o-mini", []func(*http.Request){get, version}},
	} {
		if got := post(t, s, x.path, "", x.change...); got.status != 200 || !strings.Contains(got.body, `"id":"gpt-4o-mini"`) {
			t.Errorf("%s: %d %.300s", x.path, got.status, got.body)
		}
	}
	got := post(t, s, chatPath, `{"model":"gpt-4o-mini","max_tokens":5,"messages":[{"role":"user","content":"x"}]}`)
	if got.status != 200 || !strings.Contains(got.body, `"model":"gpt-4o-mini"`) || got.header.Get("X-Forebay-Model-Served") != haiku {
		t.Errorf("%d %s %v", got.status, got.body, got.header)
	}
	e, err := s.ledger.Explain(t.Context(), got.header.Get("X-Request-Id"))
	if err != nil || e.ModelAsked != "gpt-4o-mini" || e.Model != haiku {
		t.Errorf("the ledger says %+v %v", e, err)
	}
}

// A model's time-outs go before its engine's.
func TestTimeoutsOfTheModel(t *testing.T) {
	up := fakeupstream.New(t, fakeupstream.OpenAI)
	up.Handle(func(c *fakeupstream.Call) { <-c.Gone() })
	c := testConfig(t)
	c.Engines["up"] = config.Engine{Type: "openai", URL: up.URL, FirstToken: time.Hour}
	c.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "up"}}, FirstToken: 20 * time.Millisecond}
	c.Models[llama8b] = config.Model{Engines: []config.Binding{{Engine: "up"}}, Total: 20 * time.Millisecond}
	s := run(t, c)
	for id, stream := range map[string]string{haiku: "true", llama8b: "false"} {
		got := post(t, s, chatPath, `{"model":"`+id+`","stream":`+stream+`,"messages":[{"role":"user","content":"x"}]}`)
		if got.status != http.StatusGatewayTimeout && got.status != http.StatusRequestTimeout {
			t.Errorf("%s: %d %s", id, got.status, got.body)
		}
	}
}
