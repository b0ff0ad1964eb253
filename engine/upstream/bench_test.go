package upstream

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"forebay/engine"
)

// answerAll is an upstream that costs as little as possible: raw connections, one write
// per request, so that the client is what is measured.
func answerAll(tb testing.TB, answer []byte) string {
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
				n := 0
				for {
					m, err := c.Read(buf[n:])
					if err != nil {
						return
					}
					n += m
					if requestComplete(buf[:n]) {
						n = 0
						if _, err := c.Write(answer); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	return "http://" + ln.Addr().String()
}

func requestComplete(b []byte) bool {
	i := bytes.Index(b, []byte("\r\n\r\n"))
	if i < 0 {
		return false
	}
	size := 0
	if j := bytes.Index(b[:i], []byte("Content-Length: ")); j >= 0 {
		for _, c := range b[j+16 : i] {
			if c < '0' || c > '9' {
				break
			}
			size = size*10 + int(c-'0')
		}
	}
	return len(b) >= i+4+size
}

func benchClient(b *testing.B, url string, std bool) Client {
	c, err := New(Config{BaseURL: url, NetHTTP: std, Timeouts: engine.Timeouts{
		Connect: time.Second, FirstToken: time.Minute, BetweenTokens: time.Minute, Total: time.Hour,
	}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return c
}

var kinds = []struct {
	name string
	std  bool
}{{"direct", false}, {"nethttp", true}}

// BenchmarkCall is one call answered in one piece, 300 bytes each way.
func BenchmarkCall(b *testing.B) {
	body := []byte(strings.Repeat("x", 300))
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 300\r\nServer: x\r\n\r\n" + string(body))
	for _, par := range []int{1, 32} {
		for _, k := range kinds {
			b.Run(fmt.Sprintf("%s/conns=%d", k.name, 2*par), func(b *testing.B) {
				c := benchClient(b, answerAll(b, answer), k.std)
				b.ReportAllocs()
				b.SetParallelism(par)
				b.RunParallel(func(pb *testing.PB) {
					buf := make([]byte, 0, 1024)
					req := &Request{Method: "POST", Path: "/v1/chat/completions", Header: []Field{{"Content-Type", "application/json"}}, Body: [][]byte{body}}
					for pb.Next() {
						res, err := c.Do(b.Context(), req)
						if err != nil {
							b.Error(err)
							return
						}
						if buf, err = res.ReadAll(buf[:0], 1<<20); err != nil || len(buf) != 300 {
							b.Error(len(buf), err)
							return
						}
						_ = res.Close()
					}
				})
			})
		}
	}
}

// BenchmarkStream counts chunks of 200 bytes that an upstream sends as fast as it can.
func BenchmarkStream(b *testing.B) {
	chunk := []byte("data: " + strings.Repeat("x", 192) + "\n\n")
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		f := w.(http.Flusher)
		for {
			if _, err := w.Write(chunk); err != nil || r.Context().Err() != nil {
				return
			}
			f.Flush()
		}
	}))
	b.Cleanup(srv.Close)
	for _, k := range kinds {
		b.Run(k.name, func(b *testing.B) {
			c := benchClient(b, srv.URL, k.std)
			res, err := c.Do(b.Context(), &Request{Method: "POST", Path: "/", Stream: true})
			if err != nil {
				b.Fatal(err)
			}
			defer res.Close() //nolint:errcheck // bench
			buf := make([]byte, 16<<10)
			b.ReportAllocs()
			total := 0
			for b.Loop() {
				for got := 0; got < len(chunk); {
					n, err := res.Read(buf[:min(len(buf), len(chunk)-got)])
					if err != nil {
						b.Fatal(err)
					}
					res.Progress()
					got += n
				}
				total++
			}
		})
	}
}
