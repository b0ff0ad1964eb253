package config_test

import (
	"testing"

	"forebay/config"
)

// What was measured is kept as it was, however little a token takes; what only looks like a number is none.
func TestSmallCoefficientsAreKept(t *testing.T) {
	want := config.Calibration{
		Step: 900, ContextToken: 0.000038, Sequence: 1.5e-07, Slots: 4, KV: 4096, Intervals: map[string]config.Interval{"context_token_us": {Low: 1e-06, High: 0.00004}},
	}
	text, err := config.EncodeObject(&want)
	if err != nil {
		t.Fatal(err)
	}
	var got config.Calibration
	if err := config.Decode(text, &got); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if got.Step != want.Step || got.ContextToken != want.ContextToken || got.Sequence != want.Sequence || got.Intervals["context_token_us"] != want.Intervals["context_token_us"] {
		t.Errorf("%s: %+v", text, got)
	}
	for _, bad := range []string{`"1e-05"`, `'1e-05'`, "1e999", "1e", "e5", "0x1p-2", "inf", ".nan", "one"} {
		if err := config.Decode([]byte("{step_us: "+bad+", slots: 1, kv_tokens: 1}"), &config.Calibration{}); err == nil {
			t.Errorf("%s is a number", bad)
		}
	}
}
