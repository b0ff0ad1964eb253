package catalog

import (
	"strings"
	"testing"

	"forebay/fault"
)

func TestRoutesAreNames(t *testing.T) {
	own, builtin := &Model{ID: "own", ManagedBy: "forebay.yaml:1"}, &Model{ID: "amazon.nova-lite-v1:0"}
	names := NewNames([]*Model{own, builtin}, map[string]string{"known": "own"}, "").WithRoutes([]*Route{
		{Name: "assistant", Lanes: []Lane{{Name: "first", Model: builtin, Pool: "p"}, {Name: "rest", Model: own}}},
		{Name: "known", Lanes: []Lane{{Model: builtin}}},
		{Name: "own", Lanes: []Lane{{Model: builtin}}},
	})
	for id, want := range map[string]struct{ route, model, pool, prefix string }{
		"assistant":    {"assistant", builtin.ID, "p", ""},
		"us.assistant": {"assistant", builtin.ID, "p", "us"},
		"arn:aws:bedrock:us-east-1:000000000000:inference-profile/assistant": {"assistant", builtin.ID, "p", ""},
		"known": {"", "own", "own", ""}, // models and aliases go before routes
		"own":   {"", "own", "own", ""},
	} {
		res, err := names.Resolve(id)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		route := ""
		if res.Route != nil {
			route = res.Route.Name
		}
		if route != want.route || res.Model.ID != want.model || res.Pool() != want.pool || res.RegionPrefix != want.prefix || res.Charged != want.model {
			t.Errorf("%s: route %q, %+v", id, route, res)
		}
	}
	_, err := names.Resolve("asistant")
	if e := fault.From(err); e.Kind != fault.UnknownModel || !strings.Contains(e.Reason, "did you mean assistant") {
		t.Errorf("%+v", e)
	}
	var listed []string
	for _, a := range names.Aliases() {
		listed = append(listed, a.Name+" "+a.Model.ID)
	}
	if got := strings.Join(listed, ", "); got != "assistant amazon.nova-lite-v1:0, known own" {
		t.Errorf("listed: %s", got)
	}
}
