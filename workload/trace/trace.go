package trace

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"iter"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"forebay/fault"
	"forebay/internal/minheap"
	"forebay/workload"
)

// Options say what a file does not.
type Options struct {
	// Columns are names of columns, or their numbers from 1 on, by what they say: time, input, cached, output, max-output, tenant, prefix, status, count, rate.
	Columns map[string]string
	// Input and Output are the tokens of a call where no column tells them.
	Input, Output int64
	// Location is where wall clocks without a zone are read, and in which days are counted; nil is UTC.
	Location *time.Location
	// Seed is that of where calls of a window fall in it.
	Seed uint64
}

// Trace is recorded traffic in a file. It implements workload.Source.
type Trace struct {
	path    string
	opt     Options
	json    bool
	columns *columns
	clock   *clock
	format  string
	notes   []string
	last    atomic.Pointer[outcome] // of the last complete reading
}

// outcome is what a reading found besides requests.
type outcome struct {
	start   time.Time
	length  time.Duration
	grain   time.Duration
	tenants []string
	faults  []workload.Fault
	notes   []string
}

const (
	// window is how many rows may stand in another order than that of their times.
	window = 1 << 16
	// maxTokens is more than any model takes or makes in a call.
	maxTokens = 100_000_000
	// maxTenants bounds the names that are kept; those after them are one more.
	maxTenants = 1 << 16
)

// Open finds the form of a file and what its columns mean. It reads the beginning only.
func Open(path string, opt Options) (*Trace, error) {
	if opt.Location == nil {
		opt.Location = time.UTC
	}
	t := &Trace{path: path, opt: opt}
	r, closer, names, isJSON, err := t.open()
	if err != nil {
		return nil, err
	}
	t.json = isJSON
	defer func() { _ = closer.Close() }()
	if t.columns, err = guess(path, names, opt.Columns); err != nil {
		return nil, err
	}
	if t.columns.at[meansInput] < 0 && opt.Input == 0 {
		return nil, fault.Newf(fault.Invalid, "%s says how many calls come, and not how large they are: give their mean tokens, such as --tokens 1000,300", path)
	}
	t.format = t.form()
	found := false
	for range probed {
		row, _, err := r.next()
		if err != nil {
			if !found && errors.Is(err, io.EOF) {
				return nil, fault.Newf(fault.Invalid, "%s has no rows: nothing can be planned for it", path)
			}
			break
		}
		found = true
		var ok bool
		if t.clock, ok = newClock(t.columns.value(row, meansTime), t.relative(), opt.Location); ok {
			t.remark()
			return t, nil
		}
	}
	return nil, fault.Newf(fault.Invalid, "%s: no time can be read in column %q of its first rows: name another with --columns time=NAME, or write times as 2006-01-02T15:04:05Z or as seconds",
		path, names[t.columns.at[meansTime]])
}

// open opens the file once more. It changes nothing, so that several can read at once.
func (t *Trace) open() (r rows, closer io.Closer, names []string, isJSON bool, err error) {
	in, closer, err := open(t.path)
	if err != nil {
		return nil, nil, nil, false, err
	}
	if isJSON, err = begin(t.path, in); err == nil {
		if isJSON {
			r, names, err = newJSON(t.path, in)
		} else {
			r, names, err = newCSV(t.path, in)
		}
	}
	if err != nil {
		_ = closer.Close()
		return nil, nil, nil, false, err
	}
	return r, closer, names, isJSON, nil
}

const bedrockLog = "bedrock-invocation-log"

// forms are the files that are known, by columns that they have, and the unit of their numbers.
var forms = []struct {
	name    string
	columns []string
	unit    time.Duration
}{
	{"qwen", []string{"chat_id", "turn", "timestamp", "input_length", "output_length", "hash_ids"}, time.Second},
	{"mooncake", []string{"timestamp", "input_length", "output_length", "hash_ids"}, time.Millisecond},
	{"azure", []string{"TIMESTAMP", "ContextTokens", "GeneratedTokens"}, 0},
	{"burstgpt", []string{"Timestamp", "Request tokens", "Response tokens"}, time.Second},
	{"vllm-run", []string{"arrival_time", "input_toks", "output_toks"}, time.Second},
	{bedrockLog, []string{"schemaType", "input.inputTokenCount"}, 0},
	{"litellm", []string{"startTime", "prompt_tokens", "completion_tokens"}, 0},
	{"azure-2024-digitised", []string{"time_utc", "requests_per_min_mid_scaled"}, 0},
}

func (t *Trace) form() string {
	for _, f := range forms {
		if !slices.ContainsFunc(f.columns, func(c string) bool { return !slices.Contains(t.columns.names, c) }) {
			return f.name
		}
	}
	kind := "csv"
	if t.json {
		kind = "json"
	}
	if t.columns.counts() {
		kind += " of counts"
	}
	return kind
}

// relative is the unit of times that are numbers from any origin.
func (t *Trace) relative() time.Duration {
	for _, f := range forms {
		if f.name == t.format && f.unit > 0 {
			return f.unit
		}
	}
	return time.Second
}

// remark notes what was assumed.
func (t *Trace) remark() {
	note := func(format string, args ...any) { t.notes = append(t.notes, fmt.Sprintf(format, args...)) }
	if t.clock.layout != "" && !strings.Contains(t.clock.layout, "Z07:00") {
		note("times have no zone: they are taken for %s", t.opt.Location)
	}
	if !t.clock.absolute() {
		note("times are %s from any origin: the hours of the day and the days of the week are not known", map[time.Duration]string{time.Millisecond: "milliseconds", time.Second: "seconds"}[t.clock.unit])
	}
	if t.columns.at[meansInput] < 0 {
		note("the file tells no tokens: every call is taken as %d in and %d out, so that nothing is known of how much they vary", t.opt.Input, t.opt.Output)
	} else if t.columns.at[meansOutput] < 0 {
		note("the file tells no output tokens: every answer is taken as %d", t.opt.Output)
	}
	if t.columns.counts() {
		note("arrivals are known by the window alone: calls are spread evenly at random over each, so that bursts within one are not seen, and limits per second are judged too kindly")
		if t.columns.at[meansInput] >= 0 {
			note("tokens are those of a whole window, given to its calls in equal parts: how much calls vary is not known")
		}
	}
	if t.format == bedrockLog || t.format == "litellm" {
		note("the log has calls that were refused only where it says so: a service that throttles without a record hides demand")
	}
	note("windows without a row count as idle: where data is missing, the demand was higher")
}

// Info implements workload.Source. Start, Length, Grain and Tenants are known after a complete reading.
func (t *Trace) Info() workload.Info {
	i := workload.Info{Name: filepath.Base(t.path), Format: t.format, Columns: t.columns.told(), Notes: slices.Clone(t.notes)}
	if o := t.last.Load(); o != nil {
		i.Start, i.Length, i.Grain, i.Tenants = o.start, o.length, o.grain, o.tenants
		i.Notes = append(i.Notes, o.notes...)
	}
	return i
}

// Faults implements workload.Source.
func (t *Trace) Faults() []workload.Fault {
	if o := t.last.Load(); o != nil {
		return slices.Clone(o.faults)
	}
	return nil
}

// All implements workload.Source.
func (t *Trace) All() iter.Seq2[workload.Request, error] {
	return func(yield func(workload.Request, error) bool) {
		r, closer, _, _, err := t.open()
		if err != nil {
			yield(workload.Request{}, err)
			return
		}
		defer func() { _ = closer.Close() }()
		x := newReading(t)
		if x.read(r, yield) {
			t.last.Store(x.outcome())
		}
	}
}

// stamped is a row in order of its time.
type stamped struct {
	at     int64 // as the clock reads it
	order  int64 // among rows of one time, that of the file
	calls  float64
	totals workload.Request // of a call, or of all calls of a window
	shared bool             // the calls of the window share the totals
}

// Before orders rows by time, and those of one time as the file has them.
func (s *stamped) Before(o *stamped) bool { return s.at < o.at || s.at == o.at && s.order < o.order }

// reading is one pass over the file.
type reading struct {
	t        *Trace
	heap     minheap.Heap[stamped, *stamped]
	rows     int64
	begun    bool
	base     int64 // the clock at instant 0
	oldest   int64 // the clock of the first row
	newest   int64 // of what was handed on
	out      spread
	tenants  map[string]int32
	names    []string
	faults   map[string]*workload.Fault
	twice    int64
	previous stamped
}

func newReading(t *Trace) *reading {
	x := &reading{t: t, tenants: map[string]int32{}, faults: map[string]*workload.Fault{}}
	x.out.begin(t.opt.Seed)
	return x
}

// read hands on all requests in order, and says whether it came to the end.
func (x *reading) read(r rows, yield func(workload.Request, error) bool) bool {
	for {
		row, line, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if _, malformed := errors.AsType[*csv.ParseError](err); !malformed { // the file itself fails, and would at every further row
				yield(workload.Request{}, fault.Newf(fault.Invalid, "%s, row %d: %v: mend the file, or cut it there", x.t.path, line, err))
				return false
			}
			x.leaveOut("the row is no CSV", line, row)
			continue
		}
		s, wrong := x.parse(row)
		if wrong != "" {
			x.leaveOut(wrong, line, row)
			continue
		}
		x.push(s)
		if len(x.heap) > window && !x.pop(yield) {
			return false
		}
	}
	for len(x.heap) > 0 {
		if !x.pop(yield) {
			return false
		}
	}
	if !x.out.end(yield) {
		return false
	}
	return x.enough(yield)
}

// enough refuses what is no traffic.
func (x *reading) enough(yield func(workload.Request, error) bool) bool {
	var err error
	switch {
	case x.rows == 0 && len(x.faults) > 0:
		f := x.list()[0]
		err = fault.Newf(fault.Invalid, "%s: none of its rows can be read; the first is row %d: %s (%s): see which column is taken for what, and name others with --columns", x.t.path, f.Line, f.Reason, f.Text)
	case x.rows == 0:
		err = fault.Newf(fault.Invalid, "%s has no rows: nothing can be planned for it", x.t.path)
	case x.rows == 1, x.newest == x.oldest:
		err = fault.Newf(fault.Invalid, "%s: all calls come at one instant, which tells no rate: give a file with more, or the traffic in words (--shape)", x.t.path)
	default:
		return true
	}
	yield(workload.Request{}, err)
	return false
}

func (x *reading) push(s stamped) {
	x.rows++
	s.order = x.rows
	if b := x.previous; x.rows > 1 && b.at == s.at && b.totals == s.totals && b.calls == s.calls {
		x.twice++
	}
	x.previous = s
	x.heap.Push(s)
}

// pop hands on the earliest row.
func (x *reading) pop(yield func(workload.Request, error) bool) bool {
	s := x.heap.Pop()
	if !x.begun {
		x.begun, x.base, x.oldest = true, s.at, s.at
		if x.t.clock.absolute() {
			x.base -= mod(s.at, int64(time.Minute)) // calendar minutes stay minutes
		} else if s.at >= 0 && s.at < int64(time.Hour) {
			x.base = 0
		}
	}
	if s.at < x.newest && x.rows > window {
		yield(workload.Request{}, fault.Newf(fault.Invalid, "%s is not in order of time: a row lies more than %d rows behind a later one: sort the file by its time", x.t.path, window))
		return false
	}
	x.newest = s.at
	s.at -= x.base
	if x.t.columns.counts() {
		return x.out.window(s, x.t.columns.at[meansRate] >= 0 && x.t.columns.at[meansCount] < 0, yield)
	}
	s.totals.At = time.Duration(s.at)
	return yield(s.totals, nil)
}

func mod(a, b int64) int64 { return (a%b + b) % b }

// parse reads a row.
func (x *reading) parse(row []string) (s stamped, wrong string) {
	c := x.t.columns
	if s.at, wrong = x.t.clock.read(c.value(row, meansTime)); wrong != "" {
		return s, wrong
	}
	q := &s.totals
	q.Input, q.Output = x.t.opt.Input, x.t.opt.Output
	for _, f := range [...]struct {
		m meaning
		v *int64
	}{{meansInput, &q.Input}, {meansOutput, &q.Output}, {meansCached, &q.Cached}, {meansMax, &q.MaxOutput}} {
		text := c.value(row, f.m)
		switch {
		case text != "":
			if *f.v, wrong = tokens(text, f.m, c.counts()); wrong != "" {
				return s, wrong
			}
		case f.m == meansInput && c.at[f.m] >= 0:
			return s, "it tells no input tokens"
		}
	}
	if c.counts() {
		text := c.value(row, meansCount)
		if c.at[meansCount] < 0 {
			text = c.value(row, meansRate)
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(v) || v < 0 || v > 1e9 {
			return s, "the number of calls is no number from 0 to a thousand million"
		}
		s.calls, s.shared = v, c.at[meansInput] >= 0
	} else if q.Input+q.Output == 0 {
		return s, "it has no tokens"
	}
	if x.t.format == bedrockLog {
		q.Input += q.Cached // which that log counts beside the input
	}
	if q.Cached > q.Input {
		return s, "more tokens were read from a cache than the prompt has"
	}
	q.Tenant = x.tenant(c.value(row, meansTenant))
	if p := c.value(row, meansPrefix); p != "" {
		h := fnv.New64a()
		_, _ = io.WriteString(h, p)
		q.Prefix = h.Sum64()
	}
	q.Refused = refused(c.value(row, meansStatus))
	return s, ""
}

// tokens reads a number of tokens.
func tokens(text string, m meaning, many bool) (int64, string) {
	v, err := strconv.ParseFloat(text, 64)
	most := float64(maxTokens)
	if many {
		most = 1e15
	}
	switch {
	case err != nil || math.IsNaN(v):
		return 0, "the " + meaningNames[m] + " tokens are no number"
	case v < 0:
		return 0, "the " + meaningNames[m] + " tokens are negative"
	case v > most:
		return 0, "the " + meaningNames[m] + " tokens are more than any call has"
	}
	return int64(math.Round(v)), ""
}

// refused says whether a status is that of a call that was turned away for want of capacity.
func refused(status string) bool {
	s := strings.ToLower(status)
	return s == "429" || s == "503" || strings.Contains(s, "throttl") || s == "refused"
}

func (x *reading) tenant(name string) int32 {
	if name == "" {
		return 0
	}
	n, ok := x.tenants[name]
	if !ok {
		if n = int32(len(x.names)); n < maxTenants {
			x.tenants[name] = n
			x.names = append(x.names, name)
		} else {
			n = maxTenants
		}
	}
	return n
}

func (x *reading) leaveOut(why string, line int64, row []string) {
	f := x.faults[why]
	if f == nil {
		text := strings.Join(row, ",")
		f = &workload.Fault{Reason: why, Line: line, Text: strconv.QuoteToGraphic(text[:min(len(text), 100)])}
		x.faults[why] = f
	}
	f.Count++
}

func (x *reading) list() []workload.Fault {
	var out []workload.Fault
	for _, f := range x.faults {
		out = append(out, *f)
	}
	slices.SortFunc(out, func(a, b workload.Fault) int { return cmp.Compare(a.Line, b.Line) })
	return out
}

func (x *reading) outcome() *outcome {
	o := &outcome{tenants: x.names, faults: x.list(), length: time.Duration(x.newest - x.base)}
	if x.t.clock.absolute() {
		o.start = time.Unix(0, x.base).In(x.t.opt.Location)
	}
	if x.t.columns.counts() {
		o.grain, o.length = x.out.grain, o.length+x.out.grain
	}
	if x.twice > 0 {
		o.notes = append(o.notes, fmt.Sprintf("%d rows are the same as the row before them, and count", x.twice))
	}
	return o
}
