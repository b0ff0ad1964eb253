// Package profile keeps inference profiles: names for calls to a model. Those of the system are a model's id with the prefix of
// a group of regions; those of an application are made by callers, and what they are tagged with
// goes on the ledger with every call.
package profile

import (
	"context"
	"strings"
	"time"

	"forebay/catalog"
	"forebay/fault"
	"forebay/resource"
	"forebay/store"

	"github.com/go-json-experiment/json"
)

// Profile is an inference profile.
type Profile struct {
	ARN, ID     string
	Name        string
	Description string
	System      bool
	Models      []string  // the ARNs of its models
	Created     time.Time // zero for those of the system
	Updated     time.Time
}

// Made implements resource.Listed.
func (p *Profile) Made() time.Time { return p.Created }

// Identity implements resource.Listed.
func (p *Profile) Identity() string { return p.ARN }

// Names finds models.
type Names interface {
	Resolve(account, id string) (catalog.Resolution, error)
	List(account string) []*catalog.Model
}

// maxProfiles is how many application profiles an account has at most ("Quotas for Amazon Bedrock").
const maxProfiles = 1000

// Profiles are the profiles of a region. They are safe for concurrent use.
type Profiles struct {
	Store  resource.Store
	Names  Names
	Region string
}

// body is what is stored of an application profile.
type body struct {
	Description string `json:"description,omitzero"`
	// Source is the id of the model, with the prefix of the system profile that it was copied from, if any.
	Source string `json:"source"`
}

func read(r *store.Resource) (body, error) {
	var b body
	return b, json.Unmarshal(r.Body, &b)
}

// Wanted is an application profile to be made.
type Wanted struct {
	Name, Description string
	CopyFrom          string // the ARN of a foundation model or of a system profile
}

// Create makes an application profile and returns its ARN. Faults: NotFound and Invalid for what is copied; those of resource.Create.
func (p *Profiles) Create(ctx context.Context, c *resource.Creation, w *Wanted) (string, error) {
	source, err := p.source(c.Account, w.CopyFrom)
	if err != nil {
		return "", err
	}
	stored, err := json.Marshal(&body{Description: w.Description, Source: source})
	if err != nil {
		return "", err
	}
	c.Max = maxProfiles
	return resource.Create(ctx, p.Store, c, func(*store.Tx) (*store.Resource, error) {
		now := time.Now()
		arn := resource.ARN{Region: p.Region, Account: c.Account, Kind: resource.ApplicationProfile, ID: resource.NewID()}
		return &store.Resource{ARN: arn.String(), Kind: arn.Kind, Account: c.Account, Name: w.Name, Body: stored, Created: now, Updated: now}, nil
	})
}

// source checks what a profile is copied from, and returns the id that stands for it.
func (p *Profiles) source(account, from string) (string, error) {
	arn, ok := resource.Parse(from)
	if !ok || arn.Kind != resource.FoundationModel && arn.Kind != resource.SystemProfile {
		return "", fault.New(fault.Invalid, "The provided model source is invalid: it must be the ARN of a foundation model or of a system-defined inference profile.")
	}
	if arn.Account != "" && arn.Account != account {
		return "", fault.Newf(fault.NotFound, "Could not find the resource %s.", from)
	}
	res, err := p.Names.Resolve(account, arn.ID)
	if err != nil {
		e := fault.From(err)
		if e.Kind == fault.UnknownModel {
			return "", fault.Newf(fault.NotFound, "Could not find the resource %s.", from).WithReason("%s", e.Reason)
		}
		return "", err
	}
	if arn.Kind == resource.SystemProfile && res.RegionPrefix == "" {
		return "", fault.Newf(fault.NotFound, "Could not find the resource %s.", from).WithReason("a system-defined profile has the prefix of a group of regions, such as us.")
	}
	return arn.ID, nil
}

// Get returns the profile of an ARN or an id. Faults: NotFound.
func (p *Profiles) Get(ctx context.Context, account, id string) (*Profile, error) {
	arn, isARN := resource.Parse(id)
	if !isARN {
		arn = resource.ARN{Region: p.Region, Account: account, Kind: resource.ApplicationProfile, ID: id}
	}
	if arn.Account != account {
		return nil, missing(id)
	}
	if !isARN && !resource.IsID(id) || arn.Kind == resource.SystemProfile {
		return p.system(account, arn.ID, id)
	}
	if arn.Kind != resource.ApplicationProfile {
		return nil, missing(id)
	}
	var out *Profile
	err := p.Store.View(ctx, func(tx *store.Tx) error {
		r, err := tx.Resource(ctx, arn.String())
		if err == nil {
			out, err = p.application(r)
		}
		return err
	})
	return out, err
}

// system returns the system profile of a name.
func (p *Profiles) system(account, name, asked string) (*Profile, error) {
	res, err := p.Names.Resolve(account, name)
	if err != nil || res.RegionPrefix == "" {
		return nil, missing(asked)
	}
	return p.systemProfile(account, res.RegionPrefix, res.Model), nil
}

func (p *Profiles) systemProfile(account, prefix string, m *catalog.Model) *Profile {
	arn := resource.ARN{Region: p.Region, Account: account, Kind: resource.SystemProfile, ID: prefix + "." + m.ID}
	return &Profile{
		ARN: arn.String(), ID: arn.ID, Name: strings.ToUpper(prefix) + " " + m.Provider + " " + m.Name, System: true, Models: []string{p.model(m.ID)},
		Description: "Routes requests to " + m.Provider + " " + m.Name + ".",
	}
}

func (p *Profiles) model(id string) string {
	return resource.ARN{Region: p.Region, Kind: resource.FoundationModel, ID: id}.String()
}

func (p *Profiles) application(r *store.Resource) (*Profile, error) {
	b, err := read(r)
	if err != nil {
		return nil, err
	}
	arn, _ := resource.Parse(r.ARN)
	id := b.Source // shown as it was, should its model be gone
	if res, err := p.Names.Resolve(r.Account, b.Source); err == nil {
		id = res.Model.ID
	}
	return &Profile{
		ARN: r.ARN, ID: arn.ID, Name: r.Name, Description: b.Description, Models: []string{p.model(id)}, Created: r.Created, Updated: r.Updated,
	}, nil
}

// Kinds of profiles that a list can be asked for.
const (
	System      = "SYSTEM_DEFINED"
	Application = "APPLICATION"
)

// List returns a page of the profiles of a type, "" for all, those of the system first.
func (p *Profiles) List(ctx context.Context, account, kind string, f *resource.Filter) ([]*Profile, string, error) {
	var all []*Profile
	if kind != Application {
		prefixes := []string{"global"}
		if group := catalog.RegionGroup(p.Region); group != "" {
			prefixes = []string{group, "global"}
		}
		for _, prefix := range prefixes {
			for _, m := range p.Names.List(account) {
				all = append(all, p.systemProfile(account, prefix, m))
			}
		}
	}
	if kind != System {
		err := p.Store.View(ctx, func(tx *store.Tx) error {
			list, err := tx.Resources(ctx, resource.ApplicationProfile, account)
			for i := range list {
				one, err := p.application(&list[i])
				if err != nil {
					return err
				}
				all = append(all, one)
			}
			return err
		})
		if err != nil {
			return nil, "", err
		}
	}
	return resource.Page(all, f)
}

// Delete removes an application profile. Faults: NotFound; Invalid for one of the system.
func (p *Profiles) Delete(ctx context.Context, account, id string) error {
	one, err := p.Get(ctx, account, id)
	if err != nil {
		return err
	}
	if one.System {
		return fault.New(fault.Invalid, "A system-defined inference profile cannot be deleted.")
	}
	return p.Store.Update(ctx, func(tx *store.Tx) error { return tx.DeleteResource(ctx, one.ARN) })
}

func missing(id string) error {
	return fault.Newf(fault.NotFound, "Could not find the inference profile %s.", id[:min(len(id), 256)])
}

// Target is what calls by an application profile go to.
type Target struct {
	Model string // the id of the model, with the prefix of a system profile
	Tags  map[string]string
}

// Targets returns those of all application profiles, by their ARNs.
func Targets(ctx context.Context, tx *store.Tx) (map[string]Target, error) {
	list, err := tx.Resources(ctx, resource.ApplicationProfile, "")
	if err != nil {
		return nil, err
	}
	out := make(map[string]Target, len(list))
	for i := range list {
		b, err := read(&list[i])
		if err != nil {
			return nil, err
		}
		tags, err := tx.Tags(ctx, list[i].ARN)
		if err != nil {
			return nil, err
		}
		out[list[i].ARN] = Target{Model: b.Source, Tags: tags}
	}
	return out, nil
}
