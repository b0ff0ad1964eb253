package provision

import (
	"context"
	"time"

	"forebay/fault"
	"forebay/store"
)

// Part is what a team of the account has of a throughput for itself: model units, or of the reserved tier a rate.
type Part struct {
	Team  string `json:"team"`
	Units int64  `json:"units,omitzero"`
	// Input and Output are tokens a minute of the reserved tier.
	Input  int64 `json:"inputTokensPerMinute,omitzero"`
	Output int64 `json:"outputTokensPerMinute,omitzero"`
}

// Divide divides a throughput among teams in place of how it was divided before; without parts it is one again. It returns the throughput.
// Faults: NotFound; Invalid for parts of nothing or of more than there is, and for a team with two; Conflict for one that is not in service, and
// for one that the configuration declares.
func (b *Book) Divide(ctx context.Context, account, id string, parts []Part) (t *Throughput, err error) {
	err = b.Store.Update(ctx, func(tx *store.Tx) error {
		if t, err = Find(ctx, tx, account, id); err != nil {
			return err
		}
		if err := b.unmanaged(t); err != nil {
			return err
		}
		if !t.Status.Serves() {
			return fault.Newf(fault.Conflict, "%s is %s; what is in service can be divided", t.Name, t.Status)
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
	units, input, output := t.Units, t.Unit.Input, t.Unit.Output
	seen := map[string]bool{}
	for i := range parts {
		p := &parts[i]
		if p.Team == "" || seen[p.Team] {
			return fault.Newf(fault.Invalid, "each part must have a team of its own; %q is given twice or empty", p.Team)
		}
		seen[p.Team] = true
		if t.Tier {
			if err := t.dividesRate(p, input, output); err != nil {
				return err
			}
			input, output = input-p.Input, output-p.Output
			continue
		}
		switch {
		case p.Input != 0 || p.Output != 0:
			return fault.Newf(fault.Invalid, "%s is of model units; the part of team %s is given in tokens", t.Name, p.Team)
		case p.Units < 1:
			return fault.Newf(fault.Invalid, "the part of team %s must have at least 1 model unit", p.Team)
		case p.Units > units:
			return fault.Newf(fault.Invalid, "the parts come to more than the %d model units of %s", t.Units, t.Name)
		}
		units -= p.Units
	}
	return nil
}

// dividesRate refuses a part of the reserved tier that is none, or more than is left. A side that was bought must be in each part: without a
// rate of it, nothing would bound the team.
func (t *Throughput) dividesRate(p *Part, input, output int64) error {
	switch {
	case p.Units != 0:
		return fault.Newf(fault.Invalid, "%s is of the reserved tier, which is divided in tokens a minute; the part of team %s is given in model units", t.Name, p.Team)
	case p.Input < 1, p.Output < 0, (p.Output > 0) != (t.Unit.Output > 0):
		return fault.Newf(fault.Invalid, "the part of team %s must have tokens a minute of what was bought: input, and output where the model gives answers", p.Team)
	case p.Input > input || p.Output > output:
		return fault.Newf(fault.Invalid, "the parts come to more than the %d input and %d output tokens a minute of %s", t.Unit.Input, t.Unit.Output, t.Name)
	}
	return nil
}
