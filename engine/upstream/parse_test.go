package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// readAll reads a whole response text as the client does, in pieces of the given size.
func readAll(text []byte, method string, piece int) (h head, body []byte, rest int, err error) {
	at := 0
	line, end := 0, 0
	for end == 0 {
		if at == len(text) {
			return h, nil, 0, io.ErrUnexpectedEOF
		}
		at = min(at+piece, len(text))
		if end, line, err = headEnd(text[:at], line); err != nil {
			return h, nil, 0, err
		}
	}
	if h, err = parseHead(text[:end]); err != nil {
		return h, nil, 0, err
	}
	d := bodyOf(&h, method)
	r := end
	for {
		used, data, err := d.step(text[r:at], 1+piece/2)
		r += used
		body = append(body, data...)
		switch {
		case errors.Is(err, io.EOF):
			return h, body, len(text) - r, nil
		case err != nil:
			return h, body, 0, err
		case len(data) > 0:
		case at == len(text) && d.state == bodyUntilClose:
			return h, body, 0, nil
		case at == len(text):
			return h, body, 0, io.ErrUnexpectedEOF
		default:
			at = min(at+piece, len(text))
		}
	}
}

var wellFormed = []struct{ name, method, text, body string }{
	{"length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
	{"empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
	{"no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", "x"},
	{"until close", "GET", "HTTP/1.0 200 OK\r\n\r\nall of it", "all of it"},
	{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n1;a=\"b\"\r\n!\r\n0\r\n\r\n", "hello!"},
	{"upper hex", "GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nA\r\n0123456789\r\n000\r\n\r\n", "0123456789"},
	{"trailer", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nChecksum: 7\r\nB: \r\n\r\n", "x"},
	{"head", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", ""},
	{"no content", "GET", "HTTP/1.1 204 No Content\r\n\r\n", ""},
	{"tabs", "GET", "HTTP/1.1 200 OK\r\nX:\t a\tb \r\nContent-Length:\t1 \r\n\r\nx", "x"},
}

var illFormed = []struct{ name, text string }{
	{"garbage", "\x16\x03\x01\x02\x00"},
	{"other protocol", "SSH-2.0-OpenSSH_9.7\r\n"},
	{"version", "HTTP/2.0 200 OK\r\n\r\n"},
	{"minor", "HTTP/1.2 200 OK\r\n\r\n"},
	{"status", "HTTP/1.1 2x0 OK\r\n\r\n"},
	{"status four digits", "HTTP/1.1 2000\r\n\r\n"},
	{"status zero", "HTTP/1.1 099 x\r\n\r\n"},
	{"two spaces", "HTTP/1.1  200 OK\r\n\r\n"},
	{"bare lf", "HTTP/1.1 200 OK\n\n"},
	{"bare lf in header", "HTTP/1.1 200 OK\r\nA: b\nContent-Length: 3\r\n\r\nabc"},
	{"bare cr in header", "HTTP/1.1 200 OK\r\nA: b\rContent-Length: 3\r\n\r\nabc"},
	{"nul", "HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n"},
	{"fold", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"},
	{"space before colon", "HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc"},
	{"no colon", "HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n"},
	{"no name", "HTTP/1.1 200 OK\r\n: 3\r\n\r\n"},
	{"both", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"both, other order", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"},
	{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"},
	{"two equal lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"},
	{"length list", "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc"},
	{"negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"},
	{"plus length", "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx"},
	{"hex length", "HTTP/1.1 200 OK\r\nContent-Length: 0x1\r\n\r\nx"},
	{"huge length", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx"},
	{"empty length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nx"},
	{"other coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
	{"identity coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n"},
	{"two codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"quoted coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"},
	{"chunked 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"head too large", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", maxHead) + "\r\n\r\n"},
	{"endless headers", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", maxHead/6+1)},
}

var illChunked = []struct{ name, text string }{
	{"negative", "-1\r\nx\r\n"},
	{"empty size", "\r\n"},
	{"not hex", "g\r\n"},
	{"0x", "0x1\r\nx\r\n0\r\n\r\n"},
	{"space first", " 1\r\nx\r\n0\r\n\r\n"},
	{"overflow", "ffffffffffffffff\r\nx"},
	{"many zeros", strings.Repeat("0", 16) + "\r\n\r\n"},
	{"bare lf", "1\nx\n0\n\n"},
	{"data longer", "1\r\nxy\r\n0\r\n\r\n"},
	{"no crlf after data", "1\r\nx0\r\n\r\n"},
	{"extension without semicolon", "1 a\r\nx\r\n0\r\n\r\n"},
	{"cr in extension", "1;a\rb\r\nx\r\n0\r\n\r\n"},
	{"endless extension", "1;" + strings.Repeat("a", maxChunkLine)},
	{"endless size", strings.Repeat("0", maxChunkLine)},
	{"trailer garbage", "0\r\nnot a field\r\n\r\n"},
	{"trailer length", "0\r\nContent-Length: 1\r\n\r\n"},
	{"trailer coding", "0\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{"endless trailer", "0\r\n" + strings.Repeat("A: b\r\n", maxTrailer/6+1)},
}

func TestReadsWellFormed(t *testing.T) {
	for _, c := range wellFormed {
		for _, piece := range []int{1, 2, 7, 1 << 20} {
			_, body, rest, err := readAll([]byte(c.text), c.method, piece)
			if err != nil || string(body) != c.body || rest != 0 {
				t.Errorf("%s by %d: %q, %d left, %v", c.name, piece, body, rest, err)
			}
		}
	}
}

func TestRefusesIllFormed(t *testing.T) {
	cases := illFormed
	for _, c := range illChunked {
		cases = append(cases, struct{ name, text string }{"chunk " + c.name, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + c.text})
	}
	for _, c := range cases {
		for _, piece := range []int{1, 1 << 20} {
			if _, body, _, err := readAll([]byte(c.text), "GET", piece); !errors.Is(err, errFraming) {
				t.Errorf("%s by %d: %q, %v", c.name, piece, body, err)
			}
		}
	}
}

func TestTruncatedIsNeverComplete(t *testing.T) {
	for _, c := range wellFormed {
		if c.name == "until close" {
			continue
		}
		for n := range len(c.text) {
			if _, body, _, err := readAll([]byte(c.text[:n]), c.method, 3); err == nil {
				t.Errorf("%s cut at %d: complete with %q", c.name, n, body)
			}
		}
	}
}

// FuzzResponse holds our reading against net/http's, which is more lenient: what we accept
// it must read as the same body, and how the bytes arrive must not matter.
func FuzzResponse(f *testing.F) {
	for _, c := range wellFormed {
		f.Add([]byte(c.text))
	}
	for _, c := range illFormed {
		f.Add([]byte(c.text[:min(len(c.text), 4096)]))
	}
	for _, c := range illChunked {
		f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + c.text[:min(len(c.text), 4096)]))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		h, body, rest, err := readAll(text, "GET", 1<<20)
		_, body1, rest1, err1 := readAll(text, "GET", 1)
		if (err == nil) != (err1 == nil) || err == nil && (!bytes.Equal(body, body1) || rest != rest1) {
			t.Fatalf("by pieces %q (%d, %v), at once %q (%d, %v)", body1, rest1, err1, body, rest, err)
		}
		if err != nil || h.status < 200 {
			return
		}
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(text)), &http.Request{Method: http.MethodGet})
		if err != nil {
			t.Skip() // it is stricter in places that do not touch framing (header names it knows)
		}
		theirs, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode == http.StatusNoContent || res.StatusCode == http.StatusNotModified {
			return
		}
		if err != nil || !bytes.Equal(theirs, body) {
			t.Fatalf("net/http reads %q (%v), we read %q", theirs, err, body)
		}
	})
}
