package openaiclient

import (
	"testing"

	"forebay/engine"
	"forebay/engine/enginetest"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/engine/upstream"
	"forebay/infer"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

var (
	_ engine.Client       = (*Client)(nil)
	_ engine.TokenCounter = (*Client)(nil)
)

const members = `"messages":[{"role":"user","content":"Hi \u00e9 \"model\""}] , "x_unknown" : {"model":[1.0,2e3]},"temperature":0.10`

func setup(change func(cfg *Config)) enginetest.Setup {
	return enginetest.Setup{
		New: func(t testing.TB, up upstream.Config) engine.Client {
			cfg := Config{Upstream: up, APIKey: "secret"}
			if change != nil {
				change(&cfg)
			}
			c, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			return c
		},
		Through: fakeupstream.OpenAI, Dialect: infer.DialectOpenAI,
		Body: func(stream bool) (string, string) {
			if stream {
				return `{"model":"asked", ` + members + `,"stream":true}`,
					`{"stream_options":{"include_usage":true},"model":"` + enginetest.UpstreamModel + `", ` + members + `,"stream":true}`
			}
			return `{"model":"asked", ` + members + `}`, `{"model":"` + enginetest.UpstreamModel + `", ` + members + `}`
		},
		Target:  func(bool) string { return "/v1/chat/completions" },
		Raw:     func(sent []fakeupstream.Payload) []fakeupstream.Payload { return sent[:len(sent)-1] },
		Garbled: "data: {\"choices\": \n\n",
	}
}

func TestConformance(t *testing.T) { enginetest.Run(t, setup(nil)) }

func TestConformanceOverNetHTTP(t *testing.T) {
	enginetest.Run(t, setup(func(cfg *Config) { cfg.Upstream.NetHTTP = true }))
}
