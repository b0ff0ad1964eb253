package bedrock

import (
	"forebay/api"
	"forebay/provision"
	shapes "forebay/wire/shapes/bedrock"
)

func (s *Service) updateProvisioned(c *api.Call, in *shapes.UpdateProvisionedModelThroughputRequest) (*shapes.UpdateProvisionedModelThroughputResponse, error) {
	if err := s.mine(c, in.ProvisionedModelId); err != nil {
		return nil, err
	}
	return &shapes.UpdateProvisionedModelThroughputResponse{}, s.control.Provisioned.Update(c.Context(), c.Principal.Account, in.ProvisionedModelId,
		&provision.Change{Name: api.Given(in.DesiredProvisionedModelName), Model: api.Given(in.DesiredModelId), Allow: s.about(c)})
}
