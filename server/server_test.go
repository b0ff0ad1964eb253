package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"forebay/config"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/fault"
	"forebay/meter"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(replicaVariable) != "" {
		os.Exit(serveReplica())
	}
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
	return runLogged(t, c, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})))
}

func runLogged(t *testing.T, c config.Config, log *slog.Logger) *Server {
	t.Helper()
	s, err := New(t.Context(), c, log)
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

// usage waits for nothing: rows are durable before the last byte of a response.
func usage(t *testing.T, s *Server, by ...string) []meter.UsageRow {
	t.Helper()
	rows, err := s.ledger.Usage(t.Context(), meter.UsageQuery{By: by})
	if err != nil {
		t.Fatal(err)
	}
	return rows
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
	ask := func(most int) answer {
		return post(t, s, chatPath, fmt.Sprintf(`{"model":"%s","max_tokens":%d,"messages":[{"role":"user","content":"hi"}]}`, haiku, most))
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
	if err != nil || e.Outcome != meter.OutcomeRefused || !strings.Contains(string(e.Detail), `"refusedBy":"model `+haiku+` tokens/min"`) {
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

// Each kind of limit stands after a restart, at the first call, where it stood before.
func TestRestartRebuildsEveryLimit(t *testing.T) {
	body := `{"model":"` + haiku + `","max_tokens":60,"messages":[{"role":"user","content":"hi"}]}`
	for name, set := range map[string]func(*config.Limits){
		"requests a minute": func(l *config.Limits) { l.RequestsPerMinute = 1 },
		"tokens a minute":   func(l *config.Limits) { l.TokensPerMinute = 75 },
		"tokens a day":      func(l *config.Limits) { l.TokensPerDay = 150 },
		"money a day":       func(l *config.Limits) { l.SpendPerDay = "0.0002 USD" },
		"money a month":     func(l *config.Limits) { l.SpendPerMonth = "0.0002 USD" },
	} {
		t.Run(name, func(t *testing.T) {
			c := testConfig(t)
			set(&c.Account.Limits)
			served := 0
			t.Run("first", func(t *testing.T) {
				s := run(t, c)
				for post(t, s, chatPath, body).status == 200 {
					served++
				}
			})
			got := post(t, run(t, c), chatPath, body)
			if served == 0 || got.status != 429 {
				t.Errorf("%d calls were served before, the first one after: %d %s", served, got.status, got.body)
			}
		})
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
	made := post(t, s, "/admin/v1/keys", `{"name":"app","kind":"api-key","policy":{"models":["amazon.*"]}}`)
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

// Whoever asks whether calls are served reads no name of a file.
func TestReadinessTellsNoCause(t *testing.T) {
	_, cause := os.Open("/no/such/file")
	e := fault.Wrap(fault.Unavailable, cause, "").WithReason("the ledger cannot be written")
	if got := unready(e); got != "unavailable: the ledger cannot be written" {
		t.Error(got)
	}
	if got := unready(errors.New("stopping")); got != "stopping" {
		t.Error(got)
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

// header sets a header of a request.
func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// The first call of a start is shown with a model that a real engine answers for, when there is one.
func TestExampleIsReal(t *testing.T) {
	c := testConfig(t)
	if s := run(t, c); s.Example(haiku) != haiku || !strings.Contains(s.Hint(haiku), haiku) {
		t.Errorf("%s, %s", s.Example(haiku), s.Hint(haiku))
	}
	c = testConfig(t)
	c.Engines["real"] = config.Engine{Type: "openai", URL: "http://127.0.0.1:9/v1"}
	c.Models["meta.llama3-8b-instruct-v1:0"] = config.Model{Engines: []config.Binding{{Engine: "real"}}}
	c.Models["amazon.titan-embed-text-v2:0"] = config.Model{Engines: []config.Binding{{Engine: "real"}}}
	if got := run(t, c).Example(haiku); got != "meta.llama3-8b-instruct-v1:0" {
		t.Error(got)
	}
}
