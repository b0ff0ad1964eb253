package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"forebay/config"
	"forebay/server"
	"forebay/wire/eventstream"

	"github.com/go-json-experiment/json"
)

// demoCmd calls a model through every API and shows what it cost, without a terminal.
type demoCmd struct {
	serverFlags
}

// Run implements the verb. Its server and ledger are its own, unless a directory is named.
func (c *demoCmd) Run(e *env) error {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.DataDir == "" {
		dir, err := os.MkdirTemp("", "forebay-demo-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		c.DataDir = dir
	}
	cfg, err := c.load()
	if err != nil {
		return err
	}
	if _, ok := cfg.Engines["simulated"]; !ok && len(cfg.Models) == 0 {
		cfg.Engines = map[string]config.Engine{"simulated": {Type: "simulated", Profile: "demo"}}
	}
	log, _ := logger(&cfg, e)
	s, err := server.New(e.ctx, cfg, log)
	if err != nil {
		return err
	}
	return run(e, s, func(context.Context) {}, func(ctx context.Context) error {
		if err := demo(ctx, e, s); err != nil {
			return err
		}
		return context.Canceled // done: stop the server
	})
}

const (
	demoText  = "What is a forebay?"
	demoEmbed = "amazon.titan-embed-text-v2:0"
	demoNova  = "amazon.nova-lite-v1:0"
	demoLlama = "meta.llama3-8b-instruct-v1:0"
)

type demoCall struct {
	api, model, path, body string
}

var demoCalls = []demoCall{
	{"Bedrock Converse", demoModel, "/model/" + demoModel + "/converse", `{"messages":[{"role":"user","content":[{"text":"` + demoText + `"}]}]}`},
	{"Bedrock ConverseStream", demoModel, "/model/" + demoModel + "/converse-stream", `{"messages":[{"role":"user","content":[{"text":"` + demoText + `"}]}],"inferenceConfig":{"maxTokens":10}}`},
	{"Bedrock InvokeModel", demoModel, "/model/" + demoModel + "/invoke", `{"anthropic_version":"bedrock-2023-05-31","max_tokens":60,"messages":[{"role":"user","content":"` + demoText + `"}]}`},
	{"Bedrock InvokeModel", demoNova, "/model/" + demoNova + "/invoke", `{"messages":[{"role":"user","content":[{"text":"` + demoText + `"}]}],"inferenceConfig":{"maxTokens":60}}`},
	{"Bedrock InvokeModel", demoLlama, "/model/" + demoLlama + "/invoke", `{"prompt":"` + demoText + `","max_gen_len":60}`},
	{"Bedrock InvokeModel", demoEmbed, "/model/" + demoEmbed + "/invoke", `{"inputText":"` + demoText + `","dimensions":256}`},
	{"Bedrock InvokeModel, streamed", demoModel, "/model/" + demoModel + "/invoke-with-response-stream", `{"anthropic_version":"bedrock-2023-05-31","max_tokens":10,"messages":[{"role":"user","content":"` + demoText + `"}]}`},
	{"OpenAI chat", demoModel, "/v1/chat/completions", `{"model":"` + demoModel + `","max_tokens":60,"messages":[{"role":"user","content":"` + demoText + `"}]}`},
	{"OpenAI completions", demoLlama, "/v1/completions", `{"model":"` + demoLlama + `","max_tokens":60,"prompt":"` + demoText + `"}`},
	{"OpenAI embeddings", demoEmbed, "/v1/embeddings", `{"model":"` + demoEmbed + `","input":"` + demoText + `"}`},
	{"Anthropic messages", demoModel, "/v1/messages", `{"model":"` + demoModel + `","max_tokens":60,"messages":[{"role":"user","content":"` + demoText + `"}]}`},
	{"Anthropic count_tokens", demoModel, "/v1/messages/count_tokens", `{"model":"` + demoModel + `","messages":[{"role":"user","content":"` + demoText + `"}]}`},
}

func demo(ctx context.Context, e *env, s *server.Server) error {
	c := s.Credentials()
	_, _ = fmt.Fprintf(e.Out, "The same question through every API of %s:\n\n", c.URL)
	for _, d := range demoCalls {
		if err := demoOne(ctx, e, &c, d); err != nil {
			return fmt.Errorf("%s: %w", d.api, err)
		}
	}
	_, _ = fmt.Fprintf(e.Out, "\nStreamed, as it comes:\n> ")
	a, err := chat(ctx, c, demoModel, "", demoText, e.Out)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(e.Out, "\n  %s\n\nThe ledger:\n", summary(ctx, c, a))
	u := usageCmd{remote: remote{Server: c.URL, Key: c.APIKey}, By: []string{"api", "model"}}
	return u.Run(&env{ctx: ctx, Streams: e.Streams, parser: e.parser})
}

func demoOne(ctx context.Context, e *env, c *server.Credentials, d demoCall) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+strings.ReplaceAll(d.path, ":", "%3A"), bytes.NewReader([]byte(d.body)))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.APIKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", res.Status, b)
	}
	if res.Header.Get("Content-Type") == "application/vnd.amazon.eventstream" {
		if b, err = events(b); err != nil {
			return err
		}
	}
	const show = 150
	text := strings.ReplaceAll(string(b), "\n", " ")
	if len(text) > show {
		text = text[:show] + "..."
	}
	_, err = fmt.Fprintf(e.Out, "%-29s %s\n  %s\n", d.api, d.model, text)
	return err
}

// events are the payloads of an AWS event stream behind each other, chunks unwrapped. An exception in it is an error.
func events(stream []byte) ([]byte, error) {
	var out []byte
	for r := eventstream.NewReader(bytes.NewReader(stream)); ; {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		payload := m.Payload
		if name := m.String(":exception-type"); name != "" {
			return nil, fmt.Errorf("%s: %s", name, payload)
		}
		if m.String(":event-type") == "chunk" {
			var chunk struct {
				Bytes []byte `json:"bytes"`
			}
			if err := json.Unmarshal(payload, &chunk); err != nil {
				return nil, err
			}
			payload = chunk.Bytes
		}
		out = append(append(out, payload...), ' ')
	}
}
