package server

import (
	"context"
	"crypto/rand"
	"time"

	"forebay/api/admin"
	"forebay/identity"
	"forebay/internal/version"
)

// adminView implements the views of the admin API.
type adminView struct{ s *Server }

type status struct {
	Version  string `json:"version"`
	Uptime   string `json:"uptime"`
	Account  string `json:"account"`
	Region   string `json:"region"`
	URL      string `json:"url"`
	TLSURL   string `json:"tlsUrl,omitempty"`
	Ready    bool   `json:"ready"`
	NotReady string `json:"notReady,omitempty"`
	InFlight int    `json:"inFlight"`
	Ledger   struct {
		Rows int64 `json:"rowsSinceStart"`
		Lost int64 `json:"rowsLost"`
	} `json:"ledger"`
	Engines any `json:"engines"`
}

// Status implements admin.View.
func (v adminView) Status(context.Context) (any, error) {
	s := v.s
	st := status{
		Version: version.String(), Uptime: time.Since(s.started).Round(time.Second).String(), Account: s.cfg.Account.ID,
		Region: s.cfg.Server.Region, URL: s.creds.URL, TLSURL: s.creds.TLSURL, Ready: true, InFlight: s.dispatch.InFlight(),
		Engines: s.dispatch.Health(),
	}
	if err := s.ready(); err != nil {
		st.Ready, st.NotReady = false, err.Error()
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

// Create implements admin.KeyAdmin.
func (k keyAdmin) Create(ctx context.Context, key *identity.Key) (identity.Secret, error) {
	generate := identity.NewPair
	if key.Kind == identity.KeyBearer {
		generate = identity.NewBearer
	}
	secret, err := generate(rand.Reader)
	if err != nil {
		return secret, err
	}
	key.ID = secret.ID
	err = k.s.changeKeys(ctx, func() error { return k.s.store.CreateKey(ctx, key, secret.Value) })
	if err != nil {
		return identity.Secret{}, err
	}
	return secret, nil
}

// Revoke implements admin.KeyAdmin.
func (k keyAdmin) Revoke(ctx context.Context, account, id string) error {
	return k.s.changeKeys(ctx, func() error { return k.s.store.RevokeKey(ctx, account, id, time.Now()) })
}
