package endpoint

import (
	"context"
	"fmt"
	"slices"
	"time"

	"forebay/fault"
	"forebay/resource"
	"forebay/store"
)

// Status is where an endpoint is in its life.
type Status string

// The statuses.
const (
	Creating       Status = "Creating"
	InService      Status = "InService"
	Updating       Status = "Updating"
	RollingBack    Status = "RollingBack"
	RollbackFailed Status = "UpdateRollbackFailed"
	Deleting       Status = "Deleting"
	Failed         Status = "Failed"
)

// Serves reports whether calls are taken.
func (s Status) Serves() bool {
	return s == InService || s == Updating || s == RollingBack || s == RollbackFailed
}

// moves reports whether something is under way that ends by itself.
func (s Status) moves() bool {
	return s == Creating || s == Updating || s == RollingBack || s == Deleting
}

// Deployed is a variant as an endpoint runs it.
type Deployed struct {
	ID        string    `json:"id"` // among all that a fleet runs
	Variant   Variant   `json:"variant"`
	Container Container `json:"container"`
	Weight    float64   `json:"weight"`
	// Desired is the weight that is to be; Weight follows when the change is through.
	Desired float64 `json:"desired"`
	Count   int32   `json:"count"` // of instances that there should be
	// Before is Count before a change that is under way, to go back to.
	Before int32     `json:"before,omitzero"`
	Since  time.Time `json:"since"`
}

// Endpoint is what calls can be sent to.
type Endpoint struct {
	Head
	Status  Status `json:"status"`
	Config  string `json:"config"`
	Failure string `json:"failure,omitzero"`
	// Variants take the calls, but for the share of an update.
	Variants []Deployed `json:"variants"`
	Update   *Update    `json:"update,omitempty"` // under way, nil for none
	Policy   *Policy    `json:"policy,omitempty"` // of the last update
	// Generations counts those of variants that there have been, so that none has the ID of an earlier one.
	Generations int `json:"generations"`
	// Retired are the IDs of variants that are to be gone, and may not be yet.
	Retired []string `json:"retired,omitempty"`
}

// maxInstances is how many instances a variant has at most.
const maxInstances = 1000

// Create makes the endpoint of a name and returns its ARN; it is Creating then. The policy, nil for none, is that of later updates which retain it. Faults: NotFound for the configuration or its models;
// Conflict for a name that is taken; QuotaExceeded for too many instances; Unsupported where nothing runs instances; those of resource.Create.
func (b *Book) Create(ctx context.Context, c *resource.Creation, name, config string, p *Policy) (string, error) {
	if b.Fleet == nil {
		return "", fault.New(fault.Unsupported, "This server runs no instances.")
	}
	if p != nil {
		if err := p.validate(); err != nil {
			return "", err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	e := &Endpoint{Head: Head{Name: name}, Status: Creating, Config: config, Policy: p}
	arn, err := create(ctx, b, resource.Endpoint, c, e, func(tx *store.Tx) (err error) {
		if b.Taken != nil {
			taken, err := b.Taken(ctx, tx, c.Account, name)
			if err != nil {
				return err
			}
			if taken {
				return fault.Newf(fault.Conflict, "Cannot create already existing endpoint %q.", e.ARN).WithReason("%s is the name of a model, an alias, a route or a purchase, by which calls can be made", name)
			}
		}
		e.Variants, err = b.deploy(ctx, tx, e, config)
		return err
	})
	if err != nil {
		return "", err
	}
	b.keep(e)
	return arn, nil
}

// deploy makes variants of a configuration, with IDs of their own.
func (b *Book) deploy(ctx context.Context, tx *store.Tx, e *Endpoint, config string) ([]Deployed, error) {
	cfg, err := find[Config](ctx, tx, b, resource.EndpointConfig, e.Account, config)
	if err != nil {
		return nil, err
	}
	e.Generations++
	out := make([]Deployed, 0, len(cfg.Variants))
	for i := range cfg.Variants {
		v := &cfg.Variants[i]
		if v.Model == "" {
			return nil, fault.Newf(fault.Unsupported, "The variant %s names no model, and inference components are not supported by this server.", v.Name)
		}
		m, err := find[Model](ctx, tx, b, resource.Model, e.Account, v.Model)
		if err != nil {
			return nil, err
		}
		d := Deployed{
			ID: fmt.Sprintf("%s.%s.%s.%d", e.Account, e.Name, v.Name, e.Generations), Variant: *v, Container: m.Container,
			Weight: v.Weight, Desired: v.Weight, Count: v.Count, Since: b.now(),
		}
		if v.Serverless != nil {
			d.Count = max(1, v.Serverless.Provisioned) // one shows that the container starts
		}
		if err := d.within(); err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// within refuses more instances than there can be, in the service's words.
func (d *Deployed) within() error {
	if d.Count <= maxInstances {
		return nil
	}
	return fault.Newf(fault.QuotaExceeded, "The account-level service limit '%s for endpoint usage' is %d Instances, with current utilization of 0 Instances and a request delta of %d Instances.",
		d.Variant.Instance, maxInstances, d.Count)
}

// Get returns an account's endpoint. Faults: NotFound.
func (b *Book) Get(ctx context.Context, account, name string) (*Endpoint, error) {
	return show[Endpoint](ctx, b, resource.Endpoint, account, name)
}

// Filter says which endpoints a list is asked for.
type Filter struct {
	resource.Filter
	ChangedAfter, ChangedBefore time.Time // both exclusive
	Status                      Status
}

// List returns a page of an account's endpoints, and the token of the next.
func (b *Book) List(ctx context.Context, account string, f *Filter) ([]*Endpoint, string, error) {
	return page(ctx, b, resource.Endpoint, account, &f.Filter, func(e *Endpoint) bool {
		return (f.Status == "" || e.Status == f.Status) && (f.ChangedAfter.IsZero() || e.Changed.After(f.ChangedAfter)) &&
			(f.ChangedBefore.IsZero() || e.Changed.Before(f.ChangedBefore))
	})
}

// Delete begins the end of an endpoint: it is Deleting, and gone when nothing of it runs any more. Faults: NotFound; Conflict while it is being created
// or changed.
func (b *Book) Delete(ctx context.Context, account, name string) error {
	return b.change(ctx, account, name, func(_ *store.Tx, e *Endpoint) error {
		if e.Status == Deleting {
			return nil
		}
		if e.Status.moves() {
			return inProgress(e)
		}
		e.Status = Deleting
		e.retire(e.Variants)
		return nil
	})
}

func inProgress(e *Endpoint) error {
	return fault.Newf(fault.Conflict, "Cannot update in-progress endpoint %q.", e.ARN).WithReason("its status is %s", e.Status)
}

// retire notes that variants are to be gone.
func (e *Endpoint) retire(variants []Deployed) {
	for i := range variants {
		if id := variants[i].ID; !slices.Contains(e.Retired, id) {
			e.Retired = append(e.Retired, id)
		}
	}
}

// changeable refuses a change of an endpoint that is not in service.
func (e *Endpoint) changeable() error {
	switch {
	case e.Status.moves():
		return inProgress(e)
	case e.Status == Failed:
		return fault.Newf(fault.Conflict, "Cannot update endpoint %q: its status is Failed, and it can only be deleted.", e.ARN)
	}
	return nil
}

// change changes an endpoint in a transaction and lets Run see it.
func (b *Book) change(ctx context.Context, account, name string, f func(tx *store.Tx, e *Endpoint) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var e *Endpoint
	err := b.Store.Update(ctx, func(tx *store.Tx) (err error) {
		if e, err = find[Endpoint](ctx, tx, b, resource.Endpoint, account, name); err != nil {
			return err
		}
		if err = f(tx, e); err != nil {
			return err
		}
		return b.save(ctx, tx, e)
	})
	if err == nil {
		b.keep(e)
	}
	return err
}

// save stores a change of an endpoint.
func (b *Book) save(ctx context.Context, tx *store.Tx, e *Endpoint) error {
	e.Changed = b.now()
	r, err := stored(e, resource.Endpoint)
	if err != nil {
		return err
	}
	return tx.UpdateResource(ctx, r)
}
