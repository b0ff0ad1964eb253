package clients

import (
	"compress/gzip"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go/middleware"
	"github.com/go-json-experiment/json"
)

const (
	nova       = "amazon.nova-lite-v1:0"
	titan      = "amazon.titan-text-express-v1"
	foundation = "arn:aws:bedrock:us-east-1::foundation-model/"
)

// weights puts an artifact into a bucket of the server and returns where it is.
func weights(t *testing.T, r *running, name, description, file, text string) string {
	t.Helper()
	dir := filepath.Join(r.data, "objects", "weights", name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	const head = `{"w":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}}`
	tensors := append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head+"12345678"...)
	for path, b := range map[string][]byte{description: []byte(text), file: tensors} {
		if err := os.WriteFile(filepath.Join(dir, path), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return "s3://weights/" + name
}

func modelSource(uri string) controltypes.ModelDataSource {
	return &controltypes.ModelDataSourceMemberS3DataSource{Value: controltypes.S3DataSource{S3Uri: &uri}}
}

// settled asks until what is made is made.
func settled(t *testing.T, look func(context.Context) (passing bool, err error)) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		passing, err := look(t.Context())
		if err != nil || time.Now().After(deadline) {
			t.Fatal(passing, err)
		}
		if !passing {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
}

// converses calls a model and returns an error if there is no answer.
func converses(t *testing.T, c *bedrockruntime.Client, model string) {
	t.Helper()
	out, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{
		ModelId: &model, Messages: ask("Hello"), InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(2)},
	})
	if err != nil || *out.Usage.OutputTokens != 2 {
		t.Errorf("%s: %+v %v", model, out, err)
	}
}

// driven notes the operations that a client calls.
type driven map[string]bool

// client is a client whose operations are noted.
func (d driven) client(o *bedrock.Options) *bedrock.Client {
	noted := *o
	noted.APIOptions = append(slices.Clone(o.APIOptions), func(s *middleware.Stack) error {
		return s.Initialize.Add(middleware.InitializeMiddlewareFunc("driven", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			d[awsmiddleware.GetOperationName(ctx)] = true
			return next.HandleInitialize(ctx, in)
		}), middleware.After)
	})
	return bedrock.New(noted)
}

// all fails the test if an operation was not called.
func (d driven) all(t *testing.T, operations []string) {
	t.Helper()
	for _, op := range operations {
		if !d[op] {
			t.Errorf("the Go SDK has not called %s", op)
		}
	}
}

// goMade makes what the control plane lets callers make, and calls it.
func goMade(t *testing.T, r *running, options *bedrock.Options, c *bedrockruntime.Client) {
	seen := driven{}
	control := seen.client(options)
	defer func() { seen.all(t, operationsOfWhatIsMade) }()
	t.Run("profile", func(t *testing.T) { goProfile(t, control, c) })
	t.Run("deployment", func(t *testing.T) { goDeployment(t, r, control, c) })
	t.Run("import", func(t *testing.T) { goImport(t, r, control, c) })
	t.Run("logging", func(t *testing.T) { goLogging(t, r, control, c) })
}

func goProfile(t *testing.T, control *bedrock.Client, c *bedrockruntime.Client) {
	in := &bedrock.CreateInferenceProfileInput{
		InferenceProfileName: aws.String("go"), Tags: []controltypes.Tag{{Key: aws.String("team"), Value: aws.String("go")}},
		ModelSource: &controltypes.InferenceProfileModelSourceMemberCopyFrom{Value: foundation + haiku},
	}
	made, err := control.CreateInferenceProfile(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	converses(t, c, *made.InferenceProfileArn)
	again, err := control.CreateInferenceProfile(t.Context(), in) // with the token that the SDK has put in
	if err != nil || *again.InferenceProfileArn != *made.InferenceProfileArn {
		t.Errorf("%+v %v", again, err)
	}
	in.ClientRequestToken = nil
	if _, err := control.CreateInferenceProfile(t.Context(), in); !as[*controltypes.ConflictException](err) {
		t.Errorf("%v", err)
	}
	stage := []controltypes.Tag{{Key: aws.String("stage"), Value: aws.String("test")}}
	if _, err := control.TagResource(t.Context(), &bedrock.TagResourceInput{ResourceARN: made.InferenceProfileArn, Tags: stage}); err != nil {
		t.Error(err)
	}
	if _, err := control.UntagResource(t.Context(), &bedrock.UntagResourceInput{ResourceARN: made.InferenceProfileArn, TagKeys: []string{"team"}}); err != nil {
		t.Error(err)
	}
	tags, err := control.ListTagsForResource(t.Context(), &bedrock.ListTagsForResourceInput{ResourceARN: made.InferenceProfileArn})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Key != "stage" || *tags.Tags[0].Value != "test" {
		t.Errorf("%+v %v", tags, err)
	}
	list, err := control.ListInferenceProfiles(t.Context(), &bedrock.ListInferenceProfilesInput{TypeEquals: controltypes.InferenceProfileTypeApplication})
	if err != nil || len(list.InferenceProfileSummaries) != 1 {
		t.Errorf("%+v %v", list, err)
	}
	got, err := control.GetInferenceProfile(t.Context(), &bedrock.GetInferenceProfileInput{InferenceProfileIdentifier: made.InferenceProfileArn})
	if err != nil || got.Type != controltypes.InferenceProfileTypeApplication || len(got.Models) != 1 || *got.Models[0].ModelArn != foundation+haiku {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := control.DeleteInferenceProfile(t.Context(), &bedrock.DeleteInferenceProfileInput{InferenceProfileIdentifier: made.InferenceProfileArn}); err != nil {
		t.Error(err)
	}
	if _, err := control.GetInferenceProfile(t.Context(), &bedrock.GetInferenceProfileInput{InferenceProfileIdentifier: made.InferenceProfileArn}); !as[*controltypes.ResourceNotFoundException](err) {
		t.Errorf("%v", err)
	}
}

// goTuned registers an adapter as a custom model and waits until it can be deployed.
func goTuned(t *testing.T, r *running, control *bedrock.Client, name, base string) *string {
	t.Helper()
	uri := weights(t, r, name, "adapter_config.json", "adapter_model.safetensors", `{"peft_type":"LORA","base_model_name_or_path":"`+base+`"}`)
	made, err := control.CreateCustomModel(t.Context(), &bedrock.CreateCustomModelInput{ModelName: &name, ModelSourceConfig: modelSource(uri)})
	if err != nil {
		t.Fatal(err)
	}
	settled(t, func(ctx context.Context) (bool, error) {
		got, err := control.GetCustomModel(ctx, &bedrock.GetCustomModelInput{ModelIdentifier: made.ModelArn})
		return err == nil && got.ModelStatus == controltypes.ModelStatusCreating, err
	})
	return made.ModelArn
}

func goDeployment(t *testing.T, r *running, control *bedrock.Client, c *bedrockruntime.Client) {
	first, second := goTuned(t, r, control, "go-first", nova), goTuned(t, r, control, "go-second", nova)
	listed, err := control.ListCustomModels(t.Context(), &bedrock.ListCustomModelsInput{BaseModelArnEquals: aws.String(foundation + nova)})
	if err != nil || len(listed.ModelSummaries) != 2 {
		t.Errorf("%+v %v", listed, err)
	}
	deployed, err := control.CreateCustomModelDeployment(t.Context(), &bedrock.CreateCustomModelDeploymentInput{ModelDeploymentName: aws.String("go"), ModelArn: first})
	if err != nil {
		t.Fatal(err)
	}
	arn := deployed.CustomModelDeploymentArn
	look := func(ctx context.Context) (*bedrock.GetCustomModelDeploymentOutput, error) {
		return control.GetCustomModelDeployment(ctx, &bedrock.GetCustomModelDeploymentInput{CustomModelDeploymentIdentifier: arn})
	}
	settled(t, func(ctx context.Context) (bool, error) {
		got, err := look(ctx)
		return err == nil && got.Status == controltypes.CustomModelDeploymentStatusCreating, err
	})
	converses(t, c, *arn)
	if _, err := control.UpdateCustomModelDeployment(t.Context(), &bedrock.UpdateCustomModelDeploymentInput{CustomModelDeploymentIdentifier: arn, ModelArn: second}); err != nil {
		t.Fatal(err)
	}
	settled(t, func(ctx context.Context) (bool, error) {
		got, err := look(ctx)
		return err == nil && *got.ModelArn != *second, err
	})
	converses(t, c, *arn)
	deployments, err := control.ListCustomModelDeployments(t.Context(), &bedrock.ListCustomModelDeploymentsInput{ModelArnEquals: second})
	if err != nil || len(deployments.ModelDeploymentSummaries) != 1 || *deployments.ModelDeploymentSummaries[0].CustomModelDeploymentArn != *arn {
		t.Errorf("%+v %v", deployments, err)
	}
	if _, err := control.DeleteCustomModel(t.Context(), &bedrock.DeleteCustomModelInput{ModelIdentifier: second}); !as[*controltypes.ConflictException](err) {
		t.Errorf("%v", err)
	}
	if _, err := control.DeleteCustomModelDeployment(t.Context(), &bedrock.DeleteCustomModelDeploymentInput{CustomModelDeploymentIdentifier: arn}); err != nil {
		t.Error(err)
	}
	for _, model := range []*string{first, second} {
		if _, err := control.DeleteCustomModel(t.Context(), &bedrock.DeleteCustomModelInput{ModelIdentifier: model}); err != nil {
			t.Error(err)
		}
	}
}

func goImport(t *testing.T, r *running, control *bedrock.Client, c *bedrockruntime.Client) {
	uri := weights(t, r, "go-llama", "config.json", "model.safetensors", `{"architectures":["LlamaForCausalLM"]}`)
	job, err := control.CreateModelImportJob(t.Context(), &bedrock.CreateModelImportJobInput{
		JobName: aws.String("go"), ImportedModelName: aws.String("go"), RoleArn: aws.String("arn:aws:iam::000000000000:role/x"), ModelDataSource: modelSource(uri),
	})
	if err != nil {
		t.Fatal(err)
	}
	var got *bedrock.GetModelImportJobOutput
	settled(t, func(ctx context.Context) (bool, error) {
		got, err = control.GetModelImportJob(ctx, &bedrock.GetModelImportJobInput{JobIdentifier: job.JobArn})
		return err == nil && got.Status == controltypes.ModelImportJobStatusInProgress, err
	})
	if got.Status != controltypes.ModelImportJobStatusCompleted {
		t.Fatalf("%+v", got)
	}
	converses(t, c, *got.ImportedModelArn)
	model, err := control.GetImportedModel(t.Context(), &bedrock.GetImportedModelInput{ModelIdentifier: aws.String("go")})
	if err != nil || *model.ModelArchitecture != "LlamaForCausalLM" || *model.InstructSupported {
		t.Errorf("%+v %v", model, err)
	}
	jobs, err := control.ListModelImportJobs(t.Context(), &bedrock.ListModelImportJobsInput{StatusEquals: controltypes.ModelImportJobStatusCompleted})
	if err != nil || len(jobs.ModelImportJobSummaries) != 1 || *jobs.ModelImportJobSummaries[0].JobArn != *job.JobArn {
		t.Errorf("%+v %v", jobs, err)
	}
	imported, err := control.ListImportedModels(t.Context(), &bedrock.ListImportedModelsInput{})
	if err != nil || len(imported.ModelSummaries) != 1 || *imported.ModelSummaries[0].ModelArn != *got.ImportedModelArn {
		t.Errorf("%+v %v", imported, err)
	}
	if _, err := control.DeleteImportedModel(t.Context(), &bedrock.DeleteImportedModelInput{ModelIdentifier: got.ImportedModelArn}); err != nil {
		t.Error(err)
	}
}

func goLogging(t *testing.T, r *running, control *bedrock.Client, c *bedrockruntime.Client) {
	in := &bedrock.PutModelInvocationLoggingConfigurationInput{LoggingConfig: &controltypes.LoggingConfig{
		S3Config: &controltypes.S3Config{BucketName: aws.String("logs")}, ImageDataDeliveryEnabled: aws.Bool(false),
	}}
	if _, err := control.PutModelInvocationLoggingConfiguration(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	got, err := control.GetModelInvocationLoggingConfiguration(t.Context(), &bedrock.GetModelInvocationLoggingConfigurationInput{})
	if err != nil || *got.LoggingConfig.S3Config.BucketName != "logs" || *got.LoggingConfig.ImageDataDeliveryEnabled || !*got.LoggingConfig.TextDataDeliveryEnabled {
		t.Errorf("%+v %v", got, err)
	}
	converses(t, c, haiku)
	if _, err := control.DeleteModelInvocationLoggingConfiguration(t.Context(), &bedrock.DeleteModelInvocationLoggingConfigurationInput{}); err != nil {
		t.Error(err)
	}
	var objects []string
	settled(t, func(context.Context) (bool, error) { // what is recorded is written soon after the change
		objects, err = filepath.Glob(filepath.Join(r.data, "objects", "logs", "AWSLogs", "*", "BedrockModelInvocationLogs", "us-east-1", "*", "*", "*", "*", "*.json.gz"))
		return len(objects) == 0, err
	})
	f, err := os.Open(objects[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var record struct {
		Operation string `json:"operation"`
		ModelID   string `json:"modelId"`
	}
	if err := json.UnmarshalRead(z, &record); err != nil || record.Operation != "Converse" || record.ModelID != haiku {
		t.Errorf("%+v %v", record, err)
	}
}
