package endpoint

import (
	"context"
	"slices"
	"time"

	"forebay/fault"
	"forebay/resource"
	"forebay/store"
)

// Stage is how far an update is.
type Stage string

// The stages.
const (
	// Starting waits for what is new, or of a rolling update for a batch of it.
	Starting Stage = "Starting"
	// Watching sends a share of the calls to what is new and watches them.
	Watching Stage = "Watching"
	// Ending sends them all there, and keeps what is old for a while.
	Ending Stage = "Ending"
)

// Update is the change of an endpoint to another configuration.
type Update struct {
	Config   string     `json:"config"`
	Policy   Policy     `json:"policy,omitzero"`
	Variants []Deployed `json:"variants"` // in the place of those that there are
	// Totals are the numbers of instances that each of Variants is to have; a rolling update has fewer while it lasts. Olds are those that
	// the variants of the endpoint had.
	Totals []int32 `json:"totals"`
	Olds   []int32 `json:"olds"`
	// Shifted is the share of the calls that goes to Variants, in per mille.
	Shifted int32     `json:"shifted"`
	Stage   Stage     `json:"stage"`
	Began   time.Time `json:"began"`
	Entered time.Time `json:"entered"` // the stage
}

// Retain says what variants keep that the new configuration has as well, by name.
type Retain struct {
	Weights, Counts bool
	// Policy says that the last update's policy is taken again where none is given.
	Policy bool
}

// UpdateConfig lets an endpoint run another configuration: it is Updating then. Faults: NotFound for the endpoint, the configuration or its models;
// Conflict where it is being changed or has failed; Invalid for a policy that cannot be, and where instances would become serverless; QuotaExceeded.
func (b *Book) UpdateConfig(ctx context.Context, account, name, config string, p *Policy, keep Retain) (arn string, err error) {
	if p != nil {
		if err := p.validate(); err != nil {
			return "", err
		}
	}
	err = b.change(ctx, account, name, func(tx *store.Tx, e *Endpoint) error {
		arn = e.ARN
		if err := e.changeable(); err != nil {
			return err
		}
		return b.begin(ctx, tx, e, config, p, keep)
	})
	return arn, err
}

// begin makes an update.
func (b *Book) begin(ctx context.Context, tx *store.Tx, e *Endpoint, config string, p *Policy, keep Retain) error {
	variants, err := b.deploy(ctx, tx, e, config)
	if err != nil {
		return err
	}
	if (variants[0].Variant.Serverless != nil) != (e.Variants[0].Variant.Serverless != nil) {
		return fault.Newf(fault.Invalid, "Cannot change endpoint %q between instances and serverless: create another endpoint.", e.ARN)
	}
	now := b.now()
	u := &Update{Config: config, Variants: variants, Stage: Starting, Began: now, Entered: now}
	switch {
	case p != nil:
		u.Policy = *p
	case keep.Policy && e.Policy != nil:
		u.Policy = *e.Policy
	}
	for i := range e.Variants {
		u.Olds = append(u.Olds, e.Variants[i].Count)
	}
	for i := range variants {
		d := &variants[i]
		if old := e.variant(d.Variant.Name); old != nil {
			if keep.Weights {
				d.Weight, d.Desired = old.Weight, old.Weight
			}
			if keep.Counts && d.Variant.Serverless == nil {
				d.Count = old.Count
			}
		}
		u.Totals = append(u.Totals, d.Count)
		if u.Policy.routing() == Rolling {
			d.Count = min(d.Count, u.Policy.Size.of(d.Count))
		}
	}
	e.Status, e.Failure, e.Update = Updating, "", u
	return nil
}

// variant returns what an endpoint runs by its name, nil for none.
func (e *Endpoint) variant(name string) *Deployed {
	return named(e.Variants, name)
}

func named(list []Deployed, name string) *Deployed {
	if i := slices.IndexFunc(list, func(d Deployed) bool { return d.Variant.Name == name }); i >= 0 {
		return &list[i]
	}
	return nil
}

// Resize is what one variant is to have otherwise; nil leaves it as it is.
type Resize struct {
	Variant     string
	Weight      *float64
	Count       *int32
	Concurrency *int32 // of a serverless one
	Provisioned *int32
}

// Resize changes weights and numbers of instances: the endpoint is Updating until they are there. Faults: NotFound; Invalid for variants that are not there and for
// capacity that cannot be; Conflict where it is being changed or has failed; QuotaExceeded.
func (b *Book) Resize(ctx context.Context, account, name string, to []Resize) (arn string, err error) {
	err = b.change(ctx, account, name, func(_ *store.Tx, e *Endpoint) error {
		arn = e.ARN
		if err := e.changeable(); err != nil {
			return err
		}
		for i := range to {
			d := e.variant(to[i].Variant)
			if d == nil {
				return fault.Newf(fault.Invalid, "The variant name(s) %q is/are not present within endpoint configuration %q.", to[i].Variant, b.arn(resource.EndpointConfig, account, e.Config))
			}
			if err := d.resize(&to[i]); err != nil {
				return err
			}
		}
		e.Status, e.Failure = Updating, ""
		return nil
	})
	return arn, err
}

func (d *Deployed) resize(to *Resize) error {
	if to.Weight != nil {
		d.Desired = *to.Weight
	}
	if to.Count != nil {
		switch {
		case d.Variant.Serverless != nil:
			return fault.Newf(fault.Invalid, "The variant %s is serverless and has no DesiredInstanceCount.", d.Variant.Name)
		case *to.Count < 1:
			return fault.Newf(fault.Invalid, "DesiredInstanceCount of the variant %s must be at least 1.", d.Variant.Name)
		}
		d.Before, d.Count = d.Count, *to.Count
	}
	if to.Concurrency != nil || to.Provisioned != nil {
		if d.Variant.Serverless == nil {
			return fault.Newf(fault.Invalid, "The variant %s has instances and takes no ServerlessUpdateConfig.", d.Variant.Name)
		}
		s := *d.Variant.Serverless
		if to.Concurrency != nil {
			s.Concurrency = *to.Concurrency
		}
		if to.Provisioned != nil {
			s.Provisioned = *to.Provisioned
		}
		d.Variant.Serverless = &s
		if err := d.Variant.serverless(); err != nil {
			return err
		}
		d.Count = s.Provisioned
	}
	return d.within()
}

// enter begins a stage.
func (v *visit) enter(s Stage) { v.e.Update.Stage, v.e.Update.Entered = s, v.now }

// update brings an update on.
func (v *visit) update() error {
	e, u := v.e, v.e.Update
	for i := range e.Variants {
		if err := v.ensure(&e.Variants[i]); err != nil && unforeseen(err) {
			return err
		}
	}
	if limit := u.Policy.LimitSeconds; limit > 0 {
		end := u.Began.Add(time.Duration(limit) * time.Second)
		if !v.now.Before(end) {
			v.rollBack("The update took longer than its maximum execution time")
			return nil
		}
		v.due(end)
	}
	got, why, err := v.await(u.Variants)
	switch {
	case err != nil:
		return err
	case got == failed:
		v.rollBack(why)
		return nil
	case v.alarmed():
		return nil
	}
	switch u.Stage {
	case Starting:
		if got == ready {
			v.shift()
		}
	case Watching:
		if v.over(u.Policy.WaitSeconds) {
			v.further()
		}
	case Ending:
		if v.over(u.Policy.TerminationSeconds) {
			v.finish()
		}
	}
	return nil
}

// over reports whether the stage has lasted so long, and asks for a look when it will have.
func (v *visit) over(seconds int32) bool {
	end := v.e.Update.Entered.Add(time.Duration(seconds) * time.Second)
	if v.now.Before(end) {
		v.due(end)
		return false
	}
	return true
}

// alarmEvery is how often the calls of what is new are held against the alarms.
const alarmEvery = time.Second

// alarmed holds the calls of what is new against the alarms, and goes back when one says so.
func (v *visit) alarmed() bool {
	u := v.e.Update
	if len(u.Policy.Alarms) == 0 || u.Shifted == 0 {
		return false
	}
	var h Health
	for i := range u.Variants {
		h.add(v.b.Health(u.Variants[i].ID))
	}
	for _, name := range u.Policy.Alarms {
		if a, err := ParseAlarm(name); err == nil && a.holds(h) {
			v.rollBack("One or more configured alarm(s) " + name + " are in ALARM state")
			return true
		}
	}
	v.due(v.now.Add(alarmEvery))
	return false
}

// shift sends calls to what has come up.
func (v *visit) shift() {
	u := v.e.Update
	switch u.Policy.routing() {
	case Canary, Linear:
		u.Shifted = u.Policy.Size.permille(sum(u.Totals))
	case Rolling:
		have, all := int32(0), sum(u.Totals)
		for i := range u.Variants {
			have += u.Variants[i].Count
		}
		u.Shifted = int32(int64(have) * 1000 / int64(max(1, all)))
		v.shrink()
	default:
		u.Shifted = 1000
	}
	v.enter(Watching)
}

func sum(list []int32) (n int32) {
	for _, x := range list {
		n += x
	}
	return n
}

// shrink ends as many old instances as new ones have come, but for one of each variant, which stays to the end.
func (v *visit) shrink() {
	e, u := v.e, v.e.Update
	for i := range e.Variants {
		old := &e.Variants[i]
		if fresh := named(u.Variants, old.Variant.Name); fresh != nil && i < len(u.Olds) {
			old.Count = max(1, min(old.Count, u.Olds[i]-fresh.Count))
		}
	}
}

// further takes the next share of the calls, or the next batch; after the last, what is old may end.
func (v *visit) further() {
	u := v.e.Update
	if u.Shifted >= 1000 {
		v.enter(Ending)
		return
	}
	switch u.Policy.routing() {
	case Linear:
		u.Shifted = min(1000, u.Shifted+u.Policy.Size.permille(sum(u.Totals)))
	case Rolling:
		for i := range u.Variants {
			d := &u.Variants[i]
			d.Count = min(u.Totals[i], d.Count+u.Policy.Size.of(u.Totals[i]))
		}
		v.enter(Starting)
		return
	default:
		u.Shifted = 1000
	}
	v.enter(Watching)
}

// finish puts what is new in the place of what is old.
func (v *visit) finish() {
	e, u := v.e, v.e.Update
	e.retire(e.Variants)
	e.Variants, e.Config, e.Policy, e.Update, e.Status = u.Variants, u.Config, &u.Policy, nil, InService
}

// rollBack sends all calls back to what there was.
func (v *visit) rollBack(why string) {
	e, u := v.e, v.e.Update
	e.Status, e.Failure, u.Shifted = RollingBack, why, 0
	for i := range e.Variants {
		if i < len(u.Olds) {
			e.Variants[i].Count = u.Olds[i]
		}
	}
}

// back waits for what there was, and ends what was to be.
func (v *visit) back() error {
	e := v.e
	got, why, err := v.await(e.Variants)
	if err != nil || got == waiting {
		return err
	}
	e.Status = InService
	if got == failed {
		e.Status = RollbackFailed
		e.Failure += "; going back failed as well: " + why
	}
	e.retire(e.Update.Variants)
	e.Update = nil
	return nil
}
