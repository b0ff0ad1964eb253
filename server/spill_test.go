package server

import (
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"forebay/config"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/internal/testenv"
	"forebay/meter"
)

// cloudAndOwn runs the example of the documentation: another Forebay plays AWS, a fake upstream is our own vLLM. It changes what a
// test cannot wait for: the purchase delivers three requests a minute, and vLLM takes one call while another one waits.
func cloudAndOwn(t *testing.T) (s, cloud *Server, own *fakeupstream.Server) {
	t.Helper()
	c := testConfig(t)
	m := c.Models[llama]
	m.Unit = &config.Unit{Input: 1000, Output: 1000}
	c.Models[llama] = m
	cloud = run(t, c)
	arn := buy(t, cloud, `{"provisionedModelName":"units","modelId":"`+llama+`","modelUnits":1}`)

	own = fakeupstream.New(t, fakeupstream.OpenAI)
	c, err := config.Load(filepath.Join(testenv.Root(t), "examples", "spill", "forebay.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c.DataDir, c.Server.Listen, c.Server.TLSListen = t.TempDir(), "127.0.0.1:0", ""
	key := secretFile(t, cloud.creds.APIKey)
	for _, name := range []string{"aws-bought", "aws"} {
		e := c.Engines[name]
		e.URL, e.APIKey = cloud.creds.URL, key
		c.Engines[name] = e
	}
	e := c.Engines["aws-bought"]
	e.Quota.RequestsPerMinute = 3
	c.Engines["aws-bought"] = e
	e = c.Engines["own"]
	e.URL, e.Slots = own.URL, 1
	c.Engines["own"] = e
	m = c.Models[llama]
	m.MaxQueue = 1
	m.Engines[0].Model = arn
	c.Models[llama] = m
	return run(t, c), cloud, own
}

// AWS provisioned, then our own vLLM, then AWS on demand: what is bought is used up before anything else is, a full server of our own
// does not make calls wait, a broken one does not fail them, and the money of every lane is what its tokens make.
func TestSpillFromTheCloudToOursAndBack(t *testing.T) {
	s, cloud, own := cloudAndOwn(t)
	ask := func() answer {
		return post(t, s, chatPath, `{"model":"assistant","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`)
	}
	check := func(got answer, lane, spill string) {
		t.Helper()
		if h := got.header; got.status != 200 || h.Get("X-Forebay-Lane") != lane || h.Get("X-Forebay-Spill") != spill {
			t.Errorf("%d in lane %q, left %q: %s; want lane %q, left %q", got.status, h.Get("X-Forebay-Lane"), h.Get("X-Forebay-Spill"), got.body, lane, spill)
		}
	}
	for range 3 {
		check(ask(), "bought", "")
	}
	const overRate = "bought: over-rate (requests/min of engine aws-bought for "
	arn := s.live.Load().cfg.Models[llama].Engines[0].Model
	left := overRate + arn + ")"

	entered, release := make(chan struct{}, 2), make(chan struct{})
	own.Handle(func(c *fakeupstream.Call) {
		entered <- struct{}{}
		<-release
		c.Respond(http.StatusOK, nil, c.Protocol.Whole([]string{"hello"}, fakeupstream.SaidUsage))
	})
	answers := make(chan answer, 2)
	for n := 1; n <= 2; n++ { // one that runs, and one that waits
		go func() { answers <- ask() }()
		if n == 1 {
			<-entered
		}
		for s.dispatch.InFlight() < n {
			runtime.Gosched()
		}
	}
	check(ask(), "on-demand", left+"; own: over-latency")
	close(release)
	for range 2 {
		check(<-answers, "own", left)
	}
	own.Refuse(http.StatusInternalServerError, "out of memory", nil)
	check(ask(), "on-demand", left+"; own: failover")

	checkMoney(t, s, cloud)
}

// checkMoney computes the money of each lane from its tokens: nano-dollars a token, as the example has them.
func checkMoney(t *testing.T, s, cloud *Server) {
	t.Helper()
	rates := map[string]struct{ requests, costIn, costOut int64 }{"bought": {3, 0, 0}, "own": {2, 50, 100}, "on-demand": {2, 300, 600}}
	for _, r := range usage(t, s, "lane", "route") {
		want, in := rates[r.Group[0]], r.Input+r.CacheRead
		if r.Group[1] != "assistant" || r.Requests != want.requests || r.Charge != in*300+r.Output*600 || r.Cost != in*want.costIn+r.Output*want.costOut || r.Uncosted+r.Unpriced != 0 {
			t.Errorf("%+v, want %+v", r, want)
		}
		delete(rates, r.Group[0])
		if r.Group[0] != "on-demand" {
			continue
		}
		for _, theirs := range usage(t, cloud, "mode") { // what AWS charges is what it costs us
			if theirs.Group[0] == meter.ModeOnDemand && theirs.Charge != r.Cost {
				t.Errorf("we have a cost of %d, and AWS charges %d", r.Cost, theirs.Charge)
			}
			if theirs.Group[0] == meter.ModeProvisioned && (theirs.Charge != 0 || theirs.Requests != 3) {
				t.Errorf("%+v", theirs)
			}
		}
	}
	if len(rates) != 0 {
		t.Errorf("no rows of %v", rates)
	}
	v, err := s.ledger.Verify(t.Context(), time.Time{}, time.Time{})
	if err != nil || v.Wrong != 0 {
		t.Errorf("%+v, %v", v, err)
	}
}

// A cloud that throttles below what we count on is an engine's fault: without fail-over the caller is told, with it the call goes on.
func TestTheCloudThrottles(t *testing.T) {
	c := testConfig(t)
	m := c.Models[llama]
	m.Unit = &config.Unit{Input: 1, Output: 1}
	c.Models[llama] = m
	cloud := run(t, c)
	arn := buy(t, cloud, `{"provisionedModelName":"units","modelId":"`+llama+`","modelUnits":1}`)
	c = testConfig(t)
	key := secretFile(t, cloud.creds.APIKey)
	c.Engines["bought"] = config.Engine{Type: "bedrock", URL: cloud.creds.URL, APIKey: key}
	c.Models[llama] = config.Model{Engines: []config.Binding{{Engine: "bought", Model: arn}, {Engine: "sim"}}}
	lanes := func(failover bool) config.Route {
		return config.Route{Lanes: []config.Lane{
			{Name: "bought", Model: llama, Engines: []string{"bought"}, Spill: "over-rate", Failover: failover}, {Name: "sim", Model: llama, Engines: []string{"sim"}},
		}}
	}
	c.Routes = map[string]config.Route{"over": lanes(true), "stay": lanes(false)}
	s := run(t, c)
	ask := func(route string) answer {
		return post(t, s, "/model/"+route+"/converse", `{"messages":[{"role":"user","content":[{"text":"`+strings.Repeat("word ", 40)+`"}]}],"inferenceConfig":{"maxTokens":9}}`)
	}
	if got := ask("over"); got.status != 200 || got.header.Get("X-Forebay-Lane") != "bought" { // what was bought is charged as it is used
		t.Fatalf("%d %v %s", got.status, got.header, got.body)
	}
	got := ask("over")
	if got.status != 200 || got.header.Get("X-Forebay-Spill") != "bought: failover" {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	e, err := s.ledger.Explain(t.Context(), got.header.Get("X-Amzn-Requestid"))
	if err != nil {
		t.Fatal(err)
	}
	var tries []string
	for _, a := range e.Attempts {
		tries = append(tries, a.Lane+" "+a.Outcome)
	}
	if !slices.Equal(tries, []string{"bought overloaded", "sim ok"}) || e.Route != "over" || e.LaneName != "sim" || e.Spill != "bought: failover" || e.Lane != 1 {
		t.Errorf("%q, %+v", tries, e)
	}
	if got := ask("stay"); got.status != 503 {
		t.Errorf("without fail-over: %d %s", got.status, got.body)
	}
}
