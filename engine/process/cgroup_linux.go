package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cpuPeriod is the period of cpu.max, in microseconds.
const cpuPeriod = 100_000

// enterGroup makes the process start in a control group of its own, where the operator has named one for that. leave is to be called after the start.
func (i *instance) enterGroup(attr *syscall.SysProcAttr) (leave func(), err error) {
	if i.l.opts.Cgroup == "" {
		return func() {}, nil
	}
	i.Group = filepath.Join(i.l.opts.Cgroup, "forebay-"+i.Spec.Name)
	if err := os.Mkdir(i.Group, 0o750); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	dir, err := limited(i)
	if err != nil {
		i.l.dropGroup(i.record)
		return nil, err
	}
	attr.UseCgroupFD, attr.CgroupFD = true, int(dir.Fd())
	return func() { _ = dir.Close() }, nil
}

// limited writes the bounds of an instance into its group (Documentation/admin-guide/cgroup-v2.rst).
func limited(i *instance) (*os.File, error) {
	r := i.Spec.Resources
	bounds := map[string]string{}
	if r.CPUMilli > 0 {
		bounds["cpu.max"] = fmt.Sprintf("%d %d", r.CPUMilli*cpuPeriod/1000, cpuPeriod)
	}
	if r.Memory > 0 {
		bounds["memory.max"] = strconv.FormatInt(r.Memory, 10)
		bounds["memory.swap.max"] = "0"
	}
	for file, value := range bounds {
		err := os.WriteFile(filepath.Join(i.Group, file), []byte(value), 0o600)
		if errors.Is(err, os.ErrNotExist) && file == "memory.swap.max" {
			continue // a kernel without swap accounting
		}
		if err != nil {
			return nil, fmt.Errorf("the group does not take %s; is its controller enabled in cgroup.subtree_control of %s? %w", file, i.l.opts.Cgroup, err)
		}
	}
	return os.Open(i.Group)
}

// dropGroup removes the group of an instance of which nothing is left.
func (l *Launcher) dropGroup(r *record) {
	if r.Group == "" {
		return
	}
	_ = os.WriteFile(filepath.Join(r.Group, "cgroup.kill"), []byte("1"), 0o600) // what lost its mark
	limit := time.Now().Add(endWithin)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := os.Remove(r.Group)
		if err == nil || errors.Is(err, os.ErrNotExist) {
			return
		}
		if !errors.Is(err, syscall.EBUSY) || time.Now().After(limit) {
			l.opts.Log.WarnContext(context.Background(), "a control group cannot be removed", "group", r.Group, "error", err)
			return
		}
		time.Sleep(pause)
	}
}

// memoryExceeded reports whether the system has ended a process of the group for its memory.
func memoryExceeded(group string) bool {
	if group == "" {
		return false
	}
	b, err := os.ReadFile(filepath.Join(group, "memory.events")) //nolint:gosec // below the operator's group
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok && n != "0" {
			return true
		}
	}
	return false
}
