package bedrock

import (
	"forebay/api"
	"forebay/provision"
	shapes "forebay/wire/shapes/bedrock"
)

func (s *Service) createProvisioned(c *api.Call, in *shapes.CreateProvisionedModelThroughputRequest) (*shapes.CreateProvisionedModelThroughputResponse, error) {
	arn, err := s.control.Provisioned.Create(c.Context(), &provision.Order{
		Account: c.Principal.Account, Name: in.ProvisionedModelName, Model: in.ModelId, Units: int64(in.ModelUnits),
		Term: provision.Term(api.Given(in.CommitmentDuration)), Tags: tagList(in.Tags), Token: api.Given(in.ClientRequestToken),
		Allow: s.about(c),
	})
	if err != nil {
		return nil, err
	}
	return &shapes.CreateProvisionedModelThroughputResponse{ProvisionedModelArn: arn}, nil
}

// about checks that the policy of a caller, which allows an operation, allows it for a model.
func (s *Service) about(c *api.Call) func(model string) error {
	return func(model string) error { return s.gateway.AllowOf(c, "bedrock:"+c.Operation, model) }
}
