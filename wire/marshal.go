package wire

import (
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Source is a value to encode, of the same Go types as a Target takes. The zero Source is
// an absent value, like a nil pointer, slice or map.
type Source struct{ v reflect.Value }

// From returns the value that p points to, or p itself when it is no pointer.
func From(p any) Source { return Source{reflect.ValueOf(p)}.open() }

func (s Source) open() Source {
	for s.v.IsValid() && (s.v.Kind() == reflect.Pointer || s.v.Kind() == reflect.Interface) {
		s.v = s.v.Elem()
	}
	return s
}

// Absent reports whether there is no value.
func (s Source) Absent() bool {
	switch s.v.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Slice, reflect.Map:
		return s.v.IsNil()
	default:
		return false
	}
}

// Member returns a member of a structure.
func (s Source) Member(sh *Shape, i int) Source {
	switch s.v.Kind() {
	case reflect.Invalid:
		return Source{}
	case reflect.Map:
		return Source{s.v.MapIndex(reflect.ValueOf(sh.Members[i].Name))}.open()
	default:
		return Source{s.v.Field(i)}.open()
	}
}

// Each calls f for every element of a list in order, until it fails.
func (s Source) Each(f func(Source) error) error {
	for i := range s.v.Len() {
		if err := f(Source{s.v.Index(i)}.open()); err != nil {
			return err
		}
	}
	return nil
}

// Entries calls f for every entry of a map in the order of its keys, until it fails.
func (s Source) Entries(f func(key string, v Source) error) error {
	all := map[string]reflect.Value{}
	for it := s.v.MapRange(); it.Next(); {
		all[it.Key().String()] = it.Value()
	}
	for _, k := range slices.Sorted(maps.Keys(all)) {
		if err := f(k, Source{all[k]}.open()); err != nil {
			return err
		}
	}
	return nil
}

// Bytes returns a blob.
func (s Source) Bytes() ([]byte, error) {
	if s.v.Kind() != reflect.Slice || s.v.Type().Elem().Kind() != reflect.Uint8 {
		return nil, s.unfit(Blob)
	}
	return s.v.Bytes(), nil
}

// Empty reports whether a string, list or map has nothing in it.
func (s Source) Empty() bool {
	switch s.v.Kind() {
	case reflect.String, reflect.Slice, reflect.Map:
		return s.v.Len() == 0
	default:
		return false
	}
}

func (s Source) unfit(t Type) error {
	if !s.v.IsValid() {
		return fmt.Errorf("wire: no value where one of type %d must be", t)
	}
	return fmt.Errorf("wire: a %s cannot be encoded as type %d", s.v.Type(), t)
}

// Marshal appends a value as JSON by its shape. Members with a location outside of the
// body, and absent ones, are left out. It fails when the value does not fit the shape, which
// is a mistake of the caller.
func Marshal(dst []byte, s *Shape, v Source) ([]byte, error) {
	return MarshalMember(dst, &Member{Shape: s}, v)
}

// MarshalMember is Marshal for the value of a member.
func MarshalMember(dst []byte, m *Member, v Source) ([]byte, error) {
	switch s := m.Shape; s.Type {
	case Structure, Union:
		return marshalStructure(dst, s, v)
	case List:
		return marshalList(dst, s, v)
	case Map:
		return marshalMap(dst, s, v)
	case Document:
		if v.v.Kind() != reflect.Slice || v.v.Type().Elem().Kind() != reflect.Uint8 {
			return dst, v.unfit(Document)
		}
		return append(dst, v.v.Bytes()...), nil
	case Boolean:
		if v.v.Kind() != reflect.Bool {
			return dst, v.unfit(Boolean)
		}
		return strconv.AppendBool(dst, v.v.Bool()), nil
	case Integer, Long, Float, Double:
		return marshalNumber(dst, s.Type, v)
	default:
		text, err := m.Text(v, EpochSeconds)
		if err != nil {
			return dst, err
		}
		if s.Type == Timestamp && m.timeFormat(EpochSeconds) == EpochSeconds {
			return append(dst, text...), nil
		}
		return quote(dst, text), nil
	}
}

// quote appends a JSON string; bytes that are no UTF-8 become replacement characters.
func quote(dst []byte, text string) []byte {
	out, err := jsontext.AppendQuote(dst, text)
	if err != nil {
		out, _ = jsontext.AppendQuote(dst, string([]rune(text)))
	}
	return out
}

func marshalStructure(dst []byte, s *Shape, v Source) ([]byte, error) {
	if k := v.v.Kind(); k != reflect.Struct && k != reflect.Map {
		return dst, v.unfit(s.Type)
	}
	dst = append(dst, '{')
	first := true
	for i := range s.Members {
		m := &s.Members[i]
		x := v.Member(s, i)
		if m.Location != InBody || x.Absent() {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(quote(dst, m.Wire()), ':')
		var err error
		if dst, err = MarshalMember(dst, m, x); err != nil {
			return dst, fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	return append(dst, '}'), nil
}

func marshalList(dst []byte, s *Shape, v Source) ([]byte, error) {
	if v.v.Kind() != reflect.Slice {
		return dst, v.unfit(List)
	}
	dst = append(dst, '[')
	elem := Member{Shape: s.Elem}
	first := true
	err := v.Each(func(x Source) (err error) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst, err = MarshalMember(dst, &elem, x)
		return err
	})
	return append(dst, ']'), err
}

func marshalMap(dst []byte, s *Shape, v Source) ([]byte, error) {
	if v.v.Kind() != reflect.Map {
		return dst, v.unfit(Map)
	}
	dst = append(dst, '{')
	elem := Member{Shape: s.Elem}
	first := true
	err := v.Entries(func(key string, x Source) (err error) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(quote(dst, key), ':')
		dst, err = MarshalMember(dst, &elem, x)
		return err
	})
	return append(dst, '}'), err
}

func marshalNumber(dst []byte, t Type, v Source) ([]byte, error) {
	text, err := v.number(t)
	if err != nil {
		return dst, err
	}
	if text == "NaN" || text == "Infinity" || text == "-Infinity" {
		return quote(dst, text), nil
	}
	return append(dst, text...), nil
}

func (s Source) number(t Type) (string, error) {
	bits := 64
	if t == Float {
		bits = 32
	}
	switch {
	case s.v.CanInt():
		return strconv.FormatInt(s.v.Int(), 10), nil
	case !s.v.CanFloat():
		return "", s.unfit(t)
	case t == Float || t == Double:
		return formatFloat(s.v.Float(), bits), nil
	case s.v.Float() == math.Trunc(s.v.Float()) && math.Abs(s.v.Float()) < 1<<53:
		return strconv.FormatInt(int64(s.v.Float()), 10), nil
	default:
		return "", s.unfit(t)
	}
}

// Text writes a scalar as a text of its own: in a header, a part of a path, a form field. def is the
// format of timestamps in that place.
func (m *Member) Text(v Source, def TimeFormat) (string, error) {
	if v.Absent() {
		return "", v.unfit(m.Shape.Type)
	}
	switch s := m.Shape; s.Type {
	case String:
		if (m.JSONValue || s.JSONValue) && v.v.Kind() == reflect.Slice {
			if m.Location == InHeader {
				return base64.StdEncoding.EncodeToString(v.v.Bytes()), nil
			}
			return string(v.v.Bytes()), nil
		}
		if v.v.Kind() != reflect.String {
			return "", v.unfit(String)
		}
		return v.v.String(), nil
	case Blob:
		b, err := v.Bytes()
		return base64.StdEncoding.EncodeToString(b), err
	case Boolean:
		if v.v.Kind() != reflect.Bool {
			return "", v.unfit(Boolean)
		}
		return strconv.FormatBool(v.v.Bool()), nil
	case Timestamp:
		t, ok := reflect.TypeAssert[time.Time](v.v)
		if !ok {
			return "", v.unfit(Timestamp)
		}
		return formatTime(m.timeFormat(def), t), nil
	default:
		return v.number(s.Type)
	}
}
