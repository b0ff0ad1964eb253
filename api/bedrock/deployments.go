package bedrock

import (
	"forebay/api"
	"forebay/custom"
	shapes "forebay/wire/shapes/bedrock"
)

func (s *Service) customDeployments() {
	authorized(s, api.Operation[shapes.CreateCustomModelDeploymentRequest, shapes.CreateCustomModelDeploymentResponse]{Shape: shapes.CreateCustomModelDeployment, Run: s.createDeployment})
	authorized(s, api.Operation[shapes.GetCustomModelDeploymentRequest, shapes.GetCustomModelDeploymentResponse]{Shape: shapes.GetCustomModelDeployment, Run: s.getDeployment})
	authorized(s, api.Operation[shapes.ListCustomModelDeploymentsRequest, shapes.ListCustomModelDeploymentsResponse]{Shape: shapes.ListCustomModelDeployments, Run: s.listDeployments})
	authorized(s, api.Operation[shapes.UpdateCustomModelDeploymentRequest, shapes.UpdateCustomModelDeploymentResponse]{Shape: shapes.UpdateCustomModelDeployment, Run: s.updateDeployment})
	authorized(s, api.Operation[shapes.DeleteCustomModelDeploymentRequest, shapes.DeleteCustomModelDeploymentResponse]{Shape: shapes.DeleteCustomModelDeployment, Run: s.deleteDeployment})
}

func (s *Service) createDeployment(c *api.Call, in *shapes.CreateCustomModelDeploymentRequest) (*shapes.CreateCustomModelDeploymentResponse, error) {
	arn, err := s.control.Custom.Deploy(c.Context(), creation(c, in.ClientRequestToken, in.Tags),
		&custom.Deployment{Name: in.ModelDeploymentName, Model: in.ModelArn, Description: api.Given(in.Description)})
	if err != nil {
		return nil, err
	}
	return &shapes.CreateCustomModelDeploymentResponse{CustomModelDeploymentArn: arn}, nil
}

func (s *Service) getDeployment(c *api.Call, in *shapes.GetCustomModelDeploymentRequest) (*shapes.GetCustomModelDeploymentResponse, error) {
	d, err := s.control.Custom.Deployment(c.Context(), c.Principal.Account, in.CustomModelDeploymentIdentifier)
	if err != nil {
		return nil, err
	}
	out := &shapes.GetCustomModelDeploymentResponse{
		CustomModelDeploymentArn: d.ARN, ModelDeploymentName: d.Name, ModelArn: d.Model, CreatedAt: d.Created, Status: string(d.Status),
		Description: api.Present(d.Description), FailureMessage: api.Present(d.Failure), LastUpdatedAt: &d.Updated,
	}
	if d.Update != nil {
		out.UpdateDetails = &shapes.CustomModelDeploymentUpdateDetails{ModelArn: d.Update.Model, UpdateStatus: string(d.Update.Status)}
	}
	return out, nil
}

func (s *Service) listDeployments(c *api.Call, in *shapes.ListCustomModelDeploymentsRequest) (*shapes.ListCustomModelDeploymentsResponse, error) {
	f := custom.DeploymentFilter{
		Filter: page(in.CreatedAfter, in.CreatedBefore, in.NameContains, in.MaxResults, in.NextToken, in.SortOrder),
		Status: custom.Status(api.Given(in.StatusEquals)), Model: api.Given(in.ModelArnEquals),
	}
	list, next, err := s.control.Custom.DeploymentList(c.Context(), c.Principal.Account, &f)
	if err != nil {
		return nil, err
	}
	out := &shapes.ListCustomModelDeploymentsResponse{ModelDeploymentSummaries: []shapes.CustomModelDeploymentSummary{}, NextToken: api.Present(next)}
	for _, d := range list {
		out.ModelDeploymentSummaries = append(out.ModelDeploymentSummaries, shapes.CustomModelDeploymentSummary{
			CustomModelDeploymentArn: d.ARN, CustomModelDeploymentName: d.Name, ModelArn: d.Model, CreatedAt: d.Created, Status: string(d.Status),
			LastUpdatedAt: &d.Updated, FailureMessage: api.Present(d.Failure),
		})
	}
	return out, nil
}

func (s *Service) updateDeployment(c *api.Call, in *shapes.UpdateCustomModelDeploymentRequest) (*shapes.UpdateCustomModelDeploymentResponse, error) {
	arn, err := s.control.Custom.UpdateDeployment(c.Context(), c.Principal.Account, in.CustomModelDeploymentIdentifier, in.ModelArn)
	if err != nil {
		return nil, err
	}
	return &shapes.UpdateCustomModelDeploymentResponse{CustomModelDeploymentArn: arn}, nil
}

func (s *Service) deleteDeployment(c *api.Call, in *shapes.DeleteCustomModelDeploymentRequest) (*shapes.DeleteCustomModelDeploymentResponse, error) {
	return &shapes.DeleteCustomModelDeploymentResponse{}, s.control.Custom.DeleteDeployment(c.Context(), c.Principal.Account, in.CustomModelDeploymentIdentifier)
}
