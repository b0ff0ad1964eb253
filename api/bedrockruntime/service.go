// Package bedrockruntime serves the inference operations of Amazon Bedrock: InvokeModel
// and Converse with their streams, and CountTokens. Other operations of the service get a
// clear error of the right shape.
package bedrockruntime

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"forebay/api"
	"forebay/dialect"
	"forebay/fault"
	"forebay/infer"
	"forebay/wire"
	"forebay/wire/restjson"
	shapes "forebay/wire/shapes/bedrockruntime"
)

const apiName = "bedrock-runtime"

// Service is bedrock-runtime behind the front door.
type Service struct {
	api.AWS
	*api.Gateway
}

// New returns the service over a gateway. CountTokens is a typed operation; the inference
// operations write their own answers, which pass through or stream.
func New(g *api.Gateway) *Service {
	s := &Service{AWS: api.AWS{Model: shapes.Service, Protocol: restjson.Protocol{}, Errors: &table}, Gateway: g}
	api.Handle(&s.AWS, api.Operation[shapes.CountTokensRequest, shapes.CountTokensResponse]{Shape: shapes.CountTokens, Run: s.count})
	for op, h := range map[*wire.Operation]api.Handler{
		shapes.InvokeModel: s.invoke, shapes.InvokeModelWithResponseStream: s.invoke, shapes.Converse: s.converse, shapes.ConverseStream: s.converse,
	} {
		s.Serves(op, func(c *api.Call, r *wire.Request) error { return g.Witnessed(c, func() error { return h(c, r) }) })
	}
	return s
}

// FailureName is the name that a failure has in the API.
func FailureName(e *fault.Error) string {
	row, _ := table.Row(e)
	return row.Name
}

// prefixes begin the paths of the runtime alone: whatever comes below them is an operation of it, known or not. What
// makes guardrails is below /guardrails, and of the control plane.
var prefixes = []string{"/model/", "/guardrail/", "/guardrail-checks/", "/async-invoke/"}

// Owns reports whether a path belongs to bedrock-runtime rather than to bedrock.
func Owns(path string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(path, p) || path == p[:len(p)-1] {
			return true
		}
	}
	return restjson.Owns(shapes.Service, path)
}

// Headers of InvokeModel.
const (
	headerTier     = "X-Amzn-Bedrock-Service-Tier"
	headerMetadata = "X-Amzn-Bedrock-Request-Metadata"
	headerLatency  = "X-Amzn-Bedrock-Performanceconfig-Latency"
	headerInput    = "X-Amzn-Bedrock-Input-Token-Count"
	headerOutput   = "X-Amzn-Bedrock-Output-Token-Count"
	headerRead     = "X-Amzn-Bedrock-Cache-Read-Input-Token-Count"
	headerWrite    = "X-Amzn-Bedrock-Cache-Write-Input-Token-Count"
	headerTook     = "X-Amzn-Bedrock-Invocation-Latency"
)

// metadata is the member of Converse that InvokeModel has as a header, which the model does not
// know yet.
var metadata = shapes.Converse.Input.Member("requestMetadata")

// tags reads the request metadata header.
func tags(raw string) (map[string]string, error) {
	if raw == "" {
		return nil, nil
	}
	var m map[string]string
	var bad wire.Faults
	if err := wire.Unmarshal([]byte(raw), metadata, wire.Into(&m), &bad); err != nil {
		return nil, fault.New(fault.Invalid, "The request metadata must be a JSON object of strings.")
	}
	return m, bad.Err()
}

func value(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// invoke serves InvokeModel and its stream, whose inputs have the same members: the body is the model
// family's own.
func (s *Service) invoke(c *api.Call, r *wire.Request) error {
	stream := c.Operation == shapes.InvokeModelWithResponseStream.Name
	input, err := s.invocation(r, stream)
	if err != nil {
		return err
	}
	id := input.ModelId
	in := api.Intent{
		API: apiName, Operation: c.Operation, Model: id, Stream: stream, Tier: value(input.ServiceTier), Latency: value(input.PerformanceConfigLatency),
	}
	if in.Guardrail, err = api.Guardrail(value(input.GuardrailIdentifier), value(input.GuardrailVersion), value(input.Trace), c.Body); err != nil {
		return err
	}
	if in.Tags, err = tags(r.Header.Get(headerMetadata)); err != nil {
		return err
	}
	res, err := s.Resolve(c, &in)
	if err != nil {
		return err
	}
	if stream && res.Route == nil && !res.Model.Streaming { // of a route, each lane is looked at
		return fault.New(fault.Invalid, "The model is unsupported for streaming.")
	}
	in.Dialect = dialect.OfBody(c.Body, res.Model.Family, res.Model.Completion)
	if res.Model.Embeds() {
		in.Task = infer.TaskEmbed
	}
	req, err := s.PrepareResolved(c, &in, &res)
	if err != nil {
		return nativeError(err)
	}
	if req.Stream != stream || req.Facts.Stream && in.Dialect == infer.DialectAnthropic { // elsewhere the two must agree
		return errStreamInBody
	}
	if err := s.agrees(c, &in, req); err != nil {
		return err
	}
	head := dialect.Head{ID: c.ID, Model: id, Created: c.Started, Embed: req.Embed}
	if stream {
		return s.invokeStream(c, req, head)
	}
	return api.Whole(c, s.Gateway, req, in.Dialect, head, func(resp *infer.Response) { s.headers(c, req, resp) })
}

// invocation reads the headers of an invocation, with or without a stream: the two have the same.
func (s *Service) invocation(r *wire.Request, stream bool) (*shapes.InvokeModelRequest, error) {
	if !stream {
		in := new(shapes.InvokeModelRequest)
		return in, s.Protocol.Decode(shapes.InvokeModel, r, wire.Into(in))
	}
	var in shapes.InvokeModelWithResponseStreamRequest
	err := s.Protocol.Decode(shapes.InvokeModelWithResponseStream, r, wire.Into(&in))
	out := shapes.InvokeModelRequest(in)
	return &out, err
}

// errStreamInBody refuses a body that says what the operation says: Claude's may not, others may not contradict it.
var errStreamInBody = fault.New(fault.Invalid,
	"Malformed input request: #: extraneous key [stream] is not permitted, please reformat your input and try again.")

// agrees holds a native body against what its family demands on Bedrock: Claude's names a version, and a model that gpt-oss's names is
// that of the path (user guide, "OpenAI models"), by whichever of its names.
func (s *Service) agrees(c *api.Call, in *api.Intent, req *infer.Request) error {
	named := req.Facts.Model
	switch {
	case in.Dialect == infer.DialectAnthropic:
		return dialect.CheckAnthropicOnBedrock(&req.Facts)
	case in.Dialect != infer.DialectGPTOSS || named == "" || named == in.Model || named == req.Model:
		return nil
	}
	if res, err := s.Models.Resolve(c.Principal.Account, named); err == nil && res.Model.ID == req.Model {
		return nil
	}
	return errOtherModel
}

// errOtherModel refuses a body that names another model than the path.
var errOtherModel = fault.New(fault.Invalid,
	"Malformed input request: #/model: the value must match the model identifier of the request, please reformat your input and try again.")

// nativeError puts a fault in a native body into the service's words.
func nativeError(err error) error {
	e := fault.From(err)
	switch {
	case strings.HasPrefix(e.Message, "Malformed input request"):
		return err // the dialect has said it in these words
	case e.Kind == fault.Malformed:
		c := *e
		c.Kind, c.Message = fault.Invalid, "Malformed input request, please reformat your input and try again."
		return &c
	case dialect.IsMissing(e):
		c := *e
		c.Message = "Malformed input request: #: required key [" + e.Param + "] not found, please reformat your input and try again."
		return &c
	case e.Kind == fault.Invalid && e.Param != "" && strings.HasPrefix(e.Message, e.Param+":"):
		c := *e
		c.Message = "Malformed input request: #/" + strings.ReplaceAll(e.Param, ".", "/") + strings.TrimPrefix(e.Message, e.Param) +
			", please reformat your input and try again."
		return &c
	default:
		return err
	}
}

// headers tells token counts and latency of an answered InvokeModel.
func (s *Service) headers(c *api.Call, req *infer.Request, resp *infer.Response) {
	h := c.W.Header()
	u, _ := resp.Usage()
	h.Set(headerInput, strconv.FormatInt(u.Input, 10))
	h.Set(headerOutput, strconv.FormatInt(u.Output, 10))
	if u.CacheRead > 0 || u.CacheWrite > 0 {
		h.Set(headerRead, strconv.FormatInt(u.CacheRead, 10))
		h.Set(headerWrite, strconv.FormatInt(u.CacheWrite, 10))
	}
	h.Set(headerTook, strconv.FormatInt(time.Since(c.Started).Milliseconds(), 10))
	servedHeaders(c, h, req, &resp.Head)
}

// servedHeaders tells the tier and the performance configuration that served, to a caller who has asked for one.
func servedHeaders(c *api.Call, h http.Header, req *infer.Request, head *infer.Head) {
	if c.HTTP.Header.Get(headerTier) != "" {
		h.Set(headerTier, head.Tier.String())
	}
	if latency := api.Latency(c, req, head); latency != "" {
		h.Set(headerLatency, latency)
	}
}

// chunk wraps a native payload as the service's chunk event does.
func chunk(dst, payload []byte) []byte {
	dst = append(dst, `{"bytes":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, payload)
	return append(dst, `"}`...)
}

const eventStream = "application/vnd.amazon.eventstream"

func (s *Service) invokeStream(c *api.Call, req *infer.Request, head dialect.Head) error {
	c.W.Header().Set("X-Amzn-Bedrock-Content-Type", "application/json")
	first := time.Duration(0)
	st := api.EventStream{
		Framing: api.FramingEventStream, ContentType: eventStream, Dialect: req.Dialect, Head: head, Model: head.Model,
		EventName: func(string) string { return "chunk" },
		Wrap: func(dst, payload []byte) []byte {
			if first == 0 {
				first = time.Since(c.Started)
			}
			return chunk(dst, payload)
		},
		Close: func(resp *infer.Response, payload []byte) []byte {
			u, _ := resp.Usage()
			return dialect.AppendMetrics(payload, u, time.Since(c.Started), first)
		},
		Headers: func(h http.Header, head *infer.Head) { servedHeaders(c, h, req, head) },
		Failure: s.streamFailure(shapes.InvokeModelWithResponseStream),
	}
	return st.Serve(c, s.Gateway, req)
}
