// Package splice edits top-level members of a JSON object that passes through, without
// copying or re-encoding it: the result is the list of parts to send. Every byte that no
// edit names stays as it is.
//
// The text must have been found valid before (dialect's Inspect); what is no valid object
// comes back in one part, unchanged or not, but never out of bounds.
package splice

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// Edit sets a member's value, inserting the member in front of the others when the
// object has none of that name, or removes it when Value is nil.
type Edit struct {
	Name  string
	Value []byte // JSON
}

// member is where a top-level member lies.
type member struct {
	key, keyEnd int // with quotes
	val, end    int
}

// walker finds the top-level members of an object one after the other.
type walker struct {
	b   []byte
	pos int
}

// open positions the walker behind the object's opening brace.
func (w *walker) open() bool {
	w.space()
	if w.pos >= len(w.b) || w.b[w.pos] != '{' {
		return false
	}
	w.pos++
	return true
}

func (w *walker) space() {
	for w.pos < len(w.b) && (w.b[w.pos] <= ' ' || w.b[w.pos] == ',' || w.b[w.pos] == ':') {
		w.pos++
	}
}

// next returns the next member, false at the object's end.
func (w *walker) next() (m member, ok bool) {
	w.space()
	if w.pos >= len(w.b) || w.b[w.pos] != '"' {
		return m, false
	}
	m.key = w.pos
	w.str()
	m.keyEnd = w.pos
	w.space()
	m.val = w.pos
	w.value()
	m.end = w.pos
	return m, m.end > m.val
}

// str passes a string. The search for its end runs at the speed of memchr, since bodies
// are mostly long strings.
func (w *walker) str() {
	i := w.pos + 1
	for {
		j := bytes.IndexByte(w.b[min(i, len(w.b)):], '"')
		if j < 0 {
			w.pos = len(w.b)
			return
		}
		i += j + 1
		slashes := 0
		for k := i - 2; k > w.pos && w.b[k] == '\\'; k-- {
			slashes++
		}
		if slashes%2 == 0 {
			w.pos = i
			return
		}
	}
}

func (w *walker) value() {
	depth := 0
	for w.pos < len(w.b) {
		switch c := w.b[w.pos]; c {
		case '"':
			w.str()
			if depth == 0 {
				return
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return // the end of a bare value
			}
			if depth--; depth == 0 {
				w.pos++
				return
			}
		default:
			if depth == 0 && (c <= ' ' || c == ',') {
				return
			}
		}
		w.pos++
	}
}

// named reports whether the member has the name, written plainly or with escapes.
func (m *member) named(b []byte, name string) bool {
	raw := b[m.key:m.keyEnd]
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1:len(raw)-1]) == name
	}
	plain, err := jsontext.AppendUnquote(nil, raw)
	return err == nil && string(plain) == name
}

// Member returns the value of the top-level member of the name, nil when there is none.
func Member(b []byte, name string) []byte {
	w := walker{b: b}
	if !w.open() {
		return nil
	}
	for m, ok := w.next(); ok; m, ok = w.next() {
		if m.named(b, name) {
			return b[m.val:m.end]
		}
	}
	return nil
}

// Parts appends the parts of the edited object to dst.
func Parts(dst [][]byte, b []byte, edits ...Edit) [][]byte {
	w := walker{b: b}
	if len(edits) == 0 || !w.open() {
		return append(dst, b)
	}
	s := splicer{dst: dst, b: b}
	brace := w.pos
	var found uint64
	insert := len(dst)
	s.dst = append(s.dst, b[:brace], nil) // room for what is inserted
	s.pos = brace
	for m, ok := w.next(); ok; m, ok = w.next() {
		at := -1
		for i := range edits {
			if m.named(b, edits[i].Name) {
				at = i
				found |= 1 << i
			}
		}
		s.member(m, at, edits)
	}
	s.emit(len(b))
	s.dst[insert+1] = inserted(edits, found, s.kept)
	return s.dst
}

// inserted is the text of the members that the object lacked.
func inserted(edits []Edit, found uint64, more bool) []byte {
	var out []byte
	for i, e := range edits {
		if e.Value == nil || found&(1<<i) != 0 {
			continue
		}
		if len(out) > 0 {
			out = append(out, ',')
		}
		out = append(out, '"')
		out = append(out, e.Name...)
		out = append(out, `":`...)
		out = append(out, e.Value...)
	}
	if len(out) > 0 && more {
		out = append(out, ',')
	}
	return out
}

type splicer struct {
	dst  [][]byte
	b    []byte
	pos  int // up to where the text has been dealt with
	done int // end of the last member, kept or not
	kept bool
}

func (s *splicer) emit(to int) {
	if to > s.pos {
		s.dst = append(s.dst, s.b[s.pos:to])
	}
	s.pos = to
}

// member deals with one member; edit is -1 when it stays. A removed member takes the
// separator before it along; when all before it are gone, the comma of the next one goes too.
func (s *splicer) member(m member, edit int, edits []Edit) {
	if edit >= 0 && edits[edit].Value == nil {
		if s.done > 0 {
			s.emit(max(s.done, s.pos))
		}
		s.pos, s.done = m.end, m.end
		return
	}
	if !s.kept && s.done > 0 {
		if comma := bytes.IndexByte(s.b[s.pos:m.key], ','); comma >= 0 {
			s.pos += comma + 1
		}
	}
	s.kept = true
	if edit >= 0 {
		s.emit(m.val)
		s.dst = append(s.dst, edits[edit].Value)
		s.pos = m.end
	}
	s.done = m.end
}
