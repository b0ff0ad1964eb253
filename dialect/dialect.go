package dialect

import (
	"bytes"
	"errors"
	"strconv"
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
	Fields       []string     // members of the model's own answer that the client asked for (Converse)
	Chat         *infer.Chat  // the request of a chat, for families that repeat it (Cohere); may be nil
	Tier         string       // of service, that answered, to a client whose body named one; else ""
	Latency      string       // the performance configuration that answered, to a client who asked for one (Converse); else ""
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
	// Family is the family of the model behind Converse, whose own parameters it takes along.
	Family infer.Dialect
	// MaxTokens is used where the dialect demands a bound and the caller gave none.
	MaxTokens int64
}

// Check reports what a call must say and does not, in the dialect's words: Anthropic
// demands a bound on output. A count of a call's tokens demands nothing.
func (c *Codec) Check(f *infer.Facts) error {
	if c.Name == infer.DialectAnthropic && f.MaxTokens == 0 {
		return c.words.fault(missing("max_tokens"))
	}
	return nil
}

// Codec reads and writes one dialect. Functions that a dialect has no use for are nil:
// embedding dialects have no chat, chat dialects no embeddings. A Codec is immutable.
type Codec struct {
	Name  infer.Dialect
	words wording
	needs []string // members that a body must have

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

// register files a codec under its name; what it decodes reports breaches in its words.
func register(c *Codec) {
	tell := func(body []byte, err error) error {
		if _, ok := errors.AsType[*schemaError](err); ok {
			if lacks := required(body, c.needs...); lacks != nil {
				err = lacks
			}
		}
		return c.words.fault(err)
	}
	if chat := c.DecodeChat; chat != nil {
		c.DecodeChat = func(body []byte) (*infer.Chat, error) {
			v, err := chat(body)
			if err != nil {
				return nil, tell(body, err)
			}
			return v, nil
		}
	}
	if embed := c.DecodeEmbed; embed != nil {
		c.DecodeEmbed = func(body []byte) (*infer.Embed, error) {
			v, err := embed(body)
			if err != nil {
				return nil, tell(body, err)
			}
			return v, nil
		}
	}
	codecs[c.Name] = c
}

// Get returns the codec of a dialect.
func Get(d infer.Dialect) (*Codec, bool) {
	c, ok := codecs[d]
	return c, ok
}

// OfBody tells which dialect a body is in, of a model that takes chats of one dialect and prompts of another: that of
// the prompts where it has a prompt and no messages. A model without a dialect of prompts has only the first.
func OfBody(body []byte, chats, prompts infer.Dialect) infer.Dialect {
	if prompts != "" && required(body, "messages") != nil && required(body, "prompt") == nil {
		return prompts
	}
	return chats
}

func marshal(v any) ([]byte, error) {
	b, err := json.Marshal(v, jsontext.AllowInvalidUTF8(true), json.Deterministic(true))
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

const metricsName = `"amazon-bedrock-invocationMetrics"`

// AppendMetrics returns the last payload of a stream with Bedrock's closing metrics as its
// last member (aws-sdk clients and LangChain count tokens by them). The payload is not
// changed; one that is no object or has metrics already comes back as it is.
func AppendMetrics(payload []byte, u infer.Usage, total, first time.Duration) []byte {
	payload = bytes.TrimRight(payload, " \t\r\n")
	n := len(payload)
	if n < 2 || payload[n-1] != '}' || bytes.Contains(payload, []byte(metricsName)) {
		return payload
	}
	out := append([]byte(nil), payload[:n-1]...)
	if rest := bytes.TrimSpace(payload[1 : n-1]); len(rest) > 0 {
		out = append(out, ',')
	}
	put := func(name string, v int64) {
		out = append(out, `,"`...)
		out = append(out, name...)
		out = append(out, `":`...)
		out = strconv.AppendInt(out, v, 10)
	}
	out = append(out, metricsName+`:{"inputTokenCount":`...)
	out = strconv.AppendInt(out, u.Input, 10)
	put("outputTokenCount", u.Output)
	put("invocationLatency", total.Milliseconds())
	put("firstByteLatency", first.Milliseconds())
	if u.CacheRead > 0 || u.CacheWrite > 0 || bytes.Contains(payload, []byte(`"cacheReadInputTokenCount"`)) {
		put("cacheReadInputTokenCount", u.CacheRead)
		put("cacheWriteInputTokenCount", u.CacheWrite)
	}
	return append(out, '}', '}')
}
