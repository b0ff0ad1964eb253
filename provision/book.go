package provision

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"forebay/catalog"
	"forebay/fault"
	"forebay/resource"
	"forebay/store"

	"github.com/go-json-experiment/json"
)

// Offer is what is sold of a model.
type Offer struct {
	Model  Model
	Unit   catalog.Unit
	Prices *catalog.UnitPrices // of a unit; nil when no price is known
	Tier   *catalog.TierPrices // of the reserved tier; nil when no price is known
	Embeds bool                // it makes no output tokens
}

// Offers finds what is sold.
type Offers interface {
	// Offer finds what a caller names in an order. Faults: UnknownModel; NotFound for an ARN of nothing or of somebody else; Invalid
	// for a model that is not sold by the unit.
	Offer(account, id string) (Offer, error)
	// OfferTier finds what a caller names in an order of the reserved tier: Offer, but for Unit and Prices. Models need no units for it.
	OfferTier(account, id string) (Offer, error)
	// Gone reports whether what Offer has found is no more in the store, and only in force still.
	Gone(ctx context.Context, tx *store.Tx, m *Model) (bool, error)
}

// Models tells what is sold, and what its names are in use for.
type Models interface {
	Offers
	// Taken reports whether a name stands for something else that can be called, also for what is stored in the same
	// store and not yet in force.
	Taken(ctx context.Context, tx *store.Tx, account, name string) (bool, error)
	// Route names a route with a lane of an account's throughput that is called so, by name or ARN; "" for none. Like Taken it knows
	// of what is stored and not yet in force.
	Route(ctx context.Context, tx *store.Tx, account, id string) (string, error)
	// Quota is how many units an account may have together; false is any number.
	Quota(account string) (units int64, limited bool)
}

// Room is what a pool can back.
type Room struct {
	Units int64 // that can be had beside what is sold
	// Replicas are those that back the units asked for, where they are to be isolated and can be had.
	Replicas []Whole
	Why      string // there are no more, for people
	Grows    bool   // the pool may have more in a while
}

// Ask is what is to be backed.
type Ask struct {
	Model     string
	Unit      catalog.Unit
	Units     int64
	Isolation Isolation
	Tier      bool // of the reserved tier, and no model units
}

// ask is what a throughput needs of the pool of a model.
func (t *Throughput) ask(model string) *Ask {
	unit, units := t.Backed()
	return &Ask{Model: model, Unit: unit, Units: units, Isolation: t.Isolation, Tier: t.Tier}
}

// Pools tells what can be backed.
type Pools interface {
	// Room returns how many units the pool of a model can back beside what is sold, which are all throughputs that
	// calls run on, of this and other models.
	Room(ask *Ask, sold []Throughput) Room
}

// Options are what a Book is made with.
type Options struct {
	Store  resource.Store
	Models Models
	Pools  Pools
	Region string
	Now    func() time.Time // time.Now, but for tests
	// Changed is called, without locks, after a change that has been stored, so that Tend is called soon.
	Changed func()
	// Declared lists what the configuration asks to be bought, each name of an account once; nil for nothing. What it returned must not
	// change any more.
	Declared func() []Declaration
}

// Book keeps all throughputs. It is safe for concurrent use.
type Book struct {
	Options

	mu    sync.Mutex
	unmet []Unmet // guarded by mu
}

// New returns the book over a store.
func New(o Options) *Book {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Changed == nil {
		o.Changed = func() {}
	}
	if o.Declared == nil {
		o.Declared = func() []Declaration { return nil }
	}
	return &Book{Options: o}
}

// now is the wall clock's time, as it is stored and shown.
func (b *Book) now() time.Time { return b.Now().UTC().Round(0) }

// kind is that of throughputs, as in ARNs.
const kind = resource.ProvisionedModel

// stored is how the store has a throughput.
func (t *Throughput) stored() (*store.Resource, error) {
	body, err := json.Marshal(t)
	return &store.Resource{ARN: t.ARN, Kind: kind, Account: t.Account, Name: t.Name, Body: body, Created: t.Created, Updated: t.Changed}, err
}

func fromResource(r *store.Resource) (*Throughput, error) {
	t := new(Throughput)
	if err := json.Unmarshal(r.Body, t); err != nil {
		return nil, fmt.Errorf("the stored throughput %s: %w", r.ARN, err)
	}
	return t, nil
}

// save stores a change.
func (t *Throughput) save(ctx context.Context, tx *store.Tx) error {
	r, err := t.stored()
	if err != nil {
		return err
	}
	return tx.UpdateResource(ctx, r)
}

// Find returns an account's throughput by its ARN or name. Faults: NotFound.
func Find(ctx context.Context, tx *store.Tx, account, id string) (*Throughput, error) {
	var r *store.Resource
	var err error
	if strings.HasPrefix(id, "arn:") {
		if r, err = tx.Resource(ctx, id); err == nil && (r.Account != account || r.Kind != kind) {
			err = fault.New(fault.NotFound, "")
		}
	} else {
		r, err = tx.NamedResource(ctx, kind, account, id)
	}
	if fault.KindOf(err) == fault.NotFound && err != nil {
		return nil, notFound(id)
	}
	if err != nil {
		return nil, err
	}
	return fromResource(r)
}

func notFound(id string) error {
	return fault.Newf(fault.NotFound, "Could not find the provisioned model throughput %.256s.", id)
}

// list returns the throughputs of an account, of all with "", in the order in which they were made.
func list(ctx context.Context, tx *store.Tx, account string) ([]Throughput, error) {
	resources, err := tx.Resources(ctx, kind, account)
	if err != nil {
		return nil, err
	}
	out := make([]Throughput, 0, len(resources))
	for i := range resources {
		t, err := fromResource(&resources[i])
		if err != nil {
			return nil, err
		}
		out = append(out, *t)
	}
	return out, nil
}

// Using names a throughput on which calls of a model run, or will, "" for none: of an account, of any with "". The model is given by its id or ARN;
// "" is any.
func Using(ctx context.Context, tx *store.Tx, account, model string) (string, error) {
	all, err := list(ctx, tx, account)
	i := slices.IndexFunc(all, func(t Throughput) bool {
		return t.Status != Failed && (model == "" || t.Model.is(model) || t.Desired.is(model))
	})
	if err != nil || i < 0 {
		return "", err
	}
	return all[i].Name, nil
}

// Get returns an account's throughput by its ARN or name. Faults: NotFound.
func (b *Book) Get(ctx context.Context, account, id string) (t *Throughput, err error) {
	err = b.Store.View(ctx, func(tx *store.Tx) error {
		t, err = Find(ctx, tx, account, id)
		return err
	})
	return t, err
}

// All returns the throughputs of every account, in the order in which they were made.
func (b *Book) All(ctx context.Context) (out []Throughput, err error) {
	err = b.Store.View(ctx, func(tx *store.Tx) error {
		out, err = list(ctx, tx, "")
		return err
	})
	return out, err
}

// Purchase is a throughput as it must be paid for: Units each hour from Began to Ended, at the rate of the hour.
type Purchase struct {
	Throughput
	Tags  map[string]string `json:"tags,omitempty"`
	Ended time.Time         `json:"ended,omitzero"` // zero while it lasts
}

// Purchases returns what was in service at some time after an instant, also what has been deleted since, in the order in which it
// began.
func (b *Book) Purchases(ctx context.Context, since time.Time) (out []Purchase, err error) {
	err = b.Store.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Purchases(ctx, since)
		for i := range rows {
			var p Purchase
			if err := json.Unmarshal(rows[i].Body, &p); err != nil {
				return fmt.Errorf("the stored purchase %s: %w", rows[i].ARN, err)
			}
			if p.Ended = rows[i].Ended; p.Ended.IsZero() { // the tags of what was deleted went with it
				if p.Tags, err = tx.Tags(ctx, p.ARN); err != nil {
					return err
				}
			}
			out = append(out, p)
		}
		return err
	})
	return out, err
}

// bought notes what is to be paid for, until it ended.
func (t *Throughput) bought(ctx context.Context, tx *store.Tx, ended time.Time) error {
	if t.Began.IsZero() {
		return nil
	}
	tags, err := tx.Tags(ctx, t.ARN)
	if err != nil {
		return err
	}
	body, err := json.Marshal(&Purchase{Throughput: *t, Tags: tags})
	if err != nil {
		return err
	}
	return tx.PutPurchase(ctx, &store.Purchase{ARN: t.ARN, Account: t.Account, Body: body, Began: t.Began, Ended: ended})
}

// invalid turns a conflict into what operations answer that know none.
func invalid(err error) error {
	if e := fault.From(err); err != nil && e.Kind == fault.Conflict {
		return fault.New(fault.Invalid, e.Message).WithReason("%s", cmp.Or(e.Reason, e.Message))
	}
	return err
}

// units sums what an account has bought or ordered of model units.
func units(all []Throughput) (n int64) {
	for i := range all {
		if all[i].Status != Failed && !all[i].Tier {
			n += all[i].Units
		}
	}
	return n
}

// serving are the throughputs that calls run on.
func serving(all []Throughput) []Throughput {
	return slices.DeleteFunc(slices.Clone(all), func(t Throughput) bool { return !t.Status.Serves() })
}
