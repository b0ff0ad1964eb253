// Package admin serves the administrative API under /admin/v1: what the command line and
// dashboards ask of a running server, in JSON. The views it needs are small interfaces of
// its own, which the server implements.
package admin

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"forebay/api"
	"forebay/catalog"
	"forebay/fault"
	"forebay/identity"
	"forebay/invocationlog"
	"forebay/meter"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// View is what the API shows and changes.
type View interface {
	State() State
	Catalogue() Catalogue
	Keys() KeyAdmin
	Ledger() LedgerView
	Configuration() Configuration
}

// State shows how the server is, and what is going on in it.
type State interface {
	// Status returns the state of the server: to the operator all of it, to others nothing of engines, ledger and files.
	Status(ctx context.Context, operator bool) (any, error)
	Live(ctx context.Context) *Live
}

// Catalogue shows what can be called.
type Catalogue interface {
	Models() []ModelInfo
	// Engine describes an engine. Faults: NotFound.
	Engine(ctx context.Context, name string) (*EngineInfo, error)
	// TryRoute says what would become of a call now. Faults: Invalid, NotFound, UnknownModel, Denied, and those with which a call is
	// refused before it is weighed against others.
	TryRoute(ctx context.Context, q *RouteQuestion) (*RouteAnswer, error)
}

// Configuration shows what is in force and changes what was made at run time.
type Configuration interface {
	// Operator returns the account whose keys may administer all others.
	Operator() string
	// Show returns the configuration in force as YAML, Export what was made at run time.
	Show(ctx context.Context) ([]byte, error)
	Export(ctx context.Context) ([]byte, error)
	// List returns the objects of a kind, declared and made at run time, ordered by name.
	List(ctx context.Context, kind, account string) ([]Object, error)
	// Change makes one change and returns the object as it is then. Faults: Invalid, NotFound; Conflict for a
	// name that is taken, and for what the file declares.
	Change(ctx context.Context, ch *Change) (Object, error)
}

// Logging says where an account's model invocations are recorded, and how many were.
type Logging struct {
	Location  string              `json:"location,omitzero"` // "" for nowhere
	Data      *invocationlog.Data `json:"data,omitempty"`    // the kinds of bodies that are recorded
	ManagedBy string              `json:"managedBy,omitzero"`
	// Records are those of all accounts since the start; told to the operator.
	Records *invocationlog.Counts `json:"records,omitempty"`
}

// LedgerView answers questions about calls.
type LedgerView interface {
	CallsView
	Explain(ctx context.Context, requestID string) (*meter.Explanation, error)
	Verify(ctx context.Context, since, until time.Time) (*meter.Verification, error)
	Hours() HoursView
}

// CallsView answers questions about many calls.
type CallsView interface {
	Usage(ctx context.Context, q meter.UsageQuery) ([]meter.UsageRow, error)
	ClientsGaveUp(ctx context.Context, account string, since time.Time) ([]meter.GaveUp, error)
	// Demand returns a page of the calls that were wanted, refused ones included. Faults: Invalid.
	Demand(ctx context.Context, q meter.DemandQuery) (*meter.DemandPage, error)
}

// ModelInfo is a model with what serves it.
type ModelInfo struct {
	*catalog.Model
	Engines   []string `json:"engines,omitempty"` // told to the operator
	Simulated bool     `json:"simulated"`
	// Capacity is what one replica of each engine can do; told to the operator.
	Capacity []Capacity `json:"capacity,omitempty"`
}

// Capacity is what one replica of an engine can do with a model, as it was measured or given; a placeholder has no figures.
type Capacity struct {
	Engine   string        `json:"engine"`
	Basis    catalog.Basis `json:"basis"`
	Measured string        `json:"measured,omitempty"` // when
	Profile  string        `json:"profile,omitempty"`  // of a simulated engine that nobody has measured

	Slots     int64 `json:"slots,omitzero"`
	KV        int64 `json:"kvTokens,omitzero"`
	KVAtLeast bool  `json:"kvAtLeast,omitzero"` // the memory holds more than that

	StepMicros         float64 `json:"stepMicros,omitzero"`
	PrefillTokenMicros float64 `json:"prefillTokenMicros,omitzero"`
	ContextTokenMicros float64 `json:"contextTokenMicros,omitzero"`
	SequenceMicros     float64 `json:"sequenceMicros,omitzero"`

	// What it sells, in calls of the proportion of the model's unit: with the usual wait.
	InputPerMinute  int64 `json:"inputPerMinute,omitzero"`
	OutputPerMinute int64 `json:"outputPerMinute,omitzero"`
}

// Service is the admin API behind the front door.
type Service struct {
	view    View
	bought  ProvisionAdmin
	logged  func(account string) Logging
	schemas map[string]any
}

// New returns the service over a view, what was bought, and where the model invocations of an account are recorded. The schemas of the bodies that it takes (Policy, Tenant, Team,
// Engine, Model, Price, under these names) become part of the published document.
func New(v View, bought ProvisionAdmin, logging func(account string) Logging, schemas map[string]any) *Service {
	return &Service{v, bought, logging, schemas}
}

// Name implements api.Service.
func (s *Service) Name() string { return "admin" }

// Actions of policies.
const (
	actionRead  = "forebay:AdminRead"
	actionWrite = "forebay:AdminWrite"
)

type handler func(s *Service, c *api.Call, arg string) (any, error)

// route is an operation of the API.
type route struct {
	method   string
	path     string // ends with a slash where an argument follows
	suffix   string // after the argument
	action   string
	operator bool // only for keys of the operator's account
	handle   handler
	query    []string // the members of the query that it reads
	body     string   // the schema of its body; "" for none
	summary  string
}

// routes are all operations. The published document is made of them.
var routes = slices.Concat([]route{
	{method: http.MethodGet, path: "status", action: actionRead, handle: (*Service).status, summary: "State of the server; to the operator also of its engines and its ledger."},
	{method: http.MethodGet, path: "keys", action: actionRead, handle: (*Service).keys, query: []string{"account"}, summary: "The keys, without their secrets."},
	{method: http.MethodPost, path: "keys", action: actionWrite, handle: (*Service).createKey, query: []string{"account"}, body: "Key", summary: "Make a key. Its secret is shown once."},
	{method: http.MethodDelete, path: "keys/", action: actionWrite, handle: (*Service).revokeKey, query: []string{"account"}, summary: "End a key at once."},
	{
		method: http.MethodPost, path: "keys/", suffix: "/rotate", action: actionWrite, handle: (*Service).rotateKey, query: []string{"account"},
		body: "Rotation", summary: "Give a key a new secret, shown once. The key stays the same, with all that its limits have counted; its old secret is good for a while.",
	},
	{
		method: http.MethodGet, path: "usage", action: actionRead, handle: (*Service).usage,
		query: []string{"by", "since", "until", "key", "team", "model", "account"}, summary: "Usage by dimension (by, comma separated) between two times (RFC 3339): calls (rows), and the hours of what is reserved.",
	},
	{
		method: http.MethodGet, path: "postings", action: actionRead, handle: (*Service).postings,
		query: []string{"since", "until", "team", "model", "account"}, summary: "What was posted for reserved capacity between two times: hours, and contracts from when they hold.",
	},
	{
		method: http.MethodGet, path: "verify", action: actionRead, operator: true, handle: (*Service).verify, query: []string{"since", "until"},
		summary: "Compute the ledger's amounts and totals again from its rows.",
	},
	{method: http.MethodGet, path: "explain/", action: actionRead, handle: (*Service).explain, summary: "What happened to one call."},
	{method: http.MethodGet, path: "models", action: actionRead, handle: (*Service).models, summary: "The models that can be called, with prices, and to the operator with engines."},
	{
		method: http.MethodGet, path: "routes/", suffix: "/test", action: actionRead, operator: true, handle: (*Service).tryRoute,
		query: []string{"key", "tier", "input", "max_tokens", "stream"}, summary: "What would become of a call of a route, or a model, if it came now. Nothing is held.",
	},
	{method: http.MethodGet, path: "engines/", action: actionRead, operator: true, handle: (*Service).engine, summary: "An engine, what stands behind it for each model, and what that guarantees."},
	{method: http.MethodPut, path: "prices/", action: actionWrite, operator: true, handle: (*Service).price, body: "Price", summary: "Set the price of a model."},
	{method: http.MethodGet, path: "logging", action: actionRead, handle: (*Service).logging, query: []string{"account"}, summary: "Where the model invocations of an account are recorded."},
	{method: http.MethodGet, path: "config", action: actionRead, operator: true, handle: (*Service).show, summary: "The configuration in force, as YAML. Secrets are references in it."},
	{
		method: http.MethodGet, path: "config/export", action: actionRead, operator: true, handle: (*Service).export,
		summary: "What was made at run time, as YAML, to be declared in forebay.yaml.",
	},
}, objectRoutes(), provisionedRoutes, liveRoutes, demandRoutes)

// Serve implements api.Service.
func (s *Service) Serve(c *api.Call) error {
	c.W.Header().Set(api.HeaderRequestID, c.ID)
	path := strings.TrimPrefix(c.Path, "/admin/v1/")
	if path == "openapi.json" && c.HTTP.Method == http.MethodGet {
		return reply(c, s.openapi())
	}
	for i := range routes {
		r := &routes[i]
		arg, ok := r.match(c.HTTP.Method, path)
		if !ok {
			continue
		}
		c.Operation = r.method + " " + r.path + r.suffix
		if err := identity.Authorize(c.Principal, r.action, "", "*", ""); err != nil {
			return err
		}
		if operator := s.view.Configuration().Operator(); r.operator && c.Principal.Account != operator {
			return fault.Newf(fault.Denied, "only keys of the operator's account %s may do that", operator)
		}
		out, err := r.handle(s, c, api.Unescape(arg))
		if err != nil {
			return err
		}
		return reply(c, out)
	}
	return fault.New(fault.UnknownOperation, "no such operation; see /admin/v1/openapi.json")
}

// match returns the argument of a request to the route.
func (r *route) match(method, path string) (arg string, ok bool) {
	if method != r.method {
		return "", false
	}
	if !strings.HasSuffix(r.path, "/") {
		return "", path == r.path
	}
	arg, ok = strings.CutPrefix(path, r.path)
	if !ok {
		return "", false
	}
	if arg, ok = strings.CutSuffix(arg, r.suffix); !ok || arg == "" || r.suffix == "" && strings.Contains(arg, "/") {
		return "", false // an argument with a slash is escaped
	}
	return arg, true
}

// account returns the account that a request is about: the caller's, or any other for the operator.
func (s *Service) account(c *api.Call) (string, error) {
	v, err := url.ParseQuery(c.Query)
	if err != nil {
		return "", fault.Wrap(fault.Invalid, err, "the query string is malformed")
	}
	asked := v.Get("account")
	if asked == "" || asked == c.Principal.Account {
		return c.Principal.Account, nil
	}
	if operator := s.view.Configuration().Operator(); c.Principal.Account != operator {
		return "", fault.Newf(fault.Denied, "only keys of the operator's account %s may administer account %s", operator, asked)
	}
	return asked, nil
}

func reply(c *api.Call, v any) error {
	b, err := json.Marshal(v, jsontext.Multiline(true), json.Deterministic(true), jsontext.AllowInvalidUTF8(true)) // callers name things as they like
	if err != nil {
		return fault.Wrap(fault.Internal, err, "")
	}
	return c.W.Body(http.StatusOK, "application/json", append(b, '\n'))
}

// operates reports whether the caller's key is of the operator's account.
func (s *Service) operates(c *api.Call) bool {
	return c.Principal.Account == s.view.Configuration().Operator()
}

func (s *Service) status(c *api.Call, _ string) (any, error) {
	return s.view.State().Status(c.Context(), s.operates(c))
}

func (s *Service) models(c *api.Call, _ string) (any, error) {
	models := s.view.Catalogue().Models()
	if !s.operates(c) {
		models = slices.DeleteFunc(models, func(m ModelInfo) bool { // that other accounts brought
			return strings.HasPrefix(m.ID, "arn:") && !strings.Contains(m.ID, ":"+c.Principal.Account+":")
		})
		for i := range models {
			models[i].Engines, models[i].Capacity = nil, nil
		}
	}
	return map[string]any{"models": models}, nil
}

func (s *Service) usage(c *api.Call, _ string) (any, error) {
	q, err := s.query(c)
	if err != nil {
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
	reserved, err := s.reserved(c, &q)
	if err != nil {
		return nil, err
	}
	if !s.operates(c) {
		for i := range rows {
			rows[i].CostCurrency, rows[i].Cost, rows[i].Uncosted = "", 0, 0 // what a call cost the operator is the operator's
		}
	}
	return map[string]any{"by": q.By, "rows": rows, "reserved": reserved, "clientsGaveUp": gave}, nil
}

// query reads what a question about usage selects.
func (s *Service) query(c *api.Call) (q meter.UsageQuery, err error) {
	v, err := url.ParseQuery(c.Query)
	if err != nil {
		return q, fault.Wrap(fault.Invalid, err, "the query string is malformed")
	}
	account, err := s.account(c)
	if err != nil {
		return q, err
	}
	q = meter.UsageQuery{Account: account, Unauthenticated: s.operates(c), Key: v.Get("key"), Team: v.Get("team"), Model: v.Get("model")}
	for by := range strings.SplitSeq(v.Get("by"), ",") {
		if by == "engine" && !s.operates(c) {
			return q, fault.New(fault.Denied, "engines are the operator's: group by something else")
		}
		if by != "" {
			q.By = append(q.By, by)
		}
	}
	q.Since, q.Until, err = span(v)
	return q, err
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

// flag reads a member of the query that is true or false; false where it is absent.
func flag(v url.Values, name string) (bool, error) {
	text := v.Get(name)
	if !slices.Contains([]string{"", "true", "false"}, text) {
		return false, fault.Newf(fault.Invalid, "%s is true or false, and not %q: nothing has been done", name, text)
	}
	return text == "true", nil
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
	calls, err := s.view.Ledger().Verify(c.Context(), since, until)
	if err != nil {
		return nil, err
	}
	hours, err := s.view.Ledger().Hours().Verify(c.Context(), since, until)
	return &Verified{Verification: *calls, Reserved: hours}, err
}

func (s *Service) explain(c *api.Call, id string) (any, error) {
	e, err := s.view.Ledger().Explain(c.Context(), id)
	if err != nil {
		return nil, err
	}
	if !s.operates(c) {
		if e.Account != c.Principal.Account {
			return nil, fault.Newf(fault.NotFound, "no call with request id %q is on the ledger", id)
		}
		e.Cost, e.Engine = nil, ""
		for i := range e.Attempts {
			e.Attempts[i].Engine, e.Attempts[i].Lost, e.Attempts[i].LostCurrency = "", nil, ""
		}
	}
	return e, nil
}

var statuses = map[fault.Kind]int{
	fault.Malformed: http.StatusBadRequest, fault.Invalid: http.StatusBadRequest, fault.UnknownModel: http.StatusNotFound,
	fault.NotFound: http.StatusNotFound, fault.UnknownOperation: http.StatusNotFound, fault.Unsupported: http.StatusBadRequest,
	fault.TooLarge: http.StatusRequestEntityTooLarge, fault.MissingAuth: http.StatusUnauthorized, fault.IncompleteAuth: http.StatusUnauthorized,
	fault.UnknownKey: http.StatusUnauthorized, fault.BadSignature: http.StatusForbidden, fault.Expired: http.StatusForbidden,
	fault.Denied: http.StatusForbidden, fault.Conflict: http.StatusConflict, fault.Unavailable: http.StatusServiceUnavailable,
	fault.Overloaded: http.StatusServiceUnavailable, fault.QuotaExceeded: http.StatusBadRequest,
}

// Fail implements api.Service.
func (s *Service) Fail(c *api.Call, e *fault.Error) {
	status, ok := statuses[e.Kind]
	msg := e.Message
	if !ok {
		status, msg = http.StatusInternalServerError, "internal error"
	}
	if e.Code == fault.CodeStorage {
		status = http.StatusInsufficientStorage
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
