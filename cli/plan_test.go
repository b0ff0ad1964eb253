package cli

import (
	"encoding/csv"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forebay/catalog"
	"forebay/meter"
	"forebay/plan"
	"forebay/plan/shape"

	"github.com/go-json-experiment/json"
)

const workedShape = "50000/day, 80% 09-17, 1% 22-06, America/New_York, peak x2, in 1000, out 300"

// The question that every buyer asks, in one command without a server.
func TestPlanAnswersTheWorkedExample(t *testing.T) {
	dir := t.TempDir()
	page, picture := filepath.Join(dir, "plan.html"), filepath.Join(dir, "plan.png")
	args := []string{"plan", "--shape", workedShape, "--model", "anthropic.claude-3-haiku-20240307-v1:0"}
	code, out, errs := runCLI(t, append(args, "--explain", "--html", page, "--png", picture)...)
	if code != 0 {
		t.Fatal(code, errs)
	}
	text := strings.Join(strings.Fields(out), " ")
	for _, want := range []string{
		"On demand, 937.50 USD per 30 days; provisioned wins only below 1.30 USD/h in total; the lowest published unit price of any model is 4.11 USD/h",
		"so no unit size can change this", "157,824 calls a day", "Requests per minute, peak 167", "Tokens per minute held, peak 849,3",
		"weights of Claude models are not given out", "50,000 calls a day x 0.000625 / 24",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	html, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(html), "937.50") || strings.Contains(string(html), "src=") || strings.Contains(string(html), "<link") {
		t.Errorf("%v: the page lacks the answer, or loads something", err)
	}
	f, err := os.Open(picture)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := png.Decode(f); err != nil {
		t.Error(err)
	}
	code, out, _ = runCLI(t, append(args, "--json")...)
	var a plan.Answer
	if err := json.Unmarshal([]byte(out), &a); err != nil || code != 0 || a.Options[0].Cost.Mid != 937_500_000_000 {
		t.Errorf("%d %v %.300s", code, err, out)
	}
	code, out, _ = runCLI(t, append(args, "--csv")...)
	if rows, err := csv.NewReader(strings.NewReader(out)).ReadAll(); err != nil || code != 0 || len(rows) != 1+len(a.Options) || rows[1][9] != "937.50" {
		t.Errorf("%d %v %s", code, err, out)
	}
}

// A trace is planned for like a shape, and warned of where it is short.
func TestPlanOfATrace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trace.csv")
	if err := os.WriteFile(file, []byte("when,read,made\n2024-05-01 10:00:00,1000,100\n2024-05-01 10:00:30,x,100\n2024-05-01 10:10:00,3000,100\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"plan", "--trace", file, "--model", "meta.llama3-1-70b-instruct-v1:0"}
	if code, _, errs := runCLI(t, args...); code != exitUsage || !strings.Contains(errs, "there are when, read, made") {
		t.Errorf("%d %s", code, errs)
	}
	code, out, errs := runCLI(t, append(args, "--columns", "time=when", "--columns", "input=read", "--columns", "output=made")...)
	text := strings.Join(strings.Fields(out), " ")
	for _, want := range []string{"2,000 tokens in and 100 out", "1 rows left out: the input tokens are no number (first in line 3", "covers 11m0s and no whole day", "taken for UTC"} {
		if code != 0 || !strings.Contains(text, want) {
			t.Errorf("%d %q is missing: %s %s", code, want, errs, out)
		}
	}
}

// What forebay calibrate has measured is an engine to plan with, where it was measured and not beyond.
func TestPlanOfAMeasuredEngine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "measured.json")
	report := `{"model": "m", "engine": "here", "calibration": {"step_us": 13100, "prefill_token_us": 41.7, "context_token_us": 0.052, "sequence_us": 61, "slots": 128, "chunk_tokens": 2048,
		"kv_tokens": 500000, "measured": "2026-05-04T10:00:00Z"}, "samples": [], "range": {"least": 1, "most": 64, "prompt": 2000, "context": 100000}}`
	if err := os.WriteFile(file, []byte(report), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"plan", "--model=meta.llama3-1-70b-instruct-v1:0", "--profile", file, "--instance-price", "own=2", "--calls", "5000", "--shape"}
	code, out, errs := runCLI(t, append(args, workedShape)...)
	text := strings.Join(strings.Fields(out), " ")
	for _, want := range []string{"Endpoint of one's own, 1 own", "the coefficients of m on here were measured with 1 to 64 calls at once, prompts of up to 2,000 tokens, and 100,000 tokens of context", "If every step took 5 % longer: first token"} {
		if code != 0 || !strings.Contains(text, want) {
			t.Errorf("%d %q is missing: %s %s", code, want, errs, out)
		}
	}
	code, out, errs = runCLI(t, append(args, "50000/day, in 3000, out 100")...)
	if text := strings.Join(strings.Fields(out), " "); code != 0 || !strings.Contains(text, "prompts of up to 2000 tokens, and the mean one here has 3000: nothing is planned outside of that") {
		t.Errorf("%d %s %s", code, errs, out)
	}
	for _, text := range []string{"", "{}", `{"calibration": {"step_us": 1}}`} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, errs := runCLI(t, append(args, workedShape)...); code != exitUsage || !strings.Contains(errs, "--profile") {
			t.Errorf("%q: %d %s", text, code, errs)
		}
	}
}

// Names that callers choose do nothing to a terminal, and a report that cannot be put where it was asked for is the asker's to mend.
func TestPlanPrintsNamesPlainly(t *testing.T) {
	args := []string{"plan", "--model=meta.llama3-1-70b-instruct-v1:0", "--shape", workedShape, "--profile", "llama-3.3-70b/4xh100", "--instance-price", "x\x1b[2Jy=20"}
	code, out, errs := runCLI(t, args...)
	if code != 0 || strings.ContainsRune(out, '\x1b') || !strings.Contains(out, "x?[2Jy") {
		t.Errorf("%d %s %q", code, errs, out)
	}
	if code, _, errs := runCLI(t, append(args, "--html", t.TempDir())...); code != exitUsage || !strings.Contains(errs, "directory") {
		t.Errorf("%d %s", code, errs)
	}
}

// Instances that are scaled by a schedule, and a serverless endpoint with engines that are always up, are in the answer.
func TestPlanOfEndpointsThatScale(t *testing.T) {
	code, out, errs := runCLI(t, "plan", "--shape", "900000/day, 80% 09-17, America/New_York, no weekends, peak x2, in 1000, out 300", "--model", "meta.llama3-1-70b-instruct-v1:0",
		"--calls", "3000", "--scale-metric", "invocations", "--scale-schedule", "cron(30 8 ? * MON-FRI *)=2-6", "--scale-schedule", "cron(0 18 ? * MON-FRI *)=1-2",
		"--serverless-price", "40", "--serverless-provisioned", "1", "--serverless-provisioned-price", "30", "--serverless-concurrency", "900", "--serverless-window", "5m", "--json")
	var a plan.Answer
	if err := json.Unmarshal([]byte(out), &a); err != nil || code != 0 {
		t.Fatalf("%d %v %s", code, err, errs)
	}
	found := map[string]string{}
	for _, o := range a.Options {
		found[o.ID[strings.LastIndexByte(o.ID, '/')+1:]] = o.Name + " " + strings.Join(o.Assumptions, " ")
	}
	for id, words := range map[string][]string{
		"tracking":   {"up to 6", "a schedule", "invocations of 70 %"},
		"scheduled":  {"cron(55 9 ? * MON,TUE,WED,THU,FRI *) 2", "started 5m0s before"},
		"serverless": {"1 engine always up, at 30.00", "at most 900 calls at once", "held for 55s at most", "windows of 5m0s"},
	} {
		for _, w := range words {
			if !strings.Contains(found[id], w) {
				t.Errorf("%s: %q is missing in %q", id, w, found[id])
			}
		}
	}
}

// The help lists what a shape can say, and words that say more than that it needs are planned for.
func TestPlanOfRicherWords(t *testing.T) {
	code, out, errs := runCLI(t, "plan", "--help")
	for _, c := range shape.Clauses() {
		if code != 0 || !strings.Contains(out, c.Form) || !strings.Contains(out, c.Means) {
			t.Errorf("%d %s: the help lacks %q", code, errs, c.Form)
		}
	}
	words := "1.5M/month, 80% 09-17, EST, peak x2, in 1k, cached 40%, out 300, max-tokens 500, mon-thu 110%, fri 60%, no weekends, bursts cv 3, tenants web 60% batch 40%, from 2026-03-02, for 2 weeks"
	code, out, errs = runCLI(t, "plan", "--model=meta.llama3-1-70b-instruct-v1:0", "--calls", "2000", "--shape", words)
	text := strings.Join(strings.Fields(out), " ")
	for _, want := range []string{"50,000 calls a day", "1,000 tokens in and 300 out", "America/New_York", "a month is taken for 30 days", "max_tokens 500"} {
		if code != 0 || !strings.Contains(text, want) {
			t.Errorf("%d %q is missing: %s %s", code, want, errs, out)
		}
	}
}

// Bad input is named, says what to do, and ends with code 2.
func TestPlanRefusesBadInput(t *testing.T) {
	const model = "--model=meta.llama3-1-70b-instruct-v1:0"
	for want, args := range map[string][]string{
		"give --shape":            {model},
		"two traffics or more":    {model, "--shape", workedShape, "--trace", "x.csv"},
		"are two traffics":        {model, "--shape", workedShape, "--ledger"},
		"--model is missing":      {"--shape", workedShape},
		"did you mean":            {"--shape", workedShape, "--model", "anthropic.claude-3-haiku"},
		"said already, by":        {model, "--shape", workedShape + ", peak x3"},
		"write numbers without":   {model, "--shape", "50,000/day"},
		"add up to":               {model, "--shape", "10/day, 80% 09-17, 30% 18-20, in 1, out 1"},
		"a price of zero":         {model, "--shape", workedShape, "--unit-price", "0"},
		"INPUT/OUTPUT":            {model, "--shape", workedShape, "--unit-size", "10"},
		"the term is":             {model, "--shape", workedShape, "--unit-price", "2-months=3"},
		"less than one mean call": {model, "--shape", workedShape, "--unit-size", "10/10"},
		"no engine profile":       {model, "--shape", workedShape, "--profile", "x"},
		"TYPE=PRICE":              {model, "--shape", workedShape, "--instance-price", "3"},
		"nothing is exchanged":    {model, "--shape", workedShape, "--currency", "EUR"},
		"--deadline":              {model, "--shape", workedShape, "--deadline", "soon"},
		"REQUESTS/TOKENS":         {model, "--shape", workedShape, "--quota", "0/5"},
		"no rules are known":      {model, "--shape", workedShape, "--rules", "gcp"},
		"TOKENS/WEIGHT":           {model, "--shape", workedShape, "--rules", "azure-ptu", "--rule-unit", "x"},
		"INPUT/OUTPUT, such":      {model, "--shape", workedShape, "--reserved-price", "3"},
		"1-month or 3-months":     {model, "--shape", workedShape, "--reserved-price", "6-months=1/2"},
		"a factor is above":       {model, "--shape", workedShape, "--tier-factor", "flex=0"},
		"flex and batch":          {model, "--shape", workedShape, "--tier-factor", "priority=0.5"},
		"by flex and by batch":    {model, "--shape", workedShape, "--flex", "0.6", "--batch", "0.5"},
		"--days must be":          {model, "--shape", workedShape, "--days", "0"},
		"--calls must be":         {model, "--shape", workedShape, "--calls", "0"},
		"--instance-start must":   {model, "--shape", workedShape, "--instance-start", "0s"},
		"--scale-metric":          {model, "--shape", workedShape, "--scale-metric", "luck"},
		"a target of 0 %":         {model, "--shape", workedShape, "--scale-target", "0"},
		"WHEN=MIN-MAX":            {model, "--shape", workedShape, "--scale-schedule", "cron(0 9 * * ? *)"},
		"5 fields":                {model, "--shape", workedShape, "--scale-schedule", "cron(0 9 * * ?)=1-2"},
		"the least and the most":  {model, "--shape", workedShape, "--scale-schedule", "cron(0 9 * * ? *)=many"},
		"to 5 to 2 instances":     {model, "--shape", workedShape, "--scale-schedule", "cron(0 9 * * ? *)=5-2"},
		"must not be negative":    {model, "--shape", workedShape, "--serverless-price", "3", "--serverless-provisioned=-1"},
		"--model ?[2J":            {"--shape", workedShape, "--model", "\x1b[2J"},
	} {
		if code, out, errs := runCLI(t, append([]string{"plan"}, args...)...); code != exitUsage || !strings.Contains(errs, want) || strings.Count(errs, "\n") != 1 || out != "" {
			t.Errorf("%q: %d, want %q, got %q %s", args, code, want, errs, out)
		}
	}
}

// minutely writes a trace of one call a minute, for some days.
func minutely(t *testing.T, days int) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("time,input_tokens,output_tokens\n")
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	for range days * 24 * 60 {
		b.WriteString(at.Format(time.RFC3339) + ",2000,500\n")
		at = at.Add(time.Minute)
	}
	file := filepath.Join(t.TempDir(), "trace.csv")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A call a minute, each 0.0018 USD on demand, would have saved in three days what a unit for it costs in a month at 0.01 USD an hour: buy it.
func TestPlanWatches(t *testing.T) {
	args := []string{
		"plan", "--watch", "--every", "0s", "--trace", minutely(t, 5), "--model", "meta.llama3-1-70b-instruct-v1:0", "--unit-size", "2000/500", "--unit-price", "1-month=0.01",
	}
	code, out, errs := runCLI(t, args...)
	if code != 0 || !strings.Contains(out, "reserve 1 unit now, on one month") || !strings.Contains(out, "at most 2 times what the best purchases would have cost") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	code, out, errs = runCLI(t, append(args, "--json", "--held", "1")...)
	var list []plan.Advice
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list) != 1 || list[0].More != 0 || list[0].Units != 1 {
		t.Errorf("%d %v %s %s", code, err, out, errs)
	}
	for want, args := range map[string][]string{
		"has no past":       {"--shape", workedShape, "--unit-price", "1-month=1", "--unit-size", "2000/500"},
		"not be negative":   {"--trace", minutely(t, 1), "--every=-1s"},
		"with a commitment": {"--trace", minutely(t, 1), "--every", "0s", "--unit-size", "2000/500"},
	} {
		if code, _, errs := runCLI(t, append([]string{"plan", "--watch", "--model", "meta.llama3-1-70b-instruct-v1:0"}, args...)...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%d %q, want %q", code, errs, want)
		}
	}
}

// Usage by the hour that was paid for by the token is what advice is given on; calls on what was bought are not.
func TestAdviceOnUsage(t *testing.T) {
	month := int64(10_000_000)
	var m catalog.Model
	for _, x := range catalog.Builtin() {
		if x.ID == "meta.llama3-1-70b-instruct-v1:0" {
			m = *x
		}
	}
	m.Unit = &catalog.Unit{Input: 2000, Output: 500, Basis: catalog.BasisGiven}
	m.UnitPrices = &catalog.UnitPrices{Currency: "USD", OneMonth: &month, Date: "2026-01-01", Source: "test"}
	since := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	rows := func(mode string) (out []meter.UsageRow) {
		for h := range 24 * 5 {
			out = append(out, meter.UsageRow{Group: []string{since.Add(time.Duration(h) * time.Hour).Format("2006-01-02T15:00Z"), m.ID, mode}, Requests: 60, Input: 60 * 2000, Output: 60 * 500})
		}
		return append(out, meter.UsageRow{Group: []string{"", "", ""}})
	}
	models := map[string]*catalog.Model{m.ID: &m}
	if list := adviceOf(models, rows("on-demand"), since, 720); len(list) != 1 || list[0].More != 1 || !strings.Contains(adviceText(&list[0]), "reserve 1 unit now") {
		t.Errorf("%+v", list)
	}
	if list := adviceOf(models, rows("provisioned"), since, 720); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}
