package cache

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"forebay/artifact"
	"forebay/artifact/fetch"
	"forebay/fault"
)

// tellEvery is how often progress is told while nothing but its numbers changes.
const tellEvery = 100 * time.Millisecond

// flight is one pull of a reference, for all of this program who wait for it.
type flight struct {
	c      *Cache
	ref    artifact.Ref
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when lease or err is there
	lease  *Lease        // held until the last has gone
	err    error

	waiting int // guarded by the cache's mutex

	mu       sync.Mutex // one at a time tells
	watchers map[int]func(Progress)
	next     int
	now      Progress
	told     time.Time
}

var errNobodyWaits = errors.New("nobody waits for these weights any more")

// board joins the flight of a reference, or begins one. Who has boarded leaves.
func (c *Cache) board(ctx context.Context, ref artifact.Ref, progress func(Progress)) (*flight, func()) {
	key := ref.String()
	c.mu.Lock()
	f := c.flights[key]
	if f == nil {
		f = &flight{c: c, ref: ref, done: make(chan struct{}), watchers: map[int]func(Progress){}}
		run, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		f.cancel = cancel
		c.flights[key] = f
		go f.run(run) // ends when it is done, or with the last who waits
	}
	f.waiting++
	c.mu.Unlock()
	seat := f.watch(progress)
	return f, func() {
		f.unwatch(seat)
		c.mu.Lock()
		f.waiting--
		last := f.waiting == 0
		if last && c.flights[key] == f { // who comes now begins anew
			delete(c.flights, key)
		}
		c.mu.Unlock()
		if last {
			f.cancel(errNobodyWaits)
			<-f.done
			if f.lease != nil {
				_ = f.lease.Release() // those who waited have their own
			}
		}
	}
}

// watch shows somebody the progress, beginning with what it is.
func (f *flight) watch(progress func(Progress)) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	if progress != nil {
		f.watchers[f.next] = progress
		if f.now.Phase != "" {
			progress(f.now)
		}
	}
	return f.next
}

func (f *flight) unwatch(seat int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.watchers, seat)
}

// tell changes the progress, and shows it: at once when the phase is another, else now and then.
func (f *flight) tell(change func(*Progress)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	phase := f.now.Phase
	change(&f.now)
	now := f.c.o.now()
	if f.now.Phase == phase && now.Sub(f.told) < tellEvery {
		return
	}
	f.told = now
	for _, seat := range slices.Sorted(maps.Keys(f.watchers)) {
		f.watchers[seat](f.now)
	}
}

func (f *flight) phase(p Phase) { f.tell(func(now *Progress) { *now = Progress{Phase: p} }) }

// run brings the weights.
func (f *flight) run(ctx context.Context) {
	f.lease, f.err = f.bring(ctx)
	if f.err == nil {
		f.tell(func(now *Progress) {
			*now = Progress{Phase: Ready, Done: f.lease.snap.Bytes, Total: f.lease.snap.Bytes, Files: len(f.lease.snap.Files)}
		})
	}
	f.c.mu.Lock()
	if f.c.flights[f.ref.String()] == f { // who comes now asks the source anew
		delete(f.c.flights, f.ref.String())
	}
	f.c.mu.Unlock()
	close(f.done)
}

func (f *flight) bring(ctx context.Context) (*Lease, error) {
	c := f.c
	f.phase(Resolving)
	l, err := c.o.Source.List(ctx, f.ref)
	if e := fault.From(err); err != nil && e.Code == fetch.CodeUnreachable {
		old, ferr := c.find(ctx, refKey(f.ref))
		if old != nil && ferr == nil {
			old.stale = true
			return old, nil
		}
	}
	if err != nil {
		return nil, err
	}
	if l.Local != "" && (l.Folder || !artifact.IsArchive(l.Local)) {
		return c.local(ctx, f.ref, l)
	}
	if err := c.mayUse(l.Licence); err != nil {
		return nil, err
	}
	p := newPull(f, l)
	lease, err := c.find(ctx, p.known)
	if lease == nil && err == nil {
		lease, err = p.run(ctx)
	}
	if err != nil {
		return nil, err
	}
	for _, key := range []string{refKey(f.ref), refKey(p.pinned), p.known} {
		if key == "" {
			continue
		}
		if err := c.note(key, lease.snap.ID); err != nil {
			return nil, errors.Join(artifact.DiskError(err), lease.Release())
		}
	}
	return lease, nil
}
