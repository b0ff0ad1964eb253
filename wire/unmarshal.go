package wire

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"strings"

	"forebay/fault"
	"forebay/wire/scan"

	"github.com/go-json-experiment/json/jsontext"
)

// Unmarshal reads a JSON text as the value of a member, whose name begins the paths in
// messages. Broken constraints go to bad; a text that is no JSON, or whose values have other
// types than the shape's, is an error of kind Malformed.
func Unmarshal(text []byte, m *Member, into Target, bad *Faults) error {
	d := decoder{text: text, bad: bad}
	d.sc.Reset(text)
	if m.Name != "" {
		d.path = append(d.path, step{name: m.Said()})
	}
	t, err := d.next()
	if err != nil {
		return err
	}
	if t.Kind == scan.Null {
		_, err = d.next()
		return err
	}
	if err := d.value(m, t, into, false); err != nil {
		return err
	}
	_, err = d.next() // the end, or an error
	return err
}

// UnmarshalBody reads a JSON object as those members of a structure that have no location
// of their own. An empty text is an object without members.
func UnmarshalBody(text []byte, f Fields, bad *Faults) error {
	d := decoder{text: text, bad: bad}
	if len(text) == 0 {
		d.text = []byte("{}")
	}
	d.sc.Reset(d.text)
	t, err := d.next()
	if err != nil {
		return err
	}
	if t.Kind != scan.ObjectStart {
		return d.mismatch(f.shape, t)
	}
	if err := d.structure(f, false); err != nil {
		return err
	}
	_, err = d.next()
	return err
}

// step is one part of a path: a member, an element (counted from 1), or a map's entry.
type step struct {
	name string
	nth  int
	key  bool
}

type decoder struct {
	text []byte
	sc   scan.Scanner
	bad  *Faults
	path []step
}

// at renders the path as the services do: messages.1.member.content.
func (d *decoder) at() string {
	var b strings.Builder
	for i, s := range d.path {
		if i > 0 {
			b.WriteByte('.')
		}
		switch {
		case s.nth > 0:
			b.WriteString(strconv.Itoa(s.nth) + ".member")
		case s.key:
			b.WriteString(strings.TrimSuffix(strings.TrimPrefix(quoted(s.name), "'"), "' ") + ".member")
		default:
			b.WriteString(s.name)
		}
	}
	return b.String()
}

// where says the path in a message; nothing of the whole.
func (d *decoder) where() string {
	if len(d.path) == 0 {
		return ""
	}
	return " at '" + d.at() + "'"
}

func (d *decoder) in(s step) { d.path = append(d.path, s) }
func (d *decoder) out()      { d.path = d.path[:len(d.path)-1] }

func (d *decoder) next() (scan.Token, error) {
	t, err := d.sc.Next()
	if err != nil {
		return t, fault.Wrap(fault.Malformed, err, "")
	}
	return t, nil
}

// skip reads to the end of the value that began with t and returns where it ends.
func (d *decoder) skip(t scan.Token) (end int, err error) {
	if t.Kind != scan.ObjectStart && t.Kind != scan.ArrayStart {
		return t.End, nil
	}
	for depth := t.Depth; ; {
		if t, err = d.next(); err != nil {
			return 0, err
		}
		if (t.Kind == scan.ObjectEnd || t.Kind == scan.ArrayEnd) && t.Depth == depth {
			return t.End, nil
		}
	}
}

// typeNames are what the services call the types in their messages.
var typeNames = [...]string{
	String: "String", Blob: "Blob", Boolean: "Boolean", Integer: "Integer", Long: "Long", Float: "Float", Double: "Double", Timestamp: "Timestamp",
}

// mismatch says that the token is no value of the shape's type, in the words of the services'
// parser.
func (d *decoder) mismatch(s *Shape, t scan.Token) error {
	var text string
	switch t.Kind {
	case scan.ArrayStart:
		text = "Start of list found where not expected"
	case scan.ObjectStart:
		text = "Start of structure or map found where not expected"
	default:
		text = "Unexpected field type"
		if s.scalar() {
			kind := map[scan.Kind]string{scan.String: "STRING", scan.Number: "NUMBER", scan.True: "TRUE", scan.False: "FALSE"}[t.Kind]
			text = kind + "_VALUE cannot be converted to " + typeNames[s.Type]
		}
	}
	return fault.New(fault.Malformed, text+d.where())
}

func (d *decoder) value(m *Member, t scan.Token, into Target, hide bool) error {
	s := m.Shape
	hide = hide || s.Sensitive
	if into.raw() {
		start := t.Start
		if s.Type == Document {
			return d.document(t, into)
		}
		if err := d.value(m, t, Target{}, hide); err != nil {
			return err
		}
		into.v.SetBytes(bytes.Clone(d.text[start:d.pos(t)]))
		return nil
	}
	switch s.Type {
	case Structure, Union:
		if t.Kind != scan.ObjectStart {
			return d.mismatch(s, t)
		}
		return d.structure(into.Fields(s), hide)
	case List:
		return d.list(s, t, into, hide)
	case Map:
		return d.entries(s, t, into, hide)
	case Document:
		return d.document(t, into)
	case Boolean:
		if t.Kind != scan.True && t.Kind != scan.False {
			return d.mismatch(s, t)
		}
		into.set(t.Kind == scan.True)
		return nil
	case Timestamp:
		return d.timestamp(m, t, into)
	case String, Blob:
		return d.str(m, t, into, hide)
	default:
		return d.number(s, t, into, hide)
	}
}

// pos is where the value that began with t ends, once it was read.
func (d *decoder) pos(t scan.Token) int {
	if t.Kind == scan.ObjectStart || t.Kind == scan.ArrayStart {
		return d.sc.Pos()
	}
	return t.End
}

func (d *decoder) document(t scan.Token, into Target) error {
	end, err := d.skip(t)
	if err == nil && !into.nowhere() {
		into.set(jsontext.Value(bytes.Clone(d.text[t.Start:end])))
	}
	return err
}

// MaxMembers bounds the members of a structure.
const MaxMembers = 256

// structure reads the members of an object, after its opening brace.
func (d *decoder) structure(f Fields, hide bool) error {
	s := f.shape
	var named, set [MaxMembers]bool
	unknown := false
	for {
		k, err := d.next()
		if err != nil {
			return err
		}
		if k.Kind == scan.ObjectEnd {
			break
		}
		name := scan.Text(d.text, k)
		v, err := d.next()
		if err != nil {
			return err
		}
		i := s.find(name)
		if i < 0 {
			unknown = unknown || v.Kind != scan.Null && string(name) != "__type"
			if _, err := d.skip(v); err != nil {
				return err
			}
			continue
		}
		if named[i] {
			return fault.New(fault.Malformed, "Duplicate field '"+s.Members[i].Wire()+"'"+d.where())
		}
		if named[i] = true; v.Kind == scan.Null {
			continue
		}
		set[i] = true
		if err := d.member(f, i, v, hide); err != nil {
			return err
		}
	}
	d.complete(s, set[:len(s.Members)], unknown)
	return nil
}

func (d *decoder) member(f Fields, i int, t scan.Token, hide bool) error {
	m := &f.shape.Members[i]
	into := f.At(i)
	d.in(step{name: m.Said()})
	if err := d.value(m, t, into, hide); err != nil {
		return err
	}
	d.out()
	f.Keep(i, into)
	return nil
}

// complete checks which members a structure has.
func (d *decoder) complete(s *Shape, set []bool, unknown bool) {
	n := 0
	for i := range s.Members {
		m := &s.Members[i]
		if set[i] {
			n++
		} else if m.Required && m.Location == InBody {
			d.in(step{name: m.Said()})
			d.bad.Null(d.at())
			d.out()
		}
	}
	// a member that is newer than the model may be the one that is set
	if s.Type == Union && (n > 1 || n == 0 && !unknown) {
		names := make([]string, len(s.Members))
		for i := range s.Members {
			names[i] = s.Members[i].Name
		}
		d.bad.add("", d.at(), "Member must have exactly one of these members set: ["+strings.Join(names, ", ")+"]")
	}
}

func (d *decoder) list(s *Shape, t scan.Token, into Target, hide bool) error {
	if t.Kind != scan.ArrayStart {
		return d.mismatch(s, t)
	}
	elem := Member{Shape: s.Elem}
	list := into.Elements()
	n, before := 0, d.bad
	var inner Faults
	if s.Elem.scalar() {
		d.bad = &inner
	}
	for {
		v, err := d.next()
		if err != nil {
			return err
		}
		if v.Kind == scan.ArrayEnd {
			break
		}
		if n++; v.Kind == scan.Null {
			continue
		}
		e := list.Next()
		d.in(step{nth: n})
		if err := d.value(&elem, v, e, hide); err != nil {
			return err
		}
		d.out()
		list.Keep(e)
	}
	list.Done()
	d.bad = before
	show := func() string { return d.show(s, t, hide) }
	d.bad.length(s, n, d.at, show)
	if inner.n > 0 {
		d.bad.add(show(), d.at(), "Member must satisfy constraint: "+s.Elem.rules())
	}
	return nil
}

func (d *decoder) entries(s *Shape, t scan.Token, into Target, hide bool) error {
	if t.Kind != scan.ObjectStart {
		return d.mismatch(s, t)
	}
	elem := Member{Shape: s.Elem}
	m := into.Entries()
	n, before := 0, d.bad
	var keys, values Faults
	if s.Elem.scalar() {
		d.bad = &values
	}
	for {
		k, err := d.next()
		if err != nil {
			return err
		}
		if k.Kind == scan.ObjectEnd {
			break
		}
		name := string(scan.Text(d.text, k))
		keys.checkText(s.Key, name, d.at, true)
		v, err := d.next()
		if err != nil {
			return err
		}
		if n++; v.Kind == scan.Null {
			continue
		}
		e := m.Next()
		d.in(step{name: name, key: true})
		if err := d.value(&elem, v, e, hide); err != nil {
			return err
		}
		d.out()
		m.Keep(name, e)
	}
	m.Done()
	d.bad = before
	show := func() string { return d.show(s, t, hide) }
	d.bad.length(s, n, d.at, show)
	if keys.n > 0 {
		d.bad.add(show(), d.at(), "Map keys must satisfy constraint: "+s.Key.rules())
	}
	if values.n > 0 {
		d.bad.add(show(), d.at(), "Map value must satisfy constraint: "+s.Elem.rules())
	}
	return nil
}

// show renders a list or map of scalars that was read, as Java prints one.
func (d *decoder) show(s *Shape, t scan.Token, hide bool) string {
	if hide || s.Elem.Sensitive || !s.Elem.scalar() {
		if s.Type == List && d.sc.Pos()-t.Start == len("[]") {
			return quoted("[]")
		}
		return ""
	}
	var b strings.Builder
	var sc scan.Scanner
	raw := d.text[t.Start:d.sc.Pos()]
	sc.Reset(raw)
	for first := true; b.Len() <= maxShown; {
		v, err := sc.Next()
		if err != nil || v.Kind == scan.End {
			break
		}
		text := raw[v.Start:v.End]
		switch v.Kind {
		case scan.ArrayStart, scan.ObjectStart, scan.ArrayEnd, scan.ObjectEnd:
			b.Write(text)
			continue
		case scan.String, scan.Key:
			text = scan.Text(raw, v)
		}
		if !first {
			b.WriteString(", ")
		}
		b.Write(text)
		if first = v.Kind == scan.Key; first {
			b.WriteByte('=')
		}
	}
	return quoted(b.String())
}

func (d *decoder) str(m *Member, t scan.Token, into Target, hide bool) error {
	s := m.Shape
	if t.Kind != scan.String {
		return d.mismatch(s, t)
	}
	text := scan.Text(d.text, t)
	if s.Type == Blob {
		return d.blob(s, text, into)
	}
	if into.nowhere() && !s.constrained() {
		return nil
	}
	str := string(text)
	if s.constrained() {
		d.bad.checkText(s, str, d.at, hide)
	}
	if s.JSONValue || m.JSONValue {
		if !jsontext.Value(str).IsValid() {
			return fault.New(fault.Malformed, "Invalid JSON value"+d.where())
		}
		if !into.nowhere() {
			into.set(jsontext.Value(str))
		}
		return nil
	}
	into.setString(str)
	return nil
}

func (d *decoder) blob(s *Shape, text []byte, into Target) error {
	n := base64.StdEncoding.DecodedLen(len(text)) - bytes.Count(text[max(0, len(text)-2):], []byte("="))
	if !into.nowhere() {
		b := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
		var err error
		if n, err = base64.StdEncoding.Decode(b, text); err != nil {
			return fault.Wrap(fault.Malformed, err, "Invalid base64 value"+d.where())
		}
		into.set(b[:n])
	}
	if s.Bounds != nil && len(text)%4 == 0 { // what is no base64 has no length: who reads it refuses it
		d.bad.length(s, n, d.at, func() string { return "" })
	}
	return nil
}

func (d *decoder) number(s *Shape, t scan.Token, into Target, hide bool) error {
	text := string(d.text[t.Start:t.End])
	if t.Kind == scan.String && (s.Type == Float || s.Type == Double) {
		text = string(scan.Text(d.text, t)) // NaN and the infinities, which JSON has no numbers for
		if text != "NaN" && text != "Infinity" && text != "-Infinity" {
			return d.mismatch(s, t)
		}
	} else if t.Kind != scan.Number {
		return d.mismatch(s, t)
	}
	v, err := parseNumber(s.Type, text)
	if err != nil {
		return fault.Wrap(fault.Malformed, err, "NUMBER_VALUE cannot be converted to "+typeNames[s.Type]+d.where())
	}
	into.set(v)
	if s.Bounds != nil {
		d.bad.number(s, asFloat(v), text, d.at, hide)
	}
	return nil
}

func (d *decoder) timestamp(m *Member, t scan.Token, into Target) error {
	format := m.timeFormat(EpochSeconds)
	want, text := scan.Number, d.text[t.Start:t.End]
	if format != EpochSeconds {
		want = scan.String
	}
	if t.Kind != want {
		return d.mismatch(m.Shape, t)
	}
	if want == scan.String {
		text = scan.Text(d.text, t)
	}
	v, err := parseTime(format, string(text))
	if err != nil {
		return fault.Wrap(fault.Malformed, err, "Invalid timestamp"+d.where())
	}
	into.set(v)
	return nil
}

func asFloat(v any) float64 {
	switch n := v.(type) {
	case int64:
		return float64(n)
	case float64:
		return n
	default:
		return math.NaN()
	}
}

// shownNumber writes a number as Java does: floats always have a fraction.
func shownNumber(t Type, text string) string {
	if (t == Float || t == Double) && strings.Trim(text, "-0123456789") == "" {
		return text + ".0"
	}
	return text
}
