package tinygguf

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"testing"
)

const defaultSum = "00293b10688bff4099ebc48d5744a04761b87e9aeb16dc95207d3c2255f121c5"

func TestSameSeedSameBytes(t *testing.T) {
	var a, b, c bytes.Buffer
	for _, x := range []struct {
		w    *bytes.Buffer
		seed uint64
	}{{&a, 1}, {&b, 1}, {&c, 2}} {
		if err := Write(x.w, Params{Seed: x.seed}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the same seed gave different bytes")
	}
	if bytes.Equal(a.Bytes(), c.Bytes()) {
		t.Error("different seeds gave the same bytes")
	}
}

// The default model is the same on every machine and with every release of Go: recorded
// answers of engines depend on it.
func TestDefaultModelIsFixed(t *testing.T) {
	h := sha256.New()
	if err := Write(h, Params{}); err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != defaultSum {
		t.Errorf("SHA-256 %s, want %s", got, defaultSum)
	}
}

func TestSizesThatMakeNoModel(t *testing.T) {
	for _, p := range []Params{{Width: -1}, {Width: 60, Heads: 8}, {Layers: -2}} {
		if Write(io.Discard, p) == nil {
			t.Errorf("%+v was written", p)
		}
	}
}

func TestHeader(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, Params{}); err != nil {
		t.Fatal(err)
	}
	if got := b.Bytes()[:4]; string(got) != "GGUF" {
		t.Errorf("magic %q", got)
	}
	if v := binary.LittleEndian.Uint32(b.Bytes()[4:]); v != 3 {
		t.Errorf("version %d", v)
	}
	if n := binary.LittleEndian.Uint64(b.Bytes()[8:]); n != 2*9+3 {
		t.Errorf("%d tensors, want 9 per layer and 3", n)
	}
	if b.Len()%alignment != 0 {
		t.Errorf("%d bytes are not aligned", b.Len())
	}
}
