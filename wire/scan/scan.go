// Package scan looks into JSON texts without decoding them: a strict pull scanner for the
// pass-through path, where a body must be known to be valid and a few members must be
// read, and everything else stays as it is.
//
// It accepts exactly RFC 8259 in UTF-8, without a byte order mark, to a bounded depth. It
// allocates nothing.
package scan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// MaxDepth bounds how deep arrays and objects may be nested.
const MaxDepth = 256

// ErrSyntax is returned for every text that is not one valid JSON value.
var ErrSyntax = errors.New("invalid JSON")

// Kind is the kind of a token.
type Kind byte

// The kinds of tokens. A key is the name of an object's member.
const (
	End         Kind = 0
	ObjectStart Kind = '{'
	ObjectEnd   Kind = '}'
	ArrayStart  Kind = '['
	ArrayEnd    Kind = ']'
	Key         Kind = 'k'
	String      Kind = '"'
	Number      Kind = '0'
	True        Kind = 't'
	False       Kind = 'f'
	Null        Kind = 'n'
)

// Token is one token with its byte range. Depth is the number of containers around it.
type Token struct {
	Kind       Kind
	Start, End int
	Depth      int
	Escaped    bool // a string or key with escapes
}

// what the scanner expects next.
type expect uint8

const (
	wantValue expect = iota
	wantKeyOrEnd
	wantKey
	wantValueOrEnd
	wantCommaOrEnd
	wantNothing
)

// Scanner reads the tokens of one text. The zero value with Reset is ready.
type Scanner struct {
	b     []byte
	pos   int
	depth int
	want  expect
	stack [MaxDepth]bool // true: object
}

// Reset begins a new text.
func (s *Scanner) Reset(b []byte) {
	s.b, s.pos, s.depth, s.want = b, 0, 0, wantValue
}

// Pos returns how many bytes have been read.
func (s *Scanner) Pos() int { return s.pos }

func (s *Scanner) bad(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrSyntax, what, s.pos)
}

// Next returns the next token; End when the text is complete.
func (s *Scanner) Next() (Token, error) {
	for {
		s.space()
		if s.pos >= len(s.b) {
			if s.want == wantNothing {
				return Token{Kind: End, Start: s.pos, End: s.pos}, nil
			}
			return Token{}, s.bad("unexpected end")
		}
		c := s.b[s.pos]
		switch s.want {
		case wantNothing:
			return Token{}, s.bad("text after the value")
		case wantCommaOrEnd:
			if c == ',' {
				s.pos++
				s.want = wantValue
				if s.stack[s.depth-1] {
					s.want = wantKey
				}
				continue
			}
			return s.close(c)
		case wantKeyOrEnd, wantKey:
			if c == '}' && s.want == wantKeyOrEnd {
				return s.close(c)
			}
			return s.key(c)
		case wantValueOrEnd:
			if c == ']' {
				return s.close(c)
			}
			return s.value(c)
		default:
			return s.value(c)
		}
	}
}

func (s *Scanner) space() {
	for s.pos < len(s.b) {
		switch s.b[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

func (s *Scanner) close(c byte) (Token, error) {
	if s.depth == 0 || c != '}' && c != ']' || s.stack[s.depth-1] != (c == '}') {
		return Token{}, s.bad("unexpected character")
	}
	s.depth--
	s.pos++
	s.after()
	return Token{Kind: Kind(c), Start: s.pos - 1, End: s.pos, Depth: s.depth}, nil
}

// after sets what may follow a complete value.
func (s *Scanner) after() {
	s.want = wantCommaOrEnd
	if s.depth == 0 {
		s.want = wantNothing
	}
}

func (s *Scanner) key(c byte) (Token, error) {
	if c != '"' {
		return Token{}, s.bad("expected a member's name")
	}
	t := Token{Kind: Key, Start: s.pos, Depth: s.depth}
	escaped, err := s.str()
	if err != nil {
		return t, err
	}
	t.End, t.Escaped = s.pos, escaped
	s.space()
	if s.pos >= len(s.b) || s.b[s.pos] != ':' {
		return t, s.bad("expected a colon")
	}
	s.pos++
	s.want = wantValue
	return t, nil
}

func (s *Scanner) value(c byte) (Token, error) {
	t := Token{Kind: Kind(c), Start: s.pos, Depth: s.depth}
	switch {
	case c == '{' || c == '[':
		if s.depth == MaxDepth {
			return t, s.bad("nested too deep")
		}
		s.stack[s.depth] = c == '{'
		s.depth++
		s.pos++
		s.want = wantValueOrEnd
		if c == '{' {
			s.want = wantKeyOrEnd
		}
		t.End = s.pos
		return t, nil
	case c == '"':
		escaped, err := s.str()
		if err != nil {
			return t, err
		}
		t.Escaped = escaped
	case c == '-' || c >= '0' && c <= '9':
		t.Kind = Number
		if err := s.number(); err != nil {
			return t, err
		}
	default:
		if err := s.literal(c); err != nil {
			return t, err
		}
	}
	t.End = s.pos
	s.after()
	return t, nil
}

func (s *Scanner) literal(c byte) error {
	var word string
	switch c {
	case 't':
		word = "true"
	case 'f':
		word = "false"
	case 'n':
		word = "null"
	default:
		return s.bad("unexpected character")
	}
	if len(s.b)-s.pos < len(word) || string(s.b[s.pos:s.pos+len(word)]) != word {
		return s.bad("unexpected character")
	}
	s.pos += len(word)
	return nil
}

func (s *Scanner) digits() bool {
	from := s.pos
	for s.pos < len(s.b) && s.b[s.pos] >= '0' && s.b[s.pos] <= '9' {
		s.pos++
	}
	return s.pos > from
}

func (s *Scanner) number() error {
	if s.b[s.pos] == '-' {
		s.pos++
	}
	if s.pos < len(s.b) && s.b[s.pos] == '0' {
		s.pos++
	} else if !s.digits() {
		return s.bad("malformed number")
	}
	if s.pos < len(s.b) && s.b[s.pos] == '.' {
		s.pos++
		if !s.digits() {
			return s.bad("malformed number")
		}
	}
	if s.pos < len(s.b) && (s.b[s.pos] == 'e' || s.b[s.pos] == 'E') {
		s.pos++
		if s.pos < len(s.b) && (s.b[s.pos] == '+' || s.b[s.pos] == '-') {
			s.pos++
		}
		if !s.digits() {
			return s.bad("malformed number")
		}
	}
	return nil
}

// plain says which bytes of a string need no attention.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x80; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// Eight bytes at a time: one of each byte, and the highest bit of each.
const (
	ones = 0x0101010101010101
	high = 0x8080808080808080
)

// plain passes bytes of a string that stand for themselves.
func (s *Scanner) plain() {
	for len(s.b)-s.pos >= 8 {
		x := binary.LittleEndian.Uint64(s.b[s.pos:])
		quote, back := x^'"'*ones, x^'\\'*ones
		// The lowest bit that is set is in the first byte that is a quote, a backslash, below a space or beyond ASCII (borrows only
		// go up). Source: Anderson, "Bit Twiddling Hacks", on a word with a zero byte and with a byte less than n.
		odd := ((quote-ones)&^quote | (back-ones)&^back | (x-' '*ones)&^x | x) & high
		if odd != 0 {
			s.pos += bits.TrailingZeros64(odd) / 8
			return
		}
		s.pos += 8
	}
	for s.pos < len(s.b) && plain[s.b[s.pos]] {
		s.pos++
	}
}

// str reads a string from its opening quote.
func (s *Scanner) str() (escaped bool, err error) {
	s.pos++
	for {
		s.plain()
		if s.pos >= len(s.b) {
			return escaped, s.bad("unterminated string")
		}
		switch c := s.b[s.pos]; {
		case c == '"':
			s.pos++
			return escaped, nil
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return escaped, err
			}
		case c < 0x20:
			return escaped, s.bad("control character in a string")
		default:
			r, n := utf8.DecodeRune(s.b[s.pos:])
			if r == utf8.RuneError && n <= 1 {
				return escaped, s.bad("invalid UTF-8")
			}
			s.pos += n
		}
	}
}

func (s *Scanner) escape() error {
	if s.pos+1 >= len(s.b) {
		return s.bad("unterminated string")
	}
	switch s.b[s.pos+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos += 2
		return nil
	case 'u':
		r, ok := s.hex4(s.pos + 2)
		if !ok {
			return s.bad("malformed escape")
		}
		if r >= 0xdc00 && r < 0xe000 {
			return s.bad("lone surrogate")
		}
		s.pos += 6
		if r >= 0xd800 && r < 0xdc00 {
			low, ok := s.hex4(s.pos + 2)
			if !ok || s.b[s.pos] != '\\' || s.b[s.pos+1] != 'u' || low < 0xdc00 || low >= 0xe000 {
				return s.bad("lone surrogate")
			}
			s.pos += 6
		}
		return nil
	default:
		return s.bad("malformed escape")
	}
}

func (s *Scanner) hex4(at int) (rune, bool) {
	if at+4 > len(s.b) {
		return 0, false
	}
	var r rune
	for _, c := range s.b[at : at+4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// Text returns the content of a string or key token, without its quotes and with escapes
// resolved. Without escapes it is a part of the body.
func Text(b []byte, t Token) []byte {
	raw := b[t.Start+1 : t.End-1]
	if !t.Escaped {
		return raw
	}
	return unescape(raw)
}

func unescape(raw []byte) []byte {
	s := Scanner{b: raw}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			continue
		}
		i++
		switch raw[i] {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, _ := s.hex4(i + 1)
			i += 4
			if r >= 0xd800 && r < 0xdc00 {
				low, _ := s.hex4(i + 3)
				r = (r-0xd800)<<10 + (low - 0xdc00) + 0x10000
				i += 6
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, raw[i])
		}
	}
	return out
}
