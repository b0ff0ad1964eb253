// Package anthropic serves the Anthropic API: messages, token counting and models. A
// call whose engine speaks Anthropic Messages passes through byte for byte, but for the
// model's name in both directions.
package anthropic

import (
	"net/http"
	"strings"
	"time"

	"forebay/api"
	"forebay/dialect"
	"forebay/fault"
	"forebay/infer"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const apiName = "anthropic"

// Service is the Anthropic API behind the front door.
type Service struct {
	*api.Gateway
}

// Name implements api.Service.
func (s *Service) Name() string { return apiName }

// Owns reports whether a request belongs to the API. /v1/models is OpenAI's too: the
// version header that Anthropic demands tells them apart.
func Owns(r *http.Request, path string) bool {
	return path == "/v1/messages" || strings.HasPrefix(path, "/v1/messages/") ||
		strings.HasPrefix(path, "/v1/models") && r.Header.Get("Anthropic-Version") != ""
}

// Serve implements api.Service.
func (s *Service) Serve(c *api.Call) error {
	c.W.Header().Set("Request-Id", c.ID)
	c.W.Header().Set(api.HeaderRequestID, c.ID)
	switch {
	case strings.HasPrefix(c.Path, "/v1/models"):
		return s.models(c, strings.TrimPrefix(strings.TrimPrefix(c.Path, "/v1/models"), "/"))
	case c.HTTP.Method != http.MethodPost:
		return fault.New(fault.UnknownOperation, "")
	case c.Path == "/v1/messages":
		return s.Witnessed(c, func() error { return s.message(c) })
	case c.Path == "/v1/messages/count_tokens":
		return s.count(c)
	default:
		return fault.New(fault.UnknownOperation, "").
			WithReason("served here: POST /v1/messages, /v1/messages/count_tokens; GET /v1/models")
	}
}

func (s *Service) message(c *api.Call) error {
	c.Operation = "Messages"
	in := api.Intent{API: apiName, Operation: c.Operation, Dialect: infer.DialectAnthropic}
	if err := in.Cloud(c.HTTP.Header, c.Body); err != nil {
		return err
	}
	req, err := s.Prepare(c, &in)
	if err != nil {
		return api.NameModel(err, unknownModel, in.Model)
	}
	if req.Facts.MaxTokens == 0 {
		return fault.New(fault.Invalid, "max_tokens: Field required")
	}
	head := dialect.Head{ID: c.ID, Model: in.Model, Created: c.Started}
	if req.Stream {
		st := api.EventStream{
			Framing: api.FramingSSE, ContentType: "text/event-stream; charset=utf-8", Dialect: infer.DialectAnthropic,
			Head: head, Model: in.Model, KeepAlive: s.KeepAlive,
			Failure: func(w *api.Writer, e *fault.Error) { _ = w.Event("error", errorBody(e, c.ID), true) },
		}
		return st.Serve(c, s.Gateway, req)
	}
	return api.Whole(c, s.Gateway, req, infer.DialectAnthropic, head, nil)
}

// unknownModel is the API's text for an id that names no model.
const unknownModel = "model: %s"

func (s *Service) count(c *api.Call) error {
	c.Operation = "CountTokens"
	in := api.Intent{API: apiName, Operation: c.Operation, Dialect: infer.DialectAnthropic, Action: api.ActionCountTokens, Counting: true}
	req, err := s.Prepare(c, &in)
	if err != nil {
		return api.NameModel(err, unknownModel, in.Model)
	}
	n, err := s.Count(c.Context(), req)
	if err != nil {
		return err
	}
	return reply(c, struct {
		InputTokens int64 `json:"input_tokens"`
	}{n})
}

type model struct {
	Type        string    `json:"type"`
	ID          string    `json:"id"`
	DisplayName string    `json:"display_name"`
	CreatedAt   time.Time `json:"created_at"`
}

func (s *Service) models(c *api.Call, id string) error {
	if c.HTTP.Method != http.MethodGet {
		return fault.New(fault.UnknownOperation, "")
	}
	if id != "" {
		c.Operation = "RetrieveModel"
		in := api.Intent{Model: api.Unescape(id), Action: api.ActionGetModel}
		res, err := s.Resolve(c, &in)
		if err != nil {
			return api.NameModel(err, unknownModel, in.Model)
		}
		return reply(c, model{Type: "model", ID: in.Model, DisplayName: res.Model.Name})
	}
	c.Operation = "ListModels"
	list := struct {
		Data    []model `json:"data"`
		HasMore bool    `json:"has_more"`
		FirstID *string `json:"first_id"`
		LastID  *string `json:"last_id"`
	}{Data: []model{}}
	for _, m := range s.Models.List(c.Principal.Account) {
		list.Data = append(list.Data, model{Type: "model", ID: m.ID, DisplayName: m.Name})
	}
	for _, a := range s.Models.Aliases(c.Principal.Account) {
		list.Data = append(list.Data, model{Type: "model", ID: a.Name, DisplayName: a.Model.Name})
	}
	if n := len(list.Data); n > 0 {
		list.FirstID, list.LastID = &list.Data[0].ID, &list.Data[n-1].ID
	}
	return reply(c, list)
}

func reply(c *api.Call, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "")
	}
	return c.W.Body(http.StatusOK, "application/json", b)
}

// Fail implements api.Service.
func (s *Service) Fail(c *api.Call, e *fault.Error) {
	status := table[e.Kind].Status
	if e.Kind == fault.ModelFailed && e.OriginalStatus >= 400 && e.OriginalStatus < 500 {
		status = e.OriginalStatus
	}
	h := c.W.Header()
	api.SetErrorHeaders(h, e)
	h.Set("Request-Id", c.ID)
	_ = c.W.Body(status, "application/json", errorBody(e, c.ID))
}

type errorDetail struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

func errorBody(e *fault.Error, requestID string) []byte {
	row, msg := table.Row(e)
	d := errorDetail{Type: row.Name, Message: msg}
	if (e.Kind == fault.ModelFailed || e.Kind == fault.StreamFailed) && e.OriginalMessage != "" {
		d.Message = e.OriginalMessage
		if e.OriginalStatus >= 400 && e.OriginalStatus < 500 {
			d.Type = "invalid_request_error"
		}
	}
	b, err := json.Marshal(struct {
		Type      string      `json:"type"`
		Error     errorDetail `json:"error"`
		RequestID string      `json:"request_id"`
	}{"error", d, requestID}, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return []byte(`{"type":"error","error":{"type":"api_error","message":"Internal server error"}}`)
	}
	return b
}
