package process

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"

	"forebay/engine"
	"forebay/fault"
)

// Options are what a Launcher is made with.
type Options struct {
	// Dir is where instances are recorded; one launcher at a time uses it.
	Dir string
	Log *slog.Logger
	// CPUMilli, Memory and GPUs are what instances may use together; 0 and nil are no bound for the first two, and no device.
	CPUMilli int64
	Memory   int64
	GPUs     []string // as CUDA_VISIBLE_DEVICES names them
	// Cgroup is a delegated cgroup v2 directory in which each instance gets a group of its own, "" for none.
	Cgroup string
	// LogBytes is the size at which a log is rotated; 0 is 16 MiB. LogKeep is how many older ones are kept; 0 is 3.
	LogBytes int64
	LogKeep  int
	// FirstPort and LastPort bound the ports; 0 are 20000 and 32767.
	FirstPort, LastPort int
}

// Launcher starts instances as local processes. It is safe for concurrent use.
type Launcher struct {
	opts  Options
	id    string // of the directory: what its instances are marked with
	run   string // of this program: what those are marked with that it has started itself
	ports *ports

	mu      sync.Mutex
	running map[string]*instance
	left    map[string]*record
	cpu     int64
	memory  int64
	gpus    []string // free
}

var (
	_ engine.Launcher = (*Launcher)(nil)
	_ engine.Adopter  = (*Launcher)(nil)
)

// New opens the directory of records and looks at what an earlier program left behind.
func New(opts Options) (*Launcher, error) {
	if opts.LogBytes <= 0 {
		opts.LogBytes = 16 << 20
	}
	if opts.LogKeep <= 0 {
		opts.LogKeep = 3
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("the directory of processes cannot be made: %w", err)
	}
	l := &Launcher{opts: opts, run: rand.Text(), running: map[string]*instance{}, gpus: slices.Clone(opts.GPUs), ports: newPorts(opts.FirstPort, opts.LastPort)}
	var err error
	if l.id, err = identity(opts.Dir); err != nil {
		return nil, err
	}
	if l.left, err = l.readRecords(); err != nil {
		return nil, err
	}
	for _, r := range l.left { // they hold what they were given until they are adopted or discarded
		l.take(r.Spec.Resources, r.GPUs)
	}
	return l, nil
}

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)

// Start implements engine.Launcher.
func (l *Launcher) Start(ctx context.Context, spec *engine.Spec) (engine.Instance, error) {
	if err := check(spec); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fault.Wrap(fault.Canceled, context.Cause(ctx), "The start was canceled.")
	}
	r := &record{Spec: *spec, Mark: l.id + "/" + l.run + "/" + rand.Text()}
	i := &instance{l: l, record: r, ready: make(chan struct{}), exited: make(chan struct{}), done: make(chan struct{})}
	if err := l.admit(i); err != nil {
		return nil, err
	}
	if err := i.start(); err != nil {
		l.release(i)
		return nil, err
	}
	return i, nil
}

// check holds a spec against what does not depend on the moment.
func check(spec *engine.Spec) error {
	switch r := spec.Resources; {
	case !validName.MatchString(spec.Name):
		return fault.Newf(fault.Invalid, "%q is not a name for a process: letters, digits, dots, dashes and underscores, at most 200.", spec.Name)
	case len(spec.Command) == 0 || spec.Command[0] == "":
		return fault.New(fault.Invalid, "There is no command to start.")
	case spec.LogDir == "":
		return fault.New(fault.Invalid, "There is no directory for the log.")
	case r.CPUMilli < 0 || r.Memory < 0 || r.GPUs < 0:
		return fault.New(fault.Invalid, "Resources cannot be negative.")
	}
	for _, dir := range []string{spec.Dir, spec.ModelDir} {
		if info, err := os.Stat(dir); dir != "" && (err != nil || !info.IsDir()) {
			return fault.Wrap(fault.Invalid, err, dir+" is not a directory.")
		}
	}
	return nil
}

// admit gives an instance its name, its resources and its port.
func (l *Launcher) admit(i *instance) error {
	want := i.Spec.Resources
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running[i.Spec.Name] != nil || l.left[i.Spec.Name] != nil {
		return fault.Newf(fault.Conflict, "A process named %q runs already.", i.Spec.Name)
	}
	if err := l.fits(want); err != nil {
		return err
	}
	port, err := l.ports.take()
	if err != nil {
		return err
	}
	i.Port = port
	i.GPUs = slices.Clone(l.gpus[:want.GPUs])
	l.take(want, i.GPUs)
	l.running[i.Spec.Name] = i
	return nil
}

// fits says what is missing for resources, at all or at the moment.
func (l *Launcher) fits(want engine.Resources) error {
	o := &l.opts
	for _, x := range []struct {
		what              string
		want, total, used int64
		bounded           bool
	}{
		{"thousandths of a processor", want.CPUMilli, o.CPUMilli, l.cpu, o.CPUMilli > 0},
		{"bytes of memory", want.Memory, o.Memory, l.memory, o.Memory > 0},
		{"GPUs", int64(want.GPUs), int64(len(o.GPUs)), int64(len(o.GPUs) - len(l.gpus)), true},
	} {
		switch {
		case !x.bounded || x.want == 0:
		case x.want > x.total:
			return fault.Newf(fault.QuotaExceeded, "A replica takes %d %s, and the machine has %d for replicas.", x.want, x.what, x.total)
		case x.want > x.total-x.used:
			return fault.Newf(fault.Overloaded, "A replica takes %d %s; others use %d of %d.", x.want, x.what, x.used, x.total)
		}
	}
	return nil
}

// take counts resources as used. The mutex is held, or the launcher is not shared yet.
func (l *Launcher) take(r engine.Resources, gpus []string) {
	l.cpu += r.CPUMilli
	l.memory += r.Memory
	l.gpus = slices.DeleteFunc(l.gpus, func(g string) bool { return slices.Contains(gpus, g) })
}

// give counts them as free again. The mutex is held.
func (l *Launcher) give(r *record) {
	l.cpu -= r.Spec.Resources.CPUMilli
	l.memory -= r.Spec.Resources.Memory
	for _, g := range l.opts.GPUs { // which may no longer have a device that it had
		if slices.Contains(r.GPUs, g) {
			l.gpus = append(l.gpus, g)
		}
	}
}

// release forgets an instance of which nothing is left.
func (l *Launcher) release(i *instance) {
	if err := os.Remove(l.recordPath(i.Spec.Name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		l.opts.Log.Warn("the record of a process cannot be removed", "name", i.Spec.Name, "error", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.running, i.Spec.Name)
	l.give(i.record)
	l.ports.give(i.Port)
}

// Left implements engine.Adopter.
func (l *Launcher) Left() []engine.Left {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []engine.Left
	for _, name := range slices.Sorted(maps.Keys(l.left)) {
		r := l.left[name]
		out = append(out, engine.Left{Spec: r.Spec, Addr: addrOf(r.Port), Started: r.Started})
	}
	return out
}

// Adopt implements engine.Adopter.
func (l *Launcher) Adopt(_ context.Context, name string) (engine.Instance, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.left[name]
	if r == nil {
		return nil, fault.Newf(fault.NotFound, "No process named %q was left.", name)
	}
	watch, err := follow(r)
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, err, fmt.Sprintf("The process named %q has ended.", name))
	}
	delete(l.left, name)
	l.ports.keep(r.Port)
	i := &instance{l: l, record: r, ready: make(chan struct{}), exited: make(chan struct{}), done: make(chan struct{}), adopted: true}
	l.running[name] = i
	i.tend(watch)
	return i, nil
}

// Discard implements engine.Adopter.
func (l *Launcher) Discard(ctx context.Context) error {
	l.mu.Lock()
	left := l.left
	l.left = map[string]*record{}
	var adopted []string
	for _, i := range l.running {
		if i.adopted {
			adopted = append(adopted, i.Mark)
		}
	}
	l.mu.Unlock()
	err := end(ctx, func(p *found) bool { // also what has no record, or lost it
		return p.owned(l.id) && !p.owned(l.id+"/"+l.run) && !slices.Contains(adopted, p.mark)
	})
	for name, r := range left {
		err = errors.Join(err, end(ctx, r.has))
		l.opts.Log.WarnContext(ctx, "a process of an earlier run was ended", "name", name, "pid", r.PID)
		l.dropGroup(r)
		err = errors.Join(err, os.Remove(l.recordPath(name)))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range left {
		l.give(r)
	}
	return err
}

// identity returns what the instances of a directory are marked with, which is made once.
func identity(dir string) (string, error) {
	path := filepath.Join(dir, "id")
	b, err := os.ReadFile(path) //nolint:gosec // the operator's own directory
	if err == nil && len(b) >= 16 {
		return string(b), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	id := rand.Text()
	return id, os.WriteFile(path, []byte(id), 0o600)
}
