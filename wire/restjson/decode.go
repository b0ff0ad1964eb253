package restjson

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"forebay/fault"
	"forebay/wire"
)

// Decode implements wire.Protocol.
func (Protocol) Decode(op *wire.Operation, r *wire.Request, in wire.Target) error {
	if op.Input == nil {
		return nil
	}
	var bad wire.Faults
	s := op.Input
	f := in.Fields(s)
	d := decoder{op: op, shape: s, request: r}
	if err := d.bindings(f, &bad); err != nil {
		return err
	}
	if err := d.payload(f, &bad); err != nil {
		return err
	}
	return bad.Err()
}

// decoder reads a structure from the parts of an HTTP message.
type decoder struct {
	op      *wire.Operation
	shape   *wire.Shape
	request *wire.Request
	query   url.Values // once a member asks for it
}

// bindings reads the members outside of the body.
func (d *decoder) bindings(f wire.Fields, bad *wire.Faults) error {
	for i := range d.shape.Members {
		m := &d.shape.Members[i]
		if m.Location == wire.InBody {
			continue
		}
		into := f.At(i)
		set, err := d.binding(m, into, bad)
		if err != nil {
			return err
		}
		if set {
			f.Keep(i, into)
		} else if m.Required {
			bad.Null(m.Said())
		}
	}
	return nil
}

func (d *decoder) binding(m *wire.Member, into wire.Target, bad *wire.Faults) (set bool, err error) {
	switch m.Location {
	case wire.InPath:
		text := Label(d.op, d.request.Path, m.Wire())
		return text != "", m.SetText(text, m.Said(), wire.ISO8601, into, bad)
	case wire.InQuery:
		return d.fromQuery(m, into, bad)
	case wire.InStatus:
		return false, nil // requests have none
	case wire.InHeaders:
		return d.fromHeaders(m, into, bad)
	default:
		return d.fromHeader(m, into, bad)
	}
}

func (d *decoder) fromQuery(m *wire.Member, into wire.Target, bad *wire.Faults) (set bool, err error) {
	if d.query == nil {
		if d.query, err = url.ParseQuery(d.request.Query); err != nil {
			return false, fault.Wrap(fault.Malformed, err, "The query string is malformed.")
		}
	}
	if m.Shape.Type == wire.Map { // all parameters, those of other members as well
		keys := slices.Sorted(maps.Keys(d.query))
		return len(keys) > 0, m.SetMap(keys, func(k string) []string { return d.query[k] }, wire.ISO8601, into, bad)
	}
	texts, ok := d.query[m.Wire()]
	switch {
	case !ok:
		return false, nil
	case m.Shape.Type == wire.List:
		return true, m.SetTexts(texts, wire.ISO8601, into, bad)
	default:
		return true, m.SetText(texts[0], m.Said(), wire.ISO8601, into, bad)
	}
}

func (d *decoder) fromHeader(m *wire.Member, into wire.Target, bad *wire.Faults) (bool, error) {
	values := d.request.Header[m.Wire()]
	switch {
	case len(values) == 0:
		return false, nil
	case m.Shape.Type == wire.List:
		var texts []string
		for _, v := range values {
			texts = append(texts, split(v, m.Shape.Elem)...)
		}
		return true, m.SetTexts(texts, wire.HTTPDate, into, bad)
	case len(values) == 1:
		return true, m.SetText(values[0], m.Said(), wire.HTTPDate, into, bad)
	default:
		return true, m.SetText(strings.Join(values, ","), m.Said(), wire.HTTPDate, into, bad)
	}
}

// fromHeaders collects the headers behind a prefix. Their names are case-insensitive, so the
// keys are in lower case.
func (d *decoder) fromHeaders(m *wire.Member, into wire.Target, bad *wire.Faults) (bool, error) {
	byKey := map[string][]string{}
	for name, values := range d.request.Header {
		if len(name) >= len(m.WireName) && strings.EqualFold(name[:len(m.WireName)], m.WireName) {
			byKey[strings.ToLower(name[len(m.WireName):])] = []string{strings.Join(values, ",")}
		}
	}
	keys := slices.Sorted(maps.Keys(byKey))
	return len(keys) > 0, m.SetMap(keys, func(k string) []string { return byKey[k] }, wire.HTTPDate, into, bad)
}

// split divides a header into the elements of a list. Elements with commas are in quotes, and
// an HTTP date has a comma of its own.
func split(text string, elem *wire.Shape) []string {
	var out []string
	dates := elem.Type == wire.Timestamp && (elem.Time == wire.TimeDefault || elem.Time == wire.HTTPDate)
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		if text[0] == '"' {
			value, rest := unquote(text[1:])
			out = append(out, value)
			_, text, _ = strings.Cut(rest, ",")
			continue
		}
		from := 0
		if dates {
			from = strings.IndexByte(text, ',') + 1
		}
		end := strings.IndexByte(text[from:], ',')
		if end < 0 {
			out = append(out, text)
			break
		}
		out = append(out, strings.TrimSpace(text[:from+end]))
		text = text[from+end+1:]
	}
	return out
}

// unquote reads a quoted string to its closing quote.
func unquote(text string) (value, rest string) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			return b.String(), text[i+1:]
		case text[i] == '\\' && i+1 < len(text):
			i++
		}
		b.WriteByte(text[i])
	}
	return b.String(), ""
}

// payload reads the body: the member that it is, or the JSON object of the members without a location.
func (d *decoder) payload(f wire.Fields, bad *wire.Faults) error {
	s := d.shape
	if s.Payload == 0 {
		if !slices.ContainsFunc(s.Members, func(m wire.Member) bool { return m.Location == wire.InBody }) {
			return nil
		}
		return wire.UnmarshalBody(d.request.Body, f, bad)
	}
	i := s.Payload - 1
	m := &s.Members[i]
	if len(d.request.Body) == 0 || m.Shape.Streaming {
		if m.Required && !m.Shape.Streaming {
			bad.Null(m.Said())
		}
		return nil
	}
	into := f.At(i)
	switch m.Shape.Type {
	case wire.Blob:
		m.SetBytes(d.request.Body, into, bad)
	case wire.String:
		if err := m.SetText(string(d.request.Body), m.Said(), wire.TimeDefault, into, bad); err != nil {
			return err
		}
	default:
		if err := wire.Unmarshal(d.request.Body, m, into, bad); err != nil {
			return err
		}
	}
	f.Keep(i, into)
	return nil
}
