package trace_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forebay/fault"
	"forebay/internal/testenv"
	"forebay/workload/trace"
)

// TestT9MooncakeReuse finds what is known of the trace: 36.6 % of its blocks are in a cache that forgets nothing; and fewer in one of five minutes.
func TestT9MooncakeReuse(t *testing.T) {
	share := func(reuse time.Duration) float64 {
		s := openTrace(t, "traces/mooncake/conversation_trace.jsonl", trace.Options{Reuse: reuse})
		const block = 512
		all, hits := int64(0), int64(0)
		for q, err := range s.All() {
			if err != nil {
				t.Fatal(err)
			}
			all += (q.Input + block - 1) / block
			hits += (q.Cached + block - 1) / block
		}
		if notes := strings.Join(s.Info().Notes, "\n"); !strings.Contains(notes, fmt.Sprintf("%.1f %% of the prompts' blocks", 100*float64(hits)/float64(all))) {
			t.Error(notes)
		}
		return 100 * float64(hits) / float64(all)
	}
	got := fmt.Sprintf("%.1f", share(24*time.Hour))
	if got != "36.6" {
		t.Errorf("%s %% of the blocks, known are 36.6", got)
	}
	testenv.Record(t, "T9", "Mooncake: "+got+" % of the blocks are in a cache that forgets nothing", "36.6 % (Mooncake's conversations, 512 tokens a block, unlimited cache)")
	if short, long := share(time.Minute), share(5*time.Minute); short <= 0 || short >= long || long >= 36.6 {
		t.Errorf("%v %% in a minute, %v %% in five", short, long)
	}
}

// A prompt's tokens are read from a cache as far as its blocks are those of one before, in time.
func TestReuse(t *testing.T) {
	row := func(at int, input int, blocks string) string {
		return fmt.Sprintf(`{"timestamp":%d,"input_length":%d,"output_length":1,"hash_ids":[%s]}`, at*1000, input, blocks) + "\n"
	}
	s := read(t, row(0, 1500, "1,2,3")+row(10, 1500, "1,2,4")+row(20, 1024, "1,2")+row(30, 600, "5,2")+row(400, 1500, "1,2,3"), trace.Options{Reuse: 5 * time.Minute})
	var got []int64
	for q, err := range s.All() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, q.Cached)
	}
	if fmt.Sprint(got) != "[0 1024 1024 0 0]" {
		t.Error(got)
	}
	if _, err := trace.Read(write(t, "f", "time,input\n1,2\n3,4\n"), trace.Options{Reuse: time.Minute}); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "leave --reuse out") {
		t.Error(err)
	}
}

// one session of an agent that calls another, and one that says less.
const (
	agent = `{"id":"a","models":["m"],"block_size":64,"requests":[` +
		`{"t":0.0,"type":"n","in":128,"out":10,"hash_ids":[1,2],"api_time":2.5},` +
		`{"t":10,"type":"s","in":192,"out":20,"hash_ids":[1,2,3],"think_time":7.5},` +
		`{"t":20,"type":"subagent","requests":[{"t":0,"type":"n","in":64,"out":5,"hash_ids":[9]},{"t":2,"type":"n","in":100,"out":5,"hash_ids":[9,10]}]},` +
		`{"t":400,"type":"n","in":256,"out":30,"hash_ids":[1,2,3,4],"think_time":300}]}`
	plainSession = `{"requests":[{"t":3,"in":50,"out":2},{"t":1,"in":40,"out":2}]}`
)

// A session's calls come when they were recorded, from when it begins, with what of their prompts was used before within five minutes.
func TestSessions(t *testing.T) {
	s := read(t, agent+"\n", trace.Options{Sessions: 0.5, Seed: 2})
	var line []string
	start := time.Duration(-1)
	for q, err := range s.All() {
		if err != nil {
			t.Fatal(err)
		}
		if q.Input == 128 { // half a session a day: they do not meet
			start = q.At
		}
		if start >= 0 && len(line) < 5 {
			line = append(line, fmt.Sprintf("%v %d/%d/%d", (q.At-start).Round(time.Millisecond), q.Input, q.Cached, q.Output))
		}
	}
	if all := strings.Join(line, "; "); all != "0s 128/0/10; 10s 192/128/20; 20s 64/0/5; 22s 100/64/5; 6m40s 256/0/30" {
		t.Error(all)
	}
	i := s.Info()
	notes := strings.Join(i.Notes, "\n")
	for _, want := range []string{"1 recorded sessions of 5.0 calls", "26 % of the prompts' tokens", "callers think 7.5 s before a call in the middle"} {
		if !strings.Contains(notes, want) {
			t.Errorf("%q is missing in %s", want, notes)
		}
	}
	if i.Format != "sessions" || i.Length != 7*24*time.Hour {
		t.Errorf("%+v", i)
	}
	long := read(t, agent, trace.Options{Sessions: 0.5, Seed: 2, Reuse: time.Hour})
	if notes := strings.Join(long.Info().Notes, "\n"); !strings.Contains(notes, "52 % of the prompts' tokens") { // (128 + 64 + 192) / 740
		t.Error(notes)
	}
}

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

// What is known of a session of three turns whose prompts grow by a block each: 5 of its 9 blocks are hits (AIPerf's test of what a cache can hold). Calls of
// agents that run beside others count in order of time, wherever they stand.
func TestReuseWithinSessions(t *testing.T) {
	turn := func(at string, blocks string, n int) string {
		return fmt.Sprintf(`{"t":%s,"type":"n","in":%d,"out":1,"hash_ids":[%s]}`, at, 64*n, blocks)
	}
	agent := `{"t":0.5,"type":"subagent","requests":[` + turn("2.5", "1,9", 2) + `]}`
	for text, want := range map[string]string{
		`{"block_size":64,"requests":[` + turn("0", "1,2", 2) + "," + turn("1.5", "1,2,3", 3) + "," + turn("3", "1,2,3,4", 4) + `]}`: "[0 128 192]",
		`{"block_size":64,"requests":[` + agent + "," + turn("1", "1,2", 2) + `]}`:                                                   "[0 64]",
	} {
		s := read(t, text, trace.Options{Sessions: 0.5, Seed: 2})
		var got []int64
		for q, err := range s.All() {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, q.Cached); len(got) == strings.Count(want, " ")+1 {
				break
			}
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
	s := read(t, `{"hash_id_scope":"global","requests":[`+turn("0", "1", 1)+`]}`, trace.Options{Sessions: 1})
	if notes := strings.Join(s.Info().Notes, "\n"); !strings.Contains(notes, "of all sessions together") {
		t.Error(notes)
	}
}

// As many calls come as sessions begin and have on average, from the start on: their number is that of a compound Poisson process, whose
// variance is the rate times the mean square.
func TestSessionsAreSteady(t *testing.T) {
	dir := folder(t, map[string]string{"a.json": agent, "b.jsonl": plainSession + "\n" + plainSession})
	const perDay, days = 3000, 7
	s, err := trace.Read(dir, trace.Options{Sessions: perDay, Seed: 9})
	if err != nil {
		t.Fatal(err)
	}
	n := make([]float64, days)
	for q, err := range s.All() {
		if err != nil {
			t.Fatal(err)
		}
		n[q.At/(24*time.Hour)]++
	}
	for day, v := range n {
		mean, square := (5+2+2)/3.0, (25+4+4)/3.0
		if off := (v - perDay*mean) / math.Sqrt(perDay*square); math.Abs(off) > 6 {
			t.Errorf("day %d: %v calls, want %v: %v deviations", day, v, perDay*mean, off)
		}
	}
}

// What is no session is refused, or left out and named.
func TestBadSessions(t *testing.T) {
	opt := trace.Options{Sessions: 10}
	for text, want := range map[string]string{
		`{"requests":[]}`:                             "has no sessions",
		`{"requests":[{"t":0,"in":-1,"out":1}]}`:      "the tokens of a request are none, negative",
		`{"requests":[{"t":-5,"in":1,"out":1}]}`:      "no number of seconds",
		`{"requests":[{"t":"soon","in":1,"out":1}]}`:  "member of another type",
		`{"requests":[{"t":0,"in":1,"out":1}]` + "\n": "mend the file",
		`{"requests":[{"t":0,"in":1,"out":1}]} 17`:    "mend the file",
		`{"requests":` + strings.Repeat(`[{"t":0,"requests":`, 9) + `[{"t":0,"in":1,"out":1}]` + strings.Repeat(`}]`, 9) + `}`: "more than eight deep",
	} {
		if _, err := trace.Read(write(t, "f", text), opt); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	s := read(t, `{"requests":[{"t":0,"in":1,"out":1},{"t":1,"in":0,"out":1},{"t":2,"in":0,"out":1}]}`, opt)
	if f := s.Faults(); len(f) != 1 || f[0].Count != 2 || f[0].Line != 1 {
		t.Errorf("%+v", f)
	}
	if _, err := trace.Read(folder(t, map[string]string{"a.json": agent}), trace.Options{}); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "--sessions 200") {
		t.Error(err)
	}
}
