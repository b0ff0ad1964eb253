package server

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"forebay/catalog"
	"forebay/config"
	"forebay/custom"
	"forebay/fault"
	"forebay/infer"
	"forebay/provision"
	"forebay/resource"
	"forebay/store"
)

// unknownModel is what is assumed of a model that nobody describes.
func unknownModel(id, provider string) *catalog.Model {
	return &catalog.Model{
		ID: id, Provider: provider, Name: id, Family: infer.DialectOpenAI, Input: []string{"TEXT"}, Output: []string{"TEXT"}, Streaming: true,
		Context: 8192, MaxOutput: 4096, Burndown: 1000, Features: catalog.Unknown(),
	}
}

// models merges the built-in catalogue, what the configuration declares, and what callers brought. Models are
// declared in the order in which one can depend on another.
func (p *serving) models() (map[string]*catalog.Model, error) {
	out := map[string]*catalog.Model{}
	for _, m := range catalog.Builtin() {
		out[m.ID] = m
	}
	var errs []error
	declare := func(which func(id string, cm *config.Model) bool) {
		for _, id := range slices.Sorted(maps.Keys(p.cfg.Models)) {
			cm := p.cfg.Models[id]
			if !which(id, &cm) {
				continue
			}
			if err := p.declare(out, id, &cm); err != nil {
				errs = append(errs, fmt.Errorf("models.%s: %w", id, err))
			}
		}
	}
	declare(func(id string, cm *config.Model) bool { return cm.Base == "" && !isARN(id) })
	p.size(out)
	declare(func(_ string, cm *config.Model) bool { return cm.Base != "" })
	for _, m := range p.custom {
		if entry := p.brought(out, m); entry != nil {
			out[m.ARN] = entry
		}
	}
	declare(func(id string, _ *config.Model) bool { return isARN(id) && out[id] != nil }) // engines of what callers brought
	p.variants = map[string]*catalog.Model{}
	for id, m := range out {
		switch {
		case isARN(id):
			p.variants[id] = m
		case m.Base != "":
			p.variants[p.declaredARN(m)] = m
		}
	}
	return out, errors.Join(errs...)
}

func isARN(id string) bool { return strings.HasPrefix(id, "arn:") }

// declare puts a model that the configuration declares beside those that are known.
func (p *serving) declare(out map[string]*catalog.Model, id string, cm *config.Model) error {
	m := unknownModel(id, "custom")
	if known := out[id]; known != nil {
		c := *known
		m = &c
	} else if base := out[cm.Base]; base != nil {
		m = variantOf(base, id, id)
	}
	m.ManagedBy = p.cfg.Where("models." + id)
	out[id] = m
	return override(m, cm)
}

// variantOf is a model that was fine-tuned from a base: what its tokens cost is not known.
func variantOf(base *catalog.Model, id, name string) *catalog.Model {
	m := *base
	m.ID, m.Name, m.Base, m.ManagedBy = id, name, base.ID, ""
	m.Price, m.UnitPrices, m.Legacy = nil, nil, false
	return &m
}

// brought describes a model that a caller brought, nil for one that cannot be served (any more).
func (p *serving) brought(out map[string]*catalog.Model, m *custom.Model) *catalog.Model {
	if !m.Served() {
		return nil
	}
	if m.Base != "" {
		base := out[m.Base]
		if base == nil {
			return nil
		}
		return variantOf(base, m.ARN, m.Name)
	}
	entry := unknownModel(m.ARN, "imported")
	entry.Name, entry.Family = m.Name, familyOf(m.Weights.Architecture)
	if c := m.Weights.Context; c > 0 {
		entry.Context, entry.MaxOutput = c, min(c, entry.MaxOutput)
	}
	return entry
}

// familyOf is the dialect of InvokeModel bodies for an architecture. Source: Bedrock user guide, "Use Custom model import": imported models
// take the body of their family; the families that Bedrock has no body for take OpenAI's.
func familyOf(architecture string) infer.Dialect {
	switch strings.ToLower(architecture) {
	case "llamaforcausallm", "llama", "mllamaforconditionalgeneration":
		return infer.DialectLlama
	case "mistralforcausallm", "mixtralforcausallm", "mistral", "mixtral":
		return infer.DialectMistral
	case "gptossforcausallm", "gpt-oss", "gptoss":
		return infer.DialectGPTOSS
	default:
		return infer.DialectOpenAI
	}
}

// declaredARN is the ARN of a variant that the configuration declares: the same after every start.
func (p *serving) declaredARN(m *catalog.Model) string {
	sum := sha256.Sum256([]byte(m.ID))
	return custom.VariantARN(p.cfg.Server.Region, p.cfg.Account.ID, m.Base, hex.EncodeToString(sum[:6]))
}

// brought reads what callers brought.
func (s *Server) brought(ctx context.Context) (all []*custom.Model, err error) {
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		all, err = custom.All(ctx, tx)
		return err
	})
	return all, err
}

// customModels implements custom.Models.
type customModels struct{ s *Server }

// Base implements custom.Models.
func (c customModels) Base(_, name string) (string, error) {
	p := c.s.live.Load()
	res, err := p.names.Resolve(name)
	if err == nil && res.Route == nil && res.Model.Base == "" {
		return res.Model.ID, nil
	}
	for i := range p.base.Models { // as an engine calls it
		m := &p.base.Models[i]
		for _, b := range m.Bindings {
			if m.Entry.Base == "" && strings.EqualFold(b.Upstream, name) {
				return m.ID, nil
			}
		}
	}
	return "", fault.Newf(fault.Invalid, "The artifact was made from the model %s, which is none of those served here.", printable(name)).
		WithReason("name a model or an alias, or the name by which an engine knows one (models.ID.engines.model)")
}

// printable makes a caller's words safe to repeat.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), 256)])
}

// madeByModels is what manages variants that were made at run time.
const madeByModels = "forebay models"

// Declared implements custom.Models.
func (c customModels) Declared(account string) []custom.Model {
	p := c.s.live.Load()
	if account != p.cfg.Account.ID {
		return nil
	}
	var out []custom.Model
	for _, arn := range slices.Sorted(maps.Keys(p.variants)) {
		m := p.variants[arn]
		if m.ID == arn {
			continue
		}
		out = append(out, custom.Model{ARN: arn, Account: account, Name: m.ID, Created: c.s.started, ManagedBy: cmp.Or(m.ManagedBy, madeByModels), Base: m.Base, Status: custom.Active})
	}
	return out
}

// InUse implements custom.Models.
func (c customModels) InUse(ctx context.Context, tx *store.Tx, account, arn string) (string, error) {
	if name, err := provision.Using(ctx, tx, account, arn); err != nil || name != "" {
		return "the provisioned throughput " + name, err
	}
	route, err := c.s.routeWith(ctx, tx, func(l *config.Lane) bool { return l.Model == arn })
	if route != "" {
		route = "the route " + route
	}
	return route, err
}

// Changed implements custom.Models.
func (c customModels) Changed(ctx context.Context) error {
	c.s.keys.Lock()
	defer c.s.keys.Unlock()
	return c.s.renew(ctx)
}

// Deployed implements custom.Models. Deployments are looked up with each call; only routes are made of them.
func (c customModels) Deployed(ctx context.Context, arn string) error {
	c.s.keys.Lock()
	defer c.s.keys.Unlock()
	live := c.s.live.Load()
	if live == nil || live.routeWith(func(l *config.Lane) bool { return l.Model == arn }) == "" {
		return nil
	}
	return c.s.renew(ctx)
}

// renew puts what callers brought in force as it is stored now. s.keys is held.
func (s *Server) renew(ctx context.Context) error {
	live := s.live.Load()
	if live == nil { // stopped meanwhile
		return nil
	}
	brought, err := s.brought(ctx)
	if err != nil {
		return err
	}
	next, err := build(live.declared, &live.cfg, brought, live)
	if err != nil {
		return err
	}
	return s.install(ctx, next)
}

// resolveCustom finds a model that a caller brought by an ARN: of an imported model, or of a deployment of a variant.
func (v *modelsView) resolveCustom(d *directory, arn *resource.ARN, id string) (res catalog.Resolution, ok bool, err error) {
	p := v.live.Load()
	model, status := arn.String(), custom.Active
	switch arn.Kind {
	case resource.CustomDeployment:
		deployment := d.deployments[arn.String()]
		if deployment == nil {
			return res, false, nil
		}
		model, status = deployment.Model, deployment.Status
	case resource.CustomModel:
		if p.variants[model] == nil {
			return res, false, nil
		}
		return res, true, fault.Newf(fault.Invalid, "Invocation of model ID %s with on-demand throughput isn’t supported. Retry your request with the ID or ARN of an inference profile that contains this model.", id).
			WithReason("deploy it (CreateCustomModelDeployment), or buy provisioned throughput for it, and call it by that ARN")
	case resource.ImportedModel:
	default:
		return res, false, nil
	}
	entry := p.variants[model]
	if entry == nil {
		if arn.Kind == resource.ImportedModel {
			return res, false, nil
		}
		return res, true, fault.Newf(fault.NotFound, "Could not find the resource %s.", model)
	}
	if status != custom.Active {
		return res, true, fault.Newf(fault.NotReady, "The custom model deployment %s is not Active: its status is %s.", arn.String(), status)
	}
	return catalog.Resolution{Model: entry, Asked: id, Charged: entry.ID}, true, nil
}

// model returns the model of an id, which is an ARN for what callers brought; nil for none.
func (p *serving) model(id string) *catalog.Model {
	if m := p.variants[id]; m != nil && m.ID == id {
		return m
	}
	return p.names.Get(id)
}

// customOffer is what is sold of a fine-tuned model: units of the size of its base's.
func customOffer(m *catalog.Model, arn string) (provision.Offer, error) {
	unit, sold := m.UnitSize()
	if !sold {
		return provision.Offer{}, fault.Newf(fault.Invalid, "The provided model identifier %s is not supported for Provisioned Throughput.", arn).
			WithReason("say what a unit of its base delivers: models.%s.unit in the configuration", m.Base)
	}
	return provision.Offer{Model: provision.Model{ID: m.ID, ARN: arn, Base: m.Base, Custom: true}, Unit: unit, Prices: m.UnitPrices}, nil
}
