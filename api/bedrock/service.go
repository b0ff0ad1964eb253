// Package bedrock serves a part of Amazon Bedrock's control plane: which models there are, and what callers
// make of them. Its other operations get a clear error of the right shape.
package bedrock

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"forebay/api"
	"forebay/catalog"
	"forebay/custom"
	"forebay/fault"
	"forebay/profile"
	"forebay/resource"
	"forebay/wire/restjson"
	shapes "forebay/wire/shapes/bedrock"
)

// Service is bedrock behind the front door.
type Service struct {
	api.AWS
	gateway *api.Gateway
	control Control
}

// Control is what keeps the things that callers make.
type Control struct {
	Tags        resource.Tagger
	Profiles    *profile.Profiles
	Provisioned Provisioned
	Custom      *custom.Registry
	Logging     Logging
	// Operator is the account that runs the engines, and is told of them.
	Operator string
}

// New returns the service over a gateway's models.
func New(g *api.Gateway, control Control) *Service {
	s := &Service{AWS: api.AWS{Model: shapes.Service, Protocol: restjson.Protocol{}, Errors: &table, Codes: codes}, gateway: g, control: control}
	s.tagging()
	s.inferenceProfiles()
	s.customModels()
	s.modelImports()
	s.customDeployments()
	s.invocationLogging()
	s.provisioning()
	api.Handle(&s.AWS, api.Operation[shapes.ListFoundationModelsRequest, shapes.ListFoundationModelsResponse]{Shape: shapes.ListFoundationModels, Run: s.list})
	api.Handle(&s.AWS, api.Operation[shapes.GetFoundationModelRequest, shapes.GetFoundationModelResponse]{Shape: shapes.GetFoundationModel, Run: s.get})
	return s
}

// Owns reports whether the service has an operation at the path.
func Owns(path string) bool { return restjson.Owns(shapes.Service, path) }

// table holds the errors of bedrock: the common ones.
var table = api.CommonErrors()

// codes are the errors that bedrock has names of its own for.
var codes = map[string]api.ErrorRow{
	resource.CodeTooManyTags: {Status: http.StatusBadRequest, Name: "TooManyTagsException", Message: "The request contains more tags than can be associated with a resource."},
}

// authorized lets an operation be served, for callers whose policy allows the action of that name.
func authorized[In, Out any](s *Service, op api.Operation[In, Out]) {
	api.HandleAllowed(&s.AWS, "bedrock", op)
}

// creation is what all operations that make something have in common.
func creation(c *api.Call, token *string, tags []shapes.Tag) *resource.Creation {
	return &resource.Creation{Account: c.Principal.Account, Operation: c.Operation, Token: api.Given(token), Body: slices.Clone(c.Body), Tags: tagList(tags)}
}

// page is the part of a list that a request asks for; the newest are first unless it says otherwise.
func page(after, before *time.Time, nameContains *string, most *int32, token, order *string) resource.Filter {
	return resource.Filter{
		After: api.Given(after), Before: api.Given(before), NameContains: api.Given(nameContains), Descending: api.Given(order) != "Ascending",
		Max: int(api.Given(most)), Token: api.Given(token),
	}
}

func (s *Service) summary(m *catalog.Model) shapes.FoundationModelSummary {
	status := "ACTIVE"
	if m.Legacy {
		status = "LEGACY"
	}
	return shapes.FoundationModelSummary{
		ModelArn: "arn:aws:bedrock:" + s.gateway.Region + "::foundation-model/" + m.ID, ModelId: m.ID, ModelName: &m.Name, ProviderName: &m.Provider,
		InputModalities: m.Input, OutputModalities: m.Output, ResponseStreamingSupported: &m.Streaming,
		CustomizationsSupported: []string{}, InferenceTypesSupported: inferenceTypes(m),
		ModelLifecycle: &shapes.FoundationModelLifecycle{Status: status},
	}
}

// inferenceTypes are the ways in which a model can be called.
func inferenceTypes(m *catalog.Model) []string {
	if _, sold := m.UnitSize(); sold {
		return []string{"ON_DEMAND", "PROVISIONED"}
	}
	return []string{"ON_DEMAND"}
}

func (s *Service) list(c *api.Call, in *shapes.ListFoundationModelsRequest) (*shapes.ListFoundationModelsResponse, error) {
	if err := s.gateway.Allow(c, api.ActionListModels); err != nil {
		return nil, err
	}
	out := &shapes.ListFoundationModelsResponse{ModelSummaries: []shapes.FoundationModelSummary{}}
	if in.ByCustomizationType != nil {
		return out, nil // nothing here can be customised yet
	}
	for _, m := range s.gateway.Models.List(c.Principal.Account) {
		if m.Base != "" {
			continue // a custom model
		}
		if in.ByProvider != nil && !strings.EqualFold(*in.ByProvider, m.Provider) {
			continue
		}
		if in.ByOutputModality != nil && !slices.Contains(m.Output, *in.ByOutputModality) {
			continue
		}
		if in.ByInferenceType != nil && !slices.Contains(inferenceTypes(m), *in.ByInferenceType) {
			continue
		}
		out.ModelSummaries = append(out.ModelSummaries, s.summary(m))
	}
	return out, nil
}

func (s *Service) get(c *api.Call, in *shapes.GetFoundationModelRequest) (*shapes.GetFoundationModelResponse, error) {
	id := in.ModelIdentifier
	intent := api.Intent{Model: id, Action: api.ActionGetModel}
	res, err := s.gateway.Resolve(c, &intent)
	if err != nil {
		if fault.KindOf(err) == fault.UnknownModel {
			return nil, fault.Newf(fault.NotFound, "Could not find the foundation model %s.", api.HeaderValue(id)).WithReason("%s", fault.From(err).Reason)
		}
		return nil, err
	}
	if m := res.Model; m.Base != "" || strings.HasPrefix(m.ID, "arn:") {
		return nil, fault.Newf(fault.NotFound, "Could not find the foundation model %s.", api.HeaderValue(id)).WithReason("it is a model of yours: GetCustomModel, GetImportedModel")
	}
	details := shapes.FoundationModelDetails(s.summary(res.Model)) // the two have the same members
	return &shapes.GetFoundationModelResponse{ModelDetails: &details}, nil
}
