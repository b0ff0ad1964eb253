package server

import (
	"context"

	"forebay/api/bedrock"
	"forebay/artifact"
	"forebay/catalog"
	"forebay/custom"
	"forebay/fault"
	"forebay/invocationlog"
	"forebay/profile"
	"forebay/resource"
	"forebay/store"
)

// control is what the control plane of Amazon Bedrock works on.
func (s *Server) control() bedrock.Control {
	st := resourceStore{s}
	return bedrock.Control{
		Tags:        resource.Tagger{Store: st, Managed: s.managed},
		Profiles:    &profile.Profiles{Store: st, Names: (*modelsView)(s), Region: s.cfg.Server.Region},
		Provisioned: s.book,
		Operator:    s.cfg.Account.ID,
		Custom:      s.custom,
		Logging:     invocationLogging{s},
	}
}

// objects is where artifacts lie.
func (s *Server) objects() *artifact.Objects { return buckets(&s.cfg) }

// openCustom opens the registry of models that callers bring.
func (s *Server) openCustom() {
	s.custom = custom.New(custom.Options{
		Store: resourceStore{s}, Objects: s.objects(), Models: customModels{s}, Region: s.cfg.Server.Region, Operator: s.cfg.Account.ID, Log: s.log,
	})
}

// resourceStore implements resource.Store.
type resourceStore struct{ s *Server }

// View implements resource.Store. What it shows is in force: it waits for the directory of an update that is stored.
func (r resourceStore) View(ctx context.Context, f func(*store.Tx) error) error {
	r.s.resources.RLock()
	defer r.s.resources.RUnlock()
	return r.s.store.Update(ctx, f)
}

// Update implements resource.Store. It takes no lock but its own, so that s.keys may be held.
func (r resourceStore) Update(ctx context.Context, f func(*store.Tx) error) error {
	s := r.s
	s.resources.Lock() // directories come into force in the order in which they were read
	defer s.resources.Unlock()
	var next *directory
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		err := f(tx)
		if err == nil {
			next, err = readDirectory(ctx, tx)
		}
		return err
	})
	if err == nil {
		s.directory.Store(next)
	}
	return err
}

// directory is what the ARNs of resources stand for. It is immutable once it is in force.
type directory struct {
	profiles    map[string]profile.Target
	deployments map[string]*custom.Deployment
	logging     map[string]*invocationlog.Config // by account
}

func readDirectory(ctx context.Context, tx *store.Tx) (*directory, error) {
	var d directory
	var err error
	if d.profiles, err = profile.Targets(ctx, tx); err != nil {
		return nil, err
	}
	if d.logging, err = invocationlog.All(ctx, tx); err != nil {
		return nil, err
	}
	list, err := custom.Deployments(ctx, tx)
	d.deployments = make(map[string]*custom.Deployment, len(list))
	for _, x := range list {
		d.deployments[x.ARN] = x
	}
	return &d, err
}

// openDirectory reads the directory at the start.
func (s *Server) openDirectory(ctx context.Context) error {
	return s.store.Update(ctx, func(tx *store.Tx) error {
		d, err := readDirectory(ctx, tx)
		s.directory.Store(d)
		return err
	})
}

// resolveMade finds what an account's resource stands for; false for what names none. An id is an application profile's.
func (v *modelsView) resolveMade(account, id string) (res catalog.Resolution, ok bool, err error) {
	arn, ok := resource.Parse(id)
	if !ok && resource.IsID(id) {
		arn = resource.ARN{Region: v.cfg.Server.Region, Account: account, Kind: resource.ApplicationProfile, ID: id}
	} else if !ok || arn.Account != account {
		return res, false, nil
	}
	d := v.directory.Load()
	if target, ok := d.profiles[arn.String()]; ok {
		res, err = v.live.Load().names.Resolve(target.Model)
		res.Asked, res.Profile, res.Tags = id, arn.ID, target.Tags
		if fault.KindOf(err) == fault.UnknownModel {
			err = fault.From(err).WithReason("the model %s of the inference profile is not served any more", target.Model)
		}
		return res, true, err
	}
	return v.resolveCustom(d, &arn, id)
}
