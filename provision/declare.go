package provision

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"forebay/catalog"
	"forebay/fault"
	"forebay/resource"
	"forebay/store"
)

// Declaration is a purchase that a configuration asks for.
type Declaration struct {
	Order
	Parts []Part // how it is divided among teams
	At    string // where it is declared, for people
}

// Check refuses what cannot be declared, whatever is sold: by its name, size, commitment and tags, and by a division that is none.
func (d *Declaration) Check() error {
	o := d.Order // which callers read meanwhile
	if _, err := resource.TagMap(o.Tags); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	return o.throughput(&Offer{Unit: catalog.Unit{Input: o.Input, Output: o.Output}}).divisible(d.Parts)
}

// Unmet is a declaration that is not in force as it is written, or a purchase that has left the configuration and is there
// still.
type Unmet struct {
	Account string
	Name    string
	At      string // "" of what has left
	Why     string // for people who run engines
	Told    string // the same for the account, which is told of none
}

// Unmet lists what the last round of Tend could not bring to what is declared.
func (b *Book) Unmet() []Unmet {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.unmet)
}

// ManagedBy says where a throughput is declared; "" for one that was made, or is left, to callers.
func (b *Book) ManagedBy(t *Throughput) string {
	if d := named(b.Declared(), t.Account, t.Name); t.Declared && d != nil {
		return d.At
	}
	return ""
}

// unmanaged refuses callers what the configuration decides.
func (b *Book) unmanaged(t *Throughput) error {
	if at := b.ManagedBy(t); at != "" {
		return fault.Newf(fault.Conflict, "The provisioned model throughput %s is managed by %s; change it there.", t.Name, at)
	}
	return nil
}

// undeclared refuses callers a name that the configuration gives to a purchase.
func (b *Book) undeclared(account, name string) error {
	if d := named(b.Declared(), account, name); d != nil {
		return nameTaken(name).WithReason("the name is that of the purchase that %s declares", d.At)
	}
	return nil
}

// named returns the declaration of an account's name, whatever its case as in the store; nil for none.
func named(list []Declaration, account, name string) *Declaration {
	for i := range list {
		if d := &list[i]; d.Account == account && strings.EqualFold(d.Name, name) {
			return d
		}
	}
	return nil
}

// of reports whether a throughput was bought as the order has it, but for its model.
func (o *Order) of(t *Throughput) bool {
	same := t.Tier == o.tier() && t.Term == o.Term && t.Isolation == o.Isolation
	if t.Tier {
		return same && t.Unit.Input == o.Input && t.Unit.Output == o.Output
	}
	return same && t.Units == o.Units
}

// committed reports whether the throughput is to be paid for until its term ends.
func (t *Throughput) committed(now time.Time) bool {
	return t.Status.Serves() && t.Term != NoTerm && now.Before(t.Expires)
}

// declare brings what is bought nearer to what is declared, as far as that can be done without ending what must not end. What cannot be
// done is said, and tried again in the next round.
func (v *visit) declare() error {
	declared := v.b.Declared()
	if err := v.leave(declared); err != nil {
		return err
	}
	for i := range declared {
		if err := v.meet(&declared[i]); err != nil {
			return err
		}
	}
	return nil
}

// unmetOf says why something is not as it is declared. d is nil for what is declared no more.
func (v *visit) unmetOf(t *Throughput, d *Declaration, format string, args ...any) {
	why := fmt.Sprintf(format, args...)
	v.say(t, d, Unmet{Why: why, Told: why})
}

// lacks says what engines cannot back of what is declared.
func (v *visit) lacks(t *Throughput, d *Declaration, what string, room *Room) {
	var u Unmet
	u.Why, u.Told = lack(what, room)
	v.say(t, d, u)
}

func (v *visit) say(t *Throughput, d *Declaration, u Unmet) {
	if d != nil {
		u.Account, u.Name, u.At = d.Account, d.Name, d.At
	} else {
		u.Account, u.Name = t.Account, t.Name
	}
	v.unmet = append(v.unmet, u)
}

// refused says what an order of a declaration was refused for. Errors that are no refusals are returned.
func (v *visit) refused(d *Declaration, err error) error {
	e := fault.From(err)
	switch e.Kind {
	case fault.Internal, fault.Unavailable, fault.Canceled:
		return err
	case fault.UnknownModel:
		v.unmetOf(nil, d, "there is no model %q", d.Model)
	default:
		v.unmetOf(nil, d, "%s", e.Message)
	}
	return nil
}

// leave ends what was declared and is no more, as a deletion would: a commitment goes on to the end of its term.
func (v *visit) leave(declared []Declaration) error {
	kept := v.all[:0]
	for i := range v.all {
		t := v.all[i]
		if t.Declared && named(declared, t.Account, t.Name) == nil {
			ended, err := v.left(&t)
			if err != nil {
				return err
			}
			if ended {
				continue
			}
		}
		kept = append(kept, t)
	}
	v.all = kept
	return nil
}

// left ends a throughput that has left the configuration, and says whether it has ended.
func (v *visit) left(t *Throughput) (ended bool, err error) {
	switch {
	case t.Status == Updating:
		v.unmetOf(t, nil, "it left the configuration while its model is replaced, and ends then")
		return false, nil
	case t.committed(v.now):
		v.unmetOf(t, nil, "it left the configuration, and its commitment lasts until %s: it is kept and paid for until then", t.Expires.Format(time.RFC3339))
		return false, v.cancel(t)
	case t.Status == InService:
		err := v.b.unrouted(v.ctx, v.tx, "deleted", t, t.ARN, t.Name)
		if err != nil && fault.KindOf(err) != fault.Conflict {
			return false, err
		}
		if err != nil {
			v.unmetOf(t, nil, "it left the configuration and is kept: %s", fault.From(err).Message)
			return false, nil
		}
		v.changed = true
	}
	return true, t.end(v.ctx, v.tx, v.endOf(t))
}

// endOf is when a throughput ends that ends now: a commitment that was to end with its term ended then.
func (v *visit) endOf(t *Throughput) time.Time {
	if t.Cancelled && t.Expires.Before(v.now) {
		return t.Expires
	}
	return v.now
}

// cancel lets a commitment end with its term.
func (v *visit) cancel(t *Throughput) error {
	if t.Cancelled {
		return nil
	}
	t.Cancelled, t.Changed = true, v.now
	return v.keep(t)
}

// meet brings one purchase to what is declared of it.
func (v *visit) meet(d *Declaration) error {
	if err := d.Check(); err != nil {
		return v.refused(d, err)
	}
	o := &d.Order
	offer, err := v.b.offer(o)
	if err != nil {
		return v.refused(d, err)
	}
	i := slices.IndexFunc(v.all, func(t Throughput) bool { return t.Account == o.Account && strings.EqualFold(t.Name, o.Name) })
	if i < 0 {
		return v.order(d)
	}
	t := &v.all[i]
	same := o.of(t)
	switch {
	case t.Status == Failed: // nothing was bought
		return v.another(i, d, &offer)
	case same && offer.Model.ARN == t.Desired.ARN:
		return v.settle(t, d, &offer)
	case !t.Declared:
		v.unmetOf(t, d, "a purchase of this name was made at run time, of another size, model or commitment; end it, or choose another name")
		return nil
	case t.Status == Updating:
		v.unmetOf(t, d, "its model is being replaced; what else has changed follows then")
		return nil
	case same && t.Status == InService && t.Model.Custom && !t.Tier && offer.Model.Base == t.Model.Base:
		return v.exchange(t, d, &offer)
	default:
		return v.another(i, d, &offer)
	}
}

// order buys what is declared and not there.
func (v *visit) order(d *Declaration) error {
	tags, err := resource.TagMap(d.Tags)
	if err != nil {
		return err // it was checked
	}
	t, err := v.b.order(v.ctx, v.tx, &d.Order, v.now.Add(v.ordered)) // orders are served in their order
	if err != nil {
		return v.refused(d, err)
	}
	v.ordered++
	t.Declared, t.Parts = true, d.Parts
	if err := v.tx.SetTags(v.ctx, t.ARN, tags); err != nil {
		return err
	}
	v.all = append(v.all, *t)
	return t.save(v.ctx, v.tx)
}

// settle makes a throughput that was bought as it is declared the configuration's own, with the division and the tags that it says. A
// commitment renews as long as it is declared, and an order that waits is of units as they are sold now.
func (v *visit) settle(t *Throughput, d *Declaration, offer *Offer) error {
	tags, err := resource.TagMap(d.Tags)
	if err != nil {
		return err // it was checked
	}
	retagged, err := retag(v.ctx, v.tx, t.ARN, tags)
	if err != nil {
		return err
	}
	divided, resized := !slices.Equal(t.Parts, d.Parts), t.Status == Creating && t.Unit != offer.Unit
	if t.Declared && !t.Cancelled && !divided && !resized && !retagged {
		return nil
	}
	if resized {
		t.Unit = offer.Unit
	}
	v.changed = v.changed || divided && t.Status.Serves()
	t.Declared, t.Cancelled, t.Parts, t.Changed = true, false, d.Parts, v.now
	return v.keep(t)
}

// retag gives a resource the tags that it is to have, and no others, and says whether it had not.
func retag(ctx context.Context, tx *store.Tx, arn string, tags map[string]string) (changed bool, err error) {
	have, err := tx.Tags(ctx, arn)
	if err != nil || maps.Equal(have, tags) {
		return false, err
	}
	var old []string
	for key := range have {
		if _, stays := tags[key]; !stays {
			old = append(old, key)
		}
	}
	if err := tx.RemoveTags(ctx, arn, old); err != nil {
		return false, err
	}
	return true, tx.SetTags(ctx, arn, tags)
}

// exchange begins to put the declared model in place, if its pool can back it.
func (v *visit) exchange(t *Throughput, d *Declaration, offer *Offer) error {
	if err := v.b.there(v.ctx, v.tx, &offer.Model); err != nil {
		return v.refused(d, err)
	}
	ask := t.ask(offer.Model.ID)
	if room := v.b.Pools.Room(ask, v.beside(t)); room.Units < ask.Units {
		v.lacks(t, d, "the model is not replaced: "+t.had(&room), &room)
		return nil
	}
	t.Desired, t.Status, t.Failure, t.Told, t.Changed = offer.Model, Updating, "", "", v.now
	return v.keep(t)
}

// another puts what is declared in the place of another purchase of the name, which ends if it may, and if what follows can be had.
func (v *visit) another(i int, d *Declaration, offer *Offer) error {
	t, o := &v.all[i], &d.Order
	if err := v.b.there(v.ctx, v.tx, &offer.Model); err != nil { // before what is there ends
		return v.refused(d, err)
	}
	route, err := v.b.Models.Route(v.ctx, v.tx, t.Account, t.ARN)
	if err != nil {
		return err
	}
	switch {
	case t.committed(v.now):
		v.unmetOf(t, d, "what is there was bought with a commitment until %s, and stays as it was bought until then", t.Expires.Format(time.RFC3339))
		return v.cancel(t)
	case t.Status == InService && route != "":
		v.unmetOf(t, d, "what is there stays as it was bought: the route %s names its ARN", route)
		return nil
	}
	rest := slices.Delete(slices.Clone(v.all), i, i+1)
	if err := v.b.permits(o, offer, ofAccount(rest, o.Account)); err != nil {
		return v.refused(d, err)
	}
	if t.Status == InService {
		next := o.throughput(offer)
		ask := next.ask(next.Model.ID)
		if room := v.b.Pools.Room(ask, serving(rest)); room.Units < ask.Units {
			v.lacks(t, d, "what is there stays as it was bought: "+next.had(&room), &room)
			return nil
		}
		v.changed = true
	}
	if err := t.end(v.ctx, v.tx, v.endOf(t)); err != nil {
		return err
	}
	v.all = rest
	return v.order(d)
}

// ofAccount are the throughputs of an account.
func ofAccount(all []Throughput, account string) []Throughput {
	return slices.DeleteFunc(slices.Clone(all), func(t Throughput) bool { return t.Account != account })
}

// beside are the other throughputs that calls run on.
func (v *visit) beside(t *Throughput) []Throughput {
	return slices.DeleteFunc(serving(v.all), func(o Throughput) bool { return o.ARN == t.ARN })
}
