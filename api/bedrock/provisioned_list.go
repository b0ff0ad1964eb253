package bedrock

import (
	"forebay/api"
	"forebay/provision"
	"forebay/resource"
	shapes "forebay/wire/shapes/bedrock"
)

func (s *Service) listProvisioned(c *api.Call, in *shapes.ListProvisionedModelThroughputsRequest) (*shapes.ListProvisionedModelThroughputsResponse, error) {
	page, next, err := s.control.Provisioned.List(c.Context(), c.Principal.Account, &provision.Filter{
		Filter: resource.Filter{
			After: given(in.CreationTimeAfter), Before: given(in.CreationTimeBefore), NameContains: given(in.NameContains),
			Descending: given(in.SortOrder) != "Ascending", Max: int(given(in.MaxResults)), Token: given(in.NextToken),
		},
		Status: provision.Status(given(in.StatusEquals)), ModelARN: given(in.ModelArnEquals),
	})
	if err != nil {
		return nil, err
	}
	out := &shapes.ListProvisionedModelThroughputsResponse{NextToken: present(next), ProvisionedModelSummaries: []shapes.ProvisionedModelSummary{}}
	for _, t := range page {
		out.ProvisionedModelSummaries = append(out.ProvisionedModelSummaries, s.summarize(t))
	}
	return out, nil
}
