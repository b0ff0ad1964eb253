package openaiclient

import (
	"context"

	"forebay/dialect"
	"forebay/engine/reply"
	"forebay/engine/splice"
	"forebay/engine/upstream"
	"forebay/fault"
	"forebay/infer"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Probe implements engine.Client.
func (c *Client) Probe(ctx context.Context) error {
	at := c.habits.health
	if at == "" {
		at = c.prefix + "/models"
	}
	res, err := c.up.Do(ctx, &upstream.Request{Method: "GET", Path: at})
	if err != nil {
		return err
	}
	if res.Status < 200 || res.Status > 299 {
		return reply.Failure(res)
	}
	_, err = res.ReadAll(nil, 1<<20) // to its end, so that the connection is kept
	_ = res.Close()
	return err
}

// counter counts the tokens of a chat body, or of a prompt when that is not nil.
type counter func(ctx context.Context, c *Client, model string, body []byte, prompt *string) (int64, error)

// CountTokens implements engine.TokenCounter, for engines that have a tokenizer of the
// served model at hand. Others, and calls with media, are Unsupported.
func (c *Client) CountTokens(ctx context.Context, req *infer.Request) (int64, error) {
	if c.habits.count == nil {
		return 0, fault.New(fault.Unsupported, "The provided model doesn't support counting tokens.").
			WithReason("engines of flavour %q have no tokenizer endpoint", c.cfg.Flavour)
	}
	if req.Facts.Media > 0 {
		return 0, fault.New(fault.Unsupported, "The provided model doesn't support counting tokens of images.")
	}
	if req.Body != nil && req.Dialect == infer.DialectOpenAI {
		return c.habits.count(ctx, c, req.UpstreamModel, req.Body, nil)
	}
	if req.Chat == nil {
		return 0, fault.New(fault.Unsupported, "The provided model doesn't support counting tokens of this request.")
	}
	if req.Chat.Prompt != nil {
		return c.habits.count(ctx, c, req.UpstreamModel, nil, req.Chat.Prompt)
	}
	codec, ok := dialect.Get(infer.DialectOpenAI)
	if !ok {
		return 0, fault.New(fault.Internal, "no codec for chat completions")
	}
	body, _, err := codec.EncodeChat(req.Chat, dialect.EncodeOptions{Model: req.UpstreamModel})
	if err != nil {
		return 0, err
	}
	return c.habits.count(ctx, c, req.UpstreamModel, body, nil)
}

// post sends v, or a body as it is, and decodes the answer.
func (c *Client) post(ctx context.Context, at string, body []byte, out any) error {
	res, err := c.up.Do(ctx, &upstream.Request{Method: "POST", Path: at, Header: []upstream.Field{jsonHeader}, Body: [][]byte{body}, Resend: true})
	if err != nil {
		return err
	}
	if res.Status < 200 || res.Status > 299 {
		return reply.Failure(res)
	}
	answer, err := reply.Whole(res, c.cfg.MaxBody)
	if err != nil {
		return err
	}
	defer answer.Close() //nolint:errcheck // returns nil
	if err := json.Unmarshal(answer.JSON, out, reply.Lenient); err != nil {
		return fault.Wrap(fault.Unavailable, err, "The model's answer could not be understood.")
	}
	return nil
}

func encode(v any) []byte {
	b, err := json.Marshal(v, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	return b
}

// countLlama asks llama-server: /apply-template renders the chat, /tokenize counts (its
// server README).
func countLlama(ctx context.Context, c *Client, _ string, body []byte, prompt *string) (int64, error) {
	if prompt == nil {
		var rendered struct {
			Prompt string `json:"prompt"`
		}
		if err := c.post(ctx, "/apply-template", body, &rendered); err != nil {
			return 0, err
		}
		prompt = &rendered.Prompt
	}
	var out struct {
		Tokens []jsontext.Value `json:"tokens"`
	}
	err := c.post(ctx, "/tokenize", encode(struct {
		Content string `json:"content"`
		Special bool   `json:"add_special"`
		Parse   bool   `json:"parse_special"`
	}{*prompt, true, true}), &out)
	return int64(len(out.Tokens)), err
}

// countVLLM asks vLLM's /tokenize, which takes chats and prompts.
func countVLLM(ctx context.Context, c *Client, model string, body []byte, prompt *string) (int64, error) {
	in := struct {
		Model    string         `json:"model,omitempty"`
		Prompt   *string        `json:"prompt,omitempty"`
		Messages jsontext.Value `json:"messages,omitempty"`
		Tools    jsontext.Value `json:"tools,omitempty"`
	}{Model: model, Prompt: prompt}
	if prompt == nil {
		in.Messages, in.Tools = member(body, "messages"), member(body, "tools")
	}
	var out struct {
		Count int64 `json:"count"`
	}
	err := c.post(ctx, "/tokenize", encode(&in), &out)
	return out.Count, err
}

func member(body []byte, name string) jsontext.Value { return splice.Member(body, name) }
