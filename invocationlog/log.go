package invocationlog

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"forebay/artifact"
	"forebay/resource"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of what is in memory, and of an object.
const (
	maxQueue  = 4096
	maxBytes  = 64 << 20 // of bodies that are not written yet, those of calls under way included
	overhead  = 64       // bytes beside a body
	maxObject = 8 << 20  // bytes of lines
	maxLines  = 10_000
)

// Options are what a log is made with.
type Options struct {
	Objects *artifact.Objects
	Region  string
	Log     *slog.Logger
	// Every is how old a record is at most when it is written.
	Every time.Duration
}

// Log takes records of all accounts. It is safe for concurrent use.
type Log struct {
	Options
	entries chan *entry
	flushes chan struct{}

	used                     atomic.Int64
	written, dropped, failed atomic.Int64
}

// entry is a call that has ended.
type entry struct {
	call *Call
	end  End
}

// New returns a log. Nothing is written before Run.
func New(o Options) *Log {
	return &Log{Options: o, entries: make(chan *entry, maxQueue), flushes: make(chan struct{}, 1)}
}

// Flush lets what is recorded so far be written soon, and does not wait for it.
func (l *Log) Flush() {
	select {
	case l.flushes <- struct{}{}:
	default:
	}
}

// Counts are the records since the start.
type Counts struct {
	Written int64 `json:"written"`
	Dropped int64 `json:"dropped"` // for want of memory
	Failed  int64 `json:"failed"`  // could not be written
}

// Counts returns how many records there were.
func (l *Log) Counts() Counts { return Counts{l.written.Load(), l.dropped.Load(), l.failed.Load()} }

func (l *Log) take(n int64) bool {
	if l.used.Add(n) > maxBytes {
		l.used.Add(-n)
		return false
	}
	return true
}

func (l *Log) queue(e *entry) bool {
	select {
	case l.entries <- e:
		return true
	default:
		return false
	}
}

// Begin notes a call with the body that it sends, which is copied.
func (l *Log) Begin(c *Config, body []byte) *Call {
	call := &Call{log: l, config: c}
	call.asked = call.keep(body)
	return call
}

// object is one that is being filled.
type object struct {
	config *Config
	began  time.Time // of its first record
	lines  []byte
	n      int64
}

// Run writes records until ctx ends, and then those that are left.
func (l *Log) Run(ctx context.Context) error {
	objects := map[string]*object{} // by account
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	flush := func(add func(*entry)) {
		for len(l.entries) > 0 { // nobody else takes from it
			add(<-l.entries)
		}
		for account, o := range objects {
			l.write(ctx, account, o)
		}
		clear(objects)
	}
	add := func(e *entry) {
		if len(objects) == 0 {
			timer.Reset(l.Every)
		}
		l.add(ctx, objects, e)
	}
	for {
		select {
		case e := <-l.entries:
			add(e)
		case <-timer.C:
			flush(add)
		case <-l.flushes:
			flush(add)
		case <-ctx.Done():
			flush(add)
			return nil
		}
	}
}

// add puts a record into its account's object; a full one, or one of another hour or place, is written first.
func (l *Log) add(ctx context.Context, objects map[string]*object, e *entry) {
	account := e.end.Account
	line, err := l.line(e)
	config := e.call.config
	e.call.release()
	if err != nil {
		l.fail(ctx, 1, err)
		return
	}
	o := objects[account]
	if o != nil && (o.config.Location != config.Location || hour(o.began) != hour(e.end.Began) || len(o.lines)+len(line) > maxObject || o.n >= maxLines) {
		l.write(ctx, account, o)
		o = nil
	}
	if o == nil {
		o = &object{config: config, began: e.end.Began}
		objects[account] = o
	}
	o.lines, o.n = append(o.lines, line...), o.n+1
}

func hour(t time.Time) string { return t.UTC().Format("2006/01/02/15") }

// place is the folder of an hour's records.
func (l *Log) place(c *Config, account string, at time.Time) artifact.Location {
	return c.Location.Below(folder(account) + "/" + l.Region + "/" + hour(at))
}

// line returns the line of a record. Bodies that are too long for it are written to objects of their own.
func (l *Log) line(e *entry) ([]byte, error) {
	c := e.call
	r := e.end.record(l.Region)
	r.Input.Tokens, r.Input.CacheRead, r.Input.CacheWrite = c.usage.Input, c.usage.CacheRead, c.usage.CacheWrite
	asked, answer := c.asked, c.output(e.end.Operation)
	if !c.config.Data.delivered(asked, e.end.Embeds) || !c.config.Data.delivered(answer, e.end.Embeds) {
		asked, answer = nil, nil
	}
	var err error
	if r.Input.Body = valid(asked); len(asked) > inline {
		r.Input.Body = nil
		if r.Input.Path, err = l.aside(e, "input", asked); err != nil {
			return nil, err
		}
	}
	if e.end.Error == "" || len(answer) > 0 {
		r.Output = &output{ContentType: contentType, Body: valid(answer), Tokens: c.usage.Output}
		if len(answer) > inline {
			r.Output.Body = nil
			if r.Output.Path, err = l.aside(e, "output", answer); err != nil {
				return nil, err
			}
		}
	}
	line, err := json.Marshal(&r, json.Deterministic(true), jsontext.AllowInvalidUTF8(true)) // model ids are as callers wrote them
	return append(line, '\n'), err
}

// aside writes a body to an object of its own and returns where it is.
func (l *Log) aside(e *entry, what string, body []byte) (string, error) {
	at := l.place(e.call.config, e.end.Account, e.end.Began).Below("data/" + e.end.RequestID + "_" + what + ".json.gz")
	return at.String(), l.compressed(at, body)
}

func (l *Log) compressed(at artifact.Location, body []byte) error {
	return l.Objects.Create(at, func(w io.Writer) error {
		z := gzip.NewWriter(w)
		if _, err := z.Write(body); err != nil {
			return err
		}
		return z.Close()
	})
}

// write writes an object of lines.
func (l *Log) write(ctx context.Context, account string, o *object) {
	name := fmt.Sprintf("%s_%s.json.gz", o.began.UTC().Format("20060102T150405000Z"), resource.NewID())
	if err := l.compressed(l.place(o.config, account, o.began).Below(name), o.lines); err != nil {
		l.fail(ctx, o.n, err)
		return
	}
	l.written.Add(o.n)
}

func (l *Log) fail(ctx context.Context, n int64, err error) {
	l.failed.Add(n)
	l.Log.WarnContext(ctx, "records of model invocations could not be written", "records", n, "error", err)
}
