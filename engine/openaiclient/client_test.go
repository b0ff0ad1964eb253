package openaiclient

import (
	"strings"
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

// A prompt goes to text completions, and as messages to engines that have none or would put
// it into the model's template once more.
func TestPromptsByFlavour(t *testing.T) {
	const prompt = "<s>[INST] hi [/INST]"
	for flavour, want := range map[Flavour]struct{ path, body string }{
		VLLM:   {"/v1/completions", `"prompt":"` + prompt + `"`},
		Ollama: {"/v1/chat/completions", `"messages":[{"role":"user","content":"hi"}]`},
		OpenAI: {"/v1/chat/completions", `"max_completion_tokens":9`},
		Chat:   {"/v1/chat/completions", `"max_tokens":9`},
	} {
		up := fakeupstream.New(t, fakeupstream.OpenAI)
		c := open(t, Config{Upstream: upstream.Config{BaseURL: up.URL}, Flavour: flavour})
		text, limit := prompt, int64(9)
		res, err := c.Infer(t.Context(), &infer.Request{UpstreamModel: "up", Chat: &infer.Chat{Prompt: &text, MaxTokens: &limit}})
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Close()
		if call := up.Calls()[0]; call.Target != want.path || !strings.Contains(string(call.Body), want.body) {
			t.Errorf("%s: %s %s, want %s with %s", flavour, call.Target, call.Body, want.path, want.body)
		}
		if c.Speaks(infer.DialectOpenAICompletions) != (flavour != Chat) {
			t.Errorf("%s: completions pass through: %v", flavour, flavour == Chat)
		}
	}
}

// Vectors of another size than was asked for are no answer.
func TestEmbeddingsHaveTheSizeAskedFor(t *testing.T) {
	up := fakeupstream.New(t, fakeupstream.OpenAI)
	up.Handle(func(c *fakeupstream.Call) {
		c.Respond(200, nil, []byte(`{"data":[{"index":0,"embedding":[1,0,0]}],"usage":{"prompt_tokens":1}}`))
	})
	c := open(t, Config{Upstream: upstream.Config{BaseURL: up.URL}})
	for size, ok := range map[int64]bool{0: true, 3: true, 256: false} {
		e := &infer.Embed{Inputs: []string{"x"}}
		if size > 0 {
			e.Dimensions = &size
		}
		_, err := c.Infer(t.Context(), &infer.Request{UpstreamModel: "up", Task: infer.TaskEmbed, Embed: e})
		if (err == nil) != ok {
			t.Errorf("%d dimensions: %v", size, err)
		}
	}
}
