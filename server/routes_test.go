package server

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"forebay/catalog"
	"forebay/config"
	"forebay/identity"
)

const novaLite = "amazon.nova-lite-v1:0"

// twoLanes adds the route name: Claude on an engine of its own that may be called once a minute, then Nova.
func twoLanes(c *config.Config, name string) {
	c.Engines["small-"+name] = config.Engine{Type: "simulated", Profile: "instant", Quota: config.Quota{RequestsPerMinute: 1}}
	m := c.Models[haiku]
	m.Engines = append(m.Engines, config.Binding{Engine: "small-" + name})
	c.Models[haiku] = m
	if c.Routes == nil {
		c.Routes = map[string]config.Route{}
	}
	c.Routes[name] = config.Route{Lanes: []config.Lane{
		{Name: "first", Model: haiku, Engines: []string{"small-" + name}, Spill: "over-rate"},
		{Name: "rest", Model: novaLite},
	}}
}

// A call that spills is answered by the next lane in every API and form, in the language in which it was asked, and says so.
func TestSpillInEveryAPI(t *testing.T) {
	c := testConfig(t)
	messages := `"messages":[{"role":"user","content":"hi"}],"max_tokens":9`
	claude := `{"anthropic_version":"bedrock-2023-05-31",` + messages + `}`
	native := `{"messages":[{"role":"user","content":[{"text":"hi"}]}]}`
	cases := []struct{ name, path, body, want string }{
		{"chat", chatPath, `{"model":"chat",` + messages + `}`, `"object":"chat.completion"`},
		{"chat-stream", chatPath, `{"model":"chat-stream","stream":true,` + messages + `}`, "data: [DONE]"},
		{"messages", messagesPath, `{"model":"messages",` + messages + `}`, `"type":"message"`},
		{"messages-stream", messagesPath, `{"model":"messages-stream","stream":true,` + messages + `}`, "event: message_stop"},
		{"converse", "/model/converse/converse", native, `"stopReason"`},
		{"converse-stream", "/model/converse-stream/converse-stream", native, "messageStop"},
		{"invoke", "/model/invoke/invoke", claude, `"type":"message"`},
		{"invoke-stream", "/model/invoke-stream/invoke-with-response-stream", claude, `chunk`},
	}
	for _, x := range cases {
		twoLanes(&c, x.name)
	}
	s := run(t, c)
	for _, x := range cases {
		first, rest := post(t, s, x.path, x.body), post(t, s, x.path, x.body)
		for i, got := range []answer{first, rest} {
			if got.status != 200 || !strings.Contains(got.body, x.want) {
				t.Errorf("%s, call %d: %d %.300s", x.name, i+1, got.status, got.body)
			}
		}
		h := first.header
		if h.Get("X-Forebay-Lane") != "first" || h.Get("X-Forebay-Spill") != "" || h.Get("X-Forebay-Model-Served") != haiku {
			t.Errorf("%s: the first call says %v", x.name, h)
		}
		h = rest.header
		want := "first: over-rate (requests/min of engine small-" + x.name + " for " + haiku + ")"
		if h.Get("X-Forebay-Lane") != "rest" || h.Get("X-Forebay-Spill") != want || h.Get("X-Forebay-Model-Served") != novaLite {
			t.Errorf("%s: the second call says %v", x.name, h)
		}
	}
	scraped := post(t, s, "/metrics", "", method(http.MethodGet)).body
	for _, want := range []string{`{lane="first",outcome="ok",route="chat",spilled="false"} 1`, `{lane="rest",outcome="ok",route="chat",spilled="true"} 1`} {
		if !strings.Contains(scraped, "forebay_route_calls_total"+want) {
			t.Errorf("%s is not among the metrics", want)
		}
	}
	for _, row := range usage(t, s, "asked", "model") {
		if row.Requests != 1 {
			t.Errorf("%+v", row)
		}
	}
}

// A lane whose model does not serve what a call uses is passed over; the others are not affected.
func TestLanesThatCannotServeACall(t *testing.T) {
	c := testConfig(t)
	const llama = "meta.llama3-8b-instruct-v1:0"
	sees := c.Models[novaLite]
	sees.Rules = map[string]catalog.Rule{"images": catalog.RuleDrop}
	c.Models[novaLite] = sees
	c.Routes = map[string]config.Route{
		"sees":  {Lanes: []config.Lane{{Model: llama, Spill: "over-rate"}, {Model: haiku}}},
		"blind": {Lanes: []config.Lane{{Model: llama, Spill: "over-rate"}, {Model: "mistral.mistral-7b-instruct-v0:2"}}},
		"drops": {Lanes: []config.Lane{{Model: llama, Spill: "over-rate"}, {Model: novaLite}}},
		"both":  {Lanes: []config.Lane{{Model: novaLite, Spill: "over-rate", Failover: true}, {Model: haiku}}},
	}
	s := run(t, c)
	image := `,{"image":{"format":"png","source":{"bytes":"` + tinyPNG + `"}}}`
	for _, x := range []struct {
		route, more string
		status      int
		lane, drops string
	}{
		{"sees", "", 200, llama, ""},
		{"sees", image, 200, haiku, ""},
		{"blind", image, 400, "", ""},
		{"drops", image, 200, novaLite, "image"},
		{"both", image, 200, novaLite, "image"},
	} {
		got := post(t, s, "/model/"+x.route+"/converse", `{"messages":[{"role":"user","content":[{"text":"hi"}`+x.more+`]}]}`)
		if got.status != x.status || got.header.Get("X-Forebay-Lane") != x.lane || got.header.Get("X-Forebay-Dropped") != x.drops {
			t.Errorf("%s%s: %d by %q, dropped %q: %s", x.route, x.more, got.status, got.header.Get("X-Forebay-Lane"), got.header.Get("X-Forebay-Dropped"), got.body)
		}
	}
}

// Who may call a route by its name may use all its lanes; who may call models, those with one of them.
func TestPoliciesAndRoutes(t *testing.T) {
	c := testConfig(t)
	twoLanes(&c, "chat")
	s := run(t, c)
	for _, x := range []struct {
		name, models string
		lanes        [2]string // "" is refused
	}{
		{"the-route", "chat", [2]string{"first", "rest"}},
		{"one-lane", "amazon.*", [2]string{"rest", "rest"}},
		{"neither", "meta.*", [2]string{}},
	} {
		key := makeKey(t, s, x.name, identity.KeyBearer, identity.Policy{Models: []string{x.models}}, time.Time{})
		for i, lane := range x.lanes {
			body := `{"model":"chat","messages":` + hi + `}`
			got := post(t, s, chatPath, body, as(t, s, key, body))
			if got.header.Get("X-Forebay-Lane") != lane || (got.status == 200) != (lane != "") {
				t.Errorf("%s, call %d: %d by %q: %s", x.name, i+1, got.status, got.header.Get("X-Forebay-Lane"), got.body)
			}
		}
	}
}

// Routes are made, shown, exported and deleted at run time; names that are taken, and what a route needs, are kept.
func TestRoutesAtRunTime(t *testing.T) {
	c := testConfig(t)
	twoLanes(&c, "declared")
	c.Aliases = map[string]string{"gpt-4o": haiku}
	s := run(t, c)
	lanes := `{"lanes":[{"model":"` + haiku + `","spill":"over-rate"},{"model":"made"}]}`
	for _, x := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{http.MethodPost, "routes/r", lanes, 400, `there is no \"made\" among the models`},
		{http.MethodPost, "models/made", `{"engines":[{"engine":"sim"}]}`, 200, ""},
		{http.MethodPost, "routes/r", lanes, 200, ""},
		{http.MethodPost, "routes/r", lanes, 409, ""},
		{http.MethodPost, "models/r", `{"engines":[{"engine":"sim"}]}`, 400, "routes.r: is the id of a model"},
		{http.MethodPost, "routes/gpt-4o", lanes, 400, "is an alias"},
		{http.MethodDelete, "models/made", "", 400, `there is no \"made\"`},
		{http.MethodPut, "routes/declared", lanes, 409, "managed by"},
		{http.MethodDelete, "routes/declared", "", 409, "managed by"},
		{http.MethodGet, "routes", "", 200, `"name": "r"`},
		{http.MethodGet, "config/export", "", 200, `routes:\n  r:`},
		{http.MethodDelete, "routes/r", "", 200, ""},
		{http.MethodDelete, "routes/r", "", 404, ""},
		{http.MethodDelete, "models/made", "", 200, ""},
	} {
		got := ask(t, s, x.method, x.path, x.body)
		if got.status != x.status || !strings.Contains(got.body, x.want) {
			t.Errorf("%s %s: %d %s, want %d with %s", x.method, x.path, got.status, got.body, x.status, x.want)
		}
	}
	if got := post(t, s, chatPath, `{"model":"r","messages":[{"role":"user","content":"hi"}]}`); got.status != 404 {
		t.Errorf("a deleted route answers: %d", got.status)
	}
	if got := post(t, s, "/v1/models", "", func(r *http.Request) { r.Method = http.MethodGet }); !strings.Contains(got.body, `"declared"`) {
		t.Errorf("the route is not listed: %s", got.body)
	}
}

// What was bought is a lane, too: it serves up to the purchase, what exceeds it goes on, and the ledger tells the two apart. While
// it does not serve, the lane is passed over.
func TestSpillFromWhatWasBought(t *testing.T) {
	c := testConfig(t)
	m := c.Models[haiku]
	m.Unit = &config.Unit{Input: 100, Output: 100}
	c.Models[haiku] = m
	declared := config.Route{Lanes: []config.Lane{{Name: "bought", Bought: "units", Spill: "over-rate"}, {Model: novaLite}}}
	c.Routes = map[string]config.Route{"chat": declared}
	s := run(t, c)
	talk := func(words int) answer {
		return post(t, s, chatPath, `{"model":"chat","max_tokens":9,"messages":[{"role":"user","content":"`+strings.Repeat("word ", words)+`"}]}`)
	}
	lane := func(got answer) string {
		t.Helper()
		if got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		return got.header.Get("X-Forebay-Lane")
	}
	if got := lane(talk(1)); got != novaLite {
		t.Errorf("before the purchase the call is served in lane %s", got)
	}
	if got := ask(t, s, http.MethodPost, "routes/other", `{"lanes":[{"provisioned":"nothing"}]}`); got.status != 400 || !strings.Contains(got.body, "no provisioned throughput") {
		t.Errorf("%d %s", got.status, got.body)
	}
	arn := buy(t, s, `{"provisionedModelName":"units","modelId":"`+haiku+`","modelUnits":1}`)
	if got := ask(t, s, http.MethodPost, "routes/by-arn", `{"lanes":[{"provisioned":"`+arn+`"}]}`); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := lane(talk(400)); got != "bought" { // charged as it is used, so that one call may take more than is left
		t.Errorf("after the purchase the call is served in lane %s", got)
	}
	rest := talk(1)
	if got := lane(rest); got != novaLite || !strings.HasPrefix(rest.header.Get("X-Forebay-Spill"), "bought: over-rate (input tokens/min of") {
		t.Errorf("beyond it, in lane %s: %q", got, rest.header.Get("X-Forebay-Spill"))
	}
	if got := ask(t, s, http.MethodGet, "routes/chat/test", ""); !strings.Contains(got.body, `"left"`) || !strings.Contains(got.body, `"provisioned"`) {
		t.Errorf("%s", got.body)
	}
	rows := usage(t, s, "route", "lane", "mode")[1:] // the first is the route that was refused
	want := [][]string{{"chat", novaLite, "on-demand"}, {"chat", "bought", "provisioned"}}
	for i, row := range rows {
		if len(rows) != 2 || !slices.Equal(row.Group, want[i]) || (row.Charge == 0) != (i == 1) || row.Requests != int64(2-i) {
			t.Errorf("%+v", row)
		}
	}
	for _, route := range []string{"by-arn", "chat"} { // what is in a lane stays, and keeps its name
		if got := post(t, s, throughputPath+"/units", "", method(http.MethodDelete)); got.status != 400 || !strings.Contains(got.body, "used by the route "+route) {
			t.Errorf("%d %s", got.status, got.body)
		}
		if got := post(t, s, throughputPath+"/units", `{"desiredProvisionedModelName":"other"}`, by(http.MethodPatch)); got.status != 400 || !strings.Contains(got.body, "the route chat") {
			t.Errorf("%d %s", got.status, got.body)
		}
		_ = ask(t, s, http.MethodDelete, "routes/by-arn", "")
	}
	c.Routes = nil
	reload(t, s, c)
	if got := post(t, s, throughputPath+"/units", "", method(http.MethodDelete)); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	c.Routes = map[string]config.Route{"chat": declared, "by-arn": {Lanes: []config.Lane{{Bought: arn}}}}
	reload(t, s, c)
	if got := lane(talk(1)); got != novaLite {
		t.Errorf("after it has ended, in lane %s", got)
	}
	if got := ask(t, s, http.MethodGet, "routes/chat/test", ""); !strings.Contains(got.body, "closed to it") {
		t.Errorf("%s", got.body)
	}
	if got := post(t, s, chatPath, `{"model":"by-arn","messages":[{"role":"user","content":"x"}]}`); got.status != 404 {
		t.Errorf("a route without a lane: %d %s", got.status, got.body)
	}
}

// What a call would be is said exactly, or it is not tried.
func TestTrialsAreSaidExactly(t *testing.T) {
	s := run(t, testConfig(t))
	for query, status := range map[string]int{
		"": 200, "stream=true": 200, "stream=false": 200, "stream=yes": 400, "stream=1": 400, "input=-1": 400, "input=1e3": 400, "max_tokens=9999999999": 400, "tier=gold": 400, "key=nobody": 404,
	} {
		if got := ask(t, s, http.MethodGet, "routes/"+haiku+"/test?"+query, ""); got.status != status {
			t.Errorf("%q: %d %s", query, got.status, got.body)
		}
	}
}
