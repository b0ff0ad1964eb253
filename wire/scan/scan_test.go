package scan

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func valid(b []byte) bool {
	var s Scanner
	s.Reset(b)
	for {
		t, err := s.Next()
		if err != nil {
			return false
		}
		if t.Kind == End {
			return true
		}
	}
}

// reference is an independent judgement of the same question.
func reference(b []byte) bool {
	return jsontext.Value(b).IsValid(jsontext.AllowDuplicateNames(true))
}

var texts = []string{
	``, ` `, `{}`, `[]`, `null`, `true`, `false`, `nul`, `1`, `-0`, `01`, `1.`, `1.5e+3`, `1e`, `-`, `NaN`, `Infinity`,
	`"a"`, `"\u00e9"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ude00"`, `"\x"`, "\"\x01\"", "\"\xff\"", `"`, `{"a":1}`, `{"a":1,}`, `[1,]`, `{"a" : [ {"b":null} , 2 ] }`,
	`{"a"}`, `{a:1}`, `{"a":1}{}`, `[1 2]`, `]`, `{"a":1]`, "\ufeff{}", `{"a":1,"a":2}`, `[[[]]]`, `"\ud83d\u0041"`,
}

func TestAgreesWithReference(t *testing.T) {
	for _, text := range texts {
		if got, want := valid([]byte(text)), reference([]byte(text)); got != want {
			t.Errorf("%q: valid %v, the reference says %v", text, got, want)
		}
	}
}

func FuzzAgreesWithReference(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.Count(b, []byte("[")) > MaxDepth || bytes.Count(b, []byte("{")) > MaxDepth {
			return
		}
		if got, want := valid(b), reference(b); got != want {
			t.Errorf("%q: valid %v, the reference says %v", b, got, want)
		}
	})
}

func TestDepthIsBounded(t *testing.T) {
	if valid([]byte(strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000))) {
		t.Error("10,000 levels passed")
	}
	if !valid([]byte(strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth))) {
		t.Error("the bound itself did not pass")
	}
}

func TestText(t *testing.T) {
	b := []byte(`"a\n\u00e9\ud83d\ude00\/"`)
	var s Scanner
	s.Reset(b)
	tok, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	if got := string(Text(b, tok)); got != "a\né😀/" {
		t.Errorf("%q", got)
	}
}

func BenchmarkScan(b *testing.B) {
	body := []byte(`{"model":"m","stream":true,"messages":[{"role":"user","content":"` + strings.Repeat("tell me of the river ", 50) + `"}],"max_tokens":200}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		valid(body)
	}
}

// A byte that ends a run of plain ones is found wherever it is in a word, and no other is taken for it.
func TestEveryByteOfAString(t *testing.T) {
	for c := range 256 {
		for before := range 20 {
			for _, after := range []int{0, 1, 9} {
				text := `"` + strings.Repeat("a", before) + string([]byte{byte(c)}) + strings.Repeat("b", after) + `"`
				if before%2 == 1 {
					text = `"` + strings.Repeat("é~", before/2) + string([]byte{byte(c)}) + strings.Repeat("\x7f", after) + `"`
				}
				if got, want := valid([]byte(text)), reference([]byte(text)); got != want {
					t.Fatalf("%q: %v, and %v by the reference", text, got, want)
				}
			}
		}
	}
}
