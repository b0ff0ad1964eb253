package bedrock

import (
	"forebay/api"
	"forebay/provision"
	shapes "forebay/wire/shapes/bedrock"
)

func (s *Service) listProvisioned(c *api.Call, in *shapes.ListProvisionedModelThroughputsRequest) (*shapes.ListProvisionedModelThroughputsResponse, error) {
	found, next, err := s.control.Provisioned.List(c.Context(), c.Principal.Account, &provision.Filter{
		Filter: page(in.CreationTimeAfter, in.CreationTimeBefore, in.NameContains, in.MaxResults, in.NextToken, in.SortOrder),
		Status: provision.Status(api.Given(in.StatusEquals)), ModelARN: api.Given(in.ModelArnEquals),
	})
	if err != nil {
		return nil, err
	}
	out := &shapes.ListProvisionedModelThroughputsResponse{NextToken: api.Present(next), ProvisionedModelSummaries: []shapes.ProvisionedModelSummary{}}
	for _, t := range found {
		out.ProvisionedModelSummaries = append(out.ProvisionedModelSummaries, s.summarize(t))
	}
	return out, nil
}
