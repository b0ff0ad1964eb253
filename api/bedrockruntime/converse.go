package bedrockruntime

import (
	"math"

	"forebay/api"
	"forebay/dialect"
	"forebay/fault"
	"forebay/infer"
	"forebay/wire"
	"forebay/wire/restjson"
	shapes "forebay/wire/shapes/bedrockruntime"
)

// converse serves Converse and ConverseStream, whose inputs differ in a member of the guardrail only.
func (s *Service) converse(c *api.Call, r *wire.Request) error {
	op := shapes.Converse
	stream := c.Operation == shapes.ConverseStream.Name
	if stream {
		op = shapes.ConverseStream
	}
	id := restjson.Label(op, r.Path, "modelId")
	passes := s.passes(c, id)
	if !passes {
		if err := s.Protocol.Decode(op, r, wire.Target{}); err != nil {
			return err
		}
	}
	cr, err := dialect.ParseConverse(c.Body)
	if err != nil {
		return serialization(err)
	}
	in := api.Intent{
		API: apiName, Operation: c.Operation, Model: id, Stream: stream, Dialect: infer.DialectConverse, Tags: cr.Metadata,
		Latency: cr.Latency(),
	}
	if !passes { // or it is checked where it must be decoded after all
		in.Chat = cr.Chat
	}
	if err := cr.CheckUnserved(); err != nil {
		return err
	}
	if in.Guardrail, err = cr.NamedGuardrail(); err != nil {
		return err
	}
	if cr.ServiceTier != nil {
		in.Tier = cr.ServiceTier.Type
	}
	req, err := s.Prepare(c, &in)
	if err != nil {
		return err
	}
	head := dialect.Head{ID: c.ID, Model: id, Created: c.Started, Fields: cr.ResponsePaths}
	if stream {
		st := api.EventStream{
			Framing: api.FramingEventStream, ContentType: eventStream, Dialect: infer.DialectConverse, Head: head, Failure: s.streamFailure(op),
		}
		return st.Serve(c, s.Gateway, req)
	}
	return api.Whole(c, s.Gateway, req, infer.DialectConverse, head, nil)
}

// passes reports whether a call to the model passes through: what serves it speaks Converse and
// checks the body itself, by a model that may be newer than ours.
func (s *Service) passes(c *api.Call, id string) bool {
	res, err := s.Models.Resolve(c.Principal.Account, id)
	return err == nil && s.Models.Speaks(res.Pool(), infer.DialectConverse)
}

// serialization is how the service answers a Converse body that is no JSON or has wrong types.
func serialization(err error) error {
	e := fault.From(err)
	if e.Kind == fault.Malformed || e.Kind == fault.Invalid {
		c := *e
		c.Kind = fault.Malformed
		return &c
	}
	return err
}

// count serves CountTokens.
func (s *Service) count(c *api.Call, input *shapes.CountTokensRequest) (*shapes.CountTokensResponse, error) {
	in := api.Intent{API: apiName, Operation: c.Operation, Model: input.ModelId, Action: api.ActionCountTokens, Counting: true}
	res, err := s.Resolve(c, &in)
	if err != nil {
		return nil, err
	}
	if call := input.Input.InvokeModel; call != nil {
		c.Body, in.Dialect = call.Body, dialect.OfBody(call.Body, res.Model.Family, res.Model.Completion)
	} else {
		c.Body, in.Dialect = input.Input.Converse, infer.DialectConverse
	}
	req, err := s.PrepareResolved(c, &in, &res)
	if err != nil {
		return nil, nativeError(err)
	}
	n, err := s.Count(c.Context(), req)
	if err != nil {
		return nil, err
	}
	if n > math.MaxInt32 {
		return nil, fault.Newf(fault.Internal, "%d tokens are more than the answer can say", n)
	}
	return &shapes.CountTokensResponse{InputTokens: int32(n)}, nil
}
