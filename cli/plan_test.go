package cli

import (
	"encoding/csv"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forebay/plan"

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

// Bad input is named, says what to do, and ends with code 2.
func TestPlanRefusesBadInput(t *testing.T) {
	const model = "--model=meta.llama3-1-70b-instruct-v1:0"
	for want, args := range map[string][]string{
		"give --shape":            {model},
		"two traffics or more":    {model, "--shape", workedShape, "--trace", "x.csv"},
		"are two traffics":        {model, "--shape", workedShape, "--ledger"},
		"--model is missing":      {"--shape", workedShape},
		"did you mean":            {"--shape", workedShape, "--model", "anthropic.claude-3-haiku"},
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
		"--days must be":          {model, "--shape", workedShape, "--days", "0"},
		"--calls must be":         {model, "--shape", workedShape, "--calls", "0"},
		"--instance-start must":   {model, "--shape", workedShape, "--instance-start", "0s"},
		"--model ?[2J":            {"--shape", workedShape, "--model", "\x1b[2J"},
	} {
		if code, out, errs := runCLI(t, append([]string{"plan"}, args...)...); code != exitUsage || !strings.Contains(errs, want) || strings.Count(errs, "\n") != 1 || out != "" {
			t.Errorf("%q: %d, want %q, got %q %s", args, code, want, errs, out)
		}
	}
}
