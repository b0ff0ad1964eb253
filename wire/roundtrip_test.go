package wire_test

import (
	"math"
	"reflect"
	"testing"
	"time"

	"forebay/wire"
	"forebay/wire/awsjson"
	"forebay/wire/restjson"

	"pgregory.net/rapid"
)

// value draws a value of a shape, as the codec has it, within the shape's bounds.
func value(t *rapid.T, s *wire.Shape, depth int) any {
	switch s.Type {
	case wire.Structure:
		out := map[string]any{}
		for i := range s.Members {
			m := &s.Members[i]
			if inner := m.Shape; inner.Type == wire.Structure || inner.Elem == s {
				if depth > 2 {
					continue
				}
			}
			if rapid.Bool().Draw(t, m.Name) {
				out[m.Name] = value(t, m.Shape, depth+1)
			}
		}
		return out
	case wire.List:
		out := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			out = append(out, value(t, s.Elem, depth+1))
		}
		return out
	case wire.Map:
		out := map[string]any{}
		for range rapid.IntRange(0, 3).Draw(t, "entries") {
			out[value(t, s.Key, depth).(string)] = value(t, s.Elem, depth+1)
		}
		return out
	case wire.Boolean:
		return rapid.Bool().Draw(t, "flag")
	case wire.Integer:
		return int64(rapid.Int32Min(-5).Draw(t, "number"))
	case wire.Double:
		return rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), math.Inf(-1), 5e-324, math.MaxFloat64})).Draw(t, "real")
	case wire.Timestamp:
		return time.UnixMilli(rapid.Int64Range(-62e12, 250e12).Draw(t, "when")).UTC()
	case wire.Blob:
		return rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
	default:
		return rapid.StringMatching(`[^!]{0,20}`).Draw(t, "text")
	}
}

// TestRoundTrip: what is encoded decodes to itself in both JSON protocols.
func TestRoundTrip(t *testing.T) {
	k := kitchen()
	op := k.Operations[0]
	for name, p := range map[string]wire.Protocol{"restJson": restjson.Protocol{}, "awsJson": awsjson.Protocol{}} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				want := value(t, op.Input, 0)
				res, err := p.Encode(k, op, "id", wire.From(want))
				if err != nil {
					t.Fatal(err)
				}
				var got any
				if err := p.Decode(op, &wire.Request{Method: op.Method, Path: op.Path, Header: res.Header, Body: res.Body}, wire.Into(&got)); err != nil {
					t.Fatalf("%s: %v", res.Body, err)
				}
				if g, w := plain(got), plain(want); !reflect.DeepEqual(g, w) {
					t.Fatalf("%s\n got %v\nwant %v", res.Body, g, w)
				}
			})
		})
	}
}
