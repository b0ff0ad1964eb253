package admin

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"forebay/api"
	"forebay/fault"
	"forebay/identity"
	"forebay/provision"
	"forebay/resource"
)

// ProvisionAdmin keeps provisioned throughput. Its faults are those of a provision.Book.
type ProvisionAdmin interface {
	List(ctx context.Context, account string) ([]Provisioned, error)
	Get(ctx context.Context, account, id string) (*Provisioned, error)
	Create(ctx context.Context, o *provision.Order) (*Provisioned, error)
	// End ends a throughput now, or at the end of its term, if it has one.
	End(ctx context.Context, account, id string, atTermEnd bool) (*Provisioned, error)
	// Divide divides a throughput among teams, in place of how it was.
	Divide(ctx context.Context, account, id string, parts []provision.Part) (*Provisioned, error)
}

// Level is where a leaky bucket of tokens stands: what has not drained yet, beyond what depth calls are refused, and what drains a minute.
type Level struct {
	Fill  int64 `json:"fill"`
	Depth int64 `json:"depth"`
	Rate  int64 `json:"rate"`
}

// Use is what is used of a throughput, in tokens and slots.
type Use struct {
	Input   Level `json:"input,omitzero"`
	Output  Level `json:"output,omitzero"`
	Slots   int32 `json:"slots"`        // of shared replicas that back it
	Own     int32 `json:"own,omitzero"` // slots of replicas of its own that are up
	Running int32 `json:"running"`      // calls of it that cannot be recalled
	Waiting int32 `json:"waiting"`      // calls of it
	// Pool are the slots of all engines of the model: how many there are, how many are sold, and how many of these are lent to
	// calls that can be recalled.
	Pool PoolSlots `json:"pool"`
	// Parts are where teams' parts of it stand.
	Parts []PartUse `json:"parts,omitempty"`
}

// PartUse is what is used of a team's part of a throughput.
type PartUse struct {
	Team    string `json:"team"`
	Input   Level  `json:"input,omitzero"`
	Output  Level  `json:"output,omitzero"`
	Slots   int32  `json:"slots"` // that are its own
	Running int32  `json:"running"`
	Waiting int32  `json:"waiting"`
}

// Division is how a throughput is divided among teams, in units, or of the reserved tier in tokens a minute; what is left is for all.
type Division struct {
	Parts []provision.Part `json:"parts"`
}

// PoolSlots are the slots of a pool.
type PoolSlots struct {
	Slots int32 `json:"slots"`
	Sold  int32 `json:"sold"`
	Lent  int32 `json:"lent"`
}

// Provisioned is a throughput as it is shown.
type Provisioned struct {
	provision.Throughput
	Use *Use `json:"use,omitempty"` // absent while it is not in service
	// Shortage says that the pool has shrunk below what is sold of it, for people; "" where it has not.
	Shortage string `json:"shortage,omitzero"`
	// ManagedBy is where forebay.yaml declares it, "" for what callers bought.
	ManagedBy string `json:"managedBy,omitzero"`
	// Pending says why it is not as forebay.yaml has it, or there still although it left the file, for people; "" where all is as declared.
	Pending string `json:"pending,omitzero"`
	// PendingTold says the same to an account that does not run the engines, and is shown to it as Pending.
	PendingTold string `json:"-"`
}

// Order is what is asked of a throughput to be made.
type Order struct {
	Model string `json:"model"`
	Units int64  `json:"units,omitzero"`
	// InputTokens and OutputTokens a minute are of the reserved tier, in place of units.
	InputTokens  int64  `json:"inputTokensPerMinute,omitzero"`
	OutputTokens int64  `json:"outputTokensPerMinute,omitzero"`
	Commitment   string `json:"commitment,omitzero"`
	// Isolation is "replica" for replicas of its own.
	Isolation string            `json:"isolation,omitzero"`
	Tags      map[string]string `json:"tags,omitempty"`
}

// hide takes engines out of what a caller is shown who does not run them.
func (s *Service) hide(c *api.Call, x *Provisioned) {
	if x != nil && !s.operates(c) {
		x.Throughput, x.Pending = x.Hidden(), x.PendingTold
	}
}

func (s *Service) provisionedList(c *api.Call, _ string) (any, error) {
	account, err := s.account(c)
	if err != nil {
		return nil, err
	}
	out, err := s.bought.List(c.Context(), account)
	if out == nil {
		out = []Provisioned{}
	}
	for i := range out {
		s.hide(c, &out[i])
	}
	return map[string]any{"provisioned": out}, err
}

func (s *Service) provisionedShow(c *api.Call, id string) (any, error) {
	account, err := s.account(c)
	if err != nil {
		return nil, err
	}
	x, err := s.bought.Get(c.Context(), account, id)
	s.hide(c, x)
	return x, err
}

func (s *Service) provisionedCreate(c *api.Call, name string) (any, error) {
	account, err := s.account(c)
	if err != nil {
		return nil, err
	}
	var in Order
	if err := read(c, "order", &in); err != nil {
		return nil, err
	}
	o := &provision.Order{Account: account, Name: name, Model: in.Model, Units: in.Units, Input: in.InputTokens, Output: in.OutputTokens, Term: provision.Term(in.Commitment), Isolation: provision.Isolation(in.Isolation)}
	o.Allow = func(model string) error { return identity.Authorize(c.Principal, actionWrite, model, model, "") }
	for _, key := range slices.Sorted(maps.Keys(in.Tags)) { // in one order, so that the same order with its token is the same
		o.Tags = append(o.Tags, resource.Tag{Key: key, Value: in.Tags[key]})
	}
	if o.Token, err = token(c); err != nil {
		return nil, err
	}
	x, err := s.bought.Create(c.Context(), o)
	s.hide(c, x)
	return x, err
}

// changeable finds the account of a throughput that a request changes, and checks that the caller may.
func (s *Service) changeable(c *api.Call, id string) (account string, err error) {
	if account, err = s.account(c); err != nil {
		return "", err
	}
	t, err := s.bought.Get(c.Context(), account, id)
	if err != nil {
		return "", err
	}
	return account, api.AllowBought(c, actionWrite, t.ARN, t.Model.ID)
}

func (s *Service) provisionedDivide(c *api.Call, id string) (any, error) {
	account, err := s.changeable(c, id)
	if err != nil {
		return nil, err
	}
	if c.Principal.Team != "" {
		return nil, fault.Newf(fault.Denied, "keys of a team, as of %s, divide nothing: the parts of other teams are not theirs to take", c.Principal.Team)
	}
	var in Division
	if err := read(c, "division", &in); err != nil {
		return nil, err
	}
	if in.Parts == nil {
		return nil, fault.New(fault.Invalid, "parts is missing: an empty list makes the throughput one again; nothing has been changed")
	}
	x, err := s.bought.Divide(c.Context(), account, id, in.Parts)
	s.hide(c, x)
	return x, err
}

func (s *Service) provisionedDelete(c *api.Call, id string) (any, error) {
	account, err := s.changeable(c, id)
	if err != nil {
		return nil, err
	}
	v, err := url.ParseQuery(c.Query)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the query string is malformed")
	}
	atTermEnd, err := flag(v, "at_term_end")
	if err != nil {
		return nil, err
	}
	x, err := s.bought.End(c.Context(), account, id, atTermEnd)
	s.hide(c, x)
	return x, err
}

// provisionedRoutes are the operations on provisioned throughput. Callers buy for their own account, and the operator for any.
var provisionedRoutes = []route{
	{method: http.MethodGet, path: "provisioned", action: actionRead, handle: (*Service).provisionedList, query: []string{"account"}, summary: "Provisioned throughputs, with what is used of them now."},
	{method: http.MethodGet, path: "provisioned/", action: actionRead, handle: (*Service).provisionedShow, query: []string{"account"}, summary: "One throughput, by name or ARN."},
	{method: http.MethodPost, path: "provisioned/", action: actionWrite, handle: (*Service).provisionedCreate, query: []string{"account"}, body: "Order", summary: "Buy a throughput of this name: model units, or a rate of the reserved tier."},
	{
		method: http.MethodPut, path: "provisioned/", action: actionWrite, handle: (*Service).provisionedDivide, query: []string{"account"}, body: "Division",
		summary: "Divide a throughput, by name or ARN, among teams of the account, in place of how it was divided; no parts make it one again.",
	},
	{
		method: http.MethodDelete, path: "provisioned/", action: actionWrite, handle: (*Service).provisionedDelete, query: []string{"account", "at_term_end"},
		summary: "End a throughput, by name or ARN; with at_term_end=true a commitment when its term ends.",
	},
}

var divisionSchema = map[string]any{
	"type": "object", "additionalProperties": false, "required": []string{"parts"}, "properties": map[string]any{
		"parts": map[string]any{"type": "array", "items": map[string]any{
			"type": "object", "additionalProperties": false, "required": []string{"team"}, "properties": map[string]any{
				"team": map[string]string{"type": "string"}, "units": map[string]any{"type": "integer", "minimum": 1},
				"inputTokensPerMinute": map[string]any{"type": "integer", "minimum": 1}, "outputTokensPerMinute": map[string]any{"type": "integer", "minimum": 1},
			},
		}},
	},
}

var orderSchema = map[string]any{
	"type": "object", "additionalProperties": false, "required": []string{"model"}, "properties": map[string]any{
		"model": map[string]string{"type": "string"}, "units": map[string]any{"type": "integer", "minimum": 1},
		"inputTokensPerMinute":  map[string]any{"type": "integer", "minimum": 1000, "multipleOf": 1000},
		"outputTokensPerMinute": map[string]any{"type": "integer", "minimum": 0, "multipleOf": 1000},
		"commitment":            map[string]any{"enum": strings.Split(",OneMonth,ThreeMonths,SixMonths", ",")},
		"isolation":             map[string]any{"enum": []string{"", string(provision.Replica)}},
		"tags":                  map[string]any{"type": "object", "additionalProperties": map[string]string{"type": "string"}},
	},
}
