package config

import (
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

//go:generate sh -c "go run ../cmd/forebay config schema > ../docs/forebay.schema.json.new && mv ../docs/forebay.schema.json.new ../docs/forebay.schema.json"

// Schema returns the JSON schema (draft 2020-12) of forebay.yaml, for editors. It is made
// of the types that the file is decoded into; references between members and secrets are
// for Validate alone.
func Schema() []byte {
	s := &schemas{prefix: "#/$defs/", defs: map[string]any{}}
	root := s.object(reflect.TypeFor[Config]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "forebay.yaml"
	root["$defs"] = s.defs
	return encode(root)
}

func encode(v any) []byte {
	b, err := json.Marshal(v, jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		panic("config: a schema is no JSON: " + err.Error()) // maps and strings
	}
	return append(b, '\n')
}

// ObjectSchemas returns the schemas of policies and of the objects that can be made at run time, by the names of
// their types, with all that they refer to. References begin with prefix.
func ObjectSchemas(prefix string) map[string]any {
	s := &schemas{prefix: prefix, defs: map[string]any{}}
	for _, object := range []any{Policy{}, Tenant{}, Team{}, Engine{}, Model{}, Route{}, Calibration{}} {
		s.of(reflect.TypeOf(object))
	}
	return s.defs
}

// schemas collects the definitions of the struct types that occur.
type schemas struct {
	prefix string // of references
	defs   map[string]any
}

// Patterns of scalars that are text in the file.
const (
	durationPattern = `^(0|([0-9]+(\.[0-9]*)?(ns|us|ms|s|m|h))+)$`
	sizePattern     = `^[0-9]+ *(B|KB|MB|GB|KiB|MiB|GiB)$`
	moneyPattern    = `^[0-9]*(\.[0-9]{1,9})? [A-Z]{3}$`
	timePattern     = `^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2}))?$`
)

func (s *schemas) of(t reflect.Type) map[string]any {
	switch t {
	case durationType:
		return map[string]any{"anyOf": []any{map[string]any{"type": "string", "pattern": durationPattern}, map[string]any{"const": 0}}}
	case sizeType:
		return map[string]any{"anyOf": []any{map[string]any{"type": "integer", "minimum": 0}, map[string]any{"type": "string", "pattern": sizePattern}}}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.of(t.Elem())
	case reflect.Struct:
		if _, ok := s.defs[t.Name()]; !ok {
			s.defs[t.Name()] = nil // for types that hold themselves
			s.defs[t.Name()] = s.object(t)
		}
		return map[string]any{"$ref": s.prefix + t.Name()}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": s.of(t.Elem())}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.String:
		return map[string]any{"type": "string"}
	default:
		return map[string]any{"type": "integer", "minimum": 0}
	}
}

func (s *schemas) object(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	for name, f := range members(t) {
		p := s.of(f.Type)
		if doc := f.Tag.Get("doc"); doc != "" {
			p["description"] = doc
		}
		enum, limited := f.Tag.Lookup("enum")
		if limited {
			p["enum"] = strings.Split(enum, ",")
		}
		switch f.Tag.Get("format") {
		case "money":
			p["pattern"] = moneyPattern
		case "time":
			p["pattern"] = timePattern
		}
		properties[name] = p
		if f.Tag.Get("required") == "true" {
			required = append(required, name)
		}
	}
	out := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}
