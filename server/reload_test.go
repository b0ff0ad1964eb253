package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"forebay/config"
	"forebay/engine/enginetest/fakeupstream"
)

// reload puts a changed configuration in force.
func reload(t *testing.T, s *Server, c config.Config) []string {
	t.Helper()
	restart, err := s.Reload(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return restart
}

// Streams that run across many changes of everything that can change end whole, and calls
// that begin meanwhile are served.
func TestReloadDisturbsNoCall(t *testing.T) {
	up := fakeupstream.New(t, fakeupstream.OpenAI)
	step := make(chan struct{})
	up.Handle(func(c *fakeupstream.Call) {
		if !c.Streams() {
			c.Respond(http.StatusOK, nil, []byte(`{"id":"x","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"now"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`))
			return
		}
		c.Start()
		for i := range 3 {
			c.Write([]byte(fmt.Sprintf("data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"part%d \"},\"finish_reason\":null}]}\n\n", i)))
			<-step
		}
		c.Write([]byte("data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"))
		c.End()
	})
	base := testConfig(t)
	base.Engines["up"] = config.Engine{Type: "openai", URL: up.URL}
	base.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "up", Model: "m"}}}
	s := run(t, base)

	const streams = 20
	var wg, began sync.WaitGroup
	for range streams {
		began.Add(1)
		wg.Go(func() {
			body := `{"model":"` + haiku + `","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`
			req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.creds.URL+chatPath, strings.NewReader(body))
			if err != nil {
				began.Done()
				t.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+s.creds.APIKey)
			res, err := http.DefaultClient.Do(req)
			began.Done()
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = res.Body.Close() }()
			b, err := io.ReadAll(res.Body)
			for _, want := range []string{"part0", "part1", "part2", "[DONE]"} {
				if err != nil || res.StatusCode != http.StatusOK || !bytes.Contains(b, []byte(want)) {
					t.Errorf("a stream was disturbed: %d %v %s", res.StatusCode, err, b)
					return
				}
			}
		})
	}
	began.Wait()
	for i := range 30 {
		c := base
		c.Engines, c.Models = maps.Clone(base.Engines), maps.Clone(base.Models)
		c.Aliases = map[string]string{fmt.Sprint("alias", i): haiku}
		c.Account.Limits = config.Limits{TokensPerMinute: int64(1_000_000 + i), SpendPerDay: "100 USD"}
		m := c.Models[haiku]
		m.Price = &config.Price{Input: fmt.Sprintf("%d USD", i), Output: "1 USD"}
		c.Models[haiku] = m
		switch i % 3 {
		case 0: // the same address through another client
			c.Engines["up"] = config.Engine{Type: "openai", URL: up.URL, Slots: int32(50 + i), Connect: time.Second}
		case 1: // another name
			delete(c.Engines, "up")
			c.Engines["other"] = config.Engine{Type: "openai", URL: up.URL}
			m.Engines = []config.Binding{{Engine: "other", Model: "m"}}
			c.Models[haiku] = m
		}
		reload(t, s, c)
		if got := post(t, s, chatPath, `{"model":"`+fmt.Sprint("alias", i)+`","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`); got.status != 200 || !strings.Contains(got.body, "now") {
			t.Fatalf("reload %d: %d %s", i, got.status, got.body)
		}
	}
	for range 3 * streams {
		step <- struct{}{}
	}
	wg.Wait()
	var ok int64
	for _, r := range usage(t, s, "outcome") {
		if r.Group[0] == "ok" {
			ok = r.Requests
		} else {
			t.Errorf("%+v", r)
		}
	}
	if ok != streams+30 {
		t.Errorf("%d calls on the ledger, want %d", ok, streams+30)
	}
}

// Limits, keys, aliases, models and prices are those of the new file; a wrong file changes nothing.
func TestReloadChanges(t *testing.T) {
	t.Setenv("FOREBAY_TEST_KEY", "fb-the-token-of-the-test")
	base := testConfig(t)
	s := run(t, base)
	ask := func(key, model string) int {
		return post(t, s, chatPath, `{"model":"`+model+`","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`, func(r *http.Request) {
			if key != "" {
				r.Header.Set("Authorization", "Bearer "+key)
			}
		}).status
	}
	const app = "fb-the-token-of-the-test"
	if a, b := ask(app, haiku), ask("", "mine"); a != 401 || b != 404 {
		t.Fatalf("%d %d", a, b)
	}
	c := base
	c.Accounts = map[string]config.Tenant{"111111111111": {Tier: "default", Models: map[string]config.Limits{haiku: {RequestsPerMinute: 1}}}}
	c.Keys = []config.Key{{Name: "app", Kind: "api-key", Secret: "env:FOREBAY_TEST_KEY", Account: "111111111111"}}
	c.Models = maps.Clone(base.Models)
	c.Models["mine"] = config.Model{Engines: []config.Binding{{Engine: "sim"}}}
	c.Aliases = map[string]string{"short": haiku}
	reload(t, s, c)
	if got := []int{ask(app, haiku), ask(app, haiku), ask("", haiku), ask(app, "short"), ask(app, "mine"), ask("", "short")}; !slices.Equal(got, []int{200, 429, 200, 429, 200, 200}) {
		t.Errorf("%v", got)
	}
	tiered := post(t, s, chatPath, `{"model":"mine","service_tier":"priority","messages":[{"role":"user","content":"hi"}]}`, func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+app)
	})
	if tiered.status != 403 {
		t.Errorf("a tier above the account's: %d %s", tiered.status, tiered.body)
	}

	wrong := c
	wrong.Aliases = map[string]string{"short": "nothing"}
	wrong.Keys = nil
	if _, err := s.Reload(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), "aliases.short") {
		t.Errorf("%v", err)
	}
	if got := ask(app, "mine"); got != 200 {
		t.Errorf("after a refused file: %d", got)
	}
	reload(t, s, base)
	if a, b := ask(app, haiku), ask("", "mine"); a != 401 || b != 404 {
		t.Errorf("after the old file came back: %d %d", a, b)
	}
}

func TestReloadSaysWhatMustWait(t *testing.T) {
	base := testConfig(t)
	s := run(t, base)
	c := base
	c.Server.Listen, c.DataDir, c.Account.ID, c.Ledger.Sync = "127.0.0.1:1", t.TempDir(), "000000000009", "full"
	c.Server.BodyLimit = 200
	if got := reload(t, s, c); !slices.Equal(got, []string{"server.listen", "data_dir", "ledger.sync", "account.id"}) {
		t.Errorf("%v", got)
	}
	long := `{"model":"` + haiku + `","max_tokens":9,"messages":[{"role":"user","content":"` + strings.Repeat("x", 300) + `"}]}`
	if got := post(t, s, chatPath, long); got.status != 413 {
		t.Errorf("the body limit did not change: %d %s", got.status, got.body)
	}
	if got := reload(t, s, base); got != nil {
		t.Errorf("%v", got)
	}
}

// What has not changed keeps its client, and with it connections and health; what has changed
// is closed only when no call can run on it.
func TestReloadKeepsWhatIsTheSame(t *testing.T) {
	base := testConfig(t)
	base.Engines["a"] = config.Engine{Type: "openai", URL: "http://127.0.0.1:9/v1"}
	base.Engines["b"] = config.Engine{Type: "openai", URL: "http://127.0.0.1:9/v1"}
	s := run(t, base)
	before := s.live.Load().opened
	c := base
	c.Engines = maps.Clone(base.Engines)
	c.Engines["b"] = config.Engine{Type: "openai", URL: "http://127.0.0.1:10/v1"}
	reload(t, s, c)
	after := s.live.Load().opened
	if after["a"] != before["a"] || after["b"] == before["b"] || after["sim"] != before["sim"] {
		t.Error("clients were not kept, or kept where the engine changed")
	}
	if len(s.retired) != 1 || len(s.retired[0].clients) != 1 || s.retired[0].clients[0] != before["b"].client {
		t.Fatalf("%+v", s.retired)
	}
	s.sweep(time.Now().Add(defaultTotal-time.Minute), false)
	if len(s.retired) != 1 {
		t.Error("a client was closed while a call could run on it")
	}
	s.sweep(time.Now().Add(defaultTotal+time.Minute), false)
	if len(s.retired) != 0 {
		t.Error("a client was never closed")
	}
}

// Calls that began before a change still count for their engine's health.
func TestHealthSurvivesAChange(t *testing.T) {
	s, up := bound(t, fakeupstream.OpenAI, "openai")
	release := make(chan struct{})
	var first sync.WaitGroup
	first.Add(5)
	var mu sync.Mutex
	n := 0
	up.Handle(func(c *fakeupstream.Call) {
		mu.Lock()
		n++
		blocked := n <= 5
		mu.Unlock()
		if blocked {
			first.Done()
			<-release
		}
		conn, _ := c.Conn()
		_ = conn.Close()
	})
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			post(t, s, chatPath, `{"model":"`+haiku+`","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`)
		})
	}
	first.Wait()
	if err := s.changeKeys(t.Context(), func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	close(release)
	wg.Wait()
	for _, e := range s.dispatch.Health() {
		if e.Name == "up" && e.Up {
			t.Errorf("%+v", e)
		}
	}
}

// A certificate that was renewed is served, by a reload or when its files change; one that is broken is not.
func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	renew := func() []byte {
		made := t.TempDir()
		dev, err := developmentCertificate(made, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for from, to := range map[string]string{leafFile: cert, leafKeyFile: key} {
			b, err := os.ReadFile(filepath.Join(made, from))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dev.Certificate[0]
	}
	first := renew()
	c := testConfig(t)
	c.Server.TLSListen, c.Server.TLSCert, c.Server.TLSKey = "127.0.0.1:0", cert, key
	s := run(t, c)
	served := func() []byte {
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
		conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(s.creds.TLSURL, "https://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw
	}
	if !bytes.Equal(served(), first) {
		t.Error("another certificate is served")
	}
	second := renew()
	reload(t, s, c)
	if !bytes.Equal(served(), second) {
		t.Error("a reload did not read the certificate again")
	}
	third := renew()
	cannot := c
	cannot.Engines = maps.Clone(c.Engines)
	cannot.Engines["far"] = config.Engine{Type: "bedrock", Region: "us-east-1"}
	cannot.Models = maps.Clone(c.Models)
	cannot.Models["amazon.nova-lite-v1:0"] = config.Model{Engines: []config.Binding{{Engine: "far"}}}
	t.Setenv("AWS_PROFILE", "nobody") // an engine that cannot be made
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "none"))
	if _, err := s.Reload(t.Context(), cannot); err == nil || !bytes.Equal(served(), second) {
		t.Errorf("a reload that failed (%v) changed the certificate", err)
	}
	later := time.Now().Add(time.Minute)
	for _, f := range []string{cert, key} { // renewals are further apart than clocks are fine
		if err := os.Chtimes(f, later, later); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.cert.at(time.Now().Add(certificateCheck / 2)); !bytes.Equal(got.Certificate[0], second) {
		t.Error("the files are looked at in every handshake")
	}
	if got := s.cert.at(time.Now().Add(2 * certificateCheck)); !bytes.Equal(got.Certificate[0], third) {
		t.Error("a change of the files was not seen")
	}
	if err := os.WriteFile(cert, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := s.cert.at(time.Now().Add(time.Hour)); !bytes.Equal(got.Certificate[0], third) {
		t.Error("a broken certificate took the place of a good one")
	}
	if _, err := s.Reload(t.Context(), c); err == nil {
		t.Error("a reload took a broken certificate")
	}
}

// A limit that a reload adds knows what was used before it, as after a restart.
func TestNewLimitsKnowThePast(t *testing.T) {
	const model = "amazon.nova-lite-v1:0"
	base := testConfig(t)
	s := run(t, base)
	body := `{"model":"` + model + `","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`
	for range 3 {
		if got := post(t, s, chatPath, body); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	var used int64
	for _, r := range usage(t, s) {
		used += r.Input + r.Output
	}
	c := base
	c.Account.Limits = config.Limits{TokensPerDay: used + 1}
	reload(t, s, c)
	if got := post(t, s, chatPath, body); got.status != 429 || !strings.Contains(got.header.Get("X-Forebay-Reason"), "tokens/day") {
		t.Errorf("%d %s %v", got.status, got.body, got.header)
	}
	c.Account.Limits = config.Limits{TokensPerDay: 2*used + 100}
	reload(t, s, c) // a limit that changes keeps its count, once
	if got := post(t, s, chatPath, body); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// A call that waits while its model moves to an engine that speaks another dialect is
// translated for that one.
func TestWaitingCallsFollowTheirModel(t *testing.T) {
	up := fakeupstream.New(t, fakeupstream.OpenAI)
	arrived, release := make(chan struct{}), make(chan struct{})
	up.Handle(func(c *fakeupstream.Call) {
		close(arrived)
		<-release
		c.Respond(http.StatusOK, nil, []byte(`{"id":"x","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"from the first"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`))
	})
	base := testConfig(t)
	base.Engines["up"] = config.Engine{Type: "openai", URL: up.URL, Slots: 1}
	base.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "up", Model: "m"}}}
	s := run(t, base)
	body := `{"model":"` + haiku + `","max_tokens":9,"messages":[{"role":"user","content":"[[text:from the second]]"}]}`
	var wg sync.WaitGroup
	var first, second answer
	wg.Go(func() { first = post(t, s, chatPath, body) })
	<-arrived
	wg.Go(func() { second = post(t, s, chatPath, body) })
	for s.dispatch.InFlight() < 2 {
		runtime.Gosched()
	}
	c := base
	c.Models = maps.Clone(base.Models)
	c.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "sim"}}}
	reload(t, s, c)
	close(release)
	wg.Wait()
	if first.status != 200 || !strings.Contains(first.body, "from the first") {
		t.Errorf("%d %s", first.status, first.body)
	}
	if second.status != 200 || !strings.Contains(second.body, "from the second") {
		t.Errorf("%d %s", second.status, second.body)
	}
}

// A reload that comes with the end finds the server closed, and neither falls over the other.
func TestReloadAtTheEnd(t *testing.T) {
	c := testConfig(t)
	s, err := New(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := s.Reload(context.Background(), c); err != nil && !strings.Contains(err.Error(), "is closed") {
				t.Error(err)
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if _, err := s.Reload(t.Context(), c); err == nil {
		t.Error("a closed server took a configuration")
	}
}
