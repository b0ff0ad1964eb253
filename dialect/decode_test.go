package dialect

import (
	"reflect"
	"strings"
	"testing"

	"forebay/fault"
	"forebay/infer"
)

func text(s string) []infer.Block { return []infer.Block{{Kind: infer.BlockText, Text: s}} }

func user(s string) infer.Message { return infer.Message{Role: infer.RoleUser, Content: text(s)} }

// TestDecodeParameters: every parameter that the families' references list.
func TestDecodeParameters(t *testing.T) {
	hi := []infer.Message{user("hi")}
	for _, k := range []struct {
		d    infer.Dialect
		body string
		want infer.Chat
	}{
		{
			infer.DialectAnthropic, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"system":"s","temperature":1,"top_p":0.5,"top_k":40,
			"stop_sequences":["x"],"tools":[{"name":"t","description":"d","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral","ttl":"1h"}}],"tool_choice":{"type":"tool","name":"t","disable_parallel_tool_use":true},
			"anthropic_beta":["b"],"metadata":{"user_id":"u"},"thinking":{"type":"disabled"},"stream":true,"service_tier":"auto"}`,
			infer.Chat{
				MaxTokens: new(int64(9)), Messages: hi, System: append([]infer.Block{{Kind: infer.BlockCachePoint, CacheTTL: "1h"}}, text("s")...), Temperature: new(1.0),
				TopP: new(0.5), TopK: new(int64(40)), Stop: []string{"x"}, Tools: []infer.Tool{{Name: "t", Description: "d", Schema: []byte(`{"type":"object"}`)}},
				ToolChoice: infer.ToolChoice{Mode: "tool", Name: "t"}, ParallelToolCalls: new(false), User: "u", Reasoning: &infer.Reasoning{},
				Extra: map[string][]byte{"anthropic_beta": []byte(`["b"]`)}, ExtraFrom: infer.DialectAnthropic,
			},
		},
		{
			infer.DialectLlama, `{"prompt":"p","temperature":0.25,"top_p":0.5,"max_gen_len":7}`,
			infer.Chat{Prompt: new("p"), Temperature: new(0.25), TopP: new(0.5), MaxTokens: new(int64(7))},
		},
		{
			infer.DialectMistral, `{"prompt":"p","max_tokens":7,"stop":["a","b"],"temperature":0,"top_p":1,"top_k":50}`,
			infer.Chat{Prompt: new("p"), Temperature: new(0.0), TopP: new(1.0), MaxTokens: new(int64(7)), TopK: new(int64(50)), Stop: []string{"a", "b"}},
		},
		{
			infer.DialectMistralChat, `{"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"t","parameters":{}}}],"tool_choice":"any","max_tokens":7,"temperature":0.5,"top_p":0.5}`,
			infer.Chat{Messages: hi, Tools: []infer.Tool{{Name: "t", Schema: []byte(`{}`)}}, ToolChoice: infer.ToolChoice{Mode: "any"}, MaxTokens: new(int64(7)), Temperature: new(0.5), TopP: new(0.5)},
		},
		{
			infer.DialectNova, `{"schemaVersion":"messages-v1","messages":[{"role":"user","content":[{"text":"hi"}]}],"system":[{"text":"s"}],"inferenceConfig":{"max_new_tokens":7,"temperature":0.5,"topP":0.5,"topK":20,"stopSequences":["x"]},
			"toolConfig":{"tools":[{"toolSpec":{"name":"t","description":"d","inputSchema":{"json":{"type":"object"}}}}],"toolChoice":{"any":{}}}}`,
			infer.Chat{
				Messages: hi, System: text("s"), MaxTokens: new(int64(7)), Temperature: new(0.5), TopP: new(0.5), TopK: new(int64(20)), Stop: []string{"x"},
				Tools: []infer.Tool{{Name: "t", Description: "d", Schema: []byte(`{"type":"object"}`)}}, ToolChoice: infer.ToolChoice{Mode: "any"},
			},
		},
		{
			infer.DialectTitanText, `{"inputText":"p","textGenerationConfig":{"temperature":0.5,"topP":0.5,"maxTokenCount":7,"stopSequences":["User:"]}}`,
			infer.Chat{Prompt: new("p"), Temperature: new(0.5), TopP: new(0.5), MaxTokens: new(int64(7)), Stop: []string{"User:"}},
		},
		{infer.DialectTitanText, `{"inputText":"p"}`, infer.Chat{Prompt: new("p"), MaxTokens: new(int64(512))}},
		{infer.DialectLlama, `{"prompt":"p"}`, infer.Chat{Prompt: new("p"), MaxTokens: new(int64(512))}},
		{
			infer.DialectCohereCommand, `{"message":"hi","chat_history":[{"role":"USER","message":"a"},{"role":"CHATBOT","message":"b"}],"preamble":"s","max_tokens":7,"temperature":0.5,"p":0.5,"k":0,"stop_sequences":["x"],
			"seed":3,"frequency_penalty":0.5,"presence_penalty":0.25,"return_prompt":false,"tools":[{"name":"t","description":"d","parameter_definitions":{"n":{"type":"int","description":"i","required":true}}}],
			"tool_results":[{"call":{"name":"t","parameters":{"n":1}},"outputs":[{"sum":2}]}]}`,
			infer.Chat{
				Messages: []infer.Message{
					user("a"),
					{Role: infer.RoleAssistant, Content: text("b")},
					user("hi"),
					{Role: infer.RoleAssistant, Content: []infer.Block{{Kind: infer.BlockToolUse, ToolID: "call_a", ToolName: "t", ToolInput: []byte(`{"n":1}`)}}},
					{Role: infer.RoleUser, Content: []infer.Block{{Kind: infer.BlockToolResult, ToolID: "call_a", Content: text(`{"sum":2}`)}}},
				},
				System: text("s"), MaxTokens: new(int64(7)), Temperature: new(0.5), TopP: new(0.5), Stop: []string{"x"}, Seed: new(int64(3)), FrequencyPenalty: new(0.5), PresencePenalty: new(0.25),
				Tools: []infer.Tool{{Name: "t", Description: "d", Schema: []byte(`{"type":"object","properties":{"n":{"type":"integer","description":"i"}},"required":["n"]}`)}},
			},
		},
		{
			infer.DialectJamba, `{"messages":[{"role":"system","content":"s"},{"role":"user","content":"hi"}],"max_tokens":7,"temperature":1.5,"top_p":0.5,"stop":["x"],"n":2,"frequency_penalty":0.5,"presence_penalty":0.25}`,
			infer.Chat{Messages: hi, System: text("s"), MaxTokens: new(int64(7)), Temperature: new(1.5), TopP: new(0.5), Stop: []string{"x"}, N: new(int64(2)), FrequencyPenalty: new(0.5), PresencePenalty: new(0.25)},
		},
		{
			infer.DialectDeepSeek, `{"prompt":"p","temperature":0.5,"top_p":0.5,"max_tokens":32768,"stop":[]}`,
			infer.Chat{Prompt: new("p"), Temperature: new(0.5), TopP: new(0.5), MaxTokens: new(int64(32768)), Stop: []string{}},
		},
		{
			infer.DialectGPTOSS, `{"model":"openai.gpt-oss-20b-1:0","messages":[{"role":"developer","content":"s"},{"role":"user","content":"hi"}],"max_completion_tokens":7,"temperature":0.5,"top_p":0.5,"stop":"x","stream":true,"reasoning_effort":"high"}`,
			infer.Chat{Messages: hi, System: text("s"), MaxTokens: new(int64(7)), Temperature: new(0.5), TopP: new(0.5), Stop: []string{"x"}, Reasoning: &infer.Reasoning{Enabled: true, Effort: "high"}},
		},
		{
			infer.DialectOpenAI, `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"max_tokens":7,"min_p":0.5,"seed":-1,"logprobs":true,"top_logprobs":2,"n":1,"parallel_tool_calls":false,"user":"u",
			"response_format":{"type":"json_schema","json_schema":{"name":"r","strict":true,"schema":{"type":"object"}}},"store":false,"guided_json":{"a":1},"logit_bias":null}`,
			infer.Chat{
				Messages: hi, MaxTokens: new(int64(7)), MinP: new(0.5), Seed: new(int64(-1)), Logprobs: new(true), TopLogprobs: new(int64(2)), N: new(int64(1)), ParallelToolCalls: new(false), User: "u",
				ResponseFormat: &infer.ResponseFormat{Type: "json_schema", Name: "r", Strict: new(true), Schema: []byte(`{"type":"object"}`)},
				Extra:          map[string][]byte{"store": []byte("false"), "guided_json": []byte(`{"a":1}`)}, ExtraFrom: infer.DialectOpenAI,
			},
		},
		{
			infer.DialectOpenAICompletions, `{"model":"m","prompt":["p"],"suffix":"e","max_tokens":7,"echo":true,"stop":["a","b"],"best_of":1}`,
			infer.Chat{Prompt: new("p"), Suffix: "e", MaxTokens: new(int64(7)), Echo: true, Stop: []string{"a", "b"}, Extra: map[string][]byte{"best_of": []byte("1")}, ExtraFrom: infer.DialectOpenAICompletions},
		},
		{
			infer.DialectConverse, `{"messages":[{"role":"user","content":[{"text":"hi"}]}],"additionalModelRequestFields":{"top_k":5,"thinking":{"type":"enabled","budget_tokens":2048},"anthropic_beta":["b"]}}`,
			infer.Chat{Messages: hi, TopK: new(int64(5)), Reasoning: &infer.Reasoning{Enabled: true, Budget: 2048}, Extra: map[string][]byte{"anthropic_beta": []byte(`["b"]`)}, ExtraFrom: infer.DialectConverse},
		},
	} {
		c, _ := Get(k.d)
		got, err := c.DecodeChat([]byte(k.body))
		if err != nil {
			t.Errorf("%s %s: %v", k.d, k.body, err)
			continue
		}
		if !reflect.DeepEqual(*got, k.want) {
			t.Errorf("%s %s:\ngot  %+v\nwant %+v", k.d, k.body, *got, k.want)
		}
	}
}

// TestDecodeEchoes: what the published clients make of an answer when it is sent back as it
// came, with every null and empty member of their types.
func TestDecodeEchoes(t *testing.T) {
	call := infer.Block{Kind: infer.BlockToolUse, ToolID: "i", ToolName: "f", ToolInput: []byte(`{}`)}
	for _, k := range []struct {
		d    infer.Dialect
		body string
		want []infer.Block
	}{
		{
			infer.DialectAnthropic, `{"max_tokens":5,"cache_control":{"type":"ephemeral"},"messages":[{"role":"user","content":"q"},{"role":"assistant","content":[{"signature":"s","thinking":"t","type":"thinking"},
				{"citations":null,"text":"a","type":"text"},{"id":"i","caller":{"type":"direct"},"input":{},"name":"f","type":"tool_use","toolset_name":null}]}]}`,
			[]infer.Block{{Kind: infer.BlockThinking, Text: "t", Signature: "s"}, {Text: "a"}, call},
		},
		{
			infer.DialectOpenAI, `{"messages":[{"role":"user","content":"q"},{"content":"a","refusal":null,"role":"assistant","annotations":[],"audio":null,"function_call":null,
				"tool_calls":[{"id":"i","function":{"arguments":"{}","name":"f"},"type":"function"}]}],"stream_options":{"include_obfuscation":false,"include_usage":true}}`,
			[]infer.Block{{Text: "a"}, call},
		},
		{
			infer.DialectOpenAI, `{"messages":[{"role":"user","content":"q"},{"content":null,"role":"assistant","reasoning":"t","tool_calls":[{"id":"i","function":{"arguments":"","name":"f"},"type":"function"}]}]}`,
			[]infer.Block{{Kind: infer.BlockThinking, Text: "t"}, call},
		},
		{
			infer.DialectConverse, `{"messages":[{"role":"user","content":[{"text":"q"}]},{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"t","signature":"s"}}},{"text":"a"},{"toolUse":{"toolUseId":"i","name":"f","input":{}}}]},
				{"role":"user","content":[{"toolResult":{"toolUseId":"i","status":"success","content":[{"json":{"a":1}}]}}]}]}`,
			[]infer.Block{{Kind: infer.BlockThinking, Text: "t", Signature: "s"}, {Text: "a"}, call},
		},
	} {
		c, _ := Get(k.d)
		chat, err := c.DecodeChat([]byte(k.body))
		if err != nil {
			t.Errorf("%s %s: %v", k.d, k.body, err)
			continue
		}
		if !reflect.DeepEqual(chat.Messages[1].Content, k.want) {
			t.Errorf("%s: %+v", k.d, chat.Messages[1].Content)
		}
	}
}

// badBody is a body that a dialect refuses, with the words in which it does.
type badBody struct {
	d     infer.Dialect
	body  string
	want  string
	param string
}

const png1 = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABAAAA"

var badBodies = []badBody{
	// Anthropic
	{infer.DialectAnthropic, `{"max_tokens":5}`, "messages: Field required", "messages"},
	{infer.DialectAnthropic, `{"max_tokens":5,"messages":[]}`, "messages: at least one message is required", "messages"},
	{infer.DialectAnthropic, `{"max_tokens":5,"messages":"x"}`, "messages: Input should be a valid list", "messages"},
	{infer.DialectAnthropic, `{"max_tokens":5,"messages":[{"role":"wizard","content":"x"}]}`, "messages.0.role: Input should be 'user' or 'assistant'", "messages.0.role"},
	{infer.DialectAnthropic, `{"max_tokens":5,"messages":[{"content":"x"}]}`, "messages.0.role: Field required", "messages.0.role"},
	{infer.DialectAnthropic, `{"max_tokens":5,"messages":[{"role":"user"}]}`, "messages.0.content: Field required", "messages.0.content"},
	{infer.DialectAnthropic, `{"max_tokens":5,"messages":[{"role":"assistant","content":"x"}]}`, `messages: first message must use the "user" role`, "messages"},
	{infer.DialectAnthropic, `{"max_tokens":5,"messages":[{"role":"user","content":""}]}`, "messages.0: all messages must have non-empty content except for the optional final assistant message", "messages.0"},
	{infer.DialectAnthropic, `{"max_tokens":5,"messages":[{"role":"user","content":[{"type":"text","text":""}]}]}`, "messages: text content blocks must be non-empty", "messages"},
	{infer.DialectAnthropic, `{"max_tokens":5,"messages":[{"role":"user","content":[{"type":"poem"}]}]}`, "messages.0.content.0: Input tag 'poem' found using 'type' does not match any of the expected tags", "messages.0.content.0"},
	{infer.DialectAnthropic, `{"max_tokens":5,"messages":[{"role":"user","content":[{"type":"text","txt":"a"}]}]}`, "messages.0.content.0.txt: Extra inputs are not permitted", "messages.0.content.0.txt"},
	{infer.DialectAnthropic, `{"max_tokens":5,"temperature":"hot","messages":[{"role":"user","content":"x"}]}`, "temperature: Input should be a valid number", "temperature"},
	{infer.DialectAnthropic, `{"max_tokens":5,"temperature":1.5,"messages":[{"role":"user","content":"x"}]}`, "temperature: Input should be less than or equal to 1", "temperature"},
	{infer.DialectAnthropic, `{"max_tokens":5,"top_k":-1,"messages":[{"role":"user","content":"x"}]}`, "top_k: Input should be greater than or equal to 0", "top_k"},
	{infer.DialectAnthropic, `{"max_tokens":5,"thinking":{"type":"enabled","budget_tokens":10},"messages":[{"role":"user","content":"x"}]}`, "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024", "thinking.enabled.budget_tokens"},
	{infer.DialectAnthropic, `{"max_tokens":1024,"thinking":{"type":"enabled","budget_tokens":1024},"messages":[{"role":"user","content":"x"}]}`, "`max_tokens` must be greater than `thinking.budget_tokens`.", ""},
	{infer.DialectAnthropic, `{"max_tokens":5,"tools":[{"name":"t"}],"messages":[{"role":"user","content":"x"}]}`, "tools.0.input_schema: Field required", "tools.0.input_schema"},
	{infer.DialectAnthropic, `{"max_tokens":5,"tools":[{"type":"web_search_20250305","name":"w"}],"messages":[{"role":"user","content":"x"}]}`, "tool of type web_search_20250305 is not supported with this model.", "tool of type web_search_20250305"},
	{infer.DialectAnthropic, `{"max_tokens":5,"tool_choice":{"type":"tool"},"messages":[{"role":"user","content":"x"}]}`, "tool_choice.name: Field required", "tool_choice.name"},
	{infer.DialectAnthropic, `{"max_tokens":5,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/bmp","data":"` + png1 + `"}}]}]}`, "messages.0.content.0.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'", "messages.0.content.0.image.source.base64.media_type"},
	{infer.DialectAnthropic, `{"max_tokens":5,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":"` + png1 + `"}}]}]}`, "Image does not match the provided media type image/jpeg", "messages.0.content.0.image.source.base64"},
	{infer.DialectAnthropic, `{"max_tokens":5,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"!!"}}]}]}`, "invalid base64 data", "messages.0.content.0.image.source.base64"},
	{infer.DialectAnthropic, `{"prompt":"\n\nHuman: hi\n\nAssistant:","max_tokens_to_sample":5}`, "messages: Field required", "messages"},
	// OpenAI
	{infer.DialectOpenAI, `{"model":"m"}`, "Missing required parameter: 'messages'.", "messages"},
	{infer.DialectOpenAI, `{"model":"m","messages":[]}`, "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.", "messages"},
	{infer.DialectOpenAI, `{"messages":[{"role":"wizard","content":"x"}]}`, "Invalid value: 'wizard'. Supported values are: 'system', 'assistant', 'user', 'tool', and 'developer'.", "messages[0].role"},
	{infer.DialectOpenAI, `{"messages":[{"role":"user","content":5}]}`, "Invalid type for 'messages[0].content': expected a string, but got an integer instead.", "messages[0].content"},
	{infer.DialectOpenAI, `{"messages":[{"role":"user"}]}`, "Missing required parameter: 'messages[0].content'.", "messages[0].content"},
	{infer.DialectOpenAI, `{"messages":[{"role":"tool","content":"x"}]}`, "Missing required parameter: 'messages[0].tool_call_id'.", "messages[0].tool_call_id"},
	{infer.DialectOpenAI, `{"messages":[{"role":"user","content":"x","cache":1}]}`, "Unknown parameter: 'messages[0].cache'.", "messages[0].cache"},
	{infer.DialectOpenAI, `{"messages":[{"role":"user","content":[{"type":"video_url"}]}]}`, "Invalid value: 'video_url'. Supported values are: 'text', 'image_url', 'input_audio', 'refusal', and 'file'.", "messages[0].content[0].type"},
	{infer.DialectOpenAI, `{"temperature":3,"messages":[{"role":"user","content":"x"}]}`, "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead.", "temperature"},
	{infer.DialectOpenAI, `{"temperature":"x","messages":[{"role":"user","content":"x"}]}`, "Invalid type for 'temperature': expected a number, but got a string instead.", "temperature"},
	{infer.DialectOpenAI, `{"tool_choice":"sometimes","messages":[{"role":"user","content":"x"}]}`, "Invalid value: 'sometimes'. Supported values are: 'none', 'auto', and 'required'.", "tool_choice"},
	{infer.DialectOpenAI, `{"tools":[{"type":"function"}],"messages":[{"role":"user","content":"x"}]}`, "Missing required parameter: 'tools[0].function'.", "tools[0].function"},
	{infer.DialectOpenAI, `{"response_format":{"type":"xml"},"messages":[{"role":"user","content":"x"}]}`, "Invalid value: 'xml'.", "response_format.type"},
	{infer.DialectOpenAI, `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"ftp://x"}}]}]}`, "URL must be", "messages.0.content.0.image_url.url"},
	{infer.DialectOpenAI, `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}`, "Image does not match the provided media type image/png", "messages.0.content.0.image_url.url"},
	{infer.DialectOpenAICompletions, `{"model":"m"}`, "Missing required parameter: 'prompt'.", "prompt"},
	{infer.DialectOpenAIEmbeddings, `{"model":"m","input":[]}`, "Invalid 'input': empty array.", "input"},
	{infer.DialectOpenAIEmbeddings, `{"model":"m","input":"x","encoding_format":"hex"}`, "Invalid value: 'hex'. Supported values are: 'float', and 'base64'.", "encoding_format"},
	// Bedrock's native bodies
	{infer.DialectLlama, `{"messages":[{"role":"user","content":"x"}],"max_tokens":5}`, "Malformed input request: #: required key [prompt] not found, please reformat your input and try again.", ""},
	{infer.DialectLlama, `{"prompt":"x","top_k":5}`, "Malformed input request: #: extraneous key [top_k] is not permitted, please reformat your input and try again.", ""},
	{infer.DialectLlama, `{"prompt":"x","temperature":"1"}`, "Malformed input request: #/temperature: expected type: Number, found: String, please reformat your input and try again.", ""},
	{infer.DialectLlama, `{"prompt":"x","max_gen_len":4096}`, "Malformed input request: #/max_gen_len: 4096 is not less or equal to 2048, please reformat your input and try again.", ""},
	{infer.DialectLlama, `{"prompt":["x"]}`, "Malformed input request: #/prompt: expected type: String, found: JSONArray, please reformat your input and try again.", ""},
	{infer.DialectMistral, `{"prompt":"x","stop":["1","2","3","4","5","6","7","8","9","10","11"]}`, "#/stop: expected maximum item count: 10, found: 11", ""},
	{infer.DialectMistral, `{"prompt":"x","top_p":1.5}`, "#/top_p: 1.5 is not less or equal to 1", ""},
	{infer.DialectTitanText, `{"inputText":"x","textGenerationConfig":{"topK":5}}`, "#/textGenerationConfig: extraneous key [topK] is not permitted", ""},
	{infer.DialectTitanText, `{"prompt":"x"}`, "#: required key [inputText] not found", ""},
	{infer.DialectTitanEmbed, `{"inputText":"x","dimensions":100}`, "#/dimensions: 100 is not a valid enum value", ""},
	{infer.DialectTitanEmbed, `{"inputText":"x","embeddingTypes":["int8"]}`, "#/embeddingTypes/0: int8 is not a valid enum value", ""},
	{infer.DialectCohereEmbed, `{"texts":["x"]}`, "#: required key [input_type] not found", ""},
	{infer.DialectCohereEmbed, `{"input_type":"search_query","texts":[1]}`, "#/texts/0: expected type: String, found: Integer", ""},
	{infer.DialectCohereCommand, `{"message":"x","chat_history":[{"role":"BOT","message":"y"}]}`, "#/chat_history/0/role: BOT is not a valid enum value", ""},
	{infer.DialectNova, `{"inputText":"x"}`, "#: required key [messages] not found", ""},
	{infer.DialectNova, `{"messages":[{"role":"user","content":[{"text":"x"}]}],"max_tokens":5}`, "#: extraneous key [max_tokens] is not permitted", ""},
	{infer.DialectDeepSeek, `{"prompt":"x","max_tokens":32769}`, "#/max_tokens: 32769 is not less or equal to 32768", ""},
	{infer.DialectJamba, `{"messages":[{"role":"wizard","content":"x"}]}`, "#/messages/0/role: wizard is not a valid enum value", ""},
	{infer.DialectGPTOSS, `{"prompt":"x"}`, "#: required key [messages] not found", ""},
	{infer.DialectMistralChat, `{"messages":[]}`, "#/messages: expected minimum item count: 1, found: 0", ""},
	// Converse
	{infer.DialectConverse, `{}`, "A conversation must start with a user message. Try again with a conversation that starts with a user message.", ""},
	{
		infer.DialectConverse, `{"messages":[{"role":"wizard","content":[{"text":"x"}]}],"inferenceConfig":{"temperature":2,"maxTokens":0}}`,
		"3 validation errors detected: Value 'wizard' at 'messages.1.member.role' failed to satisfy constraint: Member must satisfy enum value set: [user, assistant]; Value '2.0' at 'inferenceConfig.temperature'", "",
	},
	{infer.DialectConverse, `{"messages":[{"role":"user","content":[{"text":""}]}]}`, "The text field in the ContentBlock object at messages.0.content.0 is blank.", ""},
	{infer.DialectConverse, `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"user","content":[{"text":"b"}]}]}`, "A conversation must alternate between user and assistant roles.", ""},
	{infer.DialectConverse, `{"messages":[{"role":"user","content":[{"document":{"format":"pdf","name":"n","source":{"bytes":"AAAA"}}}]}]}`, "A text block must be included when a document is included", ""},
	{infer.DialectConverse, `{"messages":[{"role":"user","content":[{"text":"x"},{"image":{"format":"bmp","source":{"bytes":"AAAA"}}}]}]}`, "Member must satisfy enum value set: [png, jpeg, gif, webp]", ""},
	{infer.DialectConverse, `{"messages":[{"role":"user","content":[{"text":"x"},{"image":{"format":"png","source":{"bytes":"!"}}}]}]}`, "not valid base64", ""},
}

func TestBadBodies(t *testing.T) {
	for _, k := range badBodies {
		c, _ := Get(k.d)
		var err error
		if c.DecodeEmbed != nil {
			_, err = c.DecodeEmbed([]byte(k.body))
		} else {
			_, err = c.DecodeChat([]byte(k.body))
		}
		e := fault.From(err)
		if e == nil || e.Kind != fault.Invalid || !strings.Contains(e.Message, k.want) || k.param != "" && e.Param != k.param {
			t.Errorf("%s %s:\ngot  %v\nwant %s (%s)", k.d, k.body, err, k.want, k.param)
		}
	}
	converse, _ := Get(infer.DialectConverse)
	_, err := converse.DecodeChat([]byte(`{"messages":[{"role":"user","content":"x"}]}`))
	if e := fault.From(err); e == nil || e.Kind != fault.Malformed || e.Message != "Unexpected field type at 'messages.1.member.content'" {
		t.Errorf("Converse with a text for blocks: %v", err)
	}
	for d, c := range codecs {
		for name, body := range malformedBodies {
			var err error
			if c.DecodeEmbed != nil {
				_, err = c.DecodeEmbed([]byte(body))
			} else {
				_, err = c.DecodeChat([]byte(body))
			}
			// Inspect comes first and says that it is no JSON; decoding may stumble earlier in it
			if k := fault.KindOf(err); err == nil || k != fault.Malformed && k != fault.Invalid {
				t.Errorf("%s %s: %v", d, name, err)
			}
		}
	}
}

// TestNative: faults of Anthropic bodies in the words of Bedrock's validator, which checks
// the schema; the model's own rules keep their words.
func TestNative(t *testing.T) {
	c, _ := Get(infer.DialectAnthropic)
	for body, want := range map[string]string{
		`{"max_tokens":5}`: "Malformed input request: #: required key [messages] not found, please reformat your input and try again.",
		`{"max_tokens":5,"temperature":"x","messages":[]}`: "Malformed input request: #/temperature: expected type: Number, found: String, please reformat your input and try again.",
		`{"max_tokens":5,"messages":[]}`:                   "messages: at least one message is required",
		`{`:                                                "Malformed input request, please reformat your input and try again.",
	} {
		_, err := c.DecodeChat([]byte(body))
		if e := fault.From(Native(err)); e.Kind != fault.Invalid || e.Message != want {
			t.Errorf("%s: %v", body, e)
		}
	}
	var f infer.Facts
	if e := fault.From(Native(c.Check(&f))); e.Message != "Malformed input request: #: required key [max_tokens] not found, please reformat your input and try again." {
		t.Error(e)
	}
	if e := fault.From(c.Check(&f)); e.Message != "max_tokens: Field required" || !IsMissing(e) {
		t.Error(e)
	}
	if other, _ := Get(infer.DialectOpenAI); other.Check(&f) != nil {
		t.Error("OpenAI demands no bound")
	}
}
