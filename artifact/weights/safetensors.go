package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"forebay/fault"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxHeader is the longest head that readers take. Source: the format's description, "Format" in the
// README of safetensors: 8 bytes of length, little-endian, a JSON object, and the tensors without holes.
const maxHeader = 100 << 20

// safetensors checks the head of a file against its size, and returns that.
func safetensors(fsys fs.FS, name string) (int64, error) {
	f, err := open(fsys, name)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	size, err := tensorFile(f)
	if err != nil {
		return 0, fault.Wrap(fault.Invalid, err, fmt.Sprintf("%s is no whole safetensors file: %v.", name, err))
	}
	return size, nil
}

func tensorFile(f fs.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	var length uint64
	if err := binary.Read(f, binary.LittleEndian, &length); err != nil {
		return 0, errors.New("its head is cut off")
	}
	if length > maxHeader || int64(length)+8 > info.Size() {
		return 0, errors.New("its head is longer than it may be, or than the file")
	}
	head := make([]byte, length)
	if _, err := io.ReadFull(f, head); err != nil {
		return 0, errors.New("its head is cut off")
	}
	var entries map[string]jsontext.Value
	if err := json.Unmarshal(head, &entries); err != nil {
		return 0, errors.New("its head is not valid JSON")
	}
	var end int64
	for name, text := range entries {
		if name == "__metadata__" {
			continue
		}
		var t struct {
			Offsets []int64 `json:"data_offsets"`
		}
		if err := json.Unmarshal(text, &t); err != nil || len(t.Offsets) != 2 || t.Offsets[0] < 0 || t.Offsets[1] < t.Offsets[0] {
			return 0, fmt.Errorf("its head says nothing sensible of the tensor %.64q", name)
		}
		end = max(end, t.Offsets[1])
	}
	if end == 0 {
		return 0, errors.New("it has no tensors")
	}
	if want := 8 + int64(length) + end; want != info.Size() {
		return 0, fmt.Errorf("it has %d bytes, and its head describes %d", info.Size(), want)
	}
	return info.Size(), nil
}
