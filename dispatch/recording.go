package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"forebay/capacity"
	"forebay/capacity/eventlog"
)

// Recording says where the scheduler's events are recorded. The zero value records nothing.
type Recording struct {
	Dir string // made if need be; "" records nothing
	// SegmentBytes is about how large one file gets. Each begins with a snapshot, which is taken under the
	// mutex (about half a microsecond per call under way), so that small segments cost more. 0 is 64 MiB.
	SegmentBytes int64
	// MaxBytes bounds all files together; the oldest are deleted. 0 is 16 segments.
	MaxBytes int64
}

const (
	defaultSegment  = 64 << 20
	defaultSegments = 16
	// maxUnwritten bounds what waits for the disk. Beyond it recording stops.
	maxUnwritten = 16 << 20
	segmentName  = "forebay-%010d.events"
)

// RecordingStatus is where the recording stands.
type RecordingStatus struct {
	Dir     string `json:"dir"`
	Segment string `json:"segment,omitempty"` // the file that is being written
	Bytes   int64  `json:"bytes"`             // written since the start
	Stopped string `json:"stopped,omitempty"` // why nothing is recorded any more
}

// recorder records what goes through Step. Under the Dispatcher's mutex an event is appended to a buffer, which the goroutine
// of run writes to disk. When that cannot keep up, or fails, recording stops and says so; calls never wait for it and
// never fail for it.
type recorder struct {
	opts Recording
	log  *slog.Logger
	most int64         // bytes that may wait to be written
	wake chan struct{} // that there is something to write

	// Guarded by the Dispatcher's mutex.
	on      bool
	enc     *eventlog.Encoder
	parts   []part
	waiting int64  // bytes in parts
	segment int64  // bytes of the segment that is being filled
	spare   []byte // a buffer that has been written
	status  RecordingStatus
}

// part is what waits to be written: the beginning of a segment, or records of the present one.
type part struct {
	begins bool
	data   []byte
}

func newRecorder(opts Recording, log *slog.Logger) *recorder {
	opts.SegmentBytes = cmp.Or(opts.SegmentBytes, defaultSegment)
	opts.MaxBytes = cmp.Or(opts.MaxBytes, defaultSegments*opts.SegmentBytes)
	return &recorder{opts: opts, log: log, most: maxUnwritten, wake: make(chan struct{}, 1), status: RecordingStatus{Dir: opts.Dir}}
}

// Recording returns where the recording stands, nil if none was asked for.
func (d *Dispatcher) Recording() *RecordingStatus {
	if d.rec == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	st := d.rec.status
	return &st
}

// recorded appends an event and what came of it. The mutex must be held.
func (d *Dispatcher) recorded(now capacity.Instant, ev *capacity.Event) {
	r := d.rec
	p := r.open()
	before := len(p.data)
	p.data = r.enc.Event(p.data, now, ev, d.actions)
	r.grew(len(p.data) - before)
	if ev.Kind == capacity.EventConfigure {
		d.recordNames()
	}
	if r.waiting > r.most {
		r.stop(errors.New("the disk cannot keep up"))
		return
	}
	if r.segment >= r.opts.SegmentBytes {
		d.beginSegment()
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// beginSegment makes what follows a segment of its own. The mutex must be held.
func (d *Dispatcher) beginSegment() {
	r := d.rec
	data := eventlog.Begin(nil, time.Now(), d.state.Snapshot(nil))
	r.enc = eventlog.NewEncoder(d.state.Now())
	r.parts = append(r.parts, part{begins: true, data: data})
	r.segment = 0
	r.grew(len(data))
	d.recordNames()
}

// recordNames writes down what people call the objects. The mutex must be held.
func (d *Dispatcher) recordNames() {
	p := d.rec.open()
	before := len(p.data)
	for _, n := range d.ids.names() {
		p.data = d.rec.enc.Name(p.data, n.kind, n.handle, n.name)
	}
	d.rec.grew(len(p.data) - before)
}

// open returns the part to which records go.
func (r *recorder) open() *part {
	if n := len(r.parts); n == 0 || r.parts[n-1].begins {
		r.parts = append(r.parts, part{data: r.spare})
		r.spare = nil
	}
	return &r.parts[len(r.parts)-1]
}

func (r *recorder) grew(n int) {
	r.waiting += int64(n)
	r.segment += int64(n)
}

// stop ends the recording for good. The Dispatcher's mutex must be held.
func (r *recorder) stop(why error) {
	if !r.on {
		return
	}
	r.on, r.parts, r.waiting = false, nil, 0
	r.status.Stopped = why.Error()
	r.log.Error("events are no longer recorded", "dir", r.opts.Dir, "reason", r.status.Stopped)
}

// BeginRecording makes what happens from now on part of the recording, if there is one. Run writes it, and begins it where nobody has: a caller who
// lets calls in beside Run begins it before.
func (d *Dispatcher) BeginRecording() {
	if d.rec == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.rec.on && d.rec.status.Stopped == "" {
		d.rec.on = true
		d.beginSegment()
	}
}

// record writes events to disk until ctx ends.
func (d *Dispatcher) record(ctx context.Context) {
	d.BeginRecording()
	w := &segments{Recording: d.rec.opts}
	defer func() { _ = w.close() }()
	for {
		if err := d.writeOut(w); err != nil {
			d.mu.Lock()
			d.rec.stop(err)
			d.mu.Unlock()
			return
		}
		select {
		case <-d.rec.wake:
		case <-ctx.Done():
			d.mu.Lock()
			d.rec.on = false
			d.mu.Unlock()
			_ = d.writeOut(w) // there is nobody left to tell
			return
		}
	}
}

// writeOut writes what is there.
func (d *Dispatcher) writeOut(w *segments) error {
	d.mu.Lock()
	parts := d.rec.parts
	d.rec.parts = nil
	d.mu.Unlock()
	var done int64
	var err error
	for _, p := range parts {
		if err = w.write(p); err != nil {
			break
		}
		done += int64(len(p.data))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.rec
	r.waiting = max(0, r.waiting-done)
	r.status.Bytes += done
	r.status.Segment = w.name
	if n := len(parts); n > 0 && !parts[n-1].begins {
		r.spare = parts[n-1].data[:0]
	}
	return err
}

// segments are the files in the directory. One goroutine uses them.
type segments struct {
	Recording
	name  string
	file  io.WriteCloser
	block []byte
}

func (w *segments) write(p part) error {
	if !p.begins {
		w.block = eventlog.Block(w.block[:0], p.data)
		_, err := w.file.Write(w.block)
		return err
	}
	if err := w.close(); err != nil {
		return err
	}
	next, err := w.makeRoom()
	if err != nil {
		return err
	}
	w.name = fmt.Sprintf(segmentName, next)
	w.file, err = os.OpenFile(filepath.Join(w.Dir, w.name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = w.file.Write(p.data)
	return err
}

func (w *segments) close() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}

// makeRoom deletes the oldest segments that would leave no room for a new one, and returns the number of that.
func (w *segments) makeRoom() (next int, err error) {
	if err := os.MkdirAll(w.Dir, 0o700); err != nil {
		return 0, err
	}
	entries, err := os.ReadDir(w.Dir) // in order of their names, which is that of time
	if err != nil {
		return 0, err
	}
	room := w.MaxBytes - w.SegmentBytes
	for _, e := range slices.Backward(entries) {
		n := 0
		if _, err := fmt.Sscanf(e.Name(), segmentName, &n); err != nil || !strings.HasSuffix(e.Name(), ".events") {
			continue
		}
		next = max(next, n)
		info, err := e.Info()
		if err != nil {
			return 0, err
		}
		if room -= info.Size(); room < 0 {
			if err := os.Remove(filepath.Join(w.Dir, e.Name())); err != nil {
				return 0, err
			}
		}
	}
	return next + 1, nil
}
