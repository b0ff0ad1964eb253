package clients

import (
	"context"
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
	seen := driven{}
	control := seen.client(&bedrock.Options{Region: "us-east-1", BaseEndpoint: &r.cred.URL, Credentials: keys, RetryMaxAttempts: 1})
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
	native := []byte(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`)
	invoked, err := runtime.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: arn, Body: native, ContentType: aws.String("application/json")})
	if err != nil || !strings.Contains(string(invoked.Body), `"content"`) {
		t.Errorf("%+v %v", invoked, err)
	}
	chunks, err := runtime.InvokeModelWithResponseStream(ctx, &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: arn, Body: native, ContentType: aws.String("application/json")})
	if err != nil {
		t.Fatal(err)
	}
	for range chunks.GetStream().Events() {
	}
	if err := chunks.GetStream().Err(); err != nil {
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
	goCommitment(t, control)
	goTunedOnThroughput(t, r, control, runtime)
	seen.all(t, operationsOfPurchases)
}

// goCommitment buys for a month, which cannot be ended before, and orders what cannot be sold.
func goCommitment(t *testing.T, control *bedrock.Client) {
	order := func(name, model string, units int32) (*bedrock.CreateProvisionedModelThroughputOutput, error) {
		return control.CreateProvisionedModelThroughput(t.Context(), &bedrock.CreateProvisionedModelThroughputInput{
			ProvisionedModelName: &name, ModelId: &model, ModelUnits: &units, CommitmentDuration: controltypes.CommitmentDurationOneMonth,
		})
	}
	made, err := order("month", titan, 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := control.GetProvisionedModelThroughput(t.Context(), &bedrock.GetProvisionedModelThroughputInput{ProvisionedModelId: made.ProvisionedModelArn})
	if err != nil || got.CommitmentDuration != controltypes.CommitmentDurationOneMonth || !got.CommitmentExpirationTime.After(*got.CreationTime) {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := control.DeleteProvisionedModelThroughput(t.Context(), &bedrock.DeleteProvisionedModelThroughputInput{ProvisionedModelId: made.ProvisionedModelArn}); !as[*controltypes.ConflictException](err) {
		t.Errorf("deleted before its term ends: %v", err)
	}
	for name, x := range map[string]struct {
		model string
		units int32
		is    func(error) bool
	}{
		"none":    {titan, 0, as[*controltypes.ValidationException]},
		"unknown": {"no.such", 1, as[*controltypes.ValidationException]},
		"foreign": {"arn:aws:bedrock:us-east-1:999999999999:custom-model/" + haiku + "/abcdefabcdef", 1, as[*controltypes.ResourceNotFoundException]},
	} {
		if _, err := order(name, x.model, x.units); !x.is(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// goTunedOnThroughput serves a fine-tuned model from provisioned throughput, and exchanges it for another one of its base.
func goTunedOnThroughput(t *testing.T, r *running, control *bedrock.Client, runtime *bedrockruntime.Client) {
	first, second, foreign := goTuned(t, r, control, "go-first", nova), goTuned(t, r, control, "go-second", nova), goTuned(t, r, control, "go-foreign", haiku)
	made, err := control.CreateProvisionedModelThroughput(t.Context(), &bedrock.CreateProvisionedModelThroughputInput{
		ProvisionedModelName: aws.String("tuned"), ModelId: first, ModelUnits: aws.Int32(1),
	})
	if err != nil {
		t.Fatal(err)
	}
	serves := func(model *string) {
		t.Helper()
		settled(t, func(ctx context.Context) (bool, error) {
			got, err := control.GetProvisionedModelThroughput(ctx, &bedrock.GetProvisionedModelThroughputInput{ProvisionedModelId: made.ProvisionedModelArn})
			return err == nil && (got.Status != controltypes.ProvisionedModelStatusInService || *got.ModelArn != *model), err
		})
		converses(t, runtime, *made.ProvisionedModelArn)
	}
	serves(first)
	exchange := func(model *string) error {
		_, err := control.UpdateProvisionedModelThroughput(t.Context(), &bedrock.UpdateProvisionedModelThroughputInput{ProvisionedModelId: made.ProvisionedModelArn, DesiredModelId: model})
		return err
	}
	if err := exchange(foreign); !as[*controltypes.ValidationException](err) {
		t.Errorf("a model of another base: %v", err)
	}
	if err := exchange(second); err != nil {
		t.Fatal(err)
	}
	serves(second)
	if _, err := control.DeleteProvisionedModelThroughput(t.Context(), &bedrock.DeleteProvisionedModelThroughputInput{ProvisionedModelId: made.ProvisionedModelArn}); err != nil {
		t.Error(err)
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
