package provision

import (
	"context"
	"slices"

	"forebay/resource"
	"forebay/store"
)

// Filter says which throughputs are listed, and in which order. Empty members do not filter.
type Filter struct {
	resource.Filter
	Status   Status
	ModelARN string
}

// List returns a page of an account's throughputs, and the token of the next page, "" behind the last. Faults: Invalid for a token
// that is none. Those of the reserved tier are left out: the service has no API for them.
func (b *Book) List(ctx context.Context, account string, f *Filter) (page []*Throughput, next string, err error) {
	var all []Throughput
	err = b.Store.View(ctx, func(tx *store.Tx) error {
		all, err = list(ctx, tx, account)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	kept := make([]*Throughput, 0, len(all))
	for i := range all {
		if t := &all[i]; !t.Tier && (f.Status == "" || f.Status == t.Status) && (f.ModelARN == "" || f.ModelARN == t.Model.ARN) && f.Holds(t.Name) {
			kept = append(kept, t)
		}
	}
	return resource.Page(slices.Clip(kept), &f.Filter)
}
