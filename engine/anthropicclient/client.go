// Package anthropicclient speaks to Anthropic's Messages API and to what serves it.
//
// # Splices
//
// A Messages body passes through whichever form it has, Anthropic's own or Bedrock's: "model" is
// set to the engine's name of the model, "stream" is set where the API decides it outside
// the body, and Bedrock's "anthropic_version" and "anthropic_beta" leave the body for
// headers. No other byte changes, and nothing in responses. Other calls are converted by package dialect.
package anthropicclient

import (
	"context"
	"net/url"
	"strings"

	"forebay/dialect"
	"forebay/engine/reply"
	"forebay/engine/splice"
	"forebay/engine/upstream"
	"forebay/fault"
	"forebay/infer"

	"github.com/go-json-experiment/json"
)

// DefaultVersion is the anthropic-version header that is sent when none is configured.
const DefaultVersion = "2023-06-01"

// Config describes one engine.
type Config struct {
	Upstream  upstream.Config // /v1/messages is found below BaseURL
	APIKey    string          // sent as x-api-key
	Version   string          // anthropic-version; "" means DefaultVersion
	MaxTokens int64           // for converted calls without a bound of their own; 0 means the dialect's default
	MaxBody   int64           // bytes; 0 means reply.DefaultMaxBody
}

// Client implements engine.Client and engine.TokenCounter.
type Client struct {
	cfg    Config
	codec  *dialect.Codec
	look   func(string, []byte) (reply.Note, error)
	up     upstream.Client
	prefix string
}

// New returns a client of the engine.
func New(cfg Config) (*Client, error) {
	codec, ok := dialect.Get(infer.DialectAnthropic)
	if !ok {
		return nil, fault.New(fault.Internal, "no codec for Anthropic Messages")
	}
	if cfg.Version == "" {
		cfg.Version = DefaultVersion
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = reply.DefaultMaxBody
	}
	u, err := url.Parse(cfg.Upstream.BaseURL)
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, codec: codec, look: reply.Anthropic(codec)}
	c.prefix = strings.TrimSuffix(strings.TrimRight(u.EscapedPath(), "/"), "/v1") + "/v1"
	u.Path, u.RawPath = "", ""
	cfg.Upstream.BaseURL = u.String()
	h := append([]upstream.Field(nil), cfg.Upstream.Header...)
	h = append(h, upstream.Field{Name: "anthropic-version", Value: cfg.Version})
	if cfg.APIKey != "" {
		h = append(h, upstream.Field{Name: "x-api-key", Value: cfg.APIKey})
	}
	cfg.Upstream.Header = h
	if c.up, err = upstream.New(cfg.Upstream); err != nil {
		return nil, err
	}
	return c, nil
}

// Close implements engine.Client.
func (c *Client) Close() error { return c.up.Close() }

// Speaks implements engine.Client.
func (c *Client) Speaks(d infer.Dialect) bool { return d == infer.DialectAnthropic }

// Infer implements engine.Client.
func (c *Client) Infer(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	if req.Task != infer.TaskChat {
		return nil, fault.New(fault.Unsupported, "The provided model doesn't support embeddings.")
	}
	body, betas, dropped, err := c.body(req)
	if err != nil {
		return nil, err
	}
	out := &upstream.Request{Method: "POST", Path: c.prefix + "/messages", Header: header(betas), Body: body, Stream: req.Stream, Timeouts: req.Timeouts, Trace: req.Propagate}
	res, err := c.up.Do(ctx, out)
	if err != nil {
		return nil, err
	}
	if res.Status < 200 || res.Status > 299 {
		return nil, reply.Failure(res)
	}
	through := c.passes(req)
	head := infer.Head{RequestID: res.Header("request-id"), Model: req.UpstreamModel, PassThrough: through, Dropped: dropped}
	if !req.Stream {
		return c.whole(res, through, head)
	}
	if !reply.IsStream(res, "text/event-stream") {
		return nil, reply.NotAStream(res)
	}
	rules := reply.Rules{}
	if through {
		rules.Look = c.look
	} else {
		rules.Decoder = c.codec.NewStreamDecoder()
	}
	return infer.NewResponse(head, reply.NewStream(res, reply.SSE(res), rules)), nil
}

func (c *Client) passes(req *infer.Request) bool { return req.Body != nil && c.Speaks(req.Dialect) }

func (c *Client) body(req *infer.Request) (parts [][]byte, betas, dropped []string, err error) {
	body := req.Body
	if !c.passes(req) {
		if req.Chat == nil {
			return nil, nil, nil, fault.New(fault.Internal, "a call without a body or a decoded request")
		}
		opt := dialect.EncodeOptions{Model: req.UpstreamModel, Stream: req.Stream, MaxTokens: c.cfg.MaxTokens}
		if body, dropped, err = c.codec.EncodeChat(req.Chat, opt); err != nil {
			return nil, nil, nil, err
		}
	}
	edits, betas := splice.AnthropicAPI(body, req.UpstreamModel, req.Stream, req.Betas)
	if t := req.Facts.Tier; t != "" && t != "auto" && t != "standard_only" {
		edits = append(edits, splice.Edit{Name: "service_tier"}) // ours, which the API does not know
	}
	for _, b := range betas {
		if !plain(b) {
			return nil, nil, nil, fault.New(fault.Invalid, "anthropic_beta: Input should be a list of valid beta names")
		}
	}
	return splice.Parts(make([][]byte, 0, 8), body, edits...), betas, dropped, nil
}

// plain guards the header that a client's words go into.
func plain(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || c == ',' {
			return false
		}
	}
	return s != ""
}

func header(betas []string) []upstream.Field {
	h := []upstream.Field{{Name: "Content-Type", Value: "application/json"}}
	if len(betas) > 0 {
		h = append(h, upstream.Field{Name: "anthropic-beta", Value: strings.Join(betas, ",")})
	}
	return h
}

func (c *Client) whole(res *upstream.Response, through bool, head infer.Head) (*infer.Response, error) {
	body, err := reply.Whole(res, c.cfg.MaxBody)
	if err != nil {
		return nil, err
	}
	if through {
		u, ok := body.Usage(c.codec)
		return infer.NewResponse(head, body.Raw(u, ok, c.codec)), nil
	}
	defer body.Close() //nolint:errcheck // returns nil
	result, err := c.codec.DecodeResult(body.JSON)
	if err != nil {
		return nil, reply.Undecodable(err)
	}
	return infer.NewResponse(head, infer.OneResult(result)), nil
}

// Probe implements engine.Client.
func (c *Client) Probe(ctx context.Context) error {
	res, err := c.up.Do(ctx, &upstream.Request{Method: "GET", Path: c.prefix + "/models"})
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

// uncounted are the members that count_tokens refuses.
var uncounted = []string{
	"max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "metadata", "service_tier",
}

// CountTokens implements engine.TokenCounter by /v1/messages/count_tokens.
func (c *Client) CountTokens(ctx context.Context, req *infer.Request) (int64, error) {
	one := *req
	one.Stream = false
	parts, betas, _, err := c.body(&one)
	if err != nil {
		return 0, err
	}
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	edits := make([]splice.Edit, 0, len(uncounted))
	for _, name := range uncounted {
		edits = append(edits, splice.Edit{Name: name})
	}
	res, err := c.up.Do(ctx, &upstream.Request{
		Method: "POST", Path: c.prefix + "/messages/count_tokens", Header: header(betas), Body: splice.Parts(nil, body, edits...), Resend: true,
	})
	if err != nil {
		return 0, err
	}
	if res.Status < 200 || res.Status > 299 {
		return 0, reply.Failure(res)
	}
	answer, err := reply.Whole(res, c.cfg.MaxBody)
	if err != nil {
		return 0, err
	}
	defer answer.Close() //nolint:errcheck // returns nil
	var out struct {
		Input *int64 `json:"input_tokens"`
	}
	if err := json.Unmarshal(answer.JSON, &out, reply.Lenient); err != nil || out.Input == nil {
		return 0, fault.Wrap(fault.Unavailable, err, "The model's answer could not be understood.")
	}
	return *out.Input, nil
}
