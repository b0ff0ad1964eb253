package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"forebay/engine"
	"forebay/fault"
)

// instance is a process group under supervision.
type instance struct {
	*record
	l       *Launcher
	adopted bool
	log     *logfile

	readyOnce sync.Once
	ready     chan struct{} // closed when it is known whether it has become ready
	readyErr  error

	stopping atomic.Bool
	exited   chan struct{} // closed when the first process has ended and is about to be collected
	done     chan struct{}
	err      error
}

// watch follows the first process of an instance.
type watch struct {
	// wait returns when it has ended, before its number can belong to another one.
	wait func() error
	// collect releases the number, and says how it ended.
	collect func() string
}

// start starts the first process. After an error nothing of it is left.
func (i *instance) start() error {
	var err error
	if i.log, err = openLog(i.Spec.LogDir, i.Spec.Name, i.l.opts.LogBytes, i.l.opts.LogKeep); err != nil {
		return fault.Wrap(fault.Unavailable, err, "The log of a replica cannot be written.")
	}
	out, err := i.log.open()
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "The log of a replica cannot be written.")
	}
	defer out.Close() //nolint:errcheck // the process has its own
	command := i.filled(i.Spec.Command)
	cmd := exec.Command(command[0], command[1:]...) //nolint:gosec,noctx // what the operator's images say; it outlives the start
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = i.Spec.Dir, i.environment(), out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if cmd.Dir == "" {
		cmd.Dir = i.Spec.LogDir
	}
	leave, err := i.enterGroup(cmd.SysProcAttr)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "The control group of a replica cannot be made.")
	}
	defer leave()
	i.Started = time.Now()
	if err := i.l.write(i.record); err != nil { // before there is anything to lose
		i.l.dropGroup(i.record)
		return fault.Storage(err)
	}
	if err := cmd.Start(); err != nil {
		i.l.dropGroup(i.record)
		return startError(command[0], err)
	}
	i.PID = cmd.Process.Pid
	i.Birth = birth(i.PID)
	if err := i.l.write(i.record); err != nil { // it can still be found by its mark
		i.l.opts.Log.Warn("the record of a process cannot be written", "name", i.Spec.Name, "error", err)
	}
	i.tend(own(cmd))
	return nil
}

// tend starts what lives as long as the instance.
func (i *instance) tend(w watch) {
	go i.supervise(w)
	go i.probe()
}

// startError says why a command cannot be started.
func startError(command string, err error) error {
	switch {
	case errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist):
		return fault.Wrap(fault.Invalid, err, fmt.Sprintf("There is no program %q.", command))
	case errors.Is(err, os.ErrPermission):
		return fault.Wrap(fault.Invalid, err, fmt.Sprintf("The program %q may not be executed.", command))
	default:
		return fault.Wrap(fault.Unavailable, err, fmt.Sprintf("The program %q cannot be started: %v.", command, err))
	}
}

// Addr implements engine.Instance.
func (i *instance) Addr() string { return addrOf(i.Port) }

// Done implements engine.Instance.
func (i *instance) Done() <-chan struct{} { return i.done }

// Err implements engine.Instance.
func (i *instance) Err() error {
	select {
	case <-i.done:
		return i.err
	default:
		return nil
	}
}

// Ready implements engine.Instance.
func (i *instance) Ready(ctx context.Context) error {
	select {
	case <-i.ready:
		return i.readyErr
	default:
	}
	select {
	case <-i.ready:
		return i.readyErr
	case <-i.done:
		return cmp.Or(i.err, error(fault.New(fault.Canceled, "The replica was stopped before it was ready.")))
	case <-ctx.Done():
		return fault.Wrap(fault.Canceled, context.Cause(ctx), "The wait for a replica was canceled.")
	}
}

// Stop implements engine.Instance.
func (i *instance) Stop(ctx context.Context) error {
	if i.stopping.CompareAndSwap(false, true) {
		i.signal(syscall.SIGTERM)
	}
	grace := time.NewTimer(cmp.Or(i.Spec.StopGrace, engine.DefaultStopGrace))
	defer grace.Stop()
	select {
	case <-i.done:
		return nil
	case <-i.exited:
	case <-grace.C:
		i.l.opts.Log.WarnContext(ctx, "a replica did not end when it was asked to, and is ended by force", "name", i.Spec.Name)
	case <-ctx.Done():
	}
	i.signal(syscall.SIGKILL)
	<-i.done // which nothing can delay much: the kernel ends them
	return nil
}

// signal sends a signal to the group while its first process is there, so that the number is that of no other.
func (i *instance) signal(sig syscall.Signal) {
	select {
	case <-i.exited:
		return
	default:
	}
	if i.PID > 0 && (!i.adopted || birth(i.PID) == i.Birth) {
		_ = syscall.Kill(-i.PID, sig) // it may have ended
	}
}

// supervise waits for the end of the first process and clears away what is left of the instance.
func (i *instance) supervise(w watch) {
	if i.log == nil {
		i.log, _ = openLog(i.Spec.LogDir, i.Spec.Name, i.l.opts.LogBytes, i.l.opts.LogKeep) // adopted: it is there
	}
	rotated := i.log.tend(i.done, i.l.opts.Log)
	err := w.wait()
	if !i.adopted {
		_ = syscall.Kill(-i.PID, syscall.SIGKILL) // the number is still the group's: its first process is not collected
	}
	close(i.exited)
	how := w.collect()
	if err != nil {
		how = err.Error()
	}
	if err := end(context.Background(), i.has); err != nil {
		i.l.opts.Log.Error("something of a replica is left", "name", i.Spec.Name, "error", err)
	}
	if memoryExceeded(i.Group) {
		how = fmt.Sprintf("it took more than its %d bytes of memory and was ended by the system", i.Spec.Resources.Memory)
	}
	i.l.dropGroup(i.record)
	if !i.stopping.Load() {
		i.err = i.failure(how)
	}
	i.l.release(i)
	i.becomes(cmp.Or(i.err, error(fault.New(fault.Canceled, "The replica was stopped before it was ready."))))
	close(i.done)
	<-rotated
}

// failure is why an instance that nobody stopped has ended.
func (i *instance) failure(how string) error {
	e := fault.Newf(fault.ModelFailed, "The replica ended by itself: %s.", how)
	e.OriginalMessage = i.log.tail()
	return e
}

// becomes settles whether the instance has become ready; the first answer stands.
func (i *instance) becomes(err error) {
	i.readyOnce.Do(func() {
		i.readyErr = err
		close(i.ready)
	})
}

// logPath is where the output of an instance goes.
func logPath(dir, name string) string { return filepath.Join(dir, name+".log") }
