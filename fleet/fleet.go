package fleet

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"forebay/capacity/scale"
	"forebay/engine"
	"forebay/fault"
)

// Weights brings the files of a reference and returns the directory that holds them until release is called. Those who ask for the same at the same time
// wait for one download. progress is told of bytes, total 0 while that is not known.
type Weights func(ctx context.Context, ref string, progress func(done, total int64)) (dir string, release func(), err error)

// Options are what a Fleet is made with. The functions are safe for concurrent use.
type Options struct {
	Launcher engine.Launcher
	// Weights may be nil where no variant has any.
	Weights Weights
	// Image finds what an image's name stands for.
	Image func(name string) (Image, bool)
	// Instance finds what an instance type has.
	Instance func(name string) (engine.Resources, bool)
	// Dial opens a client of a replica.
	Dial func(addr string, image *Image) (engine.Client, error)
	// Apply puts what Pools says in force. It is called by one goroutine, after changes, and again until it has succeeded.
	Apply func(ctx context.Context) error
	// LogDir is where the output of replicas goes.
	LogDir string
	Log    *slog.Logger
}

// Fleet keeps replicas. It is safe for concurrent use.
type Fleet struct {
	opts   Options
	ctx    context.Context //nolint:containedctx // the life of the replicas, which is that of the fleet
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	variants map[string]*variant
	watchers map[*watcher]struct{}
	apply    applier
	closed   bool
}

// New returns a fleet without variants. Close must be called.
func New(opts Options) *Fleet {
	f := &Fleet{opts: opts, variants: map[string]*variant{}, watchers: map[*watcher]struct{}{}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.apply.wake = make(chan struct{}, 1)
	f.wg.Go(f.applyChanges)
	return f
}

// Close ends all replicas, by force when ctx ends, and returns when nothing of them is left.
func (f *Fleet) Close(ctx context.Context) {
	f.mu.Lock()
	f.closed = true
	for _, v := range f.variants {
		v.remove()
	}
	f.mu.Unlock()
	stop := context.AfterFunc(ctx, f.cancel)
	f.drained()
	stop()
	f.cancel()
	f.wg.Wait()
}

// drained waits until no replica is there.
func (f *Fleet) drained() {
	f.mu.Lock()
	var all []*replica
	for _, v := range f.variants {
		all = append(all, v.replicas...)
	}
	f.mu.Unlock()
	for _, r := range all {
		<-r.gone
	}
}

// Ensure lets a variant be there as described. Faults: Invalid for one that cannot be, Conflict for content that needs a new generation.
func (f *Fleet) Ensure(_ context.Context, want *Variant) error {
	image, resources, err := f.check(want)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return fault.New(fault.Unavailable, "The server is stopping.")
	}
	v := f.variants[want.ID]
	switch {
	case v == nil || v.removed && len(v.replicas) == 0:
		v = &variant{f: f, Variant: *want, image: image, resources: resources}
		f.variants[want.ID] = v
		v.generation++
		f.adopt(v)
	case v.removed:
		return fault.Newf(fault.Conflict, "The variant %s is being removed.", want.ID)
	case !v.sameContent(want):
		return fault.Newf(fault.Conflict, "The variant %s is there with another container: a new one needs a new generation.", want.ID)
	default:
		if want.Desired != v.Desired {
			v.generation++
			v.adopted = 0
		}
		v.Variant = *want
	}
	v.failed, v.crashes, v.after = false, 0, time.Time{}
	v.bounds = nil
	v.schedule(time.Now())
	v.reconcile()
	f.changed(v)
	return nil
}

// check holds a variant against what can be.
func (f *Fleet) check(v *Variant) (image Image, r engine.Resources, err error) {
	if !validID(v.ID) {
		return image, r, fault.Newf(fault.Invalid, "%q is not the name of a variant.", v.ID)
	}
	image, ok := f.opts.Image(v.Container.Image)
	if !ok {
		return image, r, fault.Newf(fault.Invalid, "There is no image %q: the configuration maps the names of images to commands (images), and knows none of that name.", v.Container.Image)
	}
	if len(v.Container.Command) > 0 {
		image.Command = v.Container.Command
	}
	if len(image.Command) == 0 {
		return image, r, fault.Newf(fault.Invalid, "The image %q has no command.", v.Container.Image)
	}
	if err := v.Rules.Validate(); err != nil {
		return image, r, fault.Wrap(fault.Invalid, err, "The rules of scaling cannot be: "+err.Error()+".")
	}
	if v.Instance != "" {
		if r, ok = f.opts.Instance(v.Instance); !ok {
			return image, r, fault.Newf(fault.Invalid, "There is no instance type %q: the configuration says which there are (instances).", v.Instance)
		}
	}
	r = engine.Resources{
		CPUMilli: cmp.Or(v.Resources.CPUMilli, r.CPUMilli), Memory: cmp.Or(v.Resources.Memory, r.Memory), GPUs: cmp.Or(v.Resources.GPUs, r.GPUs),
	}
	if v.Container.Weights != "" && f.opts.Weights == nil {
		return image, r, fault.New(fault.Unsupported, "Weights cannot be brought here.")
	}
	return image, r, nil
}

// Remove lets a variant finish its calls and end, also where there is none. It does not wait; Status says when nothing is left.
func (f *Fleet) Remove(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if v := f.variants[id]; v != nil && !v.removed {
		v.remove()
		f.changed(v)
	}
	return nil
}

// Status says how a variant stands; false when nothing of it is left.
func (f *Fleet) Status(id string) (Status, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.variants[id]
	if v == nil {
		return Status{}, false
	}
	return v.status(), true
}

// List says how all variants stand, by ID.
func (f *Fleet) List() []Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Status
	for _, id := range slices.Sorted(maps.Keys(f.variants)) {
		out = append(out, f.variants[id].status())
	}
	return out
}

// Want says how many replicas the scheduler wants of a variant. It does not wait, so that it can be called from within the scheduler.
func (f *Fleet) Want(id string, n int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if v := f.variants[id]; v != nil && !v.removed && v.want != n {
		v.want = n
		v.reconcile()
		f.tell(id)
	}
}

// Pool is a variant as the scheduler is to know it.
type Pool struct {
	Variant *Variant // immutable
	// Rules are those of now: with the bounds of schedules, and the start as it was learned. Where replicas do not come up they have none.
	Rules scale.Rules
	// Desired sets the number by hand, once for each Generation.
	Desired    int32
	Generation uint64
	Protocol   Protocol
	Replicas   []Up
}

// Up is a replica that takes calls.
type Up struct {
	Name   string
	Client engine.Client
}

// Pools says what the scheduler is to know, by ID.
func (f *Fleet) Pools() []Pool {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Pool
	for _, id := range slices.Sorted(maps.Keys(f.variants)) {
		if v := f.variants[id]; !v.removed {
			out = append(out, v.pool())
		}
	}
	return out
}

// Discard ends what an earlier program has left and no variant has taken over. It is called when all variants that there should be are there.
func (f *Fleet) Discard(ctx context.Context) error {
	if a, ok := f.opts.Launcher.(engine.Adopter); ok {
		return a.Discard(ctx)
	}
	return nil
}

// applier brings changes to the scheduler.
type applier struct {
	wake  chan struct{}
	asked uint64 // changes so far
	done  uint64 // of these, those in force
	waits []applied
}

type applied struct {
	from uint64
	done chan struct{}
}

// changed has what the scheduler knows of a variant brought up to date. The mutex is held.
func (f *Fleet) changed(v *variant) {
	f.apply.asked++
	select {
	case f.apply.wake <- struct{}{}:
	default:
	}
	f.tell(v.ID)
}

// inForce returns a channel that is closed when all changes so far are in force. The mutex is held.
func (f *Fleet) inForce() <-chan struct{} {
	done := make(chan struct{})
	if f.apply.done >= f.apply.asked {
		close(done)
		return done
	}
	f.apply.waits = append(f.apply.waits, applied{f.apply.asked, done})
	return done
}

// again is the pause before changes are brought once more.
const again = time.Second

// applyChanges runs until the fleet is closed.
func (f *Fleet) applyChanges() {
	for {
		select {
		case <-f.ctx.Done():
			f.reached(^uint64(0))
			return
		case <-f.apply.wake:
		}
		f.mu.Lock()
		asked := f.apply.asked
		f.mu.Unlock()
		if err := f.opts.Apply(f.ctx); err != nil {
			if f.ctx.Err() == nil {
				f.opts.Log.Error("the replicas of endpoints cannot be applied; it is tried again", "error", err)
			}
			timer := time.NewTimer(again)
			select {
			case <-timer.C:
			case <-f.ctx.Done():
			}
			timer.Stop()
			select {
			case f.apply.wake <- struct{}{}:
			default:
			}
			continue
		}
		f.reached(asked)
	}
}

// reached notes that changes are in force.
func (f *Fleet) reached(n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.apply.done = max(f.apply.done, n)
	f.apply.waits = slices.DeleteFunc(f.apply.waits, func(w applied) bool {
		if w.from <= n {
			close(w.done)
		}
		return w.from <= n
	})
}

// watcher is one who is told of changes.
type watcher struct {
	wake chan struct{}
	ids  map[string]struct{} // changed, and not yet told
}

// Changes returns the IDs of variants whose status changes, from now on until ctx ends. One that changes often before it is read is told once.
func (f *Fleet) Changes(ctx context.Context) <-chan string {
	w := &watcher{wake: make(chan struct{}, 1), ids: map[string]struct{}{}}
	out := make(chan string)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers[w] = struct{}{}
	go func() {
		defer close(out)
		for {
			for _, id := range f.takeChanges(w) {
				select {
				case out <- id:
				case <-ctx.Done():
				}
			}
			select {
			case <-w.wake:
			case <-ctx.Done():
				f.mu.Lock()
				delete(f.watchers, w)
				f.mu.Unlock()
				return
			}
		}
	}()
	return out
}

func (f *Fleet) takeChanges(w *watcher) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := slices.Sorted(maps.Keys(w.ids))
	clear(w.ids)
	return ids
}

// tell wakes those who watch. The mutex is held.
func (f *Fleet) tell(id string) {
	for w := range f.watchers {
		w.ids[id] = struct{}{}
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// adopt takes over what an earlier program left of a variant. The mutex is held.
func (f *Fleet) adopt(v *variant) {
	a, ok := f.opts.Launcher.(engine.Adopter)
	if !ok {
		return
	}
	for _, left := range a.Left() {
		if left.Spec.Labels[labelVariant] != v.ID || !slices.Equal(left.Spec.Env, v.env()) {
			continue
		}
		i, err := a.Adopt(f.ctx, left.Spec.Name)
		if err != nil {
			f.opts.Log.Info("a replica of an earlier run is not there any more", "replica", left.Spec.Name, "error", err)
			continue
		}
		r := v.newReplica(left.Spec.Name)
		r.instance = i
		v.want++
		v.start(r)
	}
	if v.want > 0 {
		v.adopted = v.want
	}
}

var errStopped = errors.New("it was stopped")
