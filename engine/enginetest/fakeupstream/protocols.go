package fakeupstream

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"forebay/infer"
	"forebay/wire/eventstream"

	"github.com/go-json-experiment/json"
)

func js(v any) string {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic(err)
	}
	return string(b)
}

// streamMember reports whether a body says "stream": true.
func streamMember(_ string, body []byte) bool {
	var b struct {
		Stream bool `json:"stream"`
	}
	return json.Unmarshal(body, &b) == nil && b.Stream
}

// OpenAI speaks chat completions. It reports usage in a chunk of its own when
// asked, as OpenAI, vLLM and llama-server do.
var OpenAI = &Protocol{
	Name: "openai", Idle: []byte(": working on it\n\n"), StreamType: "text/event-stream", Frame: sseFrame, End: []byte("data: [DONE]\n\n"), Streams: streamMember,
	Stream: openAIStream, Whole: openAIWhole,
	Error: func(status int, message string) (http.Header, []byte) {
		return http.Header{}, []byte(js(map[string]any{"error": map[string]any{"message": message, "type": "server_error", "code": status}}))
	},
	Broken: func(message string) []byte {
		return sseFrame(Payload{Data: js(map[string]any{"error": map[string]any{"message": message, "type": "server_error", "code": 500}})})
	},
}

func openAIUsage(u infer.Usage) string {
	in := u.Input + u.CacheRead + u.CacheWrite
	return fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d}}`,
		in, u.Output, in+u.Output, u.CacheRead)
}

func openAIStream(words []string, u infer.Usage) []Payload {
	const head = `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"upstream-model","choices":`
	out := []Payload{{Data: head + `[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`}}
	for _, w := range words {
		out = append(out, Payload{Data: head + `[{"index":0,"delta":{"content":` + js(w) + `},"finish_reason":null}]}`})
	}
	return append(out,
		Payload{Data: head + `[{"index":0,"delta":{},"finish_reason":"stop"}]}`},
		Payload{Data: head + `[],"usage":` + openAIUsage(u) + `}`})
}

func openAIWhole(words []string, u infer.Usage) []byte {
	return []byte(`{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"upstream-model",` +
		`"choices":[{"index":0,"message":{"role":"assistant","content":` + js(strings.Join(words, "")) + `},"finish_reason":"stop"}],` +
		`"usage":` + openAIUsage(u) + `,"x_unknown":[1,2]}`)
}

// Anthropic speaks the Messages API.
var Anthropic = &Protocol{
	Name: "anthropic", Opens: true, Idle: sseFrame(Payload{"ping", `{"type": "ping"}`}), StreamType: "text/event-stream", Frame: sseFrame, Streams: streamMember,
	Stream: anthropicStream, Whole: anthropicWhole,
	Error: func(_ int, message string) (http.Header, []byte) {
		return http.Header{}, []byte(js(map[string]any{"type": "error", "error": map[string]any{"type": "api_error", "message": message}}))
	},
	Broken: func(message string) []byte {
		return sseFrame(Payload{Name: "error", Data: `{"type":"error","error":{"type":"overloaded_error","message":` + js(message) + `}}`})
	},
}

func anthropicStream(words []string, u infer.Usage) []Payload {
	in := fmt.Sprintf(`"input_tokens":%d,"cache_creation_input_tokens":%d,"cache_read_input_tokens":%d`, u.Input, u.CacheWrite, u.CacheRead)
	out := []Payload{
		{"message_start", `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"upstream-model",` +
			`"content":[],"stop_reason":null,"stop_sequence":null,"usage":{` + in + `,"output_tokens":1}}}`},
		{"content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`},
		{"ping", `{"type": "ping"}`},
	}
	for _, w := range words {
		out = append(out, Payload{"content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":` + js(w) + `}}`})
	}
	return append(out,
		Payload{"content_block_stop", `{"type":"content_block_stop","index":0}`},
		Payload{"message_delta", fmt.Sprintf(`{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":%d}}`, u.Output)},
		Payload{"message_stop", `{"type":"message_stop"}`})
}

func anthropicWhole(words []string, u infer.Usage) []byte {
	return []byte(`{"id":"msg_1","type":"message","role":"assistant","model":"upstream-model","content":[{"type":"text","text":` +
		js(strings.Join(words, "")) + `}],"stop_reason":"end_turn","stop_sequence":null,"x_unknown":[1,2],` +
		fmt.Sprintf(`"usage":{"input_tokens":%d,"cache_creation_input_tokens":%d,"cache_read_input_tokens":%d,"output_tokens":%d}}`,
			u.Input, u.CacheWrite, u.CacheRead, u.Output))
}

const frameType = "application/vnd.amazon.eventstream"

// bedrockErrors are the names of the statuses that tests use.
var bedrockErrors = map[int]string{
	400: "ValidationException", 403: "AccessDeniedException", 408: "ModelTimeoutException", 424: "ModelErrorException",
	429: "ThrottlingException", 500: "InternalServerException", 503: "ServiceUnavailableException",
}

func bedrockError(status int, message string) (http.Header, []byte) {
	return http.Header{"X-Amzn-Errortype": {bedrockErrors[status] + ":http://internal.amazon.com/coral/"}}, []byte(js(map[string]any{"message": message}))
}

func bedrockBroken(message string) []byte {
	return eventstream.AppendException(nil, "modelStreamErrorException",
		[]byte(js(map[string]any{"message": "stream failed", "originalStatusCode": 500, "originalMessage": message})))
}

func bedrockStreams(path string, _ []byte) bool { return strings.Contains(path, "-stream") }

// chunkFrame frames a payload as InvokeModelWithResponseStream does.
func chunkFrame(p Payload) []byte {
	b64 := base64.StdEncoding.EncodeToString([]byte(p.Data))
	return eventstream.AppendEvent(nil, "chunk", "application/json", []byte(`{"bytes":"`+b64+`","p":"abcdef"}`))
}

// BedrockAnthropic speaks InvokeModel and InvokeModelWithResponseStream with Messages bodies.
var BedrockAnthropic = &Protocol{
	Name: "bedrock-anthropic", Opens: true, Idle: chunkFrame(Payload{Data: `{"type":"ping"}`}), StreamType: frameType, Streams: bedrockStreams,
	Frame: chunkFrame,
	Stream: func(words []string, u infer.Usage) []Payload {
		out := anthropicStream(words, u)
		last := &out[len(out)-1]
		last.Data = strings.TrimSuffix(last.Data, "}") + fmt.Sprintf(
			`,"amazon-bedrock-invocationMetrics":{"inputTokenCount":%d,"outputTokenCount":%d,"invocationLatency":100,"firstByteLatency":10,`+
				`"cacheReadInputTokenCount":%d,"cacheWriteInputTokenCount":%d}}`, u.Input, u.Output, u.CacheRead, u.CacheWrite)
		return out
	},
	Whole: anthropicWhole, Error: bedrockError, Broken: bedrockBroken,
}

// Converse speaks Converse and ConverseStream.
var Converse = &Protocol{
	Name: "converse", Opens: true, StreamType: frameType, Streams: bedrockStreams,
	Frame: func(p Payload) []byte {
		return eventstream.AppendEvent(nil, p.Name, "application/json", []byte(p.Data))
	},
	Stream: converseStream, Whole: converseWhole, Error: bedrockError, Broken: bedrockBroken,
}

func converseUsage(u infer.Usage) string {
	return fmt.Sprintf(`{"inputTokens":%d,"outputTokens":%d,"totalTokens":%d,"cacheReadInputTokens":%d,"cacheWriteInputTokens":%d}`,
		u.Input, u.Output, u.Total(), u.CacheRead, u.CacheWrite)
}

func converseStream(words []string, u infer.Usage) []Payload {
	out := []Payload{{"messageStart", `{"role":"assistant"}`}}
	for _, w := range words {
		out = append(out, Payload{"contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":` + js(w) + `}}`})
	}
	return append(out,
		Payload{"contentBlockStop", `{"contentBlockIndex":0}`},
		Payload{"messageStop", `{"stopReason":"end_turn"}`},
		Payload{"metadata", `{"usage":` + converseUsage(u) + `,"metrics":{"latencyMs":100}}`})
}

func converseWhole(words []string, u infer.Usage) []byte {
	return []byte(`{"output":{"message":{"role":"assistant","content":[{"text":` + js(strings.Join(words, "")) +
		`}]}},"stopReason":"end_turn","usage":` + converseUsage(u) + `,"metrics":{"latencyMs":100}}`)
}
