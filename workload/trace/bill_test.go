package trace_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"forebay/fault"
	"forebay/workload"
	"forebay/workload/trace"
)

func read(t *testing.T, text string, opt trace.Options) workload.Source {
	t.Helper()
	s, err := trace.Read(write(t, "f", text), opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mean is the size of a call where a file tells none.
var mean = trace.Options{Input: 900, Output: 100, Seed: 1}

// The two forms of the report, as their data dictionaries have them, with what is in them besides: taxes, other services, purchases.
const (
	legacy = "identity/LineItemId,lineItem/LineItemType,lineItem/UsageStartDate,lineItem/UsageEndDate,lineItem/ProductCode,lineItem/UsageType,lineItem/UsageAmount,pricing/unit\n"
	second = "line_item_line_item_type,line_item_usage_start_date,line_item_usage_end_date,line_item_product_code,line_item_usage_type,line_item_usage_amount,pricing_unit,line_item_line_item_description\n"
)

func hour(h int) string { return fmt.Sprintf("2026-01-05T%02d:00:00Z,2026-01-05T%02d:00:00Z", h, h+1) }

// Quantities become calls of the mean size, spread over their hours; all four kinds of tokens count.
func TestCostAndUsageReports(t *testing.T) {
	rows := func(line func(kind, times, usage, amount, unit string) string) string {
		return line("Usage", hour(11), "USE1-Claude3Haiku-output-tokens", "20", "1K tokens") + // not in order
			line("Usage", hour(10), "USE1-Claude3Haiku-input-tokens", "90", "1K tokens") +
			line("Usage", hour(10), "USE1-Claude3Haiku-output-tokens", "10", "1K tokens") +
			line("Usage", hour(11), "USE1-Claude3Haiku-cache-read-input-token-count", "0.1", "1M tokens") +
			line("Usage", hour(11), "USE1-Claude3Haiku-cache-write-input-token-count", "30", "1K tokens") +
			line("Usage", hour(11), "USE1-Claude3Haiku-input-tokens-batch", "50", "1K tokens") +
			line("Tax", hour(11), "USE1-Claude3Haiku-input-tokens", "50", "1K tokens") +
			line("Usage", hour(11), "USE1-BoxUsage:m5.large", "1", "Hrs") +
			line("Usage", hour(11), "USE1-Claude3Haiku-ProvisionedThroughput-ModelUnits", "2", "hour")
	}
	for name, text := range map[string]string{
		"legacy": legacy + rows(func(kind, times, usage, amount, unit string) string {
			return "x," + kind + "," + times + ",AmazonBedrock," + usage + "," + amount + "," + unit + "\n"
		}),
		"CUR 2.0": second + rows(func(kind, times, usage, amount, unit string) string {
			return kind + "," + times + ",AmazonBedrock," + usage + "," + amount + "," + unit + ",\n"
		}),
	} {
		t.Run(name, func(t *testing.T) {
			s := read(t, text, mean)
			x := measure(t, s)
			var readers sync.WaitGroup
			for range 4 { // as replays read it, side by side
				readers.Go(func() {
					n := int64(0)
					for _, err := range s.All() {
						if err != nil {
							t.Error(err)
						}
						n++
					}
					if n != x.rows {
						t.Errorf("%d calls, then %d", x.rows, n)
					}
				})
			}
			readers.Wait()
			if x.rows != 300 || x.input != 270_000 || x.output != 30_000 {
				t.Errorf("%d calls, %d tokens in, %d out; want 300, 270,000 and 30,000", x.rows, x.input, x.output)
			}
			ten, cached := int64(0), int64(0)
			for q, err := range s.All() {
				if err != nil {
					t.Fatal(err)
				}
				if q.At < time.Hour {
					ten++
				}
				cached += q.Cached
			}
			i := s.Info()
			notes := strings.Join(i.Notes, "\n")
			if ten != 100 || cached != 100_000 || i.Format != "cost-and-usage-report" || i.Grain != time.Hour || i.Length != 2*time.Hour || !i.Start.Equal(time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)) {
				t.Errorf("%d calls in the first hour, %d cached tokens, %+v", ten, cached, i)
			}
			for _, want := range []string{"17 % of the tokens were batch", "ModelUnits: 2 are in it", "known by the hour alone", "refused are not in it"} {
				if !strings.Contains(notes, want) {
					t.Errorf("%q is missing in %s", want, notes)
				}
			}
			if len(s.Faults()) != 0 {
				t.Errorf("%+v", s.Faults())
			}
		})
	}
}

// Cost Explorer's export has a column for each usage type and a row for each day.
func TestCostExplorer(t *testing.T) {
	s := read(t, `"Usage type","USE1-NovaLite-input-tokens(1K tokens)","USE1-NovaLite-output-tokens(1K tokens)","USE1-BoxUsage:m5.large(Hrs)","Total usage"`+"\n"+
		`"Usage type total","3,600","400","48",""`+"\n"+`"2026-01-05","900","100","24",""`+"\n"+`"2026-01-06","","","24",""`+"\n"+`"2026-01-08","2,700","300","24",""`+"\n", mean)
	x := measure(t, s)
	i := s.Info()
	if x.rows != 4000 || x.input != 3_600_000 || x.output != 400_000 || i.Format != "cost-explorer" || i.Grain != 24*time.Hour || i.Length != 96*time.Hour {
		t.Errorf("%+v %+v", x.rows, i)
	}
	if len(i.Unknown) != 1 || i.Unknown[0] != (workload.Span{From: 48 * time.Hour, To: 72 * time.Hour}) || !strings.Contains(strings.Join(i.Notes, "\n"), "known by the day alone") {
		t.Errorf("a day without a row is not unknown: %+v", i)
	}
	idle := mean
	idle.Idle = true
	s = read(t, "Usage type,NovaLite-input-tokens(1K tokens)\n2026-01-05,900\n2026-01-06,900\n2026-01-08,900\n", idle)
	if x := measure(t, s); x.rows != 2700 || len(s.Info().Unknown) != 0 || !strings.Contains(strings.Join(s.Info().Notes, "\n"), "24h0m0s have no window: they count as idle") {
		t.Errorf("%d, %+v", x.rows, s.Info())
	}
}

// Cost and Usage Reports leave out hours in which nothing was used; a month without a row is a file that is missing.
func TestHoursWithoutUsage(t *testing.T) {
	line := func(start, end string) string {
		return "Usage," + start + "," + end + ",x,Nova-input-tokens,9,1K tokens,\n"
	}
	s := read(t, second+line("2026-01-05T10:00:00Z", "2026-01-05T11:00:00Z")+line("2026-01-05T20:00:00Z", "2026-01-05T21:00:00Z")+line("2026-03-01T00:00:00Z", "2026-03-01T01:00:00Z"), mean)
	if x := measure(t, s); x.rows != 27 {
		t.Error(x.rows)
	}
	if i := s.Info(); len(i.Unknown) != 1 || i.Unknown[0].From != 11*time.Hour || i.Unknown[0].To != 54*24*time.Hour+14*time.Hour || !strings.Contains(strings.Join(i.Notes, "\n"), "reports leave them out") {
		t.Errorf("%+v", i)
	}
}

// Units are told by their column, by the description, or by whoever asks; others are not made up.
func TestUnitsOfTokens(t *testing.T) {
	for _, c := range []struct {
		unit, text string
		given      float64
		want       int64 // calls; 0 is a row that cannot be read
	}{
		{"1K tokens", "", 0, 20},
		{"1M tokens", "", 0, 20_000},
		{"tokens", "", 0, 0},
		{"Million Input Tokens", "", 0, 20_000},
		{"Units", "$3.00 per 1M input tokens", 0, 20_000},
		{"Units", "AWS Marketplace software usage|us-east-1|Million Input Tokens", 0, 20_000},
		{"Units", "$0.25 per 1,000 tokens", 0, 20},
		{"Units", "for USE1-Claude3-input-tokens in US East", 0, 0},
		{"Units", "", 1e6, 20_000},
		{"", "", 0, 0},
	} {
		line := func(h int) string {
			return "Usage," + hour(h) + ",x,MP:USE1_Claude3-InputTokenCount-Units,10," + c.unit + ",\"" + c.text + "\"\n"
		}
		opt := mean
		opt.Unit, opt.Input, opt.Output = c.given, 1000, 0
		s := read(t, second+line(10)+line(11), opt)
		n, failed := int64(0), ""
		for _, err := range s.All() {
			if err != nil {
				failed = err.Error()
				break
			}
			n++
		}
		if n != c.want || c.want == 0 && c.unit != "tokens" && !strings.Contains(failed, "--usage-unit 1000") {
			t.Errorf("%q, %q, %v: %d calls, %s; want %d", c.unit, c.text, c.given, n, failed, c.want)
		}
	}
}

// What is no traffic of one model is refused, with what to do.
func TestBadBills(t *testing.T) {
	line := func(times, usage, amount string) string {
		return "Usage," + times + ",x," + usage + "," + amount + ",1K tokens,\n"
	}
	good := line(hour(10), "USE1-Nova-input-tokens", "1") + line(hour(11), "USE1-Nova-input-tokens", "1")
	for _, c := range []struct {
		name, text string
		change     func(*trace.Options)
		want       string
	}{
		{"no size", second + good, func(o *trace.Options) { o.Input = 0 }, "--tokens 1000,300"},
		{"two models", second + good + line(hour(10), "USE1-Titan-input-tokens", "1"), nil, "tokens of 2 models: Nova, Titan: say which by a part of its usage types, such as --usage-type Nova"},
		{"other model", second + good, func(o *trace.Options) { o.Usage = "titan" }, `has "titan" in it counts tokens`},
		{"no tokens", second + line(hour(10), "USE1-BoxUsage", "1"), nil, "no usage type counts tokens"},
		{"costs", "Usage type,USE1-Nova-input-tokens($)\n2026-01-05,1\n", nil, "choose the metric Usage quantity"},
		{"months", second + line("2026-01-01T00:00:00Z,2026-02-01T00:00:00Z", "Nova-input-tokens", "1"), nil, "it has months"},
		{"one time", "Usage type,Nova-input-tokens(1K tokens)\n2026-01-05,1\n", nil, "one time alone"},
		{"all rows wrong", second + line(hour(10), "Nova-input-tokens", "-1"), nil, "the quantity is no number from 0 on"},
		{"no time", second + line("soon,later", "Nova-input-tokens", "1"), nil, "the time is none"},
		{"no amount", "line_item_usage_start_date,line_item_usage_type\n2026-01-05,Nova-input-tokens\n", nil, "how much was used"},
		{"parquet", "PAR1\x15\x04\x15", nil, "begins like a Parquet file and cannot be read as one"},
		{"zip", "PK\x03\x04\x15", nil, "unpack it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			opt := mean
			if c.change != nil {
				c.change(&opt)
			}
			s, err := trace.Read(write(t, "f", c.text), opt)
			if err == nil {
				for _, e := range s.All() {
					err = e
				}
			}
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	opt := mean
	opt.Usage = "nova"
	if x := measure(t, read(t, second+strings.ReplaceAll(good, ",1,1K", ",900,1K")+line(hour(10), "USE1-Titan-input-tokens", "1"), opt)); x.rows != 1800 {
		t.Errorf("%d calls of the model that was asked for", x.rows)
	}
}

// Rows that cannot be read are left out, counted and named.
func TestFaultsOfBills(t *testing.T) {
	s := read(t, second+"Usage,"+hour(10)+",x,Nova-input-tokens,900,1K tokens,\nUsage,"+hour(10)+",x,Nova-input-tokens,many,1K tokens,\nUsage,"+hour(11)+",x,Nova-input-tokens,900,Units,\nUsage,"+hour(11)+",x,Nova-input-tokens,1,1K tokens,\n", mean)
	if x := measure(t, s); x.rows != 901 {
		t.Error(x.rows)
	}
	if f := s.Faults(); len(f) != 2 || f[0].Line != 3 || f[0].Count != 1 || f[1].Line != 4 || !strings.Contains(f[1].Reason, "--usage-unit") {
		t.Errorf("%+v", f)
	}
}

// FuzzRead reads files that may be reports, sessions, or nothing, without harm.
func FuzzRead(f *testing.F) {
	f.Add(legacy + "x,Usage," + hour(10) + ",AmazonBedrock,USE1-Claude3Haiku-input-tokens,20,1K tokens\nx,Usage," + hour(11) + ",AmazonBedrock,USE1-Claude3Haiku-output-tokens,20,1K tokens\n")
	f.Add(second + "Usage," + hour(10) + ",x,MP:USE1_InputTokenCount-Units,1e3,Units,per 1M tokens\nUsage," + hour(12) + ",x,cache-read-token,2,Token,\n")
	f.Add("Usage type,NovaLite-input-tokens(1K tokens),Total\nUsage type total,1,1\n2026-01-05,\"1,000\",1\n2026-01-07,2,2\n")
	f.Add(`{"id":"a","block_size":64,"requests":[{"t":0,"in":128,"out":3,"hash_ids":[1,2]},{"t":5.5,"type":"subagent","requests":[{"t":0,"in":200,"out":1,"hash_ids":["x",2,3],"think_time":2}]}]}`)
	f.Add(`[{"requests":[{"t":1,"in":1,"out":1}]},{"requests":[]}]`)
	f.Add("Usage type,Nova-output-tokens(1M tokens)\n0001-01-05,7\n9999-01-07,2\n")
	f.Add("PAR1")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := trace.Read(write(t, "f", text), trace.Options{Input: 1000, Output: 10, Sessions: 5, Seed: 1})
		if err != nil {
			return
		}
		n, last := 0, time.Duration(0)
		for q, err := range s.All() {
			if err != nil {
				break
			}
			if q.At < last || q.Input < 0 || q.Output < 0 || q.Cached < 0 || q.Cached > q.Input {
				t.Fatalf("%+v after %v", q, last)
			}
			last = q.At
			if n++; n > 1000 {
				break
			}
		}
		_ = s.Info()
	})
}

// A report as Data Exports write it in Parquet (by pyarrow 26: three hours of 90,000 tokens in and 10,000 out) is read like one in CSV.
func TestReportInParquet(t *testing.T) {
	s, err := trace.Read("../rows/testdata/report.parquet", mean)
	if err != nil {
		t.Fatal(err)
	}
	x := measure(t, s)
	if i := s.Info(); x.rows != 300 || x.input != 270_000 || x.output != 30_000 || i.Format != "cost-and-usage-report" || i.Length != 3*time.Hour || i.Start.Hour() != 0 {
		t.Errorf("%d calls, %d tokens in, %d out, %+v", x.rows, x.input, x.output, i)
	}
}
