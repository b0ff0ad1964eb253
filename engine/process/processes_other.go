//go:build unix && !linux

package process

import (
	"context"
	"errors"
	"io"
	"os/exec"
)

// Elsewhere than on Linux an instance is its process group: what leaves the group is not found, and after the program was killed nothing is adopted.

type found struct {
	pid  int
	mark string
}

func (p *found) owned(string) bool { return false }

func own(cmd *exec.Cmd) watch {
	ended := make(chan string, 1)
	return watch{
		wait: func() error {
			how := "exit status 0"
			if err := cmd.Wait(); err != nil {
				how = err.Error()
			}
			ended <- how
			return nil
		},
		collect: func() string { return <-ended },
	}
}

func follow(*record) (watch, error) {
	return watch{}, errors.New("processes of an earlier run are adopted on Linux alone")
}

func birth(int) string { return "" }

func end(context.Context, func(*found) bool) error { return nil }

func reserve(int) (io.Closer, error) { return io.NopCloser(nil), nil }
