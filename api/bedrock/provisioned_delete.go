package bedrock

import (
	"forebay/api"
	shapes "forebay/wire/shapes/bedrock"
)

func (s *Service) deleteProvisioned(c *api.Call, in *shapes.DeleteProvisionedModelThroughputRequest) (*shapes.DeleteProvisionedModelThroughputResponse, error) {
	if err := s.mine(c, in.ProvisionedModelId); err != nil {
		return nil, err
	}
	return &shapes.DeleteProvisionedModelThroughputResponse{}, s.control.Provisioned.Delete(c.Context(), c.Principal.Account, in.ProvisionedModelId)
}
