package dialect

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"forebay/infer"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Tools and documents of Command R. A parameter has a Python type where others have a JSON
// schema; a document is an object of strings, of which the model reads names and values.

// pythonTypes are the names of types that the family uses.
var pythonTypes = map[string]string{
	"string": "str", "integer": "int", "number": "float", "boolean": "bool", "array": "list", "object": "dict",
}

// cohereSchema is the part of JSON schema that parameter_definitions can express.
type cohereSchema struct {
	Type        string                     `json:"type"`
	Properties  map[string]*cohereProperty `json:"properties"`
	Required    []string                   `json:"required,omitzero"`
	NoOthers    bool                       `json:"additionalProperties,omitzero"`
	Description string                     `json:"description,omitzero"`
}

type cohereProperty struct {
	Type        string          `json:"type"`
	Description string          `json:"description,omitzero"`
	Items       *cohereProperty `json:"items,omitzero"`                // of lists
	Values      *cohereProperty `json:"additionalProperties,omitzero"` // of maps
}

// schemaOfPython reads a type such as "str", "List[int]" or "Dict[str, List[str]]". What is no
// type of Python may be one of JSON schema.
func schemaOfPython(t string) *cohereProperty {
	t = strings.TrimSpace(t)
	outer, inner, generic := strings.Cut(strings.TrimSuffix(t, "]"), "[")
	if !generic {
		outer = t
	}
	switch strings.ToLower(outer) {
	case "list", "tuple", "set", "sequence":
		p := &cohereProperty{Type: "array"}
		if generic {
			p.Items = schemaOfPython(inner)
		}
		return p
	case "dict", "mapping":
		p := &cohereProperty{Type: "object"}
		if _, value, ok := strings.Cut(inner, ","); ok {
			p.Values = schemaOfPython(value)
		}
		return p
	case "optional":
		return schemaOfPython(inner)
	}
	for j, python := range pythonTypes {
		if t == python {
			return &cohereProperty{Type: j}
		}
	}
	return &cohereProperty{Type: t}
}

// python is the way back; false for what Python's types cannot say.
func (p *cohereProperty) python() (string, bool) {
	inner := p.Items
	if p.Type == "object" {
		inner = p.Values
	}
	name, ok := pythonTypes[p.Type]
	if !ok || inner == nil {
		return name, ok && (p.Items == nil && p.Values == nil)
	}
	of, ok := inner.python()
	switch {
	case !ok || inner.Description != "":
		return "", false
	case p.Type == "array":
		return "List[" + of + "]", true
	case p.Type == "object":
		return "Dict[str, " + of + "]", true
	default:
		return "", false
	}
}

func (t *cohereTool) tool() infer.Tool {
	schema := cohereSchema{Type: "object", Properties: map[string]*cohereProperty{}}
	for _, name := range slices.Sorted(maps.Keys(t.Parameters)) {
		p := t.Parameters[name]
		schema.Properties[name] = schemaOfPython(p.Type)
		schema.Properties[name].Description = p.Description
		if p.Required {
			schema.Required = append(schema.Required, name)
		}
	}
	return infer.Tool{Name: t.Name, Description: t.Description, Schema: must(&schema)}
}

func (w *writer) cohereTool(t infer.Tool) (cohereTool, error) {
	out := cohereTool{Name: t.Name, Description: t.Description, Parameters: map[string]cohereParameter{}}
	var s cohereSchema
	if json.Unmarshal(schemaOf(t), &s, json.RejectUnknownMembers(true)) != nil {
		return out, unsupported("the input schema of tool "+t.Name, w.d)
	}
	for name, p := range s.Properties {
		var python string
		var ok bool
		if p != nil {
			python, ok = p.python()
		}
		if !ok {
			return out, unsupported("the input schema of tool "+t.Name, w.d)
		}
		out.Parameters[name] = cohereParameter{Description: p.Description, Type: python, Required: slices.Contains(s.Required, name)}
	}
	return out, nil
}

// decodeCohereDocuments turns documents into blocks that other dialects have. The answer should
// cite them.
func decodeCohereDocuments(docs []jsontext.Value) ([]infer.Block, error) {
	out := make([]infer.Block, 0, len(docs))
	for i, v := range docs {
		var m map[string]jsontext.Value
		path := "documents." + strconv.Itoa(i)
		if err := unmarshal(path, v, &m); err != nil {
			return nil, err
		}
		var b strings.Builder
		name := "document " + strconv.Itoa(i)
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if m[key].Kind() != '"' {
				return nil, badType(path+"."+key, "string", jsonKind(m[key].Kind(), m[key]))
			}
			text := unquote(m[key])
			if key == "title" {
				name = text
				continue
			}
			b.WriteString(key + ": " + text + "\n")
		}
		out = append(out, infer.Block{Kind: infer.BlockDocument, Cite: true, Media: infer.Media{Format: "txt", Name: name, Data: []byte(b.String())}})
	}
	return out, nil
}

// cohereDocuments takes the documents of plain text out of a turn.
func cohereDocuments(m infer.Message) ([]jsontext.Value, infer.Message) {
	var docs []jsontext.Value
	out := infer.Message{Role: m.Role, Name: m.Name}
	for i := range m.Content {
		b := &m.Content[i]
		if b.Kind != infer.BlockDocument || !isText(&b.Media) {
			out.Content = append(out.Content, *b)
			continue
		}
		docs = append(docs, must(map[string]string{"title": b.Media.Name, "snippet": string(b.Media.Data)}))
	}
	return docs, out
}
