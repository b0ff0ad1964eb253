package config

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// read decodes a file over the values that c has. Its error says that the text is no YAML.
func (c *Config) read(text []byte) error {
	body, err := document(c.Path, text)
	if err != nil {
		return err
	}
	d := newDecoder()
	if body != nil {
		d.value(body, reflect.ValueOf(c).Elem(), "")
	}
	c.source = d.source
	return nil
}

// Decode reads one object (an Account, Engine, Model ...), in YAML or JSON, into a value
// of the configuration's types. Its error is Faults: paths begin at the object.
func Decode(text []byte, into any) error {
	body, err := document("", text)
	if err != nil {
		return err
	}
	d := newDecoder()
	if body != nil {
		d.value(body, reflect.ValueOf(into).Elem(), "")
	}
	k := checker{source: &d.source, faults: d.faults}
	k.values(reflect.ValueOf(into).Elem(), "")
	for i := range k.faults {
		k.faults[i].Line = 0 // there is no file to look into
	}
	return k.err()
}

// document returns the one document of a text, nil for an empty one.
func document(file string, text []byte) (ast.Node, error) {
	f, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey()) // the decoder reports duplicates, all of them
	if err != nil {
		var e yaml.Error
		if errors.As(err, &e) && e.GetToken() != nil {
			return nil, Faults{{File: file, Line: e.GetToken().Position.Line, Path: "YAML", Text: e.GetMessage()}}
		}
		return nil, Faults{{File: file, Path: "YAML", Text: err.Error()}}
	}
	var body ast.Node
	for _, d := range f.Docs {
		switch {
		case d.Body == nil:
		case body != nil:
			return nil, Faults{{File: file, Line: lineOf(d.Body), Path: "YAML", Text: "a second document begins; there must be one"}}
		default:
			body = d.Body
		}
	}
	return body, nil
}

func lineOf(n ast.Node) int {
	switch n := n.(type) {
	case *ast.MappingNode:
		if len(n.Values) > 0 && !n.IsFlowStyle {
			return n.Values[0].Key.GetToken().Position.Line
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken().Position.Line
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

// maxNodes bounds what anchors can multiply.
const maxNodes = 1 << 20

// decoder sets values from nodes, and remembers lines and faults.
type decoder struct {
	source
	anchors map[string]ast.Node
	nodes   int
}

func newDecoder() *decoder {
	return &decoder{source: source{lines: map[string]int{}, silent: map[string]bool{}}, anchors: map[string]ast.Node{}}
}

func (d *decoder) bad(n ast.Node, path, format string, args ...any) {
	d.faults = append(d.faults, Fault{Line: lineOf(n), Path: path, Text: fmt.Sprintf(format, args...)})
	d.silent[path] = true
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// value sets v from a node.
func (d *decoder) value(n ast.Node, v reflect.Value, path string) {
	if d.nodes++; d.nodes > maxNodes {
		if d.nodes == maxNodes+1 {
			d.bad(n, path, "there are more than %d values", maxNodes)
		}
		return
	}
	switch x := n.(type) {
	case *ast.AnchorNode:
		d.value(x.Value, v, path)
		d.anchors[x.Name.String()] = x.Value
		return
	case *ast.AliasNode:
		target, ok := d.anchors[x.Value.String()]
		if !ok {
			d.bad(n, path, "no anchor &%s comes before", x.Value)
			return
		}
		d.value(target, v, path)
		return
	case *ast.NullNode:
		return // as if left out
	case *ast.TagNode:
		d.bad(n, path, "tags such as %s are not understood", x.Start.Value)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem(), path)
	case reflect.Struct, reflect.Map:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.sequence(n, v, path)
	default:
		d.scalar(n, v, path)
	}
}

// entries returns the entries of a mapping, false when the node is none.
func entries(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	default:
		return nil, false
	}
}

func keyText(k ast.MapKeyNode) string {
	if s, ok := k.(*ast.StringNode); ok {
		return s.Value
	}
	return k.GetToken().Value // 000000000000 is a name, not a number
}

func (d *decoder) mapping(n ast.Node, v reflect.Value, path string) {
	list, ok := entries(n)
	if !ok {
		d.bad(n, path, "wants members (name: value)")
		return
	}
	seen := map[string]int{}
	d.misspelt(list, v, path)
	for _, e := range list {
		name, at := keyText(e.Key), lineOf(e)
		to := join(path, name)
		if first, twice := seen[name]; twice {
			d.faults = append(d.faults, Fault{Line: at, Path: to, Text: fmt.Sprintf("occurs twice, first in line %d", first)})
			continue
		}
		seen[name] = at
		if v.Kind() == reflect.Map {
			d.lines[to] = at
			if v.IsNil() {
				v.Set(reflect.MakeMap(v.Type()))
			}
			item := reflect.New(v.Type().Elem()).Elem()
			d.value(e.Value, item, to)
			v.SetMapIndex(reflect.ValueOf(name), item)
			continue
		}
		if field, ok := member(v, name); ok {
			d.lines[to] = at
			d.value(e.Value, field, to)
		}
	}
}

// misspelt reports names that no member has, with the one that was likely meant. That one
// is then not reported as missing.
func (d *decoder) misspelt(list []*ast.MappingValueNode, v reflect.Value, path string) {
	if v.Kind() != reflect.Struct {
		return
	}
	var missing, all []string
	for name := range members(v.Type()) {
		all = append(all, name)
		if !slices.ContainsFunc(list, func(e *ast.MappingValueNode) bool { return keyText(e.Key) == name }) {
			missing = append(missing, name)
		}
	}
	for _, e := range list {
		name := keyText(e.Key)
		if slices.Contains(all, name) {
			continue
		}
		if near := nearest(name, missing); near != "" {
			d.bad(e.Key, join(path, name), "is not known; did you mean %s?", near)
			d.silent[join(path, near)] = true
			continue
		}
		d.bad(e.Key, join(path, name), "is not known here; known are %s", strings.Join(all, ", "))
	}
}

func (d *decoder) sequence(n ast.Node, v reflect.Value, path string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		d.bad(n, path, "wants a list: [a, b], or a line for each with - before it")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values))
	for i, e := range s.Values {
		to := element(path, i)
		d.lines[to] = lineOf(e)
		d.value(e, out.Index(i), to)
	}
	v.Set(out)
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
)

func (d *decoder) scalar(n ast.Node, v reflect.Value, path string) {
	var text string
	var isText bool
	switch x := n.(type) {
	case *ast.StringNode:
		text, isText = x.Value, true
	case *ast.LiteralNode:
		text, isText = x.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		text = n.GetToken().Value
	default:
		d.bad(n, path, "wants %s, not a list or members", wanted(v.Type()))
		return
	}
	if problem := set(n, v, text, isText); problem != "" {
		d.bad(n, path, "%s", problem)
	}
}

// set gives a scalar to a value. It returns what is wrong, "" for nothing.
func set(n ast.Node, v reflect.Value, text string, isText bool) string {
	_, isInt := n.(*ast.IntegerNode)
	switch {
	case v.Type() == durationType && (isText || text == "0"):
		t, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Sprintf("%q is no duration; write a number with its unit, such as 500ms, 15s, 2m or 1h", text)
		}
		v.SetInt(int64(t))
		return ""
	case v.Type() == durationType:
		return text + " has no unit; write 500ms, 15s, 2m or 1h"
	case v.Type() == sizeType && isText:
		s, err := ParseSize(text)
		if err != nil {
			return err.Error()
		}
		v.SetInt(int64(s))
		return ""
	}
	switch v.Kind() {
	case reflect.String:
		if !isText {
			return "wants text; put it in quotes" // without the value, which may be a secret
		}
		v.SetString(text)
		return ""
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			return fmt.Sprintf("%q is neither true nor false", text)
		}
		v.SetBool(b.Value)
		return ""
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || isText && (n.GetToken().Type != token.StringType || !scientific.MatchString(text)) {
			return fmt.Sprintf("%q is no number", text)
		}
		v.SetFloat(x)
		return ""
	default:
		if !isInt {
			return fmt.Sprintf("%q is no whole number", text)
		}
		return setInt(n.(*ast.IntegerNode), v, text) // isInt
	}
}

// scientific is a number as JSON has it that the parser takes for text.
var scientific = regexp.MustCompile(`^-?\d+(\.\d+)?[eE][-+]?\d+$`)

func setInt(n *ast.IntegerNode, v reflect.Value, text string) string {
	tooBig := text + " is out of range"
	switch x := n.Value.(type) {
	case uint64:
		if v.CanUint() {
			v.SetUint(x)
			return ""
		}
		if x > math.MaxInt64 || v.OverflowInt(int64(x)) {
			return tooBig
		}
		v.SetInt(int64(x))
	case int64:
		if v.CanUint() || v.OverflowInt(x) {
			return tooBig
		}
		v.SetInt(x)
	default:
		return tooBig
	}
	return ""
}

// wanted names the form of a scalar.
func wanted(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration such as 15s"
	case t == sizeType:
		return "a size such as 25MiB"
	case t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Float64:
		return "a number"
	default:
		return "a whole number"
	}
}

// nameOf returns the name of a field in the file, and whether its own fields stand in its place.
func nameOf(f *reflect.StructField) (name string, inline bool) {
	name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if !f.IsExported() || name == "-" {
		return "", false
	}
	return name, strings.Contains(opts, "inline")
}

// members iterates over the members of a struct type in their order, with their indices.
func members(t reflect.Type) func(yield func(string, *reflect.StructField) bool) {
	return func(yield func(string, *reflect.StructField) bool) { each(t, nil, yield) }
}

func each(t reflect.Type, index []int, yield func(string, *reflect.StructField) bool) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		name, inline := nameOf(&f)
		f.Index = append(append([]int{}, index...), i)
		switch {
		case inline:
			if !each(f.Type, f.Index, yield) {
				return false
			}
		case name != "":
			if !yield(name, &f) {
				return false
			}
		}
	}
	return true
}

// member returns the field of a struct by its name in the file.
func member(v reflect.Value, name string) (reflect.Value, bool) {
	for n, f := range members(v.Type()) {
		if n == name {
			return v.FieldByIndex(f.Index), true
		}
	}
	return reflect.Value{}, false
}

// element writes a path with an element of a list.
func element(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
