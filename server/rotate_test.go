package server

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"forebay/identity"

	"github.com/go-json-experiment/json"
)

// madeKey is what the admin API says of a key that was made or rotated.
type madeKey struct {
	ID, Secret     string
	OldSecretUntil time.Time
}

// rotate gives a key a new secret.
func rotate(t *testing.T, s *Server, id, body string, change ...func(*http.Request)) madeKey {
	t.Helper()
	var out madeKey
	got := post(t, s, "/admin/v1/keys/"+id+"/rotate", body, change...)
	if err := json.Unmarshal([]byte(got.body), &out, json.MatchCaseInsensitiveNames(true)); err != nil || got.status != http.StatusOK {
		t.Fatalf("%d %s %v", got.status, got.body, err)
	}
	return out
}

// A rotated key is the same key: its limits go on counting, and its old secret is good as long as was said.
func TestRotation(t *testing.T) {
	s := run(t, testConfig(t))
	for _, kind := range []identity.KeyKind{identity.KeyBearer, identity.KeyPair} {
		old := makeKey(t, s, string(kind), kind, identity.Policy{Limits: identity.Limits{RequestsPerMinute: 4}}, time.Time{})
		ask := func(secret string) int {
			use := set("Authorization", "Bearer "+secret)
			if kind == identity.KeyPair {
				use = sign(t, s, hiConverse, signature{id: old.ID, secret: secret})
			}
			return post(t, s, conversePath, hiConverse, use).status
		}
		refused := http.StatusForbidden // as an unknown token
		if got := ask(old.Value); got != http.StatusOK {
			t.Fatalf("%s: %d", kind, got)
		}
		next := rotate(t, s, old.ID, "")
		if d := time.Until(next.OldSecretUntil); next.ID != old.ID || next.Secret == old.Value || d < 23*time.Hour || d > 24*time.Hour {
			t.Errorf("%s: %+v", kind, next)
		}
		if a, b := ask(next.Secret), ask(old.Value); a != http.StatusOK || b != http.StatusOK {
			t.Errorf("%s within the grace: %d with the new secret, %d with the old one", kind, a, b)
		}
		last := rotate(t, s, old.ID, `{"grace":"0s"}`)
		if !last.OldSecretUntil.IsZero() {
			t.Errorf("%s: %+v", kind, last)
		}
		for _, secret := range []string{old.Value, next.Secret} {
			if got := ask(secret); got != refused {
				t.Errorf("%s after a rotation without grace: %d with an old secret", kind, got)
			}
		}
		if a, b := ask(last.Secret), ask(last.Secret); a != http.StatusOK || b != http.StatusTooManyRequests {
			t.Errorf("%s: %d and %d for the last calls of its minute", kind, a, b)
		}
	}
	for _, body := range []string{`{"grace":"soon"}`, `{"grace":"-1s"}`, `{"grace":"2161h"}`, `{"Grace":"1h"}`, `[]`} {
		if got := post(t, s, "/admin/v1/keys/"+s.creds.AccessKeyID+"/rotate", body); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
}

// The development keys' new secrets are where the tools of this machine look for them, also after a restart.
func TestRotationOfDevelopmentKeys(t *testing.T) {
	c := testConfig(t)
	var before, after Credentials
	t.Run("before", func(t *testing.T) {
		s := run(t, c)
		before = s.Credentials()
		p, err := s.keyring.Load().Bearer(before.APIKey, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		pair := rotate(t, s, before.AccessKeyID, `{"grace":"0s"}`)
		token := rotate(t, s, p.KeyID, `{"grace":"0s"}`)
		file, err := ReadCredentials(c.DataDir)
		if err != nil {
			t.Fatal(err)
		}
		after = *file
		if after.SecretAccessKey != pair.Secret || after.APIKey != token.Secret || after.APIKey == before.APIKey || after.AccessKeyID != before.AccessKeyID {
			t.Errorf("%+v beside %+v and %+v", after, pair, token)
		}
		works(t, s)
	})
	t.Run("after", func(t *testing.T) {
		s := run(t, c)
		if got := s.Credentials(); got.APIKey != after.APIKey || got.SecretAccessKey != after.SecretAccessKey {
			t.Error("the keys changed")
		}
		works(t, s)
		if _, err := s.keyring.Load().Bearer(before.APIKey, time.Now()); err == nil {
			t.Error("the old token is good")
		}
	})
	t.Run("cut off between the file and the store", func(t *testing.T) {
		s, err := New(t.Context(), c, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		s.creds.SecretAccessKey, s.creds.APIKey = "another", "fb-another"
		if err := s.writeCredentials(); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = run(t, c)
		works(t, s)
		signers, err := s.keyring.Load().Signers(after.AccessKeyID, time.Now())
		if err != nil || len(signers) != 1 || signers[0].Secret != "another" {
			t.Errorf("%+v %v", signers, err)
		}
	})
}

// A key gives no other key more than it has itself, neither by making nor by rotating one.
func TestKeysHandOutNoMoreThanTheyHave(t *testing.T) {
	c := testConfig(t)
	c.Account.Tier = "priority"
	s := run(t, c)
	ask(t, s, http.MethodPost, "teams/search", `{}`)
	const own = `"actions":["bedrock:*","forebay:AdminWrite"],"models":["amazon.*"],"max_tier":"default"`
	const limits = `"limits":{"tokens_per_minute":1000,"spend_per_month":"5 USD"}`
	soon := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	made := ask(t, s, http.MethodPost, "keys", `{"name":"maker","kind":"api-key","team":"search","expires":"`+soon+`","policy":{`+own+`,`+limits+`}}`)
	var maker madeKey
	if err := json.Unmarshal([]byte(made.body), &maker, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	as := set("Authorization", "Bearer "+maker.Secret)
	for i, x := range []struct{ rest, why string }{
		{`"team":"search","expires":"` + soon + `","policy":{` + own + `,` + limits + `}`, ""},
		{`"team":"search","expires":"` + soon + `","policy":{"actions":["bedrock:InvokeModel"],"models":["amazon.nova-*"],"max_tier":"flex","limits":{"tokens_per_minute":1,"spend_per_month":"4.99 USD"}}`, ""},
		{`"team":"search","expires":"` + soon + `","policy":{"models":["amazon.*"],"max_tier":"default",` + limits + `}`, "actions: "},
		{`"team":"search","expires":"` + soon + `","policy":{"actions":["bedrock:*"],"max_tier":"default",` + limits + `}`, "models: "},
		{`"team":"search","expires":"` + soon + `","policy":{"actions":["bedrock:*"],"models":["amazon.*"],` + limits + `}`, "max_tier: "},
		{`"team":"search","expires":"` + soon + `","policy":{` + own + `}`, "limits.tokens_per_minute: "},
		{`"team":"search","expires":"` + soon + `","policy":{` + own + `,"limits":{"tokens_per_minute":1000,"spend_per_month":"5 EUR"}}`, "limits.spend_per_month: "},
		{`"expires":"` + soon + `","policy":{` + own + `,` + limits + `}`, "team: "},
		{`"team":"search","policy":{` + own + `,` + limits + `}`, "expires: "},
		{`"team":"search","expires":"2100-01-01T00:00:00Z","policy":{` + own + `,` + limits + `}`, "expires: "},
	} {
		got := post(t, s, "/admin/v1/keys", fmt.Sprintf(`{"name":"k%d","kind":"api-key",%s}`, i, x.rest), as)
		if ok := got.status == http.StatusOK; ok != (x.why == "") || !ok && (got.status != http.StatusForbidden || !strings.Contains(got.body, x.why)) {
			t.Errorf("%s: %d %s", x.rest, got.status, got.body)
		}
	}
	wide := makeKey(t, s, "wide", identity.KeyBearer, identity.Policy{Actions: []string{"*"}}, time.Time{})
	if got := post(t, s, "/admin/v1/keys/"+wide.ID+"/rotate", "", as); got.status != http.StatusForbidden || strings.Contains(got.body, "secret\":") {
		t.Errorf("the secret of a wider key: %d %s", got.status, got.body)
	}
	if got := rotate(t, s, maker.ID, "", as); got.ID != maker.ID {
		t.Errorf("its own: %+v", got)
	}
	// A ceiling of the account is no wish of the caller's, and binds both.
	tiered := makeKey(t, s, "tiered", identity.KeyBearer, identity.Policy{Actions: []string{"*"}}, time.Time{})
	if got := post(t, s, "/admin/v1/keys", `{"name":"same","kind":"api-key"}`, set("Authorization", "Bearer "+tiered.Value)); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// A key of a team, whatever its actions, neither widens the limits that bind it nor ends keys of others.
func TestKeysOfTeamsStayWithin(t *testing.T) {
	s := run(t, testConfig(t))
	ask(t, s, http.MethodPost, "teams/search", `{"max_tier":"default","limits":{"requests_per_minute":60}}`)
	other := makeKey(t, s, "other", identity.KeyBearer, identity.Policy{}, time.Time{})
	var member, fellow madeKey
	for name, k := range map[string]*madeKey{"member": &member, "fellow": &fellow} {
		made := ask(t, s, http.MethodPost, "keys", `{"name":"`+name+`","kind":"api-key","team":"search","policy":{"actions":["*"]}}`)
		if err := json.Unmarshal([]byte(made.body), k, json.MatchCaseInsensitiveNames(true)); err != nil || made.status != http.StatusOK {
			t.Fatal(made.status, made.body, err)
		}
	}
	as := set("Authorization", "Bearer "+member.Secret)
	for _, x := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodPut, "teams/search", `{}`, http.StatusForbidden},
		{http.MethodPost, "teams/wide", `{}`, http.StatusForbidden},
		{http.MethodDelete, "teams/search", "", http.StatusForbidden},
		{http.MethodPut, "accounts/111111111111", `{}`, http.StatusForbidden},
		{http.MethodGet, "teams", "", http.StatusOK},
		{http.MethodDelete, "keys/" + other.ID, "", http.StatusForbidden},
		{http.MethodDelete, "keys/" + fellow.ID, "", http.StatusOK},
	} {
		if got := ask(t, s, x.method, x.path, x.body, as); got.status != x.status {
			t.Errorf("%s %s: %d %s, want %d", x.method, x.path, got.status, got.body, x.status)
		}
	}
}

// An answer that holds a secret is repeated for the key that asked for it alone.
func TestRepeatedAnswersAreForTheKeyThatAsked(t *testing.T) {
	s := run(t, testConfig(t))
	other := makeKey(t, s, "other", identity.KeyBearer, identity.Policy{Actions: []string{"forebay:*"}}, time.Time{})
	once := set("Idempotency-Key", "one")
	const body = `{"name":"app","kind":"api-key"}`
	first := post(t, s, "/admin/v1/keys", body, once)
	if again := post(t, s, "/admin/v1/keys", body, once); first.status != http.StatusOK || again.body != first.body {
		t.Errorf("%d %s, then %d %s", first.status, first.body, again.status, again.body)
	}
	if got := post(t, s, "/admin/v1/keys", body, once, set("Authorization", "Bearer "+other.Value)); got.status != http.StatusConflict {
		t.Errorf("another key: %d %s", got.status, got.body)
	}
}
