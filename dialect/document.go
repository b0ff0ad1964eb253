package dialect

import (
	"unicode/utf8"

	"forebay/infer"
)

// textFormats are the formats of documents whose bytes are text.
var textFormats = map[string]bool{"txt": true, "md": true, "csv": true, "html": true}

// isText reports whether a document is text that can stand in a message as it is.
func isText(m *infer.Media) bool {
	return textFormats[m.Format] && m.Data != nil && utf8.Valid(m.Data)
}

// documentText writes a document of plain text for a dialect without documents: the model
// reads the same words, under the document's name.
func documentText(m *infer.Media) string {
	name := m.Name
	if name == "" {
		name = "document." + m.Format
	}
	return "<document name=\"" + name + "\">\n" + string(m.Data) + "\n</document>"
}

// cited notes that an answer will not say which document it rests on.
func (w *writer) cited(b *infer.Block) {
	if b.Cite {
		w.drop("citations")
	}
}

// inlined returns the block with a document of plain text turned into text.
func (w *writer) inlined(b *infer.Block) infer.Block {
	if b.Kind != infer.BlockDocument || !isText(&b.Media) {
		return *b
	}
	w.cited(b)
	return infer.Block{Kind: infer.BlockText, Text: documentText(&b.Media)}
}

// inlineDocuments turns the documents of plain text in a conversation into text, for
// dialects that have nothing but text.
func (w *writer) inlineDocuments(turns []infer.Message) []infer.Message {
	out := make([]infer.Message, len(turns))
	for i, m := range turns {
		out[i] = m
		out[i].Content = make([]infer.Block, len(m.Content))
		for j := range m.Content {
			out[i].Content[j] = w.inlined(&m.Content[j])
		}
	}
	return out
}
