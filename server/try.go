package server

import (
	"cmp"
	"context"

	"forebay/api/admin"
	"forebay/catalog"
	"forebay/dispatch"
	"forebay/fault"
	"forebay/identity"
	"forebay/infer"
)

// TryRoute implements admin.Catalogue.
func (v adminView) TryRoute(_ context.Context, q *admin.RouteQuestion) (*admin.RouteAnswer, error) {
	p := v.s.live.Load()
	res, err := p.names.Resolve(q.Route)
	if err != nil {
		return nil, err
	}
	who, err := v.asked(q.Key)
	if err != nil {
		return nil, err
	}
	tier, ok := infer.ParseTier(q.Tier)
	if !ok {
		return nil, fault.Newf(fault.Invalid, "%q is no tier; write priority, default or flex", q.Tier)
	}
	req := &infer.Request{
		Caller: infer.Caller{Account: who.Account, Team: who.Team, Key: who.KeyID}, Model: res.Model.ID, ModelAsked: q.Route, Tier: tier, Stream: q.Stream,
		Facts: infer.Facts{MediaUnits: q.Input, MaxTokens: q.MaxTokens}, // tokens that are known are as those of media
	}
	lanes, err := v.lanes(req, who, &res)
	if err != nil {
		return nil, err
	}
	trial, err := v.s.dispatch.Try(req)
	if err != nil {
		return nil, err
	}
	return answered(q.Route, trial, lanes, &res), nil
}

// asked is the principal of a key, the operator's without one.
func (v adminView) asked(key string) (*identity.Principal, error) {
	if key == "" {
		return &identity.Principal{Account: v.s.cfg.Account.ID}, nil
	}
	k := v.s.keyring.Load().Key(key)
	if k == nil {
		return nil, fault.Newf(fault.NotFound, "there is no key with the id %q", key)
	}
	return identity.PrincipalOf(k), nil
}

// lanes describes the lanes of a route, and gives the request those that are open to the caller. Of a model there is one.
func (v adminView) lanes(req *infer.Request, who *identity.Principal, res *catalog.Resolution) ([]admin.RouteLane, error) {
	region := v.s.cfg.Server.Region
	may := func(name string) error {
		return identity.Authorize(who, "bedrock:InvokeModel", name, identity.ModelARN(region, name), req.Tier.String())
	}
	if res.Route == nil {
		return []admin.RouteLane{{Number: 1, Name: res.Model.ID, Model: res.Model.ID, Spill: "never"}}, may(res.Model.ID)
	}
	byName := may(res.Route.Name)
	r := v.s.live.Load().cfg.Routes[res.Route.Name]
	out := make([]admin.RouteLane, len(r.Lanes))
	for i := range r.Lanes {
		l := &r.Lanes[i]
		out[i] = admin.RouteLane{
			Number: i + 1, Name: l.Title(), Model: l.Model, Spill: cmp.Or(l.Spill, "never"), Failover: l.Failover, State: laneClosed, Why: "what was bought does not serve",
		}
		if l.Brought() {
			out[i].Why = "the model that was brought is not served, or a lane before is of it"
		}
	}
	for i := range res.Route.Lanes {
		l := &res.Route.Lanes[i]
		if l.Number >= len(out) {
			continue // the route is being changed
		}
		to := &out[l.Number]
		to.Model, to.Why = l.Model.ID, ""
		if err := may(l.Model.ID); byName != nil && err != nil {
			to.Why = fault.From(err).Message
			continue
		}
		if req.Stream && !l.Model.Streaming {
			to.Why = "the model has no streams"
			continue
		}
		req.Lanes = append(req.Lanes, infer.Lane{Number: i, Model: l.Model.ID})
	}
	if len(req.Lanes) == 0 {
		return nil, byName
	}
	req.Route = res.Route.Name
	return out, nil
}

// laneClosed is the state of a lane that the call cannot use.
const laneClosed = "closed to it"

// answered puts a trial together with what is known of the lanes.
func answered(route string, t *dispatch.Trial, lanes []admin.RouteLane, res *catalog.Resolution) *admin.RouteAnswer {
	out := &admin.RouteAnswer{Route: route, Outcome: t.Outcome, Engine: t.Engine, Ahead: t.Ahead, Lanes: lanes}
	if e := t.Refused; e != nil {
		out.Why, out.RetryAfterMs, out.RetryEstimated = cmp.Or(e.Reason, e.Message, e.Kind.String()), e.RetryAfter.Milliseconds(), e.RetryEstimated
	} else {
		out.Lane = t.Lanes[t.Lane].Name
	}
	for i := range t.Lanes {
		from := &t.Lanes[i]
		to := &lanes[0]
		if res.Route != nil {
			to = &lanes[res.Route.Lanes[from.Number].Number]
		}
		to.Mode = from.Mode
		switch {
		case from.Left != "":
			to.State, to.Why = "left", from.Left
		case i == t.Lane && t.Refused == nil:
			to.State = "takes it"
		case i == t.Lane:
			to.State, to.Why = "refuses it", out.Why
		default:
			to.State = "not needed"
		}
		for _, e := range from.Engines {
			to.Engines = append(to.Engines, admin.RouteEngine{Name: e.Name, Kind: e.Kind, Up: e.Up})
		}
		for _, l := range from.Limits {
			to.Limits = append(to.Limits, admin.RouteLimit{Of: l.Scope, Limit: l.Limit, Value: l.Value, Level: l.Level})
		}
	}
	return out
}
