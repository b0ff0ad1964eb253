package trace_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"forebay/fault"
	"forebay/internal/testenv"
	"forebay/workload"
	"forebay/workload/trace"
)

// sums are what the facts of a trace are computed from.
type sums struct {
	rows, input, output int64
	first, last         time.Duration
	gaps, squares       float64
	minutes             map[int]int64 // tokens
	calls               map[int]int64
	elapsed             map[int]bool // minutes from the first call on that have one
}

func measure(t *testing.T, s workload.Source) sums {
	t.Helper()
	x := sums{minutes: map[int]int64{}, calls: map[int]int64{}, elapsed: map[int]bool{}}
	for q, err := range s.All() {
		if err != nil {
			t.Fatal(err)
		}
		if x.rows > 0 {
			if q.At < x.last {
				t.Fatalf("call at %v after one at %v", q.At, x.last)
			}
			gap := (q.At - x.last).Seconds()
			x.gaps += gap
			x.squares += gap * gap
		} else {
			x.first = q.At
		}
		x.last = q.At
		x.rows++
		x.input += q.Input
		x.output += q.Output
		x.minutes[int(q.At/time.Minute)] += q.Input + q.Output
		x.calls[int(q.At/time.Minute)]++
		x.elapsed[int((q.At-x.first)/time.Minute)] = true
	}
	return x
}

// cv is the coefficient of variation of the times between arrivals.
func (x *sums) cv() float64 {
	n := float64(x.rows - 1)
	mean := x.gaps / n
	return math.Sqrt(x.squares/n-mean*mean) / mean
}

func openTrace(t *testing.T, name string, opt trace.Options) *trace.Trace {
	t.Helper()
	s, err := trace.Open(testenv.Shared(t, name), opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAzure2023 holds what is read of the two traces of 2023 against their published facts, every digit that is printed.
func TestAzure2023(t *testing.T) {
	for _, w := range []struct {
		name                                     string
		rows                                     int64
		length, rate, cv                         string
		input, output, peak, mean, minutes, idle int64
		peakAt                                   string
	}{
		{"code", 8819, "57.3", "2.57", "13.2", 2048, 28, 1257868, 319665, 58, 12, ""},
		{"conv", 19366, "58.4", "5.53", "1.09", 1155, 211, 780667, 453215, 59, 0, "18:43"},
	} {
		t.Run(w.name, func(t *testing.T) {
			s := openTrace(t, "traces/azure-llm-2023/AzureLLMInferenceTrace_"+w.name+".csv", trace.Options{})
			x := measure(t, s)
			info := s.Info()
			length := (x.last - x.first).Minutes()
			cv := "%.1f"
			if w.name == "conv" {
				cv = "%.2f"
			}
			peak, at := int64(0), 0
			for m, tokens := range x.minutes {
				if tokens > peak {
					peak, at = tokens, m
				}
			}
			empty := x.elapsed // minutes from the first call on, as the facts count them
			span := int64((x.last-x.first)/time.Minute) + 1
			got := []any{
				x.rows, fmt.Sprintf("%.1f", length), fmt.Sprintf("%.2f", float64(x.rows)/length/60), fmt.Sprintf(cv, x.cv()),
				int64(math.Round(float64(x.input) / float64(x.rows))), int64(math.Round(float64(x.output) / float64(x.rows))), peak,
				int64(math.Round(float64(x.input+x.output) / length)), span, span - int64(len(empty)),
			}
			want := []any{w.rows, w.length, w.rate, w.cv, w.input, w.output, w.peak, w.mean, w.minutes, w.idle}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("fact %d: %v, published is %v", i, got[i], want[i])
				}
			}
			if clock := info.Start.Add(time.Duration(at) * time.Minute).Format("15:04"); w.peakAt != "" && clock != w.peakAt {
				t.Errorf("the busiest minute is %s, published is %s", clock, w.peakAt)
			}
			if len(s.Faults()) != 0 || info.Format != "azure" {
				t.Errorf("%q, faults %+v", info.Format, s.Faults())
			}
		})
	}
}

// TestT9 finds the known peaks: of the digitised week of 2024, and the means of Mooncake.
func TestT9(t *testing.T) {
	for _, w := range []struct {
		name     string
		total    int64
		from, to time.Duration // of the day, UTC, in which every working day's peak lies
	}{
		{"code", 16803695, 19 * time.Hour, 20 * time.Hour},
		{"conv", 27303999, 13*time.Hour + 40*time.Minute, 15 * time.Hour},
	} {
		t.Run(w.name, func(t *testing.T) {
			// The rates by the minute are read as counts: a seventh of the calls, in the same proportions.
			const window = 7 * 24 * time.Hour / 1396 // rows; their times, in whole seconds, are the middles
			s := openTrace(t, "traces/azure-llm-2024-digitised/azure2024_"+w.name+"_rpm_digitised.csv", trace.Options{
				Input: 1, Output: 1, Seed: 1, Columns: map[string]string{"count": "requests_per_min_mid_scaled"},
			})
			counts := make([]int64, 1396+1)
			n := int64(0)
			const first = 36 * time.Second // of the first window, in its minute
			for q, err := range s.All() {
				if err != nil {
					t.Fatal(err)
				}
				counts[(q.At-first)/window]++
				n++
			}
			total := int64(math.Round(float64(n) * window.Minutes()))
			info := s.Info()
			if off := float64(total-w.total) / float64(w.total); math.Abs(off) > 1e-4 { // calls are whole, windows 433 or 434 s
				t.Errorf("%d calls in the week, published are %d", total, w.total)
			}
			peaks := map[string]struct {
				calls int64
				at    time.Time
			}{}
			for k, n := range counts {
				at := info.Start.Add(first + time.Duration(k)*window)
				if p := peaks[at.Format("Mon")]; n > p.calls {
					p.calls, p.at = n, at
					peaks[at.Format("Mon")] = p
				}
			}
			highest := ""
			for day, p := range peaks {
				if day == "Sat" || day == "Sun" {
					continue
				}
				if of := p.at.Sub(p.at.Truncate(24 * time.Hour)); of < w.from-window || of > w.to+3*window/2 {
					t.Errorf("%s: the peak is at %s, published are %v to %v", day, p.at.Format("15:04"), w.from, w.to)
				}
				if highest == "" || p.calls > peaks[highest].calls {
					highest = day
				}
			}
			if w.name == "code" && highest != "Tue" {
				t.Errorf("the highest peak is on %s, published is Tue", highest)
			}
			testenv.Record(t, "T9", fmt.Sprintf("Azure 2024 %s: %d calls, the highest peak on %s", w.name, total, highest), fmt.Sprintf("%d; peaks of working days from %v to %v UTC (the dataset's figures)", w.total, w.from, w.to))
		})
	}
	t.Run("mooncake", func(t *testing.T) {
		s := openTrace(t, "traces/mooncake/conversation_trace.jsonl", trace.Options{})
		x := measure(t, s)
		in, out := math.Round(float64(x.input)/float64(x.rows)), math.Round(float64(x.output)/float64(x.rows))
		if x.rows != 12031 || in != 12035 || out != 343 || math.Round((x.last-x.first).Minutes()) != 59 || s.Info().Format != "mooncake" {
			t.Errorf("%d rows, %v in, %v out, %v; published are 12,031 rows, 12,035 in, 343 out, 59 minutes", x.rows, in, out, x.last)
		}
		testenv.Record(t, "T9", fmt.Sprintf("Mooncake: %d rows, mean %.0f in, %.0f out", x.rows, in, out), "12,031 rows, 12,035 / 343 (its README)")
	})
}

func TestVLLMRuns(t *testing.T) {
	for _, name := range []string{"RTX4090_Llama-3.1-8B", "RTXPRO6000_Llama-3.1-8B"} {
		s := openTrace(t, "traces/vllm-runs/"+name+"/requests.jsonl", trace.Options{})
		if x := measure(t, s); x.rows != 300 || s.Info().Format != "vllm-run" || s.Info().Start.Year() != 2026 {
			t.Errorf("%s: %d rows, %q, %v", name, x.rows, s.Info().Format, s.Info().Start)
		}
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestForms reads a few rows of each form, as its source documents it.
func TestForms(t *testing.T) {
	for _, w := range []struct{ name, text, format, want string }{
		{
			"azure 2024", "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 00:00:00.017335+00:00,2399,6\n", "azure",
			"9.93ms 2162/0/5 t0; 17.335ms 2399/0/6 t0",
		},
		{
			"burstgpt, eight columns", "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,1,2,ChatGPT,472,18,490,Conversation log\n45.5,1,2,GPT-4,1087,230,1317,API log\n", "burstgpt",
			"5s 472/0/18 t0; 45.5s 1087/0/230 t0",
		},
		{
			"bedrock", `{"schemaType":"ModelInvocationLog","timestamp":"2026-01-05T10:00:01Z","identity":{"arn":"a"},"input":{"inputTokenCount":7,"cacheReadInputTokenCount":3},"output":{"outputTokenCount":2}}` + "\n" +
				`{"schemaType":"ModelInvocationLog","timestamp":"2026-01-05T10:00:02Z","identity":{"arn":"b"},"errorCode":"ThrottlingException","input":{"inputTokenCount":7}}` + "\n", "bedrock-invocation-log",
			"1s 10/3/2 t0; 2s 7/0/0 t1 refused",
		},
		{
			"litellm", `[{"request_id":"1","startTime":"2026-01-05T10:00:01.5Z","endTime":"2026-01-05T10:00:03Z","prompt_tokens":10,"completion_tokens":4,"api_key":"k"},` +
				`{"request_id":"2","startTime":"2026-01-05T10:00:01.25Z","endTime":"2026-01-05T10:00:04Z","prompt_tokens":11,"completion_tokens":5,"api_key":"l"}]`, "litellm",
			"1.25s 11/0/5 t1; 1.5s 10/0/4 t0",
		},
		{"qwen", `{"chat_id":1,"parent_chat_id":-1,"timestamp":0.25,"input_length":20,"output_length":3,"type":"text","turn":1,"hash_ids":[1,2]}` + "\n" +
			`{"chat_id":2,"parent_chat_id":-1,"timestamp":61.5,"input_length":21,"output_length":4,"type":"text","turn":1,"hash_ids":[3,4]}`, "qwen", "250ms 20/0/3 t0; 1m1.5s 21/0/4 t0"},
		{"a day and more in milliseconds", `{"timestamp":0,"input_length":20,"output_length":3,"hash_ids":[1]}` + "\n" + `{"timestamp":172800000,"input_length":21,"output_length":4,"hash_ids":[1]}`, "mooncake", "0s 20/0/3 t0; 48h0m0s 21/0/4 t0"},
		{"before the origin", "time,input,output\n-0.5,10,4\n1,11,5\n", "csv", "0s 10/0/4 t0; 1.5s 11/0/5 t0"},
		{"no header", "1767607200,10,4\n1767607201,11,5\n", "csv", "0s 10/0/4 t0; 1s 11/0/5 t0"},
		{"semicolons", "time;input;output\n2026-01-05 10:00;10;4\n2026-01-05 10:01;11;5\n", "csv", "0s 10/0/4 t0; 1m0s 11/0/5 t0"},
	} {
		t.Run(w.name, func(t *testing.T) {
			opt := trace.Options{}
			if w.name == "no header" {
				opt.Columns = map[string]string{"time": "1", "input": "2", "output": "3"}
			}
			s, err := trace.Open(write(t, "f", w.text), opt)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the same each time
				var got []string
				for q, err := range s.All() {
					if err != nil {
						t.Fatal(err)
					}
					text := fmt.Sprintf("%v %d/%d/%d t%d", q.At, q.Input, q.Cached, q.Output, q.Tenant)
					if q.Refused {
						text += " refused"
					}
					got = append(got, text)
				}
				if all := strings.Join(got, "; "); all != w.want || s.Info().Format != w.format {
					t.Errorf("%q: %s\nwant %q: %s", s.Info().Format, all, w.format, w.want)
				}
			}
		})
	}
}

// TestReadersDoNotMeet reads a file from several goroutines at once, as replays do.
func TestReadersDoNotMeet(t *testing.T) {
	s, err := trace.Open(write(t, "f.csv", "time,input,output\n1,1,1\n2,2,2\n3,3,3\n"), trace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			n := 0
			for _, err := range s.All() {
				if err != nil {
					t.Error(err)
				}
				n++
			}
			if n != 3 || s.Info().Length != 3*time.Second {
				t.Errorf("%d rows, %v", n, s.Info().Length)
			}
		})
	}
	readers.Wait()
}

// A file that was cut off while it was packed ends with an error, and not never.
func TestCutOff(t *testing.T) {
	var text, packed bytes.Buffer
	text.WriteString("time,input,output\n")
	for i := range 50_000 {
		fmt.Fprintf(&text, "%d,%d,%d\n", 1_700_000_000+i, i%977, i%613)
	}
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(text.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, whole := range []bool{true, false} {
		b := packed.String()
		if !whole {
			b = b[:len(b)/2]
		}
		s, err := trace.Open(write(t, "f.csv.gz", b), trace.Options{})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, e := range s.All() {
			if err = e; e == nil {
				n++
			}
		}
		if whole && (err != nil || n < 49_900) || !whole && (err == nil || !strings.Contains(err.Error(), "mend the file")) {
			t.Errorf("whole %v: %d rows, %v", whole, n, err)
		}
	}
}

// What can be read only once, or never ends, is refused before it is opened.
func TestNoFile(t *testing.T) {
	for path, want := range map[string]string{os.DevNull: "pipe or a device", t.TempDir(): "folder"} {
		if _, err := trace.Open(path, trace.Options{}); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// A log's records hold whole prompts; a row that never ends ends before it fills the memory.
func TestLongRows(t *testing.T) {
	body := strings.Repeat("x", 100<<10)
	record := `{"timestamp":%d,"body":"` + body + `","input":2,"output":1}` + "\n"
	s, err := trace.Open(write(t, "large", fmt.Sprintf(record, 1)+fmt.Sprintf(record, 2)), trace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if x := measure(t, s); x.rows != 2 {
		t.Error(x.rows)
	}
	endless := strings.Repeat("x", 20<<20)
	for name, text := range map[string]string{"csv": "time,input\n1,2\n2,2\n\"" + endless, "json": `{"time":1,"input":2}` + "\n" + `{"time":"` + endless + `"}`} {
		s, err := trace.Open(write(t, name, text), trace.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range s.All() {
			err = e
		}
		if err == nil || !strings.Contains(err.Error(), "longer than 16 MiB") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCounts spreads the calls of windows over them, and keeps the totals of tokens.
func TestCounts(t *testing.T) {
	s, err := trace.Open(write(t, "f.csv", "Timestamp,Invocations,InputTokenCount,OutputTokenCount\n2026-01-05T10:00:00Z,3,100,10\n2026-01-05T10:01:00Z,0,0,0\n2026-01-05T10:02:00Z,2,51,7\n2026-01-05T11:00:00Z,1,9,1\n"), trace.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	x := measure(t, s)
	if x.rows != 6 || x.input != 160 || x.output != 18 || x.calls[0] != 3 || x.calls[2] != 2 || x.calls[60] != 1 || s.Info().Grain != time.Minute || s.Info().Length != 61*time.Minute ||
		!slices.Equal(s.Info().Unknown, []workload.Span{{From: 3 * time.Minute, To: time.Hour}}) {
		t.Errorf("%+v, %+v", x, s.Info())
	}
}

// Rows of one window are added up, of counts and of rates.
func TestRowsOfOneWindow(t *testing.T) {
	for _, column := range []string{"requests", "rpm"} {
		s, err := trace.Open(write(t, "f", "time,"+column+",input,output\n2026-01-05T10:00:00Z,3,30,3\n2026-01-05T10:00:00Z,5,70,7\n2026-01-05T10:01:00Z,2,20,2\n"), trace.Options{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		if x := measure(t, s); x.rows != 10 || x.calls[0] != 8 || x.input != 120 || x.output != 12 || !strings.Contains(strings.Join(s.Info().Notes, "\n"), "1 rows are of a window") {
			t.Errorf("%s: %+v", column, x)
		}
	}
}

// Where rows like the one before are said to be calls of their own, they are.
func TestCopies(t *testing.T) {
	text := "time,input,output\n" + strings.Repeat("2026-01-05T10:00:00Z,1,1\n", 12) + "2026-01-05T10:00:01Z,1,1\n"
	s, err := trace.Open(write(t, "f", text), trace.Options{Copies: true})
	if err != nil {
		t.Fatal(err)
	}
	if x := measure(t, s); x.rows != 13 {
		t.Error(x.rows)
	}
}

// The longest silence of a file of calls is pointed out, and a window before a gap is as long as others.
func TestSilence(t *testing.T) {
	s, err := trace.Open(write(t, "f", "time,input\n2026-01-05T10:00:00Z,1\n2026-01-05T10:00:05Z,1\n2026-01-06T09:00:00Z,1\n2026-01-06T10:00:00Z,1\n"), trace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if x := measure(t, s); x.rows != 4 || !strings.Contains(strings.Join(s.Info().Notes, "\n"), "23h0m0s, from 2026-01-05 10:00 on") {
		t.Errorf("%d, %+v", x.rows, s.Info().Notes)
	}
	s, err = trace.Open(write(t, "f", "time,requests,input\n2026-01-05T10:00:00Z,4,4\n2026-01-05T11:00:00Z,4,4\n2026-01-05T11:01:00Z,4,4\n"), trace.Options{Idle: true})
	if err != nil {
		t.Fatal(err)
	}
	if x := measure(t, s); x.calls[0] != 4 || len(s.Info().Unknown) != 0 {
		t.Errorf("%+v", x.calls)
	}
}

// The memory that a reading takes does not grow with the file: it is the same after a tenth of it and at its end.
func TestMemoryDoesNotGrow(t *testing.T) {
	const rows = 200_000
	path := filepath.Join(t.TempDir(), "f.csv")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "time,input,output,user")
	for i := range rows {
		fmt.Fprintf(w, "%d,%d,%d,u%d\n", 1_700_000_000+i/5, 100+i%977, 10+i%613, i%50)
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := trace.Open(path, trace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var at [2]uint64
	n := 0
	for _, err := range s.All() {
		if err != nil {
			t.Fatal(err)
		}
		n++
		for i, when := range []int{rows / 10, rows - 1} {
			if n == when {
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				at[i] = m.HeapAlloc
			}
		}
	}
	if n != rows || at[1] > at[0]+1<<20 {
		t.Errorf("%d rows; %d bytes after a tenth, %d at the end", n, at[0], at[1])
	}
}

// TestBadInput says what is wrong, and what to do.
func TestBadInput(t *testing.T) {
	head := "time,input,output\n"
	for _, w := range []struct{ name, text, want string }{
		{"empty", "", "has no rows"},
		{"header alone", head, "has no rows"},
		{"one row", head + "2026-01-05T10:00:00Z,1,1\n", "one instant, which tells no rate"},
		{"one instant", head + "2026-01-05T10:00:00Z,1,1\n2026-01-05T10:00:00Z,1,2\n", "one instant"},
		{"no time", "when,input\nx,1\n", "no column tells when"},
		{"no tokens", "time,colour\n1,2\n", "how many tokens"},
		{"counts alone", "time,requests\n2026-01-05T10:00:00Z,5\n", "--tokens 1000,300"},
		{"words for times", head + "soon,1,1\nlater,1,1\n", "no time can be read in column \"time\""},
		{"all rows bad", head + "2026-01-05T10:00:00Z,-1,1\n2026-01-05T10:00:01Z,-1,1\n", "negative"},
		{"most rows bad", head + "2026-01-05T10:00:00Z,1,1\n2026-01-05T10:00:01Z,-1,1\n2026-01-05T10:00:02Z,1,x\n2026-01-05T10:00:03Z,1,1\n2026-01-05T10:00:04Z,1,x\n", "3 of its 5 rows cannot be read, which leaves too little; the first is row 3"},
		{"mixed units", head + "1767607200,1,1\n1767607201,1,1\n1767607202000,1,1\n1767607203000,1,1\n1767607204000,1,1\n", "another unit than the first row's"},
		{"absurd sizes", head + "2026-01-05T10:00:00Z,1e12,1\n2026-01-05T10:00:01Z,1e12,1\n", "more than any call has"},
		{"copies", head + strings.Repeat("2026-01-05T10:00:00Z,1,1\n", 12) + "2026-01-05T10:00:01Z,1,1\n", "11 of its 13 rows are the same as the row before them: leave the copies out, or say with --copies"},
		{"broken JSON", "{\"timestamp\":1,\"input\":2}\n{\"timestamp\":", "mend the file"},
	} {
		t.Run(w.name, func(t *testing.T) {
			s, err := trace.Open(write(t, "f", w.text), trace.Options{})
			if err == nil {
				for _, e := range s.All() {
					if e != nil {
						err = e
					}
				}
			}
			if err == nil || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), w.want) {
				t.Errorf("%v, want %q", err, w.want)
			}
		})
	}
}

// TestFaults leaves out rows that cannot be read, counts them, and names the first.
func TestFaults(t *testing.T) {
	s, err := trace.Open(write(t, "f.csv", "time,input,output\n2026-01-05T10:00:00Z,1,1\n2026-01-05T10:00:01Z,-5,1\n2026-01-05T10:00:02Z,1,x\n2026-01-05T10:00:03Z,1e12,1\n1767607200,1,1\n2026-01-05T10:00:04Z,0,0\n"+
		"2026-01-05T10:00:05Z,2,2\n2026-01-05T10:00:05Z,2,2\n2026-01-05T10:00:06Z,-1,1\n2026-01-05T10:00:07Z,3,3\n2026-01-05T10:00:08Z,3,3\n2026-01-05T10:00:09Z,3,3\n"), trace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if x := measure(t, s); x.rows != 6 {
		t.Errorf("%d rows", x.rows)
	}
	var got []string
	for _, f := range s.Faults() {
		got = append(got, fmt.Sprintf("%d at %d: %s", f.Count, f.Line, f.Reason))
	}
	want := "2 at 3: the input tokens are negative; 1 at 4: the output tokens are no number; 1 at 5: the input tokens are more than any call has; " +
		"1 at 6: the time is of another form than the first row's; 1 at 7: it has no tokens"
	if all := strings.Join(got, "; "); all != want {
		t.Errorf("%s\nwant %s", all, want)
	}
	if notes := strings.Join(s.Info().Notes, "\n"); !strings.Contains(notes, "1 rows are the same") {
		t.Error(notes)
	}
}

// TestOrder puts rows in order that are a little out of it, and refuses a file that is far out of it.
func TestOrder(t *testing.T) {
	var near, far strings.Builder
	near.WriteString("time,input,output\n")
	far.WriteString("time,input,output\n")
	for i := range 200_000 {
		fmt.Fprintf(&near, "%d,1,1\n", 1_700_000_000+i^7)
		fmt.Fprintf(&far, "%d,1,1\n", 1_700_000_000+(i+100_000)%200_000)
	}
	s, err := trace.Open(write(t, "near", near.String()), trace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if x := measure(t, s); x.rows != 200_000 {
		t.Error(x.rows)
	}
	if s, err = trace.Open(write(t, "far", far.String()), trace.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, err := range s.All() {
		if err != nil {
			if !strings.Contains(err.Error(), "sort the file") {
				t.Error(err)
			}
			return
		}
	}
	t.Error("a file out of order was read")
}

// FuzzOpen reads what is no trace without harm.
func FuzzOpen(f *testing.F) {
	for _, s := range []string{"time,input\n1,2\n3,4\n", `{"timestamp":1,"input":2}`, `[{"time":"2026-01-05","in":1}]`, "\x1f\x8b", "a;b\n1;2", "\xef\xbb\xbftime,calls,in\n1,1e9,1\n2,3,1\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := trace.Open(write(t, "f", text), trace.Options{Input: 1})
		if err != nil {
			return
		}
		n, last := 0, time.Duration(math.MinInt64)
		for q, err := range s.All() {
			if err != nil {
				break
			}
			if q.At < last || q.Input < 0 || q.Output < 0 || q.Cached > q.Input {
				t.Fatalf("%+v after %v", q, last)
			}
			last = q.At
			if n++; n > 1000 {
				break
			}
		}
	})
}
