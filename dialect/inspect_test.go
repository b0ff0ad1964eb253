package dialect

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"
	"testing"

	"forebay/fault"
	"forebay/infer"
)

func inspect(t testing.TB, d infer.Dialect, body string) infer.Facts {
	t.Helper()
	c, ok := Get(d)
	if !ok {
		t.Fatalf("no codec %s", d)
	}
	var f infer.Facts
	if err := c.Inspect([]byte(body), &f); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	f.PrefixHash = 0
	return f
}

func TestInspect(t *testing.T) {
	for _, k := range []struct {
		d    infer.Dialect
		body string
		want infer.Facts
	}{
		{
			infer.DialectOpenAI, `{"model":"gpt-x","stream":true,"stream_options":{"include_usage":true},"max_completion_tokens":7,"n":2,
			"service_tier":"flex","user":"u","messages":[{"role":"system","content":"abc"},{"role":"user","content":"de"}]}`,
			infer.Facts{Model: "gpt-x", Stream: true, WantUsage: true, MaxTokens: 7, N: 2, Tier: "flex", User: "u", TextBytes: 5, Uses: infer.UsesSystem},
		},
		{infer.DialectOpenAI, `{"model":null,"stream":null,"max_tokens":null,"n":null,"stop":null,"tools":[],"tools_":1,"messages":[]}`, infer.Facts{}},
		{infer.DialectOpenAI, `{"max_tokens":3,"max_completion_tokens":null,"messages":[]}`, infer.Facts{MaxTokens: 3}},
		{infer.DialectAnthropic, `{"anthropic_version":"bedrock-2023-05-31","top_k":7,"messages":[]}`, infer.Facts{Version: "bedrock-2023-05-31", TopK: 7, Uses: infer.UsesTopK}},
		{infer.DialectAnthropic, `{"anthropic_version":"x","top_k":"7","messages":[]}`, infer.Facts{Version: "x", Uses: infer.UsesTopK}},
		{infer.DialectAnthropic, `{"anthropic_version":null,"top_k":null,"messages":[{"role":"user","content":[{"type":"text","text":"a","top_k":9}]}]}`, infer.Facts{TextBytes: 1}},
		// an engine's own spellings do not get by the hold
		{infer.DialectOpenAI, `{"max_tokens":3,"n_predict":100000,"messages":[]}`, infer.Facts{}},
		{infer.DialectOpenAI, `{"n_predict":-1,"max_tokens":3,"messages":[]}`, infer.Facts{}},
		{infer.DialectOpenAI, `{"n_predict":null,"max_tokens":3,"messages":[]}`, infer.Facts{MaxTokens: 3}},
		{infer.DialectOpenAI, `{"n_cmpl":50,"n":2,"messages":[]}`, infer.Facts{N: 50}},
		{infer.DialectOpenAICompletions, `{"n":4611686018427387904,"prompt":["a","b","c","d"]}`, infer.Facts{N: 4 << 20, TextBytes: 4}},
		{infer.DialectOpenAICompletions, `{"n":1,"best_of":20,"prompt":"x"}`, infer.Facts{N: 20, TextBytes: 1}},
		{infer.DialectOpenAI, `{"\u006dax_tokens":9,"messages":[]}`, infer.Facts{MaxTokens: 9}},
		{infer.DialectOpenAI, `{"messages":[{"role":"user","content":"x","max_tokens":5,"n":9}],"metadata":{"model":"m","stream":true}}`, infer.Facts{TextBytes: 1}},
		{infer.DialectOpenAI, `{"messages":[],"response_format":{"type":"text"},"reasoning_effort":"none","logprobs":false}`, infer.Facts{}},
		{
			infer.DialectOpenAI, `{"messages":[],"response_format":{"type":"json_object"},"reasoning_effort":"low","logprobs":true,"seed":1,"stop":["x"]}`,
			infer.Facts{Uses: infer.UsesResponseFormat | infer.UsesReasoning | infer.UsesLogprobs | infer.UsesSeed | infer.UsesStop},
		},
		// names of media mean nothing in tools and their arguments
		{
			infer.DialectOpenAI, `{"messages":[{"role":"user","content":"go"}],"tools":[{"type":"function","function":{"name":"fetch","parameters":{"type":"object","properties":{"url":{"type":"string"},"image":{"type":"string"}}}}}]}`,
			infer.Facts{TextBytes: 2 + 6 + 6 + 6, Uses: infer.UsesTools},
		},
		{
			infer.DialectAnthropic, `{"max_tokens":10,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"get","input":{"source":{"type":"base64","data":"AAAA"},"url":"https://x.example"}}]}]}`,
			infer.Facts{MaxTokens: 10, TextBytes: 6 + 4 + 17, Uses: infer.UsesTools},
		},
		{
			infer.DialectAnthropic, `{"max_tokens":10,"thinking":{"type":"disabled"},"metadata":{"user_id":"me"},"messages":[{"role":"user","content":[{"type":"text","text":"hi","cache_control":{"type":"ephemeral"}}]}]}`,
			infer.Facts{MaxTokens: 10, TextBytes: 2, User: "me", Uses: infer.UsesCachePoints},
		},
		{
			infer.DialectAnthropic, `{"thinking":{"type":"enabled","budget_tokens":2000},"system":"s","messages":[{"role":"user","content":[{"source":{"data":"hello there","media_type":"text/plain","type":"text"},"type":"document"}]}]}`,
			infer.Facts{TextBytes: 12, Uses: infer.UsesReasoning | infer.UsesSystem | infer.UsesDocuments},
		},
		{
			infer.DialectAnthropic, `{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"url","url":"https://x.example/a.pdf"}},{"type":"image","source":{"type":"url","url":"https://x.example/a.png"}}]}]}`,
			infer.Facts{Media: 2, MediaUnits: documentTokens + unknownImage, Uses: infer.UsesImages | infer.UsesDocuments},
		},
		{
			infer.DialectConverse, `{"inferenceConfig":{"maxTokens":4,"stopSequences":["x"]},"serviceTier":{"type":"priority"},"guardrailConfig":{"guardrailIdentifier":"g"},
			"system":[{"text":"ab"},{"cachePoint":{"type":"default"}}],"messages":[{"role":"user","content":[{"text":"c"},{"document":{"format":"pdf","name":"n","source":{"bytes":"AAAA"}}}]}]}`,
			infer.Facts{
				MaxTokens: 4, Tier: "priority", TextBytes: 3, Media: 1, MediaUnits: documentTokens,
				Uses: infer.UsesGuardrail | infer.UsesSystem | infer.UsesCachePoints | infer.UsesDocuments | infer.UsesStop,
			},
		},
		{
			infer.DialectNova, `{"inferenceConfig":{"max_new_tokens":4},"messages":[{"role":"user","content":[{"video":{"format":"mp4","source":{"s3Location":{"uri":"s3://b/k"}}}}]}]}`,
			infer.Facts{MaxTokens: 4, Media: 1, MediaUnits: documentTokens, Uses: infer.UsesVideo},
		},
		{infer.DialectLlama, `{"prompt":"hello","max_gen_len":12,"max_tokens":"not ours"}`, infer.Facts{MaxTokens: 12, TextBytes: 5}},
		{infer.DialectTitanText, `{"inputText":"hello","textGenerationConfig":{"maxTokenCount":12,"stopSequences":[]}}`, infer.Facts{MaxTokens: 12, TextBytes: 5}},
		{infer.DialectMistral, `{"prompt":"hello","max_tokens":12,"stop":["x"]}`, infer.Facts{MaxTokens: 12, TextBytes: 5, Uses: infer.UsesStop}},
		{
			infer.DialectCohereCommand, `{"message":"hello","chat_history":[{"role":"USER","message":"ab"}],"preamble":"p","max_tokens":12}`,
			infer.Facts{MaxTokens: 12, TextBytes: 8, Uses: infer.UsesSystem},
		},
		{infer.DialectCohereEmbed, `{"texts":["ab","c"],"input_type":"search_query"}`, infer.Facts{TextBytes: 3}},
		{infer.DialectCohereEmbed, `{"images":["data:image/png;base64,AAAA"],"input_type":"image"}`, infer.Facts{Media: 1, MediaUnits: unknownImage, Uses: infer.UsesImages}},
		{infer.DialectOpenAIEmbeddings, `{"model":"e","input":["ab","c"]}`, infer.Facts{Model: "e", TextBytes: 3}},
		{infer.DialectTitanEmbed, `{"inputText":"abc"}`, infer.Facts{TextBytes: 3}},
	} {
		got := inspect(t, k.d, k.body)
		if got != k.want {
			t.Errorf("%s %s:\ngot  %+v\nwant %+v", k.d, k.body, got, k.want)
		}
	}
}

func png(w, h uint32) string {
	b := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), 0, 0, 0, 0, 0, 0, 0, 0)
	binary.BigEndian.PutUint32(b[16:], w)
	binary.BigEndian.PutUint32(b[20:], h)
	return base64.StdEncoding.EncodeToString(b)
}

func jpeg(w, h uint16, comment int) string {
	b := []byte{0xff, 0xd8, 0xff, 0xe1, byte((comment + 2) >> 8), byte(comment + 2)}
	b = append(b, make([]byte, comment)...)
	b = append(b, 0xff, 0xc0, 0, 17, 8, byte(h>>8), byte(h), byte(w>>8), byte(w), 3, 0, 0)
	return base64.StdEncoding.EncodeToString(b)
}

// TestImageTokens: the figures of Anthropic's and OpenAI's published tables and examples.
func TestImageTokens(t *testing.T) {
	gif := base64.StdEncoding.EncodeToString([]byte("GIF89a\xc8\x00\xc8\x00\x00\x00"))
	webp := base64.StdEncoding.EncodeToString(append([]byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00"), 0xe7, 0x03, 0, 0xe7, 0x03, 0))
	lossless := base64.StdEncoding.EncodeToString([]byte("RIFF\x00\x00\x00\x00WEBPVP8L\x00\x00\x00\x00\x2f\xe7\xc3\xf9\x00\x00\x00"))
	lossy := base64.StdEncoding.EncodeToString([]byte("RIFF\x00\x00\x00\x00WEBPVP8 \x00\x00\x00\x00\x00\x00\x00\x9d\x01\x2a\xe8\x03\xe8\x03\x00\x00"))
	for _, k := range []struct {
		data  string
		units int64 // Anthropic: about (width x height) / 750
		tiles int64 // OpenAI: 85 + 170 per tile
	}{
		{png(200, 200), 54, 255},                // Anthropic's table: 200x200 is ~54; one tile
		{png(1000, 1000), 1334, 85 + 4*170},     // ~1334; scaled to 768x768, four tiles
		{png(1092, 1092), 1590, 765},            // ~1590
		{png(1024, 1024), 1399, 765},            // OpenAI's example: 765
		{png(2048, 4096), 1600, 1105},           // OpenAI's example: 1105
		{png(20000, 10), 1, 85 + 4*170},         // long and thin: 2048 x 1
		{png(4000000000, 1), unknownImage, 765}, // a header not to be believed
		{jpeg(1000, 1000, 60000), 1334, 765},    // behind a thumbnail of 60 KB
		{jpeg(200, 200, 0), 54, 255},
		{gif, 54, 255},
		{webp, 1334, 765},
		{lossless, 1334, 765},
		{lossy, 1334, 765},
		{"data:image/png;base64," + png(200, 200), 54, 255},
		{"https://images.example/cat.png", unknownImage, 765},
		{"!!!!", unknownImage, 765},
		{"", unknownImage, 765},
	} {
		if got := imageTokens([]byte(k.data)); got != k.units {
			t.Errorf("%.40s: %d units, want %d", k.data, got, k.units)
		}
		if got := tileTokens([]byte(k.data)); got != k.tiles {
			t.Errorf("%.40s: %d by tiles, want %d", k.data, got, k.tiles)
		}
	}
	f := inspect(t, infer.DialectOpenAI, `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,`+png(1024, 1024)+`","detail":"low"}},
		{"type":"image_url","image_url":{"url":"data:image/png;base64,`+png(1024, 1024)+`"}},{"type":"image_url","image_url":"https://x.example/a.png"}]}]}`)
	if f.Media != 3 || f.MediaUnits != 85+765+765 || f.Uses != infer.UsesImages {
		t.Errorf("%+v", f)
	}
	f = inspect(t, infer.DialectAnthropic, `{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"`+png(200, 200)+`"}},
		{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"`+png(1000, 1000)+`"}}]}]}]}`)
	if f.Media != 2 || f.MediaUnits != 54+1334 {
		t.Errorf("%+v", f)
	}
}

// TestPrefixHash: turns of one conversation share the hash; system prompts and openings
// tell conversations apart; where system stands in the body does not matter.
func TestPrefixHash(t *testing.T) {
	hash := func(d infer.Dialect, body string) uint64 {
		c, _ := Get(d)
		var f infer.Facts
		if err := c.Inspect([]byte(body), &f); err != nil {
			t.Fatal(err)
		}
		return f.PrefixHash
	}
	oa := func(messages string) uint64 { return hash(infer.DialectOpenAI, `{"messages":[`+messages+`]}`) }
	an := func(body string) uint64 { return hash(infer.DialectAnthropic, body) }
	sys, user, asst := `{"role":"system","content":"be brief"}`, `{"role":"user","content":"hello"}`, `{"role":"assistant","content":"hi"}`
	long := `{"role":"system","content":"` + strings.Repeat("x", 2000) + `"}`
	for name, same := range map[string][2]uint64{
		"the next turn":              {oa(sys + "," + user), oa(sys + "," + user + "," + asst + "," + user)},
		"without a system prompt":    {oa(user), oa(user + "," + asst)},
		"role behind content":        {oa(sys + "," + user), oa(`{"content":"be brief","role":"system"},` + user)},
		"system behind messages":     {an(`{"system":"s","messages":[` + user + `]}`), an(`{"messages":[` + user + `],"system":"s"}`)},
		"under a long system prompt": {oa(long + "," + user), oa(long + `,{"role":"user","content":"other"}`)},
	} {
		if same[0] != same[1] || same[0] == 0 {
			t.Errorf("%s: %x, %x", name, same[0], same[1])
		}
	}
	for name, other := range map[string][2]uint64{
		"another opening":       {oa(sys + "," + user), oa(sys + `,{"role":"user","content":"bye"}`)},
		"another system prompt": {oa(sys + "," + user), oa(`{"role":"system","content":"be long"},` + user)},
		"a prompt":              {hash(infer.DialectLlama, `{"prompt":"a"}`), hash(infer.DialectLlama, `{"prompt":"b"}`)},
	} {
		if other[0] == other[1] {
			t.Errorf("%s: the same hash", name)
		}
	}
}

func TestInspectRefuses(t *testing.T) {
	for _, k := range []struct {
		d    infer.Dialect
		body string
		kind fault.Kind
		want string
	}{
		{infer.DialectOpenAI, `{"model":"a","model":"b","messages":[]}`, fault.Malformed, `The request body has the member "model" twice.`},
		{infer.DialectOpenAI, `{"max_tokens":1,"max_\u0074okens":2,"messages":[]}`, fault.Malformed, `"max_tokens" twice`},
		{infer.DialectOpenAI, `{"stream_options":{"include_usage":true,"include_usage":false},"messages":[]}`, fault.Malformed, `"include_usage" twice`},
		{infer.DialectOpenAI, `{"model":"a","Model":"b","messages":[]}`, fault.Malformed, `"Model", which some engines read as "model"`},
		{infer.DialectOpenAI, `{"MAX_TOKENS":9,"max_tokens":1,"messages":[]}`, fault.Malformed, `"MAX_TOKENS", which`},
		{infer.DialectOpenAI, `{"max_toKens":9,"messages":[]}`, fault.Malformed, `which some engines read as "max_tokens"`},
		{infer.DialectOpenAI, `{"mesſages":[],"messages":[]}`, fault.Malformed, `which some engines read as "messages"`},
		{infer.DialectOpenAI, `{"stream_options":{"Include_Usage":false},"messages":[]}`, fault.Malformed, `"Include_Usage", which`},
		{infer.DialectNova, `{"inferenceConfig":{"maxtokens":1,"maxTokens":2},"messages":[]}`, fault.Malformed, `"maxtokens", which`},
		{infer.DialectNova, `{"inferenceConfig":{"maxTokens":1,"maxTokens":2},"messages":[]}`, fault.Malformed, `"maxTokens" twice`},
		{infer.DialectOpenAI, `{"max_tokens":1,"max_completion_tokens":2,"messages":[]}`, fault.Invalid, "at the same time"},
		{infer.DialectOpenAI, `{"model":1,"messages":[]}`, fault.Invalid, "Invalid type for 'model': expected a string, but got a number instead."},
		{infer.DialectOpenAI, `{"stream":"yes","messages":[]}`, fault.Invalid, "Invalid type for 'stream': expected a boolean, but got a string instead."},
		{infer.DialectOpenAI, `{"stream_options":{"include_usage":1},"messages":[]}`, fault.Invalid, "Invalid type for 'stream_options.include_usage'"},
		{infer.DialectOpenAI, `{"stream_options":[],"messages":[]}`, fault.Invalid, "expected an object, but got an array"},
		{infer.DialectOpenAI, `{"n":0,"messages":[]}`, fault.Invalid, "below minimum value"},
		{infer.DialectOpenAI, `{"n":1.5,"messages":[]}`, fault.Invalid, "expected an integer"},
		{infer.DialectOpenAI, `{"n":1e400,"messages":[]}`, fault.Invalid, "expected an integer"},
		{infer.DialectAnthropic, `{"max_tokens":"5"}`, fault.Invalid, "max_tokens: Input should be a valid integer"},
		{infer.DialectAnthropic, `{"max_tokens":0}`, fault.Invalid, "max_tokens: Input should be greater than or equal to 1"},
		{infer.DialectAnthropic, `{"max_tokens":99999999999999999999}`, fault.Invalid, "max_tokens: Input should be a valid integer"},
		{infer.DialectLlama, `{"max_gen_len":true}`, fault.Invalid, "Malformed input request: #/max_gen_len: expected type: Integer, found: Boolean, please reformat your input and try again."},
		{infer.DialectTitanText, `{"textGenerationConfig":{"maxTokenCount":-1}}`, fault.Invalid, "#/textGenerationConfig/maxTokenCount: -1 is not greater or equal to 1"},
		{infer.DialectAnthropic, `[]`, fault.Invalid, "valid object"},
		{infer.DialectConverse, `{"inferenceConfig":{"maxTokens":"5"}}`, fault.Malformed, "string at 'inferenceConfig.maxTokens' can not be converted to an integer."},
	} {
		c, _ := Get(k.d)
		var f infer.Facts
		err := c.Inspect([]byte(k.body), &f)
		if e := fault.From(err); e == nil || e.Kind != k.kind || !strings.Contains(e.Message, k.want) {
			t.Errorf("%s %s:\ngot  %v\nwant %s", k.d, k.body, err, k.want)
		}
	}
}

// malformedBodies are no JSON, or JSON that no dialect takes.
var malformedBodies = map[string]string{
	"empty": ``, "half": `{"messages":[`, "trailing": `{"messages":[]} {}`, "NaN": `{"temperature":NaN}`, "infinity": `{"temperature":Infinity}`,
	"single quotes": `{'messages':[]}`, "comma": `{"messages":[],}`, "control character": "{\"prompt\":\"a\x01\"}", "UTF-8": "{\"prompt\":\"\xff\"}",
	"surrogate": `{"prompt":"\ud800"}`, "byte order mark": "\ufeff{}", "leading zero": `{"temperature":01}`,
	"depth": strings.Repeat(`{"a":`, 10000) + `1` + strings.Repeat(`}`, 10000), "lists": `{"messages":` + strings.Repeat(`[`, 10000) + strings.Repeat(`]`, 10000) + `}`,
}

func TestInspectMalformed(t *testing.T) {
	for d, c := range codecs {
		for name, body := range malformedBodies {
			var f infer.Facts
			err := c.Inspect([]byte(body), &f)
			if fault.KindOf(err) != fault.Malformed || err == nil {
				t.Errorf("%s %s: %v", d, name, err)
			}
		}
	}
}

// TestInspectAllocates: a pass-through body costs what it is asked for by name, whatever
// its length: the model's name.
func TestInspectAllocates(t *testing.T) {
	body := []byte(`{"model":"m","max_tokens":5,"stream":true,"messages":[{"role":"system","content":"` + strings.Repeat("long ", 1000) + `"},` +
		`{"role":"user","content":[{"type":"text","text":"hi"},{"type":"image_url","image_url":{"url":"data:image/png;base64,` + png(640, 480) + `"}}]}]}`)
	c, _ := Get(infer.DialectOpenAI)
	n := testing.AllocsPerRun(100, func() {
		var f infer.Facts
		if err := c.Inspect(body, &f); err != nil || f.Media != 1 {
			t.Fatal(err, f)
		}
	})
	if n > 2 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkInspect(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			body := []byte(`{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"` + strings.Repeat("word ", size/5) + `"}]}`)
			c, _ := Get(infer.DialectOpenAI)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				var f infer.Facts
				if err := c.Inspect(body, &f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
