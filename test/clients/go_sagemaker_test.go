package clients

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	sagemakertypes "github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime"
	runtimetypes "github.com/aws/aws-sdk-go-v2/service/sagemakerruntime/types"
)

// The Go SDK deploys a container, waits for it, calls it in one piece and as a stream, and deletes it.
func TestGoSDKDeploys(t *testing.T) {
	t.Parallel()
	r := start(t)
	keys := credentials.NewStaticCredentialsProvider(r.cred.AccessKeyID, r.cred.SecretAccessKey, "")
	control := sagemaker.New(sagemaker.Options{Region: "us-east-1", BaseEndpoint: &r.cred.URL, Credentials: keys, RetryMaxAttempts: 1})
	runtime := sagemakerruntime.New(sagemakerruntime.Options{Region: "us-east-1", BaseEndpoint: &r.cred.URL, Credentials: keys, RetryMaxAttempts: 1})
	ctx, name := t.Context(), aws.String("go-echo")
	if _, err := control.CreateModel(ctx, &sagemaker.CreateModelInput{
		ModelName: name, PrimaryContainer: &sagemakertypes.ContainerDefinition{Image: aws.String("echo"), Environment: map[string]string{"LEVEL": "7"}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := control.CreateEndpointConfig(ctx, &sagemaker.CreateEndpointConfigInput{EndpointConfigName: name, ProductionVariants: []sagemakertypes.ProductionVariant{
		{VariantName: aws.String("all"), ModelName: name, InstanceType: sagemakertypes.ProductionVariantInstanceTypeMlM5Large, InitialInstanceCount: aws.Int32(1)},
	}}); err != nil {
		t.Fatal(err)
	}
	if _, err := control.CreateEndpoint(ctx, &sagemaker.CreateEndpointInput{EndpointName: name, EndpointConfigName: name}); err != nil {
		t.Fatal(err)
	}
	at := &sagemaker.DescribeEndpointInput{EndpointName: name}
	quick := func(least, most *time.Duration) { *least, *most = 50*time.Millisecond, time.Second }
	up := sagemaker.NewEndpointInServiceWaiter(control, func(o *sagemaker.EndpointInServiceWaiterOptions) { quick(&o.MinDelay, &o.MaxDelay) })
	if err := up.Wait(ctx, at, time.Minute); err != nil {
		t.Fatal(err)
	}
	call := func(body string) (*sagemakerruntime.InvokeEndpointOutput, error) {
		return runtime.InvokeEndpoint(ctx, &sagemakerruntime.InvokeEndpointInput{EndpointName: name, Body: []byte(body), ContentType: aws.String("text/csv")})
	}
	out, err := call("1,2")
	if err != nil || string(out.Body) != "7:1,2" || *out.ContentType != "text/csv" || *out.InvokedProductionVariant != "all" {
		t.Errorf("%+v %v", out, err)
	}
	_, err = call("refuse")
	if !as[*runtimetypes.ModelError](err) || !strings.Contains(err.Error(), "Received client error (422) from primary") {
		t.Errorf("%v", err)
	}
	stream, err := runtime.InvokeEndpointWithResponseStream(ctx, &sagemakerruntime.InvokeEndpointWithResponseStreamInput{EndpointName: name, Body: []byte("hello")})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for ev := range stream.GetStream().Events() {
		if part, ok := ev.(*runtimetypes.ResponseStreamMemberPayloadPart); ok {
			got.Write(part.Value.Bytes)
		}
	}
	if err := stream.GetStream().Err(); err != nil || got.String() != "7:hello" {
		t.Errorf("%q %v", got.String(), err)
	}
	if _, err := control.DeleteEndpoint(ctx, &sagemaker.DeleteEndpointInput{EndpointName: name}); err != nil {
		t.Fatal(err)
	}
	gone := sagemaker.NewEndpointDeletedWaiter(control, func(o *sagemaker.EndpointDeletedWaiterOptions) { quick(&o.MinDelay, &o.MaxDelay) })
	if err := gone.Wait(ctx, at, time.Minute); err != nil {
		t.Error(err)
	}
}
