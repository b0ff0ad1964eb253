package weights

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"forebay/fault"
)

// Bounds of what is read of a GGUF file. Source of the format: docs/gguf.md of ggml. Integers are little-endian; a file
// begins with "GGUF", a version, the number of tensors, the number of keys, and the keys with their types and values.
const (
	ggufMagic    = "GGUF"
	ggufKeys     = 1 << 16
	ggufText     = 16 << 20
	ggufElements = 1 << 26
)

// Types of values.
const (
	ggufUint32 = 4
	ggufString = 8
	ggufArray  = 9
	ggufUint64 = 10
)

// ggufSize is how many bytes a value of a type has; 0 for those whose size varies.
var ggufSize = [13]int64{0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

// gguf looks at the head of a GGUF file.
func gguf(fsys fs.FS, name string) (*Weights, error) {
	f, err := open(fsys, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	w, err := ggufHead(f)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, fmt.Sprintf("%s is no whole GGUF file: %v.", name, err))
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	w.Bytes = info.Size()
	return w, nil
}

func ggufHead(f io.Reader) (*Weights, error) {
	r := ggufReader{r: bufio.NewReader(f)}
	if magic := r.bytes(4); string(magic) != ggufMagic {
		return nil, errors.New("it does not begin as one")
	}
	if v := r.uint32(); r.err == nil && (v < 2 || v > 3) {
		return nil, fmt.Errorf("its version %d is not supported", v)
	}
	tensors, keys := r.uint64(), r.uint64()
	if keys > ggufKeys {
		return nil, errors.New("it has more keys than are sensible")
	}
	w := &Weights{Format: GGUF}
	for range keys {
		r.key(w)
		if r.err != nil {
			return nil, errors.New("its head is cut off or damaged")
		}
	}
	if tensors == 0 {
		return nil, errors.New("it has no tensors")
	}
	return w, nil
}

// ggufReader reads until its first error.
type ggufReader struct {
	r   *bufio.Reader
	err error
}

func (r *ggufReader) bytes(n int64) []byte {
	if r.err != nil || n > ggufText {
		r.err = errors.Join(r.err, errors.New("too long"))
		return nil
	}
	b := make([]byte, n)
	_, r.err = io.ReadFull(r.r, b)
	return b
}

func (r *ggufReader) uint32() uint32 {
	b := r.bytes(4)
	if r.err != nil {
		return 0
	}
	return binary.LittleEndian.Uint32(b)
}

func (r *ggufReader) uint64() uint64 {
	b := r.bytes(8)
	if r.err != nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

func (r *ggufReader) text() string { return string(r.bytes(int64(min(r.uint64(), ggufText+1)))) }

func (r *ggufReader) skip(n int64) {
	if r.err == nil {
		_, r.err = io.CopyN(io.Discard, r.r, n)
	}
}

// key reads a key with its value into what is known.
func (r *ggufReader) key(w *Weights) {
	name, kind := r.text(), r.uint32()
	switch {
	case kind == ggufString:
		v := r.text()
		switch name {
		case "general.architecture":
			w.Architecture = v
		case "general.base_model.0.name":
			w.Base = v
		case "tokenizer.chat_template":
			w.Instruct = v != ""
		}
	case kind == ggufUint32 && strings.HasSuffix(name, ".context_length"):
		w.Context = int64(r.uint32())
	case kind == ggufUint64 && strings.HasSuffix(name, ".context_length"):
		w.Context = int64(min(r.uint64(), 1<<40))
	default:
		r.value(kind)
	}
}

// value passes over a value.
func (r *ggufReader) value(kind uint32) {
	switch kind {
	case ggufString:
		r.text()
	case ggufArray:
		elem, n := r.uint32(), r.uint64()
		if n > ggufElements || elem == ggufArray {
			r.err = errors.Join(r.err, errors.New("an array that is not sensible"))
			return
		}
		if elem == ggufString {
			for range n {
				if r.text(); r.err != nil {
					return
				}
			}
			return
		}
		r.skip(int64(n) * r.size(elem))
	default:
		r.skip(r.size(kind))
	}
}

func (r *ggufReader) size(kind uint32) int64 {
	if int(kind) >= len(ggufSize) || ggufSize[kind] == 0 {
		r.err = errors.Join(r.err, fmt.Errorf("a value of type %d", kind))
		return 0
	}
	return ggufSize[kind]
}
