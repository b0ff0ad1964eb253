package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// found is a process that carries a mark.
type found struct {
	pid  int
	mark string
}

// owned reports whether the mark begins with an id: of a directory, or of a program over it.
func (p *found) owned(id string) bool { return strings.HasPrefix(p.mark, id+"/") }

// own follows a child.
func own(cmd *exec.Cmd) watch {
	return watch{
		wait: func() error {
			for {
				err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
				if !errors.Is(err, unix.EINTR) {
					return err
				}
			}
		},
		collect: func() string {
			err := cmd.Wait()
			if err == nil {
				return "exit status 0"
			}
			return err.Error()
		},
	}
}

// follow follows a process that is not a child. The error says that it has ended.
func follow(r *record) (watch, error) {
	if r.PID <= 0 || r.Birth == "" {
		return watch{}, errors.New("it was never started")
	}
	fd, err := unix.PidfdOpen(r.PID, 0)
	if err != nil {
		return watch{}, err
	}
	if birth(r.PID) != r.Birth { // looked at while the descriptor holds on to what it belongs to
		return watch{}, errors.Join(errors.New("its number belongs to another process"), unix.Close(fd))
	}
	return watch{
		wait: func() error {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			for {
				if _, err := unix.Poll(fds, -1); !errors.Is(err, unix.EINTR) {
					return err
				}
			}
		},
		collect: func() string {
			_ = unix.Close(fd)
			return "its exit status is not known, for it was adopted"
		},
	}, nil
}

// birth tells a process apart from a later one with the same number: the boot, and the time since it in ticks. It is "" for none, and
// for one that has ended and was not collected.
func birth(pid int) string {
	state, start := stat(pid)
	if start == "" || state == "Z" || state == "X" {
		return ""
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + "/" + start
}

// stat reads the state and the start of a process (proc(5): fields 3 and 22, behind the command's name in brackets).
func stat(pid int) (state, start string) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", ""
	}
	_, rest, ok := strings.Cut(string(b[max(0, strings.LastIndexByte(string(b), ')')):]), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return "", ""
	}
	return fields[0], fields[19]
}

// marked lists the processes with a mark that run.
func marked() ([]found, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var out []found
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if mark := markOf(pid); mark != "" {
			out = append(out, found{pid, mark})
		}
	}
	return out, nil
}

// markOf is the mark of a process, "" for one that has none, ended, or belongs to somebody else.
func markOf(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil || len(b) == 0 {
		return ""
	}
	for v := range strings.SplitSeq(string(b), "\x00") {
		if mark, ok := strings.CutPrefix(v, markVariable+"="); ok {
			return mark
		}
	}
	return ""
}

// endWithin bounds how long the system may take to end what was killed.
const endWithin = 10 * time.Second

// end kills the marked processes for which which is true, and returns when none of them runs.
func end(ctx context.Context, which func(*found) bool) error {
	limit := time.Now().Add(endWithin)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		list, err := marked()
		if err != nil {
			return err
		}
		n := 0
		for i := range list {
			if p := &list[i]; p.pid != os.Getpid() && which(p) {
				n++
				p.kill()
			}
		}
		switch {
		case n == 0:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case time.Now().After(limit):
			return fmt.Errorf("%d processes do not end", n)
		}
		time.Sleep(pause)
	}
}

// kill ends the process, if its number still belongs to it.
func (p *found) kill() {
	proc, err := os.FindProcess(p.pid) // holds on to the process, not to the number
	if err != nil {
		return
	}
	if markOf(p.pid) == p.mark {
		_ = proc.Kill()
	}
	_ = proc.Release()
}

// reserve takes a port among all launchers of the network namespace, until what it returns is closed or the program ends.
func reserve(port int) (io.Closer, error) {
	var lc net.ListenConfig
	return lc.Listen(context.Background(), "unix", "@forebay/port/"+strconv.Itoa(port))
}
