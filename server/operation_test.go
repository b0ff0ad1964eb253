package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"forebay/catalog"
	"forebay/config"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/fault"
)

// scroll is a log that can be read while it is written.
type scroll struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *scroll) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *scroll) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// logging is run with a log at the level of debugging.
func logging(t *testing.T, c config.Config) (*Server, *scroll) {
	t.Helper()
	log := new(scroll)
	return runLogged(t, c, slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))), log
}

const canary = "the-canary-in-the-prompt"

// What a busy server writes down anywhere holds no secret in play and, unless asked for, no prompt.
func TestNoSecretIsWrittenDown(t *testing.T) {
	t.Setenv("ENGINE_KEY", "secret-of-the-engine-1")
	t.Setenv("CONFIG_KEY", "secret-of-a-declared-key-2")
	t.Setenv("OTLP_KEY", "secret-of-the-collector-3")
	for _, prompts := range []bool{false, true} {
		c := testConfig(t)
		up := fakeupstream.New(t, fakeupstream.OpenAI)
		c.Engines["up"] = config.Engine{Type: "openai", URL: up.URL, APIKey: "env:ENGINE_KEY"}
		c.Engines["dead"] = config.Engine{Type: "openai", URL: "http://127.0.0.1:1/v1", APIKey: "env:ENGINE_KEY"}
		c.Models[llama] = config.Model{Engines: []config.Binding{{Engine: "up"}}}
		c.Models["amazon.nova-lite-v1:0"] = config.Model{Engines: []config.Binding{{Engine: "dead"}}}
		c.Keys = []config.Key{{Name: "ci", Kind: "api-key", Secret: "env:CONFIG_KEY"}}
		c.Logging.Access, c.Logging.Prompts = true, prompts
		c.Tracing.Headers = map[string]string{"authorization": "env:OTLP_KEY"}
		s, log := logging(t, c)
		short := shortTerm(t, s)
		bodies := busy(t, s, up, short)
		made := post(t, s, "/admin/v1/keys", `{"name":"later","kind":"access-key"}`)
		_, rest, _ := strings.Cut(made.body, `"secret": "`)
		later, _, _ := strings.Cut(rest, `"`)
		list := post(t, s, "/admin/v1/keys", "", func(r *http.Request) { r.Method = http.MethodGet })
		status := post(t, s, "/admin/v1/status", "", func(r *http.Request) { r.Method = http.MethodGet })

		seen := map[string]string{
			"the log": log.String(), "an answer": bodies, "the list of keys": list.body, "the status": status.body, "the ledger": ledgerText(t, c.DataDir),
			"the arguments of the process": strings.Join(os.Args, " "),
		}
		signature := short[len(short)-60:]
		for name, secret := range map[string]string{
			"the API key": s.creds.APIKey, "the secret access key": s.creds.SecretAccessKey, "an engine's key": "secret-of-the-engine-1",
			"a declared key": "secret-of-a-declared-key-2", "the collector's key": "secret-of-the-collector-3", "a short-term key": signature,
			"a presigned signature": "X-Amz-Signature=", "a new secret": later, "a wrong key": "wrong-key-4",
		} {
			if len(secret) < 8 {
				t.Fatalf("%s is %q", name, secret)
			}
			for where, text := range seen {
				if strings.Contains(text, secret) {
					t.Errorf("%s holds %s", where, name)
				}
			}
		}
		if got := strings.Contains(log.String(), canary); got != prompts {
			t.Errorf("prompts asked for: %t, in the log: %t", prompts, got)
		}
		if strings.Contains(seen["the ledger"], canary) {
			t.Error("a prompt is on the ledger")
		}
		if n := strings.Count(log.String(), `"msg":"request"`); n < 12 || !strings.Contains(log.String(), `"request":"`) {
			t.Errorf("%d lines of access in\n%.2000s", n, log.String())
		}
	}
}

// busy makes calls of every kind, those that fail included, and returns all answers.
func busy(t *testing.T, s *Server, up *fakeupstream.Server, short string) string {
	t.Helper()
	var b strings.Builder
	bearer := func(v string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+v) }
	}
	chat := func(model string) string {
		return `{"model":"` + model + `","max_tokens":9,"messages":[{"role":"user","content":"` + canary + `"}]}`
	}
	converse := `{"messages":[{"role":"user","content":[{"text":"` + canary + `"}]}]}`
	do := func(path, body string, change ...func(*http.Request)) {
		got := post(t, s, path, body, change...)
		for k, v := range got.header {
			fmt.Fprintln(&b, k, v)
		}
		fmt.Fprintln(&b, strings.ReplaceAll(got.body, canary, ""))
	}
	do(chatPath, chat(haiku))
	do(chatPath, chat(llama))
	do(chatPath, chat("amazon.nova-lite-v1:0")) // a dead engine
	do(chatPath, chat("unknown"))
	do(chatPath, chat(haiku), bearer("wrong-key-4"))
	do(chatPath, chat(haiku), bearer("secret-of-a-declared-key-2"))
	do(conversePath, converse, bearer(short))
	do(conversePath, converse, bearer(short+"x"))
	do(conversePath+"?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=0123456789", converse, func(r *http.Request) { r.Header.Del("Authorization") })
	do(conversePath, "", signedAt(s, s.creds.SecretAccessKey, time.Now()))
	do(conversePath, "", signedAt(s, "another secret", time.Now()))
	do(messagesPath, chat(haiku), func(r *http.Request) { r.Header.Del("Authorization"); r.Header.Set("X-Api-Key", s.creds.APIKey) })
	do(chatPath, `{"model":`)
	up.Refuse(401, "the key secret-of-nobody is wrong", nil)
	do(chatPath, chat(llama))
	up.Handle(func(c *fakeupstream.Call) { panic(http.ErrAbortHandler) })
	do(chatPath, chat(llama))
	return b.String()
}

// ledgerText is everything in the ledger's files.
func ledgerText(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "ledger.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v %v", files, err)
	}
	var b strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(text)
	}
	return b.String()
}

// scrape returns the series of /metrics, without their values.
func scrape(t *testing.T, s *Server) []string {
	t.Helper()
	got := post(t, s, "/metrics", "", func(r *http.Request) { r.Method = http.MethodGet; r.Header.Del("Authorization") })
	var out []string
	for line := range strings.Lines(got.body) {
		if !strings.HasPrefix(line, "#") {
			out = append(out, line[:strings.LastIndexByte(line, ' ')])
		}
	}
	return out
}

// Whatever callers invent makes no series: there are no more than the catalogue and the kinds of faults allow.
func TestMetricsAreBounded(t *testing.T) {
	c := testConfig(t)
	s := run(t, c)
	known := map[string]bool{"": true}
	for _, m := range catalog.Builtin() {
		known[m.ID] = true
	}
	invent := func(i int) {
		x := fmt.Sprint("invented-", i)
		chat := `{"model":"` + x + `","max_tokens":9,"messages":[{"role":"user","content":"x"}]}`
		post(t, s, chatPath, chat)
		post(t, s, "/v1/"+x, `{}`)
		post(t, s, "/model/"+x+"/invoke", `{}`)
		post(t, s, chatPath, chat, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+x); r.Method = "X" + strconv.Itoa(i) })
		post(t, s, conversePath, `{"messages":[{"role":"user","content":[{"text":"hi"}]}],"requestMetadata":{"`+x+`":"`+x+`"}}`)
		post(t, s, "/model/us."+haiku+"/converse", `{"messages":[{"role":"user","content":[{"text":"hi"}]}]}`)
		post(t, s, chatPath, `{"model":"`+haiku+`","service_tier":"`+x+`","messages":[{"role":"user","content":"x"}]}`)
	}
	invent(0)
	before := len(scrape(t, s))
	for i := range 50 {
		invent(i + 1)
	}
	after := scrape(t, s)
	if len(after) != before {
		t.Errorf("%d series after one call of each kind, %d after many", before, len(after))
	}
	reasons := map[string]bool{"": true}
	for k := range fault.NumKinds {
		reasons[k.String()] = true
	}
	for _, line := range after {
		if strings.Contains(line, "invented") || strings.Contains(line, s.creds.AccessKeyID) {
			t.Errorf("%s", line)
		}
		if m := label(line, "gen_ai_request_model"); !known[m] {
			t.Errorf("%s: model %q", line, m)
		}
		if r := label(line, "reason"); !reasons[r] {
			t.Errorf("%s: reason %q", line, r)
		}
	}
	for _, want := range []string{
		`gen_ai_server_request_duration_seconds_count{error_type="",gen_ai_operation_name="chat",gen_ai_provider_name="aws.bedrock",gen_ai_request_model="` + haiku + `"}`,
		`gen_ai_client_token_usage_sum{gen_ai_operation_name="chat",gen_ai_provider_name="aws.bedrock",gen_ai_request_model="` + haiku + `",gen_ai_token_type="output"}`,
		`gen_ai_server_time_to_first_token_seconds_count{gen_ai_operation_name="chat",gen_ai_provider_name="aws.bedrock",gen_ai_request_model="` + haiku + `"}`,
		`forebay_money_total{amount="charge",currency="USD",gen_ai_request_model="` + haiku + `"}`, `forebay_connections`,
	} {
		found := false
		for _, line := range after {
			found = found || line == want
		}
		if !found {
			t.Errorf("no series %s", want)
		}
	}
}

// label returns the value of a label of a series, "" when it has none.
func label(line, name string) string {
	for _, lead := range []string{"{", ","} {
		if _, rest, ok := strings.Cut(line, lead+name+`="`); ok {
			v, _, _ := strings.Cut(rest, `"`)
			return v
		}
	}
	return ""
}
