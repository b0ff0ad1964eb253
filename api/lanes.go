package api

import (
	"cmp"

	"forebay/catalog"
	"forebay/dialect"
	"forebay/fault"
	"forebay/identity"
	"forebay/infer"
)

// A route serves a call in one of several lanes, and which one is known only when the scheduler has admitted it. What depends on
// the model is therefore decided for each lane before: whether the caller may use it, whether it serves what the request uses, and
// what its rules leave out. A lane that cannot serve the call is left out.

// authorizeRoute checks that the caller may call a route: by its name, or by the model of one of its lanes.
func (g *Gateway) authorizeRoute(c *Call, in *Intent, r *catalog.Route) error {
	if g.authorizeName(c, in, r.Name) == nil {
		return nil
	}
	var first error
	for i := range r.Lanes {
		err := g.authorize(c, in, r.Lanes[i].Model.ID)
		if err == nil {
			return nil
		}
		first = cmp.Or(first, err)
	}
	return first
}

// authorizeName is authorize for the name of a route, whose ARN is that of an inference profile.
func (g *Gateway) authorizeName(c *Call, in *Intent, route string) error {
	arn := "arn:aws:bedrock:" + g.Region + ":" + c.Principal.Account + ":inference-profile/" + route
	return identity.Authorize(c.Principal, in.action(), route, arn, in.capped())
}

// lanes fills in the lanes that can serve a request, and makes it ready for the first of them. Where none can, the
// error is that of the first.
func (g *Gateway) lanes(c *Call, in *Intent, req *infer.Request, r *catalog.Route, codec *dialect.Codec) error {
	byName := g.authorizeName(c, in, r.Name) == nil
	var first error
	for i := range r.Lanes {
		l := &r.Lanes[i]
		enter, err := g.lane(c, in, req, l, codec, byName)
		if err != nil {
			first = cmp.Or(first, err)
			continue
		}
		lane := infer.Lane{Number: i, Model: l.Model.ID, Enter: enter}
		if len(req.Lanes) == 0 { // what is wrong with the body is told before the call waits
			req.Model, lane.Entered = l.Model.ID, true
			if err := enter(); err != nil {
				return err
			}
		}
		req.Lanes = append(req.Lanes, lane)
	}
	if len(req.Lanes) == 0 {
		return cmp.Or(first, error(fault.New(fault.Unsupported, "")))
	}
	req.Route = r.Name
	c.Model = req.Model
	return nil
}

// lane checks one lane, and returns what makes the request ready for it.
func (g *Gateway) lane(c *Call, in *Intent, req *infer.Request, l *catalog.Lane, codec *dialect.Codec, byName bool) (func() error, error) {
	if !byName {
		if err := g.authorize(c, in, l.Model.ID); err != nil {
			return nil, err
		}
	}
	if req.Stream && !l.Model.Streaming {
		return nil, fault.New(fault.Invalid, "The model is unsupported for streaming.")
	}
	if err := makes(l.Model, req.Task); err != nil {
		return nil, err
	}
	out, err := rules(in, req, l.Model)
	if err != nil {
		return nil, err
	}
	body := req.Body
	return func() error {
		req.Body, req.Chat, req.Embed, req.Decode = body, nil, nil, nil
		return g.enter(in, req, l.Pool, codec, out)
	}, nil
}
