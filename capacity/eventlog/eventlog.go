package eventlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"forebay/capacity"
	"forebay/capacity/codec"
)

const (
	magic   = "FBEVLOG"
	version = 5
	// maxBlock bounds what a reader takes for a block.
	maxBlock = 256 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Record kinds.
const (
	recordEvent = iota
	recordName
)

// Begin appends what a segment starts with to buf: the magic, and a snapshot that was taken at wall.
func Begin(buf []byte, wall time.Time, snapshot []byte) []byte {
	buf = append(buf, magic...)
	buf = append(buf, version)
	c := codec.Writer(nil)
	nanos := wall.UnixNano()
	codec.Int(c, &nanos)
	c.Raw(snapshot)
	return Block(buf, c.Bytes())
}

// Block appends a payload, framed, to buf.
func Block(buf, payload []byte) []byte {
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(payload)))
	buf = binary.LittleEndian.AppendUint32(buf, crc32.Checksum(payload, castagnoli))
	return append(buf, payload...)
}

// Encoder appends the records of one segment. It is not safe for concurrent use.
type Encoder struct {
	last    capacity.Instant
	c       codec.Codec
	actions []byte
}

// NewEncoder returns an encoder for a segment whose snapshot was taken at the State's time now.
func NewEncoder(now capacity.Instant) *Encoder { return &Encoder{last: now} }

// Event appends an event that was stepped at now, with what came of it.
func (e *Encoder) Event(buf []byte, now capacity.Instant, ev *capacity.Event, actions []capacity.Action) []byte {
	c := &e.c
	c.Rewrite(append(buf, recordEvent))
	since := now - e.last
	e.last = now
	codec.Int(c, &since)
	event(c, ev)
	n := c.Len(len(actions))
	if n == 0 {
		return c.Bytes()
	}
	buf = c.Bytes()
	var sum uint32
	sum, e.actions = digest(c, actions, e.actions)
	return binary.LittleEndian.AppendUint32(buf, sum)
}

// digest returns the checksum of actions, and buf for the next time.
func digest(c *codec.Codec, actions []capacity.Action, buf []byte) (uint32, []byte) {
	c.Rewrite(buf[:0])
	for i := range actions {
		action(c, &actions[i])
	}
	return crc32.Checksum(c.Bytes(), castagnoli), c.Bytes()
}

// Name appends what people call an object: its kind ("bucket", "model", ...), handle and name.
func (e *Encoder) Name(buf []byte, kind string, handle uint32, name string) []byte {
	c := &e.c
	c.Rewrite(append(buf, recordName))
	c.Text(&kind)
	codec.Uint(c, &handle)
	c.Text(&name)
	return c.Bytes()
}

// Record is one record of a segment: an event, or a name if Name is not "".
type Record struct {
	Now     capacity.Instant
	Event   capacity.Event
	Actions int    // how many were taken
	Digest  uint32 // of these

	Kind   string
	Handle uint32
	Name   string
}

// ErrTorn says that a segment ends within a block, as that of a process which died does.
var ErrTorn = errors.New("the segment ends within a block")

// Reader reads a segment.
type Reader struct {
	r        io.Reader
	started  time.Time
	snapshot []byte
	block    []byte
	now      capacity.Instant
}

// NewReader reads a segment's beginning.
func NewReader(r io.Reader) (*Reader, error) {
	head := make([]byte, len(magic)+1)
	if _, err := io.ReadFull(r, head); err != nil || string(head) != magic+string(rune(version)) {
		return nil, fmt.Errorf("no event log of version %d", version)
	}
	e := &Reader{r: r}
	first, err := e.next()
	if err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	c := codec.Reader(first)
	var nanos int64
	codec.Int(c, &nanos)
	e.started, e.snapshot = time.Unix(0, nanos), c.Bytes()
	s, err := capacity.Restore(e.snapshot)
	if err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	e.now = s.Now()
	return e, nil
}

// Started returns the wall clock when the segment began.
func (e *Reader) Started() time.Time { return e.started }

// Snapshot returns the snapshot that the segment begins with.
func (e *Reader) Snapshot() []byte { return e.snapshot }

// Next returns the next record, io.EOF after the last, and ErrTorn where the segment ends early.
func (e *Reader) Next() (Record, error) {
	for len(e.block) == 0 {
		b, err := e.next()
		if err != nil {
			return Record{}, err
		}
		e.block = b
	}
	c := codec.Reader(e.block)
	rec := e.record(c)
	if err := c.Err(); err != nil {
		return Record{}, fmt.Errorf("event log: %w", err)
	}
	e.block = c.Bytes()
	return rec, nil
}

func (e *Reader) record(c *codec.Codec) Record {
	var rec Record
	var kind uint8
	codec.Uint(c, &kind)
	switch kind {
	case recordEvent:
		var since capacity.Instant
		codec.Int(c, &since)
		e.now += since
		rec.Now = e.now
		event(c, &rec.Event)
		var n uint32
		codec.Uint(c, &n)
		if rec.Actions = int(n); n > 0 {
			var sum [4]byte
			c.Raw(sum[:])
			rec.Digest = binary.LittleEndian.Uint32(sum[:])
		}
	case recordName:
		c.Text(&rec.Kind)
		codec.Uint(c, &rec.Handle)
		c.Text(&rec.Name)
		if rec.Name == "" {
			c.Fail("%s %d has no name", rec.Kind, rec.Handle)
		}
	default:
		c.Fail("record of kind %d", kind)
	}
	return rec
}

// next reads a block.
func (e *Reader) next() ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(e.r, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = ErrTorn
		}
		return nil, err
	}
	n := binary.LittleEndian.Uint32(head[:4])
	if n > maxBlock {
		return nil, fmt.Errorf("a block of %d bytes", n)
	}
	var b bytes.Buffer // grows with what is there, not with what is promised
	if _, err := io.CopyN(&b, e.r, int64(n)); err != nil {
		if errors.Is(err, io.EOF) {
			err = ErrTorn
		}
		return nil, err
	}
	if crc32.Checksum(b.Bytes(), castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return nil, errors.New("the checksum of a block is wrong")
	}
	return b.Bytes(), nil
}

// Replay feeds a segment to the State that it begins with, and calls visit with each record and, of an event, the actions that
// it gives now, which are valid until visit returns. same says that they are those that were taken live.
func Replay(e *Reader, visit func(rec *Record, actions []capacity.Action, same bool) error) error {
	s, err := capacity.Restore(e.snapshot)
	if err != nil {
		return err
	}
	var actions []capacity.Action
	var c codec.Codec
	var buf []byte
	for {
		rec, err := e.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		same := true
		actions = actions[:0]
		if rec.Name == "" {
			actions = s.Step(rec.Now, rec.Event, actions)
			var sum uint32
			if len(actions) > 0 {
				sum, buf = digest(&c, actions, buf)
			}
			same = len(actions) == rec.Actions && sum == rec.Digest
		}
		if err := visit(&rec, actions, same); err != nil {
			return err
		}
	}
}
