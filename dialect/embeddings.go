package dialect

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"

	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// The embeddings dialects: OpenAI, Titan (G1 and V2) and Cohere.

var embedMembers = map[string]member{
	"model": {ctl: ctlModel}, "input": {ctl: ctlText}, "inputText": {ctl: ctlText}, "texts": {ctl: ctlText}, "inputs": {ctl: ctlText},
	"images": {ctl: ctlText}, "user": {ctl: ctlUser},
}

func init() { //nolint:gochecknoinits // three codecs of one shape
	register(&Codec{
		Name: infer.DialectOpenAIEmbeddings, Inspect: inspector(embedMembers), DecodeEmbed: decodeOpenAIEmbed,
		EncodeEmbed: encodeOpenAIEmbed, EncodeResult: encodeOpenAIEmbedResult, DecodeEmbedResult: decodeOpenAIEmbedResult, RawUsage: openAIRawUsage,
	})
	register(&Codec{
		Name: infer.DialectTitanEmbed, Inspect: inspector(embedMembers), DecodeEmbed: decodeTitanEmbed,
		EncodeEmbed: encodeTitanEmbed, EncodeResult: encodeTitanEmbedResult, DecodeEmbedResult: decodeTitanEmbedResult, RawUsage: noUsage,
	})
	register(&Codec{
		Name: infer.DialectCohereEmbed, Inspect: inspector(embedMembers), DecodeEmbed: decodeCohereEmbed,
		EncodeEmbed: encodeCohereEmbed, EncodeResult: encodeCohereEmbedResult, DecodeEmbedResult: decodeCohereEmbedResult, RawUsage: noUsage,
	})
}

func noUsage([]byte) (infer.Usage, bool) { return infer.Usage{}, false }

type oaEmbedRequest struct {
	Model      string         `json:"model,omitzero"`
	Input      jsontext.Value `json:"input"`
	Dimensions *int64         `json:"dimensions,omitzero"`
	Encoding   string         `json:"encoding_format,omitzero"`
	User       string         `json:"user,omitzero"`
}

// maxInputs is OpenAI's bound on the inputs of one request.
const maxInputs = 2048

func decodeOpenAIEmbed(body []byte) (*infer.Embed, error) {
	var r oaEmbedRequest
	if err := unmarshal(body, &r); err != nil {
		return nil, err
	}
	e := &infer.Embed{Dimensions: r.Dimensions, Encoding: r.Encoding, User: r.User}
	switch r.Encoding {
	case "", "float", "base64":
	default:
		return nil, invalid("encoding_format", "Input should be 'float' or 'base64'")
	}
	inputs, err := decodeStop("input", r.Input)
	if err != nil {
		return nil, invalid("input", "Input should be a string or a list of strings; token arrays are not supported with this model")
	}
	if len(inputs) == 0 {
		return nil, missing("input")
	}
	if len(inputs) > maxInputs {
		return nil, invalid("input", "at most %d inputs are allowed", maxInputs)
	}
	e.Inputs = inputs
	return e, nil
}

func encodeOpenAIEmbed(e *infer.Embed, o EncodeOptions) ([]byte, error) {
	if len(e.Images) > 0 {
		return nil, unsupported("image", infer.DialectOpenAIEmbeddings)
	}
	return marshal(&oaEmbedRequest{Model: o.Model, Input: must(e.Inputs), Dimensions: e.Dimensions, User: e.User})
}

type oaEmbedItem struct {
	Object    string         `json:"object"`
	Index     int            `json:"index"`
	Embedding jsontext.Value `json:"embedding"`
}

type oaEmbedResponse struct {
	Object string        `json:"object"`
	Data   []oaEmbedItem `json:"data"`
	Model  string        `json:"model"`
	Usage  struct {
		Prompt int64 `json:"prompt_tokens"`
		Total  int64 `json:"total_tokens"`
	} `json:"usage"`
	Error *oaError `json:"error,omitzero"`
}

func encodeOpenAIEmbedResult(h Head, res *infer.Result) ([]byte, error) {
	out := oaEmbedResponse{Object: "list", Model: h.Model, Data: []oaEmbedItem{}}
	out.Usage.Prompt, out.Usage.Total = res.Usage.Input, res.Usage.Input
	for i, v := range res.Embeddings {
		item := oaEmbedItem{Object: "embedding", Index: i}
		if h.Embed != nil && h.Embed.Encoding == "base64" {
			item.Embedding = must(packFloats(v.Floats))
		} else {
			item.Embedding = must(v.Floats)
		}
		out.Data = append(out.Data, item)
	}
	return marshal(&out)
}

// packFloats is OpenAI's base64 form: little-endian IEEE 754 single precision.
func packFloats(v []float32) string {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return base64.StdEncoding.EncodeToString(b)
}

func decodeOpenAIEmbedResult(body []byte) (*infer.Result, error) {
	var r oaEmbedResponse
	if err := decodeEngine(body, &r); err != nil {
		return nil, err
	}
	if r.Error != nil {
		return nil, engineError(r.Error)
	}
	res := &infer.Result{Model: r.Model, Usage: infer.Usage{Input: r.Usage.Prompt}}
	for _, d := range r.Data {
		var v []float32
		if err := decodeEngine(d.Embedding, &v); err != nil {
			return nil, err
		}
		res.Embeddings = append(res.Embeddings, infer.Embedding{Floats: v})
	}
	return res, nil
}

type titanEmbedRequest struct {
	InputText  *string  `json:"inputText,omitzero"`
	Dimensions *int64   `json:"dimensions,omitzero"`
	Normalize  *bool    `json:"normalize,omitzero"`
	Types      []string `json:"embeddingTypes,omitzero"`
}

type titanEmbedResponse struct {
	Embedding []float32            `json:"embedding,omitzero"`
	ByType    map[string][]float32 `json:"embeddingsByType,omitzero"`
	Tokens    int64                `json:"inputTextTokenCount"`
}

func decodeTitanEmbed(body []byte) (*infer.Embed, error) {
	var r titanEmbedRequest
	if err := unmarshal(body, &r); err != nil {
		return nil, err
	}
	if r.InputText == nil {
		return nil, missing("inputText")
	}
	if d := r.Dimensions; d != nil && *d != 1024 && *d != 512 && *d != 256 {
		return nil, invalid("dimensions", "%d is not a valid enum value, expected one of [1024, 512, 256]", *d)
	}
	if err := embedTypes(r.Types, "float", "binary"); err != nil {
		return nil, err
	}
	return &infer.Embed{Inputs: []string{*r.InputText}, Dimensions: r.Dimensions, Normalize: r.Normalize, Types: r.Types}, nil
}

func embedTypes(types []string, allowed ...string) error {
	for i, t := range types {
		ok := false
		for _, a := range allowed {
			ok = ok || a == t
		}
		if !ok {
			return invalid("embeddingTypes."+strconv.Itoa(i), "%q is not a valid enum value", t)
		}
	}
	return nil
}

func encodeTitanEmbed(e *infer.Embed, _ EncodeOptions) ([]byte, error) {
	if len(e.Inputs) != 1 || len(e.Images) > 0 {
		return nil, unsupported("more than one input", infer.DialectTitanEmbed)
	}
	return marshal(&titanEmbedRequest{InputText: &e.Inputs[0], Dimensions: e.Dimensions, Normalize: e.Normalize, Types: e.Types})
}

func encodeTitanEmbedResult(h Head, res *infer.Result) ([]byte, error) {
	out := titanEmbedResponse{Tokens: res.Usage.Input}
	if len(res.Embeddings) > 0 {
		v := res.Embeddings[0]
		out.Embedding = v.Floats
		out.ByType = byType(h.Embed, v)
		if _, float := out.ByType["float"]; len(out.ByType) > 0 && !float {
			out.Embedding = nil
		}
	}
	return marshal(&out)
}

// byType lists a vector under each of the types asked for. Binary is the sign of each
// component as 0 or 1 where the engine gave only floats.
func byType(e *infer.Embed, v infer.Embedding) map[string][]float32 {
	if e == nil || len(e.Types) == 0 {
		return nil
	}
	out := map[string][]float32{}
	for _, t := range e.Types {
		switch given, ok := v.ByType[t]; {
		case ok:
			out[t] = given
		case t == "float":
			out[t] = v.Floats
		case t == "binary":
			bits := make([]float32, len(v.Floats))
			for i, x := range v.Floats {
				if x > 0 {
					bits[i] = 1
				}
			}
			out[t] = bits
		}
	}
	return out
}

func decodeTitanEmbedResult(body []byte) (*infer.Result, error) {
	var r titanEmbedResponse
	if err := decodeEngine(body, &r); err != nil {
		return nil, err
	}
	return &infer.Result{
		Usage: infer.Usage{Input: r.Tokens}, Embeddings: []infer.Embedding{{Floats: r.Embedding, ByType: r.ByType}},
	}, nil
}

type cohereEmbedRequest struct {
	InputType string   `json:"input_type"`
	Texts     []string `json:"texts,omitzero"`
	Images    []string `json:"images,omitzero"`
	Types     []string `json:"embedding_types,omitzero"`
	Dimension *int64   `json:"output_dimension,omitzero"`
	MaxTokens *int64   `json:"max_tokens,omitzero"`
	Truncate  string   `json:"truncate,omitzero"`
}

type cohereEmbedResponse struct {
	ID         string         `json:"id"`
	Embeddings jsontext.Value `json:"embeddings"`
	Type       string         `json:"response_type"`
	Texts      []string       `json:"texts"`
}

var cohereInputTypes = map[string]bool{"search_document": true, "search_query": true, "classification": true, "clustering": true, "image": true}

func decodeCohereEmbed(body []byte) (*infer.Embed, error) {
	var r cohereEmbedRequest
	if err := unmarshal(body, &r); err != nil {
		return nil, err
	}
	switch {
	case r.InputType == "":
		return nil, missing("input_type")
	case !cohereInputTypes[r.InputType]:
		return nil, invalid("input_type", "%s is not a valid enum value", r.InputType)
	case len(r.Texts) == 0 && len(r.Images) == 0:
		return nil, missing("texts")
	case len(r.Texts) > 96:
		return nil, invalid("texts", "expected maximum item count: 96, found: %d", len(r.Texts))
	}
	if err := embedTypes(r.Types, "float", "int8", "uint8", "binary", "ubinary"); err != nil {
		return nil, err
	}
	e := &infer.Embed{Inputs: r.Texts, InputType: r.InputType, Types: r.Types, Dimensions: r.Dimension, Truncate: r.Truncate}
	for i, url := range r.Images {
		m, err := dataURL("images."+strconv.Itoa(i), url)
		if err != nil {
			return nil, err
		}
		e.Images = append(e.Images, m)
	}
	return e, nil
}

func encodeCohereEmbed(e *infer.Embed, _ EncodeOptions) ([]byte, error) {
	r := cohereEmbedRequest{InputType: e.InputType, Texts: e.Inputs, Types: e.Types, Dimension: e.Dimensions, Truncate: e.Truncate}
	if r.InputType == "" {
		r.InputType = "search_document"
	}
	for _, m := range e.Images {
		r.Images = append(r.Images, encodeDataURL(m))
	}
	return marshal(&r)
}

func encodeCohereEmbedResult(h Head, res *infer.Result) ([]byte, error) {
	out := cohereEmbedResponse{ID: h.ID, Type: "embeddings_floats", Texts: []string{}}
	if h.Embed != nil {
		out.Texts = append(out.Texts, h.Embed.Inputs...)
	}
	if h.Embed != nil && len(h.Embed.Types) > 0 {
		out.Type = "embeddings_by_type"
		all := map[string][][]float32{}
		for _, v := range res.Embeddings {
			for t, x := range byType(h.Embed, v) {
				all[t] = append(all[t], x)
			}
		}
		out.Embeddings = must(all)
		return marshal(&out)
	}
	rows := [][]float32{}
	for _, v := range res.Embeddings {
		rows = append(rows, v.Floats)
	}
	out.Embeddings = must(rows)
	return marshal(&out)
}

func decodeCohereEmbedResult(body []byte) (*infer.Result, error) {
	var r cohereEmbedResponse
	if err := decodeEngine(body, &r); err != nil {
		return nil, err
	}
	res := &infer.Result{ID: r.ID, Usage: infer.Usage{Estimated: true}}
	var rows [][]float32
	if r.Embeddings.Kind() == '[' {
		if err := decodeEngine(r.Embeddings, &rows); err != nil {
			return nil, err
		}
		for _, v := range rows {
			res.Embeddings = append(res.Embeddings, infer.Embedding{Floats: v})
		}
		return res, nil
	}
	var all map[string][][]float32
	if err := decodeEngine(r.Embeddings, &all); err != nil {
		return nil, err
	}
	for t, vs := range all {
		for i, v := range vs {
			for len(res.Embeddings) <= i {
				res.Embeddings = append(res.Embeddings, infer.Embedding{ByType: map[string][]float32{}})
			}
			res.Embeddings[i].ByType[t] = v
			if t == "float" {
				res.Embeddings[i].Floats = v
			}
		}
	}
	return res, nil
}
