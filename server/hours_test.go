package server

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"forebay/accrual"
	"forebay/config"
	"forebay/meter"

	"github.com/go-json-experiment/json"
)

// ahead posts the hours of everything that was bought as if it were later.
func ahead(t *testing.T, s *Server, now time.Time) {
	t.Helper()
	list, err := s.purchases(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if err := s.hours.Post(t.Context(), &list[i], now); err != nil {
			t.Fatal(err)
		}
	}
}

// admin asks the admin API.
func (s *Server) asked(t *testing.T, path string, out any) {
	t.Helper()
	a := post(t, s, "/admin/v1/"+path, "", method(http.MethodGet))
	if err := json.Unmarshal([]byte(a.body), out); err != nil || a.status != http.StatusOK {
		t.Fatalf("%s: %d %s %v", path, a.status, a.body, err)
	}
}

// Calls on what was bought are charged nothing, its hours are, with what was used of them; calls by the model's own name are
// charged by token. It all adds up, is seen by its owner's team, and is there once after a restart.
func TestReservedHours(t *testing.T) {
	c := testConfig(t)
	c.Account.Zone = "Europe/Rome"
	c.Engines["sim"] = config.Engine{Type: "simulated", Profile: "instant", Cost: &config.Price{Input: "1 USD", Output: "1 USD"}}
	c.Models[haiku] = config.Model{
		Engines: []config.Binding{{Engine: "sim"}}, Unit: &config.Unit{Input: 6000, Output: 600, Hour: "36 EUR", Cost: "7.20 USD"},
		Price: &config.Price{Input: "2 EUR", Output: "3 EUR"},
	}
	var before accrual.Row
	end := time.Now().Truncate(time.Hour).Add(3 * time.Hour)
	t.Run("before a restart", func(t *testing.T) { before = firstHours(t, run(t, c), end) })
	t.Run("after it", func(t *testing.T) {
		s := run(t, c)
		ahead(t, s, end)
		var out struct {
			Reserved []accrual.Row `json:"reserved"`
		}
		s.asked(t, "usage?by=mode", &out)
		if len(out.Reserved) != 1 || out.Reserved[0].Charge != before.Charge || out.Reserved[0].Requests != 1 {
			t.Errorf("%+v, want %+v", out.Reserved, before)
		}
		if a := post(t, s, throughputPath+"/chat", "", method(http.MethodDelete)); a.status != http.StatusOK {
			t.Fatal(a.body)
		}
		ahead(t, s, end.Add(time.Hour))
		afterTheEnd(t, s, end)
	})
}

// afterTheEnd checks what is left of hours that were posted until an instant, when the purchase has been deleted long before.
func afterTheEnd(t *testing.T, s *Server, until time.Time) {
	t.Helper()
	var posted struct {
		Postings []accrual.Posting `json:"postings"`
	}
	s.asked(t, "postings", &posted)
	var charge, kept int64
	var ended time.Time
	for i := range posted.Postings {
		switch p := &posted.Postings[i]; p.Kind {
		case accrual.KindHour, accrual.KindRefund:
			charge += p.Charge.Nano
		case accrual.KindEnd:
			ended = p.At
			kept = 2 * int64(ended.Sub(posted.Postings[0].At)/time.Second) * 10_000_000
		}
	}
	if n := len(posted.Postings); n < 5 || posted.Postings[0].Kind != accrual.KindBegin || posted.Postings[n-1].Kind != accrual.KindRefund || !ended.Before(until) || charge != kept {
		t.Errorf("charged %d, want %d: %+v", charge, kept, posted.Postings)
	}
	var verified struct {
		Wrong    int64                `json:"wrong"`
		Reserved accrual.Verification `json:"reserved"`
	}
	s.asked(t, "verify", &verified)
	if verified.Wrong+verified.Reserved.Wrong != 0 || verified.Reserved.Charges["EUR"] != kept {
		t.Errorf("%+v", verified)
	}
}

// firstHours buys, calls, lets the hours go by until an instant, and returns what usage shows.
func firstHours(t *testing.T, s *Server, end time.Time) accrual.Row {
	t.Helper()
	arn := buy(t, s, `{"provisionedModelName":"chat","modelId":"`+haiku+`","modelUnits":2,"tags":[{"key":"team","value":"search"},{"key":"project","value":"x"}]}`)
	for _, path := range []string{"/model/" + inPath(arn) + "/converse", conversePath} {
		if a := post(t, s, path, question); a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	ahead(t, s, end)

	var out struct {
		Rows     []meter.UsageRow `json:"rows"`
		Reserved []accrual.Row    `json:"reserved"`
	}
	s.asked(t, "usage?by=mode", &out)
	if len(out.Rows) != 2 || out.Rows[1].Group[0] != meter.ModeProvisioned || out.Rows[1].Charge != 0 || out.Rows[1].Cost != 0 || out.Rows[1].Unpriced+out.Rows[1].Uncosted != 0 ||
		out.Rows[0].Charge <= 0 || out.Rows[0].Cost <= 0 {
		t.Errorf("%+v", out.Rows)
	}
	began := throughput(t, s, arn)["creationTime"]
	created, err := time.Parse(time.RFC3339, began.(string))
	if err != nil {
		t.Fatal(err)
	}
	seconds := 2 * int64(end.Sub(created)/time.Second)
	if len(out.Reserved) != 1 {
		t.Fatalf("%+v", out.Reserved)
	}
	r := out.Reserved[0]
	if near := r.UnitSeconds - seconds; near < -4 || near > 4 || r.Charge != r.UnitSeconds*10_000_000 || r.Cost != r.UnitSeconds*2_000_000 || r.Currency != "EUR" || r.CostCurrency != "USD" {
		t.Errorf("%+v, want %d unit-seconds", r, seconds)
	}
	if r.Requests != 1 || r.Input != out.Rows[1].Input || r.Output != out.Rows[1].Output || r.Idle >= r.Charge || r.Idle <= 0 || r.Placeholder {
		t.Errorf("%+v of %+v", r, out.Rows[1])
	}
	for _, by := range []string{"team", "tag:project", "purchase"} {
		s.asked(t, "usage?by="+by, &out)
		if len(out.Reserved) != 1 || out.Reserved[0].Group[0] != map[string]string{"team": "search", "tag:project": "x", "purchase": arn}[by] || out.Reserved[0].Charge != r.Charge {
			t.Errorf("by %s: %+v", by, out.Reserved)
		}
	}
	var verified struct {
		Wrong    int64                `json:"wrong"`
		Reserved accrual.Verification `json:"reserved"`
	}
	s.asked(t, "verify", &verified)
	if verified.Wrong+verified.Reserved.Wrong != 0 || verified.Reserved.Hours < 3 || verified.Reserved.Charges["EUR"] != r.Charge {
		t.Errorf("%+v", verified)
	}
	figures := []string{
		`forebay_reserved_units{gen_ai_request_model="` + haiku + `"} 2`, `forebay_reserved_money_per_hour{amount="charge",currency="EUR",gen_ai_request_model="` + haiku + `"} 72`,
		`forebay_reserved_money_per_hour{amount="cost",currency="USD",gen_ai_request_model="` + haiku + `"} 14.4`, "forebay_reserved_unit_hours_total",
	}
	for deadline := time.Now().Add(10 * time.Second); ; { // they follow the purchase
		metrics := post(t, s, "/metrics", "", method(http.MethodGet)).body
		missing := slices.DeleteFunc(slices.Clone(figures), func(f string) bool { return strings.Contains(metrics, f) })
		if len(missing) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("%q is not in %s", missing, metrics)
			break
		}
	}
	return r
}
