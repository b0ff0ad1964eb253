package server

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"forebay/config"
	"forebay/engine/enginetest/fakeupstream"
)

// Each kind of limit can sit on a key, its team, its account and the account's use of a model: it refuses there, names itself, its
// level is in the account of the refused call; who shares it is refused, who does not is not; and it stands there after a restart.
func TestEveryLimitAtEveryLevel(t *testing.T) {
	limits := []struct {
		name string
		l    config.Limits
	}{
		{"requests/min", config.Limits{RequestsPerMinute: 2}},
		{"tokens/min", config.Limits{TokensPerMinute: 75}},
		{"tokens/day", config.Limits{TokensPerDay: 150}},
		{"spend/day", config.Limits{SpendPerDay: "0.0002 USD"}},
		{"spend/month", config.Limits{SpendPerMonth: "0.0002 USD"}},
	}
	for _, level := range []string{"key", "team", "account", "model"} {
		for _, x := range limits {
			t.Run(level+" "+x.name, func(t *testing.T) {
				const account = "111111111111"
				c := testConfig(t)
				tenant, policy := config.Tenant{Teams: map[string]config.Team{"search": {}}}, config.Policy{}
				switch level {
				case "key":
					policy.Limits = x.l
				case "team":
					tenant.Teams["search"] = config.Team{Limits: x.l}
				case "account":
					tenant.Limits = x.l
				default:
					tenant.Models = map[string]config.Limits{haiku: x.l}
				}
				c.Accounts = map[string]config.Tenant{account: tenant}
				m := c.Models["amazon.nova-lite-v1:0"] // too dear for what is left of any budget
				m.Price = &config.Price{Input: "1 USD", Output: "2 USD"}
				c.Models["amazon.nova-lite-v1:0"] = m
				p, err := policy.Parse()
				if err != nil {
					t.Fatal(err)
				}
				ask := func(s *Server, model, key string) answer {
					return post(t, s, chatPath, `{"model":"`+model+`","max_tokens":60,"messages":[{"role":"user","content":"hi"}]}`, set("Authorization", "Bearer "+key))
				}
				var secret string
				t.Run("refuses", func(t *testing.T) {
					s := run(t, c)
					secret = keyOf(t, s, account, fmt.Sprintf(`"team":"search","policy":%s`, policyText(t, p)))
					got, served := ask(s, haiku, secret), 0
					for ; got.status == http.StatusOK && served < 100; got = ask(s, haiku, secret) {
						served++
					}
					if reason := got.header.Get("X-Forebay-Reason"); served == 0 || got.status != http.StatusTooManyRequests || !strings.Contains(reason, x.name) || !strings.Contains(reason, level+" ") {
						t.Fatalf("%d after %d answers: %q %s", got.status, served, reason, got.body)
					}
					if e := explained(t, s, got); !strings.Contains(string(e.Detail), `"refusedBy":"`+level+` `) || !strings.Contains(string(e.Detail), `"level":`) {
						t.Errorf("%s", e.Detail)
					}
					// Who shares the limit is refused, and who does not is not.
					other := keyOf(t, s, account, `"policy":{}`) // of no team
					for _, y := range []struct {
						who    string
						answer answer
						shares bool
					}{
						{"the key, another model", ask(s, "amazon.nova-lite-v1:0", secret), level != "model"},
						{"another key of the account", ask(s, haiku, other), level == "account" || level == "model"},
						{"another account", ask(s, haiku, s.creds.APIKey), false},
					} {
						if want := map[bool]int{true: http.StatusTooManyRequests, false: http.StatusOK}[y.shares]; y.answer.status != want {
							t.Errorf("%s: %d %s, want %d", y.who, y.answer.status, y.answer.body, want)
						}
					}
				})
				if got := ask(run(t, c), haiku, secret); got.status != http.StatusTooManyRequests {
					t.Errorf("the first call after a restart: %d %s", got.status, got.body)
				}
			})
		}
	}
}

// keyOf makes a key of an account and returns its secret.
func keyOf(t *testing.T, s *Server, account, members string) string {
	t.Helper()
	made := ask(t, s, http.MethodPost, "keys?account="+account, `{"name":"k`+strconv.Itoa(len(members))+`","kind":"api-key",`+members+`}`)
	_, rest, _ := strings.Cut(made.body, `"secret": "`)
	secret, _, ok := strings.Cut(rest, `"`)
	if !ok || made.status != http.StatusOK {
		t.Fatalf("%d %s", made.status, made.body)
	}
	return secret
}

// What a quota is charged beyond the holds is reported, by level and cause.
func TestExcessOfQuotasIsReported(t *testing.T) {
	const sonnet = "anthropic.claude-sonnet-4-20250514-v1:0" // output counts five times
	c := testConfig(t)
	up := fakeupstream.New(t, fakeupstream.OpenAI)
	up.Handle(func(c *fakeupstream.Call) {
		c.Respond(200, http.Header{"Content-Type": {"application/json"}},
			[]byte(`{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":50,"completion_tokens":20}}`))
	})
	c.Engines["up"] = config.Engine{Type: "openai", URL: up.URL}
	c.Models[sonnet] = config.Model{Engines: []config.Binding{{Engine: "up"}}}
	c.Account.Limits.TokensPerMinute = 10_000
	s := run(t, c)
	got := post(t, s, chatPath, `{"model":"`+sonnet+`","max_tokens":20,"messages":[{"role":"user","content":"x"}]}`)
	e := explained(t, s, got)
	text := post(t, s, "/metrics", "", func(r *http.Request) { r.Method = http.MethodGet }).body
	for cause, want := range map[string]int64{"burndown": 4 * 20, "estimate": 50 - e.Estimate} {
		if line := fmt.Sprintf(`forebay_quota_excess_tokens_total{cause="%s",level="account"} %d`, cause, want); !strings.Contains(text, line+"\n") || want <= 0 {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
	if !strings.Contains(text, `forebay_quota_excess_tokens_total{cause="burndown",level="key"} 0`) {
		t.Error("the key has no quota")
	}
}
