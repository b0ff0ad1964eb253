package provision

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"time"

	"forebay/fault"
	"forebay/resource"
	"forebay/store"

	"github.com/go-json-experiment/json"
)

// Order asks for units of a model.
type Order struct {
	Account string
	Name    string
	Model   string // as the caller names it
	Units   int64
	// Input and Output are tokens a minute of the reserved tier, in place of Units.
	Input  int64 `json:",omitzero"`
	Output int64 `json:",omitzero"`
	Term   Term
	Tags   []resource.Tag
	// Isolation is that which is asked for, or what IsolationTag among the tags says.
	Isolation Isolation `json:",omitzero"`
	Token     string    `json:"-"` // makes it once; "" each time
	// Allow says whether the caller may buy of a model, by its id; nil allows all. Faults: Denied.
	Allow func(model string) error `json:"-"`
}

// Create stores an order and returns the ARN of what will be created. Repeated with its token within a day it returns
// the same ARN. Of very many failed orders the oldest makes room. Faults: UnknownModel, NotFound and Invalid of the model; Invalid for a name that is taken and for a
// token that was used for another order; QuotaExceeded; those of resource.TagMap and of the order's Allow.
func (b *Book) Create(ctx context.Context, o *Order) (string, error) {
	if err := o.check(); err != nil { // first, since only a name that can be one can be encoded
		return "", err
	}
	body, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	tags, err := resource.TagMap(o.Tags)
	if err != nil {
		return "", err
	}
	var result []byte
	again := false
	err = b.Store.Update(ctx, func(tx *store.Tx) error {
		token := store.Token{Account: o.Account, Operation: "CreateProvisionedModelThroughput", Token: o.Token, Body: body}
		result, again, err = tx.Once(ctx, &token, b.now(), func() ([]byte, error) {
			if err := b.undeclared(o.Account, o.Name); err != nil {
				return nil, err
			}
			if err := forget(ctx, tx, o.Account); err != nil {
				return nil, err
			}
			t, err := b.order(ctx, tx, o, b.now())
			if err != nil {
				return nil, err
			}
			return []byte(t.ARN), tx.SetTags(ctx, t.ARN, tags)
		})
		return err
	})
	if err != nil {
		return "", invalid(err)
	}
	if !again {
		b.Changed()
	}
	return string(result), nil
}

// order checks an order and stores it, as made at an instant.
func (b *Book) order(ctx context.Context, tx *store.Tx, o *Order, at time.Time) (*Throughput, error) {
	offer, err := b.offer(o)
	if err == nil && o.Allow != nil {
		err = o.Allow(offer.Model.ID)
	}
	if err != nil {
		return nil, err
	}
	if err := b.there(ctx, tx, &offer.Model); err != nil {
		return nil, err
	}
	if err := b.freeName(ctx, tx, o.Account, o.Name); err != nil {
		return nil, err
	}
	all, err := list(ctx, tx, o.Account)
	if err != nil {
		return nil, err
	}
	if err := b.permits(o, &offer, all); err != nil {
		return nil, err
	}
	t := o.throughput(&offer)
	t.ARN = resource.ARN{Region: b.Region, Account: o.Account, Kind: kind, ID: resource.NewID()}.String()
	t.Created, t.Changed = at, at
	r, err := t.stored()
	if err != nil {
		return nil, err
	}
	if err := tx.CreateResource(ctx, r); err != nil {
		if fault.KindOf(err) == fault.Conflict {
			return nil, nameTaken(o.Name)
		}
		return nil, err
	}
	return t, nil
}

// throughput is what comes of an order, once it has an ARN and a date.
func (o *Order) throughput(offer *Offer) *Throughput {
	t := &Throughput{
		Account: o.Account, Name: o.Name, Units: o.Units, Model: offer.Model, Desired: offer.Model,
		Status: Creating, Term: o.Term, Unit: offer.Unit, Isolation: o.Isolation, Tier: o.tier(),
	}
	if t.Tier {
		t.Units = 1
	}
	return t
}

// permits refuses an order of an account that has bought all it may.
func (b *Book) permits(o *Order, offer *Offer, all []Throughput) error {
	if o.tier() {
		return oneMore(all, offer.Model.ID)
	}
	return b.withinQuota(o, units(all))
}

// there refuses a model that was removed after it was offered.
func (b *Book) there(ctx context.Context, tx *store.Tx, m *Model) error {
	gone, err := b.Models.Gone(ctx, tx, m)
	if gone {
		err = fault.Newf(fault.NotFound, "Could not find the resource %s.", m.ARN)
	}
	return err
}

// maxFailed is how many failed orders of an account are kept.
const maxFailed = 100

// forget removes the oldest failed orders where there would be too many with one more, so that an account whose orders fail does not fill the store.
func forget(ctx context.Context, tx *store.Tx, account string) error {
	all, err := list(ctx, tx, account)
	if err != nil {
		return err
	}
	failed := slices.DeleteFunc(all, func(t Throughput) bool { return t.Status != Failed })
	for i := range failed[:max(len(failed)-maxFailed+1, 0)] {
		if err := tx.DeleteResource(ctx, failed[i].ARN); err != nil {
			return err
		}
	}
	return nil
}

// freeName refuses a name that stands for something else.
func (b *Book) freeName(ctx context.Context, tx *store.Tx, account, name string) error {
	taken, err := b.Models.Taken(ctx, tx, account, name)
	if taken {
		err = nameTaken(name).WithReason("the name stands for a model, an alias or a route")
	}
	return err
}

func nameTaken(name string) *fault.Error {
	return fault.Newf(fault.Invalid, "The provisioned model name %s is already in use.", name)
}

// nameForm is the form of names in the service's model.
var nameForm = regexp.MustCompile(`^([0-9a-zA-Z][_-]?)+$`)

const maxName = 63

// check refuses what cannot be an order, and notes its isolation.
func (o *Order) check() error {
	switch {
	case len(o.Name) > maxName || !nameForm.MatchString(o.Name):
		return fault.Newf(fault.Invalid, "The name of a provisioned model has 1 to %d letters and digits, with single hyphens and underscores between them.", maxName)
	case o.tier():
		return o.checkTier()
	case o.Units < 1 || o.Units > math.MaxInt32:
		return fault.Newf(fault.Invalid, "The number of model units must be at least 1 and at most %d.", math.MaxInt32)
	case o.Term != NoTerm && o.Term != OneMonth && o.Term != SixMonths:
		return fault.Newf(fault.Invalid, "The commitment %.32q is not one of OneMonth, SixMonths.", string(o.Term))
	}
	return o.isolate()
}

// withinQuota refuses what is beyond the account's quota of units.
func (b *Book) withinQuota(o *Order, have int64) error {
	quota, limited := b.Models.Quota(o.Account)
	if !limited || have <= quota && o.Units <= quota-have {
		return nil
	}
	what := "no-commitment"
	if o.Term != NoTerm {
		what = "commitment"
	}
	left := max(quota-have, 0)
	return fault.Newf(fault.QuotaExceeded,
		"You have requested %d %s model units and your account's quota for Provisioned Throughput has %d left of %d. Request a quota increase.",
		o.Units, what, left, quota).
		WithReason("%s", fmt.Sprintf("account %s has %d units; its quota is model_units of the account in the configuration, 0 by default with quotas: aws", o.Account, have))
}
