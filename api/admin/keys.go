package admin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"forebay/api"
	"forebay/fault"
	"forebay/identity"

	"github.com/go-json-experiment/json"
)

// KeyAdmin manages keys.
type KeyAdmin interface {
	List(ctx context.Context) ([]identity.Key, error)
	Create(ctx context.Context, k *identity.Key, o *Once) (*MadeKey, error)
	Rotate(ctx context.Context, account, id string, o *Once) (*MadeKey, error)
	Revoke(ctx context.Context, account, id string) error
}

// MadeKey is a new key with its secret.
type MadeKey struct {
	Key    identity.Key
	Secret string
}

// Once makes a change happen once, however often it is asked for with the same token.
type Once struct {
	Caller    string // account
	Operation string
	Token     string // "" makes it happen each time
	Body      []byte // what was asked for
}

// HeaderToken is the header with which a caller names one change: sent again, the change has no
// second effect and its answer is the first one.
const HeaderToken = "Idempotency-Key" //nolint:gosec // a name

func once(c *api.Call, operation, about string) (*Once, error) {
	t, err := token(c)
	return &Once{Caller: c.Principal.Account, Operation: operation, Token: t, Body: fmt.Appendf(nil, "%q %s", about, c.Body)}, err
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
	ID        string          `json:"id"`
	Account   string          `json:"account"`
	Kind      string          `json:"kind"`
	Name      string          `json:"name"`
	Team      string          `json:"team,omitempty"`
	Policy    identity.Policy `json:"policy"`
	Created   time.Time       `json:"created,omitzero"`
	Expires   time.Time       `json:"expires,omitzero"`
	Revoked   time.Time       `json:"revoked,omitzero"`
	ManagedBy string          `json:"managedBy,omitempty"`
	Secret    string          `json:"secret,omitempty"` // in the answer to its creation only
}

func info(k *identity.Key) KeyInfo {
	return KeyInfo{
		ID: k.ID, Account: k.Account, Kind: string(k.Kind), Name: k.Name, Team: k.Team, Policy: k.Policy, Created: k.Created, Expires: k.Expires,
		Revoked: k.Revoked, ManagedBy: k.ManagedBy,
	}
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
		if list[i].Account == account {
			out = append(out, info(&list[i]))
		}
	}
	return map[string]any{"keys": out}, nil
}

func (s *Service) createKey(c *api.Call, _ string) (any, error) {
	var in struct {
		Kind    string          `json:"kind"`
		Name    string          `json:"name"`
		Team    string          `json:"team"`
		Policy  identity.Policy `json:"policy"`
		Expires time.Time       `json:"expires"`
	}
	if err := json.Unmarshal(c.Body, &in, json.RejectUnknownMembers(true)); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the body is not a key: "+err.Error())
	}
	kind := identity.KeyKind(in.Kind)
	if kind != identity.KeyBearer && kind != identity.KeyPair {
		return nil, fault.Newf(fault.Invalid, "kind %q is not one of api-key, access-key", in.Kind)
	}
	if in.Name == "" || len(in.Name) > 64 || strings.ContainsFunc(in.Name, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
		return nil, fault.New(fault.Invalid, "a key needs a name of 1 to 64 printable characters without spaces or slashes")
	}
	if err := in.Policy.Validate(); err != nil {
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
		Kind: kind, Name: in.Name, Account: account, Team: in.Team, Policy: in.Policy, Created: c.Started.UTC(), Expires: in.Expires,
	}
	o, err := once(c, "CreateKey", account)
	if err != nil {
		return nil, err
	}
	made, err := s.view.Keys().Create(c.Context(), k, o)
	if err != nil {
		return nil, err
	}
	return shown(made), nil
}

// shown is a new key with its secret.
func shown(k *MadeKey) KeyInfo {
	out := info(&k.Key)
	out.Secret = k.Secret
	return out
}

func (s *Service) rotateKey(c *api.Call, id string) (any, error) {
	account, err := s.account(c)
	if err != nil {
		return nil, err
	}
	o, err := once(c, "RotateKey", account+" "+id)
	if err != nil {
		return nil, err
	}
	made, err := s.view.Keys().Rotate(c.Context(), account, id, o)
	if err != nil {
		return nil, err
	}
	return shown(made), nil
}

func (s *Service) revokeKey(c *api.Call, id string) (any, error) {
	account, err := s.account(c)
	if err != nil {
		return nil, err
	}
	return map[string]string{"revoked": id}, s.view.Keys().Revoke(c.Context(), account, id)
}
