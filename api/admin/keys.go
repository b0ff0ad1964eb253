package admin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"forebay/api"
	"forebay/fault"
	"forebay/identity"

	"github.com/go-json-experiment/json/jsontext"
)

// Policies reads and writes policies as texts in JSON with the members that forebay.yaml has.
type Policies interface {
	ParsePolicy(text jsontext.Value) (identity.Policy, error) // faults: Invalid
	FormatPolicy(p *identity.Policy) (jsontext.Value, error)
}

// KeyAdmin manages keys.
type KeyAdmin interface {
	Policies
	List(ctx context.Context) ([]identity.Key, error)
	// Create makes a key. Faults: Denied where its policy would be wider than that of the key which asks; Conflict; Invalid.
	Create(ctx context.Context, k *identity.Key, o *Once) (*MadeKey, error)
	// Rotate gives a key a new secret; the one before it is good for a while longer. Faults: as of Create; NotFound.
	Rotate(ctx context.Context, account, id string, grace time.Duration, o *Once) (*MadeKey, error)
	Revoke(ctx context.Context, account, id string) error
}

// MadeKey is a key with its new secret.
type MadeKey struct {
	Key    identity.Key
	Secret string
}

// Once makes a change happen once, however often it is asked for with the same token.
type Once struct {
	Caller    *identity.Principal
	Operation string
	Token     string // "" makes it happen each time
	Body      []byte // what was asked for
}

// HeaderToken is the header with which a caller names one change: sent again, the change has no
// second effect and its answer is the first one.
const HeaderToken = "Idempotency-Key" //nolint:gosec // a name

func once(c *api.Call, operation, about string) (*Once, error) {
	t, err := token(c)
	// The caller's key is part of it: an answer holds a secret that is not for every key of the account.
	return &Once{Caller: c.Principal, Operation: operation, Token: t, Body: fmt.Appendf(nil, "%q %q %s", c.Principal.KeyID, about, c.Body)}, err
}

// maxToken is the longest token that is remembered.
const maxToken = 256

func token(c *api.Call) (string, error) {
	t := c.HTTP.Header.Get(HeaderToken)
	if len(t) > maxToken {
		return "", fault.Newf(fault.Invalid, "the header %s is longer than %d characters", HeaderToken, maxToken)
	}
	return t, nil
}

// KeyInfo is a key as it is listed.
type KeyInfo struct {
	ID        string         `json:"id"`
	Account   string         `json:"account"`
	Kind      string         `json:"kind"`
	Name      string         `json:"name"`
	Team      string         `json:"team,omitempty"`
	Policy    jsontext.Value `json:"policy"` // with the members that forebay.yaml has
	Created   time.Time      `json:"created,omitzero"`
	Rotated   time.Time      `json:"rotated,omitzero"`
	OldUntil  time.Time      `json:"oldSecretUntil,omitzero"` // absent when no earlier secret is good
	Expires   time.Time      `json:"expires,omitzero"`
	Revoked   time.Time      `json:"revoked,omitzero"`
	ManagedBy string         `json:"managedBy,omitempty"`
	Secret    string         `json:"secret,omitempty"` // in the answer to its creation or rotation only
}

func (s *Service) info(c *api.Call, k *identity.Key) (KeyInfo, error) {
	out := KeyInfo{
		ID: k.ID, Account: k.Account, Kind: string(k.Kind), Name: k.Name, Team: k.Team, Created: k.Created, Rotated: k.Rotated, Expires: k.Expires,
		Revoked: k.Revoked, ManagedBy: k.ManagedBy,
	}
	if k.OldUntil.After(c.Started) {
		out.OldUntil = k.OldUntil
	}
	var err error
	out.Policy, err = s.view.Keys().FormatPolicy(&k.Policy)
	return out, err
}

func (s *Service) keys(c *api.Call, _ string) (any, error) {
	account, err := s.account(c)
	if err != nil {
		return nil, err
	}
	list, err := s.view.Keys().List(c.Context())
	if err != nil {
		return nil, err
	}
	out := []KeyInfo{}
	for i := range list {
		if list[i].Account != account {
			continue
		}
		in, err := s.info(c, &list[i])
		if err != nil {
			return nil, err
		}
		out = append(out, in)
	}
	return map[string]any{"keys": out}, nil
}

func (s *Service) createKey(c *api.Call, _ string) (any, error) {
	var in struct {
		Kind    string         `json:"kind"`
		Name    string         `json:"name"`
		Team    string         `json:"team"`
		Policy  jsontext.Value `json:"policy"`
		Expires time.Time      `json:"expires"`
	}
	if err := read(c, "key", &in); err != nil {
		return nil, err
	}
	kind := identity.KeyKind(in.Kind)
	if kind != identity.KeyBearer && kind != identity.KeyPair {
		return nil, fault.Newf(fault.Invalid, "kind %q is not one of api-key, access-key", in.Kind)
	}
	if in.Name == "" || len(in.Name) > 64 || strings.ContainsFunc(in.Name, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
		return nil, fault.New(fault.Invalid, "a key needs a name of 1 to 64 printable characters without spaces or slashes")
	}
	policy, err := s.view.Keys().ParsePolicy(in.Policy)
	if err != nil {
		return nil, err
	}
	if !in.Expires.IsZero() && !in.Expires.After(c.Started) {
		return nil, fault.New(fault.Invalid, "the key would have expired already")
	}
	account, err := s.account(c)
	if err != nil {
		return nil, err
	}
	k := &identity.Key{
		Kind: kind, Name: in.Name, Account: account, Team: in.Team, Policy: policy, Created: c.Started.UTC(), Expires: in.Expires,
	}
	o, err := once(c, "CreateKey", account)
	if err != nil {
		return nil, err
	}
	made, err := s.view.Keys().Create(c.Context(), k, o)
	if err != nil {
		return nil, err
	}
	return s.shown(c, made)
}

// shown is a key with its new secret.
func (s *Service) shown(c *api.Call, k *MadeKey) (KeyInfo, error) {
	out, err := s.info(c, &k.Key)
	out.Secret = k.Secret
	return out, err
}

// How long the secret before a rotation is good.
const (
	defaultGrace = 24 * time.Hour
	maxGrace     = 90 * 24 * time.Hour
)

func (s *Service) rotateKey(c *api.Call, id string) (any, error) {
	account, err := s.account(c)
	if err != nil {
		return nil, err
	}
	in := struct {
		Grace string `json:"grace"`
	}{defaultGrace.String()}
	if err := read(c, "rotation", &in); err != nil {
		return nil, err
	}
	grace, err := time.ParseDuration(in.Grace)
	if err != nil || grace < 0 || grace > maxGrace {
		return nil, fault.Newf(fault.Invalid, "grace %q is no time between 0 and %s, such as 24h", in.Grace, maxGrace)
	}
	o, err := once(c, "RotateKey", account+" "+id)
	if err != nil {
		return nil, err
	}
	made, err := s.view.Keys().Rotate(c.Context(), account, id, grace, o)
	if err != nil {
		return nil, err
	}
	return s.shown(c, made)
}

func (s *Service) revokeKey(c *api.Call, id string) (any, error) {
	account, err := s.account(c)
	if err != nil {
		return nil, err
	}
	if err := s.ofTeam(c, account, id); err != nil {
		return nil, err
	}
	return map[string]string{"revoked": id}, s.view.Keys().Revoke(c.Context(), account, id)
}

// ofTeam refuses a caller of a team a key that is not of that team.
func (s *Service) ofTeam(c *api.Call, account, id string) error {
	team := c.Principal.Team
	if team == "" {
		return nil
	}
	list, err := s.view.Keys().List(c.Context())
	if err != nil {
		return err
	}
	for i := range list {
		if k := &list[i]; k.ID == id && k.Account == account && k.Team != team {
			return fault.Newf(fault.Denied, "keys of team %s end keys of that team alone", team)
		}
	}
	return nil
}
