package sse

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func readAll(r io.Reader) (out []string, err error) {
	s := NewReader(r)
	for {
		ev, err := s.Next()
		if err != nil {
			return out, err
		}
		out = append(out, string(ev.Name)+"|"+string(ev.Data))
	}
}

func TestEvents(t *testing.T) {
	for in, want := range map[string]string{
		"data: a\n\ndata: b\n\n":                        "|a;|b",
		"data:a\r\n\r\n":                                "|a",
		": comment\n\ndata: a\n\n":                      "|a",
		"event: x\ndata: a\ndata: b\n\n":                "x|a\nb",
		"event: lost\n\ndata: a\n\n":                    "|a",
		"data\n\n":                                      "|",
		"id: 1\nretry: 5\nunknown: x\ndata:  two\n\n":   "| two",
		"data: cut off":                                 "",
		"\ufeffdata: a\n\n\ufeffdata: b\n\ndata: c\n\n": "|a;|c",
		"data: a\n\ndata: [DONE]\n\n":                   "|a;|[DONE]",
		"data: " + strings.Repeat("x", 40_000) + "\n\n": "|" + strings.Repeat("x", 40_000),
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(in), "bytes": iotest.OneByteReader(strings.NewReader(in))} {
			got, err := readAll(r)
			if !errors.Is(err, io.EOF) || strings.Join(got, ";") != want {
				t.Errorf("%s %.30q: %.60q %v, want %.60q", name, in, got, err, want)
			}
		}
	}
}

// What Buffered promises, Next keeps without asking the source for more.
func TestBuffered(t *testing.T) {
	for rest, want := range map[string]bool{
		"": false, "\n": false, ": ping\n\n": false, "event: ping\n\n": false, ": ping\n\ndata: b\n": false, "data: b\r\n": false,
		"data: b\n\n": true, "data: b\r\n\r\n": true, ": ping\n\ndata: b\n\n": true, "id: 1\ndata:b\nretry: 1\n\n": true,
	} {
		r := NewReader(strings.NewReader("data: a\n\n" + rest))
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if got := r.Buffered(); got != want {
			t.Errorf("%q: %v", rest, got)
		}
	}
}

func TestPooledReadersKeepNoLargeBuffers(t *testing.T) {
	r := NewReader(strings.NewReader("data: " + strings.Repeat("x", 1<<20) + "\ndata: y\n\n"))
	if ev, err := r.Next(); err != nil || len(ev.Data) != 1<<20+2 {
		t.Fatal(len(ev.Data), err)
	}
	r.Reset(strings.NewReader(""))
	if n := cap(r.data) + cap(r.long) + cap(r.name); n > 3*keepSize {
		t.Errorf("%d bytes are kept", n)
	}
}

func TestEventsAreBounded(t *testing.T) {
	endless := io.MultiReader(strings.NewReader("data: "), repeat('x'))
	if _, err := readAll(endless); !errors.Is(err, ErrTooLong) {
		t.Errorf("an endless line gave %v", err)
	}
}

type repeat byte

func (b repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

func FuzzReader(f *testing.F) {
	f.Add("data: a\n\n: x\nevent: y\ndata: z\r\n\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		whole, _ := readAll(strings.NewReader(in))
		parts, _ := readAll(iotest.OneByteReader(strings.NewReader(in)))
		if strings.Join(whole, "\x00") != strings.Join(parts, "\x00") {
			t.Errorf("%q: %q in one piece, %q in many", in, whole, parts)
		}
	})
}
