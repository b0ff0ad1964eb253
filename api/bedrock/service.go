// Package bedrock serves the part of Amazon Bedrock's control plane that tells which
// models there are. Its other operations get a clear error of the right shape.
package bedrock

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"forebay/api"
	"forebay/catalog"
	"forebay/fault"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const apiName = "bedrock"

// Service is bedrock behind the front door.
type Service struct {
	*api.Gateway
}

// Name implements api.Service.
func (s *Service) Name() string { return apiName }

// Serve implements api.Service.
func (s *Service) Serve(c *api.Call) error {
	c.W.Header().Set(api.HeaderAmznID, c.ID)
	if c.HTTP.Method == http.MethodGet {
		if c.Path == "/foundation-models" {
			return s.list(c)
		}
		if id, ok := strings.CutPrefix(c.Path, "/foundation-models/"); ok && id != "" {
			return s.get(c, api.Unescape(id))
		}
	}
	for _, p := range known {
		if c.Path == p || strings.HasPrefix(c.Path, p+"/") {
			return fault.Newf(fault.Unsupported, "The operation %s %s is not supported by this server.", c.HTTP.Method, p)
		}
	}
	return fault.New(fault.UnknownOperation, "")
}

// known are the first segments of the service's other operations (its service model).
var known = []string{
	"/provisioned-model-throughput", "/provisioned-model-throughputs", "/model-import-jobs", "/imported-models", "/custom-models",
	"/model-customization", "/model-customization-jobs", "/inference-profiles", "/model-invocation-job", "/model-invocation-jobs", "/guardrails",
	"/logging", "/tagResource", "/untagResource", "/listTagsForResource", "/evaluation-jobs", "/model-copy-jobs", "/prompt-routers",
	"/marketplace-model", "/foundation-model-availability", "/use-case-for-model-access", "/automated-reasoning-policies",
}

type lifecycle struct {
	Status string `json:"status"`
}

// summary is FoundationModelSummary and FoundationModelDetails, which have the same members.
type summary struct {
	ARN            string    `json:"modelArn"`
	ID             string    `json:"modelId"`
	Name           string    `json:"modelName"`
	Provider       string    `json:"providerName"`
	Input          []string  `json:"inputModalities"`
	Output         []string  `json:"outputModalities"`
	Streaming      bool      `json:"responseStreamingSupported"`
	Customizations []string  `json:"customizationsSupported"`
	Inference      []string  `json:"inferenceTypesSupported"`
	Lifecycle      lifecycle `json:"modelLifecycle"`
}

func (s *Service) summary(m *catalog.Model) summary {
	out := summary{
		ARN: "arn:aws:bedrock:" + s.Region + "::foundation-model/" + m.ID, ID: m.ID, Name: m.Name, Provider: m.Provider,
		Input: m.Input, Output: m.Output, Streaming: m.Streaming, Customizations: []string{}, Inference: []string{"ON_DEMAND"},
		Lifecycle: lifecycle{"ACTIVE"},
	}
	if m.Legacy {
		out.Lifecycle.Status = "LEGACY"
	}
	return out
}

// enums are the values that the filters of ListFoundationModels take.
var enums = map[string][]string{
	"byCustomizationType": {"FINE_TUNING", "CONTINUED_PRE_TRAINING", "DISTILLATION"},
	"byOutputModality":    {"TEXT", "IMAGE", "EMBEDDING"},
	"byInferenceType":     {"ON_DEMAND", "PROVISIONED"},
}

func (s *Service) list(c *api.Call) error {
	c.Operation = "ListFoundationModels"
	if err := s.Allow(c, api.ActionListModels); err != nil {
		return err
	}
	q, err := url.ParseQuery(c.Query)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The query string is malformed.")
	}
	for name, allowed := range enums {
		if v := q.Get(name); v != "" && !slices.Contains(allowed, v) {
			return fault.Newf(fault.Invalid, "1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy enum value set: [%s]",
				api.HeaderValue(v), name, strings.Join(allowed, ", "))
		}
	}
	out := struct {
		Summaries []summary `json:"modelSummaries"`
	}{[]summary{}}
	for _, m := range s.Models.List(c.Principal.Account) {
		if v := q.Get("byProvider"); v != "" && !strings.EqualFold(v, m.Provider) {
			continue
		}
		if v := q.Get("byOutputModality"); v != "" && !slices.Contains(m.Output, v) {
			continue
		}
		if q.Get("byCustomizationType") != "" || q.Get("byInferenceType") == "PROVISIONED" {
			continue // nothing here can be customised or bought by the unit yet
		}
		out.Summaries = append(out.Summaries, s.summary(m))
	}
	return reply(c, &out)
}

func (s *Service) get(c *api.Call, id string) error {
	c.Operation = "GetFoundationModel"
	in := api.Intent{Model: id, Action: api.ActionGetModel}
	res, err := s.Resolve(c, &in)
	if err != nil {
		if fault.KindOf(err) == fault.UnknownModel {
			return fault.Newf(fault.NotFound, "Could not find the foundation model %s.", api.HeaderValue(id)).WithReason("%s", fault.From(err).Reason)
		}
		return err
	}
	return reply(c, struct {
		Details summary `json:"modelDetails"`
	}{s.summary(res.Model)})
}

func reply(c *api.Call, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "")
	}
	return c.W.Body(http.StatusOK, "application/json", b)
}

// table holds the errors of bedrock where its names differ from those of the runtime: it
// has no errors of models.
var table = func() api.ErrorTable {
	var t api.ErrorTable
	row := func(k fault.Kind, status int, name, msg string) {
		t[k] = api.ErrorRow{Status: status, Name: name, Message: msg}
	}
	for k := range fault.NumKinds {
		row(k, http.StatusInternalServerError, "InternalServerException", "An internal server error occurred. Retry your request.")
	}
	row(fault.Malformed, http.StatusBadRequest, "SerializationException", "The request body is not valid JSON.")
	row(fault.Invalid, http.StatusBadRequest, "ValidationException", "The input fails to satisfy the constraints specified by the service.")
	row(fault.UnknownModel, http.StatusBadRequest, "ValidationException", "The provided model identifier is invalid.")
	row(fault.NotFound, http.StatusNotFound, "ResourceNotFoundException", "The specified resource was not found.")
	row(fault.UnknownOperation, http.StatusNotFound, "UnknownOperationException", "The requested operation is not recognized by the service.")
	row(fault.Unsupported, http.StatusBadRequest, "ValidationException", "This operation is not supported.")
	row(fault.TooLarge, http.StatusBadRequest, "ValidationException", "The request body is too large.")
	row(fault.MissingAuth, http.StatusForbidden, "MissingAuthenticationTokenException", "Missing Authentication Token")
	row(fault.IncompleteAuth, http.StatusBadRequest, "IncompleteSignatureException", "Authorization header is malformed.")
	row(fault.UnknownKey, http.StatusForbidden, "UnrecognizedClientException", "The security token included in the request is invalid.")
	row(fault.BadSignature, http.StatusForbidden, "InvalidSignatureException", "The request signature we calculated does not match the signature you provided.")
	row(fault.Expired, http.StatusForbidden, "InvalidSignatureException", "Signature expired.")
	row(fault.Denied, http.StatusForbidden, "AccessDeniedException", "You are not authorized to perform this operation.")
	row(fault.Conflict, http.StatusBadRequest, "ConflictException", "The request conflicts with the current state of the resource.")
	row(fault.QuotaExceeded, http.StatusBadRequest, "ServiceQuotaExceededException", "The request exceeds a service quota.")
	row(fault.Throttled, http.StatusTooManyRequests, "ThrottlingException", "Too many requests, please wait before trying again.")
	row(fault.Overloaded, http.StatusServiceUnavailable, "ServiceUnavailableException", "The service is temporarily overloaded.")
	row(fault.Unavailable, http.StatusServiceUnavailable, "ServiceUnavailableException", "The service is temporarily unavailable.")
	return t
}()

type errorShape struct {
	Type    string `json:"__type"`
	Message string `json:"message"`
}

// Fail implements api.Service.
func (s *Service) Fail(c *api.Call, e *fault.Error) {
	row, msg := table.Row(e)
	h := c.W.Header()
	api.SetErrorHeaders(h, e)
	h.Set(api.HeaderAmznID, c.ID)
	h.Set("X-Amzn-Errortype", row.Name)
	b, err := json.Marshal(errorShape{row.Name, msg}, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		b = []byte(`{"__type":"InternalServerException"}`)
	}
	_ = c.W.Body(row.Status, "application/json", b)
}
