package trace

import (
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
	"forebay/workload/rows"
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
	// Idle says that windows without a row are idleness; else they are missing data, and the demand in them is unknown.
	Idle bool
	// Copies says that rows like the one before are calls of their own, also where most rows are.
	Copies bool
	// Usage is a part of the names of the usage types that are wanted of a report of costs; "" is all.
	Usage string
	// Unit is how many tokens one of a report's quantities is, where it does not say.
	Unit float64
	// Reuse is how long a prompt's block stays in a cache after it was used; 0 is no cache. Traces of sessions have one of 5 minutes at least.
	Reuse time.Duration
	// Sessions is how many sessions begin a day, where a trace tells what they are like alone.
	Sessions float64
}

// Trace is recorded traffic in a file. It implements workload.Source.
type Trace struct {
	path    string
	opt     Options
	json    bool
	columns *columns
	clock   *clock
	format  string
	grain   time.Duration // of windows, as the first rows have them
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
	unknown rows.Gaps
}

// note adds a note, but for none.
func (o *outcome) note(text string) {
	if text != "" {
		o.notes = append(o.notes, text)
	}
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
	r, err := rows.OpenTable(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	t.json = r.Objects
	if t.columns, err = guess(path, r.Names, opt.Columns); err != nil {
		return nil, err
	}
	if t.columns.at[meansInput] < 0 && opt.Input == 0 {
		return nil, fault.Newf(fault.Invalid, "%s says how many calls come, and not how large they are: give their mean tokens, such as --tokens 1000,300", path)
	}
	if opt.Reuse > 0 && !slices.Contains(r.Names, rows.BlocksMember) {
		return nil, fault.Newf(fault.Invalid, "%s has no hashes of the blocks of prompts (%s), so that --reuse can find nothing in it: leave --reuse out", path, rows.BlocksMember)
	}
	t.format = t.form()
	if err := t.probe(r); err != nil {
		return nil, err
	}
	t.remark()
	return t, nil
}

// probe finds the form of the times in the first rows, and how far apart they are.
func (t *Trace) probe(r rows.Reader) error {
	var before int64
	read := (*wall)(nil)
	for n := range rows.Probed {
		row, _, err := r.Next()
		if err != nil {
			if n == 0 && errors.Is(err, io.EOF) {
				return fault.Newf(fault.Invalid, "%s has no rows: nothing can be planned for it", t.path)
			}
			break
		}
		text := t.columns.value(row, meansTime)
		if read == nil {
			c, ok := newClock(text, t.relative(), t.opt.Location)
			if !ok {
				continue
			}
			t.clock, read = c, newWall(c, t.columns.counts())
			before, _ = read.read(text)
			continue
		}
		if at, wrong := read.read(text); wrong == "" {
			if apart := time.Duration(max(at-before, before-at)); apart > 0 && (t.grain == 0 || apart < t.grain) {
				t.grain = apart
			}
			before = at
		}
	}
	if read != nil {
		return nil
	}
	return fault.Newf(fault.Invalid, "%s: no time can be read in column %q of its first rows: name another with --columns time=NAME, or write times as 2006-01-02T15:04:05Z or as seconds",
		t.path, t.columns.names[t.columns.at[meansTime]])
}

const bedrockLog = "bedrock-invocation-log"

// forms are the files that are known, by columns that they have, the unit of their numbers, and the size of their blocks.
var forms = []struct {
	name    string
	columns []string
	unit    time.Duration
	block   int64 // tokens of a block of a prompt; 0 is not known
}{
	{"qwen", []string{"chat_id", "turn", "timestamp", "input_length", "output_length", rows.BlocksMember}, time.Second, 16},
	{"mooncake", []string{"timestamp", "input_length", "output_length", rows.BlocksMember}, time.Millisecond, 512},
	{"azure", []string{"TIMESTAMP", "ContextTokens", "GeneratedTokens"}, 0, 0},
	{"burstgpt", []string{"Timestamp", "Request tokens", "Response tokens"}, time.Second, 0},
	{"vllm-run", []string{"arrival_time", "input_toks", "output_toks"}, time.Second, 0},
	{bedrockLog, []string{"schemaType", "input.inputTokenCount"}, 0, 0},
	{"litellm", []string{"startTime", "prompt_tokens", "completion_tokens"}, 0, 0},
	{"azure-2024-digitised", []string{"time_utc", "requests_per_min_mid_scaled"}, 0, 0},
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

// block is how many tokens a block of a prompt has; 0 is not known.
func (t *Trace) block() int64 {
	for _, f := range forms {
		if f.name == t.format {
			return f.block
		}
	}
	return 0
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
	if !t.columns.counts() {
		note("times without a call count as idle: where data is missing, the demand was higher")
	}
}

// Info implements workload.Source. Start, Length, Grain and Tenants are known after a complete reading.
func (t *Trace) Info() workload.Info {
	i := workload.Info{Name: filepath.Base(t.path), Format: t.format, Columns: t.columns.told(), Notes: slices.Clone(t.notes)}
	if o := t.last.Load(); o != nil {
		i.Start, i.Length, i.Grain, i.Tenants, i.Unknown = o.start, o.length, o.grain, o.tenants, o.unknown
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
		r, err := rows.OpenTable(t.path)
		if err != nil {
			yield(workload.Request{}, err)
			return
		}
		defer func() { _ = r.Close() }()
		x := newReading(t)
		if x.read(r.Reader, yield) {
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
	clock    *wall
	heap     minheap.Heap[stamped, *stamped]
	rows     int64
	begun    bool
	base     int64 // the clock at instant 0
	oldest   int64 // the clock of the first row
	newest   int64 // of what was handed on
	out      spread
	tenants  map[string]int32
	names    []string
	faults   rows.Faults
	twice    int64
	previous stamped
	silence  [2]int64 // the longest time without a call
	cache    *cache   // nil for none
	blocks   rows.Blocked
}

func newReading(t *Trace) *reading {
	x := &reading{t: t, clock: newWall(t.clock, t.columns.counts()), tenants: map[string]int32{}, faults: rows.Faults{}}
	x.out.begin(t.opt.Seed)
	x.out.grain = t.grain
	return x
}

// read hands on all requests in order, and says whether it came to the end.
func (x *reading) read(r rows.Reader, yield func(workload.Request, error) bool) bool {
	if j, ok := r.(rows.Blocked); ok && x.t.opt.Reuse > 0 {
		x.blocks, x.cache = j, newCache(int64(x.t.opt.Reuse))
		j.WantBlocks()
	}
	for {
		row, line, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if !rows.IsMalformed(err) { // the file itself fails, and would at every further row
				yield(workload.Request{}, fault.Newf(fault.Invalid, "%s, row %d: %v: mend the file, or cut it there", x.t.path, line, err))
				return false
			}
			x.faults.LeaveOut("the row is no CSV", line, row)
			continue
		}
		s, wrong := x.parse(row)
		if wrong != "" {
			x.faults.LeaveOut(wrong, line, row)
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
		f := x.faults.List()[0]
		err = fault.Newf(fault.Invalid, "%s: none of its rows can be read; the first is row %d: %s (%s): see which column is taken for what, and name others with --columns", x.t.path, f.Line, f.Reason, f.Text)
	case x.rows == 0:
		err = fault.Newf(fault.Invalid, "%s has no rows: nothing can be planned for it", x.t.path)
	case x.faults.Count() > x.rows, x.rows == 1 && len(x.faults) > 0:
		f := x.faults.List()[0]
		err = fault.Newf(fault.Invalid, "%s: %d of its %d rows cannot be read, which leaves too little; the first is row %d: %s (%s): mend the file, or name other columns with --columns",
			x.t.path, x.faults.Count(), x.faults.Count()+x.rows, f.Line, f.Reason, f.Text)
	case x.rows == 1, x.newest == x.oldest:
		err = fault.Newf(fault.Invalid, "%s: all calls come at one instant, which tells no rate: give a file with more, or the traffic in words (--shape)", x.t.path)
	case 2*x.twice >= x.rows && x.twice >= manyCopies && !x.t.opt.Copies:
		err = fault.Newf(fault.Invalid, "%s: %d of its %d rows are the same as the row before them: leave the copies out, or say with --copies that each is a call of its own", x.t.path, x.twice, x.rows)
	default:
		return true
	}
	yield(workload.Request{}, err)
	return false
}

// manyCopies are more copies than a small file has by chance.
const manyCopies = 10

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
		x.begun, x.base, x.oldest, x.newest = true, s.at, s.at, s.at
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
	if s.at-x.newest > x.silence[1]-x.silence[0] {
		x.silence = [2]int64{x.newest, s.at}
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
	if s.at, wrong = x.clock.read(c.value(row, meansTime)); wrong != "" {
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
	if x.cache != nil && c.at[meansCached] < 0 {
		b := x.blocks.Blocks()
		q.Cached = blockTokens(q.Input, x.cache.prompt(s.at, b), len(b), x.t.block())
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

// longSilence is a time without a call that is pointed out.
const longSilence = 6 * time.Hour

func (x *reading) outcome() *outcome {
	o := &outcome{tenants: x.names, faults: x.faults.List(), length: time.Duration(x.newest - x.base)}
	if x.t.clock.absolute() {
		o.start = time.Unix(0, x.base).In(x.t.opt.Location)
	}
	if x.t.columns.counts() {
		o.grain, o.length = x.out.grain, o.length+x.out.grain
		if x.out.added > 0 {
			o.note(fmt.Sprintf("%d rows are of a window that a row before them tells of, too: they are added up", x.out.added))
		}
		o.unknown = slices.Clone(x.out.gaps)
		o.note(o.unknown.Settle(x.t.opt.Idle))
	} else if s := time.Duration(x.silence[1] - x.silence[0]); s >= longSilence && x.t.clock.absolute() {
		o.notes = append(o.notes, fmt.Sprintf("the longest time without a call is %v, from %s on: it counts as idle; if data is missing there, cut the file at it", s.Round(time.Minute), time.Unix(0, x.silence[0]).In(x.t.opt.Location).Format("2006-01-02 15:04")))
	}
	o.notes = append(o.notes, x.clock.notes()...)
	if x.cache != nil {
		o.notes = append(o.notes, fmt.Sprintf("%.1f %% of the prompts' blocks were in another prompt within %v before, and count as read from a cache", 100*x.cache.share(), x.t.opt.Reuse))
	}
	if x.cache != nil && x.cache.short {
		o.notes = append(o.notes, fmt.Sprintf("the cache was taken to hold %d blocks at most", maxBlocks))
	}
	if x.twice > 0 {
		o.notes = append(o.notes, fmt.Sprintf("%d rows are the same as the row before them, and count", x.twice))
	}
	return o
}
