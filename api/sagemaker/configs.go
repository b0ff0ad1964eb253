package sagemaker

import (
	"forebay/api"
	"forebay/endpoint"
	shapes "forebay/wire/shapes/sagemaker"
)

func (s *Service) configs() {
	authorized(s, api.Operation[shapes.CreateEndpointConfigInput, shapes.CreateEndpointConfigOutput]{Shape: shapes.CreateEndpointConfig, Run: s.createConfig})
	authorized(s, api.Operation[shapes.DescribeEndpointConfigInput, shapes.DescribeEndpointConfigOutput]{Shape: shapes.DescribeEndpointConfig, Run: s.describeConfig})
	authorized(s, api.Operation[shapes.ListEndpointConfigsInput, shapes.ListEndpointConfigsOutput]{Shape: shapes.ListEndpointConfigs, Run: s.listConfigs})
	authorized(s, api.Operation[shapes.DeleteEndpointConfigInput, struct{}]{Shape: shapes.DeleteEndpointConfig, Run: s.deleteConfig})
}

func (s *Service) createConfig(c *api.Call, in *shapes.CreateEndpointConfigInput) (*shapes.CreateEndpointConfigOutput, error) {
	switch {
	case in.AsyncInferenceConfig != nil:
		return nil, unserved("Asynchronous inference")
	case len(in.ShadowProductionVariants) > 0:
		return nil, unserved("A shadow variant")
	case in.ExplainerConfig != nil:
		return nil, unserved("An explainer")
	case in.DataCaptureConfig != nil && api.Given(in.DataCaptureConfig.EnableCapture):
		return nil, unserved("The capture of data")
	}
	cfg := &endpoint.Config{Head: endpoint.Head{Name: in.EndpointConfigName}, Role: api.Given(in.ExecutionRoleArn)}
	for i := range in.ProductionVariants {
		v, err := variantOf(&in.ProductionVariants[i])
		if err != nil {
			return nil, err
		}
		cfg.Variants = append(cfg.Variants, v)
	}
	arn, err := s.book.CreateConfig(c.Context(), creation(c, in.Tags), cfg)
	if err != nil {
		return nil, err
	}
	drop(c, "vpcConfig", in.VpcConfig != nil)
	drop(c, "enableNetworkIsolation", api.Given(in.EnableNetworkIsolation))
	drop(c, "kmsKeyId", in.KmsKeyId != nil)
	drop(c, "metricsConfig", in.MetricsConfig != nil)
	for i := range in.ProductionVariants {
		v := &in.ProductionVariants[i]
		drop(c, "productionVariants.volumeSizeInGB", v.VolumeSizeInGB != nil)
		drop(c, "productionVariants.coreDumpConfig", v.CoreDumpConfig != nil)
		drop(c, "productionVariants.enableSSMAccess", api.Given(v.EnableSSMAccess))
		drop(c, "productionVariants.inferenceAmiVersion", v.InferenceAmiVersion != nil)
		drop(c, "productionVariants.capacityReservationConfig", v.CapacityReservationConfig != nil)
	}
	return &shapes.CreateEndpointConfigOutput{EndpointConfigArn: arn}, nil
}

// variantOf reads what a variant is to be.
func variantOf(in *shapes.ProductionVariant) (endpoint.Variant, error) {
	out := endpoint.Variant{
		Name: in.VariantName, Model: api.Given(in.ModelName), Instance: api.Given(in.InstanceType), Count: api.Given(in.InitialInstanceCount), Weight: 1,
		Download: api.Given(in.ModelDataDownloadTimeoutInSeconds), Start: api.Given(in.ContainerStartupHealthCheckTimeoutInSeconds), Volume: api.Given(in.VolumeSizeInGB),
	}
	if in.InitialVariantWeight != nil {
		out.Weight = *in.InitialVariantWeight
	}
	switch {
	case len(in.InstancePools) > 0:
		return out, unserved("A pool of several instance types")
	case in.AcceleratorType != nil:
		return out, unserved("An elastic inference accelerator")
	}
	if s := in.ServerlessConfig; s != nil {
		out.Serverless = &endpoint.Serverless{MemoryMB: s.MemorySizeInMB, Concurrency: s.MaxConcurrency, Provisioned: api.Given(s.ProvisionedConcurrency)}
	}
	if m := in.ManagedInstanceScaling; m != nil {
		out.Managed = &endpoint.ManagedScaling{Enabled: api.Given(m.Status) == "ENABLED", Min: api.Given(m.MinInstanceCount), Max: api.Given(m.MaxInstanceCount)}
	}
	if in.RoutingConfig != nil {
		out.Routing = in.RoutingConfig.RoutingStrategy
	}
	return out, nil
}

// shown is a variant as it was given.
func shown(v *endpoint.Variant) shapes.ProductionVariant {
	return shapes.ProductionVariant{
		VariantName: v.Name, ModelName: api.Present(v.Model), InstanceType: api.Present(v.Instance), InitialInstanceCount: api.Present(v.Count), InitialVariantWeight: &v.Weight,
		ModelDataDownloadTimeoutInSeconds: api.Present(v.Download), ContainerStartupHealthCheckTimeoutInSeconds: api.Present(v.Start), VolumeSizeInGB: api.Present(v.Volume),
		ServerlessConfig: serverless(v.Serverless), ManagedInstanceScaling: managed(v.Managed), RoutingConfig: routing(v.Routing),
	}
}

func serverless(s *endpoint.Serverless) *shapes.ProductionVariantServerlessConfig {
	if s == nil {
		return nil
	}
	return &shapes.ProductionVariantServerlessConfig{MemorySizeInMB: s.MemoryMB, MaxConcurrency: s.Concurrency, ProvisionedConcurrency: api.Present(s.Provisioned)}
}

func managed(m *endpoint.ManagedScaling) *shapes.ProductionVariantManagedInstanceScaling {
	if m == nil {
		return nil
	}
	status := "DISABLED"
	if m.Enabled {
		status = "ENABLED"
	}
	return &shapes.ProductionVariantManagedInstanceScaling{Status: &status, MinInstanceCount: &m.Min, MaxInstanceCount: api.Present(m.Max)}
}

func routing(strategy string) *shapes.ProductionVariantRoutingConfig {
	if strategy == "" {
		return nil
	}
	return &shapes.ProductionVariantRoutingConfig{RoutingStrategy: strategy}
}

func (s *Service) describeConfig(c *api.Call, in *shapes.DescribeEndpointConfigInput) (*shapes.DescribeEndpointConfigOutput, error) {
	cfg, err := s.book.Config(c.Context(), c.Principal.Account, in.EndpointConfigName)
	if err != nil {
		return nil, err
	}
	out := &shapes.DescribeEndpointConfigOutput{
		EndpointConfigName: cfg.Name, EndpointConfigArn: cfg.ARN, CreationTime: cfg.Created, ExecutionRoleArn: api.Present(cfg.Role), EnableNetworkIsolation: new(bool),
	}
	for i := range cfg.Variants {
		out.ProductionVariants = append(out.ProductionVariants, shown(&cfg.Variants[i]))
	}
	return out, nil
}

func (s *Service) listConfigs(c *api.Call, in *shapes.ListEndpointConfigsInput) (*shapes.ListEndpointConfigsOutput, error) {
	f := page(in.CreationTimeAfter, in.CreationTimeBefore, in.NameContains, in.MaxResults, in.NextToken, in.SortBy, in.SortOrder)
	list, next, err := s.book.Configs(c.Context(), c.Principal.Account, &f)
	if err != nil {
		return nil, err
	}
	out := &shapes.ListEndpointConfigsOutput{EndpointConfigs: []shapes.EndpointConfigSummary{}, NextToken: api.Present(next)}
	for _, cfg := range list {
		out.EndpointConfigs = append(out.EndpointConfigs, shapes.EndpointConfigSummary{EndpointConfigName: cfg.Name, EndpointConfigArn: cfg.ARN, CreationTime: cfg.Created})
	}
	return out, nil
}

func (s *Service) deleteConfig(c *api.Call, in *shapes.DeleteEndpointConfigInput) (*struct{}, error) {
	return &struct{}{}, s.book.DeleteConfig(c.Context(), c.Principal.Account, in.EndpointConfigName)
}
