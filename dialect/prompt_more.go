package dialect

import (
	"strconv"

	"forebay/infer"
)

// Mistral completion, Titan Text and DeepSeek: see prompt.go for what they share.

type mistralRequest struct {
	Prompt      *string  `json:"prompt,omitzero"`
	MaxTokens   *int64   `json:"max_tokens,omitzero"`
	Stop        []string `json:"stop,omitzero"`
	Temperature *float64 `json:"temperature,omitzero"`
	TopP        *float64 `json:"top_p,omitzero"`
	TopK        *int64   `json:"top_k,omitzero"`
}

type mistralOutput struct {
	Text       string  `json:"text"`
	StopReason *string `json:"stop_reason"`
}

type mistralResponse struct {
	Outputs []mistralOutput `json:"outputs"`
}

// maxStops bounds the stop sequences of the families.
const maxStops = 10

func decodeMistralLike(d infer.Dialect) func([]byte) (*infer.Chat, error) {
	return func(body []byte) (*infer.Chat, error) {
		var r mistralRequest
		if err := unmarshal("", body, &r); err != nil {
			return nil, err
		}
		if r.Prompt == nil {
			return nil, missing("prompt")
		}
		if n := len(r.Stop); n > maxStops {
			return nil, outOfRange(breachMaxItems, "stop", strconv.Itoa(maxStops), strconv.Itoa(n))
		}
		c := &infer.Chat{Prompt: r.Prompt, MaxTokens: r.MaxTokens, Stop: r.Stop, Temperature: r.Temperature, TopP: r.TopP, TopK: r.TopK}
		return c, ranges(d, c)
	}
}

func encodeMistral(c *infer.Chat, _ EncodeOptions) ([]byte, []string, error) {
	return encodeMistralLike(c, writer{d: infer.DialectMistral}, limits{topK: true}, renderMistral)
}

func encodeDeepSeek(c *infer.Chat, _ EncodeOptions) ([]byte, []string, error) {
	return encodeMistralLike(c, writer{d: infer.DialectDeepSeek}, limits{}, renderDeepSeek)
}

func encodeMistralLike(c *infer.Chat, w writer, has limits, render func(string, []infer.Message) string) ([]byte, []string, error) {
	if err := w.refuse(c, has); err != nil {
		return nil, nil, err
	}
	p, err := w.promptOf(c, render)
	if err != nil {
		return nil, nil, err
	}
	r := mistralRequest{Prompt: &p, MaxTokens: c.MaxTokens, Stop: c.Stop, Temperature: c.Temperature, TopP: c.TopP}
	if has.topK {
		r.TopK = c.TopK
	}
	return w.finish(c, &r)
}

func encodeMistralResult(_ Head, res *infer.Result) ([]byte, error) {
	text, stop := firstChoice(res)
	return marshal(&mistralResponse{Outputs: []mistralOutput{{text, shortStop(stop)}}})
}

func mistralChunk(text string, p progress) []byte {
	return must(&mistralResponse{Outputs: []mistralOutput{{text, shortStop(p.stop)}}})
}

// bodyMetrics is the usage of a payload that counts tokens only in Bedrock's metrics.
func bodyMetrics(body []byte) infer.Usage {
	u, ok := metricsUsage(body)
	u.Estimated = !ok
	return u
}

func decodeMistralResult(body []byte) (*infer.Result, error) {
	var r mistralResponse
	if err := decodeEngine(body, &r); err != nil {
		return nil, err
	}
	if len(r.Outputs) == 0 {
		return textResult("", "", bodyMetrics(body)), nil
	}
	return textResult(r.Outputs[0].Text, stopOf(r.Outputs[0].StopReason), bodyMetrics(body)), nil
}

type deepSeekResponse struct {
	Choices []mistralOutput `json:"choices"`
}

func encodeDeepSeekResult(_ Head, res *infer.Result) ([]byte, error) {
	text, stop := firstChoice(res)
	return marshal(&deepSeekResponse{Choices: []mistralOutput{{text, shortStop(stop)}}})
}

func deepSeekChunk(text string, p progress) []byte {
	return must(&deepSeekResponse{Choices: []mistralOutput{{text, shortStop(p.stop)}}})
}

func decodeDeepSeekResult(body []byte) (*infer.Result, error) {
	var r deepSeekResponse
	if err := decodeEngine(body, &r); err != nil {
		return nil, err
	}
	if len(r.Choices) == 0 {
		return textResult("", "", bodyMetrics(body)), nil
	}
	return textResult(r.Choices[0].Text, stopOf(r.Choices[0].StopReason), bodyMetrics(body)), nil
}

type titanRequest struct {
	InputText *string      `json:"inputText,omitzero"`
	Config    *titanConfig `json:"textGenerationConfig,omitzero"`
}

type titanConfig struct {
	Temperature *float64 `json:"temperature,omitzero"`
	TopP        *float64 `json:"topP,omitzero"`
	MaxTokens   *int64   `json:"maxTokenCount,omitzero"`
	Stop        []string `json:"stopSequences,omitzero"`
}

type titanResponse struct {
	InputTokens int64         `json:"inputTextTokenCount"`
	Results     []titanResult `json:"results"`
}

type titanResult struct {
	TokenCount int64  `json:"tokenCount"`
	OutputText string `json:"outputText"`
	Reason     string `json:"completionReason"`
}

type titanChunkBody struct {
	OutputText  string  `json:"outputText"`
	Index       int     `json:"index"`
	TotalTokens *int64  `json:"totalOutputTextTokenCount"`
	Reason      *string `json:"completionReason"`
	InputTokens *int64  `json:"inputTextTokenCount"`
}

// titanTokens is the family's default of maxTokenCount.
const titanTokens = int64(512)

func decodeTitan(body []byte) (*infer.Chat, error) {
	var r titanRequest
	if err := unmarshal("", body, &r); err != nil {
		return nil, err
	}
	if r.InputText == nil {
		return nil, missing("inputText")
	}
	n := titanTokens
	c := &infer.Chat{Prompt: r.InputText, MaxTokens: &n}
	if g := r.Config; g != nil {
		c.Temperature, c.TopP, c.Stop = g.Temperature, g.TopP, g.Stop
		if g.MaxTokens != nil {
			c.MaxTokens = g.MaxTokens
		}
	}
	return c, ranges(infer.DialectTitanText, c)
}

func encodeTitan(c *infer.Chat, _ EncodeOptions) ([]byte, []string, error) {
	w := writer{d: infer.DialectTitanText}
	if err := w.refuse(c, limits{}); err != nil {
		return nil, nil, err
	}
	p, err := w.promptOf(c, renderTitan)
	if err != nil {
		return nil, nil, err
	}
	return w.finish(c, &titanRequest{InputText: &p, Config: &titanConfig{Temperature: c.Temperature, TopP: c.TopP, MaxTokens: c.MaxTokens, Stop: c.Stop}})
}

func titanReason(s infer.StopReason) string {
	switch s {
	case infer.StopMaxTokens:
		return "LENGTH"
	case infer.StopSequence:
		return "STOP_CRITERIA_MET"
	case infer.StopFiltered, infer.StopGuardrail, infer.StopRefusal:
		return "CONTENT_FILTERED"
	default:
		return "FINISH"
	}
}

var titanStops = map[string]infer.StopReason{
	"FINISH": infer.StopEndTurn, "FINISHED": infer.StopEndTurn, "LENGTH": infer.StopMaxTokens,
	"STOP_CRITERIA_MET": infer.StopSequence, "CONTENT_FILTERED": infer.StopFiltered,
}

func encodeTitanResult(_ Head, res *infer.Result) ([]byte, error) {
	text, stop := firstChoice(res)
	return marshal(&titanResponse{InputTokens: res.Usage.Input, Results: []titanResult{{res.Usage.Output, text, titanReason(stop)}}})
}

func titanChunk(text string, p progress) []byte {
	c := titanChunkBody{OutputText: text}
	if p.stop != "" {
		reason := titanReason(p.stop)
		c.Reason, c.TotalTokens, c.InputTokens = &reason, &p.usage.Output, &p.usage.Input
	}
	return must(&c)
}

func decodeTitanResult(body []byte) (*infer.Result, error) {
	var r titanResponse
	if err := decodeEngine(body, &r); err != nil {
		return nil, err
	}
	if len(r.Results) == 0 {
		return &infer.Result{Usage: infer.Usage{Input: r.InputTokens}}, nil
	}
	x := r.Results[0]
	return textResult(x.OutputText, titanStops[x.Reason], infer.Usage{Input: r.InputTokens, Output: x.TokenCount}), nil
}

func decodeTitanChunk(body []byte) (*infer.Result, error) {
	var r titanChunkBody
	if err := decodeEngine(body, &r); err != nil {
		return nil, err
	}
	u := infer.Usage{Estimated: true}
	if r.TotalTokens != nil && r.InputTokens != nil {
		u = infer.Usage{Input: *r.InputTokens, Output: *r.TotalTokens}
	}
	stop := infer.StopReason("")
	if r.Reason != nil {
		stop = titanStops[*r.Reason]
	}
	return textResult(r.OutputText, stop, u), nil
}
