package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"forebay/catalog"
	"forebay/config"
	"forebay/dispatch"
	"forebay/engine"
	"forebay/engine/anthropicclient"
	"forebay/engine/bedrockclient"
	"forebay/engine/openaiclient"
	"forebay/engine/simulated"
	"forebay/engine/upstream"
	"forebay/identity"
	"forebay/infer"
	"forebay/meter"
	"forebay/perf"
)

// simulatedEngine is the engine that answers for models that are bound to none.
const simulatedEngine = "simulated"

// providers names the flavours of engines in the words of OpenTelemetry.
var providers = map[string]string{"openai": "openai", "anthropic": "anthropic", "bedrock": "aws.bedrock", simulatedEngine: "forebay.simulated"}

// demoProfile is the engine model of simulated engines that name none.
const demoProfile = "demo"

// engine is what the configuration says of an engine; of the simulated one, where it says nothing, what it is then.
func (p *serving) engine(name string) config.Engine {
	if e, ok := p.cfg.Engines[name]; ok || name != simulatedEngine {
		return e
	}
	return config.Engine{Type: simulatedEngine, Profile: demoProfile}
}

// slotsOf is how many calls an engine takes at once, 0 for many. A simulated one says itself; calls beyond that would
// wait inside it, where neither tier nor reservation counts.
// A measured one runs as many as were seen to.
func (p *serving) slotsOf(model, name string) int32 {
	e := p.engine(name)
	if e.Slots != 0 {
		return e.Slots
	}
	profile, _ := p.profile(model, name)
	return int32(min(profile.MaxBatch, 1<<20))
}

// defaultTotal bounds a call where the configuration says nothing: long generations are first class.
const defaultTotal = time.Hour

// engines opens a client for every engine, and for bedrock one for every family that is
// bound to it, because the families' bodies differ. What old has open and has not changed is
// taken over, with its connections and its health.
func (p *serving) engines(models map[string]*catalog.Model, old *serving) ([]dispatch.Engine, error) {
	var list []dispatch.Engine
	var errs []error
	add := func(name string, e config.Engine, b bodies) {
		o, err := p.open(name, e, b, old)
		if err != nil {
			errs = append(errs, fmt.Errorf("engines.%s: %w", name, err))
			return
		}
		p.opened[name] = o
		list = append(list, dispatch.Engine{Name: name, Client: o.client, Provider: providers[e.Type], ProbeEvery: e.ProbeEvery, Simulated: e.Type == simulatedEngine})
	}
	all := maps.Clone(p.cfg.Engines)
	if all == nil {
		all = map[string]config.Engine{}
	}
	if _, ok := all[simulatedEngine]; !ok {
		all[simulatedEngine] = p.engine(simulatedEngine)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		e := all[name]
		if e.Type != "bedrock" {
			add(name, e, bodies{})
			continue
		}
		for _, b := range p.bodies(name, models) {
			add(name+"/"+b.String(), e, b)
		}
	}
	return list, errors.Join(errs...)
}

// opened is an engine with its client, and what it was opened with.
type opened struct {
	cfg    config.Engine
	key    string // the secret itself
	region string
	hint   string
	client engine.Client
	name   *name // where its addresses are looked up, nil elsewhere
}

// open returns old's client of an engine when nothing of it has changed, a new one otherwise.
func (p *serving) open(name string, e config.Engine, b bodies, old *serving) (*opened, error) {
	o := &opened{cfg: e, region: cmp.Or(e.Region, p.cfg.Server.Region), hint: p.cfg.Hint}
	var err error
	if o.key, err = apiKey(e); err != nil {
		return nil, err
	}
	if old != nil {
		if was := old.opened[name]; was != nil && was.key == o.key && was.region == o.region && was.hint == o.hint && reflect.DeepEqual(was.cfg, e) {
			return was, nil
		}
	}
	if b.family != "" {
		o.client, err = bedrockclient.New(context.Background(), bedrockclient.Config{Upstream: upstreamOf(e, netip.Addr{}), Region: o.region, Family: b.family, Completion: b.completion, APIKey: o.key})
		return o, err
	}
	if o.client, err = o.dial(netip.Addr{}); err != nil {
		return nil, err
	}
	if e.Resolve == "dns" {
		if o.name, err = newName(&e, p.longest(), o.dial); err != nil {
			return nil, errors.Join(err, o.client.Close())
		}
	}
	return o, nil
}

// bodies are the dialects of the bodies that a model's InvokeModel takes: its family's, and of prompts.
type bodies struct{ family, completion infer.Dialect }

func bodiesOf(m *catalog.Model) bodies { return bodies{m.Family, m.Completion} }

func (b bodies) String() string {
	if b.completion == "" {
		return string(b.family)
	}
	return string(b.family + "+" + b.completion)
}

// bodies lists the bodies of the models that are bound to an engine, each once, in order.
func (p *serving) bodies(name string, models map[string]*catalog.Model) []bodies {
	seen := map[bodies]bool{}
	for id, m := range p.cfg.Models {
		for _, b := range m.Engines {
			if b.Engine == name && models[id] != nil {
				seen[bodiesOf(models[id])] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(seen), func(a, b bodies) int { return cmp.Compare(a.String(), b.String()) })
}

// longest is how long a call may take at most.
func (p *serving) longest() time.Duration {
	d := defaultTotal
	for _, e := range p.cfg.Engines {
		d = max(d, e.Total)
	}
	for _, m := range p.cfg.Models {
		d = max(d, m.Total)
	}
	return d
}

// upstreamOf is the way to an engine; an address pins its name to one replica.
func upstreamOf(e config.Engine, ip netip.Addr) upstream.Config {
	total := e.Total
	if total == 0 {
		total = defaultTotal
	}
	return upstream.Config{
		BaseURL: e.URL, Address: ip,
		Timeouts: engine.Timeouts{Connect: cmp.Or(e.Connect, 10*time.Second), FirstToken: e.FirstToken, BetweenTokens: e.Between, Total: total},
	}
}

func apiKey(e config.Engine) (string, error) {
	if e.APIKey == "" {
		return "", nil
	}
	return config.Secret(e.APIKey)
}

// dial opens a client; an address pins the engine's name to one replica.
func (o *opened) dial(ip netip.Addr) (engine.Client, error) {
	switch o.cfg.Type {
	case "openai":
		return openaiclient.New(openaiclient.Config{Upstream: upstreamOf(o.cfg, ip), APIKey: o.key, Flavour: openaiclient.Flavour(o.cfg.Flavour)})
	case "anthropic":
		return anthropicclient.New(anthropicclient.Config{Upstream: upstreamOf(o.cfg, ip), APIKey: o.key})
	default:
		profile, err := perf.Named(cmp.Or(o.cfg.Profile, demoProfile))
		if err != nil {
			return nil, err
		}
		return simulated.New(simulated.Options{Profile: profile, Seed: o.cfg.Seed, Hint: o.hint, Directives: o.cfg.Directives, Timeouts: upstreamOf(o.cfg, ip).Timeouts})
	}
}

// chargeAsked lists the aliases and models whose calls are charged at the price of what was asked for.
func (p *serving) chargeAsked() []string {
	var out []string
	for name, rule := range p.cfg.Charge {
		if rule == config.ChargeAsked {
			out = append(out, name)
		}
	}
	return out
}

func override(m *catalog.Model, c *config.Model) error {
	m.Provider = cmp.Or(c.Provider, m.Provider)
	m.Name = cmp.Or(c.Name, m.Name)
	m.Context = cmp.Or(c.Context, m.Context)
	m.MaxOutput = cmp.Or(c.MaxOutput, m.MaxOutput)
	if len(c.Features) > 0 {
		m.Features = c.Features
	}
	m.Rules = c.Rules
	if c.Guardrail == "ignore" {
		m.Rules = maps.Clone(c.Rules)
		if m.Rules == nil {
			m.Rules = map[string]catalog.Rule{}
		}
		m.Rules["guardrails"] = catalog.RuleDrop
	}
	if c.Family != "" {
		m.Family, m.Completion = infer.Dialect(c.Family), ""
	}
	var err error
	if c.Price != nil {
		m.Price, err = declared(c.Price)
	}
	if c.Reserved != nil && err == nil {
		if m.Tier, err = c.Reserved.Prices(); err == nil {
			m.TierCost, err = c.Reserved.OurCost()
		}
	}
	if c.Unit == nil || err != nil {
		return err
	}
	if size := c.Unit.Size(); size != nil {
		m.Unit = size
	}
	prices, err := c.Unit.Prices()
	if prices != nil {
		m.UnitPrices = prices
	}
	if err == nil {
		m.UnitCost, err = c.Unit.OurCost()
	}
	return err
}

// declared is a price that the configuration declares.
func declared(p *config.Price) (*catalog.Price, error) {
	r, err := p.Parse()
	out := &catalog.Price{
		Currency: r.Currency, Input: r.Input, Output: r.Output, CacheRead: r.CacheRead, CacheWrite: r.CacheWrite,
		PriorityPermille: r.PriorityPermille, FlexPermille: r.FlexPermille, BatchPermille: r.BatchPermille,
		Date: p.Date, Source: cmp.Or(p.Source, "configuration"),
	}
	out.CacheAsInput()
	return out, err
}

// cost is what tokens cost us on a binding: what it declares, or its engine does, at any tier;
// for the clouds whose list prices the catalogue has, those. It is unknown for any other engine.
func cost(b *config.Binding, e *config.Engine, upstream string) (t meter.Tariffs, err error) {
	own := b.Cost
	if own == nil {
		own = e.Cost
	}
	if own != nil {
		p, err := declared(own)
		t = meter.NewTariffs(upstream, p)
		for tier := range t {
			if t[tier] == nil { // an engine that says nothing of a tier charges no more for it
				t[tier] = t[infer.TierDefault]
			}
		}
		return t, err
	}
	if e.Type == "bedrock" || e.Type == "anthropic" {
		if id, p := catalog.ListPrice(upstream); p != nil {
			return meter.NewTariffs(id, p), nil
		}
	}
	return t, nil
}

// topology says what the dispatcher serves with, but for keys.
func (p *serving) topology(models map[string]*catalog.Model, engines []dispatch.Engine) (dispatch.Topology, error) {
	top := dispatch.Topology{Engines: engines}
	for _, id := range slices.Sorted(maps.Keys(models)) {
		m, err := p.served(models[id])
		if err != nil {
			return top, fmt.Errorf("models.%s: %w", id, err)
		}
		top.Models = append(top.Models, m)
	}
	tenants := p.cfg.Tenants()
	for _, id := range slices.Sorted(maps.Keys(tenants)) {
		if err := p.tenant(&top, id, tenants[id]); err != nil {
			return top, fmt.Errorf("account %s: %w", id, err)
		}
	}
	return top, nil
}

// presets are the quotas that an account has for models where nothing else is said.
func (p *serving) presets(limits map[string]identity.Limits) {
	if p.cfg.Quotas != config.QuotasAWS {
		return
	}
	for _, m := range catalog.Builtin() {
		if q, ok := catalog.AWSQuotas().Of(m.ID, p.cfg.Server.Region); ok {
			limits[m.ID] = identity.Limits{RequestsPerMinute: q.RequestsPerMinute, TokensPerMinute: q.TokensPerMinute}
		}
	}
}

// tenant adds an account with its teams.
func (p *serving) tenant(top *dispatch.Topology, id string, t config.Tenant) error {
	zone, err := time.LoadLocation(t.Zone)
	if err != nil {
		return err
	}
	account := dispatch.Account{ID: id, Zone: zone, Models: map[string]identity.Limits{}}
	if account.Limits, err = t.Limits.Parse(); err != nil {
		return err
	}
	p.presets(account.Models)
	for model, m := range p.cfg.Models {
		if m.Limits == (config.Limits{}) {
			continue
		}
		if account.Models[model], err = m.Limits.Parse(); err != nil {
			return err
		}
	}
	for model, l := range t.Models { // the account's own, in place of the model's
		if account.Models[model], err = l.Parse(); err != nil {
			return err
		}
	}
	top.Accounts = append(top.Accounts, account)
	for _, name := range slices.Sorted(maps.Keys(t.Teams)) {
		team := t.Teams[name]
		limits, err := team.Limits.Parse()
		if err != nil {
			return err
		}
		top.Teams = append(top.Teams, dispatch.Scope{ID: name, Account: id, Limits: limits})
	}
	return nil
}

func (p *serving) served(m *catalog.Model) (dispatch.Model, error) {
	cm := p.cfg.Models[m.ID]
	out := dispatch.Model{
		ID: m.ID, Entry: m, MaxOutput: m.MaxOutput, Burndown: m.Burndown, MaxQueue: cm.MaxQueue, MaxWait: cm.MaxWait,
		Timeouts: engine.Timeouts{FirstToken: cm.FirstToken, BetweenTokens: cm.Between, Total: cm.Total},
	}
	for i := range cm.Engines {
		b := &cm.Engines[i]
		e := p.cfg.Engines[b.Engine]
		upstream := cmp.Or(b.Model, m.ID)
		costs, err := cost(b, &e, upstream)
		if err != nil {
			return out, fmt.Errorf("cost on engine %s: %w", b.Engine, err)
		}
		kind, _ := e.PoolKind(upstream)
		name := b.Engine
		if e.Type == "bedrock" {
			name += "/" + bodiesOf(m).String()
		}
		out.Bindings = append(out.Bindings, dispatch.Binding{
			Engine: name, Declared: b.Engine, Kind: kind, Quota: quota(b, &e), Upstream: upstream, Weight: b.Weight, Standby: b.Standby, Slots: p.slotsOf(m.ID, b.Engine), Cost: costs,
		})
	}
	if len(out.Bindings) == 0 {
		out.Bindings = []dispatch.Binding{{Engine: simulatedEngine, Upstream: m.ID, Slots: p.slotsOf(m.ID, simulatedEngine)}}
	}
	return out, nil
}
