// Package ledger makes traffic of the ledger's calls, refused ones included: they are what was wanted. It asks for them page by page, of the
// ledger itself or of a server that has it.
package ledger

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"forebay/fault"
	"forebay/internal/minheap"
	"forebay/meter"
	"forebay/workload"
)

// Pages returns a page of what a query selects.
type Pages func(q meter.DemandQuery) (*meter.DemandPage, error)

// Options say which calls are the traffic.
type Options struct {
	// Name is where the ledger is, for the report.
	Name  string
	Query meter.DemandQuery
	// Location is where days are counted; nil is UTC.
	Location *time.Location
	// Idle says that times in which no server ran are idleness; else the demand in them is unknown.
	Idle bool
	// Now ends a query without an end, so that each reading ends there.
	Now time.Time
}

// Traffic is the calls of a ledger. It implements workload.Source.
type Traffic struct {
	pages Pages
	opt   Options
	asked bool  // the query has an end of its own
	base  int64 // the clock at instant 0, nanoseconds since 1970
	mean  struct{ input, output int64 }
	up    *meter.Uptimes // nil where it is not told
	last  atomic.Pointer[outcome]
}

// outcome is what a reading found besides calls.
type outcome struct {
	length  time.Duration
	tenants []string
	notes   []string
	unknown []workload.Span
}

const (
	// tries is how long after an attempt the next one of the same call may come: botocore waits 20 seconds at most between two.
	tries = 30 * time.Second
	// most bounds the calls that wait for their next attempt.
	most = 1 << 16
	// maxTenants bounds the names that are kept; those after them are one more.
	maxTenants = 1 << 16
)

// Open looks at the first page. Faults: Invalid where the query selects nothing.
func Open(pages Pages, opt Options) (*Traffic, error) {
	if opt.Location == nil {
		opt.Location = time.UTC
	}
	asked := !opt.Query.Until.IsZero()
	if !asked {
		opt.Query.Until = opt.Now
	}
	p, err := pages(opt.Query)
	if err != nil {
		return nil, err
	}
	if len(p.Rows) == 0 {
		return nil, nothing(opt.Name, p.Totals)
	}
	t := &Traffic{pages: pages, opt: opt, asked: asked, up: p.Up}
	t.opt.Query.UpTo = p.UpTo
	if s := p.Totals; s != nil && s.Served > 0 {
		t.mean.input, t.mean.output = max(s.Input/s.Served, 1), s.Output/s.Served
	}
	start := time.Unix(0, p.Rows[0].At)
	if s := opt.Query.Since; !s.IsZero() && s.Before(start) {
		start = s
	}
	t.base = start.Truncate(time.Minute).UnixNano()
	return t, nil
}

func nothing(name string, t *meter.DemandTotals) error {
	var others []string
	if t != nil {
		for _, m := range t.Models {
			others = append(others, fmt.Sprintf("%s (%d)", m.Model, m.Calls))
		}
	}
	if len(others) > 0 {
		return fault.Newf(fault.Invalid, "the ledger of %s has no calls of that model there; it has calls of %s: name one with --of-model, or all with --of-model '*'", name, strings.Join(others, ", "))
	}
	return fault.Newf(fault.Invalid, "the ledger of %s has no such calls: widen --since and --until, or leave filters out (forebay usage --by model,team,key shows what is there)", name)
}

// Info implements workload.Source. Length and Tenants are known after a complete reading.
func (t *Traffic) Info() workload.Info {
	i := workload.Info{
		Name: t.opt.Name, Format: "ledger", Start: time.Unix(0, t.base).In(t.opt.Location),
		Notes: []string{
			"calls that were refused for want of capacity are in it, as large as they were estimated; their answers are taken to be of the mean size of those that were served, or what was asked for at most if that is less",
		},
	}
	if o := t.last.Load(); o != nil {
		i.Length, i.Tenants, i.Unknown = o.length, o.tenants, o.unknown
		i.Notes = append(i.Notes, o.notes...)
	}
	return i
}

// Faults implements workload.Source: a ledger has no rows that cannot be read.
func (t *Traffic) Faults() []workload.Fault { return nil }

// All implements workload.Source.
func (t *Traffic) All() iter.Seq2[workload.Request, error] {
	return func(yield func(workload.Request, error) bool) {
		x := &reading{t: t, tenants: map[string]int32{}, attempts: map[string]*workload.Request{}}
		q := t.opt.Query
		for {
			p, err := t.pages(q)
			if err != nil {
				yield(workload.Request{}, err)
				return
			}
			for i := range p.Rows {
				if !x.row(&p.Rows[i], yield) {
					return
				}
			}
			if p.Next == "" {
				break
			}
			q.After = p.Next
		}
		for len(x.heap) > 0 {
			if !x.pop(yield) {
				return
			}
		}
		if t.opt.Query.Since.IsZero() && x.last == x.first {
			yield(workload.Request{}, fault.Newf(fault.Invalid, "the ledger of %s has calls of one instant alone, which tell no rate: say since when there were no others, such as --since 24h", t.opt.Name))
			return
		}
		t.last.Store(x.outcome())
	}
}

// waiting is a call, or as many as were counted together, in order of time.
type waiting struct {
	at, order int64
	call      workload.Request
	refused   *workload.Request // instead of call: a refused one, whose next attempt may still come
	id        string            // of it
	left      int64             // calls behind this one
	apart     int64             // nanoseconds to the next of them
}

// Before orders calls by time, and those of one time as the ledger has them.
func (w *waiting) Before(o *waiting) bool { return w.at < o.at || w.at == o.at && w.order < o.order }

// reading is one pass over the calls.
type reading struct {
	t        *Traffic
	heap     minheap.Heap[waiting, *waiting]
	rows     int64
	first    int64 // of what was handed on, the clock
	last     int64
	tenants  map[string]int32
	names    []string
	attempts map[string]*workload.Request

	again, counted, unknown int64
}

// row takes a row in, and hands on what no later row can change.
func (x *reading) row(r *meter.DemandRow, yield func(workload.Request, error) bool) bool {
	for len(x.heap) > most || len(x.heap) > 0 && x.heap[0].at+int64(tries) < r.At {
		if !x.pop(yield) {
			return false
		}
	}
	x.rows++
	call := x.call(r)
	if first := x.attempts[r.Invocation]; first != nil && r.Invocation != "" {
		at := first.At
		*first = call // what became of it; it was wanted when it came first
		first.At = at
		x.again++
	} else {
		w := waiting{at: r.At, order: x.rows, call: call, left: max(r.Count, 1) - 1}
		switch {
		case w.left > 0: // from when they began to be counted to the end of the minute
			x.counted += r.Count
			w.apart = (int64(time.Minute) - r.At%int64(time.Minute)) / r.Count
		case r.Refused && r.Invocation != "":
			w.refused, w.id = &call, r.Invocation
			x.attempts[w.id] = w.refused
		}
		x.heap.Push(w)
	}
	return true
}

// pop hands on the earliest call.
func (x *reading) pop(yield func(workload.Request, error) bool) bool {
	w := x.heap.Pop()
	q := w.call
	if w.refused != nil {
		q = *w.refused
		delete(x.attempts, w.id)
	}
	if x.last = w.at; x.first == 0 {
		x.first = w.at
	}
	q.At = time.Duration(w.at - x.t.base)
	if w.left > 0 {
		w.left--
		w.at += w.apart
		x.heap.Push(w)
	}
	return yield(q, nil)
}

// call is what was wanted.
func (x *reading) call(r *meter.DemandRow) workload.Request {
	n := max(r.Count, 1)
	q := workload.Request{Input: r.Input, Cached: min(r.Cached, r.Input), Output: r.Output, MaxOutput: r.MaxTokens / n, Refused: r.Refused, Tenant: x.tenant(r.Key)}
	if q.Input == 0 {
		q.Input = r.Estimate / n
	}
	if q.Input == 0 {
		x.unknown += n
		q.Input = max(x.t.mean.input, 1)
	}
	if r.Refused {
		q.Output = x.t.mean.output
		if q.MaxOutput > 0 {
			q.Output = min(q.Output, q.MaxOutput)
		}
	}
	if r.Tier == "flex" || r.Tier == "batch" {
		q.Patience = 24 * time.Hour
	}
	return q
}

func (x *reading) tenant(name string) int32 {
	n, ok := x.tenants[name]
	switch {
	case ok:
		return n
	case len(x.names) == maxTenants:
		return maxTenants
	}
	n = int32(len(x.names))
	x.tenants[name] = n
	x.names = append(x.names, name)
	return n
}

func (x *reading) outcome() *outcome {
	o := &outcome{tenants: slices.Clone(x.names), length: time.Duration(x.last - x.t.base)}
	if until := x.t.opt.Query.Until.UnixNano(); x.t.asked && until > x.last {
		o.length = time.Duration(until - x.t.base)
	}
	o.unknown, o.notes = x.t.down(o.length)
	note := func(n int64, format string) {
		if n > 0 {
			o.notes = append(o.notes, fmt.Sprintf(format, n))
		}
	}
	note(x.again, "%d attempts were another try of a call that had been refused: they count as one call, when it came first")
	note(x.counted, "%d refusals were counted by the minute, and lie evenly in what was left of it: which of them were tries of one call is not known, so that demand is at most this")
	note(x.unknown, "%d calls have no count of their prompt, and are taken to be of the mean size of those that were served")
	return o
}
