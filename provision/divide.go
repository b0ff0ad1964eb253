package provision

import (
	"context"
	"time"

	"forebay/fault"
	"forebay/store"
)

// Part is what a team of the account has of a throughput for itself.
type Part struct {
	Team  string `json:"team"`
	Units int64  `json:"units"`
}

// Divide divides a throughput among teams in place of how it was divided before; without parts it is one again. It returns the throughput.
// Faults: NotFound; Invalid for parts of no units or of more than there are, and for a team with two; Conflict for one that is not in service.
func (b *Book) Divide(ctx context.Context, account, id string, parts []Part) (t *Throughput, err error) {
	err = b.Store.Update(ctx, func(tx *store.Tx) error {
		if t, err = find(ctx, tx, account, id); err != nil {
			return err
		}
		if !t.Status.Serves() {
			return fault.Newf(fault.Conflict, "%s is %s; what is in service can be divided", t.Name, t.Status)
		}
		if t.Tier {
			return fault.Newf(fault.Invalid, "%s is of the reserved tier, which is not divided; model units are", t.Name)
		}
		if err := t.divisible(parts); err != nil {
			return err
		}
		t.Parts, t.Changed = parts, b.now()
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

// divisible refuses parts that do not make a division.
func (t *Throughput) divisible(parts []Part) error {
	left, seen := t.Units, map[string]bool{}
	for _, p := range parts {
		switch {
		case p.Team == "" || seen[p.Team]:
			return fault.Newf(fault.Invalid, "each part must have a team of its own; %q is given twice or empty", p.Team)
		case p.Units < 1:
			return fault.Newf(fault.Invalid, "the part of team %s must have at least 1 model unit", p.Team)
		case p.Units > left:
			return fault.Newf(fault.Invalid, "the parts come to more than the %d model units of %s", t.Units, t.Name)
		}
		left, seen[p.Team] = left-p.Units, true
	}
	return nil
}
