// Package eventstream reads and writes frames of application/vnd.amazon.eventstream.
//
// A frame is, all numbers big-endian: total length (4 bytes), length of the headers (4), CRC-32 of
// those eight bytes (4), headers, payload, CRC-32 of everything before it (4). A header is
// the length of its name (1), the name, a value type (1) and the value.
// Source: Smithy 2.0, "Amazon Event Stream specification".
package eventstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"time"
	"unicode/utf8"
)

// Bounds of the format.
const (
	MaxHeaders  = 128 << 10
	MaxPayload  = 24 << 20
	maxValue    = 1<<15 - 1 // of a header's text or bytes
	overhead    = 16
	preludeSize = 12
	readStep    = 1 << 20 // bounds how much memory a stated length alone can claim
)

// The value types of headers.
const (
	typeTrue = iota
	typeFalse
	typeInt8
	typeInt16
	typeInt32
	typeInt64
	typeBytes
	typeString
	typeTime
	typeUUID
)

// UUID is a header value of 16 bytes.
type UUID [16]byte

// Header is a named value: bool, int8, int16, int32, int64, []byte, string, time.Time
// (of millisecond precision) or UUID.
type Header struct {
	Name  string
	Value any
}

// Message is a decoded frame.
type Message struct {
	Headers []Header
	Payload []byte
}

// String returns the string header with the name, "" when there is none.
func (m *Message) String(name string) string {
	for _, h := range m.Headers {
		if h.Name == name {
			s, _ := h.Value.(string)
			return s
		}
	}
	return ""
}

// ErrCorrupt is returned for frames whose lengths, checksums or headers are wrong.
var ErrCorrupt = errors.New("corrupt event stream frame")

func corrupt(what string) error { return fmt.Errorf("%w: %s", ErrCorrupt, what) }

// AppendEvent appends an event frame: message type "event", the event's type, and a payload.
func AppendEvent(dst []byte, event, contentType string, payload []byte) []byte {
	return appendText(dst, payload,
		":event-type", event, ":content-type", contentType, ":message-type", "event")
}

// AppendException appends the frame of a modelled error.
func AppendException(dst []byte, name string, payload []byte) []byte {
	return appendText(dst, payload,
		":exception-type", name, ":content-type", "application/json", ":message-type", "exception")
}

// AppendError appends the frame of an error that the service does not model.
func AppendError(dst []byte, code, message string) []byte {
	return appendText(dst, nil, ":error-code", code, ":error-message", message, ":message-type", "error")
}

// appendText appends a frame whose headers are pairs of strings.
func appendText(dst, payload []byte, pairs ...string) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, preludeSize)...)
	for i := 0; i+1 < len(pairs); i += 2 {
		dst = append(dst, byte(len(pairs[i])))
		dst = append(dst, pairs[i]...)
		v := clip(pairs[i+1])
		dst = append(dst, typeString, byte(len(v)>>8), byte(len(v)))
		dst = append(dst, v...)
	}
	return seal(dst, start, payload)
}

// clip cuts a text to what a header holds, between two characters.
func clip(v string) string {
	if len(v) <= maxValue {
		return v
	}
	n := maxValue
	for n > maxValue-utf8.UTFMax && !utf8.RuneStart(v[n]) {
		n--
	}
	return v[:n]
}

// seal fills in the prelude of the frame that begins at start and appends payload and checksum.
func seal(dst []byte, start int, payload []byte) []byte {
	headers := len(dst) - start - preludeSize
	total := overhead + headers + len(payload)
	binary.BigEndian.PutUint32(dst[start:], uint32(total))
	binary.BigEndian.PutUint32(dst[start+4:], uint32(headers))
	binary.BigEndian.PutUint32(dst[start+8:], crc32.ChecksumIEEE(dst[start:start+8])) // prelude
	dst = append(dst, payload...)
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[start:]))
}

// Append appends a frame with any headers. It fails on values of unknown types and on
// headers or payloads over the bounds.
func Append(dst []byte, m *Message) ([]byte, error) {
	if len(m.Payload) > MaxPayload {
		return dst, errors.New("event payload over 24 MiB")
	}
	start := len(dst)
	dst = append(dst, make([]byte, preludeSize)...)
	var err error
	for _, h := range m.Headers {
		if dst, err = appendHeader(dst, h); err != nil {
			return dst[:start], err
		}
	}
	if len(dst)-start-preludeSize > MaxHeaders {
		return dst[:start], errors.New("event headers over 128 KiB")
	}
	return seal(dst, start, m.Payload), nil
}

func appendHeader(dst []byte, h Header) ([]byte, error) {
	if len(h.Name) == 0 || len(h.Name) > 255 {
		return dst, fmt.Errorf("event header name of %d bytes", len(h.Name))
	}
	dst = append(dst, byte(len(h.Name)))
	dst = append(dst, h.Name...)
	switch v := h.Value.(type) {
	case bool:
		if v {
			return append(dst, typeTrue), nil
		}
		return append(dst, typeFalse), nil
	case int8:
		return append(dst, typeInt8, byte(v)), nil
	case int16:
		return binary.BigEndian.AppendUint16(append(dst, typeInt16), uint16(v)), nil
	case int32:
		return binary.BigEndian.AppendUint32(append(dst, typeInt32), uint32(v)), nil
	case int64:
		return binary.BigEndian.AppendUint64(append(dst, typeInt64), uint64(v)), nil
	case time.Time:
		return binary.BigEndian.AppendUint64(append(dst, typeTime), uint64(v.UnixMilli())), nil
	case UUID:
		return append(append(dst, typeUUID), v[:]...), nil
	case []byte:
		return appendSized(append(dst, typeBytes), v)
	case string:
		return appendSized(append(dst, typeString), []byte(v))
	default:
		return dst, fmt.Errorf("event header of type %T", h.Value)
	}
}

func appendSized(dst, v []byte) ([]byte, error) {
	if len(v) > maxValue {
		return dst, fmt.Errorf("event header value of %d bytes", len(v))
	}
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(v))), v...), nil
}

// Reader reads frames. It is not safe for concurrent use.
type Reader struct {
	r   io.Reader
	buf []byte
	msg Message
}

// NewReader returns a reader of the frames of r, which should be buffered.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Next returns the next frame, valid until the call after. At the end it is io.EOF; a
// stream that ends within a frame is io.ErrUnexpectedEOF; a bad frame is ErrCorrupt.
func (r *Reader) Next() (*Message, error) {
	var prelude [preludeSize]byte
	if _, err := io.ReadFull(r.r, prelude[:]); err != nil {
		return nil, err
	}
	total, headers, err := checkPrelude(prelude[:])
	if err != nil {
		return nil, err
	}
	r.buf = append(r.buf[:0], prelude[:]...)
	for len(r.buf) < total {
		at := len(r.buf)
		r.buf = slices.Grow(r.buf, min(total-at, readStep))[:at+min(total-at, readStep)]
		if _, err := io.ReadFull(r.r, r.buf[at:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return &r.msg, r.decode(headers)
}

func checkPrelude(p []byte) (total, headers int, err error) {
	if crc32.ChecksumIEEE(p[:8]) != binary.BigEndian.Uint32(p[8:]) {
		return 0, 0, corrupt("prelude checksum")
	}
	t, h := binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])
	if h > MaxHeaders || t < overhead+h || t-overhead-h > MaxPayload {
		return 0, 0, corrupt("lengths")
	}
	return int(t), int(h), nil
}

func (r *Reader) decode(headers int) error {
	end := len(r.buf) - 4
	if crc32.ChecksumIEEE(r.buf[:end]) != binary.BigEndian.Uint32(r.buf[end:]) {
		return corrupt("message checksum")
	}
	r.msg.Headers = r.msg.Headers[:0]
	b := r.buf[preludeSize : preludeSize+headers]
	for len(b) > 0 {
		h, rest, err := decodeHeader(b)
		if err != nil {
			return err
		}
		r.msg.Headers = append(r.msg.Headers, h)
		b = rest
	}
	r.msg.Payload = r.buf[preludeSize+headers : end]
	return nil
}

// sizes of values by type; -1 means a length of two bytes goes before.
var sizes = [...]int{typeTrue: 0, typeFalse: 0, typeInt8: 1, typeInt16: 2, typeInt32: 4, typeInt64: 8, typeBytes: -1, typeString: -1, typeTime: 8, typeUUID: 16}

func decodeHeader(b []byte) (h Header, rest []byte, err error) {
	n := int(b[0])
	if n == 0 || len(b) < n+2 {
		return h, nil, corrupt("header name")
	}
	h.Name = string(b[1 : n+1])
	kind := int(b[n+1])
	b = b[n+2:]
	if kind >= len(sizes) {
		return h, nil, corrupt("header type")
	}
	size := sizes[kind]
	if size < 0 {
		if len(b) < 2 {
			return h, nil, corrupt("header value")
		}
		size = int(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if size > maxValue || len(b) < size {
		return h, nil, corrupt("header value")
	}
	h.Value = decodeValue(kind, b[:size])
	return h, b[size:], nil
}

func decodeValue(kind int, b []byte) any {
	switch kind {
	case typeTrue, typeFalse:
		return kind == typeTrue
	case typeInt8:
		return int8(b[0])
	case typeInt16:
		return int16(binary.BigEndian.Uint16(b))
	case typeInt32:
		return int32(binary.BigEndian.Uint32(b))
	case typeInt64:
		return int64(binary.BigEndian.Uint64(b))
	case typeTime:
		return time.UnixMilli(int64(binary.BigEndian.Uint64(b))).UTC()
	case typeUUID:
		return UUID(b)
	case typeBytes:
		return append([]byte(nil), b...)
	default:
		return string(b)
	}
}
