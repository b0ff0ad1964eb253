package config

import (
	"testing"

	"forebay/capacity"
)

func TestPoolKinds(t *testing.T) {
	const arn = "arn:aws:bedrock:us-east-1:111111111111:provisioned-model/abcdefghijkl"
	for _, x := range []struct {
		name     string
		engine   Engine
		upstream string
		want     capacity.PoolKind
	}{
		{"a server on this machine", Engine{Type: "openai", URL: "http://127.0.0.1:8000/v1"}, "m", capacity.PoolOwned},
		{"one in the network", Engine{Type: "openai", URL: "http://10.1.2.3:8000/v1"}, "m", capacity.PoolOwned},
		{"one by a plain name", Engine{Type: "openai", URL: "http://vllm:8000/v1"}, "m", capacity.PoolOwned},
		{"one in a cluster", Engine{Type: "openai", URL: "http://vllm.models.svc/v1"}, "m", capacity.PoolOwned},
		{"vLLM somewhere", Engine{Type: "openai", Flavour: "vllm", URL: "https://gpu.example.com/v1"}, "m", capacity.PoolOwned},
		{"a cloud that speaks OpenAI's API", Engine{Type: "openai", URL: "https://api.openai.com/v1"}, "m", capacity.PoolRented},
		{"a proxy with a quota", Engine{Type: "openai", URL: "http://127.0.0.1:8000/v1", Quota: Quota{TokensPerMinute: 1}}, "m", capacity.PoolRented},
		{"Anthropic", Engine{Type: "anthropic", URL: "https://api.anthropic.com/v1"}, "m", capacity.PoolRented},
		{"Bedrock", Engine{Type: "bedrock"}, "anthropic.claude-3-haiku-20240307-v1:0", capacity.PoolRented},
		{"provisioned in Bedrock", Engine{Type: "bedrock"}, arn, capacity.PoolBought},
		{"simulated", Engine{Type: "simulated"}, "m", capacity.PoolOwned},
		{"said", Engine{Type: "bedrock", Pool: "owned"}, arn, capacity.PoolOwned},
		{"said, too", Engine{Type: "openai", URL: "http://127.0.0.1/v1", Pool: "bought"}, "m", capacity.PoolBought},
	} {
		if got, why := x.engine.PoolKind(x.upstream); got != x.want || why == "" {
			t.Errorf("%s: %s, because %s; want %s", x.name, got, why, x.want)
		}
	}
}
