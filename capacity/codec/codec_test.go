package codec

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// values is one of everything.
type values struct {
	a uint8
	b uint64
	c int32
	d int64
	e bool
	s string
	r [3]byte
}

func (v *values) describe(c *Codec) {
	Uint(c, &v.a)
	Uint(c, &v.b)
	Int(c, &v.c)
	Int(c, &v.d)
	c.Bool(&v.e)
	c.Text(&v.s)
	c.Raw(v.r[:])
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := values{
			a: rapid.Uint8().Draw(t, "a"), b: rapid.Uint64().Draw(t, "b"), c: rapid.Int32().Draw(t, "c"), d: rapid.Int64().Draw(t, "d"),
			e: rapid.Bool().Draw(t, "e"), s: rapid.String().Draw(t, "s"),
		}
		w := Writer(nil)
		v.describe(w)
		var got values
		r := Reader(w.Bytes())
		got.describe(r)
		if err := r.Done(); err != nil || got != v {
			t.Fatalf("%+v came back as %+v, %v", v, got, err)
		}
		cut := w.Bytes()[:rapid.IntRange(0, len(w.Bytes())-1).Draw(t, "cut")]
		r = Reader(cut)
		got.describe(r)
		if r.Done() == nil {
			t.Fatalf("%d of %d bytes are enough", len(cut), len(w.Bytes()))
		}
	})
}

// The integers are those of encoding/binary, which are those of protocol buffers.
func TestIntegersAreTheCustomaryOnes(t *testing.T) {
	for _, x := range []int64{0, 1, -1, 63, 64, -64, -65, 300, math.MaxInt64, math.MinInt64} {
		w := Writer(nil)
		Int(w, &x)
		u := uint64(x)
		Uint(w, &u)
		want := binary.AppendUvarint(binary.AppendVarint(nil, x), u)
		if !bytes.Equal(w.Bytes(), want) {
			t.Errorf("%d is % x, want % x", x, w.Bytes(), want)
		}
	}
}

func TestOneEncodingPerValue(t *testing.T) {
	for name, b := range map[string][]byte{
		"overlong": {0x80, 0x00}, "out of range": {0x80, 0x02}, "endless": bytes.Repeat([]byte{0xff}, 12), "empty": {}, "left over": {1, 1},
	} {
		c := Reader(b)
		var x uint8
		Uint(c, &x)
		if c.Done() == nil {
			t.Errorf("%s is taken, as %d", name, x)
		}
	}
	c := Reader([]byte{2})
	var yes bool
	c.Bool(&yes)
	if c.Done() == nil {
		t.Error("2 is a boolean")
	}
	if n := Reader([]byte{200, 1, 0}).Len(0); n != 0 {
		t.Errorf("%d items are promised in one byte", n)
	}
}
