// Package trace reads recorded traffic from files: CSV with a header, and JSON a line. What each column is, is guessed from its name and said; it
// can be told. Rows that cannot be calls are left out, counted and named by their first line.
//
// Opening a file reads it once, to find out how long it is and what is wrong with it; reading it again is a stream. Only a file whose rows are
// not in order of time is held in memory, sorted, up to a bound.
package trace

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"time"

	"forebay/fault"
	"forebay/workload"
)

// Bounds of what a row can be, and of what is sorted in memory.
const (
	maxTokens = 100_000_000
	maxSorted = 5_000_000
	maxLine   = 64 << 20
)

// Options of Open.
type Options struct {
	// Columns says which column of the file is what, by meaning: time, input, cached, output, max, tenant. Others are guessed.
	Columns map[string]string
}

// source is a file as a traffic.
type source struct {
	path   string
	opt    Options
	info   workload.Info
	faults []workload.Fault
	origin time.Time          // instant 0
	sorted []workload.Request // nil where the file is in order
}

// Open looks at a file. Errors are of kind fault.Invalid and say what to do.
func Open(path string, opt Options) (workload.Source, error) {
	s := &source{path: path, opt: opt, info: workload.Info{Name: path}}
	if err := s.look(); err != nil {
		return nil, err
	}
	return s, nil
}

// Info implements workload.Source.
func (s *source) Info() workload.Info { return s.info }

// Faults implements workload.Source.
func (s *source) Faults() []workload.Fault { return slices.Clone(s.faults) }

func (s *source) invalid(format string, args ...any) error {
	return fault.Newf(fault.Invalid, "%s: %s", s.path, fmt.Sprintf(format, args...))
}

// scan is what one reading of the file finds.
type scan struct {
	rows, doubles int64
	first, last   time.Time
	disorder      int64 // first line that is earlier than the one before
	before        row
	faults        []workload.Fault
	tokenful      bool
}

// look reads the file once.
func (s *source) look() error {
	var seen scan
	err := s.read(func(r *reader, x row, problem string) error {
		if problem != "" {
			seen.fault(r, problem)
			return nil
		}
		if seen.rows > 0 && x.at.Before(seen.before.at) && seen.disorder == 0 {
			seen.disorder = r.line
		}
		if seen.rows > 0 && x == seen.before {
			seen.doubles++
		}
		if seen.rows == 0 || x.at.Before(seen.first) {
			seen.first = x.at
		}
		if seen.rows == 0 || x.at.After(seen.last) {
			seen.last = x.at
		}
		seen.rows++
		seen.before = x
		seen.tokenful = seen.tokenful || x.q.Input > 0 || x.q.Output > 0
		return nil
	})
	if err != nil {
		return err
	}
	return s.judge(&seen)
}

func (c *scan) fault(r *reader, problem string) {
	for i := range c.faults {
		if c.faults[i].Reason == problem {
			c.faults[i].Count++
			return
		}
	}
	c.faults = append(c.faults, workload.Fault{Reason: problem, Count: 1, Line: r.line, Text: short(r.text)})
}

func short(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// judge refuses what cannot be planned for, and notes the rest.
func (s *source) judge(c *scan) error {
	s.faults = c.faults
	switch {
	case c.rows == 0 && len(c.faults) > 0:
		return s.invalid("no row is a call: %s (line %d: %s)", c.faults[0].Reason, c.faults[0].Line, c.faults[0].Text)
	case c.rows == 0:
		return s.invalid("the file has no rows: give one with a row for each call")
	case c.rows == 1 || !c.last.After(c.first):
		return s.invalid("all calls come at one instant: a traffic has at least two, at different times")
	case !c.tokenful:
		return s.invalid("no call has any tokens: say which columns hold them (--columns input=NAME,output=NAME)")
	}
	// Minutes are those of the clock, so that a day begins where it does for people.
	s.origin = c.first.Truncate(time.Minute)
	if c.first.Unix() > 1e8 {
		s.info.Start = s.origin
	}
	s.info.Length = c.last.Sub(s.origin) + 1
	if c.doubles > 0 {
		s.note("%d rows are equal to the one before; they are kept, as calls of their own", c.doubles)
	}
	if c.disorder > 0 {
		return s.sort(c)
	}
	return nil
}

func (s *source) note(format string, args ...any) {
	s.info.Notes = append(s.info.Notes, fmt.Sprintf(format, args...))
}

// sort holds the calls of a file that is not in order of time.
func (s *source) sort(c *scan) error {
	if c.rows > maxSorted {
		return s.invalid("line %d is earlier than the one before, and %d rows are too many to be sorted here: sort the file by time", c.disorder, c.rows)
	}
	s.note("the rows are not in order of time (line %d is earlier than the one before): they were sorted", c.disorder)
	all := make([]workload.Request, 0, c.rows)
	for q, err := range s.stream() {
		if err != nil {
			return err
		}
		all = append(all, q)
	}
	slices.SortStableFunc(all, func(a, b workload.Request) int { return cmp.Compare(a.At, b.At) })
	s.sorted = all
	return nil
}

// All implements workload.Source.
func (s *source) All() iter.Seq2[workload.Request, error] {
	if s.sorted == nil {
		return s.stream()
	}
	return func(yield func(workload.Request, error) bool) {
		for _, q := range s.sorted {
			if !yield(q, nil) {
				return
			}
		}
	}
}

// errStop ends a reading that nobody wants to go on.
var errStop = fmt.Errorf("trace: %w", io.EOF)

func (s *source) stream() iter.Seq2[workload.Request, error] {
	return func(yield func(workload.Request, error) bool) {
		err := s.read(func(_ *reader, x row, problem string) error {
			if problem != "" {
				return nil
			}
			x.q.At = x.at.Sub(s.origin)
			if !yield(x.q, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && err != errStop { //nolint:errorlint // our own, never wrapped
			yield(workload.Request{}, err)
		}
	}
}

// read calls a function with every row, or with what is wrong with it.
func (s *source) read(each func(*reader, row, string) error) error {
	f, err := os.Open(s.path)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, err.Error())
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewReaderSize(f, 1<<20)
	head, err := in.Peek(1)
	for err == nil && bytes.ContainsAny(head, " \t\r\n") {
		_, _ = in.Discard(1)
		head, err = in.Peek(1)
	}
	if err != nil {
		return s.invalid("the file is empty: give one with a row for each call")
	}
	r := &reader{of: s, in: bufio.NewScanner(in)}
	r.in.Buffer(make([]byte, 0, 1<<16), maxLine)
	if head[0] == '{' {
		return r.lines(each)
	}
	return r.table(each)
}
