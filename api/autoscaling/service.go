// Package autoscaling serves Application Auto Scaling for the variants of endpoints: what may scale between which bounds, by which policies and
// at which times. Its other operations, and the resources of other services, get a clear error of the right shape.
package autoscaling

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"forebay/api"
	"forebay/endpoint"
	"forebay/fault"
	"forebay/resource"
	"forebay/wire/awsjson"
	shapes "forebay/wire/shapes/applicationautoscaling"
)

// Service is application-autoscaling behind the front door.
type Service struct {
	api.AWS
	book *endpoint.Book
}

// New returns the service over what keeps endpoints.
func New(book *endpoint.Book) *Service {
	s := &Service{AWS: api.AWS{Model: shapes.Service, Protocol: awsjson.Protocol{}, Errors: &table}, book: book}
	authorized(s, api.Operation[shapes.RegisterScalableTargetRequest, shapes.RegisterScalableTargetResponse]{Shape: shapes.RegisterScalableTarget, Run: s.register})
	authorized(s, api.Operation[shapes.DescribeScalableTargetsRequest, shapes.DescribeScalableTargetsResponse]{Shape: shapes.DescribeScalableTargets, Run: s.targets})
	authorized(s, api.Operation[shapes.DeregisterScalableTargetRequest, shapes.DeregisterScalableTargetResponse]{Shape: shapes.DeregisterScalableTarget, Run: s.deregister})
	authorized(s, api.Operation[shapes.PutScalingPolicyRequest, shapes.PutScalingPolicyResponse]{Shape: shapes.PutScalingPolicy, Run: s.putPolicy})
	authorized(s, api.Operation[shapes.DescribeScalingPoliciesRequest, shapes.DescribeScalingPoliciesResponse]{Shape: shapes.DescribeScalingPolicies, Run: s.policies})
	authorized(s, api.Operation[shapes.DeleteScalingPolicyRequest, shapes.DeleteScalingPolicyResponse]{Shape: shapes.DeleteScalingPolicy, Run: s.deletePolicy})
	authorized(s, api.Operation[shapes.PutScheduledActionRequest, shapes.PutScheduledActionResponse]{Shape: shapes.PutScheduledAction, Run: s.putAction})
	authorized(s, api.Operation[shapes.DescribeScheduledActionsRequest, shapes.DescribeScheduledActionsResponse]{Shape: shapes.DescribeScheduledActions, Run: s.actions})
	authorized(s, api.Operation[shapes.DeleteScheduledActionRequest, shapes.DeleteScheduledActionResponse]{Shape: shapes.DeleteScheduledAction, Run: s.deleteAction})
	return s
}

// Owns reports whether a target header is of the service.
func Owns(target string) bool { return strings.HasPrefix(target, shapes.Service.TargetPrefix+".") }

// table holds the errors of application-autoscaling.
var table = func() api.ErrorTable {
	t := api.CommonErrors()
	const bad = http.StatusBadRequest
	t[fault.Internal] = api.ErrorRow{Status: http.StatusInternalServerError, Name: "InternalServiceException", Message: "The service encountered an internal error."}
	t[fault.NotFound] = api.ErrorRow{Status: bad, Name: "ObjectNotFoundException", Message: "The specified object could not be found."}
	t[fault.Conflict] = api.ErrorRow{Status: http.StatusInternalServerError, Name: "ConcurrentUpdateException", Message: "Another update of the object is under way."}
	t[fault.QuotaExceeded] = api.ErrorRow{Status: bad, Name: "LimitExceededException", Message: "A per-account resource limit is exceeded."}
	t[fault.UnknownOperation].Status = bad
	return t
}()

// authorized lets an operation be served, for callers whose policy allows the action of that name.
func authorized[In, Out any](s *Service, op api.Operation[In, Out]) {
	api.HandleAllowed(&s.AWS, "application-autoscaling", op)
}

// What scales.
const (
	namespace = "sagemaker"
	dimension = "sagemaker:variant:DesiredInstanceCount"
)

// scalable reads what an operation is about.
func scalable(c *api.Call, space, id, dim string) (endpoint.Scalable, error) {
	switch {
	case space != namespace:
		return endpoint.Scalable{}, fault.Newf(fault.Invalid, "Unsupported service namespace: %.64s.", space).WithReason("this server scales what is in the namespace sagemaker")
	case dim != dimension:
		return endpoint.Scalable{}, fault.Newf(fault.Invalid, "Unsupported service namespace, resource type or scalable dimension: %.128s.", dim).WithReason("this server scales %s", dimension)
	}
	s, ok := endpoint.ParseScalable(c.Principal.Account, id)
	if !ok {
		return s, fault.Newf(fault.Invalid, "Unsupported service namespace, resource type or scalable dimension: %.128s is not endpoint/NAME/variant/NAME.", id)
	}
	return s, nil
}

func (s *Service) register(c *api.Call, in *shapes.RegisterScalableTargetRequest) (*shapes.RegisterScalableTargetResponse, error) {
	of, err := scalable(c, in.ServiceNamespace, in.ResourceId, in.ScalableDimension)
	if err != nil {
		return nil, err
	}
	if x := in.SuspendedState; x != nil && (api.Given(x.DynamicScalingInSuspended) || api.Given(x.DynamicScalingOutSuspended) || api.Given(x.ScheduledScalingSuspended)) {
		return nil, fault.New(fault.Unsupported, "SuspendedState is not supported by this server: delete the policies or the actions.")
	}
	var tags []resource.Tag
	for key, value := range in.Tags {
		tags = append(tags, resource.Tag{Key: key, Value: value})
	}
	arn, err := s.book.Register(c.Context(), of, in.MinCapacity, in.MaxCapacity, tags)
	if err != nil {
		return nil, err
	}
	return &shapes.RegisterScalableTargetResponse{ScalableTargetARN: &arn}, nil
}

func (s *Service) deregister(c *api.Call, in *shapes.DeregisterScalableTargetRequest) (*shapes.DeregisterScalableTargetResponse, error) {
	of, err := scalable(c, in.ServiceNamespace, in.ResourceId, in.ScalableDimension)
	if err != nil {
		return nil, err
	}
	return &shapes.DeregisterScalableTargetResponse{}, s.book.Deregister(c.Context(), of)
}

// listed returns what is registered of the caller and fits.
func (s *Service) listed(c *api.Call, space string, ids []string, dim *string) []*endpoint.Scaled {
	if space != namespace || dim != nil && *dim != dimension {
		return nil
	}
	return slices.DeleteFunc(s.book.Registered(c.Principal.Account), func(t *endpoint.Scaled) bool { return len(ids) > 0 && !slices.Contains(ids, t.Name) })
}

// item is something of a list.
type item[T any] struct {
	made time.Time
	id   string
	show T
}

// Made implements resource.Listed.
func (i item[T]) Made() time.Time { return i.made }

// Identity implements resource.Listed.
func (i item[T]) Identity() string { return i.id }

// defaultPage is the size of a page where nobody says one.
const defaultPage = 50

// page returns the part of a list that is asked for.
func page[T any](all []item[T], most *int32, token *string) ([]T, *string, error) {
	part, next, err := resource.Page(all, &resource.Filter{Max: cmp.Or(int(api.Given(most)), defaultPage), Token: api.Given(token)})
	out := make([]T, len(part))
	for i := range part {
		out[i] = part[i].show
	}
	return out, api.Present(next), err
}

func (s *Service) targets(c *api.Call, in *shapes.DescribeScalableTargetsRequest) (*shapes.DescribeScalableTargetsResponse, error) {
	var all []item[shapes.ScalableTarget]
	for _, t := range s.listed(c, in.ServiceNamespace, in.ResourceIds, in.ScalableDimension) {
		all = append(all, item[shapes.ScalableTarget]{t.Created, t.ARN, shapes.ScalableTarget{
			ServiceNamespace: namespace, ResourceId: t.Name, ScalableDimension: dimension, MinCapacity: t.Min, MaxCapacity: t.Max, CreationTime: t.Created, ScalableTargetARN: &t.ARN,
			RoleARN:        "arn:aws:iam::" + t.Account + ":role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
			SuspendedState: &shapes.SuspendedState{DynamicScalingInSuspended: new(bool), DynamicScalingOutSuspended: new(bool), ScheduledScalingSuspended: new(bool)},
		}})
	}
	list, next, err := page(all, in.MaxResults, in.NextToken)
	return &shapes.DescribeScalableTargetsResponse{ScalableTargets: list, NextToken: next}, err
}
