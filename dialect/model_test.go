package dialect

import (
	"testing"
	"time"

	"forebay/infer"
	"forebay/wire"
	shapes "forebay/wire/shapes/bedrockruntime"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// fits holds a text against a shape of the service's model: all that must be there is, of the right
// types, and there is nothing that the model does not know.
func fits(t *rapid.T, s *wire.Shape, text []byte) {
	t.Helper()
	var bad wire.Faults
	var v any
	err := wire.Unmarshal(text, &wire.Member{Shape: s}, wire.Into(&v), &bad)
	if err == nil {
		err = bad.Err()
	}
	if err != nil {
		t.Fatalf("%s is no %s: %v", text, s.Name, err)
	}
	again, err := wire.Marshal(nil, s, wire.From(v))
	if err != nil {
		t.Fatal(err)
	}
	got, want := jsontext.Value(again), jsontext.Value(text)
	if got.Canonicalize() != nil || want.Canonicalize() != nil || string(got) != string(want) {
		t.Fatalf("%s has more than the model's %s:\n%s", want, s.Name, got)
	}
}

// TestConverseAnswersFitTheModel: answers and every event of their streams are what the service's model says.
func TestConverseAnswersFitTheModel(t *testing.T) {
	c, _ := Get(infer.DialectConverse)
	a := answered[infer.DialectConverse]
	stream := shapes.ConverseStream.Output.Member("stream").Shape
	rapid.Check(t, func(t *rapid.T) {
		want := a.result(t)
		h := Head{ID: "i", Model: "m", Created: time.Unix(1, 0)}
		body, err := c.EncodeResult(h, want)
		if err != nil {
			t.Fatal(err)
		}
		fits(t, shapes.Converse.Output, body)
		enc := c.NewStreamEncoder(h)
		emit := func(name string, p []byte) {
			m := stream.Member(name)
			if m == nil {
				t.Fatalf("the stream has no %s", name)
			}
			fits(t, m.Shape, append([]byte(nil), p...))
		}
		list := events(t, want)
		for i := range list {
			if err := enc.Encode(&list[i], emit); err != nil {
				t.Fatal(err)
			}
		}
		enc.Finish(emit)
	})
}
