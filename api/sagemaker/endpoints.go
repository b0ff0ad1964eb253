package sagemaker

import (
	"cmp"
	"strings"

	"forebay/api"
	"forebay/endpoint"
	"forebay/fault"
	shapes "forebay/wire/shapes/sagemaker"
)

func (s *Service) endpoints() {
	authorized(s, api.Operation[shapes.CreateEndpointInput, shapes.CreateEndpointOutput]{Shape: shapes.CreateEndpoint, Run: s.createEndpoint})
	authorized(s, api.Operation[shapes.DescribeEndpointInput, shapes.DescribeEndpointOutput]{Shape: shapes.DescribeEndpoint, Run: s.describeEndpoint})
	authorized(s, api.Operation[shapes.ListEndpointsInput, shapes.ListEndpointsOutput]{Shape: shapes.ListEndpoints, Run: s.listEndpoints})
	authorized(s, api.Operation[shapes.UpdateEndpointInput, shapes.UpdateEndpointOutput]{Shape: shapes.UpdateEndpoint, Run: s.updateEndpoint})
	authorized(s, api.Operation[shapes.UpdateEndpointWeightsAndCapacitiesInput, shapes.UpdateEndpointWeightsAndCapacitiesOutput]{
		Shape: shapes.UpdateEndpointWeightsAndCapacities, Run: s.resizeEndpoint,
	})
	authorized(s, api.Operation[shapes.DeleteEndpointInput, struct{}]{Shape: shapes.DeleteEndpoint, Run: s.deleteEndpoint})
}

func (s *Service) createEndpoint(c *api.Call, in *shapes.CreateEndpointInput) (*shapes.CreateEndpointOutput, error) {
	p, err := policyOf(in.DeploymentConfig)
	if err != nil {
		return nil, err
	}
	arn, err := s.book.Create(c.Context(), creation(c, in.Tags), in.EndpointName, in.EndpointConfigName, p)
	if err != nil {
		return nil, err
	}
	return &shapes.CreateEndpointOutput{EndpointArn: arn}, nil
}

func (s *Service) deleteEndpoint(c *api.Call, in *shapes.DeleteEndpointInput) (*struct{}, error) {
	return &struct{}{}, s.book.Delete(c.Context(), c.Principal.Account, in.EndpointName)
}

func (s *Service) updateEndpoint(c *api.Call, in *shapes.UpdateEndpointInput) (*shapes.UpdateEndpointOutput, error) {
	p, err := policyOf(in.DeploymentConfig)
	if err != nil {
		return nil, err
	}
	keep := endpoint.Retain{Policy: api.Given(in.RetainDeploymentConfig)}
	keep.Weights, keep.Counts = api.Given(in.RetainAllVariantProperties), api.Given(in.RetainAllVariantProperties)
	for _, x := range in.ExcludeRetainedVariantProperties {
		switch x.VariantPropertyType {
		case "DesiredWeight":
			keep.Weights = false
		case "DesiredInstanceCount":
			keep.Counts = false
		}
	}
	arn, err := s.book.UpdateConfig(c.Context(), c.Principal.Account, in.EndpointName, in.EndpointConfigName, p, keep)
	if err != nil {
		return nil, err
	}
	return &shapes.UpdateEndpointOutput{EndpointArn: arn}, nil
}

func (s *Service) resizeEndpoint(c *api.Call, in *shapes.UpdateEndpointWeightsAndCapacitiesInput) (*shapes.UpdateEndpointWeightsAndCapacitiesOutput, error) {
	to := make([]endpoint.Resize, len(in.DesiredWeightsAndCapacities))
	for i := range to {
		x := &in.DesiredWeightsAndCapacities[i]
		to[i] = endpoint.Resize{Variant: x.VariantName, Weight: x.DesiredWeight, Count: x.DesiredInstanceCount}
		if u := x.ServerlessUpdateConfig; u != nil {
			to[i].Concurrency, to[i].Provisioned = u.MaxConcurrency, u.ProvisionedConcurrency
		}
	}
	arn, err := s.book.Resize(c.Context(), c.Principal.Account, in.EndpointName, to)
	if err != nil {
		return nil, err
	}
	return &shapes.UpdateEndpointWeightsAndCapacitiesOutput{EndpointArn: arn}, nil
}

// policyOf reads how an update goes, nil for nothing that was said.
func policyOf(in *shapes.DeploymentConfig) (*endpoint.Policy, error) {
	if in == nil {
		return nil, nil //nolint:nilnil // nothing was said
	}
	out := &endpoint.Policy{}
	blue, rolling := in.BlueGreenUpdatePolicy, in.RollingUpdatePolicy
	switch {
	case blue != nil && rolling != nil:
		return nil, fault.New(fault.Invalid, "BlueGreenUpdatePolicy and RollingUpdatePolicy cannot both be specified.")
	case blue != nil:
		out.TerminationSeconds, out.LimitSeconds = api.Given(blue.TerminationWaitInSeconds), api.Given(blue.MaximumExecutionTimeoutInSeconds)
		if t := blue.TrafficRoutingConfiguration; t != nil {
			out.Routing, out.WaitSeconds = endpoint.Routing(t.Type), t.WaitIntervalInSeconds
			switch out.Routing {
			case endpoint.Canary:
				out.Size = sizeOf(t.CanarySize)
			case endpoint.Linear:
				out.Size = sizeOf(t.LinearStepSize)
			}
		}
	case rolling != nil:
		out.Routing, out.WaitSeconds, out.LimitSeconds = endpoint.Rolling, rolling.WaitIntervalInSeconds, api.Given(rolling.MaximumExecutionTimeoutInSeconds)
		out.Size, out.BackSize = sizeOf(rolling.MaximumBatchSize), sizeOf(rolling.RollbackMaximumBatchSize)
	}
	if in.AutoRollbackConfiguration != nil {
		for _, a := range in.AutoRollbackConfiguration.Alarms {
			out.Alarms = append(out.Alarms, api.Given(a.AlarmName))
		}
	}
	return out, nil
}

// sizeOf reads a number of instances or a share of them.
func sizeOf(in *shapes.CapacitySize) endpoint.Size {
	if in == nil {
		return endpoint.Size{}
	}
	return endpoint.Size{Percent: in.Type == "CAPACITY_PERCENT", Value: in.Value}
}

func shownSize(s endpoint.Size) *shapes.CapacitySize {
	if s == (endpoint.Size{}) {
		return nil
	}
	kind := "INSTANCE_COUNT"
	if s.Percent {
		kind = "CAPACITY_PERCENT"
	}
	return &shapes.CapacitySize{Type: kind, Value: s.Value}
}

// shownPolicy is the last update's policy as it was given.
func shownPolicy(p *endpoint.Policy) *shapes.DeploymentConfig {
	if p == nil {
		return nil
	}
	out := &shapes.DeploymentConfig{}
	if p.Routing == endpoint.Rolling {
		out.RollingUpdatePolicy = &shapes.RollingUpdatePolicy{
			MaximumBatchSize: shownSize(p.Size), WaitIntervalInSeconds: p.WaitSeconds, MaximumExecutionTimeoutInSeconds: api.Present(p.LimitSeconds), RollbackMaximumBatchSize: shownSize(p.BackSize),
		}
	} else {
		t := &shapes.TrafficRoutingConfig{Type: string(cmp.Or(p.Routing, endpoint.AllAtOnce)), WaitIntervalInSeconds: p.WaitSeconds}
		switch p.Routing {
		case endpoint.Canary:
			t.CanarySize = shownSize(p.Size)
		case endpoint.Linear:
			t.LinearStepSize = shownSize(p.Size)
		}
		out.BlueGreenUpdatePolicy = &shapes.BlueGreenUpdatePolicy{
			TrafficRoutingConfiguration: t, TerminationWaitInSeconds: &p.TerminationSeconds, MaximumExecutionTimeoutInSeconds: api.Present(p.LimitSeconds),
		}
	}
	if len(p.Alarms) > 0 {
		out.AutoRollbackConfiguration = &shapes.AutoRollbackConfig{}
		for _, name := range p.Alarms {
			out.AutoRollbackConfiguration.Alarms = append(out.AutoRollbackConfiguration.Alarms, shapes.Alarm{AlarmName: &name})
		}
	}
	return out
}

func (s *Service) describeEndpoint(c *api.Call, in *shapes.DescribeEndpointInput) (*shapes.DescribeEndpointOutput, error) {
	e, err := s.book.Get(c.Context(), c.Principal.Account, in.EndpointName)
	if err != nil {
		return nil, err
	}
	out := &shapes.DescribeEndpointOutput{
		EndpointName: e.Name, EndpointArn: e.ARN, EndpointConfigName: &e.Config, EndpointStatus: string(e.Status), FailureReason: api.Present(e.Failure),
		CreationTime: e.Created, LastModifiedTime: e.Changed, LastDeploymentConfig: shownPolicy(e.Policy),
	}
	if e.Status != endpoint.Failed { // of which nothing is left
		for i := range e.Variants {
			out.ProductionVariants = append(out.ProductionVariants, s.summary(e, &e.Variants[i], oldStatus(e)))
		}
	}
	if u := e.Update; u != nil {
		out.PendingDeploymentSummary = &shapes.PendingDeploymentSummary{EndpointConfigName: u.Config, StartTime: &u.Began}
		for i := range u.Variants {
			x := s.summary(e, &u.Variants[i], newStatus(u))
			out.PendingDeploymentSummary.ProductionVariants = append(out.PendingDeploymentSummary.ProductionVariants, shapes.PendingProductionVariantSummary{
				VariantName: x.VariantName, DeployedImages: x.DeployedImages, CurrentWeight: x.CurrentWeight, DesiredWeight: x.DesiredWeight,
				CurrentInstanceCount: x.CurrentInstanceCount, DesiredInstanceCount: x.DesiredInstanceCount, InstanceType: api.Present(u.Variants[i].Variant.Instance),
				VariantStatus: x.VariantStatus, CurrentServerlessConfig: x.CurrentServerlessConfig, DesiredServerlessConfig: x.DesiredServerlessConfig,
				ManagedInstanceScaling: x.ManagedInstanceScaling, RoutingConfig: x.RoutingConfig,
			})
		}
	}
	return out, nil
}

// oldStatus is what becomes of the variants that take an endpoint's calls, "" for nothing.
func oldStatus(e *endpoint.Endpoint) string {
	switch {
	case e.Status == endpoint.Creating:
		return "Creating"
	case e.Status == endpoint.Deleting, e.Update != nil && e.Update.Stage == endpoint.Ending:
		return "Deleting"
	case e.Status == endpoint.Updating && e.Update == nil:
		return "Updating"
	}
	return ""
}

// newStatus is how far the variants of an update are.
func newStatus(u *endpoint.Update) string {
	switch u.Stage {
	case endpoint.Starting:
		return "Creating"
	case endpoint.Watching:
		return "Baking"
	default:
		return "ActivatingTraffic"
	}
}

// summary tells of a variant and of what is up of it.
func (s *Service) summary(e *endpoint.Endpoint, d *endpoint.Deployed, status string) shapes.ProductionVariantSummary {
	v := &d.Variant
	image := d.Container.Image
	out := shapes.ProductionVariantSummary{
		VariantName: v.Name, CurrentWeight: &d.Weight, DesiredWeight: &d.Desired, ManagedInstanceScaling: managed(v.Managed), RoutingConfig: routing(v.Routing),
		DeployedImages: []shapes.DeployedImage{{SpecifiedImage: &image, ResolvedImage: &image, ResolutionTime: &d.Since}},
	}
	up, wanted := s.book.Up(e, d)
	if v.Serverless != nil {
		out.CurrentServerlessConfig, out.DesiredServerlessConfig = serverless(v.Serverless), serverless(v.Serverless)
	} else {
		out.CurrentInstanceCount, out.DesiredInstanceCount = &up, &wanted
	}
	if status != "" {
		out.VariantStatus = []shapes.ProductionVariantStatus{{Status: status, StartTime: &e.Changed}}
	}
	return out
}

func (s *Service) listEndpoints(c *api.Call, in *shapes.ListEndpointsInput) (*shapes.ListEndpointsOutput, error) {
	f := endpoint.Filter{
		Filter:       page(in.CreationTimeAfter, in.CreationTimeBefore, in.NameContains, in.MaxResults, in.NextToken, in.SortBy, in.SortOrder),
		ChangedAfter: api.Given(in.LastModifiedTimeAfter), ChangedBefore: api.Given(in.LastModifiedTimeBefore), Status: endpoint.Status(api.Given(in.StatusEquals)),
	}
	if strings.EqualFold(api.Given(in.SortBy), "Status") {
		return nil, unserved("SortBy Status")
	}
	list, next, err := s.book.List(c.Context(), c.Principal.Account, &f)
	if err != nil {
		return nil, err
	}
	out := &shapes.ListEndpointsOutput{Endpoints: []shapes.EndpointSummary{}, NextToken: api.Present(next)}
	for _, e := range list {
		out.Endpoints = append(out.Endpoints, shapes.EndpointSummary{
			EndpointName: e.Name, EndpointArn: e.ARN, EndpointStatus: string(e.Status), CreationTime: e.Created, LastModifiedTime: e.Changed,
		})
	}
	return out, nil
}
