package bedrockclient

import (
	"bytes"
	"encoding/base64"
	"io"
	"slices"

	"forebay/dialect"
	"forebay/engine/reply"
	"forebay/engine/splice"
	"forebay/engine/upstream"
	"forebay/fault"
	"forebay/infer"
	"forebay/wire/eventstream"
	shapes "forebay/wire/shapes/bedrockruntime"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// frames is the source of a response in event-stream framing.
type frames struct {
	r     *eventstream.Reader
	chunk []byte
}

func newFrames(res *upstream.Response) *frames { return &frames{r: eventstream.NewReader(res)} }

// Next implements reply.Source: the JSON inside a chunk frame, or a member of ConverseStream.
func (f *frames) Next() (string, []byte, error) {
	if f.r == nil {
		return "", nil, io.ErrClosedPipe
	}
	m, err := f.r.Next()
	if err != nil {
		return "", nil, err
	}
	switch m.String(":message-type") {
	case "exception":
		return "", nil, exception(m.String(":exception-type"), m.Payload)
	case "error":
		return "", nil, reply.InStream(500, m.String(":error-message"))
	}
	name := m.String(":event-type")
	if name != "chunk" {
		return name, m.Payload, nil
	}
	f.chunk, err = inner(f.chunk[:0], m.Payload)
	return "", f.chunk, err
}

// Buffered implements reply.Source. What lies in the buffer may be half a frame.
func (f *frames) Buffered() bool { return false }

// Close implements reply.Source.
func (f *frames) Close() { f.r = nil }

// inner decodes {"bytes":"<base64>"}, whatever stands beside it.
func inner(dst, payload []byte) ([]byte, error) {
	v := splice.Member(payload, "bytes")
	if len(v) < 2 || v[0] != '"' {
		return dst, reply.InStream(500, "a chunk without bytes")
	}
	text := v[1 : len(v)-1]
	if bytes.IndexByte(text, '\\') >= 0 { // an escaped slash
		plain, err := jsontext.AppendUnquote(nil, v)
		if err != nil {
			return dst, err
		}
		text = plain
	}
	return base64.StdEncoding.AppendDecode(dst, text)
}

const metricsName = "amazon-bedrock-invocationMetrics"

var metricsKey = []byte(`"` + metricsName + `"`)

// looker returns the Look function of a family.
func looker(codec *dialect.Codec) func(string, []byte) (reply.Note, error) {
	if codec.Name == infer.DialectAnthropic {
		return lookMetrics(reply.Anthropic(codec))
	}
	return lookMetrics(func(_ string, p []byte) (reply.Note, error) {
		n := reply.Note{Tokens: 1}
		if codec.RawUsage != nil {
			n.Usage, n.HasUsage = codec.RawUsage(p)
		}
		return n, nil
	})
}

// lookMetrics adds to a family's Look function what Bedrock's metrics in the last payload say:
// they go before the family's own counts, end the stream, and are taken out. Where Anthropic's
// last payload, message_stop, has none, it ends the stream all the same.
func lookMetrics(look func(string, []byte) (reply.Note, error)) func(string, []byte) (reply.Note, error) {
	return func(name string, p []byte) (reply.Note, error) {
		n, err := look(name, p)
		if err != nil || !bytes.Contains(p, metricsKey) {
			return n, err
		}
		v := splice.Member(p, metricsName)
		if v == nil {
			return n, nil // the text of a string
		}
		var m struct {
			Input      int64 `json:"inputTokenCount"`
			Output     int64 `json:"outputTokenCount"`
			CacheRead  int64 `json:"cacheReadInputTokenCount"`
			CacheWrite int64 `json:"cacheWriteInputTokenCount"`
		}
		if json.Unmarshal(v, &m, reply.Lenient) == nil {
			n.Usage = infer.Usage{Input: m.Input, Output: m.Output, CacheRead: m.CacheRead, CacheWrite: m.CacheWrite, Reasoning: n.Usage.Reasoning}
			n.HasUsage = true
		}
		n.Ends = true
		n.Payload = slices.Concat(splice.Parts(nil, p, splice.Edit{Name: metricsName})...)
		return n, nil
	}
}

// lookConverse notes what the members of a ConverseStream mean; metadata is the last of them.
func lookConverse(name string, p []byte) (reply.Note, error) {
	var n reply.Note
	switch name {
	case "contentBlockDelta":
		n.Tokens = 1
	case "metadata":
		codec, _ := dialect.Get(infer.DialectConverse)
		n.Usage, n.HasUsage = codec.RawUsage(p)
		n.Ends = true
	}
	return n, nil
}

// exceptionStatus is the HTTP status of each exception that a stream can carry, by the service's model. The
// stream of InvokeModel has all that Converse's has.
var exceptionStatus = func() map[string]int {
	out := map[string]int{}
	for _, m := range shapes.InvokeModelWithResponseStream.Output.Member("body").Shape.Members {
		if m.Shape.Exception {
			out[m.Name] = m.Shape.Status
		}
	}
	return out
}()

// exception returns the failure of a frame that ends a stream.
func exception(name string, payload []byte) error {
	var m struct {
		Message         string `json:"message"`
		OriginalStatus  int    `json:"originalStatusCode"`
		OriginalMessage string `json:"originalMessage"`
	}
	_ = json.Unmarshal(payload, &m, reply.Lenient)
	if name == "modelTimeoutException" {
		e := fault.New(fault.Timeout, "The model timed out.")
		e.Code = "model"
		e.OriginalStatus, e.OriginalMessage = 408, m.Message
		return e
	}
	status, message := exceptionStatus[name], m.Message
	if m.OriginalStatus >= 400 && m.OriginalStatus < 600 {
		status = m.OriginalStatus
	}
	if m.OriginalMessage != "" {
		message = m.OriginalMessage
	}
	if status == 0 {
		status = 500
	}
	return reply.InStream(status, message)
}
