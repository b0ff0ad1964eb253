package admin

import (
	"net/http"
	"strings"

	"forebay/api"
	"forebay/fault"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Object is a part of the configuration: declared by the file, or made at run time.
type Object struct {
	Kind      string         `json:"kind"`
	Account   string         `json:"account,omitempty"` // of a team
	Name      string         `json:"name"`
	Body      jsontext.Value `json:"body,omitempty"`      // with the members that forebay.yaml has
	ManagedBy string         `json:"managedBy,omitempty"` // where the file declares it
}

// Change is one change of an object.
type Change struct {
	Verb    string // one of the verbs below
	Kind    string
	Account string // of a team
	Name    string
	Body    jsontext.Value
	Caller  string // account
	Token   string // makes the change happen once; "" each time
}

// The verbs of changes.
const (
	VerbCreate = "create"
	VerbPut    = "put"
	VerbDelete = "delete"
	VerbPrice  = "price" // of a model; the body is the price
)

// kinds are the objects that can be made at run time.
var kinds = []struct {
	kind, path, schema string
	operator           bool
}{
	{"account", "accounts", "Tenant", true},
	{"team", "teams", "Team", false},
	{"engine", "engines", "Engine", true},
	{"model", "models", "Model", true},
	{"route", "routes", "Route", true},
	{"calibration", "calibrations", "Calibration", true},
}

// objectRoutes are the operations on objects.
func objectRoutes() []route {
	var out []route
	for _, k := range kinds {
		list := func(s *Service, c *api.Call, _ string) (any, error) { return s.list(c, k.kind, k.path) }
		change := func(verb string) handler {
			return func(s *Service, c *api.Call, name string) (any, error) { return s.change(c, verb, k.kind, name) }
		}
		var query []string
		if k.kind == "team" {
			query = []string{"account"}
		}
		if k.kind != "model" { // the list of models shows the catalogue too
			out = append(out, route{
				method: http.MethodGet, path: k.path, action: actionRead, operator: k.operator, handle: list, query: query,
				summary: "The " + k.path + ", declared and made at run time.",
			})
		}
		out = append(out,
			route{
				method: http.MethodPost, path: k.path + "/", action: actionWrite, operator: k.operator, handle: change(VerbCreate), query: query, body: k.schema,
				summary: "Make an object of kind " + k.kind + ".",
			},
			route{
				method: http.MethodPut, path: k.path + "/", action: actionWrite, operator: k.operator, handle: change(VerbPut), query: query, body: k.schema,
				summary: "Set an object of kind " + k.kind + ", whether it is there or not.",
			},
			route{
				method: http.MethodDelete, path: k.path + "/", action: actionWrite, operator: k.operator, handle: change(VerbDelete), query: query,
				summary: "Remove an object of kind " + k.kind + " that was made at run time.",
			})
	}
	return out
}

func (s *Service) list(c *api.Call, kind, path string) (any, error) {
	account, err := s.account(c)
	if err != nil {
		return nil, err
	}
	list, err := s.view.Configuration().List(c.Context(), kind, account)
	if list == nil {
		list = []Object{}
	}
	return map[string]any{path: list}, err
}

// maxBody bounds an object; the largest that makes sense is a thousandth of it.
const maxBody = 1 << 20

// body returns the JSON of a request, "{}" for none.
func body(c *api.Call) (jsontext.Value, error) {
	b := jsontext.Value(strings.TrimSpace(string(c.Body)))
	if len(b) == 0 {
		return jsontext.Value("{}"), nil
	}
	if len(b) > maxBody {
		return nil, fault.Newf(fault.TooLarge, "an object has at most %d bytes", maxBody)
	}
	if !b.IsValid() || b.Kind() != '{' {
		return nil, fault.New(fault.Invalid, "the body is no JSON object")
	}
	return b, nil
}

// read decodes the JSON object of a request, which is called what in errors.
func read(c *api.Call, what string, into any) error {
	text, err := body(c)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into, json.RejectUnknownMembers(true)); err != nil {
		return fault.Newf(fault.Invalid, "the %s cannot be read: %v", what, err)
	}
	return nil
}

func (s *Service) change(c *api.Call, verb, kind, name string) (any, error) {
	ch := &Change{Verb: verb, Kind: kind, Name: name, Caller: c.Principal.Account}
	var err error
	if ch.Token, err = token(c); err != nil {
		return nil, err
	}
	if ch.Body, err = body(c); err != nil {
		return nil, err
	}
	if c.Principal.Team != "" && (kind == "team" || kind == "account") {
		return nil, fault.Newf(fault.Denied, "keys of a team, as of %s, change neither teams nor accounts: their limits are the keys' own", c.Principal.Team)
	}
	if kind == "team" {
		if ch.Account, err = s.account(c); err != nil {
			return nil, err
		}
	}
	return s.view.Configuration().Change(c.Context(), ch)
}

func (s *Service) price(c *api.Call, model string) (any, error) {
	return s.change(c, VerbPrice, "model", model)
}

// show and export answer with YAML in a member, so that every answer is JSON.
func (s *Service) show(c *api.Call, _ string) (any, error) {
	text, err := s.view.Configuration().Show(c.Context())
	return map[string]string{"yaml": string(text)}, err
}

func (s *Service) export(c *api.Call, _ string) (any, error) {
	text, err := s.view.Configuration().Export(c.Context())
	return map[string]string{"yaml": string(text)}, err
}

func (s *Service) logging(c *api.Call, _ string) (any, error) {
	account, err := s.account(c)
	if err != nil {
		return nil, err
	}
	out := s.logged(account)
	if !s.operates(c) {
		out.Records = nil
	}
	return &out, nil
}
