package ledger_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"forebay/fault"
	"forebay/meter"
	"forebay/workload"
	"forebay/workload/ledger"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 1, 5, 10, 0, 30, 0, time.UTC)

func at(after time.Duration) int64 { return start.Add(after).UnixNano() }

// paged serves rows in pages of so many, as the ledger does.
func paged(rows []meter.DemandRow, size int) ledger.Pages {
	t := &meter.DemandTotals{}
	for _, r := range rows {
		if !r.Refused {
			t.Served, t.Input, t.Output = t.Served+1, t.Input+r.Input, t.Output+r.Output
		}
	}
	return func(q meter.DemandQuery) (*meter.DemandPage, error) {
		from := 0
		if q.After != "" {
			if _, err := fmt.Sscan(q.After, &from); err != nil {
				return nil, err
			}
		}
		p := &meter.DemandPage{UpTo: int64(len(rows)), Rows: rows[from:min(from+size, len(rows))]}
		if q.UpTo == 0 {
			p.Totals = t
		}
		if from+size < len(rows) {
			p.Next = strconv.Itoa(from + size)
		}
		return p, nil
	}
}

func open(t testing.TB, rows []meter.DemandRow, size int) *ledger.Traffic {
	t.Helper()
	s, err := ledger.Open(paged(rows, size), ledger.Options{Name: "here", Now: start.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func all(t testing.TB, s workload.Source) []workload.Request {
	t.Helper()
	var out []workload.Request
	for q, err := range s.All() {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, q)
	}
	return out
}

// Served, refused and failed calls are demand; attempts of one call are one, when it came first, with what became of it.
func TestCalls(t *testing.T) {
	rows := []meter.DemandRow{
		{At: at(0), Input: 100, Cached: 40, Output: 10, MaxTokens: 50, Count: 1, Key: "a"},
		{At: at(time.Second), Estimate: 70, MaxTokens: 8, Count: 1, Refused: true, Key: "b", Invocation: "x"},
		{At: at(2 * time.Second), Input: 300, Output: 30, Count: 1, Key: "a", Tier: "flex"},
		{At: at(3 * time.Second), Input: 80, Output: 6, MaxTokens: 8, Count: 1, Key: "b", Invocation: "x"},
		{At: at(4 * time.Second), Estimate: 90, MaxTokens: 8, Count: 1, Refused: true, Key: "c", Invocation: "y"},
		{At: at(5 * time.Second), Estimate: 91, MaxTokens: 900, Count: 1, Refused: true, Key: "c", Invocation: "y"},
		{At: at(6 * time.Second), Count: 1, Key: "c"},
		{At: at(20 * time.Minute), Input: 5, Output: 1, Count: 1, Key: "a", Invocation: "y"}, // long after: a call of its own
	}
	s := open(t, rows, 3)
	base := start.Truncate(time.Minute)
	want := []workload.Request{
		{At: 30 * time.Second, Input: 100, Cached: 40, Output: 10, MaxOutput: 50},
		{At: 31 * time.Second, Input: 80, Output: 6, MaxOutput: 8, Tenant: 1},
		{At: 32 * time.Second, Input: 300, Output: 30, Patience: 24 * time.Hour},
		{At: 34 * time.Second, Input: 91, Output: 9, MaxOutput: 900, Tenant: 2, Refused: true}, // 47 / 5 served
		{At: 36 * time.Second, Input: 97, Tenant: 2},
		{At: 20*time.Minute + 30*time.Second, Input: 5, Output: 1},
	}
	for range 2 { // the same each time
		if got := all(t, s); !slices.Equal(got, want) {
			t.Errorf("%+v\nwant %+v", got, want)
		}
	}
	info := s.Info()
	notes := strings.Join(info.Notes, "\n")
	if !info.Start.Equal(base) || info.Length != want[5].At || !slices.Equal(info.Tenants, []string{"a", "b", "c"}) || info.Format != "ledger" ||
		!strings.Contains(notes, "2 attempts were another try") || !strings.Contains(notes, "1 calls have no count") || s.Faults() != nil {
		t.Errorf("%+v", info)
	}
}

// Refusals that were counted by the minute are as many calls, in what was left of it.
func TestCountedRefusals(t *testing.T) {
	rows := []meter.DemandRow{
		{At: at(0), Input: 10, Output: 4, Count: 1},
		{At: at(10 * time.Second), Estimate: 50, MaxTokens: 500, Count: 5, Refused: true},
		{At: at(12 * time.Second), Input: 10, Output: 4, Count: 1},
	}
	got := all(t, open(t, rows, 10))
	var clock []string
	for _, q := range got {
		clock = append(clock, q.At.String())
		if q.Refused && (q.Input != 10 || q.Output != 4 || q.MaxOutput != 100) {
			t.Errorf("%+v", q)
		}
	}
	if all := strings.Join(clock, " "); all != "30s 40s 42s 44s 48s 52s 56s" {
		t.Error(all)
	}
}

// A time that was asked for counts in whole, with the silence before the first call and after the last.
func TestAskedTime(t *testing.T) {
	rows := []meter.DemandRow{{At: at(0), Input: 10, Count: 1}, {At: at(time.Minute), Input: 10, Count: 1}}
	s, err := ledger.Open(paged(rows, 10), ledger.Options{
		Name: "here", Now: start.Add(time.Hour), Query: meter.DemandQuery{Since: start.Add(-time.Hour), Until: start.Add(30 * time.Minute)},
	})
	if err != nil {
		t.Fatal(err)
	}
	first := all(t, s)[0].At
	if i := s.Info(); first != time.Hour+30*time.Second || i.Length != 90*time.Minute+30*time.Second || !i.Start.Equal(start.Add(-time.Hour).Truncate(time.Minute)) {
		t.Errorf("%v, %+v", first, i)
	}
}

// Where nothing is selected, what there is instead is named.
func TestNothing(t *testing.T) {
	for want, totals := range map[string]*meter.DemandTotals{
		"it has calls of m (7), n (2): name one with --of-model": {Models: []meter.ModelCalls{{Model: "m", Calls: 7}, {Model: "n", Calls: 2}}},
		"widen --since and --until":                              {},
	} {
		_, err := ledger.Open(func(meter.DemandQuery) (*meter.DemandPage, error) { return &meter.DemandPage{Totals: totals}, nil }, ledger.Options{Name: "here"})
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Calls of one instant tell a rate only where it is said since when there were no others.
func TestOneInstant(t *testing.T) {
	rows := []meter.DemandRow{{At: at(0), Input: 1, Count: 1}, {At: at(0), Input: 2, Count: 1}}
	var err error
	for _, e := range open(t, rows, 10).All() {
		err = e
	}
	if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "--since 24h") {
		t.Error(err)
	}
	s, err := ledger.Open(paged(rows, 10), ledger.Options{Now: start.Add(time.Hour), Query: meter.DemandQuery{Since: start.Add(-time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	if got := all(t, s); len(got) != 2 || got[0].At != time.Hour+30*time.Second {
		t.Errorf("%+v", got)
	}
}

// A page that cannot be had ends the reading.
func TestPageFails(t *testing.T) {
	rows := []meter.DemandRow{{At: at(0), Input: 1, Count: 1}, {At: at(1), Input: 1, Count: 1}}
	good := paged(rows, 1)
	s, err := ledger.Open(func(q meter.DemandQuery) (*meter.DemandPage, error) {
		if q.After != "" {
			return nil, fault.New(fault.Unavailable, "gone")
		}
		return good(q)
	}, ledger.Options{Name: "here"})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range s.All() {
		err = e
	}
	if fault.KindOf(err) != fault.Unavailable {
		t.Error(err)
	}
}

// Whatever the ledger has, and however it is paged, calls come in order and none is lost: as many as there are rows' counts, less further attempts.
func TestNoCallIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rows []meter.DemandRow
		now, last := int64(0), map[string]int64{}
		refused := map[string]bool{}
		want := int64(0)
		for range rapid.IntRange(1, 60).Draw(t, "rows") {
			now += int64(rapid.IntRange(0, 20_000).Draw(t, "gap")) * int64(time.Millisecond)
			r := meter.DemandRow{At: at(0) + now, Count: 1, Input: int64(rapid.IntRange(0, 5).Draw(t, "input")), Refused: rapid.Bool().Draw(t, "refused")}
			if r.Refused && rapid.Bool().Draw(t, "many") {
				r.Count = int64(rapid.IntRange(2, 9).Draw(t, "count"))
			} else if rapid.Bool().Draw(t, "known") {
				r.Invocation = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "invocation")
			}
			rows = append(rows, r)
			if id := r.Invocation; id != "" {
				if first, ok := last[id]; ok && refused[id] && r.At-first <= int64(30*time.Second) {
					continue // another attempt of the one that waits
				}
				last[id], refused[id] = r.At, r.Refused
			}
			want += r.Count
		}
		s, err := ledger.Open(paged(rows, rapid.IntRange(1, 20).Draw(t, "page")), ledger.Options{Now: start.Add(time.Hour), Query: meter.DemandQuery{Since: start}})
		if err != nil {
			t.Fatal(err)
		}
		var before time.Duration
		n := int64(0)
		for q, err := range s.All() {
			if err != nil || q.At < before || q.Input < 1 || q.Cached > q.Input {
				t.Fatal(q, err)
			}
			before = q.At
			n++
		}
		if n != want {
			t.Fatalf("%d calls, want %d", n, want)
		}
	})
}
