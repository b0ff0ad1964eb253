package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"forebay/api/admin"
	"forebay/config"
	"forebay/meter"
	"forebay/provision"

	"github.com/go-json-experiment/json"
)

// reserve buys a rate of the reserved tier of haiku.
func reserve(t *testing.T, s *Server, name string, input, output int64) *admin.Provisioned {
	t.Helper()
	a := ask(t, s, http.MethodPost, "provisioned/"+name, fmt.Sprintf(`{"model":%q,"inputTokensPerMinute":%d,"outputTokensPerMinute":%d}`, haiku, input, output))
	p := new(admin.Provisioned)
	if err := json.Unmarshal([]byte(a.body), p); err != nil || a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return p
}

// Calls that ask for the reserved tier use what was bought of it, are told so and charged nothing, and go on at the default tier beyond it; others
// leave it alone. Its hour has the price of its thousands.
func TestReservedTier(t *testing.T) {
	c := testConfig(t)
	c.Models[haiku] = config.Model{
		Engines: []config.Binding{{Engine: "sim"}}, Price: &config.Price{Input: "1 USD", Output: "2 USD"},
		Reserved: &config.Reserved{Input: config.ReservedPrice{Hour: "0.50 USD", Cost: "0.10 USD"}, Output: config.ReservedPrice{Hour: "2 USD"}},
	}
	s := run(t, c)
	p := reserve(t, s, "tier", 2000, 1000)
	if p.Status != provision.InService || p.Use == nil || p.Use.Input.Rate != 2000 || p.Use.Output.Rate != 1000 || p.Rates[0].Nano != 3_000_000_000 {
		t.Fatalf("%+v", p)
	}
	long := strings.Repeat("word ", 3000) // more than the rate of a minute, so that what follows exceeds it
	body := func(text, more string) string {
		return `{"messages":[{"role":"user","content":[{"text":"` + text + `"}]}]` + more + `}`
	}
	const asks = `,"serviceTier":{"type":"reserved"}`
	for i, x := range []struct {
		path, text, more, tier, spill string
		paid                          bool
	}{
		{conversePath, "hi", "", "default", "", false},
		{conversePath, "hi", asks, "reserved", "", true},
		{strings.Replace(conversePath, haiku, "us."+haiku, 1) + "-stream", long, asks, "reserved", "", true},
		{conversePath, "hi", asks, "default", "tier: over-rate (input tokens/min of the purchase " + p.ARN + ")", false},
		{conversePath + "-stream", "hi", asks, "default", "tier: over-rate (input tokens/min of the purchase " + p.ARN + ")", false},
		{conversePath, "hi", `,"serviceTier":{"type":"priority"}`, "priority", "", false},
	} {
		got := post(t, s, x.path, body(x.text, x.more))
		if got.status != http.StatusOK || x.more != "" && !strings.Contains(got.body, `"serviceTier":{"type":"`+x.tier+`"}`) || got.header.Get("X-Forebay-Spill") != x.spill {
			t.Errorf("call %d: %d %s %v", i, got.status, got.body, got.header)
		}
		e, err := s.ledger.Explain(t.Context(), got.header.Get("X-Amzn-Requestid"))
		if err != nil || e.Tier != x.tier || e.Spill != x.spill || (e.Reservation == p.ARN) != x.paid || x.paid && e.Charge != nil && e.Charge.Total != 0 {
			t.Errorf("call %d: the ledger says %+v, %v", i, e, err)
		}
	}
	for i, path := range []string{invokePath, invokePath + "-with-response-stream"} {
		got := post(t, s, path, viaInvoke.body(hi), set("X-Amzn-Bedrock-Service-Tier", "reserved"))
		if got.status != http.StatusOK || got.header.Get("X-Amzn-Bedrock-Service-Tier") != "default" || got.header.Get("X-Forebay-Spill") == "" {
			t.Errorf("invocation %d: %d %v", i, got.status, got.header)
		}
	}
	rows, err := s.ledger.Usage(t.Context(), meter.UsageQuery{Account: s.cfg.Account.ID, By: []string{"tier", "mode"}})
	if err != nil || len(rows) != 3 {
		t.Errorf("%+v %v", rows, err)
	}
}

// What the service has no words for is not there in its API, nor by its ARN or name in a call; without a purchase a call is told that there is none.
func TestReservedTierIsNoThroughput(t *testing.T) {
	s := run(t, testConfig(t))
	const asks = `{"messages":[{"role":"user","content":[{"text":"hi"}]}],"serviceTier":{"type":"reserved"}}`
	if got := post(t, s, conversePath, asks); got.status != http.StatusOK || got.header.Get("X-Forebay-Spill") != "reserved: not bought" {
		t.Errorf("%d %s %v", got.status, got.body, got.header)
	}
	p := reserve(t, s, "tier", 100_000, 10_000)
	if got := post(t, s, throughputsPath, "", method(http.MethodGet)); strings.Contains(got.body, p.ARN) {
		t.Error(got.body)
	}
	for _, m := range []string{http.MethodGet, http.MethodDelete, http.MethodPatch} {
		body := ""
		if m == http.MethodPatch {
			body = `{"desiredProvisionedModelName":"other"}`
		}
		if got := post(t, s, throughputPath+"/tier", body, by(m)); got.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", m, got.status, got.body)
		}
	}
	for _, id := range []string{p.ARN, "tier"} {
		if got := post(t, s, "/model/"+inPath(id)+"/converse", asks); got.status == http.StatusOK {
			t.Errorf("a call of %s: %d %s", id, got.status, got.body)
		}
	}
	for _, other := range []string{"amazon.nova-lite-v1:0"} { // of which nothing was bought
		if got := post(t, s, "/model/"+other+"/converse", asks); got.header.Get("X-Forebay-Spill") != "reserved: not bought" {
			t.Errorf("%d %s %v", got.status, got.body, got.header)
		}
	}
	if a := ask(t, s, http.MethodDelete, "provisioned/tier", ""); a.status != http.StatusOK {
		t.Fatal(a.status, a.body)
	}
	if got := post(t, s, conversePath, asks); got.header.Get("X-Forebay-Spill") != "reserved: not bought" {
		t.Errorf("it has ended: %v", got.header)
	}
}

// A rate is held against the same room as units are, and divided among the engines; given units back as many tokens as they are of.
func TestReservedTierIsBacked(t *testing.T) {
	c := testConfig(t)
	c.Engines["real"] = config.Engine{Type: "openai", URL: "http://127.0.0.1:9/v1", Slots: 8}
	c.Engines["other"] = config.Engine{Type: "openai", URL: "http://127.0.0.1:9/v1", Slots: 8}
	c.Models[haiku] = config.Model{
		Engines: []config.Binding{{Engine: "real", Units: 2}, {Engine: "other", Units: 2}}, Unit: &config.Unit{Input: 10_000, Output: 1000},
	}
	s := run(t, c)
	if p := reserve(t, s, "large", 41_000, 4000); p.Status != provision.Failed || !strings.Contains(p.Failure, "of 41000 input") {
		t.Errorf("%+v", p)
	}
	if p := reserve(t, s, "wide", 30_000, 2000); p.Status != provision.InService || p.Use.Slots != 12 {
		t.Fatalf("%+v %+v", p, p.Use) // three of four units, of sixteen slots
	}
	if p := reserve(t, s, "more", 11_000, 1000); p.Status != provision.Failed {
		t.Errorf("%+v", p)
	}
	arn := buy(t, s, `{"provisionedModelName":"unit","modelId":"`+haiku+`","modelUnits":2}`)
	if x := throughput(t, s, arn); x["status"] != "Failed" {
		t.Errorf("%v", x)
	}
}
