// Command shapes generates its sub-packages, one per service: the descriptors of the operations that
// are served, and Go structs for the inputs and outputs that handlers take and give. It reads the service
// models that the pinned botocore carries; `make generate` installs it first. Nothing of the models'
// documentation is carried over.
package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"forebay/wire/model"
)

//go:generate go run .

// form is for which sides of an operation there are structs.
type form uint8

const (
	described form = 0 // descriptors alone: the dialects read and write the bodies
	input     form = 1
	both      form = 3
)

// service is what is generated of one service model.
type service struct {
	model      string // folder below botocore's data
	pkg        string
	operations map[string]form
	// raw shapes are kept as JSON texts in structs, checked like the others.
	raw []string
	// open shapes take any text: this server's ids of models, and some other names, are the operator's to choose.
	open []string
	// unbounded shapes have no length of their own: this server's limits are the operator's to set.
	unbounded []string
}

var services = []service{
	{
		model: "bedrock-runtime/2023-09-30", pkg: "bedrockruntime",
		operations: map[string]form{
			"InvokeModel": input, "InvokeModelWithResponseStream": input, "Converse": described, "ConverseStream": described, "CountTokens": both,
		},
		raw:  []string{"ConverseTokensRequest"},
		open: []string{"InvokeModelIdentifier", "ConversationalModelId", "FoundationModelVersionIdentifier"},
		// server.body_limit holds for bodies
		unbounded: []string{"Body"},
	},
	{
		model: "bedrock/2023-04-20", pkg: "bedrock",
		operations: map[string]form{
			"ListFoundationModels": both, "GetFoundationModel": both,
			"CreateProvisionedModelThroughput": both, "GetProvisionedModelThroughput": both, "ListProvisionedModelThroughputs": both,
			"UpdateProvisionedModelThroughput": both, "DeleteProvisionedModelThroughput": both,
			"CreateModelImportJob": both, "GetModelImportJob": both, "ListModelImportJobs": both,
			"GetImportedModel": both, "ListImportedModels": both, "DeleteImportedModel": both,
			"CreateCustomModel": both, "GetCustomModel": both, "ListCustomModels": both, "DeleteCustomModel": both,
			"CreateCustomModelDeployment": both, "GetCustomModelDeployment": both, "ListCustomModelDeployments": both,
			"UpdateCustomModelDeployment": both, "DeleteCustomModelDeployment": both,
			"CreateInferenceProfile": both, "GetInferenceProfile": both, "ListInferenceProfiles": both, "DeleteInferenceProfile": both,
			"TagResource": both, "UntagResource": both, "ListTagsForResource": both,
			"GetModelInvocationLoggingConfiguration": both, "PutModelInvocationLoggingConfiguration": both, "DeleteModelInvocationLoggingConfiguration": both,
		},
		open: []string{
			"GetFoundationModelIdentifier", "ModelIdentifier", "ModelArn", "FoundationModelArn", "CustomModelArn",
			"InferenceProfileModelSourceArn", "InferenceProfileIdentifier", "TaggableResourcesArn", "S3Uri",
		},
	},
	{model: "sts/2011-06-15", pkg: "sts", operations: map[string]form{"GetCallerIdentity": both}},
	{
		model: "sagemaker/2017-07-24", pkg: "sagemaker",
		operations: map[string]form{
			"CreateModel": both, "DescribeModel": both, "ListModels": both, "DeleteModel": both,
			"CreateEndpointConfig": both, "DescribeEndpointConfig": both, "ListEndpointConfigs": both, "DeleteEndpointConfig": both,
			"CreateEndpoint": both, "DescribeEndpoint": both, "ListEndpoints": both, "UpdateEndpoint": both,
			"UpdateEndpointWeightsAndCapacities": both, "DeleteEndpoint": both,
			"CreateInferenceComponent": both, "DescribeInferenceComponent": both, "ListInferenceComponents": both,
			"UpdateInferenceComponent": both, "UpdateInferenceComponentRuntimeConfig": both, "DeleteInferenceComponent": both,
			"AddTags": both, "DeleteTags": both, "ListTags": both,
		},
		// weights come from anywhere, the types of instances are the operator's, and the last two patterns look around, which Go's cannot
		open: []string{"Url", "S3ModelUri", "ContainerImage", "ProductionVariantInstanceType", "AlarmName", "VersionedArnOrName"},
	},
	{
		model: "sagemaker-runtime/2017-05-13", pkg: "sagemakerruntime",
		operations: map[string]form{"InvokeEndpoint": input, "InvokeEndpointWithResponseStream": input},
		// server.body_limit holds for bodies
		unbounded: []string{"BodyBlob"},
	},
	{
		model: "application-autoscaling/2016-02-06", pkg: "applicationautoscaling",
		operations: map[string]form{
			"RegisterScalableTarget": both, "DescribeScalableTargets": both, "DeregisterScalableTarget": both,
			"PutScalingPolicy": both, "DescribeScalingPolicies": both, "DeleteScalingPolicy": both,
			"PutScheduledAction": both, "DescribeScheduledActions": both, "DeleteScheduledAction": both, "DescribeScalingActivities": both,
		},
		open: []string{"ScheduledActionName"}, // its pattern looks ahead, which Go's cannot
	},
}

func main() {
	root := flag.String("root", "../..", "the repository's root folder")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, "shapes:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	for i := range services {
		s := &services[i]
		code, err := generate(root, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.model, err)
		}
		path := s.path(root)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // sources are for everybody
			return err
		}
		if err := os.WriteFile(path, code, 0o644); err != nil { //nolint:gosec // as above
			return err
		}
	}
	return nil
}

// path is where a service's code is.
func (s *service) path(root string) string {
	return filepath.Join(root, "wire", "shapes", s.pkg, "shapes.go")
}

// errNoModels is returned when botocore is not installed.
var errNoModels = errors.New("botocore is not installed: make deps")

// read finds and reads a service model.
func read(root, name string) (*model.File, error) {
	paths, err := filepath.Glob(filepath.Join(root, ".venv", "lib", "python*", "site-packages", "botocore", "data", filepath.FromSlash(name), "service-2.json*"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, errNoModels
	}
	slices.Sort(paths)
	text, err := os.ReadFile(paths[0])
	if err != nil {
		return nil, err
	}
	if filepath.Ext(paths[0]) == ".gz" {
		z, err := gzip.NewReader(bytes.NewReader(text))
		if err != nil {
			return nil, err
		}
		if text, err = io.ReadAll(z); err != nil {
			return nil, err
		}
	}
	return model.Parse(text)
}
