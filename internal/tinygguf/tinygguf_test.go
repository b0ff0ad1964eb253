package tinygguf

import (
	"bytes"
	"encoding/binary"
	"testing"
)

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
