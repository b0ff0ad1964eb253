package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"forebay/api/admin"
	"forebay/dispatch"
	"forebay/fault"
	"forebay/identity"
	"forebay/internal/version"
	"forebay/store"

	"github.com/go-json-experiment/json"
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

// Status implements admin.View.
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

// Models implements admin.View.
func (v adminView) Models() []admin.ModelInfo {
	var out []admin.ModelInfo
	p := v.s.live.Load()
	for _, m := range p.base.Models {
		in := admin.ModelInfo{Model: m.Entry, Simulated: true}
		for _, b := range m.Bindings {
			in.Engines = append(in.Engines, b.Engine)
			in.Simulated = in.Simulated && (b.Engine == simulatedEngine || p.cfg.Engines[b.Engine].Type == simulatedEngine)
		}
		out = append(out, in)
	}
	return out
}

// Keys implements admin.View.
func (v adminView) Keys() admin.KeyAdmin { return keyAdmin(v) }

// Ledger implements admin.View.
func (v adminView) Ledger() admin.LedgerView { return v.s.ledger }

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

// newSecret gives a key its id and makes its secret.
func newSecret(key *identity.Key) (string, error) {
	generate := identity.NewPair
	if key.Kind == identity.KeyBearer {
		generate = identity.NewBearer
	}
	secret, err := generate(rand.Reader)
	key.ID = secret.ID
	return secret.Value, err
}

// once makes a key in a transaction, together with whatever else make does.
func (k keyAdmin) once(ctx context.Context, o *admin.Once, create func(tx *store.Tx) (*admin.MadeKey, error)) (*admin.MadeKey, error) {
	out := new(admin.MadeKey)
	err := k.s.changeKeys(ctx, func() error {
		return k.s.store.Update(ctx, func(tx *store.Tx) error {
			token := store.Token{Account: o.Caller, Operation: o.Operation, Token: o.Token, Body: o.Body}
			result, _, err := tx.Once(ctx, &token, time.Now(), func() ([]byte, error) {
				made, err := create(tx)
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
	})
	return out, err
}

// Create implements admin.KeyAdmin.
func (k keyAdmin) Create(ctx context.Context, key *identity.Key, o *admin.Once) (*admin.MadeKey, error) {
	return k.once(ctx, o, func(tx *store.Tx) (*admin.MadeKey, error) {
		if err := k.fits(key); err != nil {
			return nil, err
		}
		secret, err := newSecret(key)
		if err != nil {
			return nil, err
		}
		return &admin.MadeKey{Key: *key, Secret: secret}, tx.CreateKey(ctx, key, secret)
	})
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

// Rotate implements admin.KeyAdmin: the new key has the name, team, policy and end of the old one,
// which ends in the same transaction.
func (k keyAdmin) Rotate(ctx context.Context, account, id string, o *admin.Once) (*admin.MadeKey, error) {
	if err := k.managed(account, id); err != nil {
		return nil, err
	}
	return k.once(ctx, o, func(tx *store.Tx) (*admin.MadeKey, error) {
		now := time.Now().UTC()
		old, err := tx.RevokeKey(ctx, account, id, now)
		if err != nil {
			return nil, err
		}
		if !old.Expires.IsZero() && !old.Expires.After(now) {
			return nil, fault.New(fault.Conflict, "the key has expired; make a new one")
		}
		key := *old
		key.Created = now
		secret, err := newSecret(&key)
		if err != nil {
			return nil, err
		}
		return &admin.MadeKey{Key: key, Secret: secret}, tx.CreateKey(ctx, &key, secret)
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
