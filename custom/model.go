package custom

import (
	"context"
	"errors"
	"regexp"
	"time"

	"forebay/artifact/weights"
	"forebay/fault"
	"forebay/resource"
	"forebay/store"

	"github.com/go-json-experiment/json"
)

// Status is that of a model or a deployment.
type Status string

// The statuses.
const (
	Creating Status = "Creating"
	Active   Status = "Active"
	Failed   Status = "Failed"
)

// Model is a variant of a base model, or an imported model.
type Model struct {
	ARN     string    `json:"-"`
	Account string    `json:"-"`
	Name    string    `json:"-"`
	Created time.Time `json:"-"`
	// ManagedBy is the place in the configuration that declares it, "" for one that was made.
	ManagedBy string `json:"-"`

	Base    string           `json:"base,omitzero"` // id of the model that a variant was made from
	Source  string           `json:"source"`
	Status  Status           `json:"status"`
	Failure string           `json:"failure,omitzero"`
	Weights *weights.Weights `json:"weights,omitempty"` // nil until they were looked at
	Job     string           `json:"job,omitzero"`      // the ARN of the job that imports it
	JobName string           `json:"jobName,omitzero"`
}

// Made implements resource.Listed.
func (m *Model) Made() time.Time { return m.Created }

// Identity implements resource.Listed.
func (m *Model) Identity() string { return m.ARN }

// Served reports whether the model is to be in force.
func (m *Model) Served() bool { return m.Weights != nil && m.Status != Failed }

func (m *Model) fill(r *store.Resource) {
	m.ARN, m.Account, m.Name, m.Created = r.ARN, r.Account, r.Name, r.Created
}

// save stores a change of a model.
func (m *Model) save(ctx context.Context, tx *store.Tx) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return tx.UpdateResource(ctx, &store.Resource{ARN: m.ARN, Name: m.Name, Body: body, Updated: time.Now()})
}

// models lists those of a kind, of an account or with "" of all.
func models(ctx context.Context, tx *store.Tx, kind, account string) ([]*Model, error) {
	list, err := tx.Resources(ctx, kind, account)
	if err != nil {
		return nil, err
	}
	out := make([]*Model, len(list))
	for i := range list {
		out[i] = new(Model)
		if err := json.Unmarshal(list[i].Body, out[i]); err != nil {
			return nil, err
		}
		out[i].fill(&list[i])
	}
	return out, nil
}

// All returns the models of all accounts, variants and imported ones.
func All(ctx context.Context, tx *store.Tx) ([]*Model, error) {
	variants, err := models(ctx, tx, resource.CustomModel, "")
	if err != nil {
		return nil, err
	}
	imported, err := models(ctx, tx, resource.ImportedModel, "")
	return append(variants, imported...), err
}

// baseForm is what the base in a variant's ARN looks like; variants of others are "imported", as the service says of those that were
// not made in it.
var baseForm = regexp.MustCompile(`^[a-z0-9-]{1,63}\.([a-z0-9-]{1,63}\.){0,2}[a-z0-9-]{1,63}(:[a-z0-9-]{1,63}){0,2}$`)

// VariantARN is the ARN of an account's variant of a base.
func VariantARN(region, account, base, id string) string {
	if !baseForm.MatchString(base) {
		base = "imported"
	}
	return resource.ARN{Region: region, Account: account, Kind: resource.CustomModel, ID: base + "/" + id}.String()
}

// CreateModel registers a variant whose weights lie at a location, and returns its ARN. The artifact says which model it
// was made from. Faults: Invalid for a location or a base that is not there; Denied; those of resource.Create.
func (r *Registry) CreateModel(ctx context.Context, c *resource.Creation, name, source string) (string, error) {
	base, err := r.baseOf(c.Account, source)
	if err != nil {
		return "", err
	}
	for _, d := range r.Models.Declared(c.Account) {
		if d.Name == name {
			return "", fault.Newf(fault.Conflict, "The model name %s is in use: it is managed by %s.", name, d.ManagedBy)
		}
	}
	body, err := json.Marshal(&Model{Base: base, Source: source, Status: Creating})
	if err != nil {
		return "", err
	}
	c.Max = maxModels
	arn, err := resource.Create(ctx, r.Store, c, func(*store.Tx) (*store.Resource, error) {
		now := time.Now()
		arn := VariantARN(r.Region, c.Account, base, resource.NewID())
		return &store.Resource{ARN: arn, Kind: resource.CustomModel, Account: c.Account, Name: name, Body: body, Created: now, Updated: now}, nil
	})
	r.pending()
	return arn, err
}

// baseOf finds the model that an artifact says it was made from.
func (r *Registry) baseOf(account, source string) (base string, err error) {
	at, err := r.locate(account, source)
	if err != nil {
		return "", err
	}
	folder, err := r.Objects.Open(at)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	name, err := weights.Base(folder.FS())
	if err != nil {
		return "", err
	}
	if name == "" {
		return "", fault.New(fault.Invalid, "The artifact does not say which model it was made from: base_model_name_or_path of adapter_config.json, or _name_or_path of config.json.")
	}
	return r.Models.Base(account, name)
}

// Model returns a variant by its ARN or name. Faults: NotFound.
func (r *Registry) Model(ctx context.Context, account, id string) (*Model, error) {
	for _, d := range r.Models.Declared(account) {
		if id == d.ARN || id == d.Name {
			return &d, nil
		}
	}
	return r.stored(ctx, resource.CustomModel, account, id)
}

func (r *Registry) stored(ctx context.Context, kind, account, id string) (*Model, error) {
	m := new(Model)
	err := r.Store.View(ctx, func(tx *store.Tx) error {
		res, err := get(ctx, tx, kind, account, id, m)
		if err == nil {
			m.fill(res)
		}
		return err
	})
	return m, err
}

// ModelFilter says which variants a list is asked for.
type ModelFilter struct {
	resource.Filter
	Base   string // id of the model that they were made from
	Status Status
}

// ModelList returns a page of an account's variants, and the token of the next.
func (r *Registry) ModelList(ctx context.Context, account string, f *ModelFilter) ([]*Model, string, error) {
	var all []*Model
	err := r.Store.View(ctx, func(tx *store.Tx) (err error) {
		all, err = models(ctx, tx, resource.CustomModel, account)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	for _, d := range r.Models.Declared(account) {
		all = append(all, &d)
	}
	return resource.Page(keep(all, func(m *Model) bool {
		return f.Holds(m.Name) && (f.Base == "" || f.Base == m.Base) && (f.Status == "" || f.Status == m.Status)
	}), &f.Filter)
}

func keep[T any](list []T, ok func(T) bool) (out []T) {
	for _, x := range list {
		if ok(x) {
			out = append(out, x)
		}
	}
	return out
}

// DeleteModel removes a variant. Faults: NotFound; Conflict while it is deployed, bought for, looked at, or declared.
func (r *Registry) DeleteModel(ctx context.Context, account, id string) error {
	m, err := r.Model(ctx, account, id)
	if err != nil {
		return err
	}
	if m.ManagedBy != "" {
		return fault.Newf(fault.Conflict, "The model %s is managed by %s; change it there.", m.Name, m.ManagedBy)
	}
	return r.remove(ctx, resource.CustomModel, m)
}

// remove deletes a model that nothing uses, and takes it out of force.
func (r *Registry) remove(ctx context.Context, kind string, m *Model) error {
	err := r.Store.Update(ctx, func(tx *store.Tx) error {
		now := new(Model)
		if _, err := get(ctx, tx, kind, m.Account, m.ARN, now); err != nil {
			return err
		}
		if now.Status == Creating {
			return fault.Newf(fault.Conflict, "The model %s cannot be deleted while it is being created.", m.Name)
		}
		use, err := r.Models.InUse(ctx, tx, m.Account, m.ARN)
		if err != nil {
			return err
		}
		if use != "" {
			return fault.Newf(fault.Conflict, "The model %s cannot be deleted while it is used by %s.", m.Name, use)
		}
		all, err := deployments(ctx, tx, m.Account)
		if err != nil {
			return err
		}
		for _, d := range all {
			if d.uses(m.ARN) {
				return fault.Newf(fault.Conflict, "The model %s cannot be deleted while it is used by the deployment %s.", m.Name, d.ARN)
			}
		}
		return tx.DeleteResource(ctx, m.ARN)
	})
	if err != nil {
		return err
	}
	return r.Models.Changed(context.WithoutCancel(ctx))
}
