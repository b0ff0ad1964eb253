package autoscaling

import (
	"cmp"
	"slices"

	"forebay/api"
	"forebay/endpoint"
	"forebay/fault"
	shapes "forebay/wire/shapes/applicationautoscaling"
)

// Kinds of policies.
const (
	tracking = "TargetTrackingScaling"
	stepping = "StepScaling"
)

func (s *Service) putPolicy(c *api.Call, in *shapes.PutScalingPolicyRequest) (*shapes.PutScalingPolicyResponse, error) {
	of, err := scalable(c, in.ServiceNamespace, in.ResourceId, in.ScalableDimension)
	if err != nil {
		return nil, err
	}
	var p endpoint.Policied
	switch kind := cmp.Or(api.Given(in.PolicyType), stepping); {
	case kind == tracking && in.TargetTrackingScalingPolicyConfiguration != nil:
		p.Tracking, err = trackingOf(in.TargetTrackingScalingPolicyConfiguration)
	case kind == stepping && in.StepScalingPolicyConfiguration != nil:
		p.Steps, err = stepsOf(in.StepScalingPolicyConfiguration)
	case kind == tracking || kind == stepping:
		err = fault.Newf(fault.Invalid, "%sPolicyConfiguration is needed for a policy of the type %s.", kind, kind)
	default:
		err = fault.Newf(fault.Unsupported, "A policy of the type %s is not supported by this server.", kind)
	}
	if err != nil {
		return nil, err
	}
	arn, err := s.book.PutPolicy(c.Context(), of, in.PolicyName, p)
	if err != nil {
		return nil, err
	}
	return &shapes.PutScalingPolicyResponse{PolicyARN: arn, Alarms: []shapes.Alarm{}}, nil
}

func trackingOf(in *shapes.TargetTrackingScalingPolicyConfiguration) (*endpoint.Tracking, error) {
	if in.CustomizedMetricSpecification != nil {
		return nil, fault.New(fault.Unsupported, "CustomizedMetricSpecification is not supported by this server.")
	}
	if in.PredefinedMetricSpecification == nil {
		return nil, fault.New(fault.Invalid, "PredefinedMetricSpecification is needed for target tracking.")
	}
	return &endpoint.Tracking{
		Metric: in.PredefinedMetricSpecification.PredefinedMetricType, Target: in.TargetValue, Out: in.ScaleOutCooldown, In: in.ScaleInCooldown, NoScaleIn: api.Given(in.DisableScaleIn),
	}, nil
}

func stepsOf(in *shapes.StepScalingPolicyConfiguration) (*endpoint.Steps, error) {
	if in.AdjustmentType == nil {
		return nil, fault.New(fault.Invalid, "AdjustmentType is needed for a step scaling policy.")
	}
	out := &endpoint.Steps{Adjustment: *in.AdjustmentType, Least: api.Given(in.MinAdjustmentMagnitude), Cooldown: in.Cooldown, Aggregation: api.Given(in.MetricAggregationType)}
	for _, x := range in.StepAdjustments {
		out.Steps = append(out.Steps, endpoint.Step{Lower: x.MetricIntervalLowerBound, Upper: x.MetricIntervalUpperBound, By: x.ScalingAdjustment})
	}
	return out, nil
}

func (s *Service) policies(c *api.Call, in *shapes.DescribeScalingPoliciesRequest) (*shapes.DescribeScalingPoliciesResponse, error) {
	var all []item[shapes.ScalingPolicy]
	for _, t := range s.listed(c, in.ServiceNamespace, one(in.ResourceId), in.ScalableDimension) {
		for name, p := range t.Policies {
			if len(in.PolicyNames) > 0 && !slices.Contains(in.PolicyNames, name) {
				continue
			}
			x := shapes.ScalingPolicy{
				PolicyARN: p.ARN, PolicyName: name, ServiceNamespace: namespace, ResourceId: t.Name, ScalableDimension: dimension, CreationTime: p.Created, Alarms: []shapes.Alarm{},
			}
			if k := p.Tracking; k != nil {
				x.PolicyType = tracking
				x.TargetTrackingScalingPolicyConfiguration = &shapes.TargetTrackingScalingPolicyConfiguration{
					TargetValue: k.Target, PredefinedMetricSpecification: &shapes.PredefinedMetricSpecification{PredefinedMetricType: k.Metric},
					ScaleOutCooldown: k.Out, ScaleInCooldown: k.In, DisableScaleIn: &k.NoScaleIn,
				}
			} else {
				x.PolicyType, x.StepScalingPolicyConfiguration = stepping, shownSteps(p.Steps)
			}
			all = append(all, item[shapes.ScalingPolicy]{p.Created, p.ARN, x})
		}
	}
	list, next, err := page(all, in.MaxResults, in.NextToken)
	return &shapes.DescribeScalingPoliciesResponse{ScalingPolicies: list, NextToken: next}, err
}

func shownSteps(p *endpoint.Steps) *shapes.StepScalingPolicyConfiguration {
	out := &shapes.StepScalingPolicyConfiguration{
		AdjustmentType: &p.Adjustment, MinAdjustmentMagnitude: api.Present(p.Least), Cooldown: p.Cooldown, MetricAggregationType: api.Present(p.Aggregation),
	}
	for _, x := range p.Steps {
		out.StepAdjustments = append(out.StepAdjustments, shapes.StepAdjustment{MetricIntervalLowerBound: x.Lower, MetricIntervalUpperBound: x.Upper, ScalingAdjustment: x.By})
	}
	return out
}

// one is a list of what may be given once.
func one(id *string) []string {
	if id == nil {
		return nil
	}
	return []string{*id}
}

func (s *Service) deletePolicy(c *api.Call, in *shapes.DeleteScalingPolicyRequest) (*shapes.DeleteScalingPolicyResponse, error) {
	of, err := scalable(c, in.ServiceNamespace, in.ResourceId, in.ScalableDimension)
	if err != nil {
		return nil, err
	}
	return &shapes.DeleteScalingPolicyResponse{}, s.book.DeletePolicy(c.Context(), of, in.PolicyName)
}

func (s *Service) putAction(c *api.Call, in *shapes.PutScheduledActionRequest) (*shapes.PutScheduledActionResponse, error) {
	of, err := scalable(c, in.ServiceNamespace, in.ResourceId, in.ScalableDimension)
	if err != nil {
		return nil, err
	}
	if in.StartTime != nil || in.EndTime != nil {
		return nil, fault.New(fault.Unsupported, "StartTime and EndTime are not supported by this server: put and delete the action at those times.")
	}
	a := endpoint.Action{Schedule: api.Given(in.Schedule), Zone: api.Given(in.Timezone)}
	if x := in.ScalableTargetAction; x != nil {
		a.Min, a.Max = x.MinCapacity, x.MaxCapacity
	}
	return &shapes.PutScheduledActionResponse{}, s.book.PutAction(c.Context(), of, in.ScheduledActionName, a)
}

func (s *Service) actions(c *api.Call, in *shapes.DescribeScheduledActionsRequest) (*shapes.DescribeScheduledActionsResponse, error) {
	var all []item[shapes.ScheduledAction]
	for _, t := range s.listed(c, in.ServiceNamespace, one(in.ResourceId), in.ScalableDimension) {
		for name, a := range t.Actions {
			if len(in.ScheduledActionNames) > 0 && !slices.Contains(in.ScheduledActionNames, name) {
				continue
			}
			dim := dimension
			all = append(all, item[shapes.ScheduledAction]{a.Created, a.ARN, shapes.ScheduledAction{
				ScheduledActionName: name, ScheduledActionARN: a.ARN, ServiceNamespace: namespace, Schedule: a.Schedule, Timezone: api.Present(a.Zone), ResourceId: t.Name,
				ScalableDimension: &dim, ScalableTargetAction: &shapes.ScalableTargetAction{MinCapacity: a.Min, MaxCapacity: a.Max}, CreationTime: a.Created,
			}})
		}
	}
	list, next, err := page(all, in.MaxResults, in.NextToken)
	return &shapes.DescribeScheduledActionsResponse{ScheduledActions: list, NextToken: next}, err
}

func (s *Service) deleteAction(c *api.Call, in *shapes.DeleteScheduledActionRequest) (*shapes.DeleteScheduledActionResponse, error) {
	of, err := scalable(c, in.ServiceNamespace, in.ResourceId, in.ScalableDimension)
	if err != nil {
		return nil, err
	}
	return &shapes.DeleteScheduledActionResponse{}, s.book.DeleteAction(c.Context(), of, in.ScheduledActionName)
}
