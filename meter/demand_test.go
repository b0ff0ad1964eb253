package meter

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"forebay/fault"
)

// wants appends a call that arrived so long after the first.
func wants(t *testing.T, l *Ledger, i int, after time.Duration, change func(*Record)) {
	t.Helper()
	r := row(i)
	r.Arrived = row(0).Arrived.Add(after)
	r.Tags = nil
	if change != nil {
		change(r)
	}
	if err := l.Append(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// pagesOf reads all pages of a query, a few rows each.
func pagesOf(t *testing.T, l *Ledger, q DemandQuery, limit int) (rows []DemandRow, totals *DemandTotals) {
	t.Helper()
	q.Limit = limit
	for {
		p, err := l.Demand(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if p.Totals != nil {
			totals = p.Totals
		}
		if len(p.Rows) > limit {
			t.Fatalf("%d rows on a page of %d", len(p.Rows), limit)
		}
		rows = append(rows, p.Rows...)
		if p.Next == "" {
			return rows, totals
		}
		q.UpTo, q.After = p.UpTo, p.Next
	}
}

// The pages of a reading have each call once, in order of arrival, whatever is appended meanwhile.
func TestDemandIsReadInPages(t *testing.T) {
	l := open(t, nil)
	for i := range 25 { // rows end in another order than they began, and some at one instant
		wants(t, l, i, time.Duration((i*7)%25/2)*time.Second, nil)
	}
	q := DemandQuery{Limit: 4}
	var got []int64
	for {
		p, err := l.Demand(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Rows {
			got = append(got, r.Input)
			if r.Count != 1 || r.Output != 2 || r.Refused {
				t.Errorf("%+v", r)
			}
		}
		if p.Next == "" {
			break
		}
		q.UpTo, q.After = p.UpTo, p.Next
		wants(t, l, 100+len(got), 30*time.Second, nil) // appended while pages are read
	}
	seen := map[int64]bool{}
	for _, v := range got {
		seen[v] = true
	}
	if len(got) != 25 || len(seen) != 25 || seen[104] {
		t.Errorf("%d rows, %d of them others: %v", len(got), len(seen), got)
	}
}

// Each filter selects its calls alone.
func TestDemandFilters(t *testing.T) {
	l := open(t, nil)
	wants(t, l, 1, 0, func(r *Record) { r.Team, r.Mode = "red", ModeProvisioned })
	wants(t, l, 2, time.Minute, func(r *Record) { r.Account, r.Tags = "b", map[string]string{"app": "chat", "env": "prod"} })
	wants(t, l, 3, 2*time.Minute, func(r *Record) { r.Model, r.Tags = "other", map[string]string{"app": "chat"} })
	wants(t, l, 4, 3*time.Minute, func(r *Record) { r.Key, r.CacheRead, r.CacheWrite = "own", 5, 6 })
	start := row(0).Arrived
	for name, c := range map[string]struct {
		q    DemandQuery
		want string
	}{
		"all":          {DemandQuery{}, "1 2 3 15"},
		"account":      {DemandQuery{Account: "b"}, "2"},
		"team":         {DemandQuery{Team: "red"}, "1"},
		"mode":         {DemandQuery{Mode: ModeProvisioned}, "1"},
		"model":        {DemandQuery{Model: "other"}, "3"},
		"key":          {DemandQuery{Key: "own"}, "15"},
		"tag":          {DemandQuery{Tags: map[string]string{"app": "chat"}}, "2 3"},
		"tags":         {DemandQuery{Tags: map[string]string{"app": "chat", "env": "prod"}}, "2"},
		"time":         {DemandQuery{Since: start.Add(time.Minute), Until: start.Add(3 * time.Minute)}, "2 3"},
		"nothing":      {DemandQuery{Model: "none"}, ""},
		"two together": {DemandQuery{Account: "a", Until: start.Add(time.Minute)}, "1"},
	} {
		rows, totals := pagesOf(t, l, c.q, 2)
		var got []string
		for _, r := range rows {
			got = append(got, strconv.FormatInt(r.Input, 10))
		}
		if strings.Join(got, " ") != c.want || totals.Served != int64(len(rows)) {
			t.Errorf("%s: %v, want %s, %+v", name, got, c.want, totals)
		}
		if name == "nothing" && (len(totals.Models) != 2 || totals.Models[0] != (ModelCalls{"m", 3}) || totals.Models[1] != (ModelCalls{"other", 1})) {
			t.Errorf("%+v", totals.Models)
		}
		if name == "key" && (rows[0].Cached != 5 || totals.Input != 15 || totals.Output != 2) {
			t.Errorf("%+v %+v", rows[0], totals)
		}
	}
}

// What was refused for want of capacity is demand, also where it is counted by the minute; what was refused as wrong is none.
func TestRefusedDemand(t *testing.T) {
	l := open(t, nil)
	refused := func(kind fault.Kind) func(*Record) {
		return func(r *Record) {
			r.Outcome, r.Reason, r.Input, r.Output, r.Estimate, r.MaxTokens = OutcomeRefused, kind.String(), 0, 0, 40, 100
			r.Key = "k" // by which they are counted
		}
	}
	wants(t, l, 1, 0, nil)
	wants(t, l, 2, time.Second, refused(fault.Invalid))
	wants(t, l, 3, 2*time.Second, refused(fault.Denied))
	wants(t, l, 4, 3*time.Second, refused(fault.Overloaded))
	for i := range refusalsPerMinute + 30 {
		wants(t, l, 1000+i, 4*time.Second, refused(fault.Throttled))
	}
	wants(t, l, 5, 5*time.Second, func(r *Record) { r.Outcome, r.Reason = OutcomeFailed, fault.ModelFailed.String() })
	wants(t, l, 6, 6*time.Second, func(r *Record) { refused(fault.Throttled)(r); r.Account = "" })
	rows, totals := pagesOf(t, l, DemandQuery{}, 50)
	var calls, refusals, estimate int64
	for _, r := range rows {
		calls += r.Count
		if r.Refused {
			refusals += r.Count
			estimate += r.Estimate
		}
	}
	if n := int64(refusalsPerMinute + 30); calls != n+3 || refusals != n+1 || estimate != 40*(n+1) || totals.Served != 1 {
		t.Errorf("%d calls, %d of them refused, %d tokens, %+v", calls, refusals, estimate, totals)
	}
}

// A page that begins nowhere is refused.
func TestDemandRefusesOtherPages(t *testing.T) {
	l := open(t, nil)
	for _, q := range []DemandQuery{{After: "x", UpTo: 1}, {After: "1.2"}, {After: "1.2.3", UpTo: 1}} {
		if _, err := l.Demand(t.Context(), q); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%+v: %v", q, err)
		}
	}
}
