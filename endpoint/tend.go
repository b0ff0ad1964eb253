package endpoint

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"forebay/capacity/scale"
	"forebay/engine"
	"forebay/fault"
	"forebay/fleet"
	"forebay/resource"
	"forebay/store"

	"github.com/go-json-experiment/json"
)

// again is after how long a step is tried again that failed for reasons of ours, or looked at again that waits for instances.
const again = 5 * time.Second

// entry is an endpoint with what is known of it while the program runs.
type entry struct {
	*Endpoint
	drawn *counter // of the calls that were sent somewhere
}

// keep puts an endpoint as it is stored in force, and lets Run look at it. b.mu is held.
func (b *Book) keep(e *Endpoint) {
	next := maps.Clone(*b.live.Load())
	x := &entry{Endpoint: e, drawn: new(counter)}
	if was := next[e.ARN]; was != nil {
		x.drawn = was.drawn
	}
	next[e.ARN] = x
	b.live.Store(&next)
	b.Wake()
}

// forget takes an endpoint out of force. b.mu is held.
func (b *Book) forget(arn string) {
	next := maps.Clone(*b.live.Load())
	delete(next, arn)
	b.live.Store(&next)
}

// Wake lets Run look whether something can go on: the fleet has changed.
func (b *Book) Wake() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Load reads what is stored, once, before anything else.
func (b *Book) Load(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Store.View(ctx, func(tx *store.Tx) error {
		list, err := all[Endpoint](ctx, tx, resource.Endpoint, "")
		for _, e := range list {
			b.keep(e)
		}
		if err != nil {
			return err
		}
		targets, err := all[Scaled](ctx, tx, kindScaled, "")
		for _, t := range targets {
			b.setScaled(t.Scalable(), t)
		}
		return err
	})
}

// Run brings every endpoint to where it is to be until ctx ends.
func (b *Book) Run(ctx context.Context) error {
	for {
		var timer <-chan time.Time
		if next := b.Tend(ctx); !next.IsZero() {
			timer = time.After(max(0, next.Sub(b.Now())))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-b.wake:
		case <-timer:
		}
	}
}

// Tend takes every step that is due, and returns when to be called again at the latest; zero when nothing is under way. One call at a time.
func (b *Book) Tend(ctx context.Context) (next time.Time) {
	if b.Fleet == nil {
		return next
	}
	due := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	table := *b.live.Load()
	for _, arn := range slices.Sorted(maps.Keys(table)) {
		at, err := b.tend(ctx, arn)
		if err != nil && ctx.Err() == nil {
			b.Log.ErrorContext(ctx, "an endpoint could not be brought on; it is tried again", "endpoint", arn, "error", err)
			at = b.Now().Add(again)
		}
		due(at)
	}
	return next
}

// visit is one look at one endpoint.
type visit struct {
	b   *Book
	ctx context.Context //nolint:containedctx // the life of one call
	e   *Endpoint       // a copy, to be changed
	now time.Time
	// next is when to look again at the latest, zero for when something happens.
	next time.Time
}

// due asks for another look at an instant.
func (v *visit) due(at time.Time) {
	if v.next.IsZero() || at.Before(v.next) {
		v.next = at
	}
}

// tend takes the steps of one endpoint that are due. Each is stored before the next is taken.
func (b *Book) tend(ctx context.Context, arn string) (time.Time, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := (*b.live.Load())[arn]
	if x == nil {
		return time.Time{}, nil
	}
	for {
		v := &visit{b: b, ctx: ctx, e: x.clone(), now: b.now()}
		gone, err := v.step()
		if err != nil {
			return time.Time{}, err
		}
		if gone {
			return time.Time{}, b.end(ctx, v.e)
		}
		if same(x.Endpoint, v.e) {
			return v.next, nil
		}
		if err := b.Store.Update(ctx, func(tx *store.Tx) error { return b.save(ctx, tx, v.e) }); err != nil {
			return time.Time{}, err
		}
		b.keep(v.e)
		x = (*b.live.Load())[arn]
	}
}

// end forgets an endpoint of which nothing is left, and what was registered to scale of it. b.mu is held.
func (b *Book) end(ctx context.Context, e *Endpoint) error {
	var targets []*Scaled
	for s, t := range *b.scaled.Load() {
		if s.Account == e.Account && s.Endpoint == e.Name {
			targets = append(targets, t)
		}
	}
	err := b.Store.Update(ctx, func(tx *store.Tx) error {
		for _, t := range targets {
			if err := tx.DeleteResource(ctx, t.ARN); err != nil {
				return err
			}
		}
		return tx.DeleteResource(ctx, e.ARN)
	})
	if err != nil {
		return err
	}
	for _, t := range targets {
		b.setScaled(t.Scalable(), nil)
	}
	b.forget(e.ARN)
	return nil
}

// clone returns an endpoint that shares nothing with e that a step changes.
func (e *Endpoint) clone() *Endpoint {
	c := *e
	c.Variants, c.Retired = slices.Clone(e.Variants), slices.Clone(e.Retired)
	if e.Update != nil {
		u := *e.Update
		u.Variants = slices.Clone(u.Variants)
		c.Update = &u
	}
	return &c
}

// same reports whether two states of an endpoint are stored alike.
func same(a, b *Endpoint) bool {
	x, err := json.Marshal(a, json.Deterministic(true))
	y, err2 := json.Marshal(b, json.Deterministic(true))
	return err == nil && err2 == nil && bytes.Equal(x, y)
}

// step takes one step, if one is due. It reports whether nothing of the endpoint is left that was to be gone.
func (v *visit) step() (gone bool, err error) {
	if err := v.clear(); err != nil {
		return false, err
	}
	e := v.e
	switch e.Status {
	case Deleting:
		return len(e.Retired) == 0, nil
	case Creating:
		return false, v.create()
	case Updating:
		if e.Update != nil {
			return false, v.update()
		}
		return false, v.resize()
	case RollingBack:
		return false, v.back()
	case InService, RollbackFailed:
		for i := range e.Variants { // what a restart has forgotten
			if err := v.ensure(&e.Variants[i]); err != nil && unforeseen(err) {
				return false, err
			}
		}
	case Failed:
	}
	return false, nil
}

// clear removes what was retired, and forgets what is gone.
func (v *visit) clear() error {
	e := v.e
	var left []string
	for _, id := range e.Retired {
		if was, asked := v.b.asked[id]; !asked || was != nil {
			if err := v.b.Fleet.Remove(v.ctx, id); err != nil {
				return err
			}
			v.b.asked[id] = nil
		}
		if _, there := v.b.Fleet.Status(id); there {
			left = append(left, id)
			v.due(v.now.Add(again))
			continue
		}
		delete(v.b.asked, id)
		v.b.calls.forget(id)
	}
	e.Retired = left
	return nil
}

// ensure asks the fleet for a variant, unless it was asked for the same before.
func (v *visit) ensure(d *Deployed) error {
	want := v.b.wanted(v.e, d)
	if was := v.b.asked[d.ID]; was != nil && reflect.DeepEqual(was, want) {
		return nil
	}
	if err := v.b.Fleet.Ensure(v.ctx, want); err != nil {
		return err
	}
	v.b.asked[d.ID] = want
	return nil
}

// serverlessIdle is after how long without a call nothing of a serverless variant is left (but what is provisioned). The service publishes no number.
const serverlessIdle = 5 * time.Minute

// wanted describes a variant to the fleet.
func (b *Book) wanted(e *Endpoint, d *Deployed) *fleet.Variant {
	v := &d.Variant
	out := &fleet.Variant{
		ID: d.ID, Account: e.Account, Endpoint: e.Name, Name: v.Name, Instance: v.Instance, Desired: d.Count,
		Container: fleet.Container{Image: d.Container.Image, Weights: d.Container.Data},
		Rules:     scale.Rules{Min: d.Count, Max: d.Count},
		Download:  time.Duration(v.Download) * time.Second, Start: time.Duration(v.Start) * time.Second,
	}
	for _, name := range slices.Sorted(maps.Keys(d.Container.Environment)) {
		out.Container.Env = append(out.Container.Env, name+"="+d.Container.Environment[name])
	}
	b.scale(e, out)
	if s := v.Serverless; s != nil {
		out.Resources = engine.Resources{Memory: int64(s.MemoryMB) << 20}
		out.Rules = scale.Rules{Min: 0, Max: s.Concurrency, Provisioned: s.Provisioned, Slots: 1, Follow: true, Idle: serverlessIdle}
	}
	return out
}

// unforeseen reports whether an error says nothing of the variant, so that it is tried again.
func unforeseen(err error) bool {
	switch fault.KindOf(err) {
	case fault.Invalid, fault.NotFound, fault.Denied, fault.Conflict, fault.QuotaExceeded, fault.Unsupported, fault.TooLarge:
		return false
	}
	return true
}

// progress is how far variants are.
type progress uint8

const (
	waiting progress = iota
	ready            // as many instances are up as are to be
	failed           // they do not come up
)

// await asks for variants and says how far they are, with the reason when one has failed.
func (v *visit) await(variants []Deployed) (progress, string, error) {
	all := ready
	for i := range variants {
		d := &variants[i]
		if err := v.ensure(d); err != nil {
			if unforeseen(err) {
				return waiting, "", err
			}
			return failed, because(d, fault.From(err).Message), nil
		}
		st, there := v.b.Fleet.Status(d.ID)
		if there && st.Failed {
			return failed, because(d, st.Reason), nil
		}
		if !there || st.Ready < v.b.asked[d.ID].Desired {
			all = waiting
		}
	}
	if all == waiting {
		v.due(v.now.Add(again))
	}
	return all, "", nil
}

// because says why a variant failed, in the service's form.
func because(d *Deployed, reason string) string {
	reason = strings.TrimSpace(cmp.Or(reason, "its instances do not start"))
	return "The primary container for production variant " + d.Variant.Name + " did not start: " + reason
}

// create waits for the first instances.
func (v *visit) create() error {
	e := v.e
	switch got, why, err := v.await(e.Variants); {
	case err != nil:
		return err
	case got == failed:
		e.Status, e.Failure = Failed, why
		e.retire(e.Variants)
	case got == ready:
		e.Status = InService
	}
	return nil
}

// resize waits for other numbers of instances, and takes back what cannot be had.
func (v *visit) resize() error {
	e := v.e
	got, why, err := v.await(e.Variants)
	if err != nil || got == waiting {
		return err
	}
	e.Status, e.Failure = InService, why
	for i := range e.Variants {
		d := &e.Variants[i]
		if got == failed {
			d.Desired = d.Weight
			d.Count = cmp.Or(d.Before, d.Count)
		}
		d.Weight, d.Before = d.Desired, 0
	}
	return nil
}
