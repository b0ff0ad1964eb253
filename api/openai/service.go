package openai

import (
	"net/http"
	"strings"

	"forebay/api"
	"forebay/dialect"
	"forebay/fault"
	"forebay/infer"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const apiName = "openai"

// Service is the OpenAI API behind the front door.
type Service struct {
	*api.Gateway
}

// Name implements api.Service.
func (s *Service) Name() string { return apiName }

// Owns reports whether a path belongs to the API.
func Owns(path string) bool {
	return strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/openai/v1/") || path == "/v1" || path == "/openai/v1"
}

// Serve implements api.Service.
func (s *Service) Serve(c *api.Call) error {
	path := strings.TrimPrefix(strings.TrimPrefix(c.Path, "/openai"), "/v1")
	c.W.Header().Set(api.HeaderRequestID, c.ID)
	switch {
	case path == "/models" || strings.HasPrefix(path, "/models/"):
		return s.models(c, strings.TrimPrefix(strings.TrimPrefix(path, "/models"), "/"))
	case c.HTTP.Method != http.MethodPost:
		return unknown(c)
	case path == "/chat/completions":
		return s.Witnessed(c, func() error { return s.generate(c, "ChatCompletions", infer.DialectOpenAI) })
	case path == "/completions":
		return s.Witnessed(c, func() error { return s.generate(c, "Completions", infer.DialectOpenAICompletions) })
	case path == "/embeddings":
		return s.Witnessed(c, func() error { return s.embed(c) })
	default:
		return unknown(c)
	}
}

func unknown(c *api.Call) error {
	return fault.Newf(fault.UnknownOperation,
		"Unknown request URL: %s %s. Please check the URL for typos.", c.HTTP.Method, api.HeaderValue(c.Path)).
		WithReason("served here: POST /v1/chat/completions, /v1/completions, /v1/embeddings; GET /v1/models, /v1/models/{model}")
}

func (s *Service) generate(c *api.Call, operation string, d infer.Dialect) error {
	c.Operation = operation
	in := api.Intent{API: apiName, Operation: operation, Dialect: d, Tags: tags(c.Body)}
	if err := in.Cloud(c.HTTP.Header, c.Body); err != nil {
		return err
	}
	req, err := s.Prepare(c, &in)
	if err != nil {
		return api.NameModel(lacking(err, c.Body), unknownModel, in.Model)
	}
	if req.Stream {
		return s.stream(c, req, d)
	}
	return s.whole(c, req, d)
}

// head is what the answer says of itself.
func head(c *api.Call, req *infer.Request) dialect.Head {
	return dialect.Head{ID: c.ID, Model: req.ModelAsked, Created: c.Started, IncludeUsage: req.Facts.WantUsage, Embed: req.Embed}
}

// unknownModel is the API's text for an id that names no model.
const unknownModel = "The model `%s` does not exist or you do not have access to it."

func (s *Service) embed(c *api.Call) error {
	c.Operation = "Embeddings"
	in := api.Intent{API: apiName, Operation: c.Operation, Dialect: infer.DialectOpenAIEmbeddings, Task: infer.TaskEmbed}
	if err := in.Cloud(c.HTTP.Header, c.Body); err != nil {
		return err
	}
	req, err := s.Prepare(c, &in)
	if err != nil {
		return api.NameModel(err, unknownModel, in.Model)
	}
	return s.whole(c, req, infer.DialectOpenAIEmbeddings)
}

func (s *Service) whole(c *api.Call, req *infer.Request, d infer.Dialect) error {
	return api.Whole(c, s.Gateway, req, d, head(c, req), nil)
}

func (s *Service) stream(c *api.Call, req *infer.Request, d infer.Dialect) error {
	st := &api.EventStream{ // not on the stack, which is kept for as long as the stream
		Framing: api.FramingSSE, ContentType: "text/event-stream; charset=utf-8", Dialect: d, Head: head(c, req),
		Model: req.ModelAsked, Done: []byte("data: [DONE]\n\n"), KeepAlive: s.KeepAlive,
		Failure: func(w *api.Writer, e *fault.Error) { _ = w.Event("", errorBody(e), true) },
	}
	return st.Serve(c, s.Gateway, req)
}

// Fail implements api.Service.
func (s *Service) Fail(c *api.Call, e *fault.Error) {
	row := table[e.Kind]
	status := row.Status
	if e.Kind == fault.ModelFailed && e.OriginalStatus >= 400 && e.OriginalStatus < 500 {
		status = e.OriginalStatus
	}
	api.SetErrorHeaders(c.W.Header(), e)
	_ = c.W.Body(status, "application/json", errorBody(e))
}

type errorDetail struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

func errorBody(e *fault.Error) []byte {
	row, msg := table.Row(e)
	d := errorDetail{Message: msg, Type: row.Name}
	switch e.Kind {
	case fault.ModelFailed, fault.StreamFailed:
		if e.OriginalMessage != "" {
			d.Message = e.OriginalMessage
		}
		if e.OriginalStatus >= 400 && e.OriginalStatus < 500 {
			d.Type = "invalid_request_error"
		}
	case fault.Invalid, fault.Malformed:
		if e.Param != "" {
			d.Param = &e.Param
		}
		if e.Code != "" {
			d.Code = &e.Code
		}
		if e.Code == dialect.CodeUnsupportedParameter {
			d.Message = "Unsupported parameter: '" + e.Param + "' is not supported with this model."
		}
	case fault.Throttled:
		if e.Code != "" {
			d.Type = e.Code // OpenAI's type of a 429 says which limit it was: requests or tokens
		}
	}
	if code, ok := codes[e.Kind]; ok {
		d.Code = &code
	}
	b, err := json.Marshal(map[string]errorDetail{"error": d}, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return []byte(`{"error":{"message":"internal error","type":"server_error","param":null,"code":null}}`)
	}
	return b
}
