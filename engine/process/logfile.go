package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"
	"unicode"
)

// logfile is the output of an instance.
type logfile struct {
	path string
	size int64 // at which it is rotated
	keep int
}

func openLog(dir, name string, size int64, keep int) (*logfile, error) {
	return &logfile{path: logPath(dir, name), size: size, keep: keep}, os.MkdirAll(dir, 0o700)
}

// open opens the file for a process: what it writes goes to the end, wherever that is.
func (f *logfile) open() (*os.File, error) {
	return os.OpenFile(f.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// tendEvery is how often the size of a log is looked at.
const tendEvery = 5 * time.Second

// tend rotates the file when it is large, until done is closed; then it closes what it returns.
func (f *logfile) tend(done <-chan struct{}, log *slog.Logger) <-chan struct{} {
	over := make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(tendEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if err := f.rotate(); err != nil {
					log.Warn("the log of a replica cannot be rotated", "file", f.path, "error", err)
				}
			}
		}
	}()
	return over
}

// rotate copies a large file to FILE.1, what was there to FILE.2 and so on, and cuts it off. The process goes on writing into it.
func (f *logfile) rotate() error {
	info, err := os.Stat(f.path)
	if err != nil || info.Size() < f.size {
		return err
	}
	older := func(n int) string { return fmt.Sprintf("%s.%d", f.path, n) }
	for n := f.keep - 1; n >= 1; n-- {
		if err := os.Rename(older(n), older(n+1)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	src, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer src.Close() //nolint:errcheck // it was read
	dst, err := os.OpenFile(older(1), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		return errors.Join(err, dst.Close())
	}
	if err := dst.Close(); err != nil {
		return err
	}
	return os.Truncate(f.path, 0)
}

// What is shown of a log when an instance fails.
const (
	tailBytes = 8 << 10
	tailLines = 20
)

// tail returns the last lines, without what a terminal would obey.
func (f *logfile) tail() string {
	file, err := os.Open(f.path)
	if err != nil {
		return ""
	}
	defer file.Close() //nolint:errcheck // it was read
	if info, err := file.Stat(); err == nil && info.Size() > tailBytes {
		_, _ = file.Seek(-tailBytes, io.SeekEnd)
	}
	b, _ := io.ReadAll(io.LimitReader(file, tailBytes))
	lines := strings.Split(strings.TrimRight(string(bytes.ToValidUTF8(b, []byte("?"))), "\n"), "\n")
	lines = lines[max(0, len(lines)-tailLines):]
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return -1
	}, strings.Join(lines, "\n"))
}
