package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"forebay/config"
	"forebay/fault"
	"forebay/identity"
	"forebay/store"
)

// Names of the keys that the first start makes.
const (
	devPair   = "dev"
	devBearer = "dev-api-key" //nolint:gosec // a name
)

// Credentials are the development keys, kept in the data directory for the tools of the
// same machine.
type Credentials struct {
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	APIKey          string `json:"apiKey"`
	URL             string `json:"url"`
	TLSURL          string `json:"tlsUrl,omitempty"`
	CA              string `json:"ca,omitempty"`
	Region          string `json:"region"`
	Account         string `json:"account"`
	New             bool   `json:"-"` // made by this start
}

// devKeys makes the development keys at the first start. They are stable afterwards. The
// file is written first and the store made to agree with it, so that a start that is cut off
// or finds its port in use leaves nothing that the next one trips over.
func (s *Server) devKeys(ctx context.Context) error {
	old, err := ReadCredentials(s.cfg.DataDir)
	switch {
	case err == nil && old.Account == s.cfg.Account.ID:
		s.creds = *old
		s.creds.New = old.URL == "" // no start has told of them yet
	case err == nil || errors.Is(err, os.ErrNotExist):
		if err := s.newCredentials(); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%s: %w", filepath.Join(s.cfg.DataDir, credentialsFile), err)
	}
	pair := identity.Secret{ID: s.creds.AccessKeyID, Value: s.creds.SecretAccessKey}
	if err := s.keepDevKey(ctx, identity.KeyPair, devPair, pair); err != nil {
		return err
	}
	token, err := identity.NewBearer(rand.Reader) // for its id; the file holds the token alone
	if err != nil {
		return err
	}
	token.Value = s.creds.APIKey
	return s.keepDevKey(ctx, identity.KeyBearer, devBearer, token)
}

func (s *Server) newCredentials() error {
	pair, err := identity.NewPair(rand.Reader)
	if err != nil {
		return err
	}
	token, err := identity.NewBearer(rand.Reader)
	if err != nil {
		return err
	}
	s.creds = Credentials{AccessKeyID: pair.ID, SecretAccessKey: pair.Value, APIKey: token.Value, Account: s.cfg.Account.ID, New: true}
	return s.writeCredentials()
}

// keepCredentials puts the new secret of a development key into the file, where the tools of this machine find it.
func (s *Server) keepCredentials(k *store.StoredKey, secret string) error {
	switch {
	case !s.developmentKey(k):
		return nil
	case k.Kind == identity.KeyPair:
		s.creds.SecretAccessKey = secret
	default:
		s.creds.APIKey = secret
	}
	if err := s.writeCredentials(); err != nil {
		return fault.Storage(err)
	}
	return nil
}

// keepDevKey stores a development key unless it is there, revoked or not, and ends
// another of the same name or secret, which no file holds any more.
func (s *Server) keepDevKey(ctx context.Context, kind identity.KeyKind, name string, secret identity.Secret) error {
	keys, err := s.store.Keys(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	name += "-" + s.cfg.Account.ID
	for _, k := range keys {
		switch {
		case k.ID == secret.ID && k.Revoked.IsZero() && k.Secret != secret.Value: // a rotation was cut off
			return s.store.Update(ctx, func(tx *store.Tx) error { return tx.RotateKey(ctx, &k.Key, secret.Value, now, now) })
		case k.ID == secret.ID, k.Hash != "" && k.Hash == identity.HashToken(secret.Value):
			return nil
		case k.Name == name && k.Account == s.cfg.Account.ID && k.Revoked.IsZero():
			if err := s.store.RevokeKey(ctx, k.Account, k.ID, now); err != nil {
				return err
			}
		}
	}
	return s.store.CreateKey(ctx, &identity.Key{
		ID: secret.ID, Kind: kind, Name: name, Account: s.cfg.Account.ID, Created: now,
		Policy: identity.Policy{Actions: []string{"*"}}, // administration included
	}, secret.Value)
}

// configKeys are the keys that the configuration declares. They live in memory only.
func configKeys(cfg *config.Config) ([]store.StoredKey, error) {
	var out []store.StoredKey
	for i := range cfg.Keys {
		k, err := configKey(cfg, &cfg.Keys[i])
		if err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
		k.ManagedBy = cfg.Where(fmt.Sprintf("keys[%d]", i))
		out = append(out, k)
	}
	return out, nil
}

func configKey(cfg *config.Config, k *config.Key) (store.StoredKey, error) {
	sk := store.StoredKey{Key: identity.Key{
		ID: k.ID, Kind: identity.KeyKind(k.Kind), Name: k.Name, Account: cmp.Or(k.Account, cfg.Account.ID), Team: k.Team,
	}}
	var err error
	if sk.Policy, err = k.Parse(); err != nil {
		return sk, err
	}
	if k.Expires != "" {
		if sk.Expires, err = config.ParseTime(k.Expires); err != nil {
			return sk, err
		}
	}
	secret := ""
	if k.Hash == "" {
		if secret, err = config.Secret(k.Secret); err != nil {
			return sk, err
		}
	}
	if sk.Kind == identity.KeyPair {
		sk.Secret = secret
		return sk, nil
	}
	sk.ID = cmp.Or(k.ID, "key_"+k.Name)
	if sk.Account != cfg.Account.ID && k.ID == "" {
		sk.ID = "key_" + sk.Account + "_" + k.Name
	}
	if sk.Hash = strings.ToLower(k.Hash); sk.Hash == "" {
		sk.Hash = identity.HashToken(secret)
	}
	return sk, nil
}

// capTier returns the lowest of the highest tiers that key, team and account allow.
func capTier(tenants map[string]config.Tenant, k *identity.Key) string {
	t := tenants[k.Account]
	return identity.LowerTier(k.Policy.Tier, identity.LowerTier(t.Teams[k.Team].Tier, t.Tier))
}

// developmentKey reports whether a key is one of those in the file. s.keys is held.
func (s *Server) developmentKey(k *store.StoredKey) bool {
	return k.ID == s.creds.AccessKeyID || k.Hash != "" && k.Hash == identity.HashToken(s.creds.APIKey)
}

// exported declares a stored key: a bearer key by its hash, so that it goes on working; a
// pair by a file into which its secret must be put.
func exported(k *store.StoredKey) config.Key {
	out := config.Key{Name: k.Name, Kind: string(k.Kind), ID: k.ID, Account: k.Account, Team: k.Team, Policy: config.PolicyOf(&k.Policy)}
	if !k.Expires.IsZero() {
		out.Expires = k.Expires.UTC().Format(time.RFC3339)
	}
	if k.Kind == identity.KeyBearer {
		out.Hash = k.Hash
	} else {
		out.Secret = "file:" + k.ID + ".secret"
	}
	return out
}
