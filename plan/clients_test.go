package plan

import (
	"slices"
	"testing"

	"forebay/catalog"
)

// Where the quota refuses, the answer says what each kind of clients makes of it; where it does not, there is nothing to say.
func TestClientsOnDemand(t *testing.T) {
	q := &Question{Traffic: &day{20_000, 1000, 300, 7}, Model: model(t, llama), MaxOutput: 300, Quota: &catalog.Quota{RequestsPerMinute: 14, TokensPerMinute: 1 << 40}, Calls: 20_000}
	a := ask(t, q)
	refused := map[string]int64{}
	var asked []string
	for _, c := range a.Clients {
		refused[c.ID] = c.Refused
		if c.Asked {
			asked = append(asked, c.ID)
		}
		if c.ID == "none" && (c.Late != 0 || c.Attempts != 1000) || c.ID != "none" && (c.Late == 0 || c.Delay == 0 || c.Attempts <= 1000) {
			t.Errorf("%+v", c)
		}
	}
	if !slices.Equal(asked, []string{"aws-standard"}) || len(refused) != 4 || refused["none"] < refused["aws-standard"] || refused["none"] <= refused["aws-legacy"] || refused["aws-standard"] < refused["aws-legacy"] {
		t.Errorf("%v, %v", refused, asked)
	}
	if on := option(t, a, "on-demand"); on.Refused.Share != refused["aws-standard"] {
		t.Errorf("the option says %d, its clients %v", on.Refused.Share, refused)
	}
	q.Quota, q.Traffic = &catalog.Quota{RequestsPerMinute: 1 << 30, TokensPerMinute: 1 << 40}, &day{2000, 1000, 300, 7}
	if a := ask(t, q); a.Clients != nil {
		t.Errorf("%+v", a.Clients)
	}
}

// A serverless endpoint that is paid for by the token costs its tokens, whatever its engines do; and its sweep over idle time-outs says so.
func TestServerlessByTheToken(t *testing.T) {
	a := ask(t, &Question{Traffic: &day{5_000, 1000, 300, 7}, Model: model(t, llama), Calls: 2000, Serverless: &ServerlessOffer{
		Currency: "USD", Input: 900_000_000, Output: 1_800_000_000, Invocation: 2_000_000_000, Idle: 60e9, Cold: 30e9,
	}})
	o := option(t, a, "serverless")
	// 30 days of 5,000 calls of 1,000 and 300 tokens at 0.90 and 1.80 a million, and 2.00 a million calls.
	if want := int64(150_000*1000*900 + 150_000*300*1800 + 150_000*2000); o.Cost == nil || o.Cost.Mid != want || len(o.Cost.Rows) != 3 {
		t.Errorf("%+v, want %d", o.Cost, want)
	}
	for _, x := range a.Idle {
		if x.Cost != o.Cost.Mid {
			t.Errorf("%+v", x)
		}
	}
}
