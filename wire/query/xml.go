package query

import (
	"bytes"
	"encoding/xml"

	"forebay/wire"
)

// escape appends character data. Characters that XML has no place for become replacement characters.
func escape(dst []byte, s string) []byte {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a buffer takes all
	return append(dst, b.Bytes()...)
}

func tag(dst []byte, name string) []byte {
	return append(append(append(dst, '<'), name...), '>')
}

func end(dst []byte, name string) []byte {
	return append(append(append(dst, "</"...), name...), '>')
}

func text(dst []byte, name, value string) []byte {
	return end(escape(tag(dst, name), value), name)
}

// element appends a member as an element, or as many as a flat list or map has entries.
func element(dst []byte, name string, m *wire.Member, v wire.Source) ([]byte, error) {
	s := m.Shape
	switch s.Type {
	case wire.Structure, wire.Union:
		dst = tag(dst, name)
		for i := range s.Members {
			x := v.Member(s, i)
			if x.Absent() {
				continue
			}
			var err error
			if dst, err = element(dst, s.Members[i].Wire(), &s.Members[i], x); err != nil {
				return dst, err
			}
		}
		return end(dst, name), nil
	case wire.List:
		return list(dst, name, m, v)
	case wire.Map:
		return entries(dst, name, m, v)
	default:
		value, err := m.Text(v, wire.ISO8601)
		return text(dst, name, value), err
	}
}

func list(dst []byte, name string, m *wire.Member, v wire.Source) ([]byte, error) {
	flat := m.Flat || m.Shape.Flat
	elem := wire.Member{Shape: m.Shape.Elem}
	inner := name
	if !flat {
		dst = tag(dst, name)
		inner = elemName(m.Shape)
	}
	err := v.Each(func(x wire.Source) (err error) {
		dst, err = element(dst, inner, &elem, x)
		return err
	})
	if !flat {
		dst = end(dst, name)
	}
	return dst, err
}

func entries(dst []byte, name string, m *wire.Member, v wire.Source) ([]byte, error) {
	flat := m.Flat || m.Shape.Flat
	elem := wire.Member{Shape: m.Shape.Elem}
	inner := name
	if !flat {
		dst = tag(dst, name)
		inner = "entry"
	}
	err := v.Entries(func(key string, x wire.Source) (err error) {
		dst = text(tag(dst, inner), "key", key)
		dst, err = element(dst, "value", &elem, x)
		dst = end(dst, inner)
		return err
	})
	if !flat {
		dst = end(dst, name)
	}
	return dst, err
}
