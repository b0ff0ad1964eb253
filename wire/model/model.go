// Package model reads service models in the form in which botocore carries them into the
// descriptors of package wire. The generator of the shapes uses it, and the tests that drive the
// codec with public cases, which carry models of their own; the server reads no models.
package model

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"forebay/wire"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// File is a service model: service-2.json.
type File struct {
	Metadata   Metadata           `json:"metadata"`
	Operations Ordered[Operation] `json:"operations"`
	Shapes     map[string]Shape   `json:"shapes"`
}

// Metadata says how the service is reached.
type Metadata struct {
	APIVersion      string    `json:"apiVersion"`
	Protocol        string    `json:"protocol"`
	JSONVersion     string    `json:"jsonVersion"`
	TargetPrefix    string    `json:"targetPrefix"`
	XMLNamespace    string    `json:"xmlNamespace"`
	QueryCompatible *struct{} `json:"awsQueryCompatible"`
}

// Operation is one operation of a model.
type Operation struct {
	Name string `json:"name"`
	HTTP struct {
		Method string `json:"method"`
		URI    string `json:"requestUri"`
		Code   int    `json:"responseCode"`
	} `json:"http"`
	Input  *Ref  `json:"input"`
	Output *Ref  `json:"output"`
	Errors []Ref `json:"errors"`
}

// Ref is the use of a shape.
type Ref struct {
	Shape           string `json:"shape"`
	Location        string `json:"location"`
	LocationName    string `json:"locationName"`
	TimestampFormat string `json:"timestampFormat"`
	JSONValue       bool   `json:"jsonvalue"`
	EventHeader     bool   `json:"eventheader"`
	Streaming       bool   `json:"streaming"`
	Flattened       bool   `json:"flattened"`
	ResultWrapper   string `json:"resultWrapper"`
}

// Shape is one shape of a model.
type Shape struct {
	Type            string       `json:"type"`
	Members         Ordered[Ref] `json:"members"`
	Required        []string     `json:"required"`
	Member          *Ref         `json:"member"`
	Key             *Ref         `json:"key"`
	Value           *Ref         `json:"value"`
	Payload         string       `json:"payload"`
	Min             *float64     `json:"min"`
	Max             *float64     `json:"max"`
	Pattern         string       `json:"pattern"`
	Enum            []string     `json:"enum"`
	TimestampFormat string       `json:"timestampFormat"`
	Union           bool         `json:"union"`
	Document        bool         `json:"document"`
	EventStream     bool         `json:"eventstream"`
	Streaming       bool         `json:"streaming"`
	Sensitive       bool         `json:"sensitive"`
	Flattened       bool         `json:"flattened"`
	Exception       bool         `json:"exception"`
	Error           struct {
		Status int    `json:"httpStatusCode"`
		Code   string `json:"code"`
	} `json:"error"`
}

// Named is a member of an object.
type Named[T any] struct {
	Name  string
	Value T
}

// Ordered is an object whose members keep their order.
type Ordered[T any] []Named[T]

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (o *Ordered[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return errors.Join(errors.New("an object was expected"), err)
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		n := Named[T]{Name: name.String()}
		if err := json.UnmarshalDecode(d, &n.Value); err != nil {
			return err
		}
		*o = append(*o, n)
	}
	_, err := d.ReadToken()
	return err
}

// Parse reads a model.
func Parse(text []byte) (*File, error) {
	f := new(File)
	return f, json.Unmarshal(text, f)
}

// Service returns the model's descriptors. Operations that served does not report have a name and a
// route only.
func (f *File) Service(name string, served func(operation string) bool) (*wire.Service, error) {
	s := &wire.Service{
		Name: name, Version: f.Metadata.APIVersion, TargetPrefix: f.Metadata.TargetPrefix, JSONVersion: f.Metadata.JSONVersion,
		QueryCompatible: f.Metadata.QueryCompatible != nil, Namespace: f.Metadata.XMLNamespace,
	}
	l := linker{file: f, done: map[string]*wire.Shape{}}
	for _, n := range f.Operations {
		op := &wire.Operation{Name: n.Value.Name, Method: n.Value.HTTP.Method, Path: n.Value.HTTP.URI, Status: n.Value.HTTP.Code}
		s.Operations = append(s.Operations, op)
		if !served(op.Name) {
			continue
		}
		op.Input, op.Output = l.ref(n.Value.Input), l.ref(n.Value.Output)
		if n.Value.Output != nil {
			op.ResultWrapper = n.Value.Output.ResultWrapper
		}
		for i := range n.Value.Errors {
			op.Errors = append(op.Errors, l.ref(&n.Value.Errors[i]))
		}
	}
	return s, errors.Join(l.errs...)
}

// linker turns shapes into descriptors, each once, so that recursive ones end.
type linker struct {
	file *File
	done map[string]*wire.Shape
	errs []error
}

func (l *linker) fail(format string, args ...any) {
	l.errs = append(l.errs, fmt.Errorf(format, args...))
}

func (l *linker) ref(r *Ref) *wire.Shape {
	if r == nil {
		return nil
	}
	return l.shape(r.Shape)
}

var types = map[string]wire.Type{
	"structure": wire.Structure, "list": wire.List, "map": wire.Map, "string": wire.String, "character": wire.String, "blob": wire.Blob,
	"boolean": wire.Boolean, "integer": wire.Integer, "long": wire.Long, "float": wire.Float, "double": wire.Double, "timestamp": wire.Timestamp,
}

var formats = map[string]wire.TimeFormat{
	"": wire.TimeDefault, "iso8601": wire.ISO8601, "rfc822": wire.HTTPDate, "unixTimestamp": wire.EpochSeconds,
}

var locations = map[string]wire.Location{
	"": wire.InBody, "header": wire.InHeader, "headers": wire.InHeaders, "querystring": wire.InQuery, "uri": wire.InPath, "statusCode": wire.InStatus,
}

func (l *linker) shape(name string) *wire.Shape {
	if s := l.done[name]; s != nil {
		return s
	}
	s := &wire.Shape{Name: name}
	l.done[name] = s
	m, ok := l.file.Shapes[name]
	if !ok {
		l.fail("the model has no shape %s", name)
		return s
	}
	if s.Type, ok = types[m.Type]; !ok {
		l.fail("shape %s has the unknown type %q", name, m.Type)
	}
	switch {
	case m.Document:
		s.Type = wire.Document
		return s
	case m.Union || m.EventStream:
		s.Type = wire.Union
	}
	s.Pattern, s.Enum, s.Sensitive, s.Exception, s.Status, s.Code = m.Pattern, m.Enum, m.Sensitive, m.Exception, m.Error.Status, m.Error.Code
	s.Streaming, s.Flat, s.Time = m.EventStream || m.Streaming, m.Flattened, l.format(name, m.TimestampFormat)
	s.Bounds = bounds(&m)
	if m.Member != nil {
		s.Elem, s.ElemName = l.ref(m.Member), m.Member.LocationName
	}
	if m.Value != nil {
		s.Key, s.Elem = l.ref(m.Key), l.ref(m.Value)
	}
	l.members(s, &m)
	return s
}

func (l *linker) members(s *wire.Shape, m *Shape) {
	for i, n := range m.Members {
		r := n.Value
		loc, ok := locations[r.Location]
		if !ok {
			l.fail("member %s of %s has the unknown location %q", n.Name, s.Name, r.Location)
		}
		wireName := r.LocationName
		if loc == wire.InHeader { // as net/http keeps them
			wireName = http.CanonicalHeaderKey(cmp.Or(wireName, n.Name))
		}
		if wireName == n.Name {
			wireName = ""
		}
		s.Members = append(s.Members, wire.Member{
			Name: n.Name, WireName: wireName, Shape: l.ref(&r), Location: loc, JSONValue: r.JSONValue, Flat: r.Flattened, Header: r.EventHeader,
			Required: slices.Contains(m.Required, n.Name), Time: l.format(s.Name+"."+n.Name, r.TimestampFormat),
		})
		if n.Name == m.Payload {
			s.Payload = i + 1
		}
	}
	if len(s.Members) > wire.MaxMembers {
		l.fail("structure %s has %d members, at most %d are possible", s.Name, len(s.Members), wire.MaxMembers)
	}
}

func (l *linker) format(name, text string) wire.TimeFormat {
	f, ok := formats[text]
	if !ok {
		l.fail("%s has the unknown timestamp format %q", name, text)
	}
	return f
}

func bounds(m *Shape) *wire.Bounds {
	if m.Min == nil && m.Max == nil {
		return nil
	}
	b := &wire.Bounds{HasMin: m.Min != nil, HasMax: m.Max != nil}
	if m.Min != nil {
		b.Min = *m.Min
	}
	if m.Max != nil {
		b.Max = *m.Max
	}
	return b
}
