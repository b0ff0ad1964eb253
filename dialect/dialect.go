package dialect

import (
	"strconv"
	"strings"
	"time"

	"forebay/fault"
	"forebay/infer"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Head is what a response says of itself beside its content.
type Head struct {
	ID           string // request id
	Model        string // as the client asked for it
	Created      time.Time
	IncludeUsage bool         // the client asked for usage in a stream (OpenAI)
	Embed        *infer.Embed // the request of an embedding result
	Stop         []string
}

// Emit takes one payload of a stream; name is its event name where the dialect has one. The
// payload is valid until Emit returns.
type Emit func(name string, payload []byte)

// StreamEncoder turns the canonical events of one response into payloads.
type StreamEncoder interface {
	// Encode writes what an event makes known.
	Encode(ev *infer.Event, emit Emit) error
	// Finish writes what ends the stream: at least one payload.
	Finish(emit Emit)
}

// StreamDecoder turns the payloads of one engine response into canonical events.
type StreamDecoder interface {
	// Decode appends the events of one payload. The events are valid until the next call.
	Decode(name string, payload []byte, events []infer.Event) ([]infer.Event, error)
	// Complete reports whether the stream has come to its proper end.
	Complete() bool
}

// EncodeOptions say how a request is written for an engine.
type EncodeOptions struct {
	Model  string // the engine's name of the model; "" writes none
	Stream bool
	// MaxTokens is used where the dialect demands a bound and the caller gave none.
	MaxTokens int64
}

// Codec reads and writes one dialect. Functions that a dialect has no use for are nil:
// embedding dialects have no chat, chat dialects no embeddings. A Codec is immutable.
type Codec struct {
	Name infer.Dialect

	// Inspect reads what admission needs and rejects what is not a body of the dialect:
	// Malformed for JSON that cannot be parsed or has control members twice, Invalid for
	// control members of a wrong type.
	Inspect func(body []byte, f *infer.Facts) error

	DecodeChat       func(body []byte) (*infer.Chat, error)
	EncodeChat       func(chat *infer.Chat, o EncodeOptions) (body []byte, dropped []string, err error)
	EncodeResult     func(h Head, res *infer.Result) ([]byte, error)
	DecodeResult     func(body []byte) (*infer.Result, error)
	NewStreamEncoder func(h Head) StreamEncoder
	NewStreamDecoder func() StreamDecoder

	DecodeEmbed       func(body []byte) (*infer.Embed, error)
	EncodeEmbed       func(e *infer.Embed, o EncodeOptions) ([]byte, error)
	DecodeEmbedResult func(body []byte) (*infer.Result, error)

	// RawUsage reads the usage out of a payload that passes through.
	RawUsage func(payload []byte) (infer.Usage, bool)
}

var codecs = map[infer.Dialect]*Codec{}

func register(c *Codec) *Codec {
	codecs[c.Name] = c
	return c
}

// Get returns the codec of a dialect.
func Get(d infer.Dialect) (*Codec, bool) {
	c, ok := codecs[d]
	return c, ok
}

// requiredSuffix ends the message of a missing member.
const requiredSuffix = ": Field required"

func missing(path string) error {
	e := fault.New(fault.Invalid, path+requiredSuffix)
	e.Code = path
	return e
}

func invalid(path, format string, args ...any) error {
	e := fault.Newf(fault.Invalid, path+": "+format, args...)
	e.Code = path
	return e
}

// IsMissing reports whether a fault says that a required member is missing; its Code is the path.
func IsMissing(e *fault.Error) bool {
	return e.Kind == fault.Invalid && strings.HasSuffix(e.Message, requiredSuffix)
}

// unsupported is a feature of the request that the engine's dialect cannot express.
func unsupported(what string, d infer.Dialect) error {
	e := fault.Newf(fault.Invalid, "%s is not supported with this model.", what)
	e.Code = what
	return e.WithReason("the engine's dialect %s cannot express %s", d, what)
}

var decodeOptions = json.JoinOptions(json.RejectUnknownMembers(false))

// unmarshal decodes strictly and explains failures by the member's path.
func unmarshal(body []byte, v any) error {
	err := json.Unmarshal(body, v, decodeOptions)
	if err == nil {
		return nil
	}
	if se, ok := err.(*json.SemanticError); ok { //nolint:errorlint // the package returns it unwrapped
		path := strings.ReplaceAll(strings.TrimPrefix(string(se.JSONPointer), "/"), "/", ".")
		if path == "" {
			path = "body"
		}
		return invalid(path, "Input should be a valid %s", goKind(se))
	}
	return fault.Wrap(fault.Malformed, err, "The request body is not valid JSON.")
}

// goKind names what a member should have been.
func goKind(se *json.SemanticError) string {
	if se.GoType == nil {
		return "value"
	}
	switch k := se.GoType.String(); {
	case strings.Contains(k, "float"):
		return "number"
	case strings.Contains(k, "int"):
		return "integer"
	case strings.Contains(k, "bool"):
		return "boolean"
	case strings.HasPrefix(k, "[]"):
		return "list"
	case strings.HasSuffix(k, "string"):
		return "string"
	default:
		return "object"
	}
}

func marshal(v any) ([]byte, error) {
	b, err := json.Marshal(v, jsontext.AllowInvalidUTF8(true), jsontext.EscapeForHTML(false))
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "")
	}
	return b, nil
}

// must is marshal for values of our own making.
func must(v any) []byte {
	b, err := marshal(v)
	if err != nil {
		panic(err) // a type of this package that cannot be encoded
	}
	return b
}

// AppendMetrics splices Bedrock's closing metrics into the last payload of a stream.
func AppendMetrics(payload []byte, u infer.Usage, total, first time.Duration) []byte {
	n := len(payload)
	if n < 2 || payload[n-1] != '}' {
		return payload
	}
	out := append([]byte(nil), payload[:n-1]...)
	if payload[n-2] != '{' {
		out = append(out, ',')
	}
	put := func(name string, v int64) {
		out = append(out, `,"`...)
		out = append(out, name...)
		out = append(out, `":`...)
		out = strconv.AppendInt(out, v, 10)
	}
	out = append(out, `"amazon-bedrock-invocationMetrics":{"inputTokenCount":`...)
	out = strconv.AppendInt(out, u.Input, 10)
	put("outputTokenCount", u.Output)
	put("invocationLatency", total.Milliseconds())
	put("firstByteLatency", first.Milliseconds())
	if u.CacheRead > 0 || u.CacheWrite > 0 {
		put("cacheReadInputTokenCount", u.CacheRead)
		put("cacheWriteInputTokenCount", u.CacheWrite)
	}
	return append(out, '}', '}')
}
