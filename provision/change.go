package provision

import (
	"context"
	"time"

	"forebay/fault"
	"forebay/store"
)

// Change asks for another name, another model, or both.
type Change struct {
	Name  string // "" is none
	Model string // as the caller names it; "" is none
	// Allow is that of an Order, for Model.
	Allow func(model string) error
}

// Update renames a throughput, or begins to put another model in place: the base of its custom model, or another custom model
// of that base. Faults: NotFound; those of Allow; Invalid for anything else, and for a throughput that is created or updated now.
func (b *Book) Update(ctx context.Context, account, id string, c *Change) error {
	if c.Name == "" && c.Model == "" {
		return fault.New(fault.Invalid, "Specify desiredProvisionedModelName, desiredModelId, or both.")
	}
	err := b.Store.Update(ctx, func(tx *store.Tx) error {
		t, err := Find(ctx, tx, account, id)
		if err != nil {
			return err
		}
		if err := b.unmanaged(t); err != nil {
			return err
		}
		if t.Status != InService {
			return fault.Newf(fault.Invalid, "The provisioned model throughput cannot be updated while its status is %s.", t.Status)
		}
		t.Changed = b.now()
		if c.Model != "" {
			if err := b.swap(ctx, tx, t, c); err != nil {
				return err
			}
		}
		if err := b.rename(ctx, tx, t, c.Name); err != nil {
			return err
		}
		if err := t.save(ctx, tx); err != nil {
			if fault.KindOf(err) == fault.Conflict {
				return nameTaken(c.Name)
			}
			return err
		}
		return t.bought(ctx, tx, time.Time{})
	})
	if err != nil {
		return invalid(err)
	}
	b.Changed()
	return nil
}

func (b *Book) rename(ctx context.Context, tx *store.Tx, t *Throughput, name string) error {
	if name == "" || name == t.Name {
		return nil
	}
	if err := b.unrouted(ctx, tx, "renamed", t, t.Name); err != nil {
		return err
	}
	if err := b.undeclared(t.Account, name); err != nil {
		return err
	}
	if err := b.freeName(ctx, tx, t.Account, name); err != nil {
		return err
	}
	t.Name = name
	return nil
}

// swap begins to put another model in place.
func (b *Book) swap(ctx context.Context, tx *store.Tx, t *Throughput, c *Change) error {
	if !t.Model.Custom {
		return fault.New(fault.Invalid, "You can't specify desiredModelId because the provisioned model throughput is associated with a base model.")
	}
	offer, err := b.Models.Offer(t.Account, c.Model)
	if err == nil && c.Allow != nil {
		err = c.Allow(offer.Model.ID)
	}
	if err == nil {
		err = b.there(ctx, tx, &offer.Model)
	}
	if err != nil {
		return err
	}
	if offer.Model.Base != t.Model.Base {
		return fault.Newf(fault.Invalid, "The desired model must be the base model %s, or be customized from it.", t.Model.Base).
			WithReason("%s is customised from %s", offer.Model.ARN, offer.Model.Base)
	}
	if offer.Model.ARN != t.Model.ARN {
		t.Desired, t.Status, t.Failure, t.Told = offer.Model, Updating, "", ""
	}
	return nil
}

// unrouted refuses to change a throughput that a route's lane names, by one of its ids. One that failed serves in no lane.
func (b *Book) unrouted(ctx context.Context, tx *store.Tx, change string, t *Throughput, ids ...string) error {
	if t.Status == Failed {
		return nil
	}
	for _, id := range ids {
		route, err := b.Models.Route(ctx, tx, t.Account, id)
		if err != nil {
			return err
		}
		if route != "" {
			return fault.Newf(fault.Conflict, "The provisioned model throughput cannot be %s while it is used by the route %s.", change, route)
		}
	}
	return nil
}

// Delete ends a throughput. Faults: NotFound; Conflict while it is created or updated, for a commitment that has not ended, for what is
// in a route's lane, and for what the configuration declares.
func (b *Book) Delete(ctx context.Context, account, id string) error {
	err := b.Store.Update(ctx, func(tx *store.Tx) error {
		t, err := Find(ctx, tx, account, id)
		if err != nil {
			return err
		}
		if err := b.unmanaged(t); err != nil {
			return err
		}
		now := b.now()
		switch {
		case t.Status == Creating || t.Status == Updating:
			return fault.Newf(fault.Conflict, "The provisioned model throughput cannot be deleted while its status is %s.", t.Status)
		case t.Status != Failed && now.Before(t.Expires):
			return fault.Newf(fault.Conflict, "You can't delete a Provisioned Throughput before the commitment term is over. The term ends at %s.",
				t.Expires.Format(time.RFC3339)).
				WithReason("%s", "it renews then unless it is cancelled: forebay provision delete "+t.Name+" --at-term-end")
		}
		if err := b.unrouted(ctx, tx, "deleted", t, t.ARN, t.Name); err != nil {
			return err
		}
		return t.end(ctx, tx, now)
	})
	if err != nil {
		return err
	}
	b.Changed()
	return nil
}

// end removes a throughput; what is owed for it stays.
func (t *Throughput) end(ctx context.Context, tx *store.Tx, at time.Time) error {
	if err := t.bought(ctx, tx, at); err != nil {
		return err
	}
	return tx.DeleteResource(ctx, t.ARN)
}

// Cancel lets a commitment end with its term instead of being renewed, and returns the throughput. Faults: NotFound; Conflict for one
// without a commitment, which can be deleted, for one that is not in service, and for one that the configuration declares.
func (b *Book) Cancel(ctx context.Context, account, id string) (t *Throughput, err error) {
	err = b.Store.Update(ctx, func(tx *store.Tx) error {
		if t, err = Find(ctx, tx, account, id); err != nil {
			return err
		}
		if err := b.unmanaged(t); err != nil {
			return err
		}
		switch {
		case t.Term == NoTerm:
			return fault.Newf(fault.Conflict, "%s has no commitment; delete it", t.Name)
		case !t.Status.Serves():
			return fault.Newf(fault.Conflict, "%s is %s; its commitment has not begun", t.Name, t.Status)
		}
		t.Cancelled, t.Changed = true, b.now()
		if err := t.save(ctx, tx); err != nil {
			return err
		}
		return t.bought(ctx, tx, time.Time{})
	})
	if err == nil {
		b.Changed()
	}
	return t, err
}
