// Package admin serves the administrative API under /admin/v1: what the command line and
// dashboards ask of a running server, in JSON. The views it needs are small interfaces of
// its own, which the server implements.
package admin

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"forebay/api"
	"forebay/catalog"
	"forebay/fault"
	"forebay/identity"
	"forebay/meter"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// View is what the API shows and changes.
type View interface {
	Status(ctx context.Context) (any, error)
	Models() []ModelInfo
	Keys() KeyAdmin
	Ledger() LedgerView
}

// KeyAdmin manages keys.
type KeyAdmin interface {
	List(ctx context.Context) ([]identity.Key, error)
	Create(ctx context.Context, k *identity.Key) (identity.Secret, error)
	Revoke(ctx context.Context, account, id string) error
}

// LedgerView answers questions about calls.
type LedgerView interface {
	Usage(ctx context.Context, q meter.UsageQuery) ([]meter.UsageRow, error)
	Explain(ctx context.Context, requestID string) (*meter.Explanation, error)
	ClientsGaveUp(ctx context.Context, account string, since time.Time) ([]meter.GaveUp, error)
	Verify(ctx context.Context, since, until time.Time) (*meter.Verification, error)
}

// ModelInfo is a model with what serves it.
type ModelInfo struct {
	*catalog.Model
	Engines   []string `json:"engines"`
	Simulated bool     `json:"simulated"`
}

// Service is the admin API behind the front door.
type Service struct{ view View }

// New returns the service over a view.
func New(v View) *Service { return &Service{view: v} }

// Name implements api.Service.
func (s *Service) Name() string { return "admin" }

// Actions of policies.
const (
	actionRead  = "forebay:AdminRead"
	actionWrite = "forebay:AdminWrite"
)

type handler func(s *Service, c *api.Call, arg string) (any, error)

type route struct {
	method  string
	path    string // ends with a slash where the rest is an argument
	action  string
	handle  handler
	summary string
}

var routes = []route{
	{http.MethodGet, "status", actionRead, (*Service).status, "State of the server, its engines and its ledger."},
	{http.MethodGet, "models", actionRead, (*Service).models, "The models that can be called, with prices and engines."},
	{http.MethodGet, "keys", actionRead, (*Service).keys, "The keys, without their secrets."},
	{http.MethodPost, "keys", actionWrite, (*Service).createKey, "Make a key. Its secret is shown once."},
	{http.MethodDelete, "keys/", actionWrite, (*Service).revokeKey, "End a key at once."},
	{http.MethodGet, "usage", actionRead, (*Service).usage, "Usage by dimension. Query: by (comma separated), since, until (RFC 3339), key, team, model."},
	{http.MethodGet, "verify", actionRead, (*Service).verify, "Compute the ledger's amounts and totals again from its rows. Query: since, until (RFC 3339)."},
	{http.MethodGet, "explain/", actionRead, (*Service).explain, "What happened to one call."},
}

// Serve implements api.Service.
func (s *Service) Serve(c *api.Call) error {
	c.W.Header().Set(api.HeaderRequestID, c.ID)
	path := strings.TrimPrefix(c.Path, "/admin/v1/")
	if path == "openapi.json" && c.HTTP.Method == http.MethodGet {
		return reply(c, openapi())
	}
	for _, r := range routes {
		arg, ok := strings.CutPrefix(path, r.path)
		if !ok || arg != "" != strings.HasSuffix(r.path, "/") || c.HTTP.Method != r.method {
			continue
		}
		c.Operation = r.method + " " + r.path
		if err := identity.Authorize(c.Principal, r.action, "", "*", ""); err != nil {
			return err
		}
		out, err := r.handle(s, c, api.Unescape(arg))
		if err != nil {
			return err
		}
		return reply(c, out)
	}
	return fault.New(fault.UnknownOperation, "no such operation; see /admin/v1/openapi.json")
}

func reply(c *api.Call, v any) error {
	b, err := json.Marshal(v, jsontext.Multiline(true), json.Deterministic(true))
	if err != nil {
		return fault.Wrap(fault.Internal, err, "")
	}
	return c.W.Body(http.StatusOK, "application/json", append(b, '\n'))
}

func (s *Service) status(c *api.Call, _ string) (any, error) { return s.view.Status(c.Context()) }

func (s *Service) models(*api.Call, string) (any, error) {
	return map[string]any{"models": s.view.Models()}, nil
}

// keyInfo is a key as it is listed.
type keyInfo struct {
	ID        string          `json:"id"`
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

func info(k *identity.Key) keyInfo {
	return keyInfo{
		ID: k.ID, Kind: string(k.Kind), Name: k.Name, Team: k.Team, Policy: k.Policy, Created: k.Created, Expires: k.Expires,
		Revoked: k.Revoked, ManagedBy: k.ManagedBy,
	}
}

func (s *Service) keys(c *api.Call, _ string) (any, error) {
	list, err := s.view.Keys().List(c.Context())
	if err != nil {
		return nil, err
	}
	out := []keyInfo{}
	for i := range list {
		if list[i].Account == c.Principal.Account {
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
	if in.Name == "" || len(in.Name) > 64 || strings.ContainsFunc(in.Name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, fault.New(fault.Invalid, "a key needs a name of 1 to 64 printable characters without spaces")
	}
	if err := in.Policy.Validate(); err != nil {
		return nil, err
	}
	if !in.Expires.IsZero() && !in.Expires.After(c.Started) {
		return nil, fault.New(fault.Invalid, "the key would have expired already")
	}
	k := &identity.Key{
		Kind: kind, Name: in.Name, Account: c.Principal.Account, Team: in.Team, Policy: in.Policy, Created: c.Started.UTC(), Expires: in.Expires,
	}
	secret, err := s.view.Keys().Create(c.Context(), k)
	if err != nil {
		return nil, err
	}
	out := info(k)
	out.Secret = secret.Value
	return out, nil
}

func (s *Service) revokeKey(c *api.Call, id string) (any, error) {
	return map[string]string{"revoked": id}, s.view.Keys().Revoke(c.Context(), c.Principal.Account, id)
}

func (s *Service) usage(c *api.Call, _ string) (any, error) {
	v, err := url.ParseQuery(c.Query)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the query string is malformed")
	}
	q := meter.UsageQuery{Account: c.Principal.Account, Key: v.Get("key"), Team: v.Get("team"), Model: v.Get("model")}
	for by := range strings.SplitSeq(v.Get("by"), ",") {
		if by != "" {
			q.By = append(q.By, by)
		}
	}
	if q.Since, q.Until, err = span(v); err != nil {
		return nil, err
	}
	rows, err := s.view.Ledger().Usage(c.Context(), q)
	if err != nil {
		return nil, err
	}
	gave, err := s.view.Ledger().ClientsGaveUp(c.Context(), q.Account, q.Since)
	if err != nil {
		return nil, err
	}
	return map[string]any{"by": q.By, "rows": rows, "clientsGaveUp": gave}, nil
}

// span reads since and until; zero where they are absent.
func span(v url.Values) (since, until time.Time, err error) {
	read := func(name string) (t time.Time) {
		if text := v.Get(name); text != "" && err == nil {
			if t, err = time.Parse(time.RFC3339, text); err != nil {
				err = fault.Newf(fault.Invalid, "%s is not a time such as 2026-01-02T15:04:05Z", name)
			}
		}
		return t
	}
	return read("since"), read("until"), err
}

func (s *Service) verify(c *api.Call, _ string) (any, error) {
	v, err := url.ParseQuery(c.Query)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the query string is malformed")
	}
	since, until, err := span(v)
	if err != nil {
		return nil, err
	}
	return s.view.Ledger().Verify(c.Context(), since, until)
}

func (s *Service) explain(c *api.Call, id string) (any, error) {
	e, err := s.view.Ledger().Explain(c.Context(), id)
	if err != nil {
		return nil, err
	}
	if e.Account != c.Principal.Account {
		return nil, fault.Newf(fault.NotFound, "no call with request id %q is on the ledger", id)
	}
	return e, nil
}

// openapi describes the API from its own table of routes.
func openapi() any {
	paths := map[string]map[string]any{}
	for _, r := range routes {
		p := "/admin/v1/" + r.path
		op := map[string]any{
			"summary": r.summary, "security": []any{map[string]any{"bearer": []string{}}},
			"responses": map[string]any{"200": map[string]any{"description": "OK"}, "default": map[string]any{"description": "An error: {\"error\":{\"kind\",\"message\",\"reason\"}}"}},
		}
		if strings.HasSuffix(p, "/") {
			p += "{id}"
			op["parameters"] = []any{map[string]any{"name": "id", "in": "path", "required": true, "schema": map[string]string{"type": "string"}}}
		}
		if paths[p] == nil {
			paths[p] = map[string]any{}
		}
		paths[p][strings.ToLower(r.method)] = op
	}
	return map[string]any{
		"openapi": "3.1.0", "info": map[string]string{"title": "Forebay administration", "version": "1"}, "paths": paths,
		"components": map[string]any{"securitySchemes": map[string]any{"bearer": map[string]string{"type": "http", "scheme": "bearer"}}},
	}
}

var statuses = map[fault.Kind]int{
	fault.Malformed: http.StatusBadRequest, fault.Invalid: http.StatusBadRequest, fault.UnknownModel: http.StatusNotFound,
	fault.NotFound: http.StatusNotFound, fault.UnknownOperation: http.StatusNotFound, fault.Unsupported: http.StatusBadRequest,
	fault.TooLarge: http.StatusRequestEntityTooLarge, fault.MissingAuth: http.StatusUnauthorized, fault.IncompleteAuth: http.StatusUnauthorized,
	fault.UnknownKey: http.StatusUnauthorized, fault.BadSignature: http.StatusForbidden, fault.Expired: http.StatusForbidden,
	fault.Denied: http.StatusForbidden, fault.Conflict: http.StatusConflict, fault.Unavailable: http.StatusServiceUnavailable,
	fault.Overloaded: http.StatusServiceUnavailable,
}

// Fail implements api.Service.
func (s *Service) Fail(c *api.Call, e *fault.Error) {
	status, ok := statuses[e.Kind]
	msg := e.Message
	if !ok {
		status, msg = http.StatusInternalServerError, "internal error"
	}
	if msg == "" {
		msg = strings.ReplaceAll(e.Kind.String(), "_", " ")
	}
	api.SetErrorHeaders(c.W.Header(), e)
	b, err := json.Marshal(map[string]any{"error": map[string]string{"kind": e.Kind.String(), "message": msg, "reason": e.Reason}}, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		b = []byte(`{"error":{"kind":"internal"}}`)
	}
	_ = c.W.Body(status, "application/json", b)
}
