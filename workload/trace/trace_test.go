package trace

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
	"forebay/workload"
)

func all(t *testing.T, s workload.Source) []workload.Request {
	t.Helper()
	var out []workload.Request
	for q, err := range s.All() {
		if err != nil {
			t.Fatal(err)
		}
		if n := len(out); n > 0 && q.At < out[n-1].At {
			t.Fatalf("call %d comes at %v, after one at %v", n, q.At, out[n-1].At)
		}
		out = append(out, q)
	}
	return out
}

// The figures that are published of the traces, by calendar minute where minutes matter.
func TestPublishedFigures(t *testing.T) {
	for _, c := range []struct {
		file             string
		rows             int
		in, out          float64
		peak, atMinute   int64 // tokens
		minutes, without int
	}{
		{"azure-llm-2023/AzureLLMInferenceTrace_conv.csv", 19_366, 1155, 211, 780_667, 28, 0, -1},
		{"azure-llm-2023/AzureLLMInferenceTrace_code.csv", 8_819, 2048, 28, 1_257_868, -1, 58, 12},
		{"mooncake/conversation_trace.jsonl", 12_031, 12_035, 343, -1, -1, 59, -1},
	} {
		s, err := Open(testenv.Shared(t, "traces/"+c.file), Options{})
		if err != nil {
			t.Fatal(err)
		}
		var in, out float64
		minutes, elapsed := map[int64]int64{}, map[int64]bool{} // of the clock, and from the first call on
		last := int64(0)
		list := all(t, s)
		for _, q := range list {
			in, out = in+float64(q.Input), out+float64(q.Output)
			last = int64(q.At / time.Minute)
			minutes[last] += q.Input + q.Output
			elapsed[int64((q.At-list[0].At)/time.Minute)] = true
		}
		n := float64(len(list))
		peak, at := int64(0), int64(0)
		for m := range last + 1 {
			if minutes[m] > peak {
				peak, at = minutes[m], m
			}
		}
		figure := fmt.Sprintf("%s: %d rows, %.0f tokens in and %.0f out, peak minute %d at minute %d, %d of %d minutes empty", filepath.Base(c.file), len(list), in/n, out/n, peak, at, int(last)+1-len(elapsed), last+1)
		if len(list) != c.rows || math.Round(in/n) != c.in || math.Round(out/n) != c.out || c.peak >= 0 && peak != c.peak || c.atMinute >= 0 && at != c.atMinute ||
			c.minutes > 0 && int(last)+1 != c.minutes || c.without >= 0 && int(last)+1-len(elapsed) != c.without {
			t.Error(figure)
		}
		if len(s.Faults()) != 0 {
			t.Errorf("%+v", s.Faults())
		}
		testenv.Record(t, "T9", figure, "the README of each dataset, and a count by hand")
	}
}

func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trace")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Each kind of file that cannot be planned for is refused, with what to do.
func TestRefused(t *testing.T) {
	for want, text := range map[string]string{
		"is empty":                            " \n\n",
		"has no rows":                         "time,input,output\n",
		"at one instant":                      "time,input,output\n1,2,3\n",
		"one instant":                         "time,input,output\n1,2,3\n1,2,3\n",
		"no column is known to be the time":   "a,input,output\n1,2,3\n",
		"no column is known to be the output": "time,input,b\n1,2,3\n",
		"no row is a call: the input tokens are negative (line 2: 1,-2,3)": "time,input,output\n1,-2,3\n",
		"no call has any tokens": "time,input,output\n1,0,0\n2,0,0\n",
		"no such file":           "",
	} {
		path := write(t, text)
		if text == "" {
			path += "-not"
		}
		_, err := Open(path, Options{})
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for want, columns := range map[string]map[string]string{`no column "x"`: {"time": "x"}, "cannot be": {"size": "time"}} {
		if _, err := Open(write(t, "time,input,output\n1,2,3\n2,2,3\n"), Options{Columns: columns}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Rows that are no calls are left out, counted and named; the others stay.
func TestRowsLeftOut(t *testing.T) {
	s, err := Open(write(t, "\ufeffTimestamp;Request tokens;Response tokens\r\n2024-01-01 00:00:10;10;5\r\n2024-01-01 00:00:05;20;x\n\n2024-01-01 00:00:04;30;5\n"+
		"3.5;1;1\n2024-01-01 00:00:20;1e12;5\n2024-01-01 00:00:20;-1;5\n2024-01-01 00:00:21;-2;5\n2024-01-01 00:01:20;7\n2024-01-01 00:01:20;7;7\n2024-01-01 00:01:20;7;7\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	list := all(t, s)
	if len(list) != 4 || list[0].Input != 30 || list[0].At != 4*time.Second || list[3].At != 80*time.Second || list[3].Output != 7 {
		t.Errorf("%+v", list)
	}
	var got []string
	for _, f := range s.Faults() {
		got = append(got, fmt.Sprintf("%d from %d: %s", f.Count, f.Line, f.Reason))
	}
	want := "2 from 3: the output tokens are no number|1 from 6: the time is not of the form that the first one has|1 from 7: the input tokens are more than 100000000, which no call has|2 from 8: the input tokens are negative"
	if strings.Join(got, "|") != want {
		t.Errorf("%s", strings.Join(got, "|"))
	}
	if notes := strings.Join(s.Info().Notes, "|"); !strings.Contains(notes, "UTC") || !strings.Contains(notes, "sorted") || !strings.Contains(notes, "1 rows are equal") {
		t.Errorf("%s", notes)
	}
}

// Forms of times and logs.
func TestForms(t *testing.T) {
	for _, c := range []struct{ text, start string }{
		{`{"timestamp":"2024-05-01T10:00:30Z","modelId":"m","input":{"inputTokenCount":10},"output":{"outputTokenCount":5}}` + "\n" + `{"timestamp":"2024-05-01T10:01:00Z","input":{"inputTokenCount":10},"output":{"outputTokenCount":5}}`, "2024-05-01T10:00:00Z"},
		{"startTime,prompt_tokens,completion_tokens,user\n2024-05-01T10:00:30+02:00,10,5,a\n\"2024-05-01T10:01:00+02:00\",10,5,b\n", "2024-05-01T08:00:00Z"},
		{"ts,input_tokens,output_tokens\n1714557630000,10,5\n1714557660000,10,5\n", "2024-05-01T10:00:00Z"},
		{"ts,input_tokens,output_tokens\n1714557630.0,10,5\n1714557660.0,10,5\n", "2024-05-01T10:00:00Z"},
	} {
		s, err := Open(write(t, c.text), Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		list := all(t, s)
		if got := s.Info().Start.UTC().Format(time.RFC3339); got != c.start || len(list) != 2 || list[0].At != 30*time.Second || list[1].At != time.Minute || list[0].Input != 10 || list[0].Output != 5 {
			t.Errorf("%q: %s %+v", c.text, got, list)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add("time,input,output\n1,2,3\n2,2,3\n")
	f.Add(`{"timestamp":1,"input_length":2,"output_length":3}` + "\n" + `{"timestamp":0,"input_length":2,"output_length":3}`)
	f.Add("time;input;output\n2024-01-01 00:00:00;\"2\";3\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, "trace")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, Options{})
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Error(err)
			}
			return
		}
		for _, q := range all(t, s) {
			if q.At < 0 || q.At > s.Info().Length || q.Input < 0 || q.Output < 0 || q.Cached > q.Input {
				t.Errorf("%+v of %v", q, s.Info().Length)
			}
		}
	})
}
