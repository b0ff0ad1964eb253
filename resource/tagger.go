package resource

import (
	"cmp"
	"context"

	"forebay/fault"
	"forebay/store"
)

// Store keeps resources. What Update changes is in force when it returns; View changes nothing.
type Store interface {
	View(ctx context.Context, f func(*store.Tx) error) error
	Update(ctx context.Context, f func(*store.Tx) error) error
}

// Tagger reads and changes the tags of everything that has some. It is safe for concurrent use.
type Tagger struct {
	Store Store
	// Service is whose resources these are, "" for Amazon Bedrock.
	Service string
	// Managed says what a configuration decides over an account's resource; nil where none does.
	Managed func(ctx context.Context, account, arn string) (Managed, error)
}

// Managed is what a configuration decides over a resource.
type Managed struct {
	At string // where it declares the resource, "" for nowhere
	// Declared says that the resource is in the configuration alone, with these tags.
	Declared bool
	Tags     map[string]string
}

// managed is what a configuration decides over a resource.
func (t Tagger) managed(ctx context.Context, account, arn string) (Managed, error) {
	if t.Managed == nil {
		return Managed{}, nil
	}
	return t.Managed(ctx, account, arn)
}

// unmanaged refuses to change tags that a configuration decides over.
func (t Tagger) unmanaged(ctx context.Context, account, arn string) error {
	m, err := t.managed(ctx, account, arn)
	if err == nil && m.At != "" {
		err = fault.Newf(fault.Invalid, "The resource %s is managed by %s; change its tags there.", arn, m.At)
	}
	return err
}

// Tags returns the tags of an account's resource. Faults: NotFound; Invalid for what is no ARN.
func (t Tagger) Tags(ctx context.Context, account, arn string) (tags map[string]string, err error) {
	if m, err := t.managed(ctx, account, arn); err != nil || m.Declared {
		return m.Tags, err
	}
	err = t.Store.View(ctx, func(tx *store.Tx) error {
		if err := t.owned(ctx, tx, account, arn); err != nil {
			return err
		}
		tags, err = tx.Tags(ctx, arn)
		return err
	})
	return tags, err
}

// Tag sets tags of an account's resource; its others stay. Faults: NotFound; Invalid; QuotaExceeded with
// CodeTooManyTags, in which case nothing is changed.
func (t Tagger) Tag(ctx context.Context, account, arn string, tags []Tag) error {
	add, err := TagMap(tags)
	if err != nil {
		return err
	}
	if err := t.unmanaged(ctx, account, arn); err != nil {
		return err
	}
	return t.Store.Update(ctx, func(tx *store.Tx) error {
		if err := t.owned(ctx, tx, account, arn); err != nil {
			return err
		}
		have, err := tx.Tags(ctx, arn)
		if err != nil {
			return err
		}
		n := len(have)
		for key := range add {
			if _, there := have[key]; !there {
				n++
			}
		}
		if err := checkCount(n); err != nil {
			return err
		}
		return tx.SetTags(ctx, arn, add)
	})
}

// Untag takes tags off an account's resource; those that it has not are passed over. Faults: NotFound; Invalid.
func (t Tagger) Untag(ctx context.Context, account, arn string, keys []string) error {
	for _, key := range keys {
		if err := checkKey(key); err != nil {
			return err
		}
	}
	if err := t.unmanaged(ctx, account, arn); err != nil {
		return err
	}
	return t.Store.Update(ctx, func(tx *store.Tx) error {
		if err := t.owned(ctx, tx, account, arn); err != nil {
			return err
		}
		return tx.RemoveTags(ctx, arn, keys)
	})
}

// owned checks that a resource is there and the account's.
func (t Tagger) owned(ctx context.Context, tx *store.Tx, account, arn string) error {
	if _, ok := ParseOf(cmp.Or(t.Service, Bedrock), arn); !ok {
		return fault.New(fault.Invalid, "The provided resource ARN is invalid.")
	}
	r, err := tx.Resource(ctx, arn)
	if err != nil {
		return err
	}
	if r.Account != account {
		return fault.Newf(fault.NotFound, "Could not find the resource %s.", arn)
	}
	return nil
}
