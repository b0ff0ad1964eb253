package restjson

import (
	"net/http"
	"strconv"
	"strings"

	"forebay/wire"
)

// Encode implements wire.Protocol.
func (Protocol) Encode(_ *wire.Service, op *wire.Operation, _ string, out wire.Source) (*wire.Response, error) {
	r := &wire.Response{Status: op.Status, Header: http.Header{}}
	if r.Status == 0 {
		r.Status = http.StatusOK
	}
	s := op.Output
	if s == nil {
		return r, nil
	}
	for i := range s.Members {
		if err := bind(r, &s.Members[i], out.Member(s, i)); err != nil {
			return nil, err
		}
	}
	if s.Payload > 0 {
		return r, payload(r, &s.Members[s.Payload-1], out.Member(s, s.Payload-1))
	}
	r.Header.Set("Content-Type", contentType)
	var err error
	r.Body, err = wire.Marshal(nil, s, out)
	return r, err
}

// bind writes a member outside of the body.
func bind(r *wire.Response, m *wire.Member, v wire.Source) error {
	switch {
	case m.Location == wire.InBody || v.Absent():
		return nil
	case m.Location == wire.InStatus:
		text, err := m.Text(v, wire.TimeDefault)
		if err != nil {
			return err
		}
		r.Status, err = strconv.Atoi(text)
		return err
	case m.Location == wire.InHeaders:
		elem := wire.Member{Shape: m.Shape.Elem}
		return v.Entries(func(key string, x wire.Source) error {
			text, err := elem.Text(x, wire.HTTPDate)
			r.Header.Set(m.WireName+key, text)
			return err
		})
	case m.Shape.Type == wire.List:
		if v.Empty() {
			return nil
		}
		text, err := join(m.Shape.Elem, v)
		r.Header.Set(m.Wire(), text)
		return err
	default:
		text, err := m.Text(v, wire.HTTPDate)
		r.Header.Set(m.Wire(), text)
		return err
	}
}

// join writes a list as one header. Strings that hold a comma or a quote are quoted.
func join(s *wire.Shape, v wire.Source) (string, error) {
	elem := wire.Member{Shape: s}
	var texts []string
	err := v.Each(func(x wire.Source) error {
		text, err := elem.Text(x, wire.HTTPDate)
		if s.Type == wire.String && strings.ContainsAny(text, `",`) {
			text = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
		}
		texts = append(texts, text)
		return err
	})
	return strings.Join(texts, ", "), err
}

// payload writes the member that is the whole body.
func payload(r *wire.Response, m *wire.Member, v wire.Source) (err error) {
	if m.Shape.Streaming && m.Shape.Type != wire.Blob {
		return nil // the events follow
	}
	kind := contentType
	switch m.Shape.Type {
	case wire.Blob:
		kind = "application/octet-stream"
		if !v.Absent() {
			r.Body, err = v.Bytes()
		}
	case wire.String:
		kind = "text/plain"
		if !v.Absent() {
			var text string
			text, err = m.Text(v, wire.TimeDefault)
			r.Body = []byte(text)
		}
	default:
		if v.Absent() {
			return nil
		}
		r.Body, err = wire.MarshalMember(nil, m, v)
	}
	if r.Header.Get("Content-Type") == "" && len(r.Body) > 0 {
		r.Header.Set("Content-Type", kind)
	}
	return err
}
