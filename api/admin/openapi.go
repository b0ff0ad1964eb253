package admin

import (
	"maps"
	"strings"
)

// openapi describes the API from its own table of routes, and the schemas of the objects it takes.
func (s *Service) openapi() any {
	paths := map[string]map[string]any{}
	for i := range routes {
		r := &routes[i]
		p := "/admin/v1/" + r.path
		if strings.HasSuffix(p, "/") {
			p += "{id}" + r.suffix
		}
		if paths[p] == nil {
			paths[p] = map[string]any{}
		}
		paths[p][strings.ToLower(r.method)] = r.operation()
	}
	schemas := map[string]any{"Key": keySchema, "Rotation": rotationSchema, "Error": errorSchema, "Order": orderSchema, "Division": divisionSchema}
	maps.Copy(schemas, s.schemas)
	return map[string]any{
		"openapi": "3.1.0", "info": map[string]string{"title": "Forebay administration", "version": "1"}, "paths": paths,
		"components": map[string]any{"schemas": schemas, "securitySchemes": map[string]any{"bearer": map[string]string{"type": "http", "scheme": "bearer"}}},
	}
}

func ref(schema string) any { return map[string]string{"$ref": "#/components/schemas/" + schema} }

func asJSON(schema any) any {
	return map[string]any{"application/json": map[string]any{"schema": schema}}
}

// operation describes one route.
func (r *route) operation() map[string]any {
	text := map[string]string{"type": "string"}
	params := []any{}
	if strings.HasSuffix(r.path, "/") {
		params = append(params, map[string]any{"name": "id", "in": "path", "required": true, "schema": text})
	}
	for _, q := range r.query {
		params = append(params, map[string]any{"name": q, "in": "query", "schema": text})
	}
	if r.action == actionWrite {
		params = append(params, map[string]any{
			"name": HeaderToken, "in": "header", "schema": text,
			"description": "Names this change: sent again within a day, it has no second effect and the answer is the first one.",
		})
	}
	op := map[string]any{
		"summary": r.summary, "description": "Needs a key whose policy allows " + r.action + ".", "parameters": params,
		"security": []any{map[string]any{"bearer": []string{}}},
		"responses": map[string]any{
			"200":     map[string]any{"description": "OK", "content": asJSON(map[string]string{"type": "object"})},
			"default": map[string]any{"description": "An error", "content": asJSON(ref("Error"))},
		},
	}
	if r.operator {
		op["description"] = "Needs a key of the operator's account whose policy allows " + r.action + "."
	}
	if r.body != "" {
		op["requestBody"] = map[string]any{"content": asJSON(ref(r.body))}
	}
	return op
}

var errorSchema = map[string]any{
	"type": "object", "properties": map[string]any{"error": map[string]any{"type": "object", "properties": map[string]any{
		"kind": map[string]string{"type": "string"}, "message": map[string]string{"type": "string"}, "reason": map[string]string{"type": "string"},
	}}},
}

var keySchema = map[string]any{
	"type": "object", "additionalProperties": false, "required": []string{"name", "kind"}, "properties": map[string]any{
		"name": map[string]any{"type": "string", "pattern": "^[!-~]{1,64}$"}, "kind": map[string]any{"enum": []string{"api-key", "access-key"}},
		"team": map[string]string{"type": "string"}, "expires": map[string]string{"type": "string", "format": "date-time"},
		"policy": ref("Policy"),
	},
}

var rotationSchema = map[string]any{
	"type": "object", "additionalProperties": false, "properties": map[string]any{
		"grace": map[string]any{"type": "string", "default": defaultGrace.String(), "description": "How long the secret before this one stays good; 0 ends it at once, and all before it."},
	},
}
