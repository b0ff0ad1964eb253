package dialect

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"forebay/fault"
	"forebay/infer"
)

// brief writes events in short: S start, [text or {tool id name or (thought block begins, ] ends, deltas in quotes, .stop, #in/out/read.
func brief(events []infer.Event) string {
	var b strings.Builder
	for _, ev := range events {
		switch ev.Kind {
		case infer.EventStart:
			b.WriteString("S")
		case infer.EventBlockStart:
			switch ev.Block.Kind {
			case infer.BlockToolUse:
				fmt.Fprintf(&b, "{%s %s ", ev.Block.ToolID, ev.Block.ToolName)
			case infer.BlockThinking:
				b.WriteString("(")
			default:
				b.WriteString("[")
			}
		case infer.EventDelta:
			fmt.Fprintf(&b, "'%s%s'", ev.Text, ev.Signature)
		case infer.EventBlockStop:
			b.WriteString("]")
		case infer.EventStop:
			fmt.Fprintf(&b, ".%s%s", ev.Stop, ev.StopText)
		case infer.EventUsage:
			fmt.Fprintf(&b, "#%d/%d/%d", ev.Usage.Input, ev.Usage.Output, ev.Usage.CacheRead)
		}
	}
	return b.String()
}

// TestEngineStreams: what real engines send, as their own documentation and issue trackers
// show it, beside the letter of the dialect.
func TestEngineStreams(t *testing.T) {
	oa, an, gpt := infer.DialectOpenAI, infer.DialectAnthropic, infer.DialectGPTOSS
	for _, k := range []struct {
		name    string
		d       infer.Dialect
		stream  string // one payload a line
		want    string
		failure string
	}{
		{"llama-server: usage in a chunk of its own, role with null content", oa, `
{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"created":1,"id":"c","model":"m","object":"chat.completion.chunk"}
{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"Hi"}}]}
{"choices":[{"finish_reason":"stop","index":0,"delta":{}}]}
{"choices":[],"usage":{"completion_tokens":1,"prompt_tokens":9,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":4}},"timings":{"prompt_n":5}}
[DONE]`, "S['Hi'].end_turn#5/1/4", ""},
		{"vLLM: usage in every chunk, stop_reason names the stop sequence", oa, `
{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":{"prompt_tokens":3,"total_tokens":3,"completion_tokens":0}}
{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"usage":{"prompt_tokens":3,"total_tokens":4,"completion_tokens":1}}
{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop","stop_reason":"END"}],"usage":{"prompt_tokens":3,"total_tokens":4,"completion_tokens":1,"prompt_tokens_details":null}}
[DONE]`, "S#3/0/0['a'#3/1/0].stop_sequenceEND#3/1/0", ""},
		{"vLLM: a stop token's number is no stop sequence", oa, `
{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop","stop_reason":128009}],"usage":null}
[DONE]`, "S['a'].end_turn", ""},
		{"reasoning by either name, then text", oa, `
{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}
{"choices":[{"index":0,"delta":{"reasoning":"m","content":null}}]}
{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":""}]}
{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"length"}]}
[DONE]`, "S('hm''m']['a''b'].max_tokens", ""},
		{"tool calls in fragments, two in one stream", oa, `
{"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"x","type":"function","function":{"name":"f","arguments":""}}]}}]}
{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}}]}
{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}]}
{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"y","type":"function","function":{"name":"g","arguments":"{}"}}]}}]}
{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}
[DONE]`, `S{x f '{"a":''1}']{y g '{}'].tool_use`, ""},
		{"id and name repeated in each fragment", oa, `
{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"{"}}]}}]}
{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"}"}}]}}]}
[DONE]`, `S{x f '{''}'`, ""},
		{"all calls numbered 0, arguments as objects", oa, `
{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":{"a":1}}}]}}]}
{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"y","function":{"name":"f","arguments":{}}}]}}]}
[DONE]`, `S{x f '{"a":1}']{y f '{}'`, ""},
		{"calls without index and id", oa, `
{"choices":[{"index":0,"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"g","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}
[DONE]`, `S{call_a f '{}']{call_b g '{}'].tool_use`, ""},
		{"content as parts", oa, `
{"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}}]}
{"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"a"}]}}]}
[DONE]`, `S('hm']['a'`, ""},
		{"two finish reasons, choices interleaved", oa, `
{"choices":[{"index":1,"delta":{"content":"b"}}]}
{"choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{},"finish_reason":"stop"}]}
{"choices":[{"index":1,"delta":{},"finish_reason":"stop"},{"index":0,"delta":{},"finish_reason":"content_filter"}]}
[DONE]`, `S['b'['a'].end_turn].content_filtered`, ""},
		{"text completions", infer.DialectOpenAICompletions, `
{"choices":[{"text":"a","index":0,"finish_reason":null}]}
{"choices":[{"text":"","index":0,"finish_reason":"length"}],"usage":{"prompt_tokens":1.0,"completion_tokens":2}}
[DONE]`, `S['a'].max_tokens#1/2/0`, ""},
		{"DeepSeek's cache counts, and negative ones", oa, `
{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":2,"prompt_cache_hit_tokens":6,"prompt_cache_miss_tokens":4}}
{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":-2,"prompt_tokens_details":{"cached_tokens":60}}}
[DONE]`, `S#4/2/6#0/0/10`, ""},
		{"invalid UTF-8 and duplicate members", oa, "\n{\"choices\":[{\"index\":0,\"index\":0,\"delta\":{\"content\":\"a\xffb\"}}]}\n[DONE]", "S['a\ufffdb'", ""},
		{"an error in the stream", oa, `
{"choices":[{"index":0,"delta":{"content":"a"}}]}
{"error":{"message":"CUDA out of memory","type":"server_error","code":503}}`, `S['a'`, "503 CUDA out of memory"},
		{"an error as a string", oa, `
{"error":"model crashed"}`, ``, "500 model crashed"},
		{"no JSON", oa, `
<html>`, ``, "0 "},
		{"gpt-oss: tags cut anywhere", gpt, `
{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}
{"choices":[{"index":0,"delta":{"content":"<reas"}}]}
{"choices":[{"index":0,"delta":{"content":"oning>hm"}}]}
{"choices":[{"index":0,"delta":{"content":" m</reaso"}}]}
{"choices":[{"index":0,"delta":{"content":"ning>yes <reasoning>"},"finish_reason":"stop"}]}`, `S('hm'' m']['yes <reasoning>'].end_turn`, ""},
		{"gpt-oss: a tag that is none", gpt, `
{"choices":[{"index":0,"delta":{"content":"<rea"}}]}
{"choices":[{"index":0,"delta":{"content":"l>"},"finish_reason":"stop"}]}`, `S['<real>'].end_turn`, ""},
		{"gpt-oss: cut off in the tag", gpt, `
{"choices":[{"index":0,"delta":{"content":"<reasoning>a</rea"}}]}
{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}`, `S('a''</rea'].max_tokens`, ""},
		{"Anthropic: thinking, ping, kinds of events and blocks newer than this code", an, `
{"type":"message_start","message":{"id":"m","usage":{"input_tokens":5,"cache_read_input_tokens":3,"cache_creation":{"ephemeral_5m_input_tokens":0},"output_tokens":1}}}
{"type":"ping"}
{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}
{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}
{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"sig"}}
{"type":"content_block_stop","index":0}
{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}
{"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{}}}
{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"a"}}
{"type":"content_block_stop","index":1}
{"type":"message_news"}
{"type":"message_delta","delta":{"stop_reason":"pause_turn","stop_sequence":null},"usage":{"output_tokens":7}}
{"type":"message_stop"}`, `S('hm''sig']['a'].end_turn#5/7/3`, ""},
		{"Anthropic: overloaded in the stream", an, `
{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, ``, "529 Overloaded"},
		{"Nova: a block for each piece", infer.DialectNova, `
{"messageStart":{"role":"assistant"}}
{"contentBlockDelta":{"delta":{"text":"a"},"contentBlockIndex":0}}
{"contentBlockStop":{"contentBlockIndex":0}}
{"contentBlockDelta":{"delta":{"text":"b"},"contentBlockIndex":1}}
{"contentBlockStop":{"contentBlockIndex":1}}
{"contentBlockStart":{"start":{"toolUse":{"toolUseId":"x","name":"f"}},"contentBlockIndex":2}}
{"contentBlockDelta":{"delta":{"toolUse":{"input":"{}"}},"contentBlockIndex":2}}
{"contentBlockStop":{"contentBlockIndex":2}}
{"messageStop":{"stopReason":"tool_use"}}
{"metadata":{"usage":{"inputTokens":4,"outputTokens":2,"cacheReadInputTokenCount":1},"metrics":{},"trace":{}}}`, `S['a''b']{x f '{}'].tool_use#4/2/1`, ""},
	} {
		c, _ := Get(k.d)
		dec := c.NewStreamDecoder()
		got, err := "", error(nil)
		for line := range strings.SplitSeq(strings.TrimPrefix(k.stream, "\n"), "\n") {
			var events []infer.Event
			events, err = dec.Decode("", []byte(line), nil)
			if got += brief(events); err != nil {
				break
			}
		}
		failure := ""
		if e := fault.From(err); e != nil {
			failure = fmt.Sprintf("%d %s", e.OriginalStatus, e.OriginalMessage)
			if e.Kind != fault.StreamFailed {
				t.Errorf("%s: %v", k.name, err)
			}
		} else if !dec.Complete() {
			t.Errorf("%s: not complete", k.name)
		}
		if got != k.want || failure != k.failure {
			t.Errorf("%s:\ngot  %s (%s)\nwant %s (%s)", k.name, got, failure, k.want, k.failure)
		}
	}
}

func TestRawUsage(t *testing.T) {
	for _, k := range []struct {
		d       infer.Dialect
		payload string
		want    infer.Usage
		ok      bool
	}{
		{infer.DialectOpenAI, `{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"completion_tokens_details":{"reasoning_tokens":2,"cached_tokens":9},"prompt_tokens_details":{"cached_tokens":4}}}`, infer.Usage{Input: 6, Output: 5, CacheRead: 4, Reasoning: 2}, true},
		{infer.DialectOpenAI, `{"choices":[{"delta":{"content":"\"usage\":{\"prompt_tokens\":1}"}}]}`, infer.Usage{}, false},
		{infer.DialectOpenAI, `{"usage" : {"prompt_tokens" : 1, "completion_tokens" : 2}, "x":"\"usage\""}`, infer.Usage{Input: 1, Output: 2}, true},
		{infer.DialectOpenAI, `{"choices":[],"usage":null}`, infer.Usage{}, false},
		{infer.DialectOpenAI, `{"choices":[]}`, infer.Usage{}, false},
		{infer.DialectOpenAI, `{"usage":{"prompt_tokens":1`, infer.Usage{}, false},
		{infer.DialectAnthropic, `{"type":"message_start","message":{"usage":{"input_tokens":3,"cache_creation_input_tokens":2,"cache_read_input_tokens":1,"output_tokens":4}}}`, infer.Usage{Input: 3, Output: 4, CacheRead: 1, CacheWrite: 2}, true},
		{infer.DialectConverse, `{"metrics":{"latencyMs":1},"usage":{"inputTokens":3,"outputTokens":4,"totalTokens":7,"cacheReadInputTokens":1}}`, infer.Usage{Input: 3, Output: 4, CacheRead: 1}, true},
		{infer.DialectNova, `{"metadata":{"usage":{"inputTokens":3,"outputTokens":4,"cacheReadInputTokenCount":1,"cacheWriteInputTokenCount":2}}}`, infer.Usage{Input: 3, Output: 4, CacheRead: 1, CacheWrite: 2}, true},
		{infer.DialectMistral, `{"outputs":[{"text":"a"}],"amazon-bedrock-invocationMetrics":{"inputTokenCount":3,"outputTokenCount":4,"invocationLatency":9}}`, infer.Usage{Input: 3, Output: 4}, true},
		{infer.DialectLlama, `{"generation":"a","prompt_token_count":3}`, infer.Usage{}, false},
		{infer.DialectOpenAIEmbeddings, `{"data":[],"usage":{"prompt_tokens":3,"total_tokens":3}}`, infer.Usage{Input: 3}, true},
	} {
		c, _ := Get(k.d)
		if got, ok := c.RawUsage([]byte(k.payload)); got != k.want || ok != k.ok {
			t.Errorf("%s: %+v %v", k.payload, got, ok)
		}
	}
	c, _ := Get(infer.DialectOpenAI)
	chunk := []byte(`{"id":"c","choices":[{"index":0,"delta":{"content":"some text of a chunk"},"finish_reason":null}]}`)
	last := []byte(`{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4}}}`)
	if n := testing.AllocsPerRun(100, func() { c.RawUsage(chunk); c.RawUsage(last) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAppendMetrics(t *testing.T) {
	u := infer.Usage{Input: 3, Output: 4}
	for payload, want := range map[string]string{
		`{"type":"message_stop"}`: `{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":3,"outputTokenCount":4,"invocationLatency":20,"firstByteLatency":10}}`,
		"{}\n":                    `{"amazon-bedrock-invocationMetrics":{"inputTokenCount":3,"outputTokenCount":4,"invocationLatency":20,"firstByteLatency":10}}`,
		`{ }`:                     `{ "amazon-bedrock-invocationMetrics":{"inputTokenCount":3,"outputTokenCount":4,"invocationLatency":20,"firstByteLatency":10}}`,
		`[1]`:                     `[1]`, ``: ``, `}`: `}`,
		`{"amazon-bedrock-invocationMetrics":{}}`: `{"amazon-bedrock-invocationMetrics":{}}`,
	} {
		in := []byte(payload)
		got := AppendMetrics(in, u, 20*time.Millisecond, 10*time.Millisecond)
		if string(got) != want || string(in) != payload {
			t.Errorf("%q: %s", payload, got)
		}
	}
	u.CacheRead = 2
	if got := string(AppendMetrics([]byte(`{}`), u, 0, 0)); !strings.Contains(got, `"cacheReadInputTokenCount":2,"cacheWriteInputTokenCount":0`) || !json.Valid([]byte(got)) {
		t.Error(got)
	}
}

// TestEmbeddings: requests and answers of the three dialects, and through one another.
func TestEmbeddings(t *testing.T) {
	get := func(d infer.Dialect) *Codec { c, _ := Get(d); return c }
	for _, k := range []struct {
		d    infer.Dialect
		body string
		want infer.Embed
	}{
		{infer.DialectOpenAIEmbeddings, `{"model":"m","input":"a","dimensions":8,"encoding_format":"base64","user":"u"}`, infer.Embed{Inputs: []string{"a"}, Dimensions: new(int64(8)), Encoding: "base64", User: "u"}},
		{infer.DialectOpenAIEmbeddings, `{"model":"m","input":["a","b"]}`, infer.Embed{Inputs: []string{"a", "b"}}},
		{infer.DialectOpenAIEmbeddings, `{"model":"m","input":[1,2]}`, infer.Embed{Tokens: [][]int64{{1, 2}}}},
		{infer.DialectOpenAIEmbeddings, `{"model":"m","input":[[1],[2,3]]}`, infer.Embed{Tokens: [][]int64{{1}, {2, 3}}}},
		{infer.DialectTitanEmbed, `{"inputText":"a","dimensions":256,"normalize":false,"embeddingTypes":["float","binary"]}`, infer.Embed{Inputs: []string{"a"}, Dimensions: new(int64(256)), Normalize: new(false), Types: []string{"float", "binary"}}},
		{infer.DialectCohereEmbed, `{"texts":["a"],"input_type":"clustering","embedding_types":["int8"],"output_dimension":512,"truncate":"END"}`, infer.Embed{Inputs: []string{"a"}, InputType: "clustering", Types: []string{"int8"}, Dimensions: new(int64(512)), Truncate: "END"}},
		{infer.DialectCohereEmbed, `{"inputs":[{"content":[{"type":"text","text":"a"}]}],"input_type":"search_query"}`, infer.Embed{Inputs: []string{"a"}, InputType: "search_query"}},
		{infer.DialectCohereEmbed, `{"images":["data:image/png;base64,` + png1 + `"],"input_type":"image"}`, infer.Embed{InputType: "image", Images: []infer.Media{{Format: "png", Data: []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00")}}}},
	} {
		got, err := get(k.d).DecodeEmbed([]byte(k.body))
		if err != nil || !reflect.DeepEqual(*got, k.want) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", k.body, err, got, k.want)
			continue
		}
		again, err := get(k.d).EncodeEmbed(got, EncodeOptions{Model: "m"})
		if err != nil {
			t.Errorf("%s: %v", k.body, err)
			continue
		}
		if back, err := get(k.d).DecodeEmbed(again); err != nil || back.Encoding == "" && !reflect.DeepEqual(*back, k.want) && k.want.Encoding == "" {
			t.Errorf("%s: %v %s", k.body, err, again)
		}
	}
	floats := []float32{0.5, -2, float32(math.Pi)}
	res := &infer.Result{Embeddings: []infer.Embedding{{Floats: floats}}, Usage: infer.Usage{Input: 3}}
	for _, k := range []struct {
		d infer.Dialect
		e infer.Embed
	}{
		{infer.DialectOpenAIEmbeddings, infer.Embed{}},
		{infer.DialectOpenAIEmbeddings, infer.Embed{Encoding: "base64"}},
		{infer.DialectTitanEmbed, infer.Embed{Normalize: new(false)}},
		{infer.DialectTitanEmbed, infer.Embed{Normalize: new(false), Types: []string{"float", "binary"}}},
		{infer.DialectCohereEmbed, infer.Embed{Inputs: []string{"a"}}},
		{infer.DialectCohereEmbed, infer.Embed{Types: []string{"float"}}},
	} {
		body, err := get(k.d).EncodeResult(Head{ID: "i", Model: "m", Embed: &k.e}, res)
		if err != nil {
			t.Fatal(err)
		}
		got, err := get(k.d).DecodeEmbedResult(body)
		if err != nil || len(got.Embeddings) != 1 || !reflect.DeepEqual(got.Embeddings[0].Floats, floats) {
			t.Errorf("%s: %v %s", k.d, err, body)
		}
		if b, ok := got.Embeddings[0].ByType["binary"]; ok && !reflect.DeepEqual(b, []float32{1, 0, 1}) {
			t.Errorf("binary %v", b)
		}
	}
	// An answer whose items come out of order.
	got, err := get(infer.DialectOpenAIEmbeddings).DecodeEmbedResult([]byte(`{"data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[1]}]}`))
	if err != nil || got.Embeddings[0].Floats[0] != 1 || got.Embeddings[1].Floats[0] != 2 || !got.Usage.Estimated {
		t.Errorf("%v %+v", err, got)
	}
	for d, e := range map[infer.Dialect]infer.Embed{
		infer.DialectOpenAIEmbeddings: {Types: []string{"int8"}}, infer.DialectTitanEmbed: {Inputs: []string{"a", "b"}}, infer.DialectCohereEmbed: {Tokens: [][]int64{{1}}},
	} {
		if _, err := get(d).EncodeEmbed(&e, EncodeOptions{}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", d, err)
		}
	}
}
