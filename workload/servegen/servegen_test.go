package servegen_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"forebay/fault"
	"forebay/internal/testenv"
	"forebay/workload"
	"forebay/workload/servegen"
	"forebay/workload/trace"
)

// mean is the size of a call where no file tells one.
var mean = trace.Options{Input: 900, Output: 100, Seed: 1}

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestT9ServeGen finds the known peak of the public folder, and makes as many calls as its rates say.
func TestT9ServeGen(t *testing.T) {
	s, err := trace.Read(testenv.Shared(t, "traces/servegen/m-large"), trace.Options{Input: 1000, Output: 300, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	g := s.(*servegen.Traffic)
	i := g.Info()
	const window = 10 * time.Minute
	sum, peak, at := 0.0, 0.0, time.Duration(0)
	for from := time.Duration(0); from < i.Length; from += window {
		r := g.Rate(from)
		if sum += r; r > peak {
			peak, at = r, from
		}
	}
	got := fmt.Sprintf("%d clients, %v, mean %.0f, peak %.0f in the window of hour %.1f", len(i.Tenants), i.Length, sum/float64(i.Length/window), peak, at.Hours())
	if want := "162 clients, 336h0m0s, mean 196, peak 583 in the window of hour 22.3"; got != want || i.Grain != window || len(g.Faults()) != 0 {
		t.Errorf("%s, %+v; published are %s", got, g.Faults(), want)
	}
	testenv.Record(t, "T9", "ServeGen m-large: "+got, "162 clients, 14 days, mean 196, peak 583 requests/s on day 0, 22.3 h (its files)")

	// The first windows' calls: the burstiest client's numbers vary by 8.6 times their mean's root, and there are 162 of them.
	n, want := 0.0, 0.0
	const windows = 6
	for q, err := range s.All() {
		if err != nil {
			t.Fatal(err)
		}
		if q.At >= windows*window {
			break
		}
		n++
	}
	for k := range windows {
		want += g.Rate(time.Duration(k)*window) * window.Seconds()
	}
	if off := math.Abs(n-want) / math.Sqrt(want); off > 60 {
		t.Errorf("%v calls in an hour, the rates say %v", n, want)
	}
}

// Clients come by their number, each with its windows; what no file has is unknown, and what cannot be read is left out and named.
func TestServeGen(t *testing.T) {
	dir := folder(t, map[string]string{
		"chunk-2-trace.csv":  "0,2,1.5,Gamma,0.5,1\n60,0,0,,0,0\n180,1,3,Weibull,0.5,0.25\n",
		"chunk-10-trace.csv": "0,0.5,0,,0,0\n60,x,0,,0,0\n180,1,1,Pareto,2,1\n190,1,1,Gamma,2,1\n240,-1,1,Gamma,1,1\n",
		"LICENSE":            "x",
	})
	opt := trace.Options{Input: 10, Output: 5, Seed: 3}
	s, err := trace.Read(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	i := s.Info()
	if !slices.Equal(i.Tenants, []string{"chunk-2", "chunk-10"}) || i.Length != 4*time.Minute || i.Grain != time.Minute || !slices.Equal(i.Unknown, []workload.Span{{From: 2 * time.Minute, To: 3 * time.Minute}}) {
		t.Errorf("%+v", i)
	}
	if notes := strings.Join(i.Notes, "\n"); !strings.Contains(notes, "1m0s have no window: that is missing data") || !strings.Contains(notes, "rate of zero, which counts as idle") {
		t.Error(notes)
	}
	var reasons []string
	for _, f := range s.Faults() {
		reasons = append(reasons, fmt.Sprintf("%d: %s", f.Line, f.Reason))
	}
	if all := strings.Join(reasons, "; "); all != "2: the rate is no number from 0 on; 3: the distribution is none of Gamma and Weibull; 4: the window begins within another one" {
		t.Error(all)
	}
	var first []workload.Request
	for range 2 { // the same each time
		var all []workload.Request
		for q, err := range s.All() {
			if err != nil || q.Input != 10 || q.Output != 5 || q.At >= time.Minute && q.At < 3*time.Minute {
				t.Fatal(q, err)
			}
			all = append(all, q)
		}
		if first != nil && !slices.Equal(all, first) {
			t.Error("another reading gives other calls")
		}
		first = all
	}
	opt.Idle = true
	if s, err = trace.Read(dir, opt); err != nil || len(s.Info().Unknown) != 0 {
		t.Error(err, s.Info())
	}
}

// Clients that have a file of sizes draw of it, by the window; others have the size that is given, and the mean is that of all calls.
func TestServeGenSizes(t *testing.T) {
	files := map[string]string{
		"chunk-1-trace.csv": "0,1,0,,0,0\n600,3,0,,0,0\n", "chunk-1-dataset.json": `{"600":{"input_tokens":"{1000: 1.0}","output_tokens":"{7: 1}"},"0":{"input_tokens":"{100: 0.5, 300: 0.5}","output_tokens":"{9: 1}"},"x":{}}`,
		"chunk-2-trace.csv": "0,4,0,,0,0\n600,0,0,,0,0\n",
	}
	s, err := trace.Read(folder(t, files), trace.Options{Input: 50, Output: 5, Seed: 4})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for q, err := range s.All() {
		if err != nil {
			t.Fatal(err)
		}
		got[fmt.Sprintf("client %d, window %d: %d/%d", q.Tenant, q.At/(10*time.Minute), q.Input, q.Output)]++
	}
	for _, want := range []string{"client 0, window 0: 100/9", "client 0, window 0: 300/9", "client 0, window 1: 1000/7", "client 1, window 0: 50/5"} {
		if got[want] < 200 {
			t.Errorf("%q: %d times", want, got[want])
		}
	}
	// (200 + 3 * 1000 + 4 * 50) / 8 tokens in, (9 + 3 * 7 + 4 * 5) / 8 = 6.25 out
	if mean := s.(*servegen.Traffic).Call(); len(got) != 4 || mean.Input != 425 || mean.Output != 6 {
		t.Errorf("%v, a mean of %+v", got, mean)
	}
	if f := s.Faults(); len(f) != 1 || !strings.Contains(f[0].Reason, "no distributions") {
		t.Errorf("%+v", f)
	}
	if notes := strings.Join(s.Info().Notes, "\n"); !strings.Contains(notes, "1 clients have no file of sizes") {
		t.Error(notes)
	}
	if _, err := trace.Read(folder(t, files), trace.Options{}); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "chunk-2 tells how many calls come") {
		t.Error(err)
	}
	files["chunk-1-dataset.json"] = `{"0":`
	if _, err := trace.Read(folder(t, files), mean); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "mend the file") {
		t.Error(err)
	}
}

// Folders that are no traffic are refused, with what to do.
func TestBadFolders(t *testing.T) {
	good := "0,2,1.5,Gamma,0.5,1\n60,1,0,,0,0\n"
	for want, c := range map[string]struct {
		files map[string]string
		opt   trace.Options
	}{
		"files of clients":     {map[string]string{"x.csv": "a"}, mean},
		"--tokens 1000,300":    {map[string]string{"chunk-1-trace.csv": good}, trace.Options{}},
		"no window with calls": {map[string]string{"chunk-1-trace.csv": "0,0,0,,0,0\n60,0,0,,0,0\n"}, mean},
		"no two windows":       {map[string]string{"chunk-1-trace.csv": "0,1,0,,0,0\n"}, mean},
	} {
		if _, err := trace.Read(folder(t, c.files), c.opt); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// FuzzServeGen reads what is no client's file without harm.
func FuzzServeGen(f *testing.F) {
	f.Add("0,2,1.5,Gamma,0.5,1\n60,0,0,,0,0\n180,1,3,Weibull,0.5,0.25\n")
	f.Add("0,1e6,1,Weibull,0.01,1\n600,1,1,Gamma,1e5,1")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := trace.Read(folder(t, map[string]string{"chunk-1-trace.csv": text}), mean)
		if err != nil {
			return
		}
		n, last := 0, time.Duration(0)
		for q, err := range s.All() {
			if err != nil || q.At < last {
				t.Fatalf("%+v after %v: %v", q, last, err)
			}
			last = q.At
			if n++; n > 1000 {
				break
			}
		}
	})
}
