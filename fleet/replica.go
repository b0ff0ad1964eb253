package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"forebay/engine"
	"forebay/fault"
)

// Health of replicas that are up.
const (
	probeEvery = 5 * time.Second
	// maxMissed probes in a row without a good answer, and the replica is replaced.
	maxMissed = 3
	// resourcesEvery is how often a replica asks for resources that others use.
	resourcesEvery = time.Second
	// drainFor bounds how long calls may take that run on a replica that is to end.
	drainFor         = time.Hour
	defaultDownload  = time.Hour
	defaultStartTime = engine.DefaultStartTimeout
)

// replica is a Replica with what it is made of. The fleet's mutex guards it, but for what its own goroutine alone uses.
type replica struct {
	Replica
	v        *variant
	stopping error         // why it ends; nil while it is to stay
	cancel   func()        // wakes its goroutine when it is to end
	client   *gauge        // once it is ready
	gone     chan struct{} // closed when nothing of it is left

	instance engine.Instance // its goroutine's own, as is
	release  func()          // which gives the weights back
}

// start begins a replica's life. The mutex is held.
func (v *variant) start(r *replica) {
	f := v.f
	v.replicas = append(v.replicas, r)
	ctx, cancel := context.WithCancel(f.ctx)
	r.cancel = cancel
	f.wg.Go(func() {
		defer cancel()
		r.live(ctx)
	})
}

// stop lets a replica end. The mutex is held.
func (r *replica) stop(why error) {
	if r.stopping == nil {
		r.stopping = why
		r.cancel()
	}
}

// live is the life of a replica.
func (r *replica) live(ctx context.Context) {
	f := r.v.f
	err := r.bringUp(ctx)
	if err == nil {
		err = r.watch(ctx)
	}
	r.end(err)
	if r.release != nil {
		r.release()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	v := r.v
	r.Timeline.Ended = time.Now()
	r.Phase = PhaseEnded
	if r.stopping == nil && f.ctx.Err() == nil {
		r.Reason = reasonOf(err)
		f.opts.Log.WarnContext(ctx, "a replica has failed", "endpoint", v.Endpoint, "variant", v.Name, "replica", r.Name, "reason", r.Reason)
		v.crashed(r, err)
	}
	for i, other := range v.replicas {
		if other == r {
			v.replicas = append(v.replicas[:i:i], v.replicas[i+1:]...)
			break
		}
	}
	v.ended = append(v.ended, r.Replica)
	v.ended = v.ended[max(0, len(v.ended)-keepEnded):]
	if v.removed && len(v.replicas) == 0 {
		delete(f.variants, v.ID)
	}
	v.reconcile()
	f.changed(v)
	close(r.gone)
}

// reasonOf is what people are told of a failure, with the last lines of the replica.
func reasonOf(err error) string {
	e := fault.From(err)
	text := cmp.Or(e.Message, err.Error())
	if e.OriginalMessage != "" {
		text += " Its last lines: " + e.OriginalMessage
	}
	return text
}

// enter puts the replica into a phase, unless it is to end.
func (r *replica) enter(p Phase, at *time.Time) {
	f := r.v.f
	f.mu.Lock()
	defer f.mu.Unlock()
	r.Phase = p
	if at.IsZero() {
		*at = time.Now()
	}
	f.tell(r.Variant)
}

// bringUp returns nil when the replica takes calls.
func (r *replica) bringUp(ctx context.Context) error {
	dir, release, err := r.download(ctx)
	if err != nil {
		return err
	}
	r.release = release
	if err := r.launch(ctx, dir); err != nil {
		return err
	}
	if err := r.instance.Ready(ctx); err != nil {
		return err
	}
	client, err := r.v.f.opts.Dial(r.instance.Addr(), &r.v.image)
	if err != nil {
		return err
	}
	f := r.v.f
	f.mu.Lock()
	defer f.mu.Unlock()
	r.client = newGauge(client)
	r.Timeline.Ready = time.Now()
	r.Phase = PhaseReady
	if !r.Timeline.Starting.IsZero() { // it was not adopted
		r.v.learn(r.Timeline.Ready.Sub(r.Timeline.Queued))
	}
	r.v.reason = ""
	f.opts.Log.InfoContext(ctx, "a replica is ready", "endpoint", r.v.Endpoint, "variant", r.v.Name, "replica", r.Name, "address", r.Addr, "after", r.Timeline.Ready.Sub(r.Timeline.Queued))
	f.changed(r.v)
	return nil
}

// download brings the weights.
func (r *replica) download(ctx context.Context) (dir string, release func(), err error) {
	ref := r.v.Container.Weights
	if ref == "" {
		return "", func() {}, nil
	}
	r.enter(PhaseDownloading, &r.Timeline.Downloading)
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.v.Download, defaultDownload))
	defer cancel()
	f := r.v.f
	dir, release, err = f.opts.Weights(ctx, ref, func(done, total int64) {
		f.mu.Lock()
		defer f.mu.Unlock()
		r.Done, r.Total = done, total
		f.tell(r.Variant)
	})
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "", nil, fault.Wrap(fault.Timeout, err, "The weights did not come in time.")
	}
	return dir, release, err
}

// launch starts the process, as soon as there are resources for it. One that was adopted runs already.
func (r *replica) launch(ctx context.Context, dir string) error {
	if r.instance != nil {
		r.found(filepath.Join(r.v.f.opts.LogDir, r.Name+".log"))
		return nil
	}
	spec, err := r.spec(dir)
	if err != nil {
		return err
	}
	for {
		r.instance, err = r.v.f.opts.Launcher.Start(ctx, spec)
		if fault.KindOf(err) != fault.Overloaded || err == nil {
			break
		}
		r.waits(err)
		timer := time.NewTimer(resourcesEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
	if err != nil {
		return err
	}
	r.enter(PhaseStarting, &r.Timeline.Starting)
	r.found(filepath.Join(spec.LogDir, r.Name+".log"))
	return nil
}

// found notes where the replica and its output are.
func (r *replica) found(log string) {
	r.v.f.mu.Lock()
	defer r.v.f.mu.Unlock()
	r.Addr, r.Log, r.Reason = r.instance.Addr(), log, ""
}

// waits says what the replica waits for.
func (r *replica) waits(err error) {
	f := r.v.f
	f.mu.Lock()
	defer f.mu.Unlock()
	r.Phase, r.Reason = PhaseQueued, reasonOf(err)
	r.v.reason = r.Reason
	f.tell(r.Variant)
}

// spec describes the process.
func (r *replica) spec(dir string) (*engine.Spec, error) {
	v := r.v
	gguf := ""
	for _, arg := range v.image.Command {
		if strings.Contains(arg, PlaceGGUF) && gguf == "" {
			var err error
			if gguf, err = findGGUF(dir); err != nil {
				return nil, err
			}
		}
	}
	places := strings.NewReplacer(PlaceGGUF, gguf, PlaceName, cmp.Or(v.Container.Model, v.Endpoint))
	command := make([]string, len(v.image.Command))
	for i, arg := range v.image.Command {
		command[i] = places.Replace(arg)
	}
	return &engine.Spec{
		Name: r.Name, Labels: map[string]string{labelVariant: v.ID}, Image: v.Container.Image, Command: command, Env: v.env(), ModelDir: dir,
		LogDir: v.f.opts.LogDir, Slots: v.Rules.Slots, Resources: v.resources,
		Health: engine.Health{Path: v.image.Health, StartTimeout: cmp.Or(v.Start, defaultStartTime)},
	}, nil
}

// findGGUF is the file of a model's directory that llama-server is to load: the first part, of one in several.
func findGGUF(dir string) (string, error) {
	var first string
	if dir != "" {
		err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.EqualFold(filepath.Ext(path), ".gguf") && first == "" && !strings.Contains(strings.ToLower(path), "mmproj") {
				first = filepath.Join(dir, filepath.FromSlash(path))
			}
			return err
		})
		if err != nil {
			return "", err
		}
	}
	if first == "" {
		return "", fault.New(fault.Invalid, "There is no GGUF file among the weights.")
	}
	return first, nil
}

// watch returns when the replica is to end, has ended, or does not answer any more.
func (r *replica) watch(ctx context.Context) error {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	missed := 0
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-r.instance.Done():
			return cmp.Or(r.instance.Err(), errStopped)
		case <-tick.C:
		}
		pctx, cancel := context.WithTimeout(ctx, engine.DefaultPingTimeout)
		err := r.client.Probe(pctx)
		cancel()
		switch {
		case err == nil:
			missed = 0
		case ctx.Err() != nil:
		default:
			if missed++; missed >= maxMissed {
				return fault.Wrap(fault.Timeout, err, fmt.Sprintf("The replica did not answer %d probes in a row.", missed))
			}
		}
	}
}

// end takes the replica from the scheduler, lets its calls finish if it ends in order, and stops what runs.
func (r *replica) end(why error) {
	f := r.v.f
	f.mu.Lock()
	r.Phase = PhaseDraining
	r.Timeline.Draining = time.Now()
	orderly := r.stopping != nil
	client := r.client
	var inForce <-chan struct{}
	if client != nil {
		f.changed(r.v)
		inForce = f.inForce()
	}
	f.mu.Unlock()
	if client != nil {
		<-inForce
		if orderly {
			client.drain(f.ctx, drainFor)
		}
	}
	if r.instance != nil {
		ctx, cancel := context.WithCancel(f.ctx)
		if fault.KindOf(why) == fault.Timeout && !orderly { // it hangs
			cancel()
		}
		_ = r.instance.Stop(ctx)
		cancel()
	}
	if client != nil {
		_ = client.Close()
		f.mu.Lock()
		r.Timeline.FirstCall = client.firstCall()
		f.mu.Unlock()
	}
}
