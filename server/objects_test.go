package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"forebay/api/admin"
	"forebay/config"

	"github.com/go-json-experiment/json"
)

// ask calls the admin API.
func ask(t *testing.T, s *Server, method, path, body string, change ...func(*http.Request)) answer {
	t.Helper()
	return post(t, s, "/admin/v1/"+path, body, append(change, func(r *http.Request) { r.Method = method })...)
}

func token(name string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(admin.HeaderToken, name) }
}

// A hundred creations of one name at once, of each kind: exactly one wins.
func TestOneOfManyCreationsWins(t *testing.T) {
	s := run(t, testConfig(t))
	for path, body := range map[string]string{
		"accounts/111111111111": `{}`, "teams/a": `{}`, "engines/e": `{"type":"simulated"}`, "models/m": `{"engines":[{"engine":"sim"}]}`, "keys": `{"name":"k","kind":"api-key"}`,
	} {
		var won, lost atomic.Int64
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				switch got := ask(t, s, http.MethodPost, path, body); got.status {
				case 200:
					won.Add(1)
				case 409:
					lost.Add(1)
				default:
					t.Errorf("%s: %d %s", path, got.status, got.body)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || lost.Load() != 99 {
			t.Errorf("%s: %d won, %d were told of the conflict", path, won.Load(), lost.Load())
		}
	}
}

// A change that is asked for again with its token happens once, and is answered alike; the
// token of one change does not make another.
func TestIdempotencyTokens(t *testing.T) {
	c := testConfig(t)
	s := run(t, c)
	const key = `{"name":"k","kind":"api-key"}`
	answers := make([]string, 20)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			got := ask(t, s, http.MethodPost, "keys", key, token("one"))
			answers[i] = got.body
			if got.status != 200 {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	wg.Wait()
	for _, a := range answers {
		if a != answers[0] || !strings.Contains(a, `"secret"`) {
			t.Errorf("%s\nand\n%s", a, answers[0])
		}
	}
	var made struct{ ID, Secret string }
	if err := json.Unmarshal([]byte(answers[0]), &made, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodPost, "keys", `{"name":"other","kind":"api-key"}`, 409},
		{http.MethodPost, "keys?account=000000000000", key, 200},
		{http.MethodPost, "keys/" + made.ID + "/rotate", "", 200},
		{http.MethodPost, "keys/" + made.ID + "/rotate", "", 200}, // the answer of before
		{http.MethodPost, "teams/one", `{}`, 200},
		{http.MethodPost, "teams/one", `{}`, 200},
		{http.MethodPost, "teams/two", `{}`, 409},
		{http.MethodDelete, "teams/one", ``, 200},
		{http.MethodDelete, "teams/one", ``, 200},
		{http.MethodPost, "teams/one", `{}`, 200}, // remembered, though the team is gone
	} {
		if got := ask(t, s, x.method, x.path, x.body, token("one")); got.status != x.status {
			t.Errorf("%s %s %s: %d %s, want %d", x.method, x.path, x.body, got.status, got.body, x.status)
		}
	}
	if got := ask(t, s, http.MethodGet, "teams", ""); strings.Contains(got.body, `"one"`) {
		t.Errorf("a remembered creation had an effect: %s", got.body)
	}
}

// What was made at run time is in force at once and after a restart, the file goes before it, and
// what no longer fits the file is left out.
func TestObjectsSurviveARestart(t *testing.T) {
	c := testConfig(t)
	c.Engines["extra"] = config.Engine{Type: "simulated", Profile: "instant"}
	chat := func(s *Server, model string) int {
		return post(t, s, chatPath, `{"model":"`+model+`","max_tokens":5,"messages":[{"role":"user","content":"x"}]}`).status
	}
	t.Run("made", func(t *testing.T) {
		s := run(t, c)
		for _, x := range [][2]string{
			{"models/on-sim", `{"engines":[{"engine":"sim"}],"limits":{"requests_per_minute":1}}`},
			{"models/on-extra", `{"engines":[{"engine":"extra"}],"price":{"input":"1 USD"}}`},
			{"teams/t", `{"max_tier":"flex"}`},
		} {
			if got := ask(t, s, http.MethodPost, x[0], x[1]); got.status != 200 {
				t.Fatalf("%s: %d %s", x[0], got.status, got.body)
			}
		}
		if a, b, c := chat(s, "on-sim"), chat(s, "on-sim"), chat(s, "on-extra"); a != 200 || b != 429 || c != 200 {
			t.Errorf("%d %d %d", a, b, c)
		}
		if got := ask(t, s, http.MethodPost, "models/"+haiku, `{}`); got.status != 409 || !strings.Contains(got.body, "managed by the command line") {
			t.Errorf("declared, but without a file: %d %s", got.status, got.body)
		}
	})
	delete(c.Engines, "extra")
	var log bytes.Buffer
	s, err := New(t.Context(), c, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "does not fit") || !strings.Contains(log.String(), "on-extra") {
		t.Errorf("%s", log.String())
	}
	cfg := &s.live.Load().cfg
	if _, ok := cfg.Models["on-sim"]; !ok || cfg.Account.Teams["t"].Tier != "flex" {
		t.Errorf("%+v", cfg.Models)
	}
	if _, ok := cfg.Models["on-extra"]; ok {
		t.Error("a model without its engine is served")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Changes that would leave the configuration invalid are refused whole, with what is wrong.
func TestWrongChangesAreRefused(t *testing.T) {
	s := run(t, testConfig(t))
	for _, x := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{http.MethodPost, "models/m", `{"engines":[{"engine":"nosuch"}]}`, 400, `there is no \"nosuch\" among the engines`},
		{http.MethodPost, "models/m", `{"enginse":[]}`, 400, "did you mean engines?"},
		{http.MethodPost, "models/m", `[1]`, 400, "no JSON object"},
		{http.MethodPost, "models/m", `{"price":{"input":"cheap"}}`, 400, "price.input"},
		{http.MethodPost, "models/a%20b", `{}`, 400, "an id has"},
		{http.MethodPost, "models/a/b", `{}`, 404, "no such operation"},
		{http.MethodPost, "engines/e", `{"type":"openai","url":"http://h/v1","api_key":"sk-secret"}`, 400, "at run time write env:FOREBAY_ENGINE_NAME"},
		{http.MethodPost, "engines/e", `{"type":"openai","url":"http://h/v1","api_key":"env:HOME"}`, 400, "at run time"},
		{http.MethodPost, "engines/e", `{"type":"openai","url":"http://h/v1","api_key":"file:` + s.cfg.DataDir + `/secrets/../sealing.key"}`, 400, "at run time"},
		{http.MethodPost, "engines/e", `{"type":"openai","url":"http://h/v1","api_key":"env:FOREBAY_ENGINE_NOT_SET"}`, 400, "is not set"},
		{http.MethodPost, "models/m", `{"name":"` + strings.Repeat("x", 2<<20) + `"}`, 413, "at most"},
		{http.MethodPost, "engines/e", `{}`, 400, "is not one of openai"},
		{http.MethodPost, "accounts/12", `{}`, 400, "is not twelve digits"},
		{http.MethodPost, "accounts/111111111111", `{"teams":{"a":{}}}`, 400, "teams are made on their own"},
		{http.MethodPost, "teams/t?account=222222222222", `{}`, 400, "222222222222"},
		{http.MethodPost, "teams/t", `{"max_tier":"gold"}`, 400, "is not one of priority, default, flex"},
		{http.MethodDelete, "teams/t", ``, 404, "was made at run time"},
		{http.MethodPut, "prices/m", `{"input":"1 USD","output":"1 EUR"}`, 400, "one currency"},
		{http.MethodPost, "keys", `{"name":"k","kind":"api-key","team":"nosuch"}`, 400, "has no team"},
	} {
		got := ask(t, s, x.method, x.path, x.body)
		if got.status != x.status || !strings.Contains(got.body, x.want) || strings.Contains(got.body, "sk-secret") {
			t.Errorf("%s %s %.200s: %d %s, want %d with %s", x.method, x.path, x.body, got.status, got.body, x.status, x.want)
		}
	}
	for _, path := range []string{"teams", "engines", "accounts"} {
		if got := ask(t, s, http.MethodGet, path, ""); strings.Contains(got.body, "was made") || strings.Contains(got.body, `"e"`) || strings.Contains(got.body, "111111111111") {
			t.Errorf("something is left of refused changes: %s", got.body)
		}
	}
}

// The published document has exactly the operations that are served, and its references lead somewhere.
func TestOpenAPIIsWhatIsServed(t *testing.T) {
	s := run(t, testConfig(t))
	got := ask(t, s, http.MethodGet, "openapi.json", "")
	var doc struct {
		Paths      map[string]map[string]struct{ Summary string }
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal([]byte(got.body), &doc, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	if len(doc.Paths) < 12 {
		t.Errorf("%d paths", len(doc.Paths))
	}
	for path, methods := range doc.Paths {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			op, listed := methods[strings.ToLower(method)]
			if listed && op.Summary == "" {
				t.Errorf("%s %s has no summary", method, path)
			}
			served := ask(t, s, method, strings.TrimPrefix(strings.ReplaceAll(path, "{id}", "nosuch"), "/admin/v1/"), "{}")
			if exists := !strings.Contains(served.body, "no such operation"); exists != listed {
				t.Errorf("%s %s: published %v, served %v (%d %s)", method, path, listed, exists, served.status, served.body)
			}
		}
	}
	for _, r := range strings.Split(got.body, `"$ref": "`)[1:] {
		ref, _, _ := strings.Cut(r, `"`)
		if doc.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")] == nil {
			t.Errorf("%s leads nowhere", ref)
		}
	}
}

// A tier ceiling of a team holds for its keys, whatever their own policies say.
func TestCeilingsOfTeams(t *testing.T) {
	s := run(t, testConfig(t))
	ask(t, s, http.MethodPost, "teams/cheap", `{"max_tier":"flex"}`)
	made := ask(t, s, http.MethodPost, "keys", `{"name":"k","kind":"api-key","team":"cheap","policy":{"max_tier":"priority"}}`)
	_, rest, _ := strings.Cut(made.body, `"secret": "`)
	secret, _, _ := strings.Cut(rest, `"`)
	for tier, want := range map[string]int{"priority": 403, "default": 403, "flex": 200} {
		got := post(t, s, chatPath, fmt.Sprintf(`{"model":"%s","service_tier":"%s","max_tokens":5,"messages":[{"role":"user","content":"x"}]}`, haiku, tier), func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+secret)
		})
		if got.status != want {
			t.Errorf("%s: %d %s, want %d", tier, got.status, got.body, want)
		}
	}
}

// With the preset, accounts have AWS's quotas where nothing else is said.
func TestQuotasOfAWS(t *testing.T) {
	c := testConfig(t)
	c.Quotas, c.Server.Region = config.QuotasAWS, "ap-northeast-1"
	c.Accounts = map[string]config.Tenant{"111111111111": {Models: map[string]config.Limits{haiku: {RequestsPerMinute: 7}}}}
	m := c.Models["amazon.nova-lite-v1:0"]
	m.Limits = config.Limits{TokensPerMinute: 9}
	c.Models["amazon.nova-lite-v1:0"] = m
	var log bytes.Buffer
	s, err := New(t.Context(), c, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	a, b := s.live.Load().base.Accounts[0].Models, s.live.Load().base.Accounts[1].Models
	if a[haiku].RequestsPerMinute != 200 || a[haiku].TokensPerMinute != 200_000 || b[haiku].RequestsPerMinute != 7 || b[haiku].TokensPerMinute != 0 ||
		a["amazon.nova-lite-v1:0"].TokensPerMinute != 9 || a["meta.llama3-8b-instruct-v1:0"].RequestsPerMinute != 800 {
		t.Errorf("%+v\n%+v", a, b)
	}
	if _, ok := a["anthropic.claude-sonnet-4-20250514-v1:0"]; ok || !strings.Contains(log.String(), "none_published_for") || !strings.Contains(log.String(), "claude-sonnet-4") {
		t.Errorf("what has no published figure is not said: %s", log.String())
	}
}
