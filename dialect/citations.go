package dialect

import (
	"strconv"
	"unicode/utf8"

	"forebay/infer"

	"github.com/go-json-experiment/json/jsontext"
)

// Citations say which part of a document a text of an answer rests on. Sources: Anthropic's
// documentation of citations; botocore's bedrock-runtime service model (Citation); Bedrock user
// guide, "Cohere Command R and Command R+ models". Cohere counts characters of its answer, the
// others places in the document, so that a conversion to Cohere keeps only which document it was.

// anCitation is Anthropic's form: the members that are set depend on the type.
type anCitation struct {
	Type       string `json:"type"`
	CitedText  string `json:"cited_text"`
	Document   int    `json:"document_index"`
	Title      string `json:"document_title"`
	StartChar  *int64 `json:"start_char_index,omitzero"`
	EndChar    *int64 `json:"end_char_index,omitzero"`
	StartPage  *int64 `json:"start_page_number,omitzero"`
	EndPage    *int64 `json:"end_page_number,omitzero"`
	StartBlock *int64 `json:"start_block_index,omitzero"`
	EndBlock   *int64 `json:"end_block_index,omitzero"`
}

func newAnCitation(c *infer.Citation) anCitation {
	out := anCitation{Type: "char_location", CitedText: c.Text, Document: c.Document, Title: c.Title}
	switch c.Unit {
	case infer.CitedPages:
		out.Type, out.StartPage, out.EndPage = "page_location", &c.Start, &c.End
	case infer.CitedBlocks:
		out.Type, out.StartBlock, out.EndBlock = "content_block_location", &c.Start, &c.End
	default:
		out.StartChar, out.EndChar = &c.Start, &c.End
	}
	return out
}

// citation returns it in no particular dialect; nil for a kind of place that others do not have.
func (a *anCitation) citation() *infer.Citation {
	out := &infer.Citation{Text: a.CitedText, Document: a.Document, Title: a.Title}
	start, end := a.StartChar, a.EndChar
	switch a.Type {
	case "char_location":
		out.Unit = infer.CitedChars
	case "page_location":
		out.Unit, start, end = infer.CitedPages, a.StartPage, a.EndPage
	case "content_block_location":
		out.Unit, start, end = infer.CitedBlocks, a.StartBlock, a.EndBlock
	default:
		return nil
	}
	if start != nil && end != nil {
		out.Start, out.End = *start, *end
	}
	return out
}

// decodeAnCitations reads the citations of a text; what cannot be read is left out.
func decodeAnCitations(v jsontext.Value) []infer.Citation {
	if v.Kind() != '[' {
		return nil
	}
	var list []anCitation
	if decodeEngine(v, &list) != nil {
		return nil
	}
	var out []infer.Citation
	for i := range list {
		if c := list[i].citation(); c != nil {
			out = append(out, *c)
		}
	}
	return out
}

func encodeAnCitations(list []infer.Citation) jsontext.Value {
	if len(list) == 0 {
		return nil
	}
	out := make([]anCitation, len(list))
	for i := range list {
		out[i] = newAnCitation(&list[i])
	}
	return must(out)
}

// cvCitation is Converse's form.
type cvCitation struct {
	Title    string        `json:"title,omitzero"`
	Source   []cvCitedText `json:"sourceContent,omitzero"`
	Location *cvCitedPlace `json:"location,omitzero"`
}

type cvCitedText struct {
	Text string `json:"text"`
}

// cvCitedPlace is a union.
type cvCitedPlace struct {
	Char  *cvCitedRange `json:"documentChar,omitzero"`
	Page  *cvCitedRange `json:"documentPage,omitzero"`
	Chunk *cvCitedRange `json:"documentChunk,omitzero"`
}

type cvCitedRange struct {
	Document int   `json:"documentIndex"`
	Start    int64 `json:"start"`
	End      int64 `json:"end"`
}

// cvCitationsContent is a text with its citations.
type cvCitationsContent struct {
	Content   []cvCitedText `json:"content"`
	Citations []cvCitation  `json:"citations"`
}

func newCvCitation(c *infer.Citation) *cvCitation {
	at := &cvCitedRange{c.Document, c.Start, c.End}
	out := &cvCitation{Title: c.Title, Source: []cvCitedText{{c.Text}}, Location: &cvCitedPlace{}}
	switch c.Unit {
	case infer.CitedPages:
		out.Location.Page = at
	case infer.CitedBlocks:
		out.Location.Chunk = at
	default:
		out.Location.Char = at
	}
	return out
}

func (v *cvCitation) citation() *infer.Citation {
	out := &infer.Citation{Title: v.Title}
	for _, s := range v.Source {
		out.Text += s.Text
	}
	if v.Location == nil {
		return out
	}
	for unit, at := range map[infer.CitedUnit]*cvCitedRange{
		infer.CitedChars: v.Location.Char, infer.CitedPages: v.Location.Page, infer.CitedBlocks: v.Location.Chunk,
	} {
		if at != nil {
			out.Unit, out.Document, out.Start, out.End = unit, at.Document, at.Start, at.End
		}
	}
	return out
}

func newCvCitations(b *infer.Block) *cvCitationsContent {
	out := &cvCitationsContent{Content: []cvCitedText{{b.Text}}}
	for i := range b.Citations {
		out.Citations = append(out.Citations, *newCvCitation(&b.Citations[i]))
	}
	return out
}

func (v *cvCitationsContent) block() infer.Block {
	out := infer.Block{Kind: infer.BlockText}
	for _, t := range v.Content {
		out.Text += t.Text
	}
	for i := range v.Citations {
		out.Citations = append(out.Citations, *v.Citations[i].citation())
	}
	return out
}

// cohereCitation is Cohere's form: a span of the answer, in characters, and the documents it rests on.
type cohereCitation struct {
	Start     int      `json:"start"`
	End       int      `json:"end"`
	Text      string   `json:"text"`
	Documents []string `json:"document_ids"`
}

// newCohereCitation makes one of a text that begins at a character of the answer; false for a text that cites nothing.
func newCohereCitation(start int, text string, list []infer.Citation) (cohereCitation, bool) {
	out := cohereCitation{Start: start, End: start + utf8.RuneCountInString(text), Text: text}
	for i := range list {
		id := "doc_" + strconv.Itoa(list[i].Document)
		if len(out.Documents) == 0 || out.Documents[len(out.Documents)-1] != id {
			out.Documents = append(out.Documents, id)
		}
	}
	return out, len(list) > 0 && text != ""
}

// cohereCitations are those of a whole answer.
func cohereCitations(blocks []infer.Block) []cohereCitation {
	var out []cohereCitation
	at := 0
	for i := range blocks {
		b := &blocks[i]
		if b.Kind != infer.BlockText {
			continue
		}
		if c, ok := newCohereCitation(at, b.Text, b.Citations); ok {
			out = append(out, c)
		}
		at += utf8.RuneCountInString(b.Text)
	}
	return out
}
