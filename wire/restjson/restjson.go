// Package restjson is the protocol restJson1: the operation is in the method and the path,
// members travel in the path, the query, headers and a JSON body, or one of them is the whole body.
// Source: Smithy 2.0, "AWS restJson1 protocol" and "HTTP bindings".
//
// Paths are taken as they are on the request line. A label is one segment, but where a
// template has only one, it may hold slashes: ARNs are sent with raw ones.
package restjson

import (
	"net/http"
	"net/url"
	"strings"

	"forebay/fault"
	"forebay/wire"
)

// Protocol is restJson1.
type Protocol struct{}

var _ wire.Protocol = Protocol{}

const contentType = "application/json"

// Route implements wire.Protocol. A path that several templates match belongs to the one
// with most literal text.
func (Protocol) Route(s *wire.Service, r *wire.Request) (*wire.Operation, error) {
	var best *wire.Operation
	most := -1
	for _, op := range s.Operations {
		if op.Method != r.Method || !matches(op.Path, r.Path) {
			continue
		}
		if n := literal(op.Path); n > most {
			best, most = op, n
		}
	}
	if best == nil {
		return nil, fault.New(fault.UnknownOperation, "")
	}
	return best, nil
}

// Owns reports whether some operation of the service has the path, with any method.
func Owns(s *wire.Service, path string) bool {
	for _, op := range s.Operations {
		if matches(op.Path, path) {
			return true
		}
	}
	return false
}

// Fail implements wire.Protocol.
func (Protocol) Fail(_ *wire.Service, f *wire.Failure) *wire.Response {
	r := &wire.Response{
		Status: f.Status, Header: http.Header{"Content-Type": {contentType}, "X-Amzn-Errortype": {f.Name}}, Body: f.Body(),
	}
	if f.Shape != nil && len(f.Fields) > 0 {
		fields := wire.From(f.Fields)
		for i := range f.Shape.Members {
			// a field that does not fit its member is left out: the error itself must be told
			_ = bind(r, &f.Shape.Members[i], fields.Member(f.Shape, i))
		}
	}
	return r
}

// Label returns what stands in a path for a label of the operation's template, without
// escapes; escapes that are none are left as they are. It is empty when there is no such label.
func Label(op *wire.Operation, path, name string) string {
	var text string
	labels(op.Path, path, func(label, raw string) {
		if label == name {
			text = raw
		}
	})
	if s, err := url.PathUnescape(text); err == nil {
		return s
	}
	return text
}

// literal counts the characters of a template outside of labels.
func literal(template string) int {
	template, _, _ = strings.Cut(template, "?")
	n := 0
	for template != "" {
		before, label, ok := strings.Cut(template, "{")
		n += len(before)
		if !ok {
			break
		}
		_, template, _ = strings.Cut(label, "}")
	}
	return n
}

// one reports whether the template has one label only, and what stands around it.
func one(template string) (before, after string, ok bool) {
	before, rest, ok := strings.Cut(template, "{")
	if !ok {
		return "", "", false
	}
	_, after, ok = strings.Cut(rest, "}")
	return before, after, ok && !strings.Contains(after, "{")
}

func matches(template, path string) bool {
	template, _, _ = strings.Cut(template, "?")
	switch i := strings.IndexByte(template, '{'); {
	case i < 0:
		return path == template
	case !strings.HasPrefix(path, template[:i]):
		return false
	}
	if before, after, ok := one(template); ok {
		return len(path) > len(before)+len(after) && strings.HasPrefix(path, before) && strings.HasSuffix(path, after)
	}
	return walk(template, path, func(string, string) {})
}

// labels calls f with each label of a template and what stands there in a path that
// matches, still escaped.
func labels(template, path string, f func(name, text string)) {
	template, _, _ = strings.Cut(template, "?")
	if before, after, ok := one(template); ok && len(path) >= len(before)+len(after) {
		name, _, _ := strings.Cut(template[len(before)+1:], "}")
		f(strings.TrimSuffix(name, "+"), path[len(before):len(path)-len(after)])
		return
	}
	walk(template, path, f)
}

// walk goes through both, segment by segment. A greedy label takes what the segments after it
// leave.
func walk(template, path string, f func(name, text string)) bool {
	want, have := strings.Split(template, "/"), strings.Split(path, "/")
	for i, w := range want {
		name, isLabel := strings.CutPrefix(w, "{")
		switch name = strings.TrimSuffix(name, "}"); {
		case len(have) == 0:
			return false
		case !isLabel:
			if w != have[0] {
				return false
			}
			have = have[1:]
		case strings.HasSuffix(name, "+"):
			n := len(have) - (len(want) - i - 1)
			if n < 1 {
				return false
			}
			f(strings.TrimSuffix(name, "+"), strings.Join(have[:n], "/"))
			have = have[n:]
		default:
			if have[0] == "" {
				return false
			}
			f(name, have[0])
			have = have[1:]
		}
	}
	return len(have) == 0
}
