package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"forebay/config"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/identity"
	"forebay/meter"
)

// as sends a request with a key of any kind.
func as(t *testing.T, s *Server, key identity.Secret, body string) func(*http.Request) {
	if strings.HasPrefix(key.ID, "AKIA") {
		return sign(t, s, body, signature{id: key.ID, secret: key.Value})
	}
	return set("Authorization", "Bearer "+key.Value)
}

const hi = `[{"role":"user","content":"[[tokens:1]]"}]`

// A policy's actions, models and tier hold through every API and with both kinds of keys.
func TestPoliciesEndToEnd(t *testing.T) {
	s := run(t, testConfig(t))
	const nova = "amazon.nova-lite-v1:0"
	streamed := func(body string) string { return strings.Replace(body, "{", `{"stream":true,`, 1) }
	tier := func(member string) string { return strings.Replace(hiConverse, "{", "{"+member+",", 1) }
	calls := map[string]struct{ path, body string }{
		"converse":        {conversePath, hiConverse},
		"invoke":          {invokePath, viaInvoke.body(hi)},
		"chat":            {chatPath, viaChat.body(hi)},
		"messages":        {messagesPath, viaMessages.body(hi)},
		"converse stream": {conversePath + "-stream", hiConverse},
		"invoke stream":   {invokePath + "-with-response-stream", viaInvoke.body(hi)},
		"chat stream":     {chatPath, streamed(viaChat.body(hi))},
		"messages stream": {messagesPath, streamed(viaMessages.body(hi))},
		"nova":            {"/model/" + nova + "/converse", hiConverse},
		"nova profile":    {"/model/us." + nova + "/converse", hiConverse},
		"nova ARN":        {"/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Afoundation-model%2F" + nova + "/converse", hiConverse},
		"chat nova":       {chatPath, strings.Replace(viaChat.body(hi), haiku, nova, 1)},
		"priority":        {conversePath, tier(`"serviceTier":{"type":"priority"}`)},
		"flex":            {conversePath, tier(`"serviceTier":{"type":"flex"}`)},
		"chat priority":   {chatPath, strings.Replace(viaChat.body(hi), "{", `{"service_tier":"priority",`, 1)},
		"administration":  {"/admin/v1/keys", `{"name":"more","kind":"api-key"}`},
	}
	whole := []string{"converse", "invoke", "chat", "messages", "nova", "flex", "priority", "chat priority"}
	streams := []string{"converse stream", "invoke stream", "chat stream", "messages stream"}
	onNova := []string{"nova", "nova profile", "nova ARN", "chat nova"}
	for name, c := range map[string]struct {
		policy         identity.Policy
		allowed, never []string
	}{
		"everything":        {identity.Policy{}, append(append(append([]string{}, whole...), streams...), onNova...), []string{"administration"}},
		"one action":        {identity.Policy{Actions: []string{"bedrock:InvokeModel"}}, whole, append(streams, "administration")},
		"the other action":  {identity.Policy{Actions: []string{"bedrock:InvokeModelWith*"}}, streams, append(whole, "administration")},
		"no action of ours": {identity.Policy{Actions: []string{"s3:*"}}, nil, append(append(whole, streams...), "administration")},
		"one provider":      {identity.Policy{Models: []string{"amazon.*"}}, onNova, append(whole[:4:4], streams...)},
		"one model":         {identity.Policy{Models: []string{"anthropic.claude-?-haiku-*"}}, append(whole[:4:4], streams...), onNova},
		"default at most":   {identity.Policy{Tier: "default"}, []string{"converse", "flex", "chat"}, []string{"priority", "chat priority"}},
		"flex only":         {identity.Policy{Tier: "flex"}, []string{"flex"}, []string{"converse", "chat", "messages", "invoke", "priority"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, kind := range []identity.KeyKind{identity.KeyBearer, identity.KeyPair} {
				key := makeKey(t, s, strings.ReplaceAll(name+" "+string(kind), " ", "-"), kind, c.policy, time.Time{})
				for _, call := range c.allowed {
					if got := post(t, s, calls[call].path, calls[call].body, as(t, s, key, calls[call].body)); got.status != http.StatusOK {
						t.Errorf("%s, %s: %d %.200s", kind, call, got.status, got.body)
					}
				}
				for _, call := range c.never {
					if kind == identity.KeyPair && call == "administration" {
						continue // is not signed for
					}
					if got := post(t, s, calls[call].path, calls[call].body, as(t, s, key, calls[call].body)); got.status != http.StatusForbidden || !strings.Contains(got.body, "not authorized") {
						t.Errorf("%s, %s: %d %.200s", kind, call, got.status, got.body)
					}
				}
			}
		})
	}
	for _, r := range usage(t, s, "outcome") {
		if r.Group[0] == meter.OutcomeRefused && (r.Charge != 0 || r.Output != 0) {
			t.Errorf("a denied call cost something: %+v", r)
		}
	}
}

// The tier of InvokeModel is a header.
func TestTierCeilingOfInvokeModel(t *testing.T) {
	s := run(t, testConfig(t))
	key := makeKey(t, s, "app", identity.KeyBearer, identity.Policy{Tier: "default"}, time.Time{})
	for tier, status := range map[string]int{"": 200, "default": 200, "flex": 200, "priority": 403, "reserved": 403} {
		got := post(t, s, invokePath, viaInvoke.body(hi), as(t, s, key, ""), set("X-Amzn-Bedrock-Service-Tier", tier))
		if got.status != status {
			t.Errorf("%q: %d %s", tier, got.status, got.body)
		}
	}
}

// What is no call of a model is of no tier, and what is no tier is refused as such, whatever the key's ceiling is.
func TestTierCeilingIsOfCalls(t *testing.T) {
	s := run(t, testConfig(t))
	key := makeKey(t, s, "night", identity.KeyBearer, identity.Policy{Tier: "flex"}, time.Time{})
	gold := func(body string) string { return strings.Replace(body, "{", `{"service_tier":"gold",`, 1) }
	for _, x := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodGet, "/foundation-models/" + haiku, "", 200},
		{http.MethodGet, "/v1/models/" + haiku, "", 200},
		{http.MethodPost, "/model/" + haiku + "/count-tokens", `{"input":{"converse":` + hiConverse + `}}`, 200},
		{http.MethodPost, conversePath, hiConverse, 403},
		{http.MethodPost, chatPath, gold(viaChat.body(hi)), 400},
		{http.MethodPost, messagesPath, gold(viaMessages.body(hi)), 400},
	} {
		got := post(t, s, x.path, x.body, as(t, s, key, x.body), func(r *http.Request) { r.Method = x.method })
		if got.status != x.status {
			t.Errorf("%s %s: %d %s, want %d", x.method, x.path, got.status, got.body, x.status)
		}
	}
}

// Each limit of a key refuses by itself, in the words of each API, and says which one it was.
func TestLimitsOfKeysEndToEnd(t *testing.T) {
	s := run(t, testConfig(t))
	for name, c := range map[string]struct {
		limits           identity.Limits
		reason, throttle string
	}{
		"requests a minute": {identity.Limits{RequestsPerMinute: 2}, "requests/min of key", "Too many requests, please wait before trying again."},
		"tokens a minute":   {identity.Limits{TokensPerMinute: 20}, "tokens/min of key", "Too many tokens, please wait before trying again."},
		"tokens a day":      {identity.Limits{TokensPerDay: 20}, "tokens/day of key", "Too many tokens per day, please wait before trying again."},
		"spend a day":       {identity.Limits{SpendPerDay: 12_000, Currency: "USD"}, "spend/day", ""},
		"spend a month":     {identity.Limits{SpendPerMonth: 12_000, Currency: "USD"}, "spend/month", ""},
	} {
		for _, d := range []door{viaConverse, viaInvoke, viaChat, viaMessages} {
			key := makeKey(t, s, strings.ReplaceAll(name+" "+d.name, " ", "-"), identity.KeyBearer, identity.Policy{Limits: c.limits}, time.Time{})
			body := d.body(hi)
			if d.name == viaConverse.name {
				body = hiConverse
			}
			var got answer
			ok := 0
			for range 20 {
				if got = post(t, s, d.path, body, as(t, s, key, body)); got.status != http.StatusOK {
					break
				}
				ok++
			}
			if ok == 0 || got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
				t.Errorf("%s, %s: %d after %d: %v %s", name, d.name, got.status, ok, got.header, got.body)
				continue
			}
			if reason := got.header.Get("X-Forebay-Reason"); !strings.Contains(reason, c.reason) {
				t.Errorf("%s, %s: %s", name, d.name, reason)
			}
			if d.name == viaConverse.name && !strings.Contains(got.body, c.throttle) {
				t.Errorf("%s: %s", name, got.body)
			}
		}
	}
}

// A request over its spend limit is refused before it costs anything: no engine hears of it.
func TestSpendLimitRefusesBeforeTheEngine(t *testing.T) {
	s, up := bound(t, fakeupstream.OpenAI, "openai")
	up.Say("Hello")
	key := makeKey(t, s, "app", identity.KeyBearer, identity.Policy{Limits: identity.Limits{SpendPerDay: 40_000, Currency: "USD"}}, time.Time{})
	ok := 0
	for post(t, s, chatPath, viaChat.body(hi), as(t, s, key, "")).status == http.StatusOK {
		if ok++; ok > 1000 {
			t.Fatalf("it is never refused: %+v", usage(t, s, "outcome"))
		}
	}
	var spent int64
	for _, r := range usage(t, s, "outcome") {
		spent += r.Charge
		if want := map[string]int64{meter.OutcomeOK: int64(ok), meter.OutcomeRefused: 1}[r.Group[0]]; r.Requests != want {
			t.Errorf("%+v, want %d", r, want)
		}
	}
	if ok == 0 || len(up.Calls()) != ok || spent > 40_000 || spent == 0 {
		t.Errorf("%d answered, %d calls of the engine, %d nano-USD spent", ok, len(up.Calls()), spent)
	}
	// What one call can cost at most is over the limit at once.
	poor := makeKey(t, s, "poor", identity.KeyBearer, identity.Policy{Limits: identity.Limits{SpendPerMonth: 1, Currency: "USD"}}, time.Time{})
	if got := post(t, s, chatPath, viaChat.body(hi), as(t, s, poor, "")); got.status/100 != 4 || len(up.Calls()) != ok {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// A key ends when its time has come, whatever it was allowed.
func TestExpiry(t *testing.T) {
	s := run(t, testConfig(t))
	lives := makeKey(t, s, "lives", identity.KeyBearer, identity.Policy{}, time.Now().Add(time.Hour))
	if got := post(t, s, chatPath, viaChat.body(hi), as(t, s, lives, "")); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := post(t, s, chatPath, viaChat.body(hi), as(t, s, expiredKey(t, s, identity.KeyBearer), "")); got.status != http.StatusUnauthorized {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// An operator's budget for the account stands over every key's.
func TestLimitsOfTheAccountStandOverKeys(t *testing.T) {
	c := testConfig(t)
	c.Account.Limits = config.Limits{RequestsPerMinute: 3}
	s := run(t, c)
	a := makeKey(t, s, "a", identity.KeyBearer, identity.Policy{Limits: identity.Limits{RequestsPerMinute: 100}}, time.Time{})
	b := makeKey(t, s, "b", identity.KeyBearer, identity.Policy{}, time.Time{})
	for i, key := range []identity.Secret{a, b, a, b} {
		got := post(t, s, chatPath, viaChat.body(hi), as(t, s, key, ""))
		if want := []int{200, 200, 200, 429}[i]; got.status != want {
			t.Errorf("call %d: %d, want %d %s", i, got.status, want, got.body)
		}
	}
}
