package clients

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
)

// The Go SDK buys throughput, lists it, calls it by its ARN, renames it and ends it.
func TestGoSDKBuysThroughput(t *testing.T) {
	t.Parallel()
	r := start(t)
	keys := credentials.NewStaticCredentialsProvider(r.cred.AccessKeyID, r.cred.SecretAccessKey, "")
	control := bedrock.New(bedrock.Options{Region: "us-east-1", BaseEndpoint: &r.cred.URL, Credentials: keys, RetryMaxAttempts: 1})
	runtime := bedrockruntime.New(bedrockruntime.Options{
		Region: "us-east-1", BaseEndpoint: &r.cred.URL, Credentials: keys, RetryMaxAttempts: 1,
		HTTPClient: &http.Client{Transport: plainBodies{http.DefaultTransport.(*http.Transport).Clone()}},
	})
	ctx := t.Context()
	order := &bedrock.CreateProvisionedModelThroughputInput{
		ProvisionedModelName: aws.String("chat"), ModelId: aws.String(haiku), ModelUnits: aws.Int32(2),
		Tags: []controltypes.Tag{{Key: aws.String("team"), Value: aws.String("search")}},
	}
	made, err := control.CreateProvisionedModelThroughput(ctx, order)
	if err != nil {
		t.Fatal(err)
	}
	arn := made.ProvisionedModelArn
	got, err := control.GetProvisionedModelThroughput(ctx, &bedrock.GetProvisionedModelThroughputInput{ProvisionedModelId: arn})
	if err != nil || got.Status != controltypes.ProvisionedModelStatusInService || *got.ModelUnits != 2 || got.CommitmentExpirationTime != nil {
		t.Fatalf("%+v %v", got, err)
	}
	if again, err := control.CreateProvisionedModelThroughput(ctx, order); err != nil || *again.ProvisionedModelArn != *arn { // the SDK has put its token into the order
		t.Errorf("%+v %v", again, err)
	}
	order.ClientRequestToken = nil
	if _, err := control.CreateProvisionedModelThroughput(ctx, order); !as[*controltypes.ValidationException](err) {
		t.Errorf("the name is taken: %v", err)
	}
	out, err := runtime.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: arn, Messages: ask("Hello")})
	if err != nil || *out.Usage.OutputTokens == 0 {
		t.Errorf("%+v %v", out, err)
	}
	stream, err := runtime.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: arn, Messages: ask("Hello")})
	if err != nil {
		t.Fatal(err)
	}
	for range stream.GetStream().Events() {
	}
	if err := stream.GetStream().Err(); err != nil {
		t.Error(err)
	}
	if _, err := control.UpdateProvisionedModelThroughput(ctx, &bedrock.UpdateProvisionedModelThroughputInput{
		ProvisionedModelId: arn, DesiredProvisionedModelName: aws.String("talk"),
	}); err != nil {
		t.Error(err)
	}
	pages := bedrock.NewListProvisionedModelThroughputsPaginator(control, &bedrock.ListProvisionedModelThroughputsInput{MaxResults: aws.Int32(1)})
	var names []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page.ProvisionedModelSummaries {
			names = append(names, *s.ProvisionedModelName)
		}
	}
	if slices.Sort(names); !slices.Equal(names, []string{"declared-chat", "talk"}) {
		t.Errorf("listed %q", names)
	}
	if _, err := control.DeleteProvisionedModelThroughput(ctx, &bedrock.DeleteProvisionedModelThroughputInput{ProvisionedModelId: aws.String("declared-chat")}); !as[*controltypes.ConflictException](err) || !strings.Contains(err.Error(), "managed by") {
		t.Errorf("what the configuration declares: %v", err)
	}
	if _, err := control.DeleteProvisionedModelThroughput(ctx, &bedrock.DeleteProvisionedModelThroughputInput{ProvisionedModelId: aws.String("talk")}); err != nil {
		t.Error(err)
	}
	if _, err := control.GetProvisionedModelThroughput(ctx, &bedrock.GetProvisionedModelThroughputInput{ProvisionedModelId: arn}); !as[*controltypes.ResourceNotFoundException](err) {
		t.Errorf("%v", err)
	}
}

// A tag asks for isolation through the Go SDK; one that is none is refused, and where every engine is shared nothing can be isolated.
func TestGoSDKAsksForIsolation(t *testing.T) {
	t.Parallel()
	r := start(t)
	keys := credentials.NewStaticCredentialsProvider(r.cred.AccessKeyID, r.cred.SecretAccessKey, "")
	control := bedrock.New(bedrock.Options{Region: "us-east-1", BaseEndpoint: &r.cred.URL, Credentials: keys, RetryMaxAttempts: 1})
	buy := func(name, isolation string) (*string, error) {
		made, err := control.CreateProvisionedModelThroughput(t.Context(), &bedrock.CreateProvisionedModelThroughputInput{
			ProvisionedModelName: &name, ModelId: aws.String(haiku), ModelUnits: aws.Int32(1),
			Tags: []controltypes.Tag{{Key: aws.String("forebay:isolation"), Value: &isolation}},
		})
		if err != nil {
			return nil, err
		}
		return made.ProvisionedModelArn, nil
	}
	if _, err := buy("rack", "rack"); !as[*controltypes.ValidationException](err) {
		t.Errorf("an isolation that is none: %v", err)
	}
	arn, err := buy("alone", "replica")
	if err != nil {
		t.Fatal(err)
	}
	got, err := control.GetProvisionedModelThroughput(t.Context(), &bedrock.GetProvisionedModelThroughputInput{ProvisionedModelId: arn})
	if err != nil || got.Status != controltypes.ProvisionedModelStatusFailed || !strings.Contains(aws.ToString(got.FailureMessage), "cannot be isolated") {
		t.Errorf("%+v %v", got, err)
	}
}
