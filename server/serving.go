package server

import (
	"context"
	"errors"
	"slices"
	"time"

	"forebay/catalog"
	"forebay/config"
	"forebay/custom"
	"forebay/dispatch"
	"forebay/engine"
	"forebay/identity"
	"forebay/invocationlog"
	"forebay/provision"
)

// serving is what follows from the configuration and may change while the server runs. It
// is immutable once it is in force: calls read the one that they find, and a change puts
// another in its place.
type serving struct {
	declared  *config.Config // by the file and the command line
	cfg       config.Config  // with what was made at run time
	names     *catalog.Names
	speaks    map[string][]engine.Client // by model
	base      dispatch.Topology          // but for keys, and the addresses of names
	opened    map[string]*opened         // by engine, as the scheduler knows it
	custom    []*custom.Model            // that callers brought
	variants  map[string]*catalog.Model  // custom and imported models, by ARN
	purchases []provision.Declaration    // that the configuration declares
	recorded  *invocationlog.Config      // where the configuration lets model invocations go, nil for nowhere
}

// build makes what a configuration asks for, with what old has and did not change. It has no
// effect on what is served. After an error nothing is left open.
func build(declared, cfg *config.Config, brought []*custom.Model, old *serving) (*serving, error) {
	p := &serving{declared: declared, cfg: *cfg, custom: brought, speaks: map[string][]engine.Client{}, opened: map[string]*opened{}}
	p.recorded = recorded(&p.cfg.Logging.Invocations)
	p.purchases = declarations(declared)
	models, err := p.models()
	if err != nil {
		return nil, err
	}
	list, err := p.engines(models, old)
	if err == nil {
		p.base, err = p.topology(models, list)
	}
	if err != nil {
		return nil, errors.Join(err, closeAll(p.release(old)))
	}
	all := make([]*catalog.Model, 0, len(models))
	for id, m := range models {
		if p.variants[id] == nil { // those have no names but their ARNs
			all = append(all, m)
		}
	}
	strict := ""
	if p.cfg.Server.Strict {
		strict = p.cfg.Server.Region
	}
	p.names = catalog.NewNames(all, p.cfg.Aliases, strict)
	p.names.ChargeAsked(p.chargeAsked())
	for i := range p.base.Models {
		m := &p.base.Models[i]
		for _, b := range m.Bindings {
			p.speaks[m.ID] = append(p.speaks[m.ID], p.opened[b.Engine].client)
		}
	}
	return p, nil
}

// release takes from p the clients that other has not, to be closed.
func (p *serving) release(other *serving) []engine.Client {
	var out []engine.Client
	for name, o := range p.opened {
		if other != nil && other.opened[name] == o {
			continue
		}
		out = append(out, o.client)
		if o.name != nil {
			out = append(out, o.name.drop()...)
		}
	}
	return out
}

func closeAll(clients []engine.Client) error {
	var errs []error
	for _, c := range clients {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// lookedUp lists the engines whose addresses are looked up.
func (p *serving) lookedUp() map[string]*name {
	out := map[string]*name{}
	for engineName, o := range p.opened {
		if o.name != nil {
			out[engineName] = o.name
		}
	}
	return out
}

// retired are clients that serve no new calls. They are closed when no call can run on them any more.
type retired struct {
	clients []engine.Client
	until   time.Time
}

// Reload puts a configuration in force without disturbing the calls under way: they end on
// the engines, limits and prices that they began with. It returns the members that differ and
// cannot change before a restart; what runs keeps its values. After an error nothing has changed.
func (s *Server) Reload(ctx context.Context, cfg config.Config) (restart []string, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s.keys.Lock()
	defer s.keys.Unlock()
	if s.live.Load() == nil {
		return nil, errors.New("the server is closed")
	}
	restart = cfg.KeepFixed(&s.cfg)
	objects, err := s.store.Objects(ctx)
	if err != nil {
		return nil, err
	}
	all, err := effective(&cfg, objects)
	if err == nil {
		err = all.Validate()
	}
	if err != nil {
		return nil, err
	}
	brought, err := s.brought(ctx)
	if err != nil {
		return nil, err
	}
	next, err := build(&cfg, all, brought, s.live.Load())
	if err != nil {
		return nil, err
	}
	if err := s.loadCertificate(&cfg); err != nil { // last, for it is served at once
		return nil, errors.Join(err, closeAll(next.release(s.live.Load())))
	}
	return restart, s.install(ctx, next)
}

// install puts what was built in force. s.keys is held, or the server is not running yet. After an
// error nothing has changed.
func (s *Server) install(ctx context.Context, next *serving) error {
	old := s.live.Load()
	s.discovery.follow(next.lookedUp())
	s.discovery.refresh(ctx, time.Now())
	if err := s.apply(ctx, next); err != nil {
		if old != nil {
			s.discovery.follow(old.lookedUp())
		}
		return errors.Join(err, closeAll(next.release(old)))
	}
	if err := s.dispatch.Rebuild(ctx, s.ledger); err != nil { // what new limits do not know yet
		if old == nil {
			return err
		}
		s.log.WarnContext(ctx, "new limits count from now on", "error", err)
	}
	s.sweep(time.Now(), false)
	if next.cfg.Quotas == config.QuotasAWS && (old == nil || old.cfg.Quotas != config.QuotasAWS) {
		s.sayQuotas(ctx, next)
	}
	s.tendBook(ctx, false) // what waited for room may have it now
	if old != nil {
		if clients := old.release(next); len(clients) > 0 {
			s.retired = append(s.retired, retired{clients, time.Now().Add(max(old.longest(), next.longest()))})
		}
	}
	return nil
}

// sayQuotas says which quotas a preset brings, and for which models none is published.
func (s *Server) sayQuotas(ctx context.Context, p *serving) {
	q := catalog.AWSQuotas()
	var without []string
	for _, m := range catalog.Builtin() {
		if _, ok := q.Of(m.ID, p.cfg.Server.Region); !ok {
			without = append(without, m.ID)
		}
	}
	s.log.InfoContext(ctx, "quotas are AWS's published defaults", "region", p.cfg.Server.Region, "date", q.Date, "source", q.Source, "none_published_for", without)
}

// apply gives a configuration to the scheduler, together with the keys as they are stored now.
func (s *Server) apply(ctx context.Context, p *serving) error {
	keys, err := s.store.Keys(ctx)
	if err != nil {
		return err
	}
	declared, err := configKeys(&p.cfg)
	if err != nil {
		return err
	}
	keys = append(keys, declared...)
	ring := identity.NewKeyring(len(keys))
	top := s.discovery.expand(p.base)
	s.deploy(&top)
	bought, err := s.book.All(ctx)
	if err != nil {
		return err
	}
	top.Reservations = p.reservations(bought)
	found := newProvisioned(bought)
	if p, top.Routes, err = p.routed(found, s.directory.Load()); err != nil {
		return err
	}
	tenants := p.cfg.Tenants()
	for i := range keys {
		k := &keys[i]
		if _, known := tenants[k.Account]; !known {
			continue // its account is no longer configured, so that nothing would limit it
		}
		k.Policy.Tier = capTier(tenants, &k.Key)
		if k.Kind == identity.KeyBearer {
			ring.AddToken(&k.Key, k.Hash, k.Retired...)
		} else {
			ring.AddPair(&k.Key, k.Secret, k.Retired...)
		}
		top.Keys = append(top.Keys, dispatch.Scope{ID: k.ID, Account: k.Account, Limits: k.Policy.Limits})
	}
	if err := s.dispatch.Configure(top); err != nil {
		return err
	}
	s.keyring.Store(ring)
	s.live.Store(p)
	s.provisioned.Store(found)
	s.unbacked.Store(new(p.unbacked(bought)))
	return nil
}

// sweep closes retired clients whose last call must have ended, or all of them.
func (s *Server) sweep(now time.Time, all bool) {
	s.retired = slices.DeleteFunc(s.retired, func(r retired) bool {
		if !all && now.Before(r.until) {
			return false
		}
		if err := closeAll(r.clients); err != nil {
			s.log.Warn("a retired engine could not be closed", "error", err)
		}
		return true
	})
}
