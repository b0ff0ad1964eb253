package dialect

import (
	"slices"

	"forebay/infer"
)

// contentUses are the kinds of blocks that tell of a feature.
var contentUses = map[infer.BlockKind]infer.Features{
	infer.BlockImage: infer.UsesImages, infer.BlockDocument: infer.UsesDocuments, infer.BlockVideo: infer.UsesVideo,
	infer.BlockAudio: infer.UsesAudio, infer.BlockCachePoint: infer.UsesCachePoints,
}

// LeaveOut takes the blocks of the given features out of a chat, tool results included. It
// reports false when a message has nothing left.
func LeaveOut(c *infer.Chat, uses infer.Features) bool {
	c.System = without(c.System, uses)
	for i := range c.Messages {
		m := &c.Messages[i]
		some := len(m.Content) > 0
		if m.Content = without(m.Content, uses); some && len(m.Content) == 0 {
			return false
		}
	}
	return true
}

func without(blocks []infer.Block, uses infer.Features) []infer.Block {
	blocks = slices.DeleteFunc(blocks, func(b infer.Block) bool { return contentUses[b.Kind]&uses != 0 })
	for i := range blocks {
		if len(blocks[i].Content) > 0 {
			blocks[i].Content = without(blocks[i].Content, uses)
		}
	}
	return blocks
}
