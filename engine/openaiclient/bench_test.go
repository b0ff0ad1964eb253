package openaiclient

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"forebay/engine"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/engine/upstream"
	"forebay/infer"
)

// rawServer answers each request with the same bytes, at as little cost as possible.
func rawServer(tb testing.TB, answer []byte) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close() //nolint:errcheck // test
				buf := make([]byte, 64<<10)
				for {
					n, err := c.Read(buf) // the requests of these tests come in one piece
					if err != nil || !bytes.Contains(buf[:n], []byte("\r\n\r\n")) {
						return
					}
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	return "http://" + ln.Addr().String()
}

const (
	benchBody  = `{"model":"asked","messages":[{"role":"user","content":"Tell me a story of a basin of water in front of a power station."}],"max_tokens":100,"temperature":0.5`
	benchChunk = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"upstream-model","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}` + "\n\n"
)

var benchLimits = engine.Timeouts{Connect: time.Second, FirstToken: time.Minute, BetweenTokens: time.Minute, Total: time.Hour}

func benchClient(tb testing.TB, url string, std bool) *Client {
	return open(tb, Config{Upstream: upstream.Config{BaseURL: url, Timeouts: benchLimits, NetHTTP: std}, APIKey: "k"})
}

// BenchmarkWhole is a call answered in one piece, model replaced and usage read.
func BenchmarkWhole(b *testing.B) {
	body := fakeupstream.OpenAI.Whole([]string{"A short answer of a few words."}, fakeupstream.SaidUsage)
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	for _, std := range []bool{false, true} {
		b.Run(map[bool]string{false: "direct", true: "nethttp"}[std], func(b *testing.B) {
			c := benchClient(b, rawServer(b, answer), std)
			b.SetParallelism(32)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				req := request(b, infer.DialectOpenAI, benchBody+"}", false)
				for pb.Next() {
					res, err := c.Infer(b.Context(), req)
					if err != nil {
						b.Error(err)
						return
					}
					if _, err := res.Next(); err != nil {
						b.Error(err)
					}
					_ = res.Close()
				}
			})
		})
	}
}

// longStream is a response of n chunks.
func longStream(n int) []byte {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
	for range n {
		answer = fmt.Appendf(answer, "%x\r\n%s\r\n", len(benchChunk), benchChunk)
	}
	return append(answer, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"...)
}

// BenchmarkChunk is one chunk of a stream that passes through.
func BenchmarkChunk(b *testing.B) {
	const n = 20000
	answer := longStream(n)
	for _, std := range []bool{false, true} {
		b.Run(map[bool]string{false: "direct", true: "nethttp"}[std], func(b *testing.B) {
			c := benchClient(b, rawServer(b, answer), std)
			req := request(b, infer.DialectOpenAI, benchBody+`,"stream":true}`, true)
			b.ReportAllocs()
			var res *infer.Response
			for b.Loop() {
				if res == nil {
					var err error
					if res, err = c.Infer(b.Context(), req); err != nil {
						b.Fatal(err)
					}
				}
				_, err := res.Next()
				if err == io.EOF { //nolint:errorlint // bare
					_ = res.Close()
					res = nil
				} else if err != nil {
					b.Fatal(err)
				}
			}
			if res != nil {
				_ = res.Close()
			}
		})
	}
}

func TestAllocationsPerChunk(t *testing.T) {
	c := benchClient(t, rawServer(t, longStream(3000)), false)
	res, err := c.Infer(t.Context(), request(t, infer.DialectOpenAI, benchBody+`,"stream":true}`, true))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close() //nolint:errcheck // test
	if n := testing.AllocsPerRun(2000, func() {
		if _, err := res.Next(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per chunk", n)
	}
}

// BenchmarkProxy is a call through a bare net/http server that passes it on, to see what
// the client's own cost means for a gateway; the caller and the upstream are as cheap as they come.
func BenchmarkProxy(b *testing.B) {
	body := fakeupstream.OpenAI.Whole([]string{"A short answer of a few words."}, fakeupstream.SaidUsage)
	url := rawServer(b, fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
	through := func(c *Client) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			in, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			req := request(b, infer.DialectOpenAI, string(in), false)
			res, err := c.Infer(r.Context(), req)
			if err != nil {
				b.Error(err)
				return
			}
			defer res.Close() //nolint:errcheck // bench
			ev, err := res.Next()
			if err != nil {
				b.Error(err)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(ev.Raw)
		})
	}
	for _, k := range []struct {
		name string
		h    http.Handler
	}{
		{"direct", through(benchClient(b, url, false))},
		{"nethttp", through(benchClient(b, url, true))},
	} {
		b.Run(k.name, func(b *testing.B) {
			s := httptest.NewServer(k.h)
			defer s.Close()
			caller, err := upstream.New(upstream.Config{BaseURL: s.URL})
			if err != nil {
				b.Fatal(err)
			}
			defer caller.Close() //nolint:errcheck // bench
			b.SetParallelism(32)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				req := &upstream.Request{Method: "POST", Path: "/v1/chat/completions", Header: []upstream.Field{jsonHeader}, Body: [][]byte{[]byte(benchBody + "}")}}
				buf := make([]byte, 0, 4096)
				for pb.Next() {
					res, err := caller.Do(b.Context(), req)
					if err != nil {
						b.Error(err)
						return
					}
					if _, err := res.ReadAll(buf, 1<<20); err != nil {
						b.Error(err)
					}
					_ = res.Close()
				}
			})
		})
	}
}
