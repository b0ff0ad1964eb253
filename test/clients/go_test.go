package clients

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go/auth/bearer"
)

const haiku = "anthropic.claude-3-haiku-20240307-v1:0"

func ask(text string) []types.Message {
	return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}}}
}

// plainBodies hides the WriterTo of request bodies from net/http. The SDK closes a request's body as soon as the
// response's head is there, and the WriteTo of its wrapper then reports io.EOF as an error (smithy-go
// transport/http/internal/io/safe.go), for which net/http closes the connection. Only an engine that answers within
// microseconds, as the one of this test does, is fast enough to be hit by it.
type plainBodies struct{ *http.Transport }

func (p plainBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r = r.Clone(r.Context())
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return p.Transport.RoundTrip(r)
}

// The Go SDK, by signature over plain HTTP and by bearer key over TLS, which alone it sends such keys on.
func TestGoSDK(t *testing.T) {
	r := start(t)
	pem, err := os.ReadFile(r.cred.CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	signed := bedrockruntime.Options{
		Region: "us-east-1", BaseEndpoint: &r.cred.URL, RetryMaxAttempts: 1,
		HTTPClient:  &http.Client{Transport: plainBodies{http.DefaultTransport.(*http.Transport).Clone()}},
		Credentials: credentials.NewStaticCredentialsProvider(r.cred.AccessKeyID, r.cred.SecretAccessKey, ""),
	}
	keyed := bedrockruntime.Options{
		Region: "us-east-1", BaseEndpoint: &r.cred.TLSURL, RetryMaxAttempts: 1,
		HTTPClient:              &http.Client{Transport: plainBodies{&http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}}},
		BearerAuthTokenProvider: bearer.StaticTokenProvider{Token: bearer.Token{Value: r.cred.APIKey}},
		AuthSchemePreference:    []string{"httpBearerAuth"},
	}
	for name, o := range map[string]bedrockruntime.Options{"signed": signed, "keyed": keyed} {
		t.Run(name, func(t *testing.T) { goRuntime(t, bedrockruntime.New(o)) })
	}
	control := bedrock.New(bedrock.Options{Region: "us-east-1", BaseEndpoint: &r.cred.URL, Credentials: signed.Credentials})
	list, err := control.ListFoundationModels(t.Context(), &bedrock.ListFoundationModelsInput{ByProvider: aws.String("Anthropic")})
	if err != nil || len(list.ModelSummaries) == 0 {
		t.Errorf("%v %v", list, err)
	}
}

func goRuntime(t *testing.T, c *bedrockruntime.Client) {
	out, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(haiku), Messages: ask("Hello")})
	if err != nil || *out.Usage.TotalTokens != *out.Usage.InputTokens+*out.Usage.OutputTokens {
		t.Fatalf("%+v %v", out, err)
	}
	tools := &types.ToolConfiguration{Tools: []types.Tool{&types.ToolMemberToolSpec{Value: types.ToolSpecification{
		Name: aws.String("get_weather"), InputSchema: &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(map[string]any{"type": "object"})},
	}}}}
	stream, err := c.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{
		ModelId: aws.String("arn:aws:bedrock:us-east-1:000000000000:inference-profile/us." + haiku), ToolConfig: tools,
		Messages: ask(`[[tool:get_weather {"city":"Rome"}]]`),
	})
	if err != nil {
		t.Fatal(err)
	}
	var input strings.Builder
	var stop types.StopReason
	for ev := range stream.GetStream().Events() {
		switch e := ev.(type) {
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			if d, ok := e.Value.Delta.(*types.ContentBlockDeltaMemberToolUse); ok {
				input.WriteString(*d.Value.Input)
			}
		case *types.ConverseStreamOutputMemberMessageStop:
			stop = e.Value.StopReason
		}
	}
	if err := stream.GetStream().Err(); err != nil || input.String() != `{"city":"Rome"}` || stop != types.StopReasonToolUse {
		t.Errorf("%q %s %v", input.String(), stop, err)
	}
	chunks := 0
	invoked, err := c.InvokeModelWithResponseStream(t.Context(), &bedrockruntime.InvokeModelWithResponseStreamInput{
		ModelId: aws.String(haiku), ContentType: aws.String("application/json"),
		Body: []byte(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":20,"messages":[{"role":"user","content":"hi"}]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	for range invoked.GetStream().Events() {
		chunks++
	}
	if err := invoked.GetStream().Err(); err != nil || chunks < 5 {
		t.Errorf("%d chunks, %v", chunks, err)
	}
	_, err = c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String("no.such"), Messages: ask("x")})
	var invalid *types.ValidationException
	if !errors.As(err, &invalid) {
		t.Errorf("%v", err)
	}
	// A failure behind the first byte is an exception frame.
	broken, err := c.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: aws.String(haiku), Messages: ask("[[fail:500 after 3]]")})
	if err != nil {
		t.Fatal(err)
	}
	for range broken.GetStream().Events() {
	}
	var failed *types.ModelStreamErrorException
	if err := broken.GetStream().Err(); !errors.As(err, &failed) {
		t.Errorf("%v", err)
	}
}
