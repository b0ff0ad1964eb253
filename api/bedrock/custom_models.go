package bedrock

import (
	"forebay/api"
	"forebay/custom"
	"forebay/fault"
	"forebay/resource"
	shapes "forebay/wire/shapes/bedrock"
)

func (s *Service) customModels() {
	authorized(s, api.Operation[shapes.CreateCustomModelRequest, shapes.CreateCustomModelResponse]{Shape: shapes.CreateCustomModel, Run: s.createCustomModel})
	authorized(s, api.Operation[shapes.GetCustomModelRequest, shapes.GetCustomModelResponse]{Shape: shapes.GetCustomModel, Run: s.getCustomModel})
	authorized(s, api.Operation[shapes.ListCustomModelsRequest, shapes.ListCustomModelsResponse]{Shape: shapes.ListCustomModels, Run: s.listCustomModels})
	authorized(s, api.Operation[shapes.DeleteCustomModelRequest, shapes.DeleteCustomModelResponse]{Shape: shapes.DeleteCustomModel, Run: s.deleteCustomModel})
}

// customization is how all custom models came about: they are fine-tuned before they come here.
const customization = "FINE_TUNING"

// source is where an artifact lies.
func source(d *shapes.ModelDataSource) (string, error) {
	if d.S3DataSource == nil {
		return "", fault.New(fault.Invalid, "The model source must have an s3DataSource.")
	}
	return d.S3DataSource.S3Uri, nil
}

func (s *Service) createCustomModel(c *api.Call, in *shapes.CreateCustomModelRequest) (*shapes.CreateCustomModelResponse, error) {
	at, err := source(in.ModelSourceConfig)
	if err != nil {
		return nil, err
	}
	arn, err := s.control.Custom.CreateModel(c.Context(), creation(c, in.ClientRequestToken, in.ModelTags), in.ModelName, at)
	if err != nil {
		return nil, err
	}
	if in.ModelKmsKeyArn != nil {
		api.AddDropped(c.W.Header(), "modelKmsKeyArn")
	}
	return &shapes.CreateCustomModelResponse{ModelArn: arn}, nil
}

// foundationARN names a model of the catalogue.
func (s *Service) foundationARN(id string) string {
	return resource.ARN{Region: s.gateway.Region, Kind: resource.FoundationModel, ID: id}.String()
}

func (s *Service) getCustomModel(c *api.Call, in *shapes.GetCustomModelRequest) (*shapes.GetCustomModelResponse, error) {
	m, err := s.control.Custom.Model(c.Context(), c.Principal.Account, in.ModelIdentifier)
	if err != nil {
		return nil, err
	}
	return &shapes.GetCustomModelResponse{
		ModelArn: m.ARN, ModelName: m.Name, BaseModelArn: new(s.foundationARN(m.Base)), CustomizationType: new(customization), CreationTime: m.Created,
		ModelStatus: new(string(m.Status)), FailureMessage: api.Present(m.Failure),
	}, nil
}

func (s *Service) listCustomModels(c *api.Call, in *shapes.ListCustomModelsRequest) (*shapes.ListCustomModelsResponse, error) {
	out := &shapes.ListCustomModelsResponse{ModelSummaries: []shapes.CustomModelSummary{}}
	f := custom.ModelFilter{
		Filter: page(in.CreationTimeAfter, in.CreationTimeBefore, in.NameContains, in.MaxResults, in.NextToken, in.SortOrder),
		Status: custom.Status(api.Given(in.ModelStatus)),
	}
	for _, base := range []*string{in.BaseModelArnEquals, in.FoundationModelArnEquals} {
		if base == nil {
			continue
		}
		arn, ok := resource.Parse(*base)
		if !ok {
			return nil, fault.New(fault.Invalid, "The provided ARN of a base model is invalid.")
		}
		if arn.Kind != resource.FoundationModel || f.Base != "" && f.Base != arn.ID {
			return out, nil
		}
		f.Base = arn.ID
	}
	if in.IsOwned != nil && !*in.IsOwned {
		return out, nil // nobody shares models
	}
	list, next, err := s.control.Custom.ModelList(c.Context(), c.Principal.Account, &f)
	if err != nil {
		return nil, err
	}
	out.NextToken = api.Present(next)
	for _, m := range list {
		out.ModelSummaries = append(out.ModelSummaries, shapes.CustomModelSummary{
			ModelArn: m.ARN, ModelName: m.Name, CreationTime: m.Created, BaseModelArn: s.foundationARN(m.Base), BaseModelName: m.Base,
			CustomizationType: new(customization), OwnerAccountId: &m.Account, ModelStatus: new(string(m.Status)),
		})
	}
	return out, nil
}

func (s *Service) deleteCustomModel(c *api.Call, in *shapes.DeleteCustomModelRequest) (*shapes.DeleteCustomModelResponse, error) {
	return &shapes.DeleteCustomModelResponse{}, s.control.Custom.DeleteModel(c.Context(), c.Principal.Account, in.ModelIdentifier)
}
