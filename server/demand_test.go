package server

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"forebay/meter"
)

// The admin API tells page by page what was wanted, and refuses what it cannot select.
func TestDemand(t *testing.T) {
	s := run(t, testConfig(t))
	for range 3 {
		works(t, s)
	}
	var pages []meter.DemandPage
	query := url.Values{"limit": {"2"}, "model": {haiku}, "account": {"*"}}
	for len(pages) < 5 {
		var p meter.DemandPage
		s.asked(t, "demand?"+query.Encode(), &p)
		pages = append(pages, p)
		if p.Next == "" {
			break
		}
		query.Set("after", p.Next)
		query.Set("upTo", "3") // rows of this ledger are numbered from 1 on
	}
	if len(pages) != 2 || len(pages[0].Rows) != 2 || len(pages[1].Rows) != 1 || pages[0].UpTo != 3 || pages[0].Totals == nil || pages[0].Totals.Served != 3 || pages[1].Totals != nil {
		t.Fatalf("%+v", pages)
	}
	if r := pages[1].Rows[0]; r.Input < 1 || r.Output < 1 || r.Output > 5 || r.MaxTokens != 5 || r.Count != 1 || r.Refused || r.Key == "" || r.At <= pages[0].Rows[1].At {
		t.Errorf("%+v", r)
	}
	for query, want := range map[string]string{
		"limit=0": "limit is", "limit=10001": "limit is", "limit=x": "limit is", "upTo=-1": "upTo is", "tag=x": "NAME=VALUE", "tag==x": "NAME=VALUE", "since=now": "since is not a time",
		"after=1.2": "a page cannot begin", "after=x&upTo=3": "a page cannot begin", "%zz": "malformed",
	} {
		if got := post(t, s, "/admin/v1/demand?"+query, "", method(http.MethodGet)); got.status != http.StatusBadRequest || !strings.Contains(got.body, want) {
			t.Errorf("%s: %d %s, want %q", query, got.status, got.body, want)
		}
	}
	var none meter.DemandPage
	s.asked(t, "demand?tag=app%3Dchat", &none)
	if len(none.Rows) != 0 || none.Rows == nil || none.Totals.Served != 0 {
		t.Errorf("%+v", none)
	}
}
