package dialect

import (
	"testing"
	"time"

	"forebay/infer"
)

// BenchmarkChunk is the cost of one piece of text from an engine that speaks chat
// completions to a client of another dialect.
func BenchmarkChunk(b *testing.B) {
	chunk := []byte(`{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}`)
	for _, d := range []infer.Dialect{infer.DialectAnthropic, infer.DialectConverse, infer.DialectOpenAI, infer.DialectLlama} {
		b.Run(string(d), func(b *testing.B) {
			dec := codecs[infer.DialectOpenAI].NewStreamDecoder()
			enc := codecs[d].NewStreamEncoder(Head{ID: "i", Model: "m", Created: time.Unix(1, 0)})
			var events []infer.Event
			n := 0
			emit := func(_ string, p []byte) { n += len(p) }
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if events, err = dec.Decode("", chunk, events[:0]); err != nil {
					b.Fatal(err)
				}
				for i := range events {
					if err := enc.Encode(&events[i], emit); err != nil {
						b.Fatal(err)
					}
				}
			}
			if n == 0 {
				b.Fatal("nothing written")
			}
		})
	}
}
