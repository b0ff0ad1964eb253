package simulated

import (
	"unicode/utf8"

	"forebay/infer"
)

// The tokenizer's rule, see the package's documentation.
const (
	tokenBytes       = 4
	tokensPerMessage = 3
)

// next returns the length of the token that text begins with.
func next(text string) int {
	n := min(tokenBytes, len(text))
	for n > 1 && n < len(text) && !utf8.RuneStart(text[n]) {
		n--
	}
	return n
}

// split cuts text into tokens.
func split(text string) []string {
	out := make([]string, 0, (len(text)+tokenBytes-1)/tokenBytes)
	for text != "" {
		n := next(text)
		out = append(out, text[:n])
		text = text[n:]
	}
	return out
}

// count is the number of tokens of text.
func count(text string) int64 {
	var n int64
	for ; text != ""; n++ {
		text = text[next(text):]
	}
	return n
}

// countInput is the number of tokens that a request makes the engine read; media counts as
// the request's own estimate says.
func countInput(req *infer.Request) int64 {
	var n int64
	switch {
	case req.Embed != nil:
		for _, s := range req.Embed.Inputs {
			n += count(s)
		}
		for _, t := range req.Embed.Tokens {
			n += int64(len(t))
		}
	case req.Chat == nil:
	case req.Chat.Prompt != nil:
		n = count(*req.Chat.Prompt)
	default:
		n = countBlocks(req.Chat.System)
		for i := range req.Chat.Messages {
			n += countBlocks(req.Chat.Messages[i].Content) + tokensPerMessage
		}
		for i := range req.Chat.Tools {
			t := &req.Chat.Tools[i]
			n += count(t.Name) + count(t.Description) + count(string(t.Schema))
		}
	}
	return max(n+req.Facts.MediaUnits, 1)
}

func countBlocks(blocks []infer.Block) int64 {
	var n int64
	for i := range blocks {
		b := &blocks[i]
		n += count(b.Text) + count(b.ToolName) + count(string(b.ToolInput)) + countBlocks(b.Content)
	}
	return n
}
