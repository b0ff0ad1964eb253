package invocationlog

import (
	"bytes"

	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// Call gathers what a call asks and answers. One goroutine owns it.
type Call struct {
	log    *Log
	config *Config
	held   int64 // bytes of the log's memory
	lost   bool  // there was no memory for all of it

	asked  []byte
	answer []byte
	events []event
	usage  infer.Usage
}

type event struct {
	name    string
	payload []byte
}

// keep copies bytes within the log's memory. A call that does not fit into it gives back what it has.
func (c *Call) keep(b []byte) []byte {
	n := int64(len(b)) + overhead
	if c.lost || !c.log.take(n) {
		c.lost = true
		c.release()
		return nil
	}
	c.held += n
	return bytes.Clone(b)
}

// Answer is told the body of an answer in one piece.
func (c *Call) Answer(body []byte) { c.answer = c.keep(body) }

// Event is told an event of a stream: its name, and its payload before it is framed.
func (c *Call) Event(name string, payload []byte) {
	if kept := c.keep(payload); !c.lost {
		c.events = append(c.events, event{name, kept})
	}
}

// Used is told what tokens the call used.
func (c *Call) Used(u infer.Usage) { c.usage = u }

// End queues the record. A record without room is dropped and counted.
func (c *Call) End(e *End) {
	if c.lost || !c.log.queue(&entry{call: c, end: *e}) {
		c.release()
		c.log.dropped.Add(1)
	}
}

// Discard forgets the call.
func (c *Call) Discard() { c.release() }

func (c *Call) release() {
	c.log.used.Add(-c.held)
	c.held, c.asked, c.answer, c.events = 0, nil, nil, nil
}

// output is what the call answered: a body, the message that Converse's events make up, or a list of events.
func (c *Call) output(operation string) []byte {
	switch {
	case len(c.events) == 0:
		return c.answer
	case operation == "ConverseStream":
		return message(c.events)
	}
	out := []byte{'['}
	for i, ev := range c.events {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, ev.payload...)
	}
	return append(out, ']')
}

// delivered reports whether a body may be in the record. Media is looked for by the names that all dialects have for
// it: a body that only mentions one is left out too.
func (d *Data) delivered(body []byte, embeds bool) bool {
	if embeds && !d.Embedding || !embeds && !d.Text {
		return false
	}
	for _, x := range []struct {
		on    bool
		names []string
	}{{d.Image, []string{`"image"`, `"images"`, `"image_url"`}}, {d.Video, []string{`"video"`}}, {d.Audio, []string{`"audio"`, `"input_audio"`}}} {
		for _, name := range x.names {
			if !x.on && bytes.Contains(body, []byte(name)) {
				return false
			}
		}
	}
	return true
}

// valid is a body as it can stand in a record, nil for one that is no JSON.
func valid(body []byte) jsontext.Value {
	v := jsontext.Value(body)
	if len(body) == 0 || !v.IsValid() || v.Compact() != nil {
		return nil
	}
	return v
}
