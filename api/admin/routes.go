package admin

import (
	"net/url"
	"strconv"

	"forebay/api"
	"forebay/fault"
)

// RouteQuestion is a call that nobody makes, of which is asked what would become of it.
type RouteQuestion struct {
	Route     string // or a model
	Key       string // whose call it is; of the operator, under no limits of a key, when empty
	Tier      string
	Input     int64 // tokens
	MaxTokens int64 // tokens; 0 is the model's own bound
	Stream    bool
}

// RouteAnswer says which lane would take the call now, and why.
type RouteAnswer struct {
	Route   string `json:"route"`
	Outcome string `json:"outcome"` // "runs", "waits", "refused"
	Lane    string `json:"lane,omitempty"`
	Engine  string `json:"engine,omitempty"`
	// Ahead is how many waiting calls would be served before.
	Ahead          int64       `json:"ahead,omitzero"`
	Why            string      `json:"why,omitempty"` // it is refused
	RetryAfterMs   int64       `json:"retryAfterMs,omitzero"`
	RetryEstimated bool        `json:"retryEstimated,omitzero"`
	Lanes          []RouteLane `json:"lanes"`
}

// RouteLane is a lane as the call would find it.
type RouteLane struct {
	Number   int           `json:"number"` // from 1
	Name     string        `json:"name"`
	Mode     string        `json:"mode"`
	Model    string        `json:"model"`
	Spill    string        `json:"spill"`
	Failover bool          `json:"failover"`
	State    string        `json:"state"`             // "takes it", "refuses it", "left", "not needed", "closed to it"
	Why      string        `json:"why,omitempty"`     // it was left, or is closed
	Engines  []RouteEngine `json:"engines,omitempty"` // that may serve there
	Limits   []RouteLimit  `json:"limits,omitempty"`  // that apply there
}

// RouteEngine is an engine of a lane.
type RouteEngine struct {
	Name string `json:"name"`
	Kind string `json:"kind"` // of what stands behind it: "owned", "rented", "bought"
	Up   bool   `json:"up"`
}

// RouteLimit is a limit of a lane and where it stands, before the call.
type RouteLimit struct {
	Of    string `json:"of"`
	Limit string `json:"limit"`
	Value int64  `json:"value"`
	Level int64  `json:"level"`
}

func (s *Service) tryRoute(c *api.Call, name string) (any, error) {
	v, err := url.ParseQuery(c.Query)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the query string is malformed")
	}
	q := &RouteQuestion{Route: name, Key: v.Get("key"), Tier: v.Get("tier")}
	if q.Stream, err = flag(v, "stream"); err != nil {
		return nil, err
	}
	for _, x := range []struct {
		name string
		to   *int64
	}{{"input", &q.Input}, {"max_tokens", &q.MaxTokens}} {
		text := v.Get(x.name)
		if text == "" {
			continue
		}
		if *x.to, err = strconv.ParseInt(text, 10, 64); err != nil || *x.to < 0 || *x.to > maxTried {
			return nil, fault.Newf(fault.Invalid, "%s is not a number of tokens from 0 to %d", x.name, maxTried)
		}
	}
	return s.view.Catalogue().TryRoute(c.Context(), q)
}

// maxTried is more tokens than any call has.
const maxTried = 1_000_000_000
