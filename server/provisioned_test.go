package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"forebay/api/admin"
	"forebay/config"
	"forebay/fault"
	"forebay/identity"
	"forebay/meter"
	"forebay/provision"

	"github.com/go-json-experiment/json"
)

const (
	throughputPath  = "/provisioned-model-throughput"
	throughputsPath = "/provisioned-model-throughputs"
)

// slow lets the test server's engine be one that takes time, so that its room is finite.
func slow(c config.Config, slots int32) config.Config {
	c.Engines["sim"] = config.Engine{Type: "simulated", Profile: "demo", Directives: true, Slots: slots}
	return c
}

// by is a method of a request with a body.
func by(m string) func(*http.Request) { return func(r *http.Request) { r.Method = m } }

// buy creates a throughput and returns its ARN.
func buy(t *testing.T, s *Server, body string) string {
	t.Helper()
	a := post(t, s, throughputPath, body)
	var out struct {
		ARN string `json:"provisionedModelArn"`
	}
	if err := json.Unmarshal([]byte(a.body), &out); a.status != http.StatusCreated || err != nil {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return out.ARN
}

// throughput asks for one by ARN or name.
func throughput(t *testing.T, s *Server, id string) map[string]any {
	t.Helper()
	a := post(t, s, throughputPath+"/"+inPath(id), "", method(http.MethodGet))
	var out map[string]any
	if err := json.Unmarshal([]byte(a.body), &out); a.status != http.StatusOK || err != nil {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return out
}

func TestProvisionedLife(t *testing.T) {
	s := run(t, testConfig(t))
	arn := buy(t, s, `{"provisionedModelName":"chat","modelId":"`+haiku+`:48k","modelUnits":2,"tags":[{"key":"team","value":"search"}]}`)
	x := throughput(t, s, arn)
	model := "arn:aws:bedrock:us-east-1::foundation-model/" + haiku
	for name, want := range map[string]any{
		"status": "InService", "modelUnits": 2., "desiredModelUnits": 2., "provisionedModelName": "chat", "provisionedModelArn": arn,
		"modelArn": model + ":48k", "desiredModelArn": model + ":48k", "foundationModelArn": model, "commitmentDuration": nil, "commitmentExpirationTime": nil, "failureMessage": nil,
	} {
		if x[name] != want {
			t.Errorf("%s is %v, want %v", name, x[name], want)
		}
	}
	if a := post(t, s, "/listTagsForResource", `{"resourceARN":"`+arn+`"}`); !strings.Contains(a.body, `{"key":"team","value":"search"}`) {
		t.Error(a.body)
	}
	if a := post(t, s, throughputPath+"/chat", `{"desiredProvisionedModelName":"talk"}`, by(http.MethodPatch)); a.status != http.StatusOK {
		t.Error(a.status, a.body)
	}
	if x = throughput(t, s, "talk"); x["provisionedModelArn"] != arn {
		t.Error(x)
	}
	if a := post(t, s, throughputPath+"/talk", "", method(http.MethodDelete)); a.status != http.StatusOK {
		t.Error(a.status, a.body)
	}
	if a := post(t, s, throughputPath+"/talk", "", method(http.MethodGet)); a.status != http.StatusNotFound || a.header.Get("X-Amzn-Errortype") != "ResourceNotFoundException" {
		t.Error(a.status, a.body)
	}
}

// What is wrong with a request of provisioned throughput is answered by the names of the service, and leaves nothing behind.
func TestProvisionedBadInput(t *testing.T) {
	c := slow(testConfig(t), 0)
	s := run(t, c)
	const order = `{"provisionedModelName":%q,"modelId":%q,"modelUnits":%s,"clientRequestToken":%q}`
	buy(t, s, fmt.Sprintf(order, "taken", haiku, "1", "token-1"))
	committed := buy(t, s, `{"provisionedModelName":"committed","modelId":"`+haiku+`","modelUnits":1,"commitmentDuration":"OneMonth"}`)
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		err, text                string
	}{
		{"no units", "POST", throughputPath, fmt.Sprintf(order, "a", haiku, "0", "t0"), 400, "ValidationException", "modelUnits"},
		{"negative units", "POST", throughputPath, fmt.Sprintf(order, "a", haiku, "-3", "t0"), 400, "ValidationException", "modelUnits"},
		{"units beyond a number", "POST", throughputPath, fmt.Sprintf(order, "a", haiku, "99999999999", "t0"), 400, "", ""},
		{"units that are no whole number", "POST", throughputPath, fmt.Sprintf(order, "a", haiku, "1.5", "t0"), 400, "", ""},
		{"no name", "POST", throughputPath, `{"modelId":"` + haiku + `","modelUnits":1}`, 400, "ValidationException", "provisionedModelName"},
		{"a name that is none", "POST", throughputPath, fmt.Sprintf(order, "a b", haiku, "1", "t0"), 400, "ValidationException", "provisionedModelName"},
		{"a long name", "POST", throughputPath, fmt.Sprintf(order, strings.Repeat("a", 64), haiku, "1", "t0"), 400, "ValidationException", "provisionedModelName"},
		{"a term that is none", "POST", throughputPath, `{"provisionedModelName":"a","modelId":"` + haiku + `","modelUnits":1,"commitmentDuration":"OneYear"}`, 400, "ValidationException", "commitmentDuration"},
		{"an unknown model", "POST", throughputPath, fmt.Sprintf(order, "a", "anthropic.claude-9", "1", "t0"), 400, "ValidationException", "The provided model identifier is invalid."},
		{"another account's model", "POST", throughputPath, fmt.Sprintf(order, "a", "arn:aws:bedrock:us-east-1:999999999999:custom-model/"+haiku+"/abcdefabcdef", "1", "t0"), 404, "ResourceNotFoundException", ""},
		{"a model that is sold on demand only", "POST", throughputPath, fmt.Sprintf(order, "a", "meta.llama3-8b-instruct-v1:0", "1", "t0"), 400, "ValidationException", "not supported for Provisioned Throughput"},
		{"a context that is not sold", "POST", throughputPath, fmt.Sprintf(order, "a", haiku+":1k", "1", "t0"), 400, "ValidationException", "not supported for Provisioned Throughput"},
		{"an inference profile", "POST", throughputPath, fmt.Sprintf(order, "a", "us."+haiku, "1", "t0"), 400, "ValidationException", "inference profile"},
		{"a name that is taken", "POST", throughputPath, fmt.Sprintf(order, "taken", haiku, "1", "t1"), 400, "ValidationException", "already in use"},
		{"the token of another order", "POST", throughputPath, fmt.Sprintf(order, "taken", haiku, "2", "token-1"), 400, "ValidationException", "token"},
		{"a tag given twice", "POST", throughputPath, `{"provisionedModelName":"a","modelId":"` + haiku + `","modelUnits":1,"tags":[{"key":"k","value":"1"},{"key":"k","value":"2"}]}`, 400, "ValidationException", "more than once"},
		{"too many tags", "POST", throughputPath, `{"provisionedModelName":"a","modelId":"` + haiku + `","modelUnits":1,"tags":[` + manyTags(51) + `]}`, 400, "TooManyTagsException", "50"},
		{"what is not there", "GET", throughputPath + "/nobody", "", 404, "ResourceNotFoundException", "nobody"},
		{"what is no id", "GET", throughputPath + "/no%20body", "", 400, "ValidationException", "provisionedModelId"},
		{"an update of nothing", "PATCH", throughputPath + "/nobody", `{"desiredProvisionedModelName":"b"}`, 404, "ResourceNotFoundException", "nobody"},
		{"an update to nothing", "PATCH", throughputPath + "/taken", `{}`, 400, "ValidationException", "desired"},
		{"a rename to a taken name", "PATCH", throughputPath + "/taken", `{"desiredProvisionedModelName":"committed"}`, 400, "ValidationException", "already in use"},
		{"another model for a base model", "PATCH", throughputPath + "/taken", `{"desiredModelId":"amazon.nova-lite-v1:0"}`, 400, "ValidationException", "base model"},
		{"the deletion of nothing", "DELETE", throughputPath + "/nobody", "", 404, "ResourceNotFoundException", "nobody"},
		{"the end of a commitment that has not ended", "DELETE", throughputPath + "/committed", "", 400, "ConflictException", "commitment term"},
		{"a page that is none", "GET", throughputsPath + "?nextToken=xyz", "", 400, "ValidationException", "nextToken"},
		{"an empty page", "GET", throughputsPath + "?maxResults=0", "", 400, "ValidationException", "maxResults"},
		{"a status that is none", "GET", throughputsPath + "?statusEquals=Gone", "", 400, "ValidationException", "statusEquals"},
	} {
		a := post(t, s, c.path, c.body, by(c.method))
		if name := a.header.Get("X-Amzn-Errortype"); a.status != c.status || c.err != "" && name != c.err || !strings.Contains(a.body, c.text) {
			t.Errorf("%s: %d %s %s; want %d %s with %q", c.name, a.status, name, a.body, c.status, c.err, c.text)
		}
	}
	a := post(t, s, throughputsPath, "", method(http.MethodGet))
	if n := strings.Count(a.body, `"provisionedModelName"`); n != 2 || !strings.Contains(a.body, committed) {
		t.Errorf("%d are left: %s", n, a.body)
	}
}

func manyTags(n int) string {
	tags := make([]string, n)
	for i := range tags {
		tags[i] = fmt.Sprintf(`{"key":"k%d","value":""}`, i)
	}
	return strings.Join(tags, ",")
}

// Accounts have the units that their quota says; as AWS has it, none.
func TestUnitQuota(t *testing.T) {
	for quota, want := range map[int64]string{0: "0 left of 0", 3: "1 left of 3"} {
		c := testConfig(t)
		c.Quotas = config.QuotasAWS
		if quota > 0 {
			c.Account.ModelUnits = &quota
		}
		s := run(t, c)
		if quota > 0 {
			buy(t, s, `{"provisionedModelName":"a","modelId":"`+haiku+`","modelUnits":2}`)
		}
		a := post(t, s, throughputPath, `{"provisionedModelName":"b","modelId":"`+haiku+`","modelUnits":2}`)
		if a.status != 400 || a.header.Get("X-Amzn-Errortype") != "ServiceQuotaExceededException" || !strings.Contains(a.body, want) || !strings.Contains(a.body, "no-commitment model units") {
			t.Errorf("%d: %d %s", quota, a.status, a.body)
		}
	}
}

// What the pool cannot back fails and says how many units could be had; room that is sold of one model is gone for another
// on the same engine.
func TestPurchasesMustBeBacked(t *testing.T) {
	s := run(t, slow(testConfig(t), 8))
	if x := throughput(t, s, buy(t, s, `{"provisionedModelName":"huge","modelId":"`+haiku+`","modelUnits":2147483647}`)); x["status"] != "Failed" || !strings.Contains(fmt.Sprint(x["failureMessage"]), "of 2147483647 model units could be had") {
		t.Errorf("%v", x)
	}
	n := 0
	for ; n < 50; n++ {
		model := []string{haiku, "amazon.nova-lite-v1:0"}[n%2]
		x := throughput(t, s, buy(t, s, fmt.Sprintf(`{"provisionedModelName":"n%d","modelId":%q,"modelUnits":1}`, n, model)))
		if x["status"] == "Failed" {
			if !strings.Contains(fmt.Sprint(x["failureMessage"]), "0 of 1 model units could be had") {
				t.Error(x)
			}
			break
		}
	}
	if n < 1 || n > 10 {
		t.Errorf("%d units were sold of eight slots", n)
	}
}

// An engine that nobody has measured backs nothing until somebody says how much.
func TestUnmeasuredEnginesBackNothing(t *testing.T) {
	c := testConfig(t)
	c.Engines["real"] = config.Engine{Type: "openai", URL: "http://127.0.0.1:9/v1", Slots: 4}
	c.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "real"}}, Unit: &config.Unit{Input: 1000, Output: 100, Hour: "1.00 USD"}}
	s := run(t, c)
	if x := throughput(t, s, buy(t, s, `{"provisionedModelName":"a","modelId":"`+haiku+`","modelUnits":1}`)); x["status"] != "Failed" || !strings.Contains(fmt.Sprint(x["failureMessage"]), "nobody has measured") {
		t.Error(x)
	}
	c.DataDir = t.TempDir()
	c.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "real", Units: 2}}}
	s = run(t, c)
	if x := throughput(t, s, buy(t, s, `{"provisionedModelName":"a","modelId":"`+haiku+`","modelUnits":1}`)); x["status"] != "Failed" || !strings.Contains(fmt.Sprint(x["failureMessage"]), "what a unit of it delivers") {
		t.Error(x)
	}
	c.DataDir = t.TempDir()
	c.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "real", Units: 2}}, Unit: &config.Unit{Input: 1000, Output: 100, Hour: "1.00 USD"}}
	s = run(t, c)
	for i, want := range []string{"InService", "InService", "Failed"} {
		if x := throughput(t, s, buy(t, s, fmt.Sprintf(`{"provisionedModelName":"n%d","modelId":%q,"modelUnits":1}`, i, haiku))); x["status"] != want {
			t.Errorf("%d: %v", i, x)
		}
	}
}

// Purchases are there after a restart.
func TestProvisionedSurvivesARestart(t *testing.T) {
	c := testConfig(t)
	s, err := New(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	arn := ""
	func() {
		defer func() { _ = s.Close() }()
		arn, err = s.book.Create(t.Context(), &provision.Order{Account: c.Account.ID, Name: "kept", Model: haiku, Units: 1})
		if err != nil {
			t.Fatal(err)
		}
	}()
	s = run(t, c)
	if x := throughput(t, s, arn); x["status"] != "InService" {
		t.Error(x)
	}
}

const question = `{"messages":[{"role":"user","content":[{"text":"How are you?"}]}],"inferenceConfig":{"maxTokens":5}}`

func inPath(id string) string { return strings.NewReplacer(":", "%3A", "/", "%2F").Replace(id) }

// A throughput is called by its ARN, raw or escaped, and by its name, in every operation; the rows say so, and charge nothing by token.
func TestCallsByARN(t *testing.T) {
	s := run(t, testConfig(t))
	arn := buy(t, s, `{"provisionedModelName":"chat","modelId":"`+haiku+`","modelUnits":1}`)
	native := `{"anthropic_version":"bedrock-2023-05-31","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`
	for _, c := range []struct{ path, body string }{
		{"/model/" + inPath(arn) + "/converse", question},
		{"/model/" + strings.ReplaceAll(arn, "/", "%2F") + "/converse", question},
		{"/model/" + inPath(arn) + "/converse-stream", question},
		{"/model/" + arn + "/converse", question},
		{"/model/chat/converse", question},
		{"/model/Chat/converse", question}, // as it is found in the control plane
		{"/model/" + inPath(arn) + "/invoke", native},
		{"/model/" + inPath(arn) + "/invoke-with-response-stream", native},
		{"/model/" + inPath(arn) + "/count-tokens", `{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"hi"}]}]}}}`},
		{chatPath, `{"model":"` + arn + `","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`},
		{messagesPath, `{"model":"` + arn + `","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`},
	} {
		a := post(t, s, c.path, c.body)
		if a.status != http.StatusOK {
			t.Errorf("%s: %d %s", c.path, a.status, a.body)
			continue
		}
		if strings.HasSuffix(c.path, "count-tokens") {
			continue
		}
		x, err := s.ledger.Explain(t.Context(), rowID(&a))
		if err != nil || x.Mode != "provisioned" || x.Reservation != arn || x.Model != haiku {
			t.Errorf("%s: %+v %v", c.path, x, err)
		}
	}
	rows, err := s.ledger.Usage(t.Context(), meter.UsageQuery{Account: s.cfg.Account.ID, By: []string{"purchase"}})
	if err != nil || len(rows) != 1 || rows[0].Charge != 0 || rows[0].Unpriced != 0 || rows[0].Requests != 10 {
		t.Errorf("%+v %v", rows, err)
	}
}

func rowID(a *answer) string {
	if id := a.header.Get("X-Amzn-Requestid"); id != "" {
		return id
	}
	return a.header.Get("X-Request-Id")
}

// ARNs of nothing, of others, and of what is not in service are refused, and never spill.
func TestCallsByARNsThatDoNotServe(t *testing.T) {
	c := slow(testConfig(t), 1)
	c.Accounts = map[string]config.Tenant{"111111111111": {}}
	s := run(t, c)
	const none = "arn:aws:bedrock:us-east-1:000000000000:provisioned-model/abcdefabcdef"
	failed := buy(t, s, `{"provisionedModelName":"huge","modelId":"`+haiku+`","modelUnits":1000000}`)
	theirs, err := s.book.Create(t.Context(), &provision.Order{Account: "111111111111", Name: "theirs", Model: haiku, Units: 1})
	if err != nil {
		t.Fatal(err)
	}
	gone := buy(t, s, `{"provisionedModelName":"gone","modelId":"`+haiku+`","modelUnits":1}`)
	if a := post(t, s, throughputPath+"/gone", "", method(http.MethodDelete)); a.status != http.StatusOK {
		t.Fatal(a.body)
	}
	for _, arn := range []string{none, failed, theirs, gone} {
		a := post(t, s, "/model/"+inPath(arn)+"/converse", question)
		if a.status != http.StatusNotFound || a.header.Get("X-Amzn-Errortype") != "ResourceNotFoundException" {
			t.Errorf("%s: %d %s", arn, a.status, a.body)
		}
	}
}

// Beyond the purchase calls are throttled for exactly as long as it takes; the purchase is remembered over a restart.
func TestPurchaseIsALimit(t *testing.T) {
	c := testConfig(t)
	c.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "sim"}}, Unit: &config.Unit{Input: 600, Output: 600}}
	s, err := New(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	arn := buy(t, s, `{"provisionedModelName":"small","modelId":"`+haiku+`","modelUnits":1}`)
	long := strings.Replace(question, "How are you?", strings.Repeat("word ", 2000), 1)
	refused := func() {
		t.Helper()
		a := post(t, s, "/model/"+inPath(arn)+"/converse", long)
		if a.status != http.StatusTooManyRequests || a.header.Get("X-Amzn-Errortype") != "ThrottlingException" || a.header.Get("X-Forebay-Retry") != "exact" {
			t.Fatalf("%d %v %s", a.status, a.header, a.body)
		}
		x, err := s.ledger.Explain(t.Context(), rowID(&a))
		if err != nil || x.Mode != "provisioned" || x.Reservation != arn || !strings.Contains(string(x.Detail), `"refusedBy":"the purchase `+arn+` input tokens/min"`) {
			t.Errorf("%+v %s %v", x, x.Detail, err)
		}
		if ms, err := strconv.Atoi(a.header.Get("X-Amz-Retry-After")); err != nil || ms < 1000 || ms > 600_000 || !strings.Contains(a.header.Get("X-Forebay-Reason"), "600 input tokens/min of the purchase") {
			t.Errorf("%v", a.header)
		}
	}
	if a := post(t, s, "/model/"+inPath(arn)+"/converse", long); a.status != http.StatusOK {
		t.Fatal(a.status, a.body)
	}
	refused()
	if a := post(t, s, conversePath, question); a.status != http.StatusOK {
		t.Errorf("on demand: %d %s", a.status, a.body)
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := errors.Join(<-done, s.Close()); err != nil {
		t.Fatal(err)
	}
	s = run(t, c)
	refused()
}

// What is sold of a model is spread over its engines, so that each backs what it can and all of it can be sold.
func TestUnitsAreSpreadOverEngines(t *testing.T) {
	c := testConfig(t)
	c.Engines["a"] = config.Engine{Type: "openai", URL: "http://127.0.0.1:9/v1", Slots: 4}
	c.Engines["b"] = config.Engine{Type: "openai", URL: "http://127.0.0.1:9/v1", Slots: 4}
	c.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "a", Units: 1}, {Engine: "b", Units: 2}}, Unit: &config.Unit{Input: 100}}
	s := run(t, c)
	for i, want := range []string{"InService", "InService", "InService", "Failed"} {
		if x := throughput(t, s, buy(t, s, fmt.Sprintf(`{"provisionedModelName":"n%d","modelId":%q,"modelUnits":1}`, i, haiku))); x["status"] != want {
			t.Errorf("%d: %v", i, x)
		}
	}
	var slots int32
	for i := range 3 {
		x, err := provisionAdmin{s}.Get(t.Context(), c.Account.ID, fmt.Sprint("n", i))
		if err != nil || x.Use == nil {
			t.Fatal(x, err)
		}
		slots += x.Use.Slots
	}
	if slots != 8 {
		t.Errorf("%d of 8 slots back all that can be sold", slots)
	}
}

// While engines may still come, what they cannot back yet is Creating: it can be neither changed nor deleted nor called. It comes into service
// with the engine.
func TestCreatingUntilThePoolHasGrown(t *testing.T) {
	c := testConfig(t)
	c.Engines["pods"] = config.Engine{Type: "openai", URL: "http://localhost:9/v1", Resolve: "dns", Slots: 4}
	c.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "pods", Units: 1}}, Unit: &config.Unit{Input: 100}}
	s, err := New(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	look := func(found ...netip.Addr) {
		s.discovery.lookup = func(context.Context, string) ([]netip.Addr, error) { return found, nil }
		s.discovery.refresh(t.Context(), time.Now())
		if err := s.replicasChanged(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	first, second := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	look(first)
	if _, err := s.book.Create(t.Context(), &provision.Order{Account: c.Account.ID, Name: "pair", Model: haiku, Units: 2}); err != nil {
		t.Fatal(err)
	}
	get := func() *admin.Provisioned {
		t.Helper()
		x, err := provisionAdmin{s}.Get(t.Context(), c.Account.ID, "pair")
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	x := get()
	if x.Status != provision.Creating || x.Use != nil {
		t.Errorf("%+v", x)
	}
	if _, err := (*modelsView)(s).Resolve(c.Account.ID, x.ARN); fault.KindOf(err) != fault.NotReady {
		t.Errorf("called while it is created: %v", err)
	}
	if err := s.book.Delete(t.Context(), c.Account.ID, x.ARN); fault.KindOf(err) != fault.Conflict {
		t.Errorf("deleted while it is created: %v", err)
	}
	if err := s.book.Update(t.Context(), c.Account.ID, x.ARN, &provision.Change{Name: "other"}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("changed while it is created: %v", err)
	}
	look(first, second)
	if x = get(); x.Status != provision.InService || x.Use == nil || x.Use.Slots != 8 {
		t.Errorf("%+v", x)
	}
	for _, left := range [][]netip.Addr{{first}, {}} { // what was sold stays sold, and is told of
		look(left...)
		if x = get(); x.Status != provision.InService || x.Shortage == "" {
			t.Errorf("with %v: %+v", left, x)
		}
	}
	start(t, s)
}

// A key whose policy lists no actions calls what was bought, and buys nothing itself.
func TestPlainKeysBuyNothing(t *testing.T) {
	s := run(t, testConfig(t))
	arn := buy(t, s, `{"provisionedModelName":"chat","modelId":"`+haiku+`","modelUnits":1}`)
	key := makeKey(t, s, "plain", identity.KeyBearer, identity.Policy{Models: []string{"anthropic.*"}}, time.Time{})
	other := makeKey(t, s, "other", identity.KeyBearer, identity.Policy{Models: []string{"amazon.*"}}, time.Time{})
	byARN := makeKey(t, s, "arn", identity.KeyBearer, identity.Policy{Models: []string{"arn:*:provisioned-model/*"}}, time.Time{})
	by := func(token, method string) func(*http.Request) {
		return func(r *http.Request) {
			r.Method = method
			r.Header.Set("Authorization", "Bearer "+token)
		}
	}
	const order = `{"provisionedModelName":"more","modelId":"` + haiku + `","modelUnits":1}`
	for _, c := range []struct {
		token, method, path, body string
		status                    int
	}{
		{key.Value, "POST", throughputPath, order, 403},
		{key.Value, "PATCH", throughputPath + "/chat", `{"desiredProvisionedModelName":"b"}`, 403},
		{key.Value, "DELETE", throughputPath + "/chat", "", 403},
		{key.Value, "GET", throughputPath + "/chat", "", 200},
		{key.Value, "GET", throughputsPath, "", 200},
		{key.Value, "POST", "/model/" + inPath(arn) + "/converse", question, 200},
		{byARN.Value, "POST", "/model/" + inPath(arn) + "/converse", question, 200},
		{byARN.Value, "POST", conversePath, question, 403},
		{other.Value, "POST", "/model/" + inPath(arn) + "/converse", question, 403},
	} {
		if a := post(t, s, c.path, c.body, by(c.token, c.method)); a.status != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, a.status, a.body, c.status)
		}
	}
}

// A key buys of no model that it may not call, whichever API it asks, and neither puts one into what was bought.
func TestKeysBuyOfTheirModels(t *testing.T) {
	s := run(t, testConfig(t))
	key := makeKey(t, s, "amazon", identity.KeyBearer, identity.Policy{Actions: []string{"*"}, Models: []string{"amazon.*"}}, time.Time{})
	ask := func(path, body string) answer {
		return post(t, s, path, body, set("Authorization", "Bearer "+key.Value))
	}
	for _, c := range []struct {
		model        string
		wire, direct int
	}{{haiku, 403, 403}, {novaLite, 201, 200}} {
		if a := ask(throughputPath, `{"provisionedModelName":"wire","modelId":"`+c.model+`","modelUnits":1}`); a.status != c.wire {
			t.Errorf("%s: %d %s, want %d", c.model, a.status, a.body, c.wire)
		}
		if a := ask("/admin/v1/provisioned/direct", `{"model":"`+c.model+`","units":1}`); a.status != c.direct {
			t.Errorf("%s: %d %s, want %d", c.model, a.status, a.body, c.direct)
		}
	}
}

// A key neither changes nor ends what was bought of a model that it may not call, whichever API it asks.
func TestKeysChangePurchasesOfTheirModels(t *testing.T) {
	s := run(t, testConfig(t))
	arn := buy(t, s, `{"provisionedModelName":"chat","modelId":"`+haiku+`","modelUnits":1}`)
	all := []string{"*"}
	other := makeKey(t, s, "amazon", identity.KeyBearer, identity.Policy{Actions: all, Models: []string{"amazon.*"}}, time.Time{})
	byModel := makeKey(t, s, "model", identity.KeyBearer, identity.Policy{Actions: all, Models: []string{haiku}, Tier: "flex"}, time.Time{})
	byARN := makeKey(t, s, "arn", identity.KeyBearer, identity.Policy{Actions: all, Models: []string{arn}}, time.Time{})
	for _, x := range []struct {
		key                identity.Secret
		method, path, body string
		status             int
	}{
		{other, "PATCH", throughputPath + "/chat", `{"desiredProvisionedModelName":"mine"}`, 403},
		{other, "DELETE", throughputPath + "/chat", "", 403},
		{other, "PUT", "/admin/v1/provisioned/chat", `{"parts":[]}`, 403},
		{other, "DELETE", "/admin/v1/provisioned/chat", "", 403},
		{other, "DELETE", throughputPath + "/none", "", 404},
		{byModel, "PATCH", throughputPath + "/chat", `{"desiredProvisionedModelName":"ours"}`, 200},
		{byARN, "PUT", "/admin/v1/provisioned/ours", `{"parts":[]}`, 200},
		{byARN, "PATCH", throughputPath + "/ours", `{"desiredProvisionedModelName":"chat"}`, 200},
		{byModel, "DELETE", throughputPath + "/chat", "", 200},
	} {
		if a := post(t, s, x.path, x.body, as(t, s, x.key, x.body), func(r *http.Request) { r.Method = x.method }); a.status != x.status {
			t.Errorf("%s %s: %d %s, want %d", x.method, x.path, a.status, a.body, x.status)
		}
	}
}

// What was bought keeps the calls by its name: nothing that is made later takes it, and what was there before stays changeable.
func TestNamesOfPurchasesAreTaken(t *testing.T) {
	s := run(t, testConfig(t))
	buy(t, s, `{"provisionedModelName":"chat","modelId":"`+haiku+`","modelUnits":1}`)
	const route = `{"lanes":[{"model":"` + haiku + `"}]}`
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "routes/chat", route, 409},
		{"PUT", "routes/chat", route, 409},
		{"POST", "models/chat", `{"family":"openai","engines":[{"engine":"sim"}]}`, 409},
		{"POST", "routes/talk", route, 200},
		{"PUT", "routes/talk", route, 200},
	} {
		if got := ask(t, s, c.method, c.path, c.body); got.status != c.status {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, got.status, got.body, c.status)
		}
	}
}

// Of a route and a purchase that are made at once under one name, there is one.
func TestNamesAreForOneOfBoth(t *testing.T) {
	s := run(t, testConfig(t))
	for i := range 8 {
		name := fmt.Sprint("both", i)
		var made [2]int
		var group sync.WaitGroup
		group.Go(func() {
			made[0] = ask(t, s, "POST", "routes/"+name, `{"lanes":[{"model":"`+haiku+`"}]}`).status
		})
		group.Go(func() {
			made[1] = ask(t, s, "POST", "provisioned/"+name, `{"model":"`+haiku+`","units":1}`).status
		})
		group.Wait()
		if (made[0] == http.StatusOK) == (made[1] == http.StatusOK) {
			t.Errorf("%s: %d for the route, %d for the purchase", name, made[0], made[1])
		}
	}
}

// An order that a crash has cut off before its purchase check is checked by the next start.
func TestOrdersCutOffAreTakenUp(t *testing.T) {
	c := testConfig(t)
	s, err := New(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	cut := provision.New(provision.Options{Store: resourceStore{s}, Models: unitOffers{s}, Pools: pools{s}, Region: "us-east-1"}) // nobody tends it
	arn, err := cut.Create(t.Context(), &provision.Order{Account: c.Account.ID, Name: "cut", Model: haiku, Units: 1})
	if err != nil {
		t.Fatal(err)
	}
	if x, err := cut.Get(t.Context(), c.Account.ID, arn); err != nil || x.Status != provision.Creating {
		t.Fatalf("%+v %v", x, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = run(t, c)
	if x := throughput(t, s, arn); x["status"] != "InService" {
		t.Error(x)
	}
	if a := post(t, s, "/model/"+inPath(arn)+"/converse", question); a.status != http.StatusOK {
		t.Error(a.status, a.body)
	}
}
