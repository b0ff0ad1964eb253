package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forebay/plan"

	"github.com/go-json-experiment/json"
)

// fileOf writes a file of traffic.
func fileOf(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "traffic")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// answerFor plans for a traffic.
func answerFor(t *testing.T, args ...string) *plan.Answer {
	t.Helper()
	code, out, errs := runCLI(t, append([]string{"plan", "--model", llama70, "--json"}, args...)...)
	a := &plan.Answer{}
	if code != 0 {
		t.Fatal(code, errs)
	}
	if err := json.Unmarshal([]byte(out), a); err != nil {
		t.Fatal(err)
	}
	return a
}

// Traffic that is none is refused with what is wrong and what to do, in one line and with code 2.
func TestPlanRefusesBadTraffic(t *testing.T) {
	const head = "time,input,output\n"
	rows := func(n int, row func(i int) string) string {
		var b strings.Builder
		b.WriteString(head)
		for i := range n {
			b.WriteString(row(i))
		}
		return b.String()
	}
	for _, c := range []struct {
		name, text string
		args       []string
		want       string
	}{
		{"empty", "", nil, "has no rows"},
		{"one row", head + "2026-01-05T10:00:00Z,10,1\n", nil, "one instant, which tells no rate: give a file with more"},
		{"unsorted", rows(140_000, func(i int) string { return fmt.Sprintf("%d,10,1\n", 1_700_000_000+(i+70_000)%140_000) }), nil, "sort the file by its time"},
		{"duplicated", rows(40, func(i int) string { return fmt.Sprintf("%d,10,1\n", 1_700_000_000+i/4) }), nil, "leave the copies out, or say with --copies"},
		{"negative", head + "2026-01-05T10:00:00Z,-10,1\n2026-01-05T10:00:01Z,-10,1\n", nil, "the input tokens are negative"},
		{"absurd", head + "2026-01-05T10:00:00Z,1e15,1\n2026-01-05T10:00:01Z,1e15,1\n", nil, "more than any call has"},
		{"mixed units", rows(9, func(i int) string {
			return fmt.Sprintf("%d,10,%d\n", []int64{1_700_000_000, 1_700_000_000_000, 1_700_000_000_000}[i%3]+int64(i), i)
		}), nil, "another unit than the first row's"},
		{"an hour that does not happen", head + "2026-03-08 02:10:00,10,1\n2026-03-08 02:20:00,10,1\n", []string{"--timezone", "America/New_York"}, "does not exist in America/New_York"},
		{"unknown zone", head + "2026-03-08 02:10:00,10,1\n", []string{"--timezone", "Amerika/New_York"}, "--timezone"},
		{"counts alone", "time,requests\n2026-01-05,5\n2026-01-06,5\n", nil, "--tokens 1000,300"},
		{"bill of two models", "line_item_usage_start_date,line_item_usage_type,line_item_usage_amount,pricing_unit\n2026-01-05,A-input-tokens,1,1K tokens\n2026-01-06,B-input-tokens,1,1K tokens\n", []string{"--tokens", "10,1"}, "--usage-type A"},
		{"parquet", "PAR1", nil, "begins like a Parquet file"},
		{"sessions without a rate", `{"requests":[{"t":0,"in":5,"out":1}]}`, nil, "--sessions 200"},
		{"no cache to find", head + "1,10,1\n2,10,1\n", []string{"--reuse", "5m"}, "leave --reuse out"},
		{"negative flag", head + "1,10,1\n2,10,1\n", []string{"--usage-unit=-3"}, "must not be negative"},
		{"missing what", head + "1,10,1\n2,10,1\n", []string{"--missing", "maybe"}, "--missing"},
		{"a unit below one call", head + "1,1000,100\n2,1000,100\n", []string{"--unit-size", "10/10"}, "less than one mean call"},
		{"a price of zero", head + "1,1000,100\n2,1000,100\n", []string{"--unit-price", "0"}, "a price of zero"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errs := runCLI(t, append([]string{"plan", "--model", llama70, "--trace", fileOf(t, c.text)}, c.args...)...)
			if code != exitUsage || !strings.Contains(errs, c.want) || strings.Count(errs, "\n") != 1 || out != "" {
				t.Errorf("%d, want %q, got %q %s", code, c.want, errs, out)
			}
		})
	}
}

// Times without data are no idleness unless that is said: the cost is a range from what it were then.
func TestPlanSaysWhatMissingTimesAre(t *testing.T) {
	var text strings.Builder
	text.WriteString("time,requests,input,output\n")
	for h := range 48 {
		if h%24 < 12 || h < 24 {
			fmt.Fprintf(&text, "2026-01-%02dT%02d:00:00Z,60,60000,6000\n", 5+h/24, h%24)
		}
	}
	file := fileOf(t, text.String()+"2026-01-07T00:00:00Z,60,60000,6000\n")
	unknown, idle := answerFor(t, "--trace", file), answerFor(t, "--trace", file, "--missing", "idle")
	find := func(a *plan.Answer) *plan.Cost {
		for _, o := range a.Options {
			if o.ID == "on-demand" {
				return o.Cost
			}
		}
		t.Fatal("no option on demand")
		return nil
	}
	u, i := find(unknown), find(idle)
	if u.Kind != "range" || u.Low != i.Mid || u.Mid <= i.Mid || u.High != u.Mid || len(u.Over) != 1 || i.Kind == "range" {
		t.Errorf("unknown %+v, idle %+v", u, i)
	}
	if w := strings.Join(unknown.Warnings, "\n"); !strings.Contains(w, "24.489 % of the time is not in the data") {
		t.Error(w)
	}
	if unknown.Traffic.Calls != 49*60 || unknown.Traffic.Missing != 244 || idle.Traffic.Calls != 37*60 || idle.Traffic.Missing != 0 {
		t.Errorf("%+v and %+v", unknown.Traffic, idle.Traffic)
	}
}

// Bills, folders of clients and traces of sessions are planned for.
func TestPlanOfOtherTraffic(t *testing.T) {
	var bill strings.Builder
	bill.WriteString("line_item_usage_start_date,line_item_usage_end_date,line_item_usage_type,line_item_usage_amount,pricing_unit\n")
	for h := range 6 {
		for _, kind := range []string{"input", "output"} {
			fmt.Fprintf(&bill, "2026-01-05T%02d:00:00Z,2026-01-05T%02d:00:00Z,USE1-Llama3-1-70B-%s-tokens,100,1K tokens\n", h, h+1, kind)
		}
	}
	clients := t.TempDir()
	if err := os.WriteFile(filepath.Join(clients, "chunk-0-trace.csv"), []byte("0,0.5,2,Gamma,0.25,8\n600,1,1,,0,0\n1200,0.5,2,Weibull,0.6,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   []string
		format string
		calls  int64
	}{
		{[]string{"--trace", fileOf(t, bill.String()), "--tokens", "900,100"}, "cost-and-usage-report", 1200},
		{[]string{"--trace", clients, "--tokens", "900,100"}, "servegen", 1200},
		{[]string{"--trace", fileOf(t, `{"block_size":64,"requests":[{"t":0,"in":128,"out":9,"hash_ids":[1,2]},{"t":9,"in":192,"out":9,"hash_ids":[1,2,3]}]}`), "--sessions", "100"}, "sessions", 0},
	} {
		a := answerFor(t, c.args...)
		if a.Traffic.Format != c.format || c.calls > 0 && a.Traffic.Calls != c.calls || len(a.Traffic.Notes) == 0 || a.Recommended == "" {
			t.Errorf("%+v", a.Traffic)
		}
	}
}
