package bedrockclient

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"forebay/dialect"
	"forebay/engine/reply"
	"forebay/engine/splice"
	"forebay/engine/upstream"
	"forebay/fault"
	"forebay/infer"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/go-json-experiment/json"
)

// Config describes one upstream account and the model that is called there.
type Config struct {
	Upstream upstream.Config // BaseURL may be empty: AWS's endpoint of the region
	Region   string
	// Family is the dialect of the model's InvokeModel bodies.
	Family infer.Dialect
	// Completion is the dialect of the prompts that the model's InvokeModel takes as well; "" where it takes none.
	Completion infer.Dialect

	// APIKey is a Bedrock API key. Otherwise calls are signed: with Credentials, or with
	// what the SDK's default chain finds in the environment.
	APIKey      string
	Credentials aws.CredentialsProvider

	MaxTokens int64 // for converted embeddings and chats without a bound; 0 means the dialect's default
	MaxBody   int64 // bytes; 0 means reply.DefaultMaxBody
	// Now is the clock of signatures; nil means time.Now.
	Now func() time.Time
}

// Client implements engine.Client and engine.TokenCounter.
type Client struct {
	cfg    Config
	family *dialect.Codec
	// completion is the codec of Config.Completion, nil without one.
	completion *dialect.Codec
	converse   *dialect.Codec
	up         upstream.Client
	sign       signer
}

// New returns a client. The context bounds the reading of the SDK's configuration.
func New(ctx context.Context, cfg Config) (*Client, error) {
	c := &Client{cfg: cfg}
	var ok bool
	if c.family, ok = dialect.Get(cfg.Family); !ok {
		return nil, errors.New("bedrock client: unknown family " + strconv.Quote(string(cfg.Family)))
	}
	if cfg.Completion != "" {
		if c.completion, ok = dialect.Get(cfg.Completion); !ok {
			return nil, errors.New("bedrock client: unknown dialect of prompts " + strconv.Quote(string(cfg.Completion)))
		}
	}
	if c.converse, ok = dialect.Get(infer.DialectConverse); !ok {
		return nil, errors.New("bedrock client: no codec for Converse")
	}
	if c.cfg.MaxBody == 0 {
		c.cfg.MaxBody = reply.DefaultMaxBody
	}
	if c.cfg.Now == nil {
		c.cfg.Now = time.Now
	}
	if cfg.APIKey == "" && cfg.Credentials == nil || cfg.Region == "" {
		if err := c.defaults(ctx); err != nil {
			return nil, err
		}
	}
	if cfg.Upstream.BaseURL == "" {
		if c.cfg.Region == "" {
			return nil, errors.New("bedrock client: no region")
		}
		cfg.Upstream.BaseURL = "https://bedrock-runtime." + c.cfg.Region + ".amazonaws.com"
	}
	u, err := url.Parse(cfg.Upstream.BaseURL)
	if err != nil {
		return nil, err
	}
	if cfg.APIKey != "" {
		bearer := upstream.Field{Name: "Authorization", Value: "Bearer " + cfg.APIKey}
		cfg.Upstream.Header = append(slices.Clone(cfg.Upstream.Header), bearer)
	} else {
		c.sign = newSigner(&c.cfg, u)
	}
	c.up, err = upstream.New(cfg.Upstream)
	return c, err
}

// Close implements engine.Client.
func (c *Client) Close() error { return c.up.Close() }

// Speaks implements engine.Client.
func (c *Client) Speaks(d infer.Dialect) bool {
	return d == c.cfg.Family || c.completion != nil && d == c.cfg.Completion || d == infer.DialectConverse && c.family.EncodeChat != nil
}

// plan is how one call goes out and how its answer is read.
type plan struct {
	path    string
	codec   *dialect.Codec
	embed   bool
	through bool
	frames  bool // the stream's payloads are in chunk frames
	body    [][]byte
	dropped []string
}

// Infer implements engine.Client.
func (c *Client) Infer(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	p, err := c.plan(req)
	if err != nil {
		return nil, err
	}
	stream := req.Stream && !p.embed
	accept := "Accept"
	if stream && p.frames {
		accept = "X-Amzn-Bedrock-Accept"
	}
	header := []upstream.Field{{Name: accept, Value: "application/json"}}
	if p.through && p.frames {
		header = append(header, cloudHeaders(req)...)
	}
	res, err := c.do(ctx, &upstream.Request{Path: p.path, Body: p.body, Header: header, Stream: stream, Timeouts: req.Timeouts, Trace: req.Propagate})
	if err != nil {
		return nil, err
	}
	head := infer.Head{RequestID: res.Header("x-amzn-requestid"), Model: req.UpstreamModel, PassThrough: p.through, Dropped: p.dropped}
	if tier, ok := infer.ParseTier(res.Header("X-Amzn-Bedrock-Service-Tier")); ok {
		head.Tier = tier
	}
	head.Latency = performed(res.Header(headerPerformance))
	if !stream {
		return c.whole(res, p, head)
	}
	if !reply.IsStream(res, "application/vnd.amazon.eventstream") {
		return nil, reply.NotAStream(res)
	}
	rules := reply.Rules{Trailing: true}
	switch {
	case p.through && p.codec == c.converse:
		rules.Look = lookConverse
	case p.through:
		rules.Look = looker(p.codec)
	default:
		rules.Decoder = p.codec.NewStreamDecoder()
	}
	return infer.NewResponse(head, reply.NewStream(res, newFrames(res), rules)), nil
}

// do sends a signed POST and returns the response if it is a good one.
func (c *Client) do(ctx context.Context, req *upstream.Request) (*upstream.Response, error) {
	req.Method = "POST"
	req.Header = append([]upstream.Field{{Name: "Content-Type", Value: "application/json"}}, req.Header...)
	if c.sign != nil {
		var err error
		if req.Header, err = c.sign(ctx, req.Path, req.Header, req.Body); err != nil {
			return nil, err
		}
	}
	res, err := c.up.Do(ctx, req)
	if err != nil {
		return nil, err
	}
	if res.Status < 200 || res.Status > 299 {
		return nil, refusal(res)
	}
	return res, nil
}

// operation returns the path of an operation on a model. Everything but unreserved
// characters is escaped, as the SDKs do.
func operation(model, op string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.WriteString("/model/")
	for _, c := range []byte(model) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	b.WriteString("/" + op)
	return b.String()
}

func (c *Client) plan(req *infer.Request) (plan, error) {
	if req.UpstreamModel == "" {
		return plan{}, fault.New(fault.Internal, "a call to Bedrock without a model")
	}
	switch {
	case req.Body != nil && req.Dialect == infer.DialectConverse && c.Speaks(req.Dialect):
		p := plan{codec: c.converse, through: true, path: operation(req.UpstreamModel, converseOp(req))}
		p.body = splice.Parts(make([][]byte, 0, 4), req.Body, converseEdits(req)...)
		return p, nil
	case req.Body != nil && c.Speaks(req.Dialect):
		p := plan{codec: c.family, through: true, frames: true, embed: req.Task == infer.TaskEmbed}
		if c.completion != nil && req.Dialect == c.cfg.Completion {
			p.codec = c.completion
		}
		p.path = invoke(req, p.embed)
		p.body = splice.Parts(make([][]byte, 0, 8), req.Body, c.edits(req)...)
		return p, nil
	case req.Embed != nil:
		if c.family.EncodeEmbed == nil {
			return plan{}, fault.New(fault.Unsupported, "The provided model doesn't support embeddings.")
		}
		body, err := c.family.EncodeEmbed(req.Embed, dialect.EncodeOptions{})
		return plan{codec: c.family, embed: true, path: invoke(req, true), body: [][]byte{body}}, err
	case req.Chat != nil:
		body, dropped, err := c.converse.EncodeChat(req.Chat, dialect.EncodeOptions{MaxTokens: c.cfg.MaxTokens, Family: c.cfg.Family})
		return plan{codec: c.converse, path: operation(req.UpstreamModel, converseOp(req)), body: cloudMembers(req, body), dropped: dropped}, err
	}
	return plan{}, fault.New(fault.Internal, "a call without a body or a decoded request")
}

func converseOp(req *infer.Request) string {
	if req.Stream {
		return "converse-stream"
	}
	return "converse"
}

func invoke(req *infer.Request, embed bool) string {
	if req.Stream && !embed {
		return operation(req.UpstreamModel, "invoke-with-response-stream")
	}
	return operation(req.UpstreamModel, "invoke")
}

func (c *Client) edits(req *infer.Request) []splice.Edit {
	switch req.Dialect {
	case infer.DialectAnthropic:
		return splice.AnthropicBedrock(req.Body, req.Betas)
	case infer.DialectOpenAI, infer.DialectGPTOSS:
		return []splice.Edit{{Name: "model"}, {Name: "stream"}, {Name: "stream_options"}}
	}
	return nil
}

func (c *Client) whole(res *upstream.Response, p plan, head infer.Head) (*infer.Response, error) {
	counted, ok := headerUsage(res)
	body, err := reply.Whole(res, c.cfg.MaxBody)
	if err != nil {
		return nil, err
	}
	if p.through {
		if u, found := body.Usage(p.codec); found && !ok {
			counted, ok = u, true
		}
		return infer.NewResponse(head, body.Raw(counted, ok, p.codec)), nil
	}
	defer body.Close() //nolint:errcheck // returns nil
	decode := p.codec.DecodeResult
	if p.embed {
		decode = p.codec.DecodeEmbedResult
	}
	result, err := decode(body.JSON)
	if err != nil {
		return nil, reply.Undecodable(err)
	}
	if ok {
		result.Usage = counted
	}
	if p.codec == c.converse {
		head.Latency = performed(dialect.ConversePerformance(body.JSON))
	}
	return infer.NewResponse(head, infer.OneResult(result)), nil
}

// headerUsage reads the token counts that InvokeModel sends as headers.
func headerUsage(res *upstream.Response) (u infer.Usage, ok bool) {
	get := func(name string) int64 {
		n, err := strconv.ParseInt(res.Header("X-Amzn-Bedrock-"+name+"-Token-Count"), 10, 64)
		if err != nil || n < 0 {
			return 0
		}
		ok = true
		return n
	}
	u = infer.Usage{
		Input: get("Input"), Output: get("Output"),
		CacheRead: get("Cache-Read-Input"), CacheWrite: get("Cache-Write-Input"),
	}
	return u, ok
}

// Probe implements engine.Client. bedrock-runtime has nothing that answers without a call,
// so it finds out whether the service answers at all.
func (c *Client) Probe(ctx context.Context) error {
	res, err := c.up.Do(ctx, &upstream.Request{Method: "GET", Path: "/"})
	if err != nil {
		return err
	}
	if res.Status >= 500 || res.Status == 429 {
		return refusal(res)
	}
	_, err = res.ReadAll(nil, 1<<20)
	_ = res.Close()
	return err
}

// CountTokens implements engine.TokenCounter by the operation of that name.
func (c *Client) CountTokens(ctx context.Context, req *infer.Request) (int64, error) {
	p, err := c.plan(req)
	if err != nil {
		return 0, err
	}
	if p.embed {
		return 0, fault.New(fault.Unsupported, "The provided model doesn't support counting tokens.")
	}
	var flat []byte
	for _, part := range p.body {
		flat = append(flat, part...)
	}
	body, err := countBody(flat, p.frames)
	if err != nil {
		return 0, err
	}
	res, err := c.do(ctx, &upstream.Request{Path: operation(req.UpstreamModel, "count-tokens"), Body: [][]byte{body}, Resend: true})
	if err != nil {
		return 0, err
	}
	answer, err := reply.Whole(res, c.cfg.MaxBody)
	if err != nil {
		return 0, err
	}
	defer answer.Close() //nolint:errcheck // returns nil
	var out struct {
		Input *int64 `json:"inputTokens"`
	}
	if err := json.Unmarshal(answer.JSON, &out, reply.Lenient); err != nil || out.Input == nil {
		return 0, fault.Wrap(fault.Unavailable, err, "The model's answer could not be understood.")
	}
	return *out.Input, nil
}
