// Package sagemakerruntime serves Amazon SageMaker's runtime: calls of endpoints, with bodies that only the caller and the container understand, in one
// piece or as they come.
package sagemakerruntime

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"forebay/api"
	"forebay/endpoint"
	"forebay/fault"
	"forebay/identity"
	"forebay/infer"
	"forebay/resource"
	"forebay/wire"
	"forebay/wire/eventstream"
	"forebay/wire/restjson"
	shapes "forebay/wire/shapes/sagemakerruntime"
)

const apiName = "sagemaker-runtime"

// Endpoints knows where calls go.
type Endpoints interface {
	// Route chooses the variant for a call of an account's endpoint, "" for any. Faults: NotFound.
	Route(account, name, variant string) (endpoint.Target, error)
	// Observe is told how a call of a variant ended: whether by a fault of the container, and after what time.
	Observe(id string, failed bool, took time.Duration)
}

// Service is sagemaker-runtime behind the front door.
type Service struct {
	api.AWS
	gateway   *api.Gateway
	endpoints Endpoints
}

// New returns the service over a gateway.
func New(g *api.Gateway, endpoints Endpoints) *Service {
	s := &Service{AWS: api.AWS{Model: shapes.Service, Protocol: restjson.Protocol{}, Errors: &table, Amend: amend}, gateway: g, endpoints: endpoints}
	s.Serves(shapes.InvokeEndpoint, s.invoke)
	s.Serves(shapes.InvokeEndpointWithResponseStream, s.invokeStream)
	return s
}

// Owns reports whether a path is of the service.
func Owns(path string) bool { return strings.HasPrefix(path, "/endpoints/") }

// Headers of the service, in both directions.
const (
	headerAttributes = "X-Amzn-Sagemaker-Custom-Attributes"
	headerSession    = "X-Amzn-Sagemaker-Session-Id"
	headerInference  = "X-Amzn-Sagemaker-Inference-Id"
	headerNew        = "X-Amzn-Sagemaker-New-Session-Id"
	headerClosed     = "X-Amzn-Sagemaker-Closed-Session-Id"
	headerVariant    = "X-Amzn-Invoked-Production-Variant"
	headerStreamType = "X-Amzn-Sagemaker-Content-Type"
)

// AnswerHeaders are those of a container that its callers see.
var AnswerHeaders = []string{headerAttributes, headerNew, headerClosed}

// Bounds of calls ("Amazon SageMaker endpoints and quotas"; the container contract).
const (
	maxServerless = 4 << 20
	maxWhole      = 60 * time.Second
	maxStream     = 8 * time.Minute
)

// octets is the type of bodies of which nothing is said.
const octets = "application/octet-stream"

// call is one invocation.
type call struct {
	target    endpoint.Target
	endpoint  string
	req       *infer.Request
	began     time.Time
	container string
}

// invoke serves InvokeEndpoint.
func (s *Service) invoke(c *api.Call, r *wire.Request) error {
	in := new(shapes.InvokeEndpointInput)
	if err := s.Protocol.Decode(shapes.InvokeEndpoint, r, wire.Into(in)); err != nil {
		return err
	}
	switch {
	case in.TargetModel != nil:
		return fault.New(fault.Unsupported, "TargetModel is for endpoints of many models, which this server does not have.")
	case in.EnableExplanations != nil:
		return fault.New(fault.Unsupported, "EnableExplanations is for endpoints with an explainer, which this server does not have.")
	}
	x, err := s.prepare(c, &shapes.InvokeEndpointWithResponseStreamInput{
		EndpointName: in.EndpointName, Body: in.Body, ContentType: in.ContentType, Accept: in.Accept, CustomAttributes: in.CustomAttributes, TargetVariant: in.TargetVariant,
		TargetContainerHostname: in.TargetContainerHostname, InferenceId: in.InferenceId, InferenceComponentName: in.InferenceComponentName, SessionId: in.SessionId,
	}, false)
	if err != nil {
		return err
	}
	c.Handed = true
	err = s.whole(c, x)
	s.observe(x, err)
	return failed(err, c.Principal.Account, x.endpoint, x.container)
}

// whole runs a call and answers with its body.
func (s *Service) whole(c *api.Call, x *call) error {
	resp, err := s.gateway.Infer(c.Context(), x.req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Close() }()
	ev, err := resp.Next()
	if err != nil {
		return err
	}
	kind := answer(c.W.Header(), x, &resp.Head)
	return c.W.Body(http.StatusOK, kind, ev.Raw)
}

// invokeStream serves InvokeEndpointWithResponseStream.
func (s *Service) invokeStream(c *api.Call, r *wire.Request) error {
	in := new(shapes.InvokeEndpointWithResponseStreamInput)
	if err := s.Protocol.Decode(shapes.InvokeEndpointWithResponseStream, r, wire.Into(in)); err != nil {
		return err
	}
	x, err := s.prepare(c, in, true)
	if err != nil {
		return err
	}
	c.Handed = true
	err = s.stream(c, x)
	s.observe(x, err)
	err = failed(err, c.Principal.Account, x.endpoint, x.container)
	if e := fault.From(err); e != nil && c.W.Started() && e.Kind != fault.Canceled {
		s.broken(c.W, e)
	}
	return err
}

// stream runs a call and answers with its bytes as they come.
func (s *Service) stream(c *api.Call, x *call) error {
	c.W.Stream(api.FramingEventStream, 0, func() { c.W.Header().Set("Content-Type", "application/vnd.amazon.eventstream") })
	defer c.W.Finish()
	resp, err := s.gateway.Infer(c.Context(), x.req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Close() }()
	c.W.Prepare(func(h http.Header) { h.Set(headerStreamType, answer(h, x, &resp.Head)) })
	if err := c.W.Open(); err != nil {
		return err
	}
	var frame []byte
	for {
		ev, err := resp.Next()
		if errors.Is(err, io.EOF) {
			return c.W.Flush()
		}
		if err != nil {
			return err
		}
		frame = eventstream.AppendEvent(frame[:0], "PayloadPart", octets, ev.Raw)
		if err := c.W.Raw(frame, !resp.Ready()); err != nil {
			return err
		}
	}
}

// broken tells of a failure after the head of a stream: the container's, or ours.
func (s *Service) broken(w *api.Writer, e *fault.Error) {
	name := "ModelStreamError"
	f := wire.Failure{Name: name, Message: cmp.Or(e.Message, "The model's stream failed."), Shape: shapes.InvokeEndpointWithResponseStream.Output.Member("Body").Shape.Member(name).Shape}
	f.Fields = map[string]any{"ErrorCode": "ModelInvocationTimeExceeded"}
	switch e.Kind {
	case fault.Timeout:
	case fault.ModelFailed, fault.StreamFailed:
		f.Fields["ErrorCode"] = "StreamBroken"
	default:
		f = wire.Failure{Name: "InternalStreamFailure", Message: "The stream failed.", Shape: shapes.InvokeEndpointWithResponseStream.Output.Member("Body").Shape.Member("InternalStreamFailure").Shape}
	}
	_ = w.Raw(eventstream.AppendException(nil, f.Name, f.Body()), true) // a client that left hears nothing
}

// answer sets the headers of an answer, and returns its type.
func answer(h http.Header, x *call, head *infer.Head) string {
	api.Answer(h, head)
	h.Set(headerVariant, x.target.Variant)
	kind := octets
	if head.Opaque != nil {
		kind = cmp.Or(head.Opaque.ContentType, octets)
		for _, f := range head.Opaque.Header {
			h.Set(f.Name, api.HeaderValue(f.Value))
		}
	}
	return kind
}

// observe tells how a call ended. What its caller did wrong, or was not there for, says nothing of the container.
func (s *Service) observe(x *call, err error) {
	e := fault.From(err)
	bad := false
	if e != nil {
		switch e.Kind {
		case fault.ModelFailed:
			bad = e.OriginalStatus >= http.StatusInternalServerError || e.OriginalStatus == 0
		case fault.Timeout, fault.Unavailable, fault.StreamFailed:
			bad = true
		default:
			return
		}
	}
	s.endpoints.Observe(x.target.ID, bad, time.Since(x.began))
}

// prepare makes the request of an authorised call.
func (s *Service) prepare(c *api.Call, in *shapes.InvokeEndpointWithResponseStreamInput, stream bool) (*call, error) {
	name, account := in.EndpointName, c.Principal.Account
	c.Intent = &api.Intent{API: apiName, Operation: c.Operation, Model: name, Stream: stream}
	arn := resource.ARN{Service: resource.SageMaker, Region: s.gateway.Region, Account: account, Kind: resource.Endpoint, ID: name}
	if err := identity.Authorize(c.Principal, "sagemaker:"+c.Operation, name, arn.String(), identity.NoTier); err != nil {
		return nil, err
	}
	switch {
	case in.InferenceComponentName != nil:
		return nil, fault.Newf(fault.Invalid, "Inference Component Name header is not allowed for endpoints to which you dont plan to deploy inference components (endpoint %s).", name)
	case in.TargetContainerHostname != nil:
		return nil, fault.New(fault.Unsupported, "TargetContainerHostname is for endpoints of several containers, which this server does not have.")
	}
	target, err := s.endpoints.Route(account, name, api.Given(in.TargetVariant))
	if err != nil {
		return nil, err
	}
	c.Model = name
	if target.Serverless && len(c.Body) > maxServerless {
		return nil, fault.Newf(fault.TooLarge, "The request body has %d bytes. Serverless endpoints take at most %d.", len(c.Body), maxServerless)
	}
	x := &call{target: target, endpoint: name, began: time.Now(), container: target.Container}
	x.req = &infer.Request{
		ID: c.ID, API: apiName, Operation: c.Operation, Dialect: infer.DialectOpaque, Body: c.Body, Stream: stream, Arrived: c.Started, Sent: c.Sent,
		ModelAsked: name, Model: target.ID, Caller: api.Caller(c), Trace: c.Trace,
		Propagate: infer.NewTraceContext(c.HTTP.Header.Get("Traceparent"), c.HTTP.Header.Get("Tracestate")),
		Opaque:    &infer.Opaque{ContentType: cmp.Or(api.Given(in.ContentType), octets), Accept: api.Given(in.Accept)},
	}
	for _, f := range []struct {
		name  string
		value *string
	}{{headerAttributes, in.CustomAttributes}, {headerSession, in.SessionId}, {headerInference, in.InferenceId}} {
		if f.value != nil {
			x.req.Opaque.Header = append(x.req.Opaque.Header, infer.Header{Name: f.name, Value: *f.value})
		}
	}
	x.req.Within.Total = maxWhole
	if stream {
		x.req.Within.FirstToken, x.req.Within.Total = maxWhole, maxStream
	}
	return x, nil
}
