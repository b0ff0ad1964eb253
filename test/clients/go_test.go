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

	"forebay/config"
	"forebay/identity"
	"forebay/server"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/auth/bearer"
)

const (
	haiku  = "anthropic.claude-3-haiku-20240307-v1:0"
	faulty = "anthropic.faulty" // served by an engine of its own, which tests make fail
)

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
	t.Parallel()
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
	t.Run("errors", func(t *testing.T) { goErrors(t, r.cred, signed) })
	t.Run("throttled", func(t *testing.T) { goThrottled(t, r.cred, signed) })
	options := bedrock.Options{Region: "us-east-1", BaseEndpoint: &r.cred.URL, Credentials: signed.Credentials}
	t.Run("made", func(t *testing.T) { goMade(t, r, &options, bedrockruntime.New(signed)) })
	t.Run("tiers", func(t *testing.T) { goTiers(t, r, bedrockruntime.New(signed)) })
	control := bedrock.New(options)
	list, err := control.ListFoundationModels(t.Context(), &bedrock.ListFoundationModelsInput{ByProvider: aws.String("Anthropic")})
	if err != nil || len(list.ModelSummaries) == 0 {
		t.Errorf("%v %v", list, err)
	}
	one, err := control.GetFoundationModel(t.Context(), &bedrock.GetFoundationModelInput{ModelIdentifier: aws.String(haiku)})
	if err != nil || *one.ModelDetails.ModelId != haiku {
		t.Errorf("%v %v", one, err)
	}
	_, err = control.GetFoundationModel(t.Context(), &bedrock.GetFoundationModelInput{ModelIdentifier: aws.String("no.such")})
	if !as[*controltypes.ResourceNotFoundException](err) {
		t.Errorf("%v", err)
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
	const toolPrompt = `[[tool:get_weather {"city":"Rome"}]]`
	called, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(haiku), Messages: ask(toolPrompt), ToolConfig: tools})
	if err != nil || called.StopReason != types.StopReasonToolUse {
		t.Fatalf("%+v %v", called, err)
	}
	stream, err := c.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{
		ModelId: aws.String("arn:aws:bedrock:us-east-1:000000000000:inference-profile/us." + haiku), ToolConfig: tools,
		Messages: ask(toolPrompt),
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

// as reports whether err is the SDK's class E.
func as[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func goErrors(t *testing.T, cred *server.Credentials, o bedrockruntime.Options) {
	id, secret := newKey(t, cred, identity.KeyPair, config.Policy{Models: []string{"amazon.*"}})
	denied := o
	denied.Credentials = credentials.NewStaticCredentialsProvider(id, secret, "")
	wrong := o
	wrong.Credentials = credentials.NewStaticCredentialsProvider(cred.AccessKeyID, "wrong", "")
	for name, c := range map[string]struct {
		options       bedrockruntime.Options
		model, prompt string
		is            func(error) bool
	}{
		"ValidationException":         {o, "no.such", "x", as[*types.ValidationException]},
		"ResourceNotFoundException":   {o, "arn:aws:bedrock:us-east-1:000000000000:provisioned-model/abcdefabcdef", "x", as[*types.ResourceNotFoundException]},
		"AccessDeniedException":       {denied, haiku, "x", as[*types.AccessDeniedException]},
		"ModelErrorException":         {o, haiku, "[[fail:418]]", as[*types.ModelErrorException]},
		"ServiceUnavailableException": {o, faulty, "[[fail:503]]", as[*types.ServiceUnavailableException]},
		"InvalidSignatureException":   {wrong, haiku, "x", as[smithy.APIError]},
	} {
		_, err := bedrockruntime.New(c.options).Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(c.model), Messages: ask(c.prompt)})
		if !c.is(err) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A key that has just been used up makes the SDK wait and try again; when it may not, its error is a ThrottlingException.
// On a machine so busy that the key has got a request back before the SDK asks, a slower key is tried.
func goThrottled(t *testing.T, cred *server.Credentials, o bedrockruntime.Options) {
	in := &bedrockruntime.ConverseInput{ModelId: aws.String(haiku), Messages: ask("[[tokens:1]]")}
	for _, perMinute := range []int64{30, 12, 5} {
		id, secret := newKey(t, cred, identity.KeyPair, config.Policy{Limits: config.Limits{RequestsPerMinute: perMinute}})
		o.Credentials, o.RetryMaxAttempts = credentials.NewStaticCredentialsProvider(id, secret, ""), 1
		var err error
		for range 2 * perMinute {
			if _, err = bedrockruntime.New(o).Converse(t.Context(), in); err != nil {
				break
			}
		}
		var throttled *types.ThrottlingException
		if !errors.As(err, &throttled) || throttled.ErrorMessage() != "Too many requests, please wait before trying again." {
			t.Fatalf("%v", err)
		}
		o.RetryMaxAttempts = 12
		out, err := bedrockruntime.New(o).Converse(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		attempts, ok := retry.GetAttemptResults(out.ResultMetadata)
		if counts := outcomes(t, cred, id); !ok || counts["refused"] != int64(len(attempts.Results)) {
			t.Errorf("%d attempts, on the ledger %v", len(attempts.Results), counts)
		}
		if len(attempts.Results) > 1 {
			return
		}
	}
	t.Error("the SDK was never throttled")
}
