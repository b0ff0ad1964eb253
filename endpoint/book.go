package endpoint

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"forebay/fault"
	"forebay/fleet"
	"forebay/resource"
	"forebay/store"

	"github.com/go-json-experiment/json"
)

// Options are what a Book is made with.
type Options struct {
	Store  resource.Store
	Fleet  Fleet                  // nil where nothing runs instances
	Health func(id string) Health // of the calls of a variant; nil is what Observe was told
	// Taken reports whether a name stands for something else that can be called, also for what is stored and not yet in force; nil where nothing else has names.
	Taken  func(ctx context.Context, tx *store.Tx, account, name string) (bool, error)
	Region string
	// Operator is the account that may name files of this machine, and of its network.
	Operator string
	Log      *slog.Logger
	Now      func() time.Time // time.Now, but for tests
}

// Fleet runs variants. What it is asked for it begins, and returns; what came of that is in the status.
type Fleet interface {
	// Ensure lets a variant be there as described, also where it is there already. Faults: those of a variant that cannot be.
	Ensure(ctx context.Context, v *fleet.Variant) error
	// Remove lets a variant finish its calls and end, also where there is none.
	Remove(ctx context.Context, id string) error
	// Status says how a variant stands; false when nothing of it is left.
	Status(id string) (fleet.Status, bool)
}

// Book keeps what is deployed. It is safe for concurrent use.
type Book struct {
	Options
	wake chan struct{}

	mu sync.Mutex // held while endpoints change
	// live has all endpoints as they are stored, by ARN. Its endpoints are never changed, only replaced.
	live atomic.Pointer[map[string]*entry]
	// asked is what the fleet was last asked for, by the IDs of variants: nil for their end. Guarded by mu.
	asked map[string]*fleet.Variant

	// scaled is what is registered to scale. Like live it is never changed, only replaced.
	scaled atomic.Pointer[map[Scalable]*Scaled]

	calls tally
}

// New returns the book over a store. Load must be called before endpoints are used.
func New(o Options) *Book {
	if o.Now == nil {
		o.Now = time.Now
	}
	b := &Book{Options: o, wake: make(chan struct{}, 1), asked: map[string]*fleet.Variant{}}
	if b.Health == nil {
		b.Health = b.calls.of
	}
	b.live.Store(&map[string]*entry{})
	b.scaled.Store(&map[Scalable]*Scaled{})
	return b
}

// now is the wall clock's time, as it is stored and shown.
func (b *Book) now() time.Time { return b.Now().UTC().Round(0) }

// maxObjects is how many models, and how many configurations, an account has at most.
const maxObjects = 10_000

// Head is what everything that is kept here has. It is stored beside what it is the head of.
type Head struct {
	ARN     string    `json:"-"`
	Account string    `json:"-"`
	Name    string    `json:"-"`
	Created time.Time `json:"-"`
	Changed time.Time `json:"-"`
}

// Made implements resource.Listed.
func (h *Head) Made() time.Time { return h.Created }

// Identity implements resource.Listed: lists that are ordered by it are ordered by name.
func (h *Head) Identity() string { return h.ARN }

func (h *Head) head() *Head { return h }

// object is a kind of what is kept here.
type object[T any] interface {
	*T
	resource.Listed
	head() *Head
}

// words are what the service calls a kind of resources.
var words = map[string]string{resource.Model: "model", resource.EndpointConfig: "endpoint configuration", resource.Endpoint: "endpoint"}

// arn names something of a kind.
func (b *Book) arn(kind, account, name string) string {
	return resource.ARN{Service: resource.SageMaker, Region: b.Region, Account: account, Kind: kind, ID: name}.String()
}

// read takes an object out of how the store has it.
func read[T any, P object[T]](r *store.Resource) (P, error) {
	o := P(new(T))
	if err := json.Unmarshal(r.Body, o); err != nil {
		return nil, fmt.Errorf("the stored %s %s: %w", r.Kind, r.ARN, err)
	}
	*o.head() = Head{ARN: r.ARN, Account: r.Account, Name: r.Name, Created: r.Created, Changed: r.Updated}
	return o, nil
}

// find returns an account's object. Faults: NotFound in the service's words.
func find[T any, P object[T]](ctx context.Context, tx *store.Tx, b *Book, kind, account, name string) (P, error) {
	arn := b.arn(kind, account, name)
	r, err := tx.Resource(ctx, arn)
	if err != nil {
		if fault.KindOf(err) == fault.NotFound {
			err = fault.Newf(fault.NotFound, "Could not find %s %q.", words[kind], arn)
		}
		return nil, err
	}
	return read[T, P](r)
}

// show is find in a transaction of its own.
func show[T any, P object[T]](ctx context.Context, b *Book, kind, account, name string) (o P, err error) {
	err = b.Store.View(ctx, func(tx *store.Tx) error {
		o, err = find[T, P](ctx, tx, b, kind, account, name)
		return err
	})
	return o, err
}

// all returns the objects of a kind, of an account or with "" of every one, in the order in which they were made.
func all[T any, P object[T]](ctx context.Context, tx *store.Tx, kind, account string) ([]P, error) {
	list, err := tx.Resources(ctx, kind, account)
	if err != nil {
		return nil, err
	}
	out := make([]P, len(list))
	for i := range list {
		if out[i], err = read[T, P](&list[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// whole keeps all of a list.
func whole[T any](*T) bool { return true }

// page returns a page of an account's objects, those that also fits, and the token of the next.
func page[T any, P object[T]](ctx context.Context, b *Book, kind, account string, f *resource.Filter, also func(P) bool) ([]P, string, error) {
	var found []P
	err := b.Store.View(ctx, func(tx *store.Tx) (err error) {
		found, err = all[T, P](ctx, tx, kind, account)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	kept := found[:0]
	for _, o := range found {
		if f.Holds(o.head().Name) && also(o) {
			kept = append(kept, o)
		}
	}
	return resource.Page(kept, f)
}

// stored is how the store has an object.
func stored[T any, P object[T]](o P, kind string) (*store.Resource, error) {
	body, err := json.Marshal(o)
	h := o.head()
	return &store.Resource{ARN: h.ARN, Kind: kind, Account: h.Account, Name: h.Name, Body: body, Created: h.Created, Updated: h.Changed}, err
}

// create makes an object with the name that it has, and returns its ARN. Check is what the store must allow. Faults: Conflict in the
// service's words; check's; those of resource.Create.
func create[T any, P object[T]](ctx context.Context, b *Book, kind string, c *resource.Creation, o P, check func(tx *store.Tx) error) (string, error) {
	h, now := o.head(), b.now()
	*h = Head{ARN: b.arn(kind, c.Account, h.Name), Account: c.Account, Name: h.Name, Created: now, Changed: now}
	c.Max = maxObjects
	return resource.Create(ctx, b.Store, c, func(tx *store.Tx) (*store.Resource, error) {
		switch _, err := tx.NamedResource(ctx, kind, c.Account, h.Name); {
		case err == nil:
			return nil, fault.Newf(fault.Conflict, "Cannot create already existing %s %q.", words[kind], h.ARN)
		case fault.KindOf(err) != fault.NotFound:
			return nil, err
		}
		if err := check(tx); err != nil {
			return nil, err
		}
		return stored(o, kind)
	})
}

// remove deletes an object. Faults: NotFound.
func remove[T any, P object[T]](ctx context.Context, b *Book, kind, account, name string) error {
	return b.Store.Update(ctx, func(tx *store.Tx) error {
		o, err := find[T, P](ctx, tx, b, kind, account, name)
		if err != nil {
			return err
		}
		return tx.DeleteResource(ctx, o.head().ARN)
	})
}
