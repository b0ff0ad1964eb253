package server

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"forebay/api/admin"
	"forebay/catalog"
	"forebay/config"
	"forebay/fault"
	"forebay/identity"
	"forebay/infer"
	"forebay/meter"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// emptyHash is the SHA-256 of no bytes.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// A start that finds its port in use leaves nothing that the next one trips over, and the
// next one is the one that tells of the keys.
func TestStartAfterAFailedFirstStart(t *testing.T) {
	busy := run(t, testConfig(t))
	c := testConfig(t)
	c.Server.Listen = strings.TrimPrefix(busy.creds.URL, "http://")
	if _, err := New(t.Context(), c, slog.New(slog.DiscardHandler)); err == nil {
		t.Fatal("two servers on one port")
	}
	c.Server.Listen = "127.0.0.1:0"
	s := run(t, c)
	if !s.creds.New {
		t.Error("nobody has told of the keys")
	}
	works(t, s)
}

// Two servers on one directory would each count its quotas alone.
func TestOneServerPerDataDirectory(t *testing.T) {
	c := testConfig(t)
	t.Run("while one runs", func(t *testing.T) {
		s := run(t, c)
		before, err := ReadCredentials(c.DataDir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(t.Context(), c, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "--data-dir") {
			t.Errorf("%v", err)
		}
		if after, err := ReadCredentials(c.DataDir); err != nil || *after != *before {
			t.Errorf("the file now points elsewhere: %+v %v", after, err)
		}
		works(t, s)
	})
	works(t, run(t, c))
}

// An account that was left and is come back to, and a lost database, leave working keys.
func TestDevelopmentKeysFollowTheirFile(t *testing.T) {
	c := testConfig(t)
	first := c.Account.ID
	for _, account := range []string{first, "111111111111", first} {
		t.Run(account, func(t *testing.T) {
			c.Account.ID = account
			works(t, run(t, c))
		})
	}
	lost := c
	lost.DataDir = t.TempDir()
	if err := replaceFile(lost.DataDir+"/"+credentialsFile, []byte(`{"accessKeyId":"AKIAABCDEFGHIJKLMNOP","secretAccessKey":"s","apiKey":"fb-x","url":"http://x","account":"`+lost.Account.ID+`"}`)); err != nil {
		t.Fatal(err)
	}
	s := run(t, lost)
	if s.creds.APIKey != "fb-x" || s.creds.New {
		t.Error("the keys changed")
	}
	works(t, s)
}

func works(t *testing.T, s *Server) {
	t.Helper()
	if got := post(t, s, chatPath, `{"model":"`+haiku+`","max_tokens":5,"messages":[{"role":"user","content":"x"}]}`); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// A policy caps the tier wherever the caller asks for one: in a header or in a body.
func TestPolicyCapsTheTierOfTheBody(t *testing.T) {
	s := run(t, testConfig(t))
	made := post(t, s, "/admin/v1/keys", `{"name":"app","kind":"api-key","policy":{"max_tier":"default"}}`)
	_, rest, _ := strings.Cut(made.body, `"secret": "`)
	secret, _, _ := strings.Cut(rest, `"`)
	const native = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":5,"messages":[{"role":"user","content":"x"}]`
	for _, c := range []struct {
		path, body, header string
		status             int
	}{
		{invokePath, native + `}`, "", 200},
		{invokePath, native + `}`, "priority", 403},
		{invokePath, native + `,"service_tier":"priority"}`, "", 403},
		{conversePath, `{"messages":[{"role":"user","content":[{"text":"x"}]}],"serviceTier":{"type":"priority"}}`, "", 403},
		{chatPath, `{"model":"` + haiku + `","service_tier":"priority","messages":[{"role":"user","content":"x"}]}`, "", 403},
	} {
		got := post(t, s, c.path, c.body, func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+secret)
			if c.header != "" {
				r.Header.Set("X-Amzn-Bedrock-Service-Tier", c.header)
			}
		})
		if got.status != c.status {
			t.Errorf("%s %s %s: %d %.200s, want %d", c.path, c.body, c.header, got.status, got.body, c.status)
		}
	}
}

// shortTerm makes a short-term key of the development key pair.
func shortTerm(t *testing.T, s *Server) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://bedrock.amazonaws.com/?Action=CallWithBearerToken&X-Amz-Expires=43200", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	creds := aws.Credentials{AccessKeyID: s.creds.AccessKeyID, SecretAccessKey: s.creds.SecretAccessKey}
	url, _, err := v4.NewSigner().PresignHTTP(t.Context(), creds, r, emptyHash, "bedrock", "us-east-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return "bedrock-api-key-" + base64.StdEncoding.EncodeToString([]byte(strings.TrimPrefix(url, "https://")+"&Version=1"))
}

func TestShortTermKeysAdministerNothing(t *testing.T) {
	s := run(t, testConfig(t))
	key := shortTerm(t, s)
	use := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+key) }
	if got := post(t, s, conversePath, `{"messages":[{"role":"user","content":[{"text":"x"}]}]}`, use); got.status != 200 {
		t.Errorf("a model: %d %s", got.status, got.body)
	}
	for _, query := range []string{"", "?X-Amz-Credential=a/b/c/execute-api/aws4_request"} {
		if got := post(t, s, "/admin/v1/keys"+query, `{"name":"mine","kind":"api-key"}`, use); got.status != 403 {
			t.Errorf("administration: %d %s", got.status, got.body)
		}
	}
}

// Once revoking has returned, no request passes, whatever else happens to keys at the time.
func TestRevocationHoldsAmongOtherChanges(t *testing.T) {
	s := run(t, testConfig(t))
	keys := keyAdmin{s}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 5 {
				k := &identity.Key{Kind: identity.KeyBearer, Name: fmt.Sprint("k", i, "-", j), Account: s.cfg.Account.ID, Created: time.Now()}
				secret, err := keys.Create(context.Background(), k, &admin.Once{Caller: &identity.Principal{Account: k.Account}})
				if err != nil {
					t.Error(err)
					return
				}
				k = &secret.Key
				if _, err := s.keyring.Load().Bearer(secret.Secret, time.Now()); err != nil {
					t.Errorf("a key that has been made: %v", err)
				}
				if err := keys.Revoke(context.Background(), k.Account, k.ID); err != nil {
					t.Error(err)
				}
				if _, err := s.keyring.Load().Bearer(secret.Secret, time.Now()); fault.KindOf(err) != fault.UnknownKey {
					t.Errorf("a revoked key passes: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

// A key that is revoked while a body is on its way is revoked for that call, too.
func TestRevocationMeetsSlowBodies(t *testing.T) {
	s := run(t, testConfig(t))
	secret := makeKey(t, s, "slow", identity.KeyBearer, identity.Policy{}, time.Time{})
	body := `{"model":"` + haiku + `","max_tokens":5,"messages":[{"role":"user","content":"x"}]}`
	for _, revoke := range []bool{false, true} {
		pr, pw := io.Pipe()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.creds.URL+chatPath, pr)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = int64(len(body))
		req.Header.Set("Authorization", "Bearer "+secret.Value)
		req.Header.Set("Expect", "100-continue") // the server asks for the body when it has authenticated the head
		started := make(chan struct{})
		req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(started) }}))
		done := make(chan int, 1)
		go func() {
			transport := &http.Transport{ExpectContinueTimeout: time.Minute}
			defer transport.CloseIdleConnections()
			res, err := transport.RoundTrip(req)
			if err != nil {
				t.Error(err)
				done <- 0
				return
			}
			_ = res.Body.Close()
			done <- res.StatusCode
		}()
		<-started
		if _, err := io.WriteString(pw, body[:20]); err != nil {
			t.Fatal(err)
		}
		if revoke {
			if err := (keyAdmin{s}).Revoke(t.Context(), s.cfg.Account.ID, secret.ID); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.WriteString(pw, body[20:]); err != nil {
			t.Fatal(err)
		}
		_ = pw.Close()
		if got, want := <-done, map[bool]int{false: 200, true: 401}[revoke]; got != want {
			t.Errorf("revoked %v: %d", revoke, got)
		}
	}
}

// A keyring that was read before a change must not come into force after it, so only one
// change at a time is under way.
func TestKeysChangeOneAtATime(t *testing.T) {
	s := run(t, testConfig(t))
	under := 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			err := s.changeKeys(t.Context(), func() error {
				if under++; under != 1 {
					t.Error("two changes at once")
				}
				runtime.Gosched()
				under--
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	k, err := identity.NewBearer(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	err = s.changeKeys(ctx, func() error {
		defer cancel() // the caller leaves when the change is stored
		return s.store.CreateKey(ctx, &identity.Key{ID: k.ID, Kind: identity.KeyBearer, Account: s.cfg.Account.ID, Created: time.Now()}, k.Value)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.keyring.Load().Bearer(k.Value, time.Now()); err != nil {
		t.Errorf("what is stored is not in force: %v", err)
	}
}

// Names that forebay.yaml cannot hold would make an export that cannot be read.
func TestKeysWithSenselessNamesAreNotMade(t *testing.T) {
	s := run(t, testConfig(t))
	for _, name := range []string{"", "a b", "a/b", `a\nb`, "\u00e9", strings.Repeat("x", 65)} {
		if got := post(t, s, "/admin/v1/keys", `{"name":"`+name+`","kind":"api-key"}`); got.status != 400 || !strings.Contains(got.body, `"invalid"`) {
			t.Errorf("%q: %d %s", name, got.status, got.body)
		}
	}
}

func TestKeysWithSenselessPoliciesAreNotMade(t *testing.T) {
	s := run(t, testConfig(t))
	for _, rest := range []string{
		`"policy":{"max_tier":"gold"}`, `"policy":{"limits":{"tokens_per_minute":-1}}`, `"policy":{"limits":{"spend_per_day":5}}`, `"policy":{"limits":{"spend_per_day":"5 usd"}}`,
		`"policy":{"limits":{"spend_per_day":"5 USD","spend_per_month":"5 EUR"}}`, `"policy":{"Tier":"flex"}`, `"expires":"2020-01-01T00:00:00Z"`,
	} {
		if got := post(t, s, "/admin/v1/keys", `{"name":"app","kind":"api-key",`+rest+`}`); got.status != 400 || !strings.Contains(got.body, `"invalid"`) {
			t.Errorf("%s: %d %s", rest, got.status, got.body)
		}
	}
}

// Keys of another account administer that account and nothing of the server's.
func TestTenantsAdministerThemselvesAlone(t *testing.T) {
	const tenant = "111111111111"
	c := testConfig(t)
	c.Accounts = map[string]config.Tenant{tenant: {}}
	s := run(t, c)
	made := post(t, s, "/admin/v1/keys?account="+tenant, `{"name":"theirs","kind":"api-key","policy":{"actions":["*"]}}`)
	_, rest, _ := strings.Cut(made.body, `"secret": "`)
	secret, _, _ := strings.Cut(rest, `"`)
	for _, x := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "keys", 200},
		{http.MethodGet, "usage", 200},
		{http.MethodGet, "demand", 200},
		{http.MethodGet, "demand?account=*", 403},
		{http.MethodGet, "demand?account=" + c.Account.ID, 403},
		{http.MethodGet, "keys?account=" + c.Account.ID, 403},
		{http.MethodPost, "keys?account=" + c.Account.ID, 403},
		{http.MethodGet, "verify", 403},
		{http.MethodGet, "config", 403},
		{http.MethodGet, "config/export", 403},
		{http.MethodGet, "accounts", 403},
		{http.MethodGet, "engines", 403},
		{http.MethodPut, "engines/up", 403},
		{http.MethodPut, "models/" + haiku, 403},
		{http.MethodPut, "prices/" + haiku, 403},
		{http.MethodPut, "accounts/" + tenant, 403},
	} {
		got := post(t, s, "/admin/v1/"+x.path, `{"name":"more","kind":"api-key"}`, func(r *http.Request) {
			r.Method = x.method
			r.Header.Set("Authorization", "Bearer "+secret)
		})
		if got.status != x.status {
			t.Errorf("%s %s: %d %.200s, want %d", x.method, x.path, got.status, got.body, x.status)
		}
	}
}

// An administrator of another account sees no engine, no cost and no caller but its own.
func TestTenantsSeeThemselvesAlone(t *testing.T) {
	const tenant = "111111111111"
	c := testConfig(t)
	c.Accounts = map[string]config.Tenant{tenant: {}}
	c.Engines["hidden"] = config.Engine{Type: "simulated"}
	c.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "hidden"}}}
	s := run(t, c)
	made := post(t, s, "/admin/v1/keys?account="+tenant, `{"name":"theirs","kind":"api-key","policy":{"actions":["*"]}}`)
	_, rest, _ := strings.Cut(made.body, `"secret": "`)
	secret, _, _ := strings.Cut(rest, `"`)
	theirs := set("Authorization", "Bearer "+secret)
	post(t, s, chatPath, viaChat.body(`[{"role":"user","content":"x"}]`), set("Authorization", "Bearer nobody"))
	id := post(t, s, chatPath, viaChat.body(`[{"role":"user","content":"x"}]`), theirs).header.Get("X-Request-Id")
	get := func(r *http.Request) { r.Method = http.MethodGet }
	for _, x := range []struct{ path, operator, tenant string }{
		{"status", `"engines"`, `"ready": true`},
		{"models", `"hidden"`, haiku},
		{"usage?by=reason", `"unknown_key"`, `"requests": 1`},
	} {
		if got := post(t, s, "/admin/v1/"+x.path, "", get); !strings.Contains(got.body, x.operator) {
			t.Errorf("%s, to the operator: %d %s", x.path, got.status, got.body)
		}
		if got := post(t, s, "/admin/v1/"+x.path, "", get, theirs); !strings.Contains(got.body, x.tenant) || strings.Contains(got.body, x.operator) {
			t.Errorf("%s: %d %s", x.path, got.status, got.body)
		}
	}
	if got := post(t, s, "/admin/v1/explain/"+id, "", get, theirs); got.status != http.StatusOK || !strings.Contains(got.body, `"cost": null`) {
		t.Errorf("explain: %d %s", got.status, got.body)
	}
	// One that was recalled cost the operator something, on engines that are the operator's.
	in := int64(1e9)
	lost, err := meter.NewTariff("up", &catalog.Price{Currency: "USD", Input: &in}, infer.TierDefault).Price(infer.Usage{Input: 7})
	if err == nil {
		err = s.ledger.Append(t.Context(), &meter.Record{
			RequestID: "recalled", Account: tenant, API: "openai", Operation: "ChatCompletions", Mode: meter.ModeOnDemand, Arrived: time.Now(), Outcome: meter.OutcomeOK, Engine: "hidden",
			Attempts: []meter.Attempt{{Engine: "hidden", Outcome: "canceled", Recalled: true, Input: 7, Lost: lost}, {Engine: "hidden", Outcome: meter.OutcomeOK}},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := post(t, s, "/admin/v1/explain/recalled", "", get); !strings.Contains(got.body, `"lostNano": 7000`) || !strings.Contains(got.body, "hidden") {
		t.Errorf("explain, to the operator: %d %s", got.status, got.body)
	}
	if got := post(t, s, "/admin/v1/explain/recalled", "", get, theirs); got.status != http.StatusOK || strings.Contains(got.body, "lost") || strings.Contains(got.body, "hidden") {
		t.Errorf("explain: %d %s", got.status, got.body)
	}
	if got := post(t, s, "/admin/v1/usage?by=model,engine", "", get, theirs); got.status != http.StatusForbidden {
		t.Errorf("usage by engine: %d %s", got.status, got.body)
	}
}

// A tenant is told how much of its order could be had, and not by which engines.
func TestTenantsAreNotToldOfEngines(t *testing.T) {
	const tenant = "111111111111"
	c := slow(testConfig(t), 8)
	c.Accounts = map[string]config.Tenant{tenant: {}}
	s := run(t, c)
	made := post(t, s, "/admin/v1/keys?account="+tenant, `{"name":"theirs","kind":"api-key","policy":{"actions":["*"]}}`)
	_, rest, _ := strings.Cut(made.body, `"secret": "`)
	secret, _, _ := strings.Cut(rest, `"`)
	theirs := set("Authorization", "Bearer "+secret)
	const had, names = "of 2147483647 model units could be had", "the engines (sim)"
	for _, x := range []struct{ method, path, body string }{
		{http.MethodPost, "/admin/v1/provisioned/big", `{"model":"` + haiku + `","units":2147483647}`},
		{http.MethodGet, "/admin/v1/provisioned", ""},
		{http.MethodGet, "/admin/v1/provisioned/big", ""},
		{http.MethodGet, throughputPath + "/big", ""},
		{http.MethodPost, "/model/big/converse", hiConverse},
	} {
		got := post(t, s, x.path, x.body, theirs, func(r *http.Request) { r.Method = x.method })
		if all := fmt.Sprint(got.body, got.header); !strings.Contains(all, had) || strings.Contains(all, names) || strings.Contains(all, "sim)") {
			t.Errorf("%s %s: %s", x.method, x.path, all)
		}
	}
	if got := ask(t, s, http.MethodGet, "provisioned/big?account="+tenant, ""); !strings.Contains(got.body, had) || !strings.Contains(got.body, names) {
		t.Errorf("to the operator: %d %s", got.status, got.body)
	}
}

// Two long tokens with one beginning are not the same token.
func TestLongIdempotencyTokensAreRefused(t *testing.T) {
	s := run(t, testConfig(t))
	got := post(t, s, "/admin/v1/keys", `{"name":"app","kind":"api-key"}`, func(r *http.Request) { r.Header.Set("Idempotency-Key", strings.Repeat("x", 257)) })
	if got.status != 400 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// Without authentication, the pages that a browser of this machine shows are kept out: they
// send requests to loopback, too.
func TestNoAuthServesNoWebPages(t *testing.T) {
	c := testConfig(t)
	c.NoAuth = true
	s := run(t, c)
	for _, x := range []struct {
		host, origin string
		status       int
	}{
		{"", "", 200},
		{"localhost:8484", "", 200},
		{"bedrock-runtime.localhost", "", 200},
		{"[::1]:8484", "http://localhost:3000", 200},
		{"host.docker.internal:8484", "", 200},
		{"rebound.example:8484", "", 403},
		{"rebound.example", "http://rebound.example", 403},
		{"127.0.0.1:8484", "https://page.example", 403},
		{"127.0.0.1:8484", "null", 403},
	} {
		got := post(t, s, "/admin/v1/keys", "", func(r *http.Request) {
			r.Method = http.MethodGet
			r.Header.Del("Authorization")
			if x.host != "" {
				r.Host = x.host
			}
			if x.origin != "" {
				r.Header.Set("Origin", x.origin)
			}
		})
		if got.status != x.status {
			t.Errorf("host %q, origin %q: %d %.200s", x.host, x.origin, got.status, got.body)
		}
	}
}

// Who does not hold the secret cannot fill the memory of signing keys.
func TestOnlyGoodSignaturesAreRemembered(t *testing.T) {
	var keys signingKeys
	for i, secret := range []string{"the secret", "a guess"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		err = v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: secret}, r, emptyHash, "bedrock", fmt.Sprint("region-", i), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		req := &identity.Request{Method: r.Method, Path: "/", Host: r.Host, Header: r.Header}
		c, err := identity.ParseAuthorization(req)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := keys.verify(c, "the secret", req, emptyHash); (err == nil) != (i == 0) {
				t.Errorf("signed with %q: %v", secret, err)
			}
		}
	}
	if len(keys.keys) != 1 {
		t.Errorf("%d keys are remembered", len(keys.keys))
	}
}
