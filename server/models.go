package server

import (
	"context"
	"slices"

	"forebay/catalog"
	"forebay/dispatch"
	"forebay/endpoint"
	"forebay/engine"
	"forebay/fault"
	"forebay/infer"
)

// modelsView implements api.Models.
type modelsView Server

// Resolve implements api.Models.
func (v *modelsView) Resolve(account, id string) (catalog.Resolution, error) {
	res, err := v.live.Load().names.Resolve(id)
	if err != nil {
		if made, ok, e := v.resolveMade(account, id); ok {
			return made, e
		}
		if t := v.provisioned.Load().find(account, id); t != nil {
			return v.bought(id, t)
		}
		if at, ok, e := v.endpoint(account, id); ok {
			return at, e
		}
	}
	return res, err
}

// endpoint finds an endpoint whose container speaks chat; false for an id that names none.
func (v *modelsView) endpoint(account, id string) (catalog.Resolution, bool, error) {
	if _, there := v.endpoints.Find(account, id); !there {
		return catalog.Resolution{}, false, nil
	}
	target, err := v.endpoints.Route(account, id, "")
	if err == nil && !v.endpoints.Chats(&target) {
		err = fault.New(fault.Unsupported, "This operation is not supported for this endpoint.").WithReason("its container takes its own bodies alone, through InvokeEndpoint")
	}
	if err != nil {
		return catalog.Resolution{}, true, err
	}
	m := unknownModel(target.ID, "endpoint")
	m.Name = id
	return catalog.Resolution{Model: m, Asked: id, Charged: m.ID, Endpoint: id}, true, nil
}

// List implements api.Models.
func (v *modelsView) List(string) []*catalog.Model { return v.live.Load().names.List() }

// Aliases implements api.Models.
func (v *modelsView) Aliases(string) []catalog.Alias { return v.live.Load().names.Aliases() }

// Speaks implements api.Models.
func (v *modelsView) Speaks(model string, d infer.Dialect) bool {
	clients, known := v.live.Load().speaks[model]
	if !known && d == infer.DialectOpenAI { // perhaps the variant of an endpoint
		return v.endpoints.Chats(&endpoint.Target{ID: model})
	}
	for _, c := range clients {
		if c == nil || !c.Speaks(d) {
			return false
		}
	}
	return len(clients) > 0
}

// count answers CountTokens by the first engine of the model that can.
func (s *Server) count(ctx context.Context, req *infer.Request) (int64, error) {
	p := s.live.Load()
	at := slices.IndexFunc(p.base.Models, func(m dispatch.Model) bool { return m.ID == req.Model })
	last := error(fault.New(fault.Unsupported, "The provided model doesn't support counting tokens.").
		WithReason("no engine of %s tells token counts", req.Model))
	for i, c := range p.speaks[req.Model] {
		counter, ok := c.(engine.TokenCounter)
		if !ok {
			continue
		}
		req.UpstreamModel = p.base.Models[at].Bindings[i].Upstream
		n, err := counter.CountTokens(ctx, req)
		switch fault.KindOf(err) {
		case fault.Unsupported, fault.Unavailable, fault.Overloaded, fault.Timeout:
			last = err // another engine may know, or be there
			continue
		}
		return n, err
	}
	return 0, last
}
