package clients

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

const (
	nova       = "amazon.nova-lite-v1:0"
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

// goMade makes what the control plane lets callers make, and calls it.
func goMade(t *testing.T, r *running, control *bedrock.Client, c *bedrockruntime.Client) {
	t.Run("profile", func(t *testing.T) { goProfile(t, control, c) })
	t.Run("deployment", func(t *testing.T) { goDeployment(t, r, control, c) })
	t.Run("import", func(t *testing.T) { goImport(t, r, control, c) })
	t.Run("logging", func(t *testing.T) { goLogging(t, control) })
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
	tags, err := control.ListTagsForResource(t.Context(), &bedrock.ListTagsForResourceInput{ResourceARN: made.InferenceProfileArn})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Value != "go" {
		t.Errorf("%+v %v", tags, err)
	}
	list, err := control.ListInferenceProfiles(t.Context(), &bedrock.ListInferenceProfilesInput{TypeEquals: controltypes.InferenceProfileTypeApplication})
	if err != nil || len(list.InferenceProfileSummaries) != 1 {
		t.Errorf("%+v %v", list, err)
	}
	if _, err := control.DeleteInferenceProfile(t.Context(), &bedrock.DeleteInferenceProfileInput{InferenceProfileIdentifier: made.InferenceProfileArn}); err != nil {
		t.Error(err)
	}
	if _, err := control.GetInferenceProfile(t.Context(), &bedrock.GetInferenceProfileInput{InferenceProfileIdentifier: made.InferenceProfileArn}); !as[*controltypes.ResourceNotFoundException](err) {
		t.Errorf("%v", err)
	}
}

func goDeployment(t *testing.T, r *running, control *bedrock.Client, c *bedrockruntime.Client) {
	uri := weights(t, r, "go-lora", "adapter_config.json", "adapter_model.safetensors", `{"peft_type":"LORA","base_model_name_or_path":"`+nova+`"}`)
	made, err := control.CreateCustomModel(t.Context(), &bedrock.CreateCustomModelInput{ModelName: aws.String("go"), ModelSourceConfig: modelSource(uri)})
	if err != nil {
		t.Fatal(err)
	}
	settled(t, func(ctx context.Context) (bool, error) {
		got, err := control.GetCustomModel(ctx, &bedrock.GetCustomModelInput{ModelIdentifier: made.ModelArn})
		return err == nil && got.ModelStatus == controltypes.ModelStatusCreating, err
	})
	deployed, err := control.CreateCustomModelDeployment(t.Context(), &bedrock.CreateCustomModelDeploymentInput{ModelDeploymentName: aws.String("go"), ModelArn: made.ModelArn})
	if err != nil {
		t.Fatal(err)
	}
	arn := deployed.CustomModelDeploymentArn
	settled(t, func(ctx context.Context) (bool, error) {
		got, err := control.GetCustomModelDeployment(ctx, &bedrock.GetCustomModelDeploymentInput{CustomModelDeploymentIdentifier: arn})
		return err == nil && got.Status == controltypes.CustomModelDeploymentStatusCreating, err
	})
	converses(t, c, *arn)
	if _, err := control.DeleteCustomModel(t.Context(), &bedrock.DeleteCustomModelInput{ModelIdentifier: made.ModelArn}); !as[*controltypes.ConflictException](err) {
		t.Errorf("%v", err)
	}
	if _, err := control.DeleteCustomModelDeployment(t.Context(), &bedrock.DeleteCustomModelDeploymentInput{CustomModelDeploymentIdentifier: arn}); err != nil {
		t.Error(err)
	}
	if _, err := control.DeleteCustomModel(t.Context(), &bedrock.DeleteCustomModelInput{ModelIdentifier: made.ModelArn}); err != nil {
		t.Error(err)
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
	if _, err := control.DeleteImportedModel(t.Context(), &bedrock.DeleteImportedModelInput{ModelIdentifier: got.ImportedModelArn}); err != nil {
		t.Error(err)
	}
}

func goLogging(t *testing.T, control *bedrock.Client) {
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
	if _, err := control.DeleteModelInvocationLoggingConfiguration(t.Context(), &bedrock.DeleteModelInvocationLoggingConfigurationInput{}); err != nil {
		t.Error(err)
	}
}
