package bedrockclient

import (
	"strings"
	"testing"

	"forebay/engine"
	"forebay/engine/enginetest"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/engine/upstream"
	"forebay/infer"

	"github.com/aws/aws-sdk-go-v2/credentials"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

var (
	_ engine.Client       = (*Client)(nil)
	_ engine.TokenCounter = (*Client)(nil)
)

func open(t testing.TB, up upstream.Config, family infer.Dialect) *Client {
	c, err := New(t.Context(), Config{
		Upstream: up, Region: "us-east-1", Family: family, Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "token"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func setup(open func(t testing.TB, up upstream.Config) engine.Client) enginetest.Setup {
	const members = `"max_tokens":10 , "messages":[{"role":"user","content":"Hi \u00e9 \"model\""}],"x_unknown" : {"model":[1.0,2e3]}`
	return enginetest.Setup{
		New:     open,
		Through: fakeupstream.BedrockAnthropic, Canonical: fakeupstream.Converse, Dialect: infer.DialectAnthropic,
		Body: func(stream bool) (string, string) {
			tail := `}`
			if stream {
				tail = `,"stream":true}`
			}
			return `{"model":"asked",` + members + tail, `{"anthropic_version":"bedrock-2023-05-31",` + members + `}`
		},
		Target: func(stream bool) string {
			if stream {
				return "/model/vendor%2Fupstream-model%3A1/invoke-with-response-stream"
			}
			return "/model/vendor%2Fupstream-model%3A1/invoke"
		},
		Raw: func(sent []fakeupstream.Payload) []fakeupstream.Payload {
			out := make([]fakeupstream.Payload, len(sent))
			for i, p := range sent {
				data, _, cut := strings.Cut(p.Data, `,"amazon-bedrock-invocationMetrics"`)
				if cut {
					data += "}"
				}
				out[i] = fakeupstream.Payload{Data: data}
			}
			return out
		},
		Garbled: strings.Repeat("not a frame ", 10),
	}
}

func TestConformance(t *testing.T) {
	enginetest.Run(t, setup(func(t testing.TB, up upstream.Config) engine.Client { return open(t, up, infer.DialectAnthropic) }))
}

// Converse bodies pass through as well.
func TestConformanceOfConverse(t *testing.T) {
	const body = `{ "messages":[{"role":"user","content":[{"text":"Hi \u00e9 \"model\""}]}],"x_unknown" : {"model":[1.0,2e3]} }`
	enginetest.Run(t, enginetest.Setup{
		New:     func(t testing.TB, up upstream.Config) engine.Client { return open(t, up, infer.DialectAnthropic) },
		Through: fakeupstream.Converse, Dialect: infer.DialectConverse,
		Body: func(bool) (string, string) { return body, body },
		Target: func(stream bool) string {
			if stream {
				return "/model/vendor%2Fupstream-model%3A1/converse-stream"
			}
			return "/model/vendor%2Fupstream-model%3A1/converse"
		},
		Raw:     func(sent []fakeupstream.Payload) []fakeupstream.Payload { return sent },
		Garbled: strings.Repeat("not a frame ", 10),
	})
}

func TestConformanceWithKey(t *testing.T) {
	enginetest.Run(t, setup(func(t testing.TB, up upstream.Config) engine.Client {
		c, err := New(t.Context(), Config{Upstream: up, Region: "us-east-1", Family: infer.DialectAnthropic, APIKey: "bedrock-api-key-x"})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}))
}
