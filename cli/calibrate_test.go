package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forebay/config"
	"forebay/prove"

	"github.com/go-json-experiment/json"
)

// An engine behind a server, over sockets: its coefficients come back, are kept, and are shown with their date.
func TestCalibrateOverASocket(t *testing.T) {
	dir := serving(t, "engines: {simulated: {type: simulated, profile: demo}}\n")
	t.Setenv("FOREBAY_DATA_DIR", dir)
	folder := t.TempDir()
	html, svg := filepath.Join(folder, "x.html"), filepath.Join(folder, "x.svg")
	var out, told strings.Builder
	args := []string{
		"calibrate", demoModel, "--slots", "8", "--repeat", "1", "--tokens", "32", "--prompt", "800", "--kv", "500000", "--force", "--json", "--html", html, "--svg", svg,
	}
	if code := Main(t.Context(), args, Streams{In: strings.NewReader(""), Out: &out, Err: &told, Terminal: true}); code != exitOK {
		t.Fatalf("exit %d: %s", code, told.String())
	}
	var r struct {
		Calibration struct {
			Step         float64 `json:"step_us"`
			PrefillToken float64 `json:"prefill_token_us"`
			Sequence     float64 `json:"sequence_us"`
		} `json:"calibration"`
		Unit struct {
			InputPerMinute int64 `json:"inputPerMinute"`
		} `json:"unit"`
	}
	text := out.String()
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	// How near they come depends on what else the machine does; in virtual time, where nothing disturbs, they come back exactly: see
	// package calibrate. A sleep is never too short, so that steps cannot come out quicker than they are.
	if c := r.Calibration; c.Step+8*c.Sequence < 0.97*18_480 || c.PrefillToken <= 0 {
		t.Errorf("%+v, the engine was given 18000, 40 and 60 us", c)
	}
	if r.Unit.InputPerMinute < 1000 || !strings.Contains(told.String(), "kept as "+demoModel+"/simulated") || !strings.Contains(told.String(), "[#") {
		t.Errorf("unit %+v, told %q", r.Unit, told.String())
	}
	for _, file := range []string{html, svg} {
		if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), "<svg") || !strings.Contains(string(b), "measured") {
			t.Errorf("%s: %v %s", file, err, b)
		}
	}
	out.Reset()
	if code := Main(t.Context(), []string{"models", "show", demoModel}, Streams{Out: &out, Err: &told}); code != exitOK || !strings.Contains(out.String(), `"basis": "measured"`) {
		t.Errorf("exit %d: %s", code, out.String())
	}
}

// Counters of a run, in a file, are fitted without a call.
func TestCalibrateFromCounters(t *testing.T) {
	dir := serving(t, instant)
	t.Setenv("FOREBAY_DATA_DIR", dir)
	// An engine of 20 ms a step, 50 us a prompt token, 100 ns a token of context and 200 us a call, whose load goes up and down.
	var b strings.Builder
	b.WriteString("t,prompt_throughput,gen_throughput,running,waiting,kv_tokens\n")
	for i := range 60 {
		running := 1 + float64(i%30)
		prompt := 100 * float64(i*7%11)
		kv := running * (200 + 40*float64(i*5%13))
		beside := 0.0
		if i > 0 { // counters are of the end of a second, and a sample is of the mean of two
			before := 1 + float64((i-1)%30)
			kvBefore := before * (200 + 40*float64((i-1)*5%13))
			mean := (running + before) / 2
			beside = mean * (1 - 50e-6*prompt) / (0.020 + 200e-6*mean + 100e-9*(kv+kvBefore)/2)
		}
		b.WriteString(strings.Join([]string{number(float64(i + 1)), number(prompt), number(beside), number(running), "0", number(kv)}, ",") + "\n")
	}
	path := filepath.Join(t.TempDir(), "counters.csv")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	head, rows, _ := strings.Cut(b.String(), "\n")
	for text, want := range map[string]string{
		"": "no rows of counters\n", head + "\n": "no rows of counters\n", head + "\n" + rows + `1,"`: "parse error", head + "\n" + rows + "61,NaN,1,1,0,1\n": `"NaN" is no`,
		head + "\n" + rows + "61,1,+Inf,1,0,1\n": `"+Inf" is no`, head + "\n" + rows + "61,1,1,-1,0,1\n": `"-1" is no`,
	} {
		bad := filepath.Join(t.TempDir(), "bad.csv")
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		args := []string{"calibrate", demoModel, "--counters", bad, "--slots", "30", "--kv", "100000", "--dry-run"}
		if code := Main(t.Context(), args, Streams{Out: &out, Err: &out}); code != 1 || !strings.Contains(out.String(), want) || strings.Contains(out.String(), "%!") {
			t.Errorf("exit %d: %s, want %s", code, out.String(), want)
		}
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"--slots 30 --kv 100000 --dry-run", 0, "20 ms  ("},
		{"--slots 30 --kv 100000 --dry-run", 0, "100 ns  ("},
		{"--slots 60 --kv 100000", 1, "the batch went up to 29.5 of 60"},
		{"--slots 60 --kv 100000 --within", 1, "--within needs --dry-run"},
		{"--kv 100000", 1, "--slots and --kv"},
		{"--slots 30 --kv 100000 --metrics http://127.0.0.1:1/metrics", 2, "can't be used together"},
		{"--slots 30 --kv 100000 --typical 0/9", 1, "--typical"},
		{"--slots 30 --kv 100000 --dry-run --typical 1000/1e3", 1, "--typical"},
		{"--slots 30 --kv 100000 --dry-run --typical 1000/100/5", 1, "--typical"},
		{"--slots 30 --kv=-1", 1, "--kv must not be negative"},
		{"--slots 30 --kv 100000 --per-replica 0", 1, "--per-replica at least 1"},
		{"--slots 30 --kv 100000 --engine other", 1, `has no engine "other"`},
	} {
		var out strings.Builder
		args := append([]string{"calibrate", demoModel, "--counters", path}, strings.Fields(c.args)...)
		if code := Main(t.Context(), args, Streams{Out: &out, Err: &out}); code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: exit %d: %s", c.args, code, out.String())
		}
	}
	// What --json prints is an engine to plan with, where the counters were.
	var out strings.Builder
	args := []string{"calibrate", demoModel, "--counters", path, "--slots", "60", "--kv", "100000", "--within", "--dry-run", "--json"}
	if code := Main(t.Context(), args, Streams{Out: &out, Err: &out}); code != 0 {
		t.Fatalf("exit %d: %s", code, out.String())
	}
	report := filepath.Join(t.TempDir(), "report.json")
	if err := os.WriteFile(report, []byte(out.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := engineProfile(report)
	if r := p.Measured; err != nil || p.Step != 20_000_000_000 || p.MaxBatch != 60 || p.KV != 100_000 || r.Least != 1 || r.Most != 30 || r.Prompt != 0 || r.Context < 10_000 || r.Context > 21_000 {
		t.Errorf("%+v, %v", p, err)
	}
}

func number(v float64) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// What is kept is what forebay.yaml may declare.
func TestCalibrationsAreDeclarable(t *testing.T) {
	x := config.Calibration{Step: 18_000, ContextToken: 0.004, Slots: 4, KV: 1000, Measured: "2026-05-04T10:00:00Z", Intervals: map[string]config.Interval{"step_us": {Low: 1, High: 2}}}
	body, err := config.EncodeObject(&x)
	if err != nil {
		t.Fatal(err)
	}
	var back config.Calibration
	if err := config.Decode(body, &back); err != nil || back.ContextToken != 0.004 || back.Intervals["step_us"].High != 2 {
		t.Errorf("%s: %+v, %v", body, back, err)
	}
}

// The plot in characters.
func TestScatter(t *testing.T) {
	got := scatter(&prove.Plot{Title: "T", X: "calls", Y: "ms", Lines: []prove.Line{{X: []float64{0, 10}, Y: []float64{5, 10}}, {X: []float64{0, 5}, Y: []float64{5, 0}}}})
	lines := strings.Split(got, "\n")
	if !strings.HasPrefix(lines[1], "   10 ms |") || !strings.HasSuffix(lines[1], "o") || lines[8] != "         |*" || !strings.HasSuffix(lines[14], "+") || !strings.Contains(lines[16], "10  calls") {
		t.Errorf("%s", got)
	}
}
