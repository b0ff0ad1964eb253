package server

import (
	"net/http"
	"strings"
	"testing"

	"forebay/config"
)

// A pool that a reload makes smaller than what is sold of it says so wherever purchases are shown, and no more once it is large enough again.
func TestShrunkPoolSaysSo(t *testing.T) {
	sized := func(units int64) map[string]config.Model {
		return map[string]config.Model{haiku: {Engines: []config.Binding{{Engine: "real", Units: units}}, Unit: &config.Unit{Input: 1000, Output: 100}}}
	}
	c := testConfig(t)
	c.Engines["real"] = config.Engine{Type: "openai", URL: "http://127.0.0.1:9/v1", Slots: 8}
	c.Models = sized(4)
	s := run(t, c)
	buy(t, s, `{"provisionedModelName":"chat","modelId":"`+haiku+`","modelUnits":3}`)
	told := func(want bool) {
		t.Helper()
		shown := ask(t, s, http.MethodGet, "provisioned/chat", "")
		metrics := post(t, s, "/metrics", "", method(http.MethodGet))
		if strings.Contains(shown.body, `"shortage"`) != want || strings.Contains(metrics.body, "forebay_reserved_short{") != want {
			t.Errorf("want %v: %s", want, shown.body)
		}
	}
	told(false)
	for _, x := range []struct {
		units int64
		short bool
	}{{2, true}, {3, false}} {
		c.Models = sized(x.units)
		if _, err := s.Reload(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		told(x.short)
	}
}

// What is sold on measured engines, up to all that they back, is no shortage.
func TestFullPoolIsNotShort(t *testing.T) {
	c := slow(testConfig(t), 0)
	s := run(t, c)
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		buy(t, s, `{"provisionedModelName":"`+name+`","modelId":"`+haiku+`","modelUnits":1}`)
	}
	reserve(t, s, "tier", 5000, 1000)
	if a := ask(t, s, http.MethodGet, "provisioned", ""); strings.Contains(a.body, `"shortage"`) || !strings.Contains(a.body, "InService") {
		t.Error(a.body)
	}
}
