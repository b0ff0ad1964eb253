package bedrock

import (
	"forebay/api"
	shapes "forebay/wire/shapes/bedrock"
)

func (s *Service) getProvisioned(c *api.Call, in *shapes.GetProvisionedModelThroughputRequest) (*shapes.GetProvisionedModelThroughputResponse, error) {
	t, err := s.throughput(c, in.ProvisionedModelId)
	if err != nil {
		return nil, err
	}
	if c.Principal.Account != s.control.Operator {
		t = new(t.Hidden())
	}
	x := s.summarize(t)
	return &shapes.GetProvisionedModelThroughputResponse{
		ModelUnits: x.ModelUnits, DesiredModelUnits: x.DesiredModelUnits, ProvisionedModelName: x.ProvisionedModelName, ProvisionedModelArn: x.ProvisionedModelArn,
		ModelArn: x.ModelArn, DesiredModelArn: x.DesiredModelArn, FoundationModelArn: x.FoundationModelArn, Status: x.Status, CreationTime: x.CreationTime,
		LastModifiedTime: x.LastModifiedTime, FailureMessage: api.Present(t.Failure), CommitmentDuration: x.CommitmentDuration, CommitmentExpirationTime: x.CommitmentExpirationTime,
	}, nil
}
