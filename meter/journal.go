package meter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Layout of a segment, the same on every machine: a mark with the version of the format, then records.
// A record is the length of its payload and the payload's CRC-32C, four bytes each with the
// lowest first, then the payload (see appendRow and entryTariff). An empty payload is a probe and stands for nothing. The
// first version had rows alone.
const (
	segmentMark    = segmentProduct + string(rune(segmentVersion))
	segmentProduct = "FBROWS\x00"
	segmentVersion = 2
	recordHead     = 8
	// maxRecord bounds a payload; what claims to be longer is damage.
	maxRecord = 16 << 20
)

// Bounds of the journal.
const (
	segmentSize  = 8 << 20   // a segment that has grown past it is followed by the next
	journalBound = 256 << 20 // of all segments: what waits to be moved while the database cannot take it
)

var (
	castagnoli     = crc32.MakeTable(crc32.Castagnoli)
	errJournalFull = errors.New("the journal holds all that it may")
	errLongRecord  = fmt.Errorf("a row over %d bytes", maxRecord)
)

// segment is one file of the journal.
type segment struct {
	number uint64
	file   *os.File
	size   int64 // of what is whole and acknowledged; guarded by the journal's mutex
	// damaged says that the file goes on in a way that cannot be read; torn, that what goes on may be no more than
	// the beginning of one record.
	damaged, torn bool
}

// position is a place in the journal: everything before it is in the database.
type position struct {
	segment uint64
	offset  int64
}

// journal makes rows durable before the database has them: append returns when the row has
// reached the operating system (or the disk, with sync). Those who come while a group is being written form the next
// group, and one of them writes it: there is no goroutine to hand rows to, and nobody waits for
// anything but write(2). It is safe for concurrent use.
type journal struct {
	path string // segments are path-<number>
	sync bool
	// bound and size are journalBound and segmentSize, but for tests.
	bound, size int64
	// added is how many bytes are to be moved or have been, since the program began.
	added atomic.Int64

	mu       sync.Mutex
	segments []*segment // the last one is written to
	buf      []byte     // records of the group that gathers
	spare    []byte
	next     *group // those who wait for buf to be written by one of them
	writing  bool
	closed   bool

	appending sync.WaitGroup // grows under the mutex and while it is not closed
}

// group is what waits together.
type group struct {
	lead chan struct{} // takes one value: whoever gets it writes for all
	done chan struct{}
	err  error // valid when done is closed
}

// openJournal opens the segments that are there, oldest first, and begins a new one after them.
// Nothing is appended to an old segment: its end may be the torn record of a call that was never answered.
func openJournal(path string, sync bool, after uint64) (*journal, error) {
	j := &journal{path: path, sync: sync, bound: journalBound, size: segmentSize}
	numbers, err := segmentNumbers(path)
	if err != nil {
		return nil, err
	}
	for _, n := range numbers {
		s, err := openSegment(j.name(n), n)
		if err != nil {
			return nil, errors.Join(err, j.close(false))
		}
		j.segments = append(j.segments, s)
		after = max(after, n)
	}
	if n := len(j.segments); n > 0 && j.segments[n-1].torn {
		// A record that was begun at the very end is a call that was cut off with the program.
		last := j.segments[n-1]
		if err := os.Truncate(j.name(last.number), last.size); err != nil {
			return nil, errors.Join(err, j.close(false))
		}
		last.damaged = false
	}
	if err := j.begin(after + 1); err != nil {
		return nil, errors.Join(err, j.close(false))
	}
	return j, nil
}

func (j *journal) name(n uint64) string { return fmt.Sprintf("%s-%08d", j.path, n) }

func segmentNumbers(path string) ([]uint64, error) {
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, f := range files {
		number, ok := strings.CutPrefix(f.Name(), filepath.Base(path)+"-")
		if n, err := strconv.ParseUint(number, 10, 62); ok && err == nil { // others are ".damaged", or not of this program
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

// openSegment opens a segment of an earlier run and finds the end of what is whole in it. It fails for one
// that a newer version wrote: to read it as damage would lose its rows.
func openSegment(name string, n uint64) (*segment, error) {
	f, err := os.Open(name) //nolint:gosec // the operator's own directory
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s := &segment{number: n, file: f}
	switch version := markOf(b); {
	case version > 0 && version <= segmentVersion:
		size, err := whole(b[len(segmentMark):])
		s.size = int64(len(segmentMark) + size)
		s.torn = err == nil
	case len(b) < len(segmentMark):
		s.torn = strings.HasPrefix(segmentMark, string(b)) // nothing is in it, whichever version it is
	case version > segmentVersion:
		return nil, errors.Join(fmt.Errorf("%s was written by a newer forebay: upgrade forebay", name), f.Close())
	}
	s.damaged = s.size < int64(len(b))
	return s, nil
}

// markOf returns the version that a segment's mark names, 0 where it begins with none.
func markOf(b []byte) byte {
	if len(b) < len(segmentMark) || !bytes.HasPrefix(b, []byte(segmentProduct)) {
		return 0
	}
	return b[len(segmentProduct)]
}

// whole returns the length of the records at the start of b that can be read. Its error is
// why the next cannot, unless b ends before that does.
func whole(b []byte) (int, error) {
	at := 0
	for {
		_, n, err := record(b[at:])
		if err != nil || n == 0 {
			return at, err
		}
		at += n
	}
}

// record takes the first record off b: its payload and its length with the head. A length of 0
// means that b ends before the record does.
func record(b []byte) (payload []byte, n int, err error) {
	if len(b) < recordHead {
		return nil, 0, nil
	}
	size := binary.LittleEndian.Uint32(b)
	if size > maxRecord {
		return nil, 0, errLongRecord
	}
	n = recordHead + int(size)
	if len(b) < n {
		return nil, 0, nil
	}
	payload = b[recordHead:n]
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return nil, 0, errors.New("a row's checksum is wrong")
	}
	return payload, n, nil
}

// begin opens the next segment; the mutex is held, or nobody else is there yet.
func (j *journal) begin(n uint64) error {
	f, err := os.OpenFile(j.name(n), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.WriteString(segmentMark); err == nil && j.sync {
		if err = f.Sync(); err == nil {
			err = syncDir(filepath.Dir(j.path))
		}
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	j.segments = append(j.segments, &segment{number: n, file: f, size: int64(len(segmentMark))})
	return nil
}

// damagedSuffix ends the name under which a damaged segment is kept once what can be read has been moved.
const damagedSuffix = ".damaged"

// damage names the segments that are damaged.
func (j *journal) damage() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var names []string
	for _, s := range j.segments {
		if s.damaged {
			names = append(names, j.name(s.number))
		}
	}
	return names
}

// syncDir makes the name of a new file durable.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the operator's own directory
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// append adds a record whose payload fill appends to its argument, and returns when it is durable.
func (j *journal) append(fill func(dst []byte) []byte) error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return os.ErrClosed
	}
	j.appending.Add(1)
	defer j.appending.Done()
	if err := j.gather(fill); err != nil {
		j.mu.Unlock()
		return err
	}
	if j.writing {
		if j.next == nil {
			j.next = &group{lead: make(chan struct{}, 1), done: make(chan struct{})}
		}
		g := j.next
		j.mu.Unlock()
		select {
		case <-g.done:
			return g.err
		case <-g.lead:
			j.mu.Lock()
		}
	}
	j.writing = true
	out, g := j.buf, j.next
	j.buf, j.next = j.spare[:0], nil
	j.spare = nil
	s, err := j.room(len(out))
	j.mu.Unlock()

	if err == nil {
		err = j.write(s, out)
	}

	j.mu.Lock()
	if err == nil {
		s.size += int64(len(out))
		j.added.Add(int64(len(out)))
	}
	j.spare = out
	j.writing = j.next != nil
	if j.writing {
		j.next.lead <- struct{}{}
	}
	j.mu.Unlock()
	if g != nil {
		g.err = err
		close(g.done)
	}
	return err
}

// gather puts a record into the group's buffer; the mutex is held.
func (j *journal) gather(fill func(dst []byte) []byte) error {
	start := len(j.buf)
	b := fill(append(j.buf, make([]byte, recordHead)...))
	payload := b[start+recordHead:]
	if len(payload) > maxRecord {
		j.buf = b[:start]
		return errLongRecord
	}
	binary.LittleEndian.PutUint32(b[start:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(b[start+4:], crc32.Checksum(payload, castagnoli))
	j.buf = b
	return nil
}

// room returns the segment for n more bytes; the mutex is held.
func (j *journal) room(n int) (*segment, error) {
	total := int64(n)
	for _, s := range j.segments {
		total += s.size
	}
	if total > j.bound {
		return nil, errJournalFull
	}
	s := j.segments[len(j.segments)-1]
	if s.size < j.size && !s.damaged {
		return s, nil
	}
	if err := j.begin(s.number + 1); err != nil {
		return nil, err
	}
	return j.segments[len(j.segments)-1], nil
}

// write puts a group at the end of a segment. Only one group is written at a time.
func (j *journal) write(s *segment, b []byte) error {
	_, err := s.file.WriteAt(b, s.size)
	if err == nil && j.sync {
		err = s.file.Sync()
	}
	if err != nil && s.file.Truncate(s.size) != nil {
		s.damaged = true // what is half there must not be taken for rows
	}
	return err
}

// behind returns where a segment goes on behind a position, and how many bytes it has from there.
func (s *segment) behind(at position) (from, n int64) {
	from = int64(len(segmentMark))
	switch {
	case s.number < at.segment:
		from = s.size
	case s.number == at.segment:
		from = max(from, at.offset)
	}
	return from, max(s.size-from, 0)
}

// read fills buf from behind a position. It returns the bytes read and the position they begin at, which is in
// a later segment when the one asked for has been read to its end.
func (j *journal) read(at position, buf []byte) (int, position, error) {
	j.mu.Lock()
	var s *segment
	var from, n int64
	for _, s = range j.segments {
		if from, n = s.behind(at); n > 0 {
			break
		}
	}
	j.mu.Unlock()
	got, err := s.file.ReadAt(buf[:min(int64(len(buf)), n)], from)
	return got, position{s.number, from}, err
}

// waiting returns the bytes behind a position.
func (j *journal) waiting(at position) int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	var sum int64
	for _, s := range j.segments {
		_, n := s.behind(at)
		sum += n
	}
	return sum
}

// drop discards the segments before a position.
func (j *journal) drop(before position) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var err error
	for len(j.segments) > 1 {
		s := j.segments[0]
		if s.number > before.segment || s.number == before.segment && before.offset < s.size {
			break
		}
		j.segments = j.segments[1:]
		err = errors.Join(err, j.discard(s))
	}
	return err
}

// seal ends appending, and returns when nobody is in the middle of it.
func (j *journal) seal() {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	j.appending.Wait()
}

// close closes the files, and discards them when everything is in the database. The journal is sealed, or nobody else has it.
func (j *journal) close(drained bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var err error
	for _, s := range j.segments {
		if drained {
			err = errors.Join(err, j.discard(s))
		} else {
			err = errors.Join(err, s.file.Close())
		}
	}
	return err
}

// discard closes a segment whose rows are in the database and removes it, or renames a damaged one.
func (j *journal) discard(s *segment) error {
	name := j.name(s.number)
	if s.damaged {
		return errors.Join(s.file.Close(), os.Rename(name, name+damagedSuffix))
	}
	err := os.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(s.file.Close(), err)
}
