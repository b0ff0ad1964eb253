package dialect

import (
	"forebay/infer"
)

// Families whose bodies are close to chat completions: Mistral chat, AI21 Jamba and
// OpenAI's gpt-oss on Bedrock. The path names model and stream; gpt-oss may repeat them in
// the body. Sources: Bedrock user guide, "Mistral AI chat completion", "AI21 Labs Jamba
// models", "OpenAI models".

func init() { // three codecs of one shape
	for _, c := range []*Codec{
		{
			Name: infer.DialectMistralChat, EncodeResult: encodeMistralChatResult, DecodeResult: decodeMistralChatResult,
			NewStreamEncoder: func(h Head) StreamEncoder { return openAIStream(h, false, false, true) },
			NewStreamDecoder: nativeDecoder(false, true),
		},
		{
			Name: infer.DialectJamba, EncodeResult: encodeJambaResult, DecodeResult: decodeOpenAIResult,
			NewStreamEncoder: newOpenAIEncoder, NewStreamDecoder: nativeDecoder(false, false),
		},
		{
			Name: infer.DialectGPTOSS, EncodeResult: encodeGPTOSSResult, DecodeResult: decodeGPTOSSResult,
			NewStreamEncoder: func(h Head) StreamEncoder { return openAIStream(h, false, true, false) },
			NewStreamDecoder: nativeDecoder(true, false),
		},
	} {
		c.words, c.needs = wordsNative, []string{"messages"}
		c.Inspect = inspector(wordsNative, true, openAIMembers)
		c.DecodeChat, c.EncodeChat = decodeOpenAI(c.Name), encodeOpenAI(c.Name)
		c.RawUsage = rawUsage
		register(c)
	}
}

func nativeDecoder(tags, mistral bool) func() StreamDecoder {
	return func() StreamDecoder {
		return &openAIDecoder{choices: map[int]*oaChoiceState{}, native: true, tags: tags, mistral: mistral}
	}
}

// Mistral's chat on Bedrock says stop_reason where OpenAI says finish_reason.
type mistralChatChoice struct {
	Index      int       `json:"index"`
	Message    *oaAnswer `json:"message"`
	StopReason string    `json:"stop_reason"`
}

type mistralChatResponse struct {
	Choices []mistralChatChoice `json:"choices"`
}

func encodeMistralChatResult(_ Head, res *infer.Result) ([]byte, error) {
	out := mistralChatResponse{Choices: []mistralChatChoice{}}
	for i, c := range res.Choices {
		out.Choices = append(out.Choices, mistralChatChoice{i, answer(c.Content, false), oaFinish(c.Stop)})
	}
	return marshal(&out)
}
