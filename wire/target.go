package wire

import (
	"fmt"
	"reflect"

	"github.com/go-json-experiment/json/jsontext"
)

// Target is where a decoded value goes: a Go value whose type fits the shape, an any, or
// nowhere (the zero Target), when only the constraints are of interest.
type Target struct{ v reflect.Value }

var (
	anyType = reflect.TypeFor[any]()
	rawType = reflect.TypeFor[jsontext.Value]()

	stringType = reflect.TypeFor[*string]()
)

// Into returns the target that p points to; nil is nowhere.
func Into(p any) Target {
	if p == nil {
		return Target{}
	}
	return Target{reflect.ValueOf(p).Elem()}
}

func (t Target) nowhere() bool { return !t.v.IsValid() }

func (t Target) dynamic() bool { return t.v.IsValid() && t.v.Type() == anyType }

// raw reports whether the value is kept as the JSON text that it is.
func (t Target) raw() bool { return t.v.IsValid() && t.v.Type() == rawType }

// open returns the value to set, which it makes where the target is a pointer.
func (t Target) open() reflect.Value {
	v := t.v
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	return v
}

// set stores a scalar.
func (t Target) set(x any) {
	switch {
	case t.nowhere():
	case t.dynamic():
		t.v.Set(reflect.ValueOf(x))
	default:
		v := t.open()
		v.Set(reflect.ValueOf(x).Convert(v.Type()))
	}
}

// setString is set for the most frequent type.
func (t Target) setString(s string) {
	if t.nowhere() {
		return
	}
	if v := t.v; v.Kind() == reflect.Pointer && v.Type() == stringType && v.IsNil() {
		v.Set(reflect.ValueOf(&s))
		return
	}
	if t.v.Kind() == reflect.String {
		t.v.SetString(s)
		return
	}
	t.set(s)
}

// Fields is a structure that is being decoded.
type Fields struct {
	shape *Shape
	v     reflect.Value
	m     map[string]any
}

// Fields begins a structure.
func (t Target) Fields(s *Shape) Fields {
	f := Fields{shape: s}
	switch {
	case t.nowhere():
	case t.dynamic():
		f.m = map[string]any{}
		t.v.Set(reflect.ValueOf(f.m))
	default:
		f.v = t.open()
		if f.v.NumField() != len(s.Members) {
			panic(fmt.Sprintf("wire: %s has %d fields and the shape %s %d members", f.v.Type(), f.v.NumField(), s.Name, len(s.Members)))
		}
	}
	return f
}

// At returns the target of a member. Keep must follow once it is filled.
func (f Fields) At(i int) Target {
	switch {
	case f.m != nil:
		return Target{reflect.New(anyType).Elem()}
	case f.v.IsValid():
		return Target{f.v.Field(i)}
	default:
		return Target{}
	}
}

// Keep stores what was put into the target of a member.
func (f Fields) Keep(i int, t Target) {
	if f.m != nil {
		f.m[f.shape.Members[i].Name] = t.v.Interface()
	}
}

// Elements collects the elements of a list.
type Elements struct {
	into Target
	list reflect.Value
}

// Elements begins a list.
func (t Target) Elements() Elements {
	e := Elements{into: t}
	switch {
	case t.nowhere():
	case t.dynamic():
		e.list = reflect.ValueOf([]any{})
	default:
		e.list = reflect.MakeSlice(t.v.Type(), 0, 0)
	}
	return e
}

// Next returns the target of one more. Keep must follow once it is filled.
func (e *Elements) Next() Target {
	if e.into.nowhere() {
		return Target{}
	}
	return Target{reflect.New(e.list.Type().Elem()).Elem()}
}

// Keep appends what was put into the target.
func (e *Elements) Keep(t Target) {
	if !e.into.nowhere() {
		e.list = reflect.Append(e.list, t.v)
	}
}

// Done stores the whole.
func (e *Elements) Done() {
	if !e.into.nowhere() {
		e.into.v.Set(e.list)
	}
}

// Entries collects the entries of a map.
type Entries struct {
	into Target
	m    reflect.Value
}

// Entries begins a map.
func (t Target) Entries() Entries {
	e := Entries{into: t}
	switch {
	case t.nowhere():
	case t.dynamic():
		e.m = reflect.ValueOf(map[string]any{})
	default:
		e.m = reflect.MakeMap(t.v.Type())
	}
	return e
}

// Next returns the target of one more. Keep must follow once it is filled.
func (e *Entries) Next() Target {
	if e.into.nowhere() {
		return Target{}
	}
	return Target{reflect.New(e.m.Type().Elem()).Elem()}
}

// Keep stores what was put into the target.
func (e *Entries) Keep(key string, t Target) {
	if !e.into.nowhere() {
		e.m.SetMapIndex(reflect.ValueOf(key), t.v)
	}
}

// Done stores the whole.
func (e *Entries) Done() {
	if !e.into.nowhere() {
		e.into.v.Set(e.m)
	}
}
