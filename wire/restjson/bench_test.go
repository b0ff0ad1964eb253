package restjson

import (
	"net/http"
	"testing"

	"forebay/wire"
	shapes "forebay/wire/shapes/bedrockruntime"
)

// BenchmarkInvoke is what the model costs a call that passes through.
func BenchmarkInvoke(b *testing.B) {
	r := &wire.Request{
		Method: http.MethodPost, Path: "/model/anthropic.claude-3-haiku-20240307-v1%3A0/invoke", Body: []byte(`{}`),
		Header: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}, "Authorization": {"Bearer x"}},
	}
	b.ReportAllocs()
	for b.Loop() {
		op, err := Protocol{}.Route(shapes.Service, r)
		if err != nil {
			b.Fatal(err)
		}
		var in shapes.InvokeModelRequest
		if err := (Protocol{}).Decode(op, r, wire.Into(&in)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRoute(b *testing.B) {
	r := &wire.Request{Method: http.MethodPost, Path: "/model/anthropic.claude-3-haiku-20240307-v1%3A0/invoke"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (Protocol{}).Route(shapes.Service, r); err != nil {
			b.Fatal(err)
		}
	}
}
