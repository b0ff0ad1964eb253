package openaiclient

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"forebay/dialect"
	"forebay/engine/reply"
	"forebay/engine/splice"
	"forebay/engine/upstream"
	"forebay/fault"
	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// Flavour names an engine whose habits differ from OpenAI's own API.
type Flavour string

// The flavours. The zero value is an engine that is only known to speak the API.
const (
	Generic     Flavour = ""
	LlamaServer Flavour = "llama-server"
	VLLM        Flavour = "vllm"
	SGLang      Flavour = "sglang"
	TGI         Flavour = "tgi"
	Ollama      Flavour = "ollama"
	OpenAI      Flavour = "openai" // OpenAI's own API
	Chat        Flavour = "chat"   // an engine with chat completions and nothing else for text
)

// habits are what differs between flavours.
type habits struct {
	health           string // path of the probe, below the root; "" means the list of models
	count            counter
	completionTokens bool // the bound on output is named max_completion_tokens
	// chat says that prompts go to chat completions as messages: the engine has no text completions for
	// its models (OpenAI), or puts the prompt into the model's template once more (Ollama).
	chat bool
	only bool // there are no text completions at all
}

var flavours = map[Flavour]habits{
	Generic:     {},
	LlamaServer: {health: "/health", count: countLlama},
	VLLM:        {health: "/health", count: countVLLM},
	SGLang:      {health: "/health"},
	TGI:         {health: "/health"},
	Ollama:      {health: "/api/version", chat: true},
	OpenAI:      {completionTokens: true, chat: true},
	Chat:        {chat: true, only: true},
}

// Config describes one engine.
type Config struct {
	// Upstream.BaseURL is the address; without a path, "/v1" is meant. A path is
	// where chat/completions is found below.
	Upstream upstream.Config
	APIKey   string
	// KeyHeader is the header of the key; "" means Authorization, with a bearer token.
	KeyHeader string
	Flavour   Flavour
	// GPTOSS says that the engine puts reasoning into <reasoning> tags as Bedrock does for
	// gpt-oss models, so that their dialect passes through.
	GPTOSS bool
	// NoUsageOption is for engines that refuse stream_options; usage is then what they send on their own.
	NoUsageOption bool
	MaxBody       int64 // bytes; 0 means reply.DefaultMaxBody
}

// Client implements engine.Client and engine.TokenCounter.
type Client struct {
	cfg    Config
	habits habits
	up     upstream.Client
	prefix string // path of the API
}

// New returns a client of the engine.
func New(cfg Config) (*Client, error) {
	h, ok := flavours[cfg.Flavour]
	if !ok {
		return nil, fmt.Errorf("unknown engine flavour %q", cfg.Flavour)
	}
	u, err := url.Parse(cfg.Upstream.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("engine address: %w", err)
	}
	c := &Client{cfg: cfg, habits: h, prefix: strings.TrimRight(u.EscapedPath(), "/")}
	if c.prefix == "" {
		c.prefix = "/v1"
	}
	if c.cfg.MaxBody == 0 {
		c.cfg.MaxBody = reply.DefaultMaxBody
	}
	u.Path, u.RawPath = "", "" // probes and tokenizers live at the root
	cfg.Upstream.BaseURL = u.String()
	cfg.Upstream.Header = append([]upstream.Field(nil), cfg.Upstream.Header...)
	switch {
	case cfg.APIKey != "" && cfg.KeyHeader != "":
		cfg.Upstream.Header = append(cfg.Upstream.Header, upstream.Field{Name: cfg.KeyHeader, Value: cfg.APIKey})
	case cfg.APIKey != "":
		cfg.Upstream.Header = append(cfg.Upstream.Header, upstream.Field{Name: "Authorization", Value: "Bearer " + cfg.APIKey})
	}
	if c.up, err = upstream.New(cfg.Upstream); err != nil {
		return nil, err
	}
	return c, nil
}

// Close implements engine.Client.
func (c *Client) Close() error { return c.up.Close() }

// Speaks implements engine.Client.
func (c *Client) Speaks(d infer.Dialect) bool {
	switch d {
	case infer.DialectGPTOSS:
		return c.cfg.GPTOSS
	case infer.DialectOpenAICompletions:
		return !c.habits.only
	default:
		return path(d) != ""
	}
}

// path returns the operation of a dialect below the prefix.
func path(d infer.Dialect) string {
	switch d {
	case infer.DialectOpenAI, infer.DialectGPTOSS:
		return "/chat/completions"
	case infer.DialectOpenAICompletions:
		return "/completions"
	case infer.DialectOpenAIEmbeddings:
		return "/embeddings"
	}
	return ""
}

var jsonHeader = upstream.Field{Name: "Content-Type", Value: "application/json"}

// plan is how one call goes out and how its answer is read.
type plan struct {
	dialect infer.Dialect // of the bytes on the wire
	codec   *dialect.Codec
	through bool
	body    [][]byte
	silent  bool // the usage chunk is not for the client
	dropped []string
}

// Infer implements engine.Client.
func (c *Client) Infer(ctx context.Context, req *infer.Request) (*infer.Response, error) {
	p, err := c.plan(req)
	if err != nil {
		return nil, err
	}
	header := [...]upstream.Field{jsonHeader, {Name: "X-Request-Id", Value: req.ID}}
	n := 2
	if req.ID == "" {
		n = 1
	}
	stream := req.Stream && req.Task == infer.TaskChat
	res, err := c.up.Do(ctx, &upstream.Request{
		Method: "POST", Path: c.prefix + path(p.dialect), Header: header[:n], Body: p.body, Stream: stream, Timeouts: req.Timeouts,
		Trace: req.Propagate,
	})
	if err != nil {
		return nil, err
	}
	if res.Status < 200 || res.Status > 299 {
		return nil, reply.Failure(res)
	}
	head := infer.Head{RequestID: res.Header("X-Request-Id"), Model: req.UpstreamModel, PassThrough: p.through, Dropped: p.dropped}
	if stream {
		return c.stream(res, p, head)
	}
	out, err := c.whole(res, p, head)
	if err != nil || p.through || req.Embed == nil {
		return out, err
	}
	return out, sized(out, req.Embed.Dimensions)
}

// sized refuses vectors of another size than was asked for: engines that cannot shorten theirs
// leave the parameter out without a word.
func sized(res *infer.Response, want *int64) error {
	events, ok := res.Events.(*infer.EventSlice)
	if !ok || want == nil {
		return nil
	}
	for _, v := range events.List[0].Result.Embeddings {
		if n := int64(len(v.Floats)); n != *want {
			f := fault.Newf(fault.ModelFailed, "The model makes vectors of %d dimensions, not of %d.", n, *want)
			f.OriginalStatus, f.OriginalMessage = 400, f.Message
			return f
		}
	}
	return nil
}

func (c *Client) plan(req *infer.Request) (plan, error) {
	if req.Body != nil && c.Speaks(req.Dialect) {
		codec, ok := dialect.Get(req.Dialect)
		if !ok {
			return plan{}, fault.Newf(fault.Internal, "no codec for dialect %s", req.Dialect)
		}
		p := plan{dialect: req.Dialect, codec: codec, through: true}
		p.body, p.silent = c.splice(req)
		return p, nil
	}
	return c.encode(req)
}

// splice makes the documented edits of a body that passes through.
func (c *Client) splice(req *infer.Request) (parts [][]byte, silent bool) {
	var edits []splice.Edit
	if req.UpstreamModel != "" && req.UpstreamModel != req.Facts.Model {
		edits = append(edits, splice.Edit{Name: "model", Value: quote(req.UpstreamModel)})
	}
	if req.Task == infer.TaskChat {
		if req.Stream != req.Facts.Stream {
			edits = append(edits, splice.Edit{Name: "stream", Value: boolean(req.Stream)})
		}
		if req.Stream && !req.Facts.WantUsage {
			silent = true
			if !c.cfg.NoUsageOption {
				edits = append(edits, splice.Edit{Name: "stream_options", Value: usageOption(splice.Member(req.Body, "stream_options"))})
			}
		}
	}
	return splice.Parts(make([][]byte, 0, 3*len(edits)+3), req.Body, edits...), silent
}

// usageOption returns stream_options with usage asked for, keeping its other members.
func usageOption(have []byte) []byte {
	if len(have) == 0 || have[0] != '{' {
		return []byte(`{"include_usage":true}`)
	}
	var out []byte
	for _, part := range splice.Parts(nil, have, splice.Edit{Name: "include_usage", Value: boolean(true)}) {
		out = append(out, part...)
	}
	return out
}

func boolean(b bool) []byte {
	if b {
		return []byte("true")
	}
	return []byte("false")
}

func quote(s string) []byte {
	b, err := jsontext.AppendQuote(nil, s)
	if err != nil { // invalid UTF-8: AppendQuote has replaced it
		return b
	}
	return b
}

// encode converts a canonical call.
func (c *Client) encode(req *infer.Request) (plan, error) {
	opt := dialect.EncodeOptions{Model: req.UpstreamModel, Stream: req.Stream}
	p := plan{dialect: infer.DialectOpenAI}
	switch {
	case req.Embed != nil:
		p.dialect = infer.DialectOpenAIEmbeddings
	case req.Chat == nil:
		return p, fault.New(fault.Internal, "a call without a body or a decoded request")
	case req.Chat.Prompt != nil && !c.habits.chat:
		p.dialect = infer.DialectOpenAICompletions
	}
	codec, ok := dialect.Get(p.dialect)
	if !ok {
		return p, fault.Newf(fault.Internal, "no codec for dialect %s", p.dialect)
	}
	p.codec = codec
	var body []byte
	var err error
	if req.Embed != nil {
		body, err = codec.EncodeEmbed(req.Embed, opt)
	} else {
		body, p.dropped, err = codec.EncodeChat(req.Chat, opt)
	}
	if err != nil {
		return p, err
	}
	p.body = [][]byte{body}
	if edits := c.encodeEdits(req, body); len(edits) > 0 {
		p.body = splice.Parts(nil, body, edits...)
	}
	return p, nil
}

// encodeEdits are what the engine's habits demand beyond the dialect.
func (c *Client) encodeEdits(req *infer.Request, body []byte) []splice.Edit {
	var edits []splice.Edit
	if req.Stream && req.Embed == nil {
		if have := splice.Member(body, "stream_options"); c.cfg.NoUsageOption {
			if have != nil {
				edits = append(edits, splice.Edit{Name: "stream_options"})
			}
		} else {
			edits = append(edits, splice.Edit{Name: "stream_options", Value: usageOption(have)})
		}
	}
	if have := splice.Member(body, "max_tokens"); c.habits.completionTokens && have != nil && req.Embed == nil {
		edits = append(edits, splice.Edit{Name: "max_tokens"}, splice.Edit{Name: "max_completion_tokens", Value: have})
	}
	return edits
}

func (c *Client) whole(res *upstream.Response, p plan, head infer.Head) (*infer.Response, error) {
	body, err := reply.Whole(res, c.cfg.MaxBody)
	if err != nil {
		return nil, err
	}
	if p.through {
		u, ok := body.Usage(p.codec)
		return infer.NewResponse(head, body.Raw(u, ok, p.codec)), nil
	}
	defer body.Close() //nolint:errcheck // returns nil
	decode := p.codec.DecodeResult
	if p.dialect == infer.DialectOpenAIEmbeddings {
		decode = p.codec.DecodeEmbedResult
	}
	result, err := decode(body.JSON)
	if err != nil {
		return nil, reply.Undecodable(err)
	}
	return infer.NewResponse(head, infer.OneResult(result)), nil
}

func (c *Client) stream(res *upstream.Response, p plan, head infer.Head) (*infer.Response, error) {
	if !reply.IsStream(res, "text/event-stream") {
		return nil, reply.NotAStream(res)
	}
	rules := reply.Rules{}
	if p.through {
		rules.Look = (&looker{codec: p.codec, silent: p.silent}).look
	} else {
		rules.Decoder = p.codec.NewStreamDecoder()
	}
	return infer.NewResponse(head, reply.NewStream(res, reply.SSE(res), rules)), nil
}
