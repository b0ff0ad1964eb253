package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
)

// journal is what is known of a file that is partly there. It is a text: one line of JSON says of what file, at which chunk size;
// each further line is the number of a chunk that is on the disk. A chunk is written and synced before its line is, so that every whole
// line is true, also after a power cut; a line that is cut off counts for nothing.
type journal struct {
	part, log *os.File
	head      journalHead

	mu   sync.Mutex
	have []bool
	size int64 // of the chunks that it has
}

// journalHead says which content the chunks are of.
type journalHead struct {
	Size      int64  `json:"size"`
	Chunk     int64  `json:"chunk"`
	Validator string `json:"validator"`
	Sums      Sums   `json:"sums"`
}

// openJournal opens what is there of a file, or begins anew where there is nothing, or of another content.
func openJournal(path string, file *File, chunk int64) (*journal, error) {
	j := &journal{head: journalHead{Size: file.Size, Chunk: chunk, Validator: file.Validator, Sums: file.Sums}}
	j.have = make([]bool, (file.Size+chunk-1)/chunk)
	head, err := json.Marshal(j.head, json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	good := j.read(path, head)
	if j.part, err = os.OpenFile(path+partSuffix, os.O_CREATE|os.O_RDWR, 0o600); err != nil { //nolint:gosec // the caller's own folder
		return nil, err
	}
	if j.log, err = os.OpenFile(path+journalSuffix, os.O_CREATE|os.O_RDWR, 0o600); err != nil { //nolint:gosec // the caller's own folder
		return nil, errors.Join(err, j.part.Close())
	}
	if good == 0 {
		err = j.begin(head)
	} else { // lines go behind the last whole one
		err = j.log.Truncate(good)
		if err == nil {
			_, err = j.log.Seek(good, 0)
		}
	}
	if err != nil {
		return nil, errors.Join(err, j.close())
	}
	return j, nil
}

// begin empties the part and writes the head.
func (j *journal) begin(head []byte) error {
	if err := errors.Join(j.log.Truncate(0), j.part.Truncate(0), j.part.Truncate(j.head.Size)); err != nil {
		return err
	}
	_, err := j.log.Write(append(head, '\n'))
	return err
}

// read takes in the lines that are whole, and returns where they end; 0 where they are of another content, or there are none.
func (j *journal) read(path string, head []byte) (end int64) {
	b, err := os.ReadFile(path + journalSuffix) //nolint:gosec // the caller's own folder
	st, serr := os.Stat(path + partSuffix)
	rest, ok := bytes.CutPrefix(b, append(head, '\n'))
	if err != nil || serr != nil || !ok || st.Size() != j.head.Size {
		return 0
	}
	end = int64(len(b) - len(rest))
	for line := range strings.Lines(string(rest)) {
		i, err := strconv.Atoi(strings.TrimSuffix(line, "\n"))
		if err != nil || !strings.HasSuffix(line, "\n") || i < 0 || i >= len(j.have) {
			break
		}
		end += int64(len(line))
		j.mark(i)
	}
	return end
}

func (j *journal) mark(i int) {
	if !j.have[i] {
		j.have[i] = true
		j.size += min(int64(i+1)*j.head.Chunk, j.head.Size) - int64(i)*j.head.Chunk
	}
}

func (j *journal) chunks() int { return len(j.have) }

func (j *journal) has(i int) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.have[i]
}

// done is the size of what is on the disk.
func (j *journal) done() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.size
}

// record notes that a chunk is there.
func (j *journal) record(i int) error {
	if err := j.part.Sync(); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := fmt.Fprintf(j.log, "%d\n", i); err != nil {
		return err
	}
	j.mark(i)
	return nil
}

func (j *journal) close() error { return errors.Join(j.part.Close(), j.log.Close()) }
