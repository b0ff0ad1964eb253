package openai

import (
	"maps"
	"strings"
	"testing"
)

func TestTags(t *testing.T) {
	long := strings.Repeat("x", maxTagValue+1)
	many := make([]string, maxTags+1)
	for i := range many {
		many[i] = `"` + strings.Repeat("k", i+1) + `":"v"`
	}
	for body, want := range map[string]map[string]string{
		`{"model":"m","metadata":{"project":"dam","stage":"test"}}`: {"project": "dam", "stage": "test"},
		`{"model":"m"}`: nil,
		`{"messages":[{"content":"say \"metadata\" and {\"metadata\":{\"a\":1}}"}]}`: nil,
		`{"messages":[{"metadata":{"a":"b"}}]}`:                                      nil,
		`{"metadata":{"a":1}}`:                                                       nil,
		`{"metadata":"x"}`:                                                           nil,
		`{"metadata":null}`:                                                          nil,
		`{"metadata":{"a":"` + long + `"}}`:                                          nil,
		`{"metadata":{"` + long + `":"a"}}`:                                          nil,
		`{"metadata":{` + strings.Join(many, ",") + `}}`:                             nil,
		`{"metadata":{"a":`:                                                          nil,
	} {
		if got := tags([]byte(body)); !maps.Equal(got, want) {
			t.Errorf("%.80s: %v, want %v", body, got, want)
		}
	}
}
