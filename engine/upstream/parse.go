package upstream

import (
	"bytes"
	"errors"
	"io"
)

// Bounds of what an upstream may send beside the body itself.
const (
	maxHead      = 64 << 10 // status line and headers, interim responses each
	maxInterim   = 8        // 1xx responses before the final one
	maxChunkLine = 4 << 10  // chunk size and extensions
	maxTrailer   = 64 << 10
)

// errFraming is the cause of every response that cannot be read in exactly one way.
var errFraming = errors.New("malformed HTTP response")

func framing(what string) error { return &framingError{what} }

type framingError struct{ what string }

func (e *framingError) Error() string { return errFraming.Error() + ": " + e.what }
func (e *framingError) Unwrap() error { return errFraming }

// headEnd looks for the empty line that ends a head, from the line start given (the end
// of the last complete line seen). It returns the head's length with that empty line, or 0 and where to go on.
func headEnd(buf []byte, line int) (end, next int, err error) {
	const prefix = "HTTP/1."
	if n := min(len(buf), len(prefix)); string(buf[:n]) != prefix[:n] {
		return 0, 0, framing("not HTTP/1")
	}
	for {
		i := bytes.IndexByte(buf[line:], '\n')
		if i < 0 {
			if len(buf) >= maxHead {
				return 0, 0, framing("head too large")
			}
			return 0, line, nil
		}
		if i == 0 || buf[line+i-1] != '\r' {
			return 0, 0, framing("bare line feed")
		}
		line += i + 1
		if line > maxHead {
			return 0, 0, framing("head too large")
		}
		if i == 1 {
			return line, line, nil
		}
	}
}

// head is what a response's status line and headers say about its framing.
type head struct {
	status  int
	minor   byte // of HTTP/1.x
	length  int64
	chunked bool
	close   bool
	alive   bool // "keep-alive"
	encoded bool // a content coding other than identity
	fields  int  // where the header lines start
}

// parseHead reads a complete head (as headEnd delimits it).
func parseHead(buf []byte) (head, error) {
	h := head{length: -1}
	i := bytes.IndexByte(buf, '\n')
	line := buf[:i-1]
	// HTTP/1.1 200 OK; the reason phrase may be empty, and some servers leave out the space before it.
	if len(line) < 12 || line[8] != ' ' || line[7] != '0' && line[7] != '1' || len(line) > 12 && line[12] != ' ' {
		return h, framing("status line")
	}
	h.minor = line[7] - '0'
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return h, framing("status")
		}
		h.status = h.status*10 + int(c-'0')
	}
	if h.status < 100 || !validValue(line[12:]) {
		return h, framing("status line")
	}
	h.fields = i + 1
	rest := buf[h.fields : len(buf)-2]
	for len(rest) > 0 {
		i := bytes.IndexByte(rest, '\n')
		if err := h.field(rest[:i-1]); err != nil {
			return h, err
		}
		rest = rest[i+1:]
	}
	if h.chunked && h.length >= 0 {
		return h, framing("both Content-Length and Transfer-Encoding")
	}
	if h.chunked && h.minor == 0 {
		return h, framing("Transfer-Encoding in HTTP/1.0")
	}
	return h, nil
}

func (h *head) field(line []byte) error {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 || !validName(line[:colon]) {
		return framing("header name")
	}
	value := bytes.Trim(line[colon+1:], " \t")
	if !validValue(value) {
		return framing("header value")
	}
	name := line[:colon]
	switch len(name) {
	case len("Connection"):
		if equalFold(name, "connection") {
			h.connection(value)
		}
	case len("Content-Length"):
		if equalFold(name, "content-length") {
			return h.contentLength(value)
		}
	case len("Content-Encoding"):
		if equalFold(name, "content-encoding") && !equalFold(value, "identity") {
			h.encoded = true
		}
	case len("Transfer-Encoding"):
		if equalFold(name, "transfer-encoding") {
			if h.chunked || !equalFold(value, "chunked") {
				return framing("Transfer-Encoding")
			}
			h.chunked = true
		}
	}
	return nil
}

func (h *head) connection(value []byte) {
	for option := range bytes.SplitSeq(value, []byte(",")) {
		option = bytes.Trim(option, " \t")
		h.close = h.close || equalFold(option, "close")
		h.alive = h.alive || equalFold(option, "keep-alive")
	}
}

func (h *head) contentLength(value []byte) error {
	if h.length >= 0 || len(value) == 0 || len(value) > 18 {
		return framing("Content-Length")
	}
	h.length = 0
	for _, c := range value {
		if c < '0' || c > '9' {
			return framing("Content-Length")
		}
		h.length = h.length*10 + int64(c-'0')
	}
	return nil
}

// decoder takes a response's body out of its framing. It is a pure step function over
// whatever bytes are at hand.
type decoder struct {
	state   state
	left    int64 // bytes of body or chunk still to come
	trailer int   // bytes of trailer seen
}

type state uint8

const (
	bodyDone state = iota
	bodyLength
	bodyUntilClose
	chunkSize
	chunkData
	chunkEnd
	chunkTrailer
)

// bodyOf returns the decoder for the body that follows a head.
func bodyOf(h *head, method string) decoder {
	switch {
	case method == "HEAD" || h.status == 204 || h.status == 304:
		return decoder{state: bodyDone}
	case h.chunked:
		return decoder{state: chunkSize}
	case h.length >= 0:
		d := decoder{state: bodyLength, left: h.length}
		if h.length == 0 {
			d.state = bodyDone
		}
		return d
	}
	return decoder{state: bodyUntilClose}
}

// plain reports whether the bytes that come are the body's own.
func (d *decoder) plain() bool { return d.state == bodyLength || d.state == bodyUntilClose }

// step consumes bytes from buf and returns the body's bytes found first, at most limit,
// which lie in buf.
// With neither bytes nor error it needs more input than what it left unconsumed. It
// returns io.EOF at the body's end.
func (d *decoder) step(buf []byte, limit int) (consumed int, data []byte, err error) {
	for {
		rest := buf[consumed:]
		switch d.state {
		case bodyDone:
			return consumed, nil, io.EOF
		case bodyUntilClose:
			rest = rest[:min(len(rest), limit)]
			return consumed + len(rest), rest, nil
		case bodyLength, chunkData:
			n := int(min(d.left, int64(len(rest)), int64(limit)))
			if n == 0 {
				return consumed, nil, nil
			}
			d.left -= int64(n)
			if d.left == 0 && d.state == chunkData {
				d.state = chunkEnd
			} else if d.left == 0 {
				d.state = bodyDone
			}
			return consumed + n, rest[:n], nil
		default:
			n, err := d.line(rest)
			if n == 0 || err != nil {
				return consumed, nil, err
			}
			consumed += n
		}
	}
}

// line consumes one line of chunked framing; 0 when it is not there in full.
func (d *decoder) line(rest []byte) (int, error) {
	bound := maxChunkLine
	if d.state == chunkEnd {
		bound = 2
	}
	i := bytes.IndexByte(rest[:min(len(rest), bound)], '\n')
	if i < 0 {
		if len(rest) >= bound {
			return 0, framing("chunk line")
		}
		return 0, nil
	}
	if i == 0 || rest[i-1] != '\r' {
		return 0, framing("bare line feed")
	}
	line := rest[:i-1]
	switch d.state {
	case chunkSize:
		if err := d.size(line); err != nil {
			return 0, err
		}
	case chunkEnd:
		d.state = chunkSize
	case chunkTrailer:
		if len(line) == 0 {
			d.state = bodyDone
		} else if d.trailer += i + 1; d.trailer > maxTrailer || (&head{length: -1}).trailerField(line) != nil {
			return 0, framing("trailer")
		}
	}
	return i + 1, nil
}

// trailerField checks a trailer line, in which fields that frame the message have no place.
func (h *head) trailerField(line []byte) error {
	if err := h.field(line); err != nil {
		return err
	}
	if h.length >= 0 || h.chunked {
		return framing("trailer")
	}
	return nil
}

// size parses "1F" or "1F;extension" (RFC 9112, 7.1).
func (d *decoder) size(line []byte) error {
	digits := 0
	var n int64
	for _, c := range line {
		v := hexDigit[c]
		if v == 0 {
			break
		}
		if digits++; digits > 15 {
			return framing("chunk size")
		}
		n = n<<4 | int64(v-1)
	}
	rest := line[digits:]
	if digits == 0 || !validValue(rest) {
		return framing("chunk size")
	}
	if ext := bytes.TrimLeft(rest, " \t"); len(ext) > 0 && ext[0] != ';' {
		return framing("chunk size")
	}
	d.left, d.state = n, chunkData
	if n == 0 {
		d.state = chunkTrailer
	}
	return nil
}

// hexDigit holds the value of a hexadecimal digit plus one, 0 for other bytes.
var hexDigit = func() (t [256]uint8) {
	for i, c := range []byte("0123456789abcdef") {
		t[c] = uint8(i + 1)
		if c >= 'a' {
			t[c-'a'+'A'] = uint8(i + 1)
		}
	}
	return t
}()

var tokenByte = func() (t [256]bool) {
	for c := range 256 {
		t[c] = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
			bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0
	}
	return t
}()

func validName[T string | []byte](s T) bool {
	for i := range len(s) {
		if !tokenByte[s[i]] {
			return false
		}
	}
	return len(s) > 0
}

// validValue allows what RFC 9110 5.5 calls field-content: no control bytes but tab.
func validValue[T string | []byte](s T) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
