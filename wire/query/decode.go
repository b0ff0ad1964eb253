package query

import (
	"net/url"
	"strconv"

	"forebay/fault"
	"forebay/wire"
)

// Bounds of a form: elements of one list, and levels of structures.
const (
	maxElements = 10_000
	maxDepth    = 64
)

type decoder struct {
	form  url.Values
	names map[string]bool // of the fields, and what lies before their dots
	bad   wire.Faults
}

func newDecoder(form url.Values) *decoder {
	d := &decoder{form: form, names: map[string]bool{}}
	for k := range form {
		d.names[k] = true
		for i := range len(k) {
			if k[i] == '.' {
				d.names[k[:i]] = true
			}
		}
	}
	return d
}

// has reports whether the form has a field of the name or below it.
func (d *decoder) has(name string) bool { return d.names[name] }

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

func (d *decoder) structure(s *wire.Shape, prefix string, in wire.Target, depth int) error {
	if depth > maxDepth {
		return fault.New(fault.Malformed, "")
	}
	f := in.Fields(s)
	for i := range s.Members {
		m := &s.Members[i]
		name := join(prefix, m.Wire())
		if !d.has(name) {
			if m.Required {
				d.bad.Null(name)
			}
			continue
		}
		into := f.At(i)
		if err := d.value(m, name, into, depth); err != nil {
			return err
		}
		f.Keep(i, into)
	}
	return nil
}

func (d *decoder) value(m *wire.Member, name string, into wire.Target, depth int) error {
	switch s := m.Shape; s.Type {
	case wire.Structure, wire.Union:
		return d.structure(s, name, into, depth+1)
	case wire.List:
		return d.list(m, name, into, depth)
	case wire.Map:
		return d.entries(m, name, into, depth)
	default:
		return m.SetText(d.form.Get(name), name, wire.ISO8601, into, &d.bad)
	}
}

// list reads Name.member.1, Name.member.2 ..., without "member" where the list is flat.
func (d *decoder) list(m *wire.Member, name string, into wire.Target, depth int) error {
	s := m.Shape
	prefix := name
	if !m.Flat && !s.Flat {
		prefix = join(name, elemName(s))
	}
	elem := wire.Member{Shape: s.Elem}
	list := into.Elements()
	n := 1
	for ; d.has(join(prefix, strconv.Itoa(n))); n++ {
		if n > maxElements {
			return fault.New(fault.Malformed, "")
		}
		e := list.Next()
		if err := d.value(&elem, join(prefix, strconv.Itoa(n)), e, depth+1); err != nil {
			return err
		}
		list.Keep(e)
	}
	list.Done()
	d.bad.Length(s, n-1, name)
	return nil
}

// entries reads Name.entry.1.key and Name.entry.1.value, without "entry" where the map is flat.
func (d *decoder) entries(m *wire.Member, name string, into wire.Target, depth int) error {
	s := m.Shape
	prefix := name
	if !m.Flat && !s.Flat {
		prefix = join(name, "entry")
	}
	elem := wire.Member{Shape: s.Elem}
	all := into.Entries()
	n := 1
	for ; d.has(join(prefix, strconv.Itoa(n))); n++ {
		if n > maxElements {
			return fault.New(fault.Malformed, "")
		}
		at := join(prefix, strconv.Itoa(n))
		e := all.Next()
		if err := d.value(&elem, at+".value", e, depth+1); err != nil {
			return err
		}
		all.Keep(d.form.Get(at+".key"), e)
	}
	all.Done()
	d.bad.Length(s, n-1, name)
	return nil
}

func elemName(s *wire.Shape) string {
	if s.ElemName != "" {
		return s.ElemName
	}
	return "member"
}
