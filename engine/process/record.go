package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"forebay/engine"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// record is what is kept on disk of an instance, from before it is started until nothing of it is left.
type record struct {
	Spec    engine.Spec
	Mark    string // in the environment of its processes
	Port    int
	GPUs    []string
	PID     int    // of the first process, which is the group's number too; 0 while it is not known
	Birth   string // when that was started, as the system tells it apart from a later one of the same number
	Started time.Time
	Group   string // its cgroup's directory, "" for none
}

// Durations are written in nanoseconds.
var (
	writeDuration = json.MarshalToFunc(func(out *jsontext.Encoder, d time.Duration) error { return out.WriteToken(jsontext.Int(int64(d))) })
	readDuration  = json.UnmarshalFunc(func(b []byte, d *time.Duration) error {
		n, err := strconv.ParseInt(string(b), 10, 64)
		*d = time.Duration(n)
		return err
	})
)

const recordSuffix = ".json"

func (l *Launcher) recordPath(name string) string {
	return filepath.Join(l.opts.Dir, "instances", name+recordSuffix)
}

// write puts a record on disk, whole or not at all.
func (l *Launcher) write(r *record) error {
	path := l.recordPath(r.Spec.Name)
	b, err := json.Marshal(r, json.WithMarshalers(writeDuration))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	next := path + ".new"
	if err := os.WriteFile(next, b, 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// readRecords reads what an earlier program left. Those whose first process was never started, or is gone, are read too: Discard looks for others of theirs.
func (l *Launcher) readRecords() (map[string]*record, error) {
	out := map[string]*record{}
	dir := filepath.Dir(l.recordPath("x"))
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		name, ok := strings.CutSuffix(e.Name(), recordSuffix)
		if !ok { // half written: it was never started
			if err := os.Remove(path); err != nil {
				return nil, err
			}
			continue
		}
		b, err := os.ReadFile(path) //nolint:gosec // the launcher's own file
		if err != nil {
			return nil, err
		}
		r := new(record)
		if err := json.Unmarshal(b, r, json.WithUnmarshalers(readDuration)); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		r.Spec.Name = name
		out[name] = r
	}
	return out, nil
}

// has reports whether a process belongs to the instance.
func (r *record) has(p *found) bool { return p.mark == r.Mark }
