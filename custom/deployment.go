package custom

import (
	"context"
	"errors"
	"time"

	"forebay/fault"
	"forebay/resource"
	"forebay/store"

	"github.com/go-json-experiment/json"
)

// UpdateStatus is how far the change of a deployment to another model is.
type UpdateStatus string

// The statuses of changes.
const (
	Updating        UpdateStatus = "Updating"
	UpdateCompleted UpdateStatus = "UpdateCompleted"
)

// Update is the last change of a deployment to another model.
type Update struct {
	Model  string       `json:"model"`
	Status UpdateStatus `json:"status"`
}

// Deployment makes a variant callable on demand.
type Deployment struct {
	ARN     string    `json:"-"`
	Account string    `json:"-"`
	Name    string    `json:"-"`
	Created time.Time `json:"-"`
	Updated time.Time `json:"-"`

	Model       string  `json:"model"` // its ARN
	Description string  `json:"description,omitzero"`
	Status      Status  `json:"status"`
	Failure     string  `json:"failure,omitzero"`
	Update      *Update `json:"update,omitempty"`
}

// Made implements resource.Listed.
func (d *Deployment) Made() time.Time { return d.Created }

// Identity implements resource.Listed.
func (d *Deployment) Identity() string { return d.ARN }

// uses reports whether calls by the deployment go to a model, or will.
func (d *Deployment) uses(model string) bool {
	return d.Model == model || d.Update != nil && d.Update.Status == Updating && d.Update.Model == model
}

func (d *Deployment) fill(r *store.Resource) {
	d.ARN, d.Account, d.Name, d.Created, d.Updated = r.ARN, r.Account, r.Name, r.Created, r.Updated
}

func (d *Deployment) save(ctx context.Context, tx *store.Tx) error {
	body, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return tx.UpdateResource(ctx, &store.Resource{ARN: d.ARN, Name: d.Name, Body: body, Updated: time.Now()})
}

func deployments(ctx context.Context, tx *store.Tx, account string) ([]*Deployment, error) {
	list, err := tx.Resources(ctx, resource.CustomDeployment, account)
	if err != nil {
		return nil, err
	}
	out := make([]*Deployment, len(list))
	for i := range list {
		out[i] = new(Deployment)
		if err := json.Unmarshal(list[i].Body, out[i]); err != nil {
			return nil, err
		}
		out[i].fill(&list[i])
	}
	return out, nil
}

// Deployments returns those of all accounts.
func Deployments(ctx context.Context, tx *store.Tx) ([]*Deployment, error) {
	return deployments(ctx, tx, "")
}

// deployable returns the base of an account's variant that can be deployed.
func (r *Registry) deployable(ctx context.Context, tx *store.Tx, account, arn string) (base string, err error) {
	for _, d := range r.Models.Declared(account) {
		if d.ARN == arn {
			return d.Base, nil
		}
	}
	m := new(Model)
	if _, err := get(ctx, tx, resource.CustomModel, account, arn, m); err != nil {
		return "", err
	}
	if m.Status != Active {
		return "", fault.Newf(fault.Invalid, "The custom model %s is not Active: its status is %s.", arn, m.Status)
	}
	return m.Base, nil
}

// Deploy makes a deployment of a variant and returns its ARN. Faults: NotFound and Invalid for the model; Invalid for a name that is
// taken, and a token that was used for something else; those of resource.Create.
func (r *Registry) Deploy(ctx context.Context, c *resource.Creation, w *Deployment) (string, error) {
	c.Max = maxDeployments
	arn, err := resource.Create(ctx, r.Store, c, func(tx *store.Tx) (*store.Resource, error) {
		if _, err := r.deployable(ctx, tx, c.Account, w.Model); err != nil {
			return nil, err
		}
		now := time.Now()
		at := resource.ARN{Region: r.Region, Account: c.Account, Kind: resource.CustomDeployment, ID: resource.NewID()}
		body, err := json.Marshal(&Deployment{Model: w.Model, Description: w.Description, Status: Creating})
		return &store.Resource{ARN: at.String(), Kind: at.Kind, Account: c.Account, Name: w.Name, Body: body, Created: now, Updated: now}, err
	})
	r.pending()
	if e := fault.From(err); e != nil && e.Kind == fault.Conflict { // the operation has no error of that name
		err = fault.Wrap(fault.Invalid, err, e.Message)
	}
	return arn, err
}

// Deployment returns one by its ARN or name. Faults: NotFound.
func (r *Registry) Deployment(ctx context.Context, account, id string) (*Deployment, error) {
	d := new(Deployment)
	err := r.Store.View(ctx, func(tx *store.Tx) error {
		res, err := get(ctx, tx, resource.CustomDeployment, account, id, d)
		if err == nil {
			d.fill(res)
		}
		return err
	})
	return d, err
}

// DeploymentFilter says which deployments a list is asked for.
type DeploymentFilter struct {
	resource.Filter
	Status Status
	Model  string // its ARN
}

// DeploymentList returns a page of an account's deployments, and the token of the next.
func (r *Registry) DeploymentList(ctx context.Context, account string, f *DeploymentFilter) ([]*Deployment, string, error) {
	var all []*Deployment
	err := r.Store.View(ctx, func(tx *store.Tx) (err error) {
		all, err = deployments(ctx, tx, account)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return resource.Page(keep(all, func(d *Deployment) bool {
		return f.Holds(d.Name) && (f.Status == "" || f.Status == d.Status) && (f.Model == "" || f.Model == d.Model)
	}), &f.Filter)
}

// UpdateDeployment gives a deployment another model of the same base; calls go on meanwhile. It returns the deployment's ARN.
// Faults: NotFound; Invalid for a deployment that is not Active or is being changed, and for a model of another base.
func (r *Registry) UpdateDeployment(ctx context.Context, account, id, model string) (arn string, err error) {
	err = r.Store.Update(ctx, func(tx *store.Tx) error {
		d := new(Deployment)
		res, err := get(ctx, tx, resource.CustomDeployment, account, id, d)
		if err != nil {
			return err
		}
		d.fill(res)
		arn = d.ARN
		if d.Status != Active || d.Update != nil && d.Update.Status == Updating {
			return fault.Newf(fault.Invalid, "The deployment %s cannot be updated now: it is being created or updated.", d.Name)
		}
		base, err := r.deployable(ctx, tx, account, model)
		if err != nil {
			return err
		}
		if was, err := r.deployable(ctx, tx, account, d.Model); err != nil || was != base {
			return errors.Join(err, fault.Newf(fault.Invalid, "The custom model %s has another base than the model of the deployment.", model))
		}
		d.Update = &Update{Model: model, Status: Updating}
		return d.save(ctx, tx)
	})
	r.pending()
	return arn, err
}

// DeleteDeployment removes one; calls under way end. Faults: NotFound; Conflict while it is being created or updated, or a
// route has a lane of it.
func (r *Registry) DeleteDeployment(ctx context.Context, account, id string) error {
	return r.Store.Update(ctx, func(tx *store.Tx) error {
		d := new(Deployment)
		res, err := get(ctx, tx, resource.CustomDeployment, account, id, d)
		if err != nil {
			return err
		}
		if d.Status == Creating || d.Update != nil && d.Update.Status == Updating {
			return fault.Newf(fault.Conflict, "The deployment %s cannot be deleted while it is being created or updated.", res.Name)
		}
		use, err := r.Models.InUse(ctx, tx, account, res.ARN)
		if err != nil {
			return err
		}
		if use != "" {
			return fault.Newf(fault.Conflict, "The deployment %s cannot be deleted while it is used by %s.", res.Name, use)
		}
		return tx.DeleteResource(ctx, res.ARN)
	})
}
