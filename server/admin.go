package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"forebay/api/admin"
	"forebay/config"
	"forebay/dispatch"
	"forebay/fault"
	"forebay/identity"
	"forebay/internal/version"
	"forebay/store"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// adminView implements the views of the admin API.
type adminView struct{ s *Server }

// Public is what everybody who administers an account is told of the server.
type Public struct {
	Version string `json:"version"`
	Uptime  string `json:"uptime"`
	Region  string `json:"region"`
	URL     string `json:"url"`
	TLSURL  string `json:"tlsUrl,omitempty"`
	Ready   bool   `json:"ready"`
}

// status is what the operator is told.
type status struct {
	Public
	Account  string `json:"account"`
	NotReady string `json:"notReady,omitempty"`
	InFlight int    `json:"inFlight"`
	Ledger   struct {
		Rows int64 `json:"rowsSinceStart"`
		Lost int64 `json:"rowsLost"`
	} `json:"ledger"`
	Engines   any                       `json:"engines"`
	Recording *dispatch.RecordingStatus `json:"recording,omitempty"` // absent when nothing is recorded
}

// State implements admin.View.
func (v adminView) State() admin.State { return v }

// Status implements admin.State.
func (v adminView) Status(_ context.Context, operator bool) (any, error) {
	s := v.s
	notReady := s.ready()
	public := Public{
		Version: version.String(), Uptime: time.Since(s.started).Round(time.Second).String(), Region: s.cfg.Server.Region,
		URL: s.creds.URL, TLSURL: s.creds.TLSURL, Ready: notReady == nil,
	}
	if !operator {
		return &public, nil
	}
	st := status{
		Public: public, Account: s.cfg.Account.ID, InFlight: s.dispatch.InFlight(), Engines: s.dispatch.Health(), Recording: s.dispatch.Recording(),
	}
	if notReady != nil {
		st.NotReady = notReady.Error()
	}
	st.Ledger.Rows, st.Ledger.Lost = s.ledger.Rows(), s.ledger.Lost()
	return &st, nil
}

// Catalogue implements admin.View.
func (v adminView) Catalogue() admin.Catalogue { return v }

// Models implements admin.Catalogue.
func (v adminView) Models() []admin.ModelInfo {
	var out []admin.ModelInfo
	p := v.s.live.Load()
	for _, m := range p.base.Models {
		in := admin.ModelInfo{Model: m.Entry, Simulated: true}
		if unit, sold := m.Entry.UnitSize(); sold && m.Entry.Unit == nil {
			marked := *m.Entry
			marked.Unit, in.Model = &unit, &marked
		}
		for _, b := range m.Bindings {
			in.Engines = append(in.Engines, b.Engine)
			in.Simulated = in.Simulated && (b.Engine == simulatedEngine || p.cfg.Engines[b.Engine].Type == simulatedEngine)
		}
		in.Capacity = p.capacities(m.Entry)
		out = append(out, in)
	}
	return out
}

// Keys implements admin.View.
func (v adminView) Keys() admin.KeyAdmin { return keyAdmin(v) }

// Ledger implements admin.View.
func (v adminView) Ledger() admin.LedgerView { return ledgerView{v.s.ledger, v.s} }

// Configuration implements admin.View.
func (v adminView) Configuration() admin.Configuration { return objectAdmin(v) }

type keyAdmin struct{ s *Server }

// List implements admin.KeyAdmin.
func (k keyAdmin) List(ctx context.Context) ([]identity.Key, error) {
	stored, err := k.s.store.Keys(ctx)
	if err != nil {
		return nil, err
	}
	declared, err := configKeys(&k.s.live.Load().cfg)
	if err != nil {
		return nil, err
	}
	var out []identity.Key
	for _, sk := range append(stored, declared...) {
		out = append(out, sk.Key)
	}
	return out, nil
}

// newSecret makes a secret for a key, and an id in case it is new.
func newSecret(key *identity.Key) (identity.Secret, error) {
	if key.Kind == identity.KeyBearer {
		return identity.NewBearer(rand.Reader)
	}
	return identity.NewPair(rand.Reader)
}

// ParsePolicy implements admin.KeyAdmin.
func (k keyAdmin) ParsePolicy(text jsontext.Value) (identity.Policy, error) {
	var in config.Policy
	if err := config.Decode(text, &in); err != nil {
		return identity.Policy{}, invalid(err)
	}
	p, err := in.Parse()
	if err != nil {
		return p, invalid(err)
	}
	return p, p.Validate()
}

// FormatPolicy implements admin.KeyAdmin.
func (k keyAdmin) FormatPolicy(p *identity.Policy) (jsontext.Value, error) {
	return config.EncodeObject(config.PolicyOf(p))
}

// once changes a key in a transaction, together with whatever else change does.
func (k keyAdmin) once(ctx context.Context, o *admin.Once, change func(tx *store.Tx) (*admin.MadeKey, error)) (*admin.MadeKey, error) {
	out := new(admin.MadeKey)
	err := k.s.changeKeys(ctx, func() error {
		before := k.s.creds
		err := k.s.store.Update(ctx, func(tx *store.Tx) error {
			token := store.Token{Account: o.Caller.Account, Operation: o.Operation, Token: o.Token, Body: o.Body}
			result, _, err := tx.Once(ctx, &token, time.Now(), func() ([]byte, error) {
				made, err := change(tx)
				if err != nil {
					return nil, err
				}
				return json.Marshal(made)
			})
			if err != nil {
				return err
			}
			return json.Unmarshal(result, out)
		})
		if err != nil && k.s.creds != before {
			k.s.creds = before
			err = errors.Join(err, k.s.writeCredentials())
		}
		return err
	})
	return out, err
}

// Create implements admin.KeyAdmin.
func (k keyAdmin) Create(ctx context.Context, key *identity.Key, o *admin.Once) (*admin.MadeKey, error) {
	return k.once(ctx, o, func(tx *store.Tx) (*admin.MadeKey, error) {
		if err := k.fits(key); err != nil {
			return nil, err
		}
		if err := k.within(key, o.Caller); err != nil {
			return nil, err
		}
		secret, err := newSecret(key)
		if err != nil {
			return nil, err
		}
		key.ID = secret.ID
		return &admin.MadeKey{Key: *key, Secret: secret.Value}, tx.CreateKey(ctx, key, secret.Value)
	})
}

// within refuses to hand the secret of a key to a caller that may less. Limits of account and team count with both.
func (k keyAdmin) within(key *identity.Key, caller *identity.Principal) error {
	if caller.Policy == nil || key.ID == caller.KeyID {
		return nil
	}
	tenants := k.s.live.Load().cfg.Tenants()
	policy := key.Policy
	policy.Tier = capTier(tenants, key)
	why := policy.Exceeds(caller.Policy)
	if why == "" && caller.Team != "" && (key.Account != caller.Account || key.Team != caller.Team) {
		why = "team: it must be " + caller.Team
	}
	if own := k.s.keyring.Load().Key(caller.KeyID); why == "" && own != nil && !own.Expires.IsZero() && (key.Expires.IsZero() || key.Expires.After(own.Expires)) {
		why = "expires: it must be by " + own.Expires.UTC().Format(time.RFC3339)
	}
	if why == "" {
		return nil
	}
	return fault.New(fault.Denied, "a key that may more than its own cannot be handed out by a key: "+why)
}

// fits checks that what a key belongs to is there, and that its name is free in the file.
func (k keyAdmin) fits(key *identity.Key) error {
	cfg := &k.s.live.Load().cfg
	t, ok := cfg.Tenants()[key.Account]
	if !ok {
		return fault.Newf(fault.Invalid, "there is no account %s; make it with `forebay accounts create %s`", key.Account, key.Account)
	}
	if _, ok := t.Teams[key.Team]; key.Team != "" && !ok {
		return fault.Newf(fault.Invalid, "account %s has no team %q; make it with `forebay teams create %s`", key.Account, key.Team, key.Team)
	}
	for i := range cfg.Keys {
		if d := &cfg.Keys[i]; d.Name == key.Name && cmp.Or(d.Account, cfg.Account.ID) == key.Account {
			return fault.Newf(fault.Conflict, "a key named %q is managed by %s", key.Name, cfg.Where(fmt.Sprintf("keys[%d]", i)))
		}
	}
	return nil
}

// Rotate implements admin.KeyAdmin. The key stays the one it is, so that its limits go on counting.
func (k keyAdmin) Rotate(ctx context.Context, account, id string, grace time.Duration, o *admin.Once) (*admin.MadeKey, error) {
	if err := k.managed(account, id); err != nil {
		return nil, err
	}
	return k.once(ctx, o, func(tx *store.Tx) (*admin.MadeKey, error) {
		now := time.Now().UTC()
		key, err := tx.LiveKey(ctx, account, id)
		if err != nil {
			return nil, err
		}
		if !key.Live(now) {
			return nil, fault.New(fault.Conflict, "the key has expired; make a new one")
		}
		if err := k.within(&key.Key, o.Caller); err != nil {
			return nil, err
		}
		secret, err := newSecret(&key.Key)
		if err != nil {
			return nil, err
		}
		if err := k.s.keepCredentials(key, secret.Value); err != nil { // first, as devKeys expects
			return nil, err
		}
		if err := tx.RotateKey(ctx, &key.Key, secret.Value, now, now.Add(grace)); err != nil {
			return nil, err
		}
		key.Rotated, key.OldUntil = now, time.Time{}
		if grace > 0 {
			key.OldUntil = now.Add(grace)
		}
		return &admin.MadeKey{Key: key.Key, Secret: secret.Value}, nil
	})
}

// Revoke implements admin.KeyAdmin.
func (k keyAdmin) Revoke(ctx context.Context, account, id string) error {
	if err := k.managed(account, id); err != nil {
		return err
	}
	return k.s.changeKeys(ctx, func() error { return k.s.store.RevokeKey(ctx, account, id, time.Now()) })
}

// managed refuses to change a key that the file declares.
func (k keyAdmin) managed(account, id string) error {
	declared, err := configKeys(&k.s.live.Load().cfg)
	if err != nil {
		return err
	}
	for i := range declared {
		if d := &declared[i]; d.ID == id && d.Account == account {
			return fault.Newf(fault.Conflict, "the key is managed by %s; change it there", d.ManagedBy)
		}
	}
	return nil
}
