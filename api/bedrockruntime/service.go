// Package bedrockruntime serves the inference operations of Amazon Bedrock: InvokeModel
// and Converse with their streams, and CountTokens. Other operations of the service get a
// clear error of the right shape.
package bedrockruntime

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"forebay/api"
	"forebay/dialect"
	"forebay/fault"
	"forebay/infer"
	"forebay/wire/eventstream"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const apiName = "bedrock-runtime"

// Service is bedrock-runtime behind the front door.
type Service struct {
	*api.Gateway
}

// Name implements api.Service.
func (s *Service) Name() string { return apiName }

// The operations, by the last segment of /model/{modelId}/... .
var operations = map[string]string{
	"invoke": "InvokeModel", "invoke-with-response-stream": "InvokeModelWithResponseStream",
	"converse": "Converse", "converse-stream": "ConverseStream", "count-tokens": "CountTokens",
	"invoke-with-bidirectional-stream": "InvokeModelWithBidirectionalStream",
}

// Owns reports whether a path belongs to bedrock-runtime rather than to bedrock.
func Owns(path string) bool {
	return strings.HasPrefix(path, "/model/") || strings.HasPrefix(path, "/guardrail/") ||
		strings.HasPrefix(path, "/guardrail-checks") || strings.HasPrefix(path, "/async-invoke")
}

// Serve implements api.Service.
func (s *Service) Serve(c *api.Call) error {
	c.W.Header().Set(api.HeaderAmznID, c.ID)
	rest, ok := strings.CutPrefix(c.Path, "/model/")
	if !ok {
		return unserved(c.Path)
	}
	cut := strings.LastIndexByte(rest, '/')
	if cut <= 0 {
		return fault.New(fault.UnknownOperation, "")
	}
	op, ok := operations[rest[cut+1:]]
	if !ok || c.HTTP.Method != http.MethodPost {
		return fault.New(fault.UnknownOperation, "")
	}
	c.Operation = op
	id := api.Unescape(rest[:cut])
	switch op {
	case "InvokeModel", "InvokeModelWithResponseStream":
		return s.invoke(c, id, op == "InvokeModelWithResponseStream")
	case "Converse", "ConverseStream":
		return s.converse(c, id, op == "ConverseStream")
	case "CountTokens":
		return s.count(c, id)
	default:
		return fault.Newf(fault.Unsupported, "The operation %s is not supported by this server.", op)
	}
}

// unserved names an operation of the service that Forebay does not have.
func unserved(path string) error {
	name := "AsyncInvoke"
	switch {
	case strings.HasPrefix(path, "/guardrail-checks"):
		name = "InvokeGuardrailChecks"
	case strings.HasPrefix(path, "/guardrail/"):
		name = "ApplyGuardrail"
	}
	return fault.Newf(fault.Unsupported, "The operation %s is not supported by this server.", name)
}

// Headers of InvokeModel.
const (
	headerTier      = "X-Amzn-Bedrock-Service-Tier"
	headerGuardrail = "X-Amzn-Bedrock-Guardrailidentifier"
	headerGuardVers = "X-Amzn-Bedrock-Guardrailversion"
	headerTrace     = "X-Amzn-Bedrock-Trace"
	headerMetadata  = "X-Amzn-Bedrock-Request-Metadata"
	headerLatency   = "X-Amzn-Bedrock-Performanceconfig-Latency"
	headerInput     = "X-Amzn-Bedrock-Input-Token-Count"
	headerOutput    = "X-Amzn-Bedrock-Output-Token-Count"
	headerRead      = "X-Amzn-Bedrock-Cache-Read-Input-Token-Count"
	headerWrite     = "X-Amzn-Bedrock-Cache-Write-Input-Token-Count"
	headerTook      = "X-Amzn-Bedrock-Invocation-Latency"
)

// Bounds of request metadata, from the service model.
const (
	maxTags   = 16
	maxTagLen = 256
)

// tags reads the request metadata header.
func tags(raw string) (map[string]string, error) {
	if raw == "" {
		return nil, nil
	}
	var m map[string]string
	if err := json.Unmarshal([]byte(raw), &m); err != nil {
		return nil, fault.New(fault.Invalid, "The request metadata must be a JSON object of strings.")
	}
	return m, checkTags(m)
}

func checkTags(m map[string]string) error {
	if len(m) > maxTags {
		return fault.Newf(fault.Invalid, "1 validation error detected: Value at 'requestMetadata' failed to satisfy constraint: Member must have length less than or equal to %d", maxTags)
	}
	for k, v := range m {
		if len(k) > maxTagLen || len(v) > maxTagLen {
			return fault.Newf(fault.Invalid, "1 validation error detected: Value at 'requestMetadata' failed to satisfy constraint: Member must have length less than or equal to %d", maxTagLen)
		}
	}
	return nil
}

// invoke serves InvokeModel and its stream: the body is the model family's own.
func (s *Service) invoke(c *api.Call, id string, stream bool) error {
	h := c.HTTP.Header
	in := api.Intent{API: apiName, Operation: c.Operation, Model: id, Stream: stream, Tier: h.Get(headerTier), Latency: h.Get(headerLatency)}
	var err error
	if in.Guardrail, err = guardrail(h); err != nil {
		return err
	}
	if err = checkLatency(in.Latency); err != nil {
		return err
	}
	if in.Tags, err = tags(h.Get(headerMetadata)); err != nil {
		return err
	}
	res, err := s.Resolve(c, &in)
	if err != nil {
		return err
	}
	if stream && !res.Model.Streaming {
		return fault.New(fault.Invalid, "The model is unsupported for streaming.")
	}
	in.Dialect = res.Model.Family
	if res.Model.Embeds() {
		in.Task = infer.TaskEmbed
	}
	req, err := s.PrepareResolved(c, &in, &res)
	if err != nil {
		return nativeError(err)
	}
	if req.Stream != stream {
		return errStreamInBody
	}
	if req.Facts.MaxTokens == 0 && in.Dialect == infer.DialectAnthropic {
		return errMissingMaxTokens
	}
	head := dialect.Head{ID: c.ID, Model: id, Created: c.Started, Embed: req.Embed}
	if stream {
		return s.invokeStream(c, req, head)
	}
	resp, err := api.Run(c, s.Gateway, req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Close() }()
	body, err := api.WholeBody(resp, in.Dialect, head)
	if err != nil {
		return err
	}
	s.headers(c, req, resp)
	return c.W.Body(http.StatusOK, "application/json", body)
}

// guardrail reads the guardrail headers.
func guardrail(h http.Header) (*infer.Guardrail, error) {
	g := infer.Guardrail{ID: h.Get(headerGuardrail), Version: h.Get(headerGuardVers), Trace: strings.ToLower(h.Get(headerTrace))}
	switch {
	case g.ID == "" && g.Version == "":
		return nil, nil //nolint:nilnil // no guardrail is what most calls have
	case g.ID == "" || g.Version == "":
		return nil, fault.New(fault.Invalid, "The guardrail identifier and version must be provided together.")
	default:
		return &g, nil
	}
}

// checkLatency holds the performance configuration against the values that it has.
func checkLatency(v string) error {
	switch v {
	case "", "standard", "optimized":
		return nil
	default:
		return fault.Newf(fault.Invalid, "1 validation error detected: Value '%s' at 'performanceConfigLatency' failed to satisfy constraint: Member must satisfy enum value set: [standard, optimized]", api.HeaderValue(v))
	}
}

// errStreamInBody refuses a body that asks for a stream where the operation has none.
var errStreamInBody = fault.New(fault.Invalid,
	"Malformed input request: #: extraneous key [stream] is not permitted, please reformat your input and try again.")

// errMissingMaxTokens is what Claude on Bedrock answers.
var errMissingMaxTokens = fault.New(fault.Invalid,
	"Malformed input request: #: required key [max_tokens] not found, please reformat your input and try again.")

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
		c.Message = "Malformed input request: #: required key [" + e.Code + "] not found, please reformat your input and try again."
		return &c
	case e.Kind == fault.Invalid && e.Code != "":
		c := *e
		c.Message = "Malformed input request: #/" + strings.ReplaceAll(e.Message, ".", "/") + ", please reformat your input and try again."
		return &c
	default:
		return err
	}
}

// headers tells token counts and latency of an answered InvokeModel.
func (s *Service) headers(c *api.Call, req *infer.Request, resp *infer.Response) {
	h := c.W.Header()
	api.Answer(h, &resp.Head)
	u, _ := resp.Usage()
	h.Set(headerInput, strconv.FormatInt(u.Input, 10))
	h.Set(headerOutput, strconv.FormatInt(u.Output, 10))
	if u.CacheRead > 0 || u.CacheWrite > 0 {
		h.Set(headerRead, strconv.FormatInt(u.CacheRead, 10))
		h.Set(headerWrite, strconv.FormatInt(u.CacheWrite, 10))
	}
	h.Set(headerTook, strconv.FormatInt(time.Since(c.Started).Milliseconds(), 10))
	tierHeaders(h, c.HTTP.Header, req.Tier)
}

func tierHeaders(h, asked http.Header, tier infer.Tier) {
	if asked.Get(headerTier) != "" {
		h.Set(headerTier, tier.String())
	}
	if asked.Get(headerLatency) != "" {
		h.Set(headerLatency, "standard")
	}
}

// chunk wraps a native payload as the service's chunk event does.
func chunk(dst, payload []byte) []byte {
	dst = append(dst, `{"bytes":"`...)
	dst = appendBase64(dst, payload)
	return append(dst, `"}`...)
}

const eventStream = "application/vnd.amazon.eventstream"

func (s *Service) invokeStream(c *api.Call, req *infer.Request, head dialect.Head) error {
	tierHeaders(c.W.Header(), c.HTTP.Header, req.Tier)
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
		Failure: streamFailure,
	}
	return st.Serve(c, s.Gateway, req)
}

// inStream maps errors to the exception members that the service's streams have.
var inStream = map[string]string{
	internalServer: "internalServerException", modelStreamError: "modelStreamErrorException", modelError: "modelStreamErrorException",
	validation: "validationException", throttling: "throttlingException", modelTimeout: "modelTimeoutException",
	serviceUnavailable: "serviceUnavailableException",
}

func streamFailure(w *api.Writer, e *fault.Error) {
	row, _ := table.Row(e)
	member, ok := inStream[row.Name]
	if !ok {
		member = "internalServerException"
	}
	_ = w.Raw(eventstream.AppendException(nil, member, errorBody(e)), true)
}

// converse serves Converse and ConverseStream.
func (s *Service) converse(c *api.Call, id string, stream bool) error {
	cr, err := dialect.ParseConverse(c.Body)
	if err != nil {
		return serialization(err)
	}
	in := api.Intent{
		API: apiName, Operation: c.Operation, Model: id, Stream: stream, Dialect: infer.DialectConverse, Tags: cr.Metadata,
		Latency: cr.Latency(),
	}
	if err := checkTags(cr.Metadata); err != nil {
		return err
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
	head := dialect.Head{ID: c.ID, Model: id, Created: c.Started}
	if stream {
		st := api.EventStream{
			Framing: api.FramingEventStream, ContentType: eventStream, Dialect: infer.DialectConverse, Head: head, Failure: streamFailure,
		}
		return st.Serve(c, s.Gateway, req)
	}
	resp, err := api.Run(c, s.Gateway, req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Close() }()
	body, err := api.WholeBody(resp, infer.DialectConverse, head)
	if err != nil {
		return err
	}
	api.Answer(c.W.Header(), &resp.Head)
	return c.W.Body(http.StatusOK, "application/json", body)
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

type countRequest struct {
	Input struct {
		InvokeModel *struct {
			Body []byte `json:"body"`
		} `json:"invokeModel,omitempty"`
		Converse jsontext.Value `json:"converse,omitempty"`
	} `json:"input"`
}

// count serves CountTokens.
func (s *Service) count(c *api.Call, id string) error {
	var r countRequest
	if err := json.Unmarshal(c.Body, &r); err != nil {
		return fault.Wrap(fault.Malformed, err, "")
	}
	in := api.Intent{API: apiName, Operation: c.Operation, Model: id, Action: api.ActionCountTokens, Counting: true}
	res, err := s.Resolve(c, &in)
	if err != nil {
		return err
	}
	switch {
	case r.Input.InvokeModel != nil && len(r.Input.Converse) == 0:
		c.Body, in.Dialect = r.Input.InvokeModel.Body, res.Model.Family
	case r.Input.InvokeModel == nil && len(r.Input.Converse) > 0:
		c.Body, in.Dialect = r.Input.Converse, infer.DialectConverse
	default:
		return fault.New(fault.Invalid, "1 validation error detected: Value at 'input' failed to satisfy constraint: Member must set exactly one of invokeModel, converse")
	}
	req, err := s.PrepareResolved(c, &in, &res)
	if err != nil {
		return nativeError(err)
	}
	n, err := s.Count(c.Context(), req)
	if err != nil {
		return err
	}
	b, err := json.Marshal(map[string]int64{"inputTokens": n})
	if err != nil {
		return fault.Wrap(fault.Internal, err, "")
	}
	return c.W.Body(http.StatusOK, "application/json", b)
}

// Fail implements api.Service.
func (s *Service) Fail(c *api.Call, e *fault.Error) { Fail(c, e) }

// Fail writes a failure as the Bedrock services do; it is also the answer to unknown
// services that sign their calls.
func Fail(c *api.Call, e *fault.Error) {
	row, _ := table.Row(e)
	if e.Kind == fault.Malformed {
		row.Name = "SerializationException"
	}
	h := c.W.Header()
	api.SetErrorHeaders(h, e)
	h.Set(api.HeaderAmznID, c.ID)
	h.Set("X-Amzn-Errortype", row.Name)
	_ = c.W.Body(row.Status, "application/json", errorBody(e))
}

type errorShape struct {
	Type            string `json:"__type"`
	Message         string `json:"message"`
	OriginalStatus  int    `json:"originalStatusCode,omitzero"`
	OriginalMessage string `json:"originalMessage,omitempty"`
	ResourceName    string `json:"resourceName,omitempty"`
}

func errorBody(e *fault.Error) []byte {
	row, msg := table.Row(e)
	if e.Kind == fault.Malformed {
		row.Name = "SerializationException"
	}
	out := errorShape{Type: row.Name, Message: msg}
	if e.Kind == fault.ModelFailed || e.Kind == fault.StreamFailed {
		out.OriginalStatus, out.OriginalMessage = e.OriginalStatus, e.OriginalMessage
		if e.OriginalMessage != "" {
			out.Message = row.Message + " " + e.OriginalMessage
		}
	}
	b, err := json.Marshal(&out, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return []byte(`{"__type":"InternalServerException","message":"internal error"}`)
	}
	return b
}
