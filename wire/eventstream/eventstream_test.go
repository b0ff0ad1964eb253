package eventstream

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"forebay/internal/testenv"

	"pgregory.net/rapid"
)

// vector is a decoded frame of the public test data.
type vector struct {
	Headers []struct {
		Name  string          `json:"name"`
		Type  int             `json:"type"`
		Value json.RawMessage `json:"value"`
	} `json:"headers"`
	Payload string `json:"payload"`
}

func (v *vector) header(t *testing.T, i int) any {
	t.Helper()
	h := v.Headers[i]
	var n int64
	var s string
	switch h.Type {
	case typeTrue, typeFalse:
		return h.Type == typeTrue
	case typeBytes, typeString, typeUUID:
		if err := json.Unmarshal(h.Value, &s); err != nil {
			t.Fatal(err)
		}
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		switch h.Type {
		case typeBytes:
			return b
		case typeString:
			return string(b)
		default:
			return UUID(b)
		}
	}
	if err := json.Unmarshal(h.Value, &n); err != nil {
		t.Fatal(err)
	}
	return map[int]any{typeInt8: int8(n), typeInt16: int16(n), typeInt32: int32(n), typeInt64: n, typeTime: time.UnixMilli(n).UTC()}[h.Type]
}

func TestPublicVectors(t *testing.T) {
	root := testenv.Shared(t, "conformance/eventstream")
	names, err := os.ReadDir(filepath.Join(root, "encoded", "positive"))
	if err != nil || len(names) != 5 {
		t.Fatalf("%d positive vectors: %v", len(names), err)
	}
	for _, n := range names {
		raw, err := os.ReadFile(filepath.Join(root, "encoded", "positive", n.Name()))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(root, "decoded", "positive", n.Name()))
		if err != nil {
			t.Fatal(err)
		}
		var v vector
		if err := json.Unmarshal(text, &v); err != nil {
			t.Fatal(err)
		}
		m, err := NewReader(bytes.NewReader(raw)).Next()
		if err != nil {
			t.Errorf("%s: %v", n.Name(), err)
			continue
		}
		if got := base64.StdEncoding.EncodeToString(m.Payload); got != v.Payload || len(m.Headers) != len(v.Headers) {
			t.Errorf("%s: payload %s, %d headers", n.Name(), got, len(m.Headers))
		}
		for i, h := range m.Headers {
			if want := v.header(t, i); h.Name != v.Headers[i].Name || !same(h.Value, want) {
				t.Errorf("%s: header %s = %v, want %v", n.Name(), h.Name, h.Value, want)
			}
		}
		if back, err := Append(nil, m); err != nil || !bytes.Equal(back, raw) {
			t.Errorf("%s: encoded again it differs: %v", n.Name(), err)
		}
	}
}

func same(a, b any) bool {
	if x, ok := a.([]byte); ok {
		y, ok := b.([]byte)
		return ok && bytes.Equal(x, y)
	}
	return a == b
}

func TestCorruptVectors(t *testing.T) {
	root := filepath.Join(testenv.Shared(t, "conformance/eventstream"), "encoded", "negative")
	names, err := os.ReadDir(root)
	if err != nil || len(names) != 4 {
		t.Fatalf("%d negative vectors: %v", len(names), err)
	}
	for _, n := range names {
		raw, err := os.ReadFile(filepath.Join(root, n.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewReader(bytes.NewReader(raw)).Next(); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", n.Name(), err)
		}
	}
}

// Whatever byte of a frame is changed, the frame is refused; whatever is cut off, its end is noticed.
func TestEveryByteCounts(t *testing.T) {
	frame := AppendEvent(nil, "chunk", "application/json", []byte(`{"bytes":"e30="}`))
	for i := range frame {
		bad := bytes.Clone(frame)
		bad[i] ^= 0x40
		if _, err := NewReader(bytes.NewReader(bad)).Next(); err == nil {
			t.Errorf("byte %d was changed and nobody noticed", i)
		}
		if _, err := NewReader(bytes.NewReader(frame[:i])).Next(); err == nil {
			t.Errorf("%d of %d bytes were taken for a frame", i, len(frame))
		}
	}
}

// Texts that are too long for a header are cut to fit, between two characters.
func TestLongTextsAreCut(t *testing.T) {
	for _, text := range []string{strings.Repeat("x", 1<<16), strings.Repeat("é", 1<<15), "x" + strings.Repeat("é", 1<<15), strings.Repeat("\x80", 1<<16)} {
		m, err := NewReader(bytes.NewReader(AppendError(nil, "InternalFailure", text))).Next()
		if err != nil {
			t.Fatal(err)
		}
		got := m.String(":error-message")
		if len(got) > 1<<15-1 || len(got) < 1<<15-5 || !strings.HasPrefix(text, got) || utf8.ValidString(text) && !utf8.ValidString(got) {
			t.Errorf("%d bytes of %d", len(got), len(text))
		}
		if _, err := Append(nil, m); err != nil {
			t.Errorf("what was written is over the format's own bound: %v", err)
		}
	}
}

// A frame takes memory as its bytes come, not as its length says.
func TestAStatedLengthClaimsLittle(t *testing.T) {
	frame := AppendEvent(nil, "chunk", "application/json", bytes.Repeat([]byte("x"), 5<<20))
	r := NewReader(bytes.NewReader(frame[:1000]))
	if _, err := r.Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if n := cap(r.buf); n > 2*readStep {
		t.Errorf("%d bytes for a frame that never came", n)
	}
	if m, err := NewReader(bytes.NewReader(frame)).Next(); err != nil || len(m.Payload) != 5<<20 {
		t.Errorf("%v", err)
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Message{Payload: rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "payload")}
		for range rapid.IntRange(0, 5).Draw(t, "headers") {
			m.Headers = append(m.Headers, Header{rapid.StringN(1, 20, 60).Draw(t, "name"), rapid.String().Draw(t, "value")})
		}
		b, err := Append(nil, &m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := NewReader(bytes.NewReader(b)).Next()
		if err != nil || !bytes.Equal(got.Payload, m.Payload) || len(got.Headers) != len(m.Headers) {
			t.Fatalf("%v %v", got, err)
		}
		for i := range m.Headers {
			if got.Headers[i] != m.Headers[i] {
				t.Fatalf("%v, want %v", got.Headers[i], m.Headers[i])
			}
		}
	})
}

func FuzzReader(f *testing.F) {
	f.Add(AppendException(AppendEvent(nil, "a", "b", []byte("c")), "x", nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(bytes.NewReader(b))
		for {
			m, err := r.Next()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrCorrupt) {
					t.Errorf("%v", err)
				}
				return
			}
			if _, err := Append(nil, m); err != nil {
				t.Errorf("a frame that was read cannot be written: %v", err)
			}
		}
	})
}
