package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"forebay/api/admin"
	"forebay/config"
	"forebay/fault"
	"forebay/provision"
	"forebay/resource"
	"forebay/store"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// objectAdmin implements admin.Configuration: accounts, teams, engines and models that are made at run
// time. What the file declares is shown, and changed in the file alone.
type objectAdmin struct{ s *Server }

// List implements admin.Configuration.
func (o objectAdmin) List(_ context.Context, kind, account string) ([]admin.Object, error) {
	p := o.s.live.Load()
	cfg := &p.cfg
	var out []admin.Object
	add := func(account, name string, object any) error {
		body, err := config.EncodeObject(object)
		if err != nil {
			return err
		}
		out = append(out, admin.Object{Kind: kind, Account: account, Name: name, Body: jsontext.Value(body), ManagedBy: p.declared.Declared(kind, account, name)})
		return nil
	}
	var errs []error
	switch kind {
	case config.KindAccount:
		for id, t := range cfg.Tenants() {
			t.Teams = nil // objects of their own
			errs = append(errs, add("", id, &t))
		}
	case config.KindTeam:
		t := cfg.Tenants()[account]
		for name, team := range t.Teams {
			errs = append(errs, add(account, name, &team))
		}
	case config.KindEngine:
		for name, e := range cfg.Engines {
			errs = append(errs, add("", name, &e))
		}
	case config.KindModel:
		for id, m := range cfg.Models {
			errs = append(errs, add("", id, &m))
		}
	case config.KindRoute:
		for name, r := range cfg.Routes {
			errs = append(errs, add("", name, &r))
		}
	case config.KindCalibration:
		for name, c := range cfg.Calibrations {
			errs = append(errs, add("", name, &c))
		}
	}
	slices.SortFunc(out, func(a, b admin.Object) int { return strings.Compare(a.Name, b.Name) })
	return out, errors.Join(errs...)
}

// Change implements admin.Configuration. The change is stored, and in force, when it returns; a
// change that would make the configuration invalid is not stored.
func (o objectAdmin) Change(ctx context.Context, ch *admin.Change) (admin.Object, error) {
	s := o.s
	s.keys.Lock()
	defer s.keys.Unlock()
	var next *serving
	var result []byte
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		token := store.Token{Account: ch.Caller, Operation: ch.Verb + " " + ch.Kind, Token: ch.Token, Body: fmt.Appendf(nil, "%q %q %s", ch.Account, ch.Name, ch.Body)}
		var err error
		result, _, err = tx.Once(ctx, &token, time.Now(), func() ([]byte, error) {
			changed, err := s.stage(ctx, tx, ch)
			if err != nil {
				return nil, err
			}
			if next, err = s.preview(ctx, tx); err != nil {
				return nil, err
			}
			return json.Marshal(changed)
		})
		return err
	})
	if err != nil {
		if next != nil {
			err = errors.Join(err, closeAll(next.release(s.live.Load())))
		}
		return admin.Object{}, err
	}
	if next != nil { // stored, so it comes into force although the caller may have left
		if err := s.install(context.WithoutCancel(ctx), next); err != nil {
			return admin.Object{}, err
		}
	}
	var out admin.Object
	return out, json.Unmarshal(result, &out)
}

// Bind keeps an engine and binds a model to it, as the admin API would.
func (s *Server) Bind(ctx context.Context, model, name string, e config.Engine, upstream string) error {
	for _, x := range []struct {
		kind, name string
		object     any
	}{{config.KindEngine, name, &e}, {config.KindModel, model, &config.Model{Engines: []config.Binding{{Engine: name, Model: upstream}}}}} {
		body, err := config.EncodeObject(x.object)
		if err != nil {
			return err
		}
		_, err = objectAdmin{s}.Change(ctx, &admin.Change{Verb: admin.VerbPut, Kind: x.kind, Name: x.name, Body: body, Caller: s.cfg.Account.ID})
		if err != nil {
			return err
		}
	}
	return nil
}

// stage makes a change in a transaction.
func (s *Server) stage(ctx context.Context, tx *store.Tx, ch *admin.Change) (*admin.Object, error) {
	if at := s.live.Load().declared.Declared(ch.Kind, ch.Account, ch.Name); at != "" {
		return nil, fault.Newf(fault.Conflict, "%s %q is managed by %s; change it there", ch.Kind, ch.Name, at)
	}
	out := &admin.Object{Kind: ch.Kind, Account: ch.Account, Name: ch.Name}
	if ch.Verb == admin.VerbDelete {
		if err := s.unused(ctx, tx, ch); err != nil {
			return nil, err
		}
		return out, tx.DeleteObject(ctx, ch.Kind, ch.Account, ch.Name)
	}
	if ch.Kind == config.KindModel && isARN(ch.Name) && s.live.Load().variants[ch.Name] == nil {
		return nil, fault.Newf(fault.NotFound, "there is no custom or imported model %s", ch.Name)
	}
	if err := s.freeName(ctx, tx, ch); err != nil {
		return nil, err
	}
	body, err := s.wanted(ctx, tx, ch)
	if err != nil {
		return nil, err
	}
	out.Body = body
	now := time.Now()
	object := store.Object{Kind: ch.Kind, Account: ch.Account, Name: ch.Name, Body: body, Created: now, Updated: now}
	if ch.Verb == admin.VerbCreate {
		return out, tx.CreateObject(ctx, &object)
	}
	return out, tx.PutObject(ctx, &object)
}

// freeName refuses a new model or route with the name of something that was bought: calls by that name would become its own. One
// that is there already keeps its name.
func (s *Server) freeName(ctx context.Context, tx *store.Tx, ch *admin.Change) error {
	if ch.Kind != config.KindModel && ch.Kind != config.KindRoute {
		return nil
	}
	if _, err := s.live.Load().names.Resolve(ch.Name); err == nil {
		return nil
	}
	bought, err := tx.Resources(ctx, resource.ProvisionedModel, "")
	if slices.ContainsFunc(bought, func(r store.Resource) bool { return r.Name == ch.Name }) {
		return fault.Newf(fault.Conflict, "%q is the name of a provisioned throughput; choose another name, or rename that", ch.Name)
	}
	if err != nil {
		return err
	}
	deployed, err := tx.Resources(ctx, resource.Endpoint, "")
	if slices.ContainsFunc(deployed, func(r store.Resource) bool { return r.Name == ch.Name }) {
		err = fault.Newf(fault.Conflict, "%q is the name of an endpoint; choose another name", ch.Name)
	}
	return err
}

// wanted returns the body that an object is to have, checked and in its plain form.
func (s *Server) wanted(ctx context.Context, tx *store.Tx, ch *admin.Change) ([]byte, error) {
	if ch.Verb == admin.VerbPrice {
		return priced(ctx, tx, ch)
	}
	object := config.NewObject(ch.Kind)
	if err := config.Decode(ch.Body, object); err != nil {
		return nil, invalid(err)
	}
	switch o := object.(type) {
	case *config.Tenant:
		if len(o.Teams) > 0 {
			return nil, fault.New(fault.Invalid, "teams are made on their own: POST /admin/v1/teams/NAME?account="+ch.Name)
		}
	case *config.Engine:
		if err := s.lent(o.APIKey); err != nil {
			return nil, err
		}
	case *config.Route:
		if err := s.boughtFor(ctx, tx, o); err != nil {
			return nil, err
		}
	}
	return config.EncodeObject(object)
}

// boughtFor refuses a route over what nobody has bought or brought, as the transaction sees it: what has been deleted may be in force still. What
// forebay.yaml declares may be there later.
func (s *Server) boughtFor(ctx context.Context, tx *store.Tx, r *config.Route) error {
	for i := range r.Lanes {
		l := &r.Lanes[i]
		if l.Bought != "" {
			missing, err := s.missing(ctx, tx, l.Bought)
			if err != nil {
				return err
			}
			if missing {
				return fault.Newf(fault.Invalid, "lanes[%d].provisioned: there is no provisioned throughput %q; see `forebay provision`", i, l.Bought)
			}
		}
		if l.Brought() {
			arn, _ := resource.Parse(l.Model)
			_, err := tx.Resource(ctx, l.Model)
			if arn.Kind != resource.CustomDeployment && s.live.Load().model(l.Model) == nil || fault.KindOf(err) == fault.NotFound && err != nil {
				return fault.Newf(fault.Invalid, "lanes[%d].model: nobody has brought a model or made a deployment %s, or it is not served", i, l.Model)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// absent reports whether looking something up found that it is not there. Other errors are returned.
func absent(err error) (bool, error) {
	if not := err != nil && fault.KindOf(err) == fault.NotFound; not {
		return not, nil
	}
	return false, err
}

// missing reports whether no throughput has an id that lanes may have: the ARN of anybody's, or the name of one of the operator's.
func (s *Server) missing(ctx context.Context, tx *store.Tx, id string) (bool, error) {
	account := s.cfg.Account.ID
	if arn, ok := resource.Parse(id); ok {
		account = arn.Account
	}
	_, err := provision.Find(ctx, tx, account, id)
	return absent(err)
}

// priced returns the body of a model with another price. What is stored of it stays; of a built-in
// model nothing may be.
func priced(ctx context.Context, tx *store.Tx, ch *admin.Change) ([]byte, error) {
	model := new(config.Model)
	old, err := tx.Object(ctx, ch.Kind, ch.Account, ch.Name)
	if err == nil {
		err = config.Decode(old.Body, model)
	} else if fault.KindOf(err) == fault.NotFound {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	model.Price = new(config.Price)
	if err := config.Decode(ch.Body, model.Price); err != nil {
		return nil, invalid(err)
	}
	return config.EncodeObject(model)
}

// Where secrets lie that engines made at run time may use. The operator puts them there: who
// administers the server from afar must not read its other files and variables by having them
// sent to an engine of his own.
const (
	lentVariables = "FOREBAY_ENGINE_"
	lentFolder    = "secrets"
)

// lent refuses a reference to a secret that is not for engines made at run time.
func (s *Server) lent(ref string) error {
	folder := filepath.Join(s.cfg.DataDir, lentFolder)
	name, variable := strings.CutPrefix(ref, "env:")
	path, file := strings.CutPrefix(ref, "file:")
	switch {
	case ref == "", variable && strings.HasPrefix(name, lentVariables):
		return nil
	case file && filepath.IsAbs(path) && filepath.Dir(filepath.Clean(path)) == folder:
		return nil
	}
	return fault.Newf(fault.Invalid, "api_key: at run time write env:%sNAME, or file: and a file in %s; forebay.yaml may name any", lentVariables, folder)
}

// invalid tells a caller of faults; their text names members and holds no secret.
func invalid(err error) error { return fault.New(fault.Invalid, err.Error()) }

// unused refuses to remove what keys, teams or purchases belong to, and models that were bought. What else refers to engines and models
// is found by the configuration's own checks.
func (s *Server) unused(ctx context.Context, tx *store.Tx, ch *admin.Change) error {
	account, team := ch.Name, ""
	switch ch.Kind {
	case config.KindModel:
		if isARN(ch.Name) || s.live.Load().lasting(ch.Name) {
			return nil // which stays, as it was without the object
		}
		name, err := provision.Using(ctx, tx, "", ch.Name)
		if err == nil && name != "" {
			err = fault.Newf(fault.Conflict, "model %q was bought: %s is of it; delete that first", ch.Name, name)
		}
		return err
	case config.KindTeam:
		account, team = ch.Account, ch.Name
	case config.KindAccount:
		objects, err := tx.Objects(ctx)
		if err != nil {
			return err
		}
		for _, o := range objects {
			if o.Kind == config.KindTeam && o.Account == account {
				return fault.Newf(fault.Conflict, "account %s has teams, such as %q; delete them first", account, o.Name)
			}
		}
		name, err := provision.Using(ctx, tx, account, "")
		if err == nil && name != "" {
			err = fault.Newf(fault.Conflict, "account %s has bought %s, which costs on; end that first", account, name)
		}
		if err != nil {
			return err
		}
	default:
		return nil
	}
	n, err := tx.LiveKeys(ctx, account, team)
	if err == nil && n > 0 {
		err = fault.Newf(fault.Conflict, "%s %q has %d live keys; revoke them first", ch.Kind, ch.Name, n)
	}
	return err
}

// preview builds what is served once the transaction is committed.
func (s *Server) preview(ctx context.Context, tx *store.Tx) (*serving, error) {
	objects, err := tx.Objects(ctx)
	if err != nil {
		return nil, err
	}
	live := s.live.Load()
	cfg, err := effective(live.declared, objects)
	if err != nil {
		return nil, invalid(err)
	}
	if err := cfg.Validate(); err != nil {
		return nil, invalid(err)
	}
	return build(live.declared, cfg, live.custom, live)
}

// objectKinds are the kinds of objects, what is referred to before what refers to it.
var objectKinds = []string{config.KindAccount, config.KindTeam, config.KindEngine, config.KindModel, config.KindRoute, config.KindCalibration}

// effective is the declared configuration with the objects that were made at run time.
// What is declared goes before what is stored.
func effective(declared *config.Config, objects []store.Object) (*config.Config, error) {
	cfg := declared.Clone()
	for _, kind := range objectKinds {
		for i := range objects {
			o := &objects[i]
			if o.Kind != kind {
				continue
			}
			object := config.NewObject(kind)
			err := config.Decode(o.Body, object)
			if err == nil {
				err = cfg.Add(kind, o.Account, o.Name, object)
			}
			if err != nil {
				return nil, fmt.Errorf("the stored %s %q: %w", kind, o.Name, err)
			}
		}
	}
	return cfg, nil
}

// atStart is the configuration that a start serves: stored objects that do not fit the file any
// more (a model whose engine it no longer declares) are left out, and named in the log.
func (s *Server) atStart(ctx context.Context) (*config.Config, error) {
	objects, err := s.store.Objects(ctx)
	if err != nil {
		return nil, err
	}
	fits := func(objects []store.Object) (*config.Config, error) {
		cfg, err := effective(&s.cfg, objects)
		if err == nil {
			err = cfg.Validate()
		}
		return cfg, err
	}
	cfg, err := fits(objects)
	if err == nil {
		return cfg, nil
	}
	slices.SortStableFunc(objects, func(a, b store.Object) int {
		return cmp.Compare(slices.Index(objectKinds, a.Kind), slices.Index(objectKinds, b.Kind))
	})
	cfg = &s.cfg
	var kept []store.Object
	for i := range objects {
		with, err := fits(append(kept, objects[i]))
		if err != nil {
			s.log.WarnContext(ctx, "an object made at run time does not fit the configuration and is left out",
				"kind", objects[i].Kind, "name", objects[i].Name, "faults", strings.ReplaceAll(err.Error(), "\n", "; "))
			continue
		}
		cfg, kept = with, append(kept, objects[i])
	}
	return cfg, nil
}

// Operator implements admin.Configuration.
func (o objectAdmin) Operator() string { return o.s.cfg.Account.ID }

// Show implements admin.Configuration. Secrets are references in a configuration.
func (o objectAdmin) Show(context.Context) ([]byte, error) { return o.s.live.Load().cfg.Marshal() }

// Export implements admin.Configuration: what was made and bought at run time, to be declared in forebay.yaml.
func (o objectAdmin) Export(ctx context.Context) ([]byte, error) {
	objects, err := o.s.store.Objects(ctx)
	if err != nil {
		return nil, err
	}
	bare := &config.Config{Accounts: map[string]config.Tenant{}}
	for i := range objects {
		if team := &objects[i]; team.Kind == config.KindTeam { // of an account that the file may declare
			bare.Accounts[team.Account] = config.Tenant{}
		}
	}
	for i := range objects { // accounts that are stored go before those placeholders
		if account := &objects[i]; account.Kind == config.KindAccount {
			delete(bare.Accounts, account.Name)
		}
	}
	cfg, err := effective(bare, objects)
	if err != nil {
		return nil, err
	}
	if cfg.Provisioned, err = o.s.exportedPurchases(ctx); err != nil {
		return nil, err
	}
	keys, err := o.s.store.Keys(ctx)
	if err != nil {
		return nil, err
	}
	o.s.keys.Lock()
	defer o.s.keys.Unlock()
	for i := range keys {
		if k := &keys[i]; k.Live(time.Now()) && !o.s.developmentKey(k) {
			out := exported(k)
			if out.Account == o.s.cfg.Account.ID {
				out.Account = ""
			}
			cfg.Keys = append(cfg.Keys, out)
		}
	}
	if operator := o.s.cfg.Account.ID; len(cfg.Accounts[operator].Teams) > 0 {
		cfg.Account.Teams = cfg.Accounts[operator].Teams
		delete(cfg.Accounts, operator)
	}
	return cfg.Export()
}
