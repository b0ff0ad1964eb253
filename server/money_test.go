package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"forebay/config"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/infer"
	"forebay/meter"
)

const llama = "meta.llama3-8b-instruct-v1:0"

// explained is the row of an answered call.
func explained(t *testing.T, s *Server, got answer) *meter.Explanation {
	t.Helper()
	e, err := s.ledger.Explain(t.Context(), got.header.Get("X-Request-Id"))
	if err != nil {
		t.Fatalf("%v after %d %s", err, got.status, got.body)
	}
	return e
}

// Each call has two amounts: what its caller is charged, by the price of the model that serves or, by
// rule, of the one that was asked for; and what it cost on the engine that answered.
func TestCostAndCharge(t *testing.T) {
	c := testConfig(t)
	up := fakeupstream.New(t, fakeupstream.OpenAI)
	c.Engines["own"] = config.Engine{Type: "openai", URL: up.URL}
	c.Engines["priced"] = config.Engine{Type: "openai", URL: up.URL, Cost: &config.Price{Input: "0.10 EUR", Output: "0.20 EUR", Date: "2026-01-31", Source: "invoice"}}
	bind := func(b config.Binding) config.Model { return config.Model{Engines: []config.Binding{b}} }
	c.Models = map[string]config.Model{
		llama:                     bind(config.Binding{Engine: "own"}),
		"meta.llama2-70b-chat-v1": bind(config.Binding{Engine: "priced"}),
		"amazon.nova-lite-v1:0":   bind(config.Binding{Engine: "priced", Cost: &config.Price{Input: "7 USD", Output: "8 USD"}}),
	}
	c.Aliases = map[string]string{haiku: llama, "cheap": llama, "amazon.nova-pro-v1:0": llama}
	c.Charge = map[string]string{haiku: "asked", "cheap": "asked", "amazon.nova-pro-v1:0": "served"}
	s := run(t, c)
	up.Say("Hello")
	ask := func(model string) (answer, *meter.Explanation) {
		got := post(t, s, chatPath, `{"model":"`+model+`","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`)
		return got, explained(t, s, got)
	}
	for _, x := range []struct{ asked, served, chargedAs, costAs, costIn, source string }{
		{llama, llama, llama, "", "", ""},
		{haiku, llama, haiku, "", "", ""},
		{"amazon.nova-pro-v1:0", llama, llama, "", "", ""},
		{"cheap", llama, "", "", "", ""}, // asked for by a name of no known price
		{"meta.llama2-70b-chat-v1", "meta.llama2-70b-chat-v1", "meta.llama2-70b-chat-v1", "meta.llama2-70b-chat-v1", "EUR", "invoice"},
		{"amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0", "", "amazon.nova-lite-v1:0", "USD", "configuration"}, // what cached tokens are charged is not known
	} {
		got, e := ask(x.asked)
		if got.status != 200 || e.Model != x.served || e.ModelAsked != x.asked || (e.Charge == nil) != (x.chargedAs == "") || (e.Cost == nil) != (x.costAs == "") {
			t.Errorf("%s: %d, charge %+v, cost %+v, %+v", x.asked, got.status, e.Charge, e.Cost, e)
			continue
		}
		if x.asked != x.served && got.header.Get("X-Forebay-Model-Served") != x.served {
			t.Errorf("%s: served by %q, says the answer", x.asked, got.header.Get("X-Forebay-Model-Served"))
		}
		if e.Charge != nil && (e.Charge.Model != x.chargedAs || e.Charge.Total <= 0 || e.Charge.Date == "" || e.Charge.CacheRead <= 0) {
			t.Errorf("%s: charge %+v", x.asked, e.Charge)
		}
		if e.Cost != nil && (e.Cost.Model != x.costAs || e.Cost.Currency != x.costIn || e.Cost.Source != x.source || e.Cost.Total <= 0) {
			t.Errorf("%s: cost %+v", x.asked, e.Cost)
		}
	}
	v, err := s.ledger.Verify(t.Context(), time.Time{}, time.Time{})
	if err != nil || v.Wrong != 0 || v.Rows != 6 {
		t.Errorf("%+v %v", v, err)
	}
	if got := post(t, s, "/admin/v1/verify", "", func(r *http.Request) { r.Method = http.MethodGet }); got.status != 200 || !strings.Contains(got.body, `"wrong": 0`) {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// A cloud's tokens cost its list price unless the configuration says otherwise; the price at which
// they are charged on does not matter.
func TestCloudsCostTheirListPrice(t *testing.T) {
	c := testConfig(t)
	up := fakeupstream.New(t, fakeupstream.Anthropic)
	c.Engines["claude"] = config.Engine{Type: "anthropic", URL: up.URL}
	c.Models[haiku] = config.Model{
		Engines: []config.Binding{{Engine: "claude", Model: "claude-3-5-sonnet-20240620"}}, Price: &config.Price{Input: "1 USD", Output: "1 USD"},
	}
	s := run(t, c)
	up.Say("Hello")
	e := explained(t, s, post(t, s, messagesPath, `{"model":"`+haiku+`","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`))
	if e.Cost == nil || e.Cost.Model != "anthropic.claude-3-5-sonnet-20240620-v1:0" || e.Cost.Input != e.Input*3000 || e.Cost.Output != e.Output*15000 || e.Cost.Date == "" {
		t.Errorf("cost %+v of %d and %d tokens", e.Cost, e.Input, e.Output)
	}
	if e.Charge == nil || e.Charge.Tier != "default" || e.Charge.Total != (e.Input+e.CacheRead+e.Output)*1000 || e.Charge.Source != "configuration" {
		t.Errorf("charge %+v", e.Charge)
	}
}

// A declared price knows the tiers whose factors are said; a cost holds for the others as well.
func TestDeclaredTiers(t *testing.T) {
	p := &config.Price{Input: "2 USD", Output: "4 USD", Flex: 0.5}
	got, err := declared(p)
	if err != nil {
		t.Fatal(err)
	}
	tariffs := meter.NewTariffs("m", got)
	if tariffs[infer.TierFlex].Input != 1_000_000_000 || tariffs[infer.TierDefault].Input != 2_000_000_000 || tariffs[infer.TierPriority] != nil {
		t.Errorf("%+v", tariffs)
	}
	costs, err := cost(&config.Binding{Cost: p}, &config.Engine{Type: "openai"}, "up")
	if err != nil || costs[infer.TierFlex].Output != 2_000_000_000 || costs[infer.TierPriority] != costs[infer.TierDefault] {
		t.Errorf("%+v %v", costs, err)
	}
}
