package bedrock

import (
	"forebay/api"
	"forebay/provision"
	shapes "forebay/wire/shapes/bedrock"
)

func (s *Service) updateProvisioned(c *api.Call, in *shapes.UpdateProvisionedModelThroughputRequest) (*shapes.UpdateProvisionedModelThroughputResponse, error) {
	return &shapes.UpdateProvisionedModelThroughputResponse{}, s.control.Provisioned.Update(c.Context(), c.Principal.Account, in.ProvisionedModelId,
		&provision.Change{Name: given(in.DesiredProvisionedModelName), Model: given(in.DesiredModelId), Allow: s.about(c)})
}
