package trace

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"forebay/fault"
	"forebay/workload"
	"forebay/workload/rows"
)

// Bill is a report of costs and usage: quantities of tokens by usage type, of hours or days. It implements workload.Source. It is read once for
// the quantities of each hour or day, which are kept: calls are made of them again for each reading.
//
// Sources: the data dictionaries of AWS Cost and Usage Reports and of Data Exports (CUR 2.0), and Amazon Bedrock's guide to them for usage types.
type Bill struct {
	path    string
	opt     Options
	wide    bool // a column for each usage type, as Cost Explorer exports them
	format  string
	columns []workload.Column

	once  sync.Once // reads the table
	table *billing
	err   error
	last  atomic.Pointer[outcome]
}

// Names of columns of the reports, plain.
var (
	billType = []string{"lineitemusagetype", "usagetype"}
	billTime = []string{"lineitemusagestartdate", "date", "startdate", "usagestartdate"}
	billEnd  = []string{"lineitemusageenddate", "enddate", "usageenddate"}
	billUsed = []string{"lineitemusageamount", "usageamount", "usagequantity"}
	billUnit = []string{"pricingunit", "unit"}
	billKind = []string{"lineitemlineitemtype"}
	billText = []string{"lineitemlineitemdescription"}
	billItem = []string{"productproductname", "lineitemproductcode"}
)

// kindsOfUsage are the line items that are usage: others are taxes, credits and fees.
var kindsOfUsage = []string{"", "Usage", "DiscountedUsage", "SavingsPlanCoveredUsage"}

// token is what a usage type counts.
type token int

const (
	noToken token = iota
	inputToken
	cachedToken
	outputToken
)

var (
	region     = regexp.MustCompile(`^(?:MP:)?[A-Z]{2,4}\d?(?:W\d)?[-_]`)
	model      = regexp.MustCompile(`(?i)^(.*?)[-_.]?(?:mantle[-_])?(?:cache[-_]?(?:read|write)|input|output).*token`)
	multiplier = regexp.MustCompile(`(?i)(?:^|[^0-9.])([\d.,]*)\s*(k|thousand|m|million)?\s*(?:input |output |cache |read |write |response |prompt )*token`)
)

// classify returns what a usage type counts, and of which model; "" if the type does not tell.
func classify(usage string) (token, string) {
	s := strings.ToLower(usage)
	m := model.FindStringSubmatch(region.ReplaceAllString(usage, ""))
	if m == nil {
		return noToken, ""
	}
	for _, other := range []string{"image", "audio", "video", "speech", "second"} {
		if strings.Contains(s, other) {
			return noToken, ""
		}
	}
	cache := strings.Index(s, "cache")
	switch {
	case cache >= 0 && strings.Contains(s[cache:], "read"):
		return cachedToken, m[1]
	case cache < 0 && strings.Contains(s, "output"):
		return outputToken, m[1]
	default:
		return inputToken, m[1]
	}
}

// tokensOf returns how many tokens one of a unit is, such as 1000 of "1K tokens"; 0 where the text does not tell.
func tokensOf(unit string) float64 {
	m := multiplier.FindStringSubmatch(unit)
	switch {
	case strings.EqualFold(unit, "token") || strings.EqualFold(unit, "tokens"):
		return 1
	case m == nil || m[1] == "" && m[2] == "": // the name of a usage type has the word too
		return 0
	}
	n := 1.0
	if m[1] != "" {
		v, err := strconv.ParseFloat(strings.ReplaceAll(m[1], ",", ""), 64)
		if err != nil || v <= 0 {
			return 0
		}
		n = v
	}
	switch strings.ToLower(m[2]) {
	case "k", "thousand":
		n *= 1e3
	case "m", "million":
		n *= 1e6
	default:
	}
	return n
}

// isBill says whether columns are those of a report, and whether each usage type has one of its own.
func isBill(names []string) (bill, wide bool) {
	at := func(wanted []string) int {
		return slices.IndexFunc(names, func(n string) bool { return slices.Contains(wanted, plain(n)) })
	}
	if len(names) > 1 && plain(names[0]) == "usagetype" && at(billUsed) < 0 && at(billTime) < 0 {
		return true, true
	}
	return at(billType) >= 0, false
}

// openBill finds out what kind of a report a file is.
func openBill(path string, opt Options, names []string, wide bool) (*Bill, error) {
	if opt.Input < 1 {
		return nil, fault.Newf(fault.Invalid, "%s says how many tokens are used, and not in how many calls: give the mean tokens of a call, such as --tokens 1000,300", path)
	}
	b := &Bill{path: path, opt: opt, wide: wide, format: "cost-and-usage-report"}
	if wide {
		b.format = "cost-explorer"
	}
	meanings := map[string][]string{"time": billTime, "end": billEnd, "usage-type": billType, "quantity": billUsed, "unit": billUnit, "kind": billKind, "description": billText, "product": billItem}
	for i, n := range names {
		c := workload.Column{Name: n}
		for _, meaning := range slices.Sorted(maps.Keys(meanings)) {
			if slices.Contains(meanings[meaning], plain(n)) {
				c.Meaning, c.Guessed = meaning, true
			}
		}
		if wide && i == 0 {
			c.Meaning, c.Guessed = "time", true
		}
		b.columns = append(b.columns, c)
	}
	if wide {
		return b, b.costs(names)
	}
	for what, wanted := range map[string][]string{"when it was used": billTime, "how much was used": billUsed} {
		if !slices.ContainsFunc(names, func(n string) bool { return slices.Contains(wanted, plain(n)) }) {
			return nil, fault.Newf(fault.Invalid, "%s has usage types and no column that tells %s: export it with line_item_usage_start_date and line_item_usage_amount", path, what)
		}
	}
	return b, nil
}

// costs refuses an export of costs.
func (b *Bill) costs(names []string) error {
	for _, n := range names[1:] {
		if kind, _ := classify(n); kind != noToken && strings.HasSuffix(strings.TrimSpace(n), "($)") {
			return fault.Newf(fault.Invalid, "%s has costs and no quantities (%s): in Cost Explorer, group by usage type, choose the metric Usage quantity, and download that", b.path, n)
		}
	}
	return nil
}

// Info implements workload.Source. Start, Length and Grain are known after a complete reading.
func (b *Bill) Info() workload.Info {
	i := workload.Info{Name: filepath.Base(b.path), Format: b.format, Columns: slices.Clone(b.columns)}
	if o := b.last.Load(); o != nil {
		i.Start, i.Length, i.Grain, i.Notes, i.Unknown = o.start, o.length, o.grain, slices.Clone(o.notes), o.unknown
	}
	return i
}

// Faults implements workload.Source.
func (b *Bill) Faults() []workload.Fault {
	if o := b.last.Load(); o != nil {
		return slices.Clone(o.faults)
	}
	return nil
}

// All implements workload.Source.
func (b *Bill) All() iter.Seq2[workload.Request, error] {
	return func(yield func(workload.Request, error) bool) {
		b.once.Do(b.read)
		if b.err != nil {
			yield(workload.Request{}, b.err)
			return
		}
		if b.table.calls(yield) {
			b.last.Store(b.table.outcome)
		}
	}
}

// read reads the report.
func (b *Bill) read() {
	x := &billing{b: b, windows: map[int64]*used{}, models: map[string]float64{}, types: map[string]float64{}, faults: rows.Faults{}}
	if b.err = x.read(); b.err == nil {
		b.err = x.enough()
	}
	if b.err == nil {
		x.starts = slices.Sorted(maps.Keys(x.windows))
		x.base = x.starts[0] - mod(x.starts[0], int64(time.Minute))
		x.outcome = x.found()
	}
	b.table = x
}

// used are the tokens of an hour or a day.
type used struct{ input, cached, output float64 }

// billing is what a report has.
type billing struct {
	b       *Bill
	clock   *clock
	windows map[int64]*used // by when they begin, nanoseconds since 1970
	length  int64           // of a window, as rows say; 0 where none does
	models  map[string]float64
	types   map[string]float64 // what tells of tokens that are not here
	batch   float64
	total   float64
	faults  rows.Faults

	starts  []int64 // of the windows, in order
	base    int64   // the clock at instant 0
	outcome *outcome
}

func (x *billing) read() error {
	r, err := rows.OpenTable(x.b.path)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	names := r.Names
	at := func(wanted []string) int {
		return slices.IndexFunc(names, func(n string) bool { return slices.Contains(wanted, plain(n)) })
	}
	places := billPlaces{at(billTime), at(billEnd), at(billType), at(billUsed), at(billUnit), at(billKind), at(billText), at(billItem)}
	for {
		row, line, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !rows.IsMalformed(err):
			return fault.Newf(fault.Invalid, "%s, row %d: %v: mend the file, or cut it there", x.b.path, line, err)
		case err != nil:
			x.faults.LeaveOut("the row is no CSV", line, row)
			continue
		}
		var wrong string
		if x.b.wide {
			wrong = x.day(names, row)
		} else {
			wrong = x.item(&places, row)
		}
		if wrong != "" {
			x.faults.LeaveOut(wrong, line, row)
		}
	}
}

// billPlaces are the columns of a report, -1 for none.
type billPlaces struct{ start, end, usage, amount, unit, kind, text, item int }

// item takes a line item in. wrong says why it cannot be; what is no tokens is left out in silence.
func (x *billing) item(at *billPlaces, row []string) (wrong string) {
	cell := func(i int) string {
		if i < 0 || i >= len(row) {
			return ""
		}
		return strings.TrimSpace(row[i])
	}
	usage := cell(at.usage)
	if !slices.Contains(kindsOfUsage, cell(at.kind)) {
		return ""
	}
	kind, of := classify(usage)
	amount, err := strconv.ParseFloat(cell(at.amount), 64)
	if kind == noToken {
		if strings.Contains(strings.ToLower(usage), "provisionedthroughput") || strings.Contains(strings.ToLower(usage), "modelunit") {
			x.types[usage] += amount
		}
		return ""
	}
	if of == "" {
		of = cell(at.item)
	}
	if !x.selected(usage, of) {
		return ""
	}
	if err != nil || math.IsNaN(amount) || amount < 0 || amount > 1e15 {
		return "the quantity is no number from 0 on"
	}
	unit := cmp.Or(x.b.opt.Unit, tokensOf(cell(at.unit)), tokensOf(cell(at.text)))
	if unit == 0 {
		return "the unit of the usage type is not told: say how many tokens one is, such as --usage-unit 1000"
	}
	start, wrong := x.time(cell(at.start))
	if wrong != "" {
		return wrong
	}
	if end, wrong := x.time(cell(at.end)); cell(at.end) != "" && wrong == "" && end > start && (x.length == 0 || end-start < x.length) {
		x.length = end - start
	}
	x.add(start, kind, amount*unit)
	x.models[of] += amount * unit
	if strings.Contains(strings.ToLower(usage), "batch") {
		x.batch += amount * unit
	}
	return ""
}

// selected says whether a usage type is asked for.
func (x *billing) selected(usage, of string) bool {
	wanted := strings.ToLower(x.b.opt.Usage)
	return wanted == "" || strings.Contains(strings.ToLower(usage), wanted) || strings.Contains(strings.ToLower(of), wanted)
}

// day takes a row of Cost Explorer in: a time, and the quantity of each usage type in it.
func (x *billing) day(names, row []string) (wrong string) {
	if len(row) == 0 || strings.EqualFold(strings.TrimSpace(row[0]), "usage type total") || strings.TrimSpace(row[0]) == "" {
		return ""
	}
	start, wrong := x.time(strings.TrimSpace(row[0]))
	if wrong != "" {
		return wrong
	}
	x.add(start, noToken, 0) // a day without a quantity is a day
	for i, text := range row[1:] {
		if i+1 >= len(names) {
			break
		}
		usage, text := names[i+1], strings.ReplaceAll(strings.TrimSpace(text), ",", "")
		kind, of := classify(usage)
		if kind == noToken || text == "" || !x.selected(usage, of) {
			continue
		}
		amount, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(amount) || amount < 0 || amount > 1e15 {
			return "the quantity is no number from 0 on"
		}
		unit := x.b.opt.Unit
		if open := strings.LastIndexByte(usage, '('); open >= 0 && unit == 0 {
			unit = tokensOf(strings.Trim(usage[open:], "() "))
		}
		if unit == 0 {
			return "the unit of the usage type is not told: say how many tokens one is, such as --usage-unit 1000"
		}
		x.add(start, kind, amount*unit)
		x.models[of] += amount * unit
		if strings.Contains(strings.ToLower(usage), "batch") {
			x.batch += amount * unit
		}
	}
	return ""
}

func (x *billing) time(text string) (int64, string) {
	if x.clock == nil {
		c, ok := newClock(text, 0, time.UTC) // all times of the reports are UTC
		if !ok || !c.absolute() {
			return 0, "the time is none"
		}
		x.clock = c
	}
	at, wrong := x.clock.read(text)
	return at, wrong
}

// maxWindows bounds the hours of a report: ten years of them.
const maxWindows = 10 * 366 * 24

func (x *billing) add(start int64, kind token, tokens float64) {
	w := x.windows[start]
	if w == nil {
		if len(x.windows) > maxWindows {
			return
		}
		w = &used{}
		x.windows[start] = w
	}
	switch kind {
	case inputToken:
		w.input += tokens
	case cachedToken:
		w.cached += tokens
	case outputToken:
		w.output += tokens
	default:
	}
	x.total += tokens
}

// enough refuses what is no traffic of one model.
func (x *billing) enough() error {
	invalid := func(format string, args ...any) error {
		return fault.Newf(fault.Invalid, "%s: "+format, append([]any{x.b.path}, args...)...)
	}
	switch {
	case len(x.windows) > maxWindows:
		return invalid("it has times of more than ten years: cut the file")
	case x.total == 0 && len(x.faults) > 0:
		f := x.faults.List()[0]
		return invalid("none of its tokens can be read; the first is row %d: %s (%s)", f.Line, f.Reason, f.Text)
	case x.total == 0 && x.b.opt.Usage != "":
		return invalid("no usage type that has %q in it counts tokens: leave --usage-type out to have the models named", x.b.opt.Usage)
	case x.total == 0:
		return invalid("no usage type counts tokens (such as USE1-Claude3Haiku-input-tokens): export it for Amazon Bedrock, by usage type, with quantities")
	case len(x.models) > 1:
		return invalid("it has tokens of %d models: %s: say which by a part of its usage types, such as --usage-type %s", len(x.models), strings.Join(slices.Sorted(maps.Keys(x.models)), ", "), slices.Sorted(maps.Keys(x.models))[0])
	}
	starts := slices.Sorted(maps.Keys(x.windows))
	for i := 1; i < len(starts); i++ {
		if d := starts[i] - starts[i-1]; x.length == 0 || d < x.length {
			x.length = d
		}
	}
	const day = int64(24 * time.Hour)
	switch {
	case x.length == 0:
		return invalid("it has one time alone, which tells no rate: export more hours or days")
	case x.length > day:
		return invalid("it has months, and no days: export it by the hour or by the day")
	}
	return nil
}

// calls makes calls of the quantities, as many in each window as its tokens are of the mean call.
func (x *billing) calls(yield func(workload.Request, error) bool) bool {
	var s spread
	s.begin(x.b.opt.Seed)
	left := used{} // tokens that are part of none so far
	for _, start := range x.starts {
		w := x.windows[start]
		left.input, left.cached, left.output = left.input+w.input, left.cached+w.cached, left.output+w.output
		n := math.Floor((left.input + left.cached + left.output) / float64(x.b.opt.Input+x.b.opt.Output))
		if n < 1 {
			continue
		}
		in, cached, out := math.Floor(left.input), math.Floor(left.cached), math.Floor(left.output)
		left.input, left.cached, left.output = left.input-in, left.cached-cached, left.output-out
		s.held = stamped{at: start - x.base, shared: true, totals: workload.Request{Input: int64(in + cached), Cached: int64(cached), Output: int64(out)}}
		if !s.handOn(int64(n), time.Duration(x.length), yield) {
			return false
		}
	}
	return true
}

// month is the shortest month.
const month = 28 * 24 * time.Hour

// found is what the report tells besides calls.
func (x *billing) found() *outcome {
	starts, base := x.starts, x.base
	grain := time.Duration(x.length)
	last := starts[len(starts)-1]
	o := &outcome{start: time.Unix(0, base).In(x.b.opt.Location), length: time.Duration(last-base) + grain, grain: grain, faults: x.faults.List()}
	what := "hour"
	if grain > time.Hour {
		what = "day"
	}
	note := func(format string, args ...any) { o.notes = append(o.notes, fmt.Sprintf(format, args...)) }
	note("quantities are known by the %s alone: calls are spread evenly at random over each, so that peaks and bursts within one are not seen: limits by the minute are judged too kindly, and purchases for the peak come out too small", what)
	note("a bill counts tokens and no calls: there are as many as make up the tokens at %d in and %d out, all of a window alike, so that nothing is known of how much they vary", x.b.opt.Input, x.b.opt.Output)
	note("a bill has what was served: calls that were refused are not in it, so that demand was higher where there was throttling")
	if x.batch > 0 {
		note("%.0f %% of the tokens were batch work, which may wait: say so with --may-wait", 100*x.batch/x.total)
	}
	for _, t := range slices.Sorted(maps.Keys(x.types)) {
		note("%s: %.0f are in it, and no report says which tokens were served by them: that demand is missing here", t, x.types[t])
	}
	// Cost and Usage Reports have no row where nothing was used; what can be missing is a file of them, which is a month.
	least := 2 * x.length
	if !x.b.wide {
		least = int64(month)
		note("an hour or a day without a row is one in which nothing was used: reports leave them out")
	}
	for i := 1; i < len(starts); i++ {
		if starts[i]-starts[i-1] >= least {
			o.unknown.Miss(starts[i-1]+x.length-base, starts[i]-base)
		}
	}
	o.note(o.unknown.Settle(x.b.opt.Idle))
	return o
}
