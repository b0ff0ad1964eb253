package rows

import (
	"bytes"
	"hash/fnv"

	"github.com/go-json-experiment/json/jsontext"
)

// BlocksMember is the member of traces that has the hashes of a prompt's blocks. Each is of all before it, too, so that prompts with the same one
// begin alike up to there.
const BlocksMember = "hash_ids"

// AppendBlocks appends the hashes of an array, whether they are numbers or texts.
func AppendBlocks(dst []uint64, v jsontext.Value) []uint64 {
	d := jsontext.NewDecoder(bytes.NewReader(v))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '[' {
		return dst
	}
	for d.PeekKind() != ']' {
		e, err := d.ReadValue()
		if err != nil {
			break
		}
		dst = append(dst, hashOf(e))
	}
	return dst
}

func hashOf(text []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(text)
	return h.Sum64()
}
