package server

import (
	"cmp"

	"forebay/api"
	"forebay/fault"
	"forebay/infer"
)

// refused tells the ledger of a call that ended before the scheduler took it over, so that demand
// shows whatever became of it. A call that was not authenticated is told by API, reason, and
// the key it names if there is one: nothing that a caller can invent.
func (f *front) refused(c *api.Call, svc api.Service, e *fault.Error) {
	if c.Handed {
		return
	}
	f.s.dispatch.Refuse(c.Context(), refusedRequest(c, svc), e, c.W.Status())
}

// refusedRequest is what is known of a call that never reached the scheduler.
func refusedRequest(c *api.Call, svc api.Service) *infer.Request {
	req := &infer.Request{ID: c.ID, API: svc.Name(), Arrived: c.Started}
	p := c.Principal
	if p == nil {
		req.Caller.Key = c.Claimed
		return req
	}
	req.Operation, req.Model = c.Operation, c.Model
	req.Caller = api.Caller(c)
	if in := c.Intent; in != nil {
		req.Tier, _ = infer.ParseTier(in.Tier) // one that is none is the default
		req.API, req.Operation = cmp.Or(in.API, req.API), cmp.Or(in.Operation, req.Operation)
		req.Task, req.ModelAsked, req.Stream, req.Caller.Tags = in.Task, in.Model, in.Stream, in.Tags
	}
	return req
}
