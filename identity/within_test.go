package identity

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestExceeds(t *testing.T) {
	own := Policy{
		Actions: []string{"bedrock:*", "forebay:AdminWrite"}, Models: []string{"amazon.*", "meta.llama3-?b"}, Tier: "default",
		Limits: Limits{RequestsPerMinute: 10, SpendPerDay: 5, Currency: "USD"},
	}
	with := func(change func(*Policy)) *Policy {
		p := own
		change(&p)
		return &p
	}
	for _, x := range []struct {
		name string
		p    *Policy
		want string // the beginning of the answer
	}{
		{"the same", &own, ""},
		{"less", with(func(p *Policy) { p.Actions = []string{"bedrock:InvokeModel*"} }), ""},
		{"all actions", with(func(p *Policy) { p.Actions = nil }), "actions:"},
		{"every action", with(func(p *Policy) { p.Actions = []string{"*"} }), "actions:"},
		{"administration", with(func(p *Policy) { p.Actions = []string{"forebay:*"} }), "actions:"},
		{"one more action", with(func(p *Policy) { p.Actions = append([]string{"s3:Get"}, p.Actions...) }), "actions:"},
		{"all models", with(func(p *Policy) { p.Models = nil }), "models:"},
		{"other models", with(func(p *Policy) { p.Models = []string{"amazon*"} }), "models:"},
		{"one model", with(func(p *Policy) { p.Models = []string{"meta.llama3-8b"} }), ""},
		{"any tier", with(func(p *Policy) { p.Tier = "" }), "max_tier:"},
		{"a higher tier", with(func(p *Policy) { p.Tier = "priority" }), "max_tier:"},
		{"a lower tier", with(func(p *Policy) { p.Tier = "flex" }), ""},
		{"no limit", with(func(p *Policy) { p.Limits.RequestsPerMinute = 0 }), "limits.requests_per_minute:"},
		{"a higher limit", with(func(p *Policy) { p.Limits.RequestsPerMinute = 11 }), "limits.requests_per_minute:"},
		{"more limits", with(func(p *Policy) { p.Limits.TokensPerDay = 1 }), ""},
		{"a ceiling of calls", with(func(p *Policy) { p.Limits.ConcurrentCalls = 1 }), ""},
		{"a higher budget", with(func(p *Policy) { p.Limits.SpendPerDay = 6 }), "limits.spend_per_day:"},
		{"no budget", with(func(p *Policy) { p.Limits.SpendPerDay, p.Limits.SpendPerMonth = 0, 1 }), "limits.spend_per_day:"},
		{"another currency", with(func(p *Policy) { p.Limits.Currency = "EUR" }), "limits.spend_per_day:"},
	} {
		got := x.p.Exceeds(&own)
		if (got == "") != (x.want == "") || !strings.HasPrefix(got, x.want) {
			t.Errorf("%s: %q", x.name, got)
		}
		if why := x.p.Exceeds(&Policy{Actions: []string{"*"}}); why != "" {
			t.Errorf("%s, beside everything: %q", x.name, why)
		}
	}
	if why := (&Policy{Actions: []string{"fore*"}}).Exceeds(&Policy{}); why == "" {
		t.Error("administration is within a policy of all else")
	}
	if why := (&Policy{Actions: []string{"bedrock:Create*"}}).Exceeds(&Policy{}); why == "" {
		t.Error("purchases are within a policy of all else")
	}
	if why := (&Policy{Actions: []string{"bedrock:?nvoke*"}}).Exceeds(&Policy{}); why != "" {
		t.Errorf("calls of models: %s", why)
	}
}

// Whatever a policy within another one allows, the other one allows too.
func TestWithinAllowsNoMore(t *testing.T) {
	names := []string{"ab", "a", "b", "abb", "ba", "", AdminPrefix + "a", "forebay"}
	patterns := rapid.SliceOfN(rapid.StringMatching(`(forebay:)?[ab*?]{0,4}`), 0, 3)
	tiers := rapid.SampledFrom([]string{"", "priority", "default", "flex"})
	limit := rapid.Int64Range(0, 3)
	policy := rapid.Custom(func(t *rapid.T) Policy {
		return Policy{
			Actions: patterns.Draw(t, "actions"), Models: patterns.Draw(t, "models"), Tier: tiers.Draw(t, "tier"),
			Limits: Limits{RequestsPerMinute: limit.Draw(t, "requests")},
		}
	})
	within := 0
	rapid.Check(t, func(t *rapid.T) {
		p, own := policy.Draw(t, "p"), policy.Draw(t, "own")
		if p.Exceeds(&own) != "" {
			return
		}
		within++
		for _, action := range names {
			for _, model := range names {
				for _, tier := range []string{"priority", "default", "flex"} {
					if Authorize(&Principal{Policy: &p}, action, model, "", tier) == nil && Authorize(&Principal{Policy: &own}, action, model, "", tier) != nil {
						t.Fatalf("%+v allows %q on %q at %s, %+v does not", p, action, model, tier, own)
					}
				}
			}
		}
		if r := own.Limits.RequestsPerMinute; r > 0 && (p.Limits.RequestsPerMinute == 0 || p.Limits.RequestsPerMinute > r) {
			t.Fatalf("%+v beside %+v", p.Limits, own.Limits)
		}
	})
	if within == 0 {
		t.Error("nothing was within anything")
	}
}
