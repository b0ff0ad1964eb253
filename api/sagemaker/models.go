package sagemaker

import (
	"forebay/api"
	"forebay/endpoint"
	"forebay/fault"
	shapes "forebay/wire/shapes/sagemaker"
)

func (s *Service) models() {
	authorized(s, api.Operation[shapes.CreateModelInput, shapes.CreateModelOutput]{Shape: shapes.CreateModel, Run: s.createModel})
	authorized(s, api.Operation[shapes.DescribeModelInput, shapes.DescribeModelOutput]{Shape: shapes.DescribeModel, Run: s.describeModel})
	authorized(s, api.Operation[shapes.ListModelsInput, shapes.ListModelsOutput]{Shape: shapes.ListModels, Run: s.listModels})
	authorized(s, api.Operation[shapes.DeleteModelInput, struct{}]{Shape: shapes.DeleteModel, Run: s.deleteModel})
}

func (s *Service) createModel(c *api.Call, in *shapes.CreateModelInput) (*shapes.CreateModelOutput, error) {
	var given shapes.ContainerDefinition
	switch {
	case in.PrimaryContainer != nil && len(in.Containers) > 0:
		return nil, fault.New(fault.Invalid, "PrimaryContainer and Containers cannot both be specified.")
	case in.PrimaryContainer != nil:
		given = *in.PrimaryContainer
	case len(in.Containers) == 1:
		given = in.Containers[0]
	case len(in.Containers) > 1:
		return nil, unserved("A model of several containers")
	default:
		return nil, fault.New(fault.Invalid, "One of PrimaryContainer and Containers must be specified.")
	}
	container, err := containerOf(&given)
	if err != nil {
		return nil, err
	}
	m := &endpoint.Model{Head: endpoint.Head{Name: in.ModelName}, Container: container, Listed: in.PrimaryContainer == nil}
	if in.ExecutionRoleArn != nil {
		m.Role = *in.ExecutionRoleArn
	}
	arn, err := s.book.CreateModel(c.Context(), creation(c, in.Tags), m)
	if err != nil {
		return nil, err
	}
	drop(c, "vpcConfig", in.VpcConfig != nil)
	drop(c, "enableNetworkIsolation", in.EnableNetworkIsolation != nil && *in.EnableNetworkIsolation)
	drop(c, "imageConfig", given.ImageConfig != nil)
	return &shapes.CreateModelOutput{ModelArn: arn}, nil
}

// drop names a member that changes nothing here, where it was given.
func drop(c *api.Call, member string, was bool) {
	if was {
		api.AddDropped(c.W.Header(), member)
	}
}

// containerOf reads what a container is to be.
func containerOf(in *shapes.ContainerDefinition) (endpoint.Container, error) {
	out := endpoint.Container{
		Hostname: api.Given(in.ContainerHostname), Image: api.Given(in.Image), Environment: in.Environment, Mode: api.Given(in.Mode), Data: api.Given(in.ModelDataUrl),
	}
	switch {
	case out.Mode == "MultiModel" || in.MultiModelConfig != nil:
		return out, unserved("A container of many models")
	case in.ModelPackageName != nil:
		return out, unserved("A model package")
	case len(in.AdditionalModelDataSources) > 0:
		return out, unserved("AdditionalModelDataSources")
	case in.ModelDataSource == nil || in.ModelDataSource.S3DataSource == nil:
		return out, nil
	case out.Data != "":
		return out, fault.New(fault.Invalid, "ModelDataUrl and ModelDataSource cannot both be specified.")
	}
	from := in.ModelDataSource.S3DataSource
	if from.ManifestS3Uri != nil || from.HubAccessConfig != nil {
		return out, unserved("A manifest or a hub as the source of a model")
	}
	out.Data, out.Source = from.S3Uri, &endpoint.Source{Type: from.S3DataType, Compression: from.CompressionType}
	if from.ModelAccessConfig != nil {
		out.Source.AcceptEULA = from.ModelAccessConfig.AcceptEula
	}
	return out, nil
}

// shapeOf shows a container as it was given.
func shapeOf(in *endpoint.Container) *shapes.ContainerDefinition {
	out := &shapes.ContainerDefinition{ContainerHostname: api.Present(in.Hostname), Image: &in.Image, Environment: in.Environment, Mode: api.Present(in.Mode)}
	if in.Source == nil {
		out.ModelDataUrl = api.Present(in.Data)
		return out
	}
	from := &shapes.S3ModelDataSource{S3Uri: in.Data, S3DataType: in.Source.Type, CompressionType: in.Source.Compression}
	if in.Source.AcceptEULA {
		from.ModelAccessConfig = &shapes.ModelAccessConfig{AcceptEula: true}
	}
	out.ModelDataSource = &shapes.ModelDataSource{S3DataSource: from}
	return out
}

func (s *Service) describeModel(c *api.Call, in *shapes.DescribeModelInput) (*shapes.DescribeModelOutput, error) {
	m, err := s.book.Model(c.Context(), c.Principal.Account, in.ModelName)
	if err != nil {
		return nil, err
	}
	out := &shapes.DescribeModelOutput{ModelName: m.Name, ModelArn: m.ARN, CreationTime: m.Created, ExecutionRoleArn: api.Present(m.Role), EnableNetworkIsolation: new(bool)}
	if container := shapeOf(&m.Container); m.Listed {
		out.Containers = []shapes.ContainerDefinition{*container}
	} else {
		out.PrimaryContainer = container
	}
	return out, nil
}

func (s *Service) listModels(c *api.Call, in *shapes.ListModelsInput) (*shapes.ListModelsOutput, error) {
	f := page(in.CreationTimeAfter, in.CreationTimeBefore, in.NameContains, in.MaxResults, in.NextToken, in.SortBy, in.SortOrder)
	list, next, err := s.book.Models(c.Context(), c.Principal.Account, &f)
	if err != nil {
		return nil, err
	}
	out := &shapes.ListModelsOutput{Models: []shapes.ModelSummary{}, NextToken: api.Present(next)}
	for _, m := range list {
		out.Models = append(out.Models, shapes.ModelSummary{ModelName: m.Name, ModelArn: m.ARN, CreationTime: m.Created})
	}
	return out, nil
}

func (s *Service) deleteModel(c *api.Call, in *shapes.DeleteModelInput) (*struct{}, error) {
	return &struct{}{}, s.book.DeleteModel(c.Context(), c.Principal.Account, in.ModelName)
}
