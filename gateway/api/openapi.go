package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/bondgate/bondgate/policy"
)

// newReflector makes schemas of the types of bodies and answers.
func newReflector() *jsonschema.Reflector {
	return &jsonschema.Reflector{DoNotReference: true, Anonymous: true, Mapper: func(t reflect.Type) *jsonschema.Schema {
		if t == reflect.TypeFor[policy.Verdict]() { // a number in Go and a word in JSON
			return &jsonschema.Schema{Type: "string", Enum: []any{policy.Allow.String(), policy.Deny.String()}}
		}
		return nil
	}}
}

// openAPI describes routes as OpenAPI 3.1 has it. It is made from the table that
// the requests are routed by, so there is no second list that could differ.
func openAPI(all []route) ([]byte, error) {
	paths := map[string]map[string]any{}
	reflector := newReflector()
	for _, r := range all {
		op := map[string]any{
			"operationId": operationID(r),
			"summary":     r.verb + " " + r.resource,
			"x-action":    string(r.action), "x-resource": r.resource, "x-verb": r.verb,
			"parameters": parameters(r), "responses": responses(r, reflector),
			"security": []any{map[string]any{"basic": []any{}}},
		}
		if r.body != nil {
			op["requestBody"] = map[string]any{"required": true, "content": jsonContent(reflector, r.body())}
		}
		path := r.path()
		if paths[path] == nil {
			paths[path] = map[string]any{}
		}
		paths[path][strings.ToLower(r.method)] = op
	}
	raw, err := json.Marshal(map[string]any{
		"openapi":    "3.1.0",
		"info":       map[string]any{"title": "Bondgate management API", "version": "1"},
		"paths":      paths,
		"components": map[string]any{"securitySchemes": map[string]any{"basic": map[string]any{"type": "http", "scheme": "basic"}}},
	})
	if err != nil {
		return nil, fmt.Errorf("describe the API: %w", err)
	}
	return raw, nil
}

var pathParameter = regexp.MustCompile(`\{([a-z_]+)\}`)

func operationID(r route) string {
	words := strings.FieldsFunc(strings.ToLower(r.method)+" "+r.path(), func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9')
	})
	return strings.Join(words, "_")
}

func parameters(r route) []any {
	out := []any{}
	for _, m := range pathParameter.FindAllStringSubmatch(r.pattern, -1) {
		out = append(out, map[string]any{"name": m[1], "in": "path", "required": true, "schema": map[string]any{"type": "string"}})
	}
	for _, name := range r.query {
		out = append(out, map[string]any{"name": name, "in": "query", "schema": map[string]any{"type": "string"}})
	}
	return out
}

func responses(r route, reflector *jsonschema.Reflector) map[string]any {
	success := map[string]any{"description": "done"}
	if r.reply != nil {
		success["content"] = jsonContent(reflector, r.reply())
	}
	out := map[string]any{strconv.Itoa(r.status): success}
	for _, status := range []int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusConflict, http.StatusTooManyRequests, http.StatusServiceUnavailable,
	} {
		out[strconv.Itoa(status)] = map[string]any{"description": http.StatusText(status), "content": errorContent}
	}
	return out
}

// errorContent is the shape of every error, of Harbor's API and of the registry's.
var errorContent = map[string]any{"application/json": map[string]any{"schema": map[string]any{
	"type": "object", "required": []string{"errors"},
	"properties": map[string]any{"errors": map[string]any{"type": "array", "items": map[string]any{
		"type": "object", "required": []string{"code", "message"},
		"properties": map[string]any{"code": map[string]any{"type": "string"}, "message": map[string]any{"type": "string"}, "detail": map[string]any{}},
	}}},
}}}

func jsonContent(reflector *jsonschema.Reflector, value any) map[string]any {
	schema := reflector.Reflect(value)
	schema.Version = ""
	return map[string]any{"application/json": map[string]any{"schema": schema}}
}

func (a *API) describe(*call) (plan, error) {
	return plan{do: func(context.Context) (any, error) { return json.RawMessage(a.openapi), nil }}, nil
}
