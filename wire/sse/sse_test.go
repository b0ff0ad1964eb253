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
