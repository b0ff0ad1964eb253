package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"forebay/config"
	"forebay/engine/enginetest/fakeupstream"

	"github.com/go-json-experiment/json"
)

// One call that uses everything there is has every field of its row filled, and a child row for each attempt.
func TestARichCallFillsItsRow(t *testing.T) {
	t.Setenv("APP_KEY", "the-key-of-the-application")
	const qwen = "qwen.qwen3-32b-v1:0" // whose flex price is known
	up := fakeupstream.New(t, fakeupstream.OpenAI)
	c := testConfig(t)
	c.Account.Limits.SpendPerDay = "100 USD"
	c.Account.Teams = map[string]config.Team{"search": {}}
	c.Account.Models = map[string]config.Limits{qwen: {TokensPerMinute: 1_000_000}}
	c.Keys = []config.Key{{Name: "app", Kind: "api-key", Secret: "env:APP_KEY", Team: "search"}}
	c.Engines["dead"] = config.Engine{Type: "openai", URL: "http://127.0.0.1:1/v1"}
	c.Engines["up"] = config.Engine{Type: "openai", URL: up.URL, Cost: &config.Price{Input: "1 EUR", Output: "2 EUR", CacheRead: "0.5 EUR"}}
	c.Models[qwen] = config.Model{Engines: []config.Binding{{Engine: "dead"}, {Engine: "up", Standby: true}}}
	s := run(t, c)
	began := time.Now()
	ttl := began.Add(90 * time.Second).UTC().Truncate(time.Second)
	ask := func(attempt string) answer {
		return post(t, s, "/model/us."+qwen+"/converse-stream",
			`{"messages":[{"role":"user","content":[{"text":"how much water is there?"}]}],"inferenceConfig":{"maxTokens":77},
			"serviceTier":{"type":"flex"},"requestMetadata":{"project":"dam","stage":"test"}}`,
			func(r *http.Request) {
				r.Header.Set("Authorization", "Bearer the-key-of-the-application")
				r.Header.Set("Amz-Sdk-Invocation-Id", "0c9a4e0e-1111-4222-8333-444455556666")
				r.Header.Set("Amz-Sdk-Request", "ttl="+ttl.Format("20060102T150405Z")+"; attempt="+attempt+"; max=3")
			})
	}
	first, got := ask("1"), ask("2")
	if first.status != 200 || got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	e, err := s.ledger.Explain(t.Context(), got.header.Get("X-Amzn-Requestid"))
	if err != nil {
		t.Fatal(err)
	}
	var tags map[string]string
	if err := json.Unmarshal(e.Tags, &tags); err != nil {
		t.Fatal(err)
	}
	for what, ok := range map[string]bool{
		"request id": e.RequestID == got.header.Get("X-Amzn-Requestid"), "invocation": e.Invocation == "0c9a4e0e-1111-4222-8333-444455556666",
		"the client's attempt": e.Attempt == 2, "its other attempts": len(e.SameRequest) == 1 && e.SameRequest[0] == first.header.Get("X-Amzn-Requestid"),
		"account": e.Account == c.Account.ID, "team": e.Team == "search", "key": e.Key == s.keyring.Load().Known("", "the-key-of-the-application") && e.Key != "",
		"tags": len(tags) == 2 && tags["project"] == "dam" && tags["stage"] == "test",
		"api":  e.API == "bedrock-runtime", "operation": e.Operation == "ConverseStream", "stream": e.Stream,
		"model asked": e.ModelAsked == "us."+qwen, "model served": e.Model == qwen, "region prefix": e.Region == "us",
		"mode": e.Mode == "on-demand", "lane": e.Lane == 0, "tier asked": e.TierAsked == "flex", "tier": e.Tier == "flex",
		"engine": e.Engine == "up", "simulated": !e.Simulated,
		"arrival":  !e.Arrived.Before(began.Add(-time.Second)) && e.Arrived.Before(time.Now()),
		"deadline": e.Deadline.Sub(ttl).Abs() < time.Millisecond, "max_tokens": e.MaxTokens == 77, "estimate": e.Estimate > 0,
		"tokens": e.Input == 11 && e.Output == 3 && e.CacheRead == 5 && e.CacheWrite == 0 && !e.UsageGuess,
		"hold":   e.Held == e.Estimate+77 && e.HeldMoney > 0,
		"times":  e.QueueMs > 0 && e.FirstMs > 0 && e.FirstMs >= e.QueueMs && e.TotalMs >= e.FirstMs,
		"status": e.Status == 200 && e.Outcome == "ok" && e.Reason == "" && e.Count == 1,
		// Half of 0.15 and 0.60 USD a million: the catalogue's price at the flex tier.
		"charge": e.Charge != nil && e.Charge.Currency == "USD" && e.Charge.Input == 11*75 && e.Charge.CacheRead == 5*75 && e.Charge.Output == 3*300 &&
			e.Charge.Total == 11*75+5*75+3*300 && e.Charge.Tier == "flex" && e.Charge.Date == "2026-07-27" && e.Charge.Source != "",
		"cost": e.Cost != nil && e.Cost.Currency == "EUR" && e.Cost.Input == 11*1000 && e.Cost.CacheRead == 5*500 && e.Cost.Output == 3*2000 && e.Cost.Total == 11*1000+5*500+3*2000,
		"attempts": len(e.Attempts) == 2 && e.Attempts[0].Engine == "dead" && e.Attempts[0].Outcome == "unavailable" && e.Attempts[1].Engine == "up" &&
			e.Attempts[1].Outcome == "ok" && e.Attempts[1].TookMs > 0 && e.Attempts[1].BeganMs >= e.Attempts[0].BeganMs,
	} {
		if !ok {
			t.Errorf("%s: %+v, charge %+v, cost %+v", what, e, e.Charge, e.Cost)
		}
	}
	rows := usage(t, s, "tag:project", "team", "region", "tier", "asked")
	if len(rows) != 1 || strings.Join(rows[0].Group, " ") != "dam search us flex us."+qwen || rows[0].Requests != 2 {
		t.Errorf("%+v", rows)
	}
}

// What a model has written is on its row whether or not the engine counts, and whatever it says to have counted: an
// answer in one piece without usage is estimated, passed through or not, and counts that cannot be are nothing, and marked.
func TestOutputThatTheEngineDoesNotCount(t *testing.T) {
	s, up := bound(t, fakeupstream.OpenAI, "openai")
	const words = "about forty bytes of text make ten tokens"
	for _, x := range []struct {
		usage         string
		input, output int64 // 0 input: the estimate
		guess         bool
	}{
		{``, 0, 11, true},
		{`,"usage":null`, 0, 11, true},
		{`,"usage":{"prompt_tokens":20,"completion_tokens":7}`, 20, 7, false},
		{`,"usage":{"prompt_tokens":20,"completion_tokens":-7}`, 20, 0, true},
		{`,"usage":{"prompt_tokens":-20,"completion_tokens":7}`, -1, 7, true}, // nothing
		{`,"usage":{"prompt_tokens":20,"completion_tokens":-7.0}`, 20, 0, true},
	} {
		up.Handle(func(c *fakeupstream.Call) {
			c.Respond(200, http.Header{"Content-Type": {"application/json"}}, []byte(`{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"`+words+`"},"finish_reason":"stop"}]`+x.usage+`}`))
		})
		for path, body := range map[string]string{
			chatPath:     `{"model":"` + haiku + `","max_tokens":50,"messages":[{"role":"user","content":"hi"}]}`,
			conversePath: `{"messages":[{"role":"user","content":[{"text":"hi"}]}]}`,
		} {
			got := post(t, s, path, body)
			e := explained(t, s, answer{header: http.Header{"X-Request-Id": {or(got.header.Get("X-Request-Id"), got.header.Get("X-Amzn-Requestid"))}}})
			want := x.input
			switch want {
			case 0:
				want = e.Estimate
			case -1:
				want = 0
			}
			if got.status != http.StatusOK || e.Input != want || e.Output != x.output || e.UsageGuess != x.guess {
				t.Errorf("%s %s: %d, %d in, %d out, guess %v", path, x.usage, got.status, e.Input, e.Output, e.UsageGuess)
			}
		}
	}
}

// Images are counted, and usage that an engine does not tell is marked as a guess.
func TestMediaAndGuessedUsageAreOnTheRow(t *testing.T) {
	s, up := bound(t, fakeupstream.OpenAI, "openai")
	up.Handle(func(c *fakeupstream.Call) {
		c.Respond(200, http.Header{"Content-Type": {"application/json"}}, []byte(`{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"a dam"},"finish_reason":"stop"}]}`))
	})
	const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
	got := post(t, s, chatPath, `{"model":"`+haiku+`","messages":[{"role":"user","content":[{"type":"text","text":"what is it?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,`+pixel+`"}}]}]}`)
	if got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if e := explained(t, s, got); e.Media != 1 || !e.UsageGuess || e.Input != e.Estimate || e.Estimate <= 1 {
		t.Errorf("%+v", e)
	}
}
