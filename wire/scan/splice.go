package scan

import "bytes"

// Edit changes one member of an object: its value is replaced, or the member is
// inserted when the object has none of that name, or removed when Value is nil.
type Edit struct {
	Name  string
	Value []byte // JSON
}

type span struct{ key, keyEnd, start, end int }

// Splice applies edits to the top-level members of the object in b and leaves every other
// byte as it is. The text must be valid; a text that is no object comes back unchanged.
func Splice(b []byte, edits ...Edit) []byte {
	spans := make([]span, len(edits))
	var s Scanner
	s.Reset(b)
	open, last, members := -1, -1, 0
	cur := -1
	var key Token
	for {
		t, err := s.Next()
		if err != nil || t.Kind == End {
			break
		}
		switch {
		case t.Depth == 0 && t.Kind == ObjectStart:
			open = t.End
		case t.Depth == 0:
		case t.Depth == 1 && t.Kind == Key:
			members++
			key, cur = t, -1
			name := Text(b, t)
			for i := range edits {
				if string(name) == edits[i].Name {
					cur = i
				}
			}
		case t.Depth == 1:
			if cur >= 0 {
				switch t.Kind {
				case ObjectStart, ArrayStart:
					spans[cur] = span{key.Start, key.End, t.Start, 0}
				case ObjectEnd, ArrayEnd:
					spans[cur].end = t.End
				default:
					spans[cur] = span{key.Start, key.End, t.Start, t.End}
				}
			}
			last = t.End
		}
	}
	if open < 0 {
		return b
	}
	return apply(b, edits, spans, open, last, members)
}

func apply(b []byte, edits []Edit, spans []span, open, last, members int) []byte {
	out := make([]byte, 0, len(b)+64*len(edits))
	pos := 0
	for {
		next := -1
		for i := range spans {
			if spans[i].end > 0 && spans[i].start >= pos && (next < 0 || spans[i].start < spans[next].start) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		sp := spans[next]
		if edits[next].Value == nil {
			from, to := removal(b, sp)
			out = append(out, b[pos:max(from, pos)]...)
			pos = to
			members--
			continue
		}
		out = append(out, b[pos:sp.start]...)
		out = append(out, edits[next].Value...)
		pos = sp.end
	}
	at := last
	if at < 0 {
		at = open
	}
	at = max(at, pos)
	out = append(out, b[pos:at]...)
	for i := range edits {
		if spans[i].end > 0 || edits[i].Value == nil {
			continue
		}
		if members > 0 {
			out = append(out, ',')
		}
		members++
		out = append(out, '"')
		out = append(out, edits[i].Name...)
		out = append(out, '"', ':')
		out = append(out, edits[i].Value...)
	}
	return append(out, b[at:]...)
}

// removal widens a member's range to the comma that belongs to it.
func removal(b []byte, sp span) (from, to int) {
	to = sp.end + len(b[sp.end:]) - len(bytes.TrimLeft(b[sp.end:], " \t\r\n"))
	if to < len(b) && b[to] == ',' {
		return sp.key, to + 1
	}
	before := bytes.TrimRight(b[:sp.key], " \t\r\n")
	if n := len(before); n > 0 && before[n-1] == ',' {
		return n - 1, sp.end
	}
	return sp.key, sp.end
}
