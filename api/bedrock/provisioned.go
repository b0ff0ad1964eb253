package bedrock

import (
	"context"
	"time"

	"forebay/api"
	"forebay/fault"
	"forebay/provision"
	"forebay/resource"
	shapes "forebay/wire/shapes/bedrock"
)

// Provisioned keeps provisioned throughput: a provision.Book.
type Provisioned interface {
	Create(ctx context.Context, o *provision.Order) (arn string, err error)
	Get(ctx context.Context, account, id string) (*provision.Throughput, error)
	List(ctx context.Context, account string, f *provision.Filter) (page []*provision.Throughput, next string, err error)
	Update(ctx context.Context, account, id string, c *provision.Change) error
	Delete(ctx context.Context, account, id string) error
}

func (s *Service) provisioning() {
	authorized(s, api.Operation[shapes.CreateProvisionedModelThroughputRequest, shapes.CreateProvisionedModelThroughputResponse]{Shape: shapes.CreateProvisionedModelThroughput, Run: s.createProvisioned})
	authorized(s, api.Operation[shapes.GetProvisionedModelThroughputRequest, shapes.GetProvisionedModelThroughputResponse]{Shape: shapes.GetProvisionedModelThroughput, Run: s.getProvisioned})
	authorized(s, api.Operation[shapes.ListProvisionedModelThroughputsRequest, shapes.ListProvisionedModelThroughputsResponse]{Shape: shapes.ListProvisionedModelThroughputs, Run: s.listProvisioned})
	authorized(s, api.Operation[shapes.UpdateProvisionedModelThroughputRequest, shapes.UpdateProvisionedModelThroughputResponse]{Shape: shapes.UpdateProvisionedModelThroughput, Run: s.updateProvisioned})
	authorized(s, api.Operation[shapes.DeleteProvisionedModelThroughputRequest, shapes.DeleteProvisionedModelThroughputResponse]{Shape: shapes.DeleteProvisionedModelThroughput, Run: s.deleteProvisioned})
}

// mine checks that the policy of a caller, which allows an operation, allows it for a throughput.
func (s *Service) mine(c *api.Call, id string) error {
	t, err := s.throughput(c, id)
	if err != nil {
		return err
	}
	return api.AllowBought(c, "bedrock:"+c.Operation, t.ARN, t.Model.ID)
}

// throughput finds one of the caller's. The service has no operations on the reserved tier, so that its purchases are none here.
func (s *Service) throughput(c *api.Call, id string) (*provision.Throughput, error) {
	t, err := s.control.Provisioned.Get(c.Context(), c.Principal.Account, id)
	if err == nil && t.Tier {
		return nil, fault.Newf(fault.NotFound, "Could not find the provisioned model throughput %.256s.", id).
			WithReason("%s is of the reserved tier; see `forebay provision show %s`", t.Name, t.Name)
	}
	return t, err
}

// summarize tells of a throughput. Units never change, so that what is desired is what there is.
func (s *Service) summarize(t *provision.Throughput) shapes.ProvisionedModelSummary {
	units := int32(t.Units)
	base := resource.ARN{Region: s.gateway.Region, Kind: resource.FoundationModel, ID: t.Model.Base}
	return shapes.ProvisionedModelSummary{
		ProvisionedModelName: t.Name, ProvisionedModelArn: t.ARN, ModelArn: t.Model.ARN, DesiredModelArn: t.Desired.ARN, FoundationModelArn: base.String(),
		ModelUnits: units, DesiredModelUnits: units, Status: string(t.Status), CommitmentDuration: api.Present(string(t.Term)),
		CommitmentExpirationTime: moment(t.Expires), CreationTime: t.Created, LastModifiedTime: t.Changed,
	}
}

// moment is a time that is left out when there is none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
