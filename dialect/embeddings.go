package dialect

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"
	"strconv"

	"forebay/fault"
	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// The embeddings dialects: OpenAI, Titan (G1 and V2) and Cohere.

var (
	oaEmbedMembers     = map[string]member{"model": {ctl: ctlModel}, "input": {ctl: ctlText}, "user": {ctl: ctlUser}}
	titanEmbedMembers  = map[string]member{"inputText": {ctl: ctlText}}
	cohereEmbedMembers = map[string]member{"texts": {ctl: ctlText}, "inputs": {ctl: ctlText}, "images": {ctl: ctlText}}
)

func init() { // three codecs of one shape
	register(&Codec{
		Name: infer.DialectOpenAIEmbeddings, words: wordsOpenAI, needs: []string{"input"}, Inspect: inspector(wordsOpenAI, true, oaEmbedMembers), DecodeEmbed: decodeOpenAIEmbed,
		EncodeEmbed: encodeOpenAIEmbed, EncodeResult: encodeOpenAIEmbedResult, DecodeEmbedResult: decodeOpenAIEmbedResult, RawUsage: rawUsage,
	})
	register(&Codec{
		Name: infer.DialectTitanEmbed, words: wordsNative, needs: []string{"inputText"}, Inspect: inspector(wordsNative, false, titanEmbedMembers), DecodeEmbed: decodeTitanEmbed,
		EncodeEmbed: encodeTitanEmbed, EncodeResult: encodeTitanEmbedResult, DecodeEmbedResult: decodeTitanEmbedResult, RawUsage: metricsUsage,
	})
	register(&Codec{
		Name: infer.DialectCohereEmbed, words: wordsNative, needs: []string{"input_type"}, Inspect: inspector(wordsNative, false, cohereEmbedMembers), DecodeEmbed: decodeCohereEmbed,
		EncodeEmbed: encodeCohereEmbed, EncodeResult: encodeCohereEmbedResult, DecodeEmbedResult: decodeCohereEmbedResult, RawUsage: metricsUsage,
	})
}

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
	if err := unmarshal("", body, &r); err != nil {
		return nil, err
	}
	e := &infer.Embed{Dimensions: r.Dimensions, Encoding: r.Encoding, User: r.User}
	switch r.Encoding {
	case "", "float", "base64":
	default:
		return nil, badEnum("encoding_format", r.Encoding, "float", "base64")
	}
	if d := r.Dimensions; d != nil && *d < 1 {
		return nil, outOfRange(breachMin, "dimensions", "1", strconv.FormatInt(*d, 10))
	}
	n, err := decodeInput(e, r.Input)
	switch {
	case err != nil:
		return nil, err
	case n == 0:
		return nil, outOfRange(breachMinItems, "input", "1", "0")
	case n > maxInputs:
		return nil, outOfRange(breachMaxItems, "input", strconv.Itoa(maxInputs), strconv.Itoa(n))
	}
	return e, nil
}

// decodeInput reads the four forms of input: a text, texts, tokens, lists of tokens.
func decodeInput(e *infer.Embed, v jsontext.Value) (n int, err error) {
	switch v.Kind() {
	case 0, 'n':
		return 0, missing("input")
	case '[':
	default:
		e.Inputs, err = decodeStop("input", v)
		return len(e.Inputs), err
	}
	var list []jsontext.Value
	if err := unmarshal("input", v, &list); err != nil || len(list) == 0 {
		return 0, err
	}
	switch list[0].Kind() {
	case '[':
		err = unmarshal("input", v, &e.Tokens)
	case '0':
		e.Tokens = make([][]int64, 1)
		err = unmarshal("input", v, &e.Tokens[0])
	default:
		err = unmarshal("input", v, &e.Inputs)
	}
	return len(e.Tokens) + len(e.Inputs), err
}

func encodeOpenAIEmbed(e *infer.Embed, o EncodeOptions) ([]byte, error) {
	d := infer.DialectOpenAIEmbeddings
	switch {
	case len(e.Images) > 0:
		return nil, unsupported("image", d)
	case embedsOnly(e, "float", "binary", "ubinary") != "":
		return nil, unsupported("embedding type "+embedsOnly(e, "float", "binary", "ubinary"), d)
	case e.Normalize != nil && !*e.Normalize:
		return nil, unsupported("normalize", d)
	case e.Truncate == "START":
		return nil, unsupported("truncate", d)
	}
	r := oaEmbedRequest{Model: o.Model, Input: must(e.Inputs), Dimensions: e.Dimensions, User: e.User}
	if len(e.Tokens) > 0 {
		r.Input = must(e.Tokens)
	}
	return marshal(&r)
}

// embedsOnly returns the first type asked for that is not allowed. Binary can be made of floats.
func embedsOnly(e *infer.Embed, allowed ...string) string {
	for _, t := range e.Types {
		if !slices.Contains(allowed, t) {
			return t
		}
	}
	return ""
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
	var r struct {
		Data []struct {
			Index     int            `json:"index"`
			Embedding jsontext.Value `json:"embedding"`
		} `json:"data"`
		Model string         `json:"model"`
		Usage jsontext.Value `json:"usage"`
		Error jsontext.Value `json:"error"`
	}
	if err := decodeEngine(body, &r); err != nil {
		return nil, err
	}
	if k := r.Error.Kind(); k == '{' || k == '"' {
		return nil, engineError(r.Error)
	}
	res := &infer.Result{Model: r.Model, Usage: resultUsage(r.Usage), Embeddings: make([]infer.Embedding, len(r.Data))}
	for i, d := range r.Data {
		at := d.Index
		if at < 0 || at >= len(r.Data) || res.Embeddings[at].Floats != nil {
			at = i // an engine that does not number them
		}
		v, err := decodeVector(d.Embedding)
		if err != nil {
			return nil, err
		}
		res.Embeddings[at].Floats = v
	}
	return res, nil
}

func decodeVector(v jsontext.Value) (out []float32, err error) {
	if v.Kind() != '"' {
		return out, decodeEngine(v, &out)
	}
	b, err := base64.StdEncoding.DecodeString(unquote(v))
	if err != nil || len(b)%4 != 0 {
		return nil, fault.New(fault.StreamFailed, "The engine's answer could not be understood.")
	}
	for ; len(b) > 0; b = b[4:] {
		out = append(out, math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return out, nil
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
	if err := unmarshal("", body, &r); err != nil {
		return nil, err
	}
	if r.InputText == nil {
		return nil, missing("inputText")
	}
	if d := r.Dimensions; d != nil && *d != 1024 && *d != 512 && *d != 256 {
		return nil, badEnum("dimensions", strconv.FormatInt(*d, 10), "1024", "512", "256")
	}
	if err := embedTypes("embeddingTypes", r.Types, "float", "binary"); err != nil {
		return nil, err
	}
	return &infer.Embed{Inputs: []string{*r.InputText}, Dimensions: r.Dimensions, Normalize: r.Normalize, Types: r.Types}, nil
}

func embedTypes(path string, types []string, allowed ...string) error {
	for i, t := range types {
		if !slices.Contains(allowed, t) {
			return badEnum(path+"."+strconv.Itoa(i), t, allowed...)
		}
	}
	return nil
}

func encodeTitanEmbed(e *infer.Embed, _ EncodeOptions) ([]byte, error) {
	d := infer.DialectTitanEmbed
	switch {
	case len(e.Images) > 0:
		return nil, unsupported("image", d)
	case len(e.Tokens) > 0:
		return nil, unsupported("input of tokens", d)
	case len(e.Inputs) != 1:
		return nil, unsupported("more than one input", d)
	case embedsOnly(e, "float", "binary") != "":
		return nil, unsupported("embedding type "+embedsOnly(e, "float", "binary"), d)
	}
	return marshal(&titanEmbedRequest{InputText: &e.Inputs[0], Dimensions: e.Dimensions, Normalize: e.Normalize, Types: e.Types})
}

func encodeTitanEmbedResult(h Head, res *infer.Result) ([]byte, error) {
	out := titanEmbedResponse{Tokens: res.Usage.Input}
	if len(res.Embeddings) > 0 {
		v := res.Embeddings[0]
		if h.Embed == nil || h.Embed.Normalize == nil || *h.Embed.Normalize {
			v.Floats = unit(v.Floats) // the family's default, which not every engine keeps to
		}
		out.Embedding = v.Floats
		out.ByType = byType(h.Embed, v)
		if _, float := out.ByType["float"]; len(out.ByType) > 0 && !float {
			out.Embedding = nil
		}
	}
	return marshal(&out)
}

// unit scales a vector to length one; one that is about that long already stays as it is.
func unit(v []float32) []float32 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if sum == 0 || math.Abs(sum-1) < 1e-3 {
		return v
	}
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(float64(x) / math.Sqrt(sum))
	}
	return out
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

// packedTypes are Cohere's binary vectors where the engine gave only floats: the signs of
// eight components in a byte, the first in the highest bit; "binary" counts from -128.
func packedTypes(e *infer.Embed, v infer.Embedding) map[string][]float32 {
	out := map[string][]float32{}
	for _, t := range e.Types {
		offset := float32(0)
		switch t {
		case "binary":
			offset = 128
		case "ubinary":
		default:
			continue
		}
		if given, ok := v.ByType[t]; ok {
			out[t] = given
			continue
		}
		packed := make([]float32, (len(v.Floats)+7)/8)
		for i, x := range v.Floats {
			if x > 0 {
				packed[i/8] += float32(int(1) << (7 - i%8))
			}
		}
		for i := range packed {
			packed[i] -= offset
		}
		out[t] = packed
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
	InputType string        `json:"input_type"`
	Texts     []string      `json:"texts,omitzero"`
	Images    []string      `json:"images,omitzero"`
	Inputs    []cohereInput `json:"inputs,omitzero"` // v4: texts and images in one
	Types     []string      `json:"embedding_types,omitzero"`
	Dimension *int64        `json:"output_dimension,omitzero"`
	MaxTokens *int64        `json:"max_tokens,omitzero"` // v4: where an input is cut
	Truncate  string        `json:"truncate,omitzero"`
}

type cohereInput struct {
	Content []oaPart `json:"content"`
}

type cohereEmbedResponse struct {
	ID         string         `json:"id"`
	Embeddings jsontext.Value `json:"embeddings"`
	Type       string         `json:"response_type"`
	Texts      []string       `json:"texts"`
}

var cohereInputTypes = []string{"search_document", "search_query", "classification", "clustering", "image"}

// cohereDimensions are the sizes of Embed v4's vectors.
var cohereDimensions = []int64{256, 512, 1024, 1536}

// maxTexts is Cohere's bound on the texts of one request.
const maxTexts = 96

func decodeCohereEmbed(body []byte) (*infer.Embed, error) {
	var r cohereEmbedRequest
	if err := unmarshal("", body, &r); err != nil {
		return nil, err
	}
	switch {
	case r.InputType == "":
		return nil, missing("input_type")
	case !slices.Contains(cohereInputTypes, r.InputType):
		return nil, badEnum("input_type", r.InputType, cohereInputTypes...)
	case len(r.Texts) > maxTexts:
		return nil, outOfRange(breachMaxItems, "texts", strconv.Itoa(maxTexts), strconv.Itoa(len(r.Texts)))
	case r.MaxTokens != nil:
		return nil, unsupported("max_tokens", infer.DialectCohereEmbed)
	}
	if err := embedTypes("embedding_types", r.Types, "float", "int8", "uint8", "binary", "ubinary"); err != nil {
		return nil, err
	}
	if d := r.Dimension; d != nil && !slices.Contains(cohereDimensions, *d) {
		return nil, badEnum("output_dimension", strconv.FormatInt(*d, 10), "256", "512", "1024", "1536")
	}
	switch r.Truncate {
	case "", "NONE", "START", "END", "LEFT", "RIGHT":
	default:
		return nil, badEnum("truncate", r.Truncate, "NONE", "START", "END")
	}
	for i, in := range r.Inputs {
		// one text makes one vector; text and image together have no other expression
		if len(in.Content) != 1 || in.Content[0].Type != "text" || in.Content[0].Text == nil {
			return nil, unsupported("inputs."+strconv.Itoa(i), infer.DialectCohereEmbed)
		}
		r.Texts = append(r.Texts, *in.Content[0].Text)
	}
	if len(r.Texts) == 0 && len(r.Images) == 0 {
		return nil, missing("texts")
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
	switch {
	case len(e.Tokens) > 0:
		return nil, unsupported("input of tokens", infer.DialectCohereEmbed)
	case len(e.Inputs) > maxTexts:
		return nil, unsupported("more than 96 inputs", infer.DialectCohereEmbed)
	case e.Normalize != nil && !*e.Normalize:
		return nil, unsupported("normalize", infer.DialectCohereEmbed)
	}
	r := cohereEmbedRequest{InputType: e.InputType, Texts: e.Inputs, Types: e.Types, Dimension: e.Dimensions, Truncate: e.Truncate}
	if r.InputType == "" {
		r.InputType = "search_document"
	}
	for _, m := range e.Images {
		if m.Data == nil {
			return nil, unsupported("image by reference", infer.DialectCohereEmbed)
		}
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
				if t != "binary" {
					all[t] = append(all[t], x)
				}
			}
			for t, x := range packedTypes(h.Embed, v) {
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
