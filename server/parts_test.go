package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"forebay/api/admin"
	"forebay/config"
	"forebay/identity"
	"forebay/meter"

	"github.com/go-json-experiment/json"
)

// A purchase is divided through the admin API; calls of a team's key through the ARN use its part, over a restart too, and usage tells
// the teams apart.
func TestDividedPurchase(t *testing.T) {
	c := testConfig(t)
	c.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "sim"}}, Unit: &config.Unit{Input: 600, Output: 600}}
	c.Account.Teams = map[string]config.Team{"search": {}, "lab": {}}
	s, err := New(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	arn := buy(t, s, `{"provisionedModelName":"shared","modelId":"`+haiku+`","modelUnits":4}`)
	for body, want := range map[string]string{
		`{"parts":[{"team":"nobody","units":1}]}`:                          "no team",
		`{"parts":[{"team":"search","units":3},{"team":"lab","units":2}]}`: "more than the 4",
		`{"parts":[{"team":"search","units":-3}]}`:                         "at least 1",
		`{"parts":[{"team":"lab","units":1},{"team":"lab","units":1}]}`:    "given twice",
		`{"parts":[{"team":"lab","units":1}],"rest":2}`:                    "cannot be read",
		`{"parts":null}`: "parts is missing",
		`{}`:             "parts is missing",
		``:               "parts is missing",
	} {
		if a := ask(t, s, http.MethodPut, "provisioned/shared", body); a.status != http.StatusBadRequest || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	a := ask(t, s, http.MethodPut, "provisioned/shared", `{"parts":[{"team":"search","units":2},{"team":"lab","units":1}]}`)
	if a.status != http.StatusOK {
		t.Fatal(a.status, a.body)
	}
	search := teamKey(t, s, "search")
	long := strings.Replace(question, "How are you?", strings.Repeat("word ", 2000), 1)
	if a := post(t, s, "/model/"+inPath(arn)+"/converse", long, as(t, s, search, long)); a.status != http.StatusOK {
		t.Fatal(a.status, a.body)
	}
	if a := ask(t, s, http.MethodPut, "provisioned/shared", `{"parts":[{"team":"search","units":4}]}`, set("Authorization", "Bearer "+keyOf(t, s, c.Account.ID, `"team":"lab","policy":{"actions":["*"]}`))); a.status != http.StatusForbidden {
		t.Errorf("a team divides what is not its own: %d %s", a.status, a.body)
	}
	full := func() {
		t.Helper()
		var p admin.Provisioned
		a := ask(t, s, http.MethodGet, "provisioned/shared", "")
		if err := json.Unmarshal([]byte(a.body), &p); err != nil || p.Use == nil || len(p.Use.Parts) != 2 {
			t.Fatalf("%s %v", a.body, err)
		}
		if x := p.Use.Parts[1]; x.Team != "search" || x.Input.Rate != 1200 || x.Input.Fill < 1200 || p.Use.Input.Fill < 1200 || p.Use.Parts[0].Input.Fill != 0 {
			t.Errorf("%+v", p.Use)
		}
	}
	full()
	rows, err := s.ledger.Usage(t.Context(), meter.UsageQuery{Account: s.cfg.Account.ID, By: []string{"purchase", "team"}})
	if err != nil || !slices.ContainsFunc(rows, func(r meter.UsageRow) bool { return slices.Equal(r.Group, []string{arn, "search"}) && r.Requests == 1 }) {
		t.Errorf("%+v %v", rows, err)
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := errors.Join(<-done, s.Close()); err != nil {
		t.Fatal(err)
	}
	s = run(t, c)
	full()
}

// teamKey makes a key of a team.
func teamKey(t *testing.T, s *Server, team string) identity.Secret {
	t.Helper()
	got := post(t, s, "/admin/v1/keys", `{"name":"of-`+team+`","kind":"api-key","team":"`+team+`"}`)
	var out struct {
		ID     string `json:"id"`
		Secret string `json:"secret"`
	}
	if err := json.Unmarshal([]byte(got.body), &out); err != nil || got.status != http.StatusOK {
		t.Fatalf("%d %s %v", got.status, got.body, err)
	}
	return identity.Secret{ID: out.ID, Value: out.Secret}
}

// How a purchase is to end is said exactly, or nothing ends.
func TestEndOfAPurchaseIsSaidExactly(t *testing.T) {
	s := run(t, testConfig(t))
	if a := ask(t, s, http.MethodPost, "provisioned/chat", `{"model":"`+haiku+`","units":1}`); a.status != http.StatusOK {
		t.Fatalf("%+v", a)
	}
	for _, query := range []string{"?at_term_end=1", "?at_term_end=True", "?at_term_end=%ZZ"} {
		if a := ask(t, s, http.MethodDelete, "provisioned/chat"+query, ""); a.status != http.StatusBadRequest {
			t.Errorf("%s: %+v", query, a)
		}
	}
	if a := ask(t, s, http.MethodGet, "provisioned/chat", ""); a.status != http.StatusOK {
		t.Errorf("it has ended: %+v", a)
	}
	if a := ask(t, s, http.MethodDelete, "provisioned/chat?at_term_end=false", ""); a.status != http.StatusOK {
		t.Errorf("%+v", a)
	}
}
