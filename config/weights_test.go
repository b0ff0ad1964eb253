package config

import (
	"strings"
	"testing"
)

func TestWeights(t *testing.T) {
	t.Setenv("HUB_TOKEN", "x")
	for text, want := range map[string]string{
		"weights: {dir: /srv/weights, limit: 500GB, keep_free: 10GiB, downloads: 16, hub: {endpoint: 'https://hub.example.com', token: env:HUB_TOKEN}, s3: {endpoint: 'http://127.0.0.1:9000', region: eu-west-1, profile: models}}": "",
		"weights: {dir: weights}":                       "weights.dir",
		"weights: {downloads: 65}":                      "weights.downloads",
		"weights: {limit: lots}":                        "weights.limit",
		"weights: {hub: {endpoint: hub.example.com}}":   "weights.hub.endpoint",
		"weights: {s3: {endpoint: 'ftp://x'}}":          "weights.s3.endpoint",
		"weights: {s3: {endpoint: 'https://u:p@x/'}}":   "weights.s3.endpoint",
		"weights: {hub: {token: hf_abc}}":               "weights.hub.token",
		"weights: {hub: {token: env:FOREBAY_NO_TOKEN}}": "weights.hub.token",
		"weights: {s3: {endpoint: 'https://x?y'}}":      "weights.s3.endpoint",
	} {
		got := faults(t, text)
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0], want)) {
			t.Errorf("%s: %q", text, got)
		}
	}
	if d := Default().Weights; d.KeepFree != 1<<30 || d.Downloads != 8 || d.Limit != 0 {
		t.Errorf("%+v", d)
	}
}
