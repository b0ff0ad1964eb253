package enginetest

import (
	"encoding/binary"
	"hash/crc32"
	"net"
	"strings"
	"testing"
	"time"

	"forebay/engine"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/fault"
	"forebay/infer"
)

// An upstream without bounds of its own: these are beyond every bound that a client may have, and
// small enough for a test.
const (
	hugeHead  = 4 << 20  // bytes of headers
	hugeFrame = 64 << 20 // bytes of one payload
)

// testOversized answers with heads and payloads that no client may take in.
func testOversized(t *testing.T, s *Setup) {
	both(t, s, func(t *testing.T, p *fakeupstream.Protocol, req func(testing.TB, bool) *infer.Request) {
		x := loopback(t, s, p, engine.Timeouts{})
		const ok = "HTTP/1.1 200 OK\r\n"
		for name, head := range map[string]string{
			"one header":   ok + "X-Padding: " + strings.Repeat("x", hugeHead) + "\r\n\r\n",
			"many headers": ok + strings.Repeat("X-Padding: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n", hugeHead/57) + "\r\n",
			"no end":       "HTTP/1.1 " + strings.Repeat("2", hugeHead),
		} {
			x.server.Handle(seize(head, nil))
			_, err := attempt(t.Context(), x.client, req(t, true))
			if err == nil || fault.KindOf(err) != fault.Unavailable {
				t.Errorf("%s: %v", name, err)
			}
		}
		x.server.Handle(func(c *fakeupstream.Call) {
			begin(c)
			conn, _ := c.Conn()
			defer conn.Close() //nolint:errcheck // test
			flood(conn, oversized(p), hugeFrame)
		})
		res := x.infer(t, req(t, true))
		began(t, res)
		_, err := pull(res)
		wantKind(t, err, fault.StreamFailed)
	})
}

// oversized is how a payload begins that will not end: a line of server-sent events, or a frame that
// announces more than the format allows.
func oversized(p *fakeupstream.Protocol) []byte {
	if p.StreamType == "text/event-stream" {
		return []byte("data: {\"choices\":[{\"delta\":{\"content\":\"")
	}
	prelude := binary.BigEndian.AppendUint32(nil, hugeFrame)
	prelude = binary.BigEndian.AppendUint32(prelude, 0)
	return binary.BigEndian.AppendUint32(prelude, crc32.ChecksumIEEE(prelude))
}

// flood writes chunks of a chunked body until it has sent n bytes or nobody reads any more.
func flood(conn net.Conn, first []byte, n int) {
	chunk := append([]byte("10000\r\n"), make([]byte, 1<<16)...)
	for i := range 1 << 16 {
		chunk[7+i] = 'x'
	}
	copy(chunk[7:], first)
	chunk = append(chunk, "\r\n"...)
	for sent := 0; sent < n; sent += 1 << 16 {
		if _, err := conn.Write(chunk); err != nil {
			return
		}
		for i := range first {
			chunk[7+i] = 'x'
		}
	}
}

// testTimeoutsOfTheCall: the bounds that a request brings along go before the client's own.
func testTimeoutsOfTheCall(t *testing.T, s *Setup) {
	loose := engine.Timeouts{FirstToken: time.Hour, BetweenTokens: time.Hour, Total: 2 * time.Hour}
	tight := engine.Timeouts{FirstToken: 5 * time.Second, BetweenTokens: 2 * time.Second, Total: 20 * time.Second}
	hang := func(c *fakeupstream.Call) { <-c.Gone() }
	for _, k := range []struct {
		name         string
		engine, call engine.Timeouts
		handle       func(c *fakeupstream.Call)
		code         string
		after        time.Duration
	}{
		{"first token", loose, tight, hang, "first-token", 5 * time.Second},
		{"between tokens", loose, tight, func(c *fakeupstream.Call) { begin(c); hang(c) }, "between-tokens", 2 * time.Second},
		{"longer than the engine's", tight, loose, hang, "first-token", time.Hour},
		{"total alone", loose, engine.Timeouts{Total: 20 * time.Second}, hang, "total", 20 * time.Second},
	} {
		t.Run(k.name, func(t *testing.T) {
			both(t, s, func(t *testing.T, p *fakeupstream.Protocol, req func(testing.TB, bool) *infer.Request) {
				bubble(t, s, p, k.engine, func(t *testing.T, x *setting) {
					x.server.Handle(k.handle)
					r := req(t, true)
					r.Timeouts = k.call
					start := time.Now()
					_, err := attempt(t.Context(), x.client, r)
					e := wantKind(t, err, fault.Timeout)
					if took := time.Since(start); e.Code != k.code || took < k.after || took > k.after+k.after/4 {
						t.Errorf("%s after %v, want %s after %v", e.Code, took, k.code, k.after)
					}
				})
			})
		})
	}
}
