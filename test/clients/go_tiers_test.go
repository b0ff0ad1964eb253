package clients

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// goTiers asks for each tier of service by the Go SDK, streamed and not, and is told which one served.
func goTiers(t *testing.T, r *running, c *bedrockruntime.Client) {
	const mistral = "mistral.mistral-7b-instruct-v0:2"
	serves := func(asked, served types.ServiceTierType) {
		t.Helper()
		tier := &types.ServiceTier{Type: asked}
		out, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(mistral), Messages: ask("[[tokens:1]]"), ServiceTier: tier})
		if err != nil || out.ServiceTier == nil || out.ServiceTier.Type != served {
			t.Errorf("%s: %+v %v", asked, out, err)
		}
		stream, err := c.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{ModelId: aws.String(mistral), Messages: ask("[[tokens:1]]"), ServiceTier: tier})
		if err != nil {
			t.Errorf("%s: %v", asked, err)
			return
		}
		var told types.ServiceTierType
		for ev := range stream.GetStream().Events() {
			if m, ok := ev.(*types.ConverseStreamOutputMemberMetadata); ok && m.Value.ServiceTier != nil {
				told = m.Value.ServiceTier.Type
			}
		}
		if err := stream.GetStream().Err(); err != nil || told != served {
			t.Errorf("%s, streamed: %q %v", asked, told, err)
		}
		invoked, err := c.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{
			ModelId: aws.String(mistral), ServiceTier: asked, ContentType: aws.String("application/json"), Body: []byte(`{"prompt":"Hi","max_tokens":1}`),
		})
		if err != nil || invoked.ServiceTier != served {
			t.Errorf("%s, invoked: %+v %v", asked, invoked, err)
		}
	}
	serves(types.ServiceTierTypePriority, types.ServiceTierTypePriority)
	serves(types.ServiceTierTypeFlex, types.ServiceTierTypeFlex)
	serves(types.ServiceTierTypeReserved, types.ServiceTierTypeDefault) // which nobody has bought
	order := map[string]any{"model": mistral, "inputTokensPerMinute": 5000, "outputTokensPerMinute": 1000}
	var bought struct {
		Status string `json:"status"`
	}
	if askAdmin(t, r.cred, http.MethodPost, "provisioned/go-tier", order, &bought); bought.Status != "InService" {
		t.Fatalf("%+v", bought)
	}
	serves(types.ServiceTierTypeReserved, types.ServiceTierTypeReserved)
	serves(types.ServiceTierTypeDefault, types.ServiceTierTypeDefault)
	if _, err := c.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(mistral), Messages: ask("Hi"), ServiceTier: &types.ServiceTier{Type: "gold"}}); !as[*types.ValidationException](err) {
		t.Errorf("a tier that is none: %v", err)
	}
}
