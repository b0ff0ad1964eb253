package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"forebay/accrual"
	"forebay/api/admin"
	"forebay/config"
	"forebay/provision"
)

// declaring is a file with these lines under provisioned, from its 9th line on, for a data directory.
func declaring(t *testing.T, dir string, lines ...string) config.Config {
	t.Helper()
	text := "server: {listen: '127.0.0.1:0', tls_listen: ''}\n" +
		"data_dir: '" + dir + "'\n" +
		"account: {teams: {search: {}, lab: {}}}\n" +
		"engines: {sim: {type: simulated, profile: instant, directives: true}, real: {type: openai, url: 'http://127.0.0.1:9/v1', slots: 4}}\n" +
		"models:\n" +
		"  '" + haiku + "': {engines: [{engine: sim}], unit: {input: 600, output: 600, hour: 36 EUR}}\n" +
		"  narrow: {engines: [{engine: real, units: 2}], unit: {input: 600, output: 60}}\n" +
		"provisioned:\n"
	if len(lines) > 0 {
		text += "- " + strings.Join(lines, "\n- ") + "\n"
	}
	path := filepath.Join(t.TempDir(), "forebay.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// shown is a purchase as the admin API shows it.
func shown(t *testing.T, s *Server, name string) *admin.Provisioned {
	t.Helper()
	p := new(admin.Provisioned)
	s.asked(t, "provisioned/"+name, p)
	return p
}

// What the file declares is in service when the server listens, divided and tagged; calls use it, and no API changes it.
func TestDeclaredPurchase(t *testing.T) {
	s := run(t, declaring(t, t.TempDir(), "{name: chat, model: '"+haiku+"', units: 3, commitment: one-month, teams: {search: {units: 2}}, tags: {team: search}}"))
	p := shown(t, s, "chat")
	if p.Status != provision.InService || p.Term != provision.OneMonth || len(p.Parts) != 1 || p.Parts[0].Units != 2 || p.Use == nil || len(p.Use.Parts) != 1 {
		t.Fatalf("%+v", p)
	}
	if !strings.HasSuffix(p.ManagedBy, "forebay.yaml:9") || p.Pending != "" {
		t.Errorf("managed by %q, %q", p.ManagedBy, p.Pending)
	}
	for _, id := range []string{"chat", p.ARN} {
		if a := post(t, s, "/model/"+inPath(id)+"/converse", question); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", id, a.status, a.body)
		}
	}
	if a := post(t, s, "/listTagsForResource", `{"resourceARN":"`+p.ARN+`"}`); !strings.Contains(a.body, `{"key":"team","value":"search"}`) {
		t.Error(a.body)
	}
	for _, x := range []struct{ method, path, body, err string }{
		{http.MethodDelete, throughputPath + "/chat", "", "ConflictException"},
		{http.MethodPatch, throughputPath + "/chat", `{"desiredProvisionedModelName":"talk"}`, "ValidationException"},
		{http.MethodPost, "/tagResource", `{"resourceARN":"` + p.ARN + `","tags":[{"key":"a","value":"b"}]}`, "ValidationException"},
		{http.MethodPost, "/untagResource", `{"resourceARN":"` + p.ARN + `","tagKeys":["team"]}`, "ValidationException"},
		{http.MethodDelete, "/admin/v1/provisioned/chat?at_term_end=true", "", ""},
		{http.MethodDelete, "/admin/v1/provisioned/chat", "", ""},
		{http.MethodPut, "/admin/v1/provisioned/chat", `{"parts":[]}`, ""},
	} {
		a := post(t, s, x.path, x.body, by(x.method))
		if a.status/100 != 4 || x.err != "" && a.header.Get("X-Amzn-Errortype") != x.err || !strings.Contains(a.body, "managed by") || !strings.Contains(a.body, "forebay.yaml:9") {
			t.Errorf("%s %s: %d %v %s", x.method, x.path, a.status, a.header.Get("X-Amzn-Errortype"), a.body)
		}
	}
	if a := ask(t, s, http.MethodPost, "provisioned/CHAT", `{"model":"`+haiku+`","units":1}`); a.status != http.StatusBadRequest || !strings.Contains(a.body, "already in use") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if x := shown(t, s, "chat"); x.Cancelled || len(x.Parts) != 1 {
		t.Errorf("it was changed: %+v", x)
	}
}

// A restart and a reload buy nothing again: the purchase, its hours on the ledger and their money are there once. It ends when it leaves
// the file.
func TestDeclaredPurchaseOverRestarts(t *testing.T) {
	dir := t.TempDir()
	line := "{name: chat, model: '" + haiku + "', units: 2}"
	var arn string
	end := time.Now().Truncate(time.Hour).Add(3 * time.Hour)
	for range 3 {
		c := declaring(t, dir, line)
		s, err := New(t.Context(), c, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		p := shown(t, s, "chat")
		if arn == "" {
			arn = p.ARN
		}
		reload(t, s, declaring(t, dir, line))
		if again := shown(t, s, "chat"); p.ARN != arn || again.ARN != arn || !again.Began.Equal(p.Began) {
			t.Fatalf("%+v, then %+v", p, again)
		}
		ahead(t, s, end)
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	s := run(t, declaring(t, dir, line))
	var posted struct {
		Postings []accrual.Posting `json:"postings"`
	}
	s.asked(t, "postings", &posted)
	seen := map[string]bool{}
	for i := range posted.Postings {
		x := &posted.Postings[i]
		key := fmt.Sprint(x.Kind, x.At)
		if x.Purchase != arn || seen[key] {
			t.Errorf("posted twice, or of another: %+v", x)
		}
		seen[key] = true
	}
	if n := len(posted.Postings); n < 4 || posted.Postings[0].Kind != accrual.KindBegin || !posted.Postings[n-1].Until.Equal(end) {
		t.Errorf("%+v", posted.Postings)
	}
	reload(t, s, declaring(t, dir))
	if a := post(t, s, throughputPath+"/chat", "", method(http.MethodGet)); a.status != http.StatusNotFound {
		t.Errorf("%d %s", a.status, a.body)
	}
	if list, err := s.book.Purchases(t.Context(), time.Time{}); err != nil || len(list) != 1 || list[0].Ended.IsZero() {
		t.Errorf("%+v %v", list, err)
	}
}

// A reload divides, replaces and ends as the file says; what must not end is kept, said in the log and shown; a file that is wrong changes nothing.
func TestDeclaredPurchasesAreReloaded(t *testing.T) {
	dir := t.TempDir()
	of := func(more string) string { return "{name: chat, model: '" + haiku + "', " + more + "}" }
	log := new(scroll)
	s := runLogged(t, declaring(t, dir, of("units: 2")), slog.New(slog.NewTextHandler(log, nil)))
	first := shown(t, s, "chat")
	reload(t, s, declaring(t, dir, of("units: 2, teams: {lab: {units: 1}}")))
	if p := shown(t, s, "chat"); p.ARN != first.ARN || len(p.Use.Parts) != 1 || p.Use.Parts[0].Team != "lab" {
		t.Errorf("%+v", p)
	}
	if _, err := s.Reload(t.Context(), declaring(t, dir, of("units: 2, teams: {nobody: {units: 1}}"))); err == nil || !strings.Contains(err.Error(), "forebay.yaml:9: provisioned[0].teams.nobody") {
		t.Errorf("a wrong file: %v", err)
	}
	reload(t, s, declaring(t, dir, of("units: 5, commitment: one-month")))
	second := shown(t, s, "chat")
	if second.ARN == first.ARN || second.Units != 5 || second.Status != provision.InService {
		t.Fatalf("%+v", second)
	}
	reload(t, s, declaring(t, dir, of("units: 4, commitment: one-month")))
	if p := shown(t, s, "chat"); p.ARN != second.ARN || !strings.Contains(p.Pending, "commitment until") || !p.Cancelled {
		t.Errorf("%+v", p)
	}
	reload(t, s, declaring(t, dir))
	p := shown(t, s, "chat")
	if p.ARN != second.ARN || p.ManagedBy != "" || !strings.Contains(p.Pending, "left the configuration") || p.Status != provision.InService {
		t.Errorf("%+v", p)
	}
	if a := post(t, s, "/model/chat/converse", question); a.status != http.StatusOK {
		t.Errorf("what is kept does not serve: %d %s", a.status, a.body)
	}
	if n := strings.Count(log.String(), "left the configuration, and its commitment lasts until"); n != 1 {
		t.Errorf("said %d times:\n%s", n, log.String())
	}
}

// What cannot be had waits and says why, and what cannot even be ordered is listed with the reason.
func TestDeclaredAndNotBacked(t *testing.T) {
	dir := t.TempDir()
	const gone = "arn:aws:bedrock:us-east-1:000000000000:custom-model/amazon.nova-lite-v1:0/abcdefabcdef"
	lines := []string{"{name: wide, model: narrow, units: 3}", "{name: tuned, model: '" + gone + "', units: 1}"}
	s := run(t, declaring(t, dir, lines...))
	if p := shown(t, s, "wide"); p.Status != provision.Creating || !strings.Contains(p.Failure, "2 of 3 model units could be had") || p.Pending != p.Failure {
		t.Errorf("%+v", p)
	}
	if p := shown(t, s, "tuned"); p.Status != provision.Failed || p.ARN != "" || p.Pending == "" || !strings.HasSuffix(p.ManagedBy, ":10") {
		t.Errorf("%+v", p)
	}
	var list struct {
		Provisioned []admin.Provisioned `json:"provisioned"`
	}
	s.asked(t, "provisioned", &list)
	if len(list.Provisioned) != 2 {
		t.Errorf("%+v", list.Provisioned)
	}
	if a := post(t, s, "/model/wide/converse", question); a.status == http.StatusOK {
		t.Errorf("an order that waits serves: %s", a.body)
	}
	reload(t, s, declaring(t, dir, "{name: wide, model: narrow, units: 2}"))
	if p := shown(t, s, "wide"); p.Status != provision.InService || p.Pending != "" {
		t.Errorf("%+v", p)
	}
}

// The book takes what the configuration takes, and refuses what it refuses: two places know what a purchase can be.
func TestDeclarationsAreOrders(t *testing.T) {
	for line, taken := range map[string]bool{
		"{name: a, model: '" + haiku + "', units: 1}":                                                                                      true,
		"{name: a-b_c9, model: '" + haiku + ":48k', units: 2147483647, commitment: six-months}":                                            true,
		"{name: a, model: '" + haiku + "', units: 1, isolation: replica, tags: {'a b': 'c/d=e+f-g@h', k: ''}}":                             true,
		"{name: a, model: '" + haiku + "', input_tokens_per_minute: 1000000000, output_tokens_per_minute: 1000, commitment: three-months}": true,
		"{name: " + strings.Repeat("a", 63) + ", model: '" + haiku + "', units: 1}":                                                        true,
		"{name: " + strings.Repeat("a", 64) + ", model: '" + haiku + "', units: 1}":                                                        false,
		"{name: a--b, model: '" + haiku + "', units: 1}":                                                                                   false,
		"{name: a, model: '" + haiku + "', units: 2147483648}":                                                                             false,
		"{name: a, model: '" + haiku + "', units: 1, tags: {'" + strings.Repeat("k", 129) + "': v}}":                                       false,
		"{name: a, model: '" + haiku + "', units: 1, tags: {k: '" + strings.Repeat("v", 257) + "'}}":                                       false,
		"{name: a, model: '" + haiku + "', input_tokens_per_minute: 1000001000, output_tokens_per_minute: 1000}":                           false,
		"{name: a, model: '" + haiku + "', input_tokens_per_minute: 1000, output_tokens_per_minute: 1000, commitment: six-months}":         false,
		"{name: a, model: '" + haiku + "', units: 2, teams: {search: {units: 1}, lab: {units: 2}}}":                                        false,
	} {
		c := declaring(t, t.TempDir(), line)
		if err := c.Validate(); (err == nil) != taken {
			t.Errorf("the configuration: %s: %v", line, err)
		}
		d := declarations(&c)[0]
		if err := d.Check(); (err == nil) != taken {
			t.Errorf("the book: %s: %v", line, err)
		}
	}
}

// What callers bought is exported as it can be declared; declared so, it stays what it was, under its ARN and with its tags and division.
func TestBoughtIsExportedAndDeclared(t *testing.T) {
	dir := t.TempDir()
	s := run(t, declaring(t, dir, "{name: own, model: '"+haiku+"', units: 1}"))
	for name, body := range map[string]string{
		"chat":   `{"model":"` + haiku + `:48k","units":3,"commitment":"SixMonths","tags":{"team":"lab","cost centre":"4 711"}}`,
		"tier":   `{"model":"` + haiku + `","inputTokensPerMinute":3000,"outputTokensPerMinute":1000,"commitment":"ThreeMonths"}`,
		"ending": `{"model":"` + haiku + `","units":1,"commitment":"OneMonth"}`,
		"failed": `{"model":"narrow","units":3}`,
	} {
		if a := ask(t, s, http.MethodPost, "provisioned/"+name, body); a.status != http.StatusOK {
			t.Fatal(a.status, a.body)
		}
	}
	for path, body := range map[string]string{
		"chat": `{"parts":[{"team":"search","units":1},{"team":"lab","units":2}]}`,
		"tier": `{"parts":[{"team":"lab","inputTokensPerMinute":2000,"outputTokensPerMinute":500}]}`,
	} {
		if a := ask(t, s, http.MethodPut, "provisioned/"+path, body); a.status != http.StatusOK {
			t.Fatal(a.status, a.body)
		}
	}
	if a := ask(t, s, http.MethodDelete, "provisioned/ending?at_term_end=true", ""); a.status != http.StatusOK {
		t.Fatal(a.status, a.body)
	}
	before := map[string]*admin.Provisioned{"chat": shown(t, s, "chat"), "tier": shown(t, s, "tier"), "own": shown(t, s, "own")}
	var export struct {
		YAML string `json:"yaml"`
	}
	s.asked(t, "config/export", &export)
	_, lines, _ := strings.Cut(export.YAML, "provisioned:\n")
	for _, name := range []string{"name: own", "name: ending", "name: failed"} {
		if strings.Contains(lines, name) {
			t.Errorf("%s is exported:\n%s", name, lines)
		}
	}
	next := declaring(t, dir, "{name: own, model: '"+haiku+"', units: 1}\n"+strings.TrimSuffix(lines, "\n"))
	if len(next.Provisioned) != 3 {
		t.Fatalf("%+v\n%s", next.Provisioned, lines)
	}
	reload(t, s, next)
	for name, was := range before {
		p := shown(t, s, name)
		if p.ARN != was.ARN || p.Pending != "" || p.ManagedBy == "" || !p.Began.Equal(was.Began) || p.Term != was.Term || fmt.Sprint(p.Model) != fmt.Sprint(was.Model) || len(p.Parts) != len(was.Parts) {
			t.Errorf("%+v, and before\n%+v", p, was)
		}
	}
	if a := post(t, s, "/listTagsForResource", `{"resourceARN":"`+before["chat"].ARN+`"}`); !strings.Contains(a.body, `"4 711"`) || !strings.Contains(a.body, `"lab"`) {
		t.Error(a.body)
	}
	s.asked(t, "config/export", &export)
	if strings.Contains(export.YAML, "provisioned:") {
		t.Errorf("what is declared is exported again:\n%s", export.YAML)
	}
}

// Lanes of routes take what is declared by its name, the reserved tier among it, whoever calls and whether he asks for the tier or not.
func TestDeclaredPurchasesInRoutes(t *testing.T) {
	c := declaring(t, t.TempDir(), "{name: tier, model: '"+haiku+"', input_tokens_per_minute: 2000, output_tokens_per_minute: 1000, teams: {search: {input_tokens_per_minute: 1000, output_tokens_per_minute: 500}}}")
	c.Routes = map[string]config.Route{"assistant": {Lanes: []config.Lane{{Bought: "tier", Spill: "over-rate"}, {Name: "rest", Model: haiku}}}}
	s := run(t, c)
	p := shown(t, s, "tier")
	if !p.Tier || p.Use == nil || len(p.Use.Parts) != 1 || p.Use.Parts[0].Input.Rate != 1000 || p.Use.Parts[0].Output.Rate != 500 {
		t.Fatalf("%+v", p)
	}
	key := teamKey(t, s, "search")
	chat := func(text string) answer {
		body := `{"messages":[{"role":"user","content":[{"text":"` + text + `"}]}]}`
		return post(t, s, "/model/assistant/converse", body, set("Authorization", "Bearer "+key.Value))
	}
	for i, x := range []struct{ text, lane, spill string }{
		{strings.Repeat("word ", 1500), "tier", ""}, // more than the part of a minute
		{"hi", "tier", ""},                          // which it borrows
		{strings.Repeat("word ", 1500), "tier", ""},
		{"hi", "rest", "tier: over-rate (input tokens/min of"},
	} {
		a := chat(x.text)
		if a.status != http.StatusOK || a.header.Get("X-Forebay-Lane") != x.lane || !strings.HasPrefix(a.header.Get("X-Forebay-Spill"), x.spill) {
			t.Errorf("call %d: %d %s %v", i, a.status, a.body, a.header)
			continue
		}
		e, err := s.ledger.Explain(t.Context(), a.header.Get("X-Amzn-Requestid"))
		if err != nil || (e.Reservation == p.ARN) != (x.lane == "tier") || (e.Tier == "reserved") != (x.lane == "tier") {
			t.Errorf("call %d: the ledger says %+v, %v", i, e, err)
		}
	}
	if a := ask(t, s, http.MethodPost, "routes/other", `{"lanes":[{"provisioned":"tier"}]}`); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
	var export struct {
		YAML string `json:"yaml"`
	}
	s.asked(t, "config/export", &export)
	if strings.Contains(export.YAML, "input_tokens_per_minute") {
		t.Errorf("what is declared is exported: %s", export.YAML)
	}
	if use := shown(t, s, "tier").Use; !slices.ContainsFunc(use.Parts, func(x admin.PartUse) bool { return x.Team == "search" && x.Input.Fill > 0 }) {
		t.Errorf("%+v", use)
	}
}
