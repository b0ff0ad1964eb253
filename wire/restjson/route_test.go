package restjson

import (
	"net/http"
	"testing"

	"forebay/fault"
	"forebay/wire"
)

// Paths find their operation however a client escapes an id, and only theirs: the more
// literal template wins, a label that is the only one may hold slashes, others may not.
func TestRoute(t *testing.T) {
	s := &wire.Service{Operations: []*wire.Operation{
		{Name: "Invoke", Method: "POST", Path: "/model/{id}/invoke"},
		{Name: "Stream", Method: "POST", Path: "/model/{id}/invoke-with-response-stream"},
		{Name: "Get", Method: "GET", Path: "/things/{id}"},
		{Name: "List", Method: "GET", Path: "/things"},
		{Name: "Two", Method: "POST", Path: "/guardrail/{id}/version/{v}/apply"},
		{Name: "Greedy", Method: "PUT", Path: "/objects/{bucket}/{key+}?versions"},
	}}
	for _, c := range []struct {
		method, path, want string
		labels             map[string]string
	}{
		{"POST", "/model/anthropic.claude-v1:0/invoke", "Invoke", map[string]string{"id": "anthropic.claude-v1:0"}},
		{"POST", "/model/arn%3Aaws%3Abedrock%3A%3Aprovisioned-model%2Fx/invoke-with-response-stream", "Stream", map[string]string{"id": "arn%3Aaws%3Abedrock%3A%3Aprovisioned-model%2Fx"}},
		{"POST", "/model/arn:aws:bedrock:r:1:provisioned-model/x/invoke", "Invoke", map[string]string{"id": "arn:aws:bedrock:r:1:provisioned-model/x"}},
		{"GET", "/things/a/b", "Get", map[string]string{"id": "a/b"}},
		{"GET", "/things", "List", map[string]string{}},
		{"POST", "/guardrail/g/version/1/apply", "Two", map[string]string{"id": "g", "v": "1"}},
		{"PUT", "/objects/b/k/e/y", "Greedy", map[string]string{"bucket": "b", "key": "k/e/y"}},
		{"POST", "/guardrail/g/h/version/1/apply", "", nil},
		{"POST", "/guardrail//version/1/apply", "", nil},
		{"GET", "/things/", "", nil},
		{"POST", "/model//invoke", "", nil},
		{"POST", "/model/invoke", "", nil},
		{"GET", "/model/x/invoke", "", nil},
		{"PUT", "/objects/b", "", nil},
		{"POST", "", "", nil},
	} {
		op, err := Protocol{}.Route(s, &wire.Request{Method: c.method, Path: c.path, Header: http.Header{}})
		if c.want == "" {
			if fault.KindOf(err) != fault.UnknownOperation || op != nil {
				t.Errorf("%s %s finds %v", c.method, c.path, op)
			}
			continue
		}
		if err != nil || op.Name != c.want {
			t.Errorf("%s %s finds %v (%v), want %s", c.method, c.path, op, err, c.want)
			continue
		}
		got := map[string]string{}
		labels(op.Path, c.path, func(name, text string) { got[name] = text })
		if len(got) != len(c.labels) {
			t.Errorf("%s: labels %v, want %v", c.path, got, c.labels)
		}
		for k, v := range c.labels {
			if got[k] != v {
				t.Errorf("%s: label %s is %q, want %q", c.path, k, got[k], v)
			}
		}
	}
	if !Owns(s, "/things/x") || Owns(s, "/nothing") {
		t.Error("Owns")
	}
}
