package cli

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"forebay/meter"

	"github.com/go-json-experiment/json"
)

// explain says what was held and charged for an answered call, and of a refused one which limit refused it,
// its level, what the call asked for and when to come again.
func TestExplain(t *testing.T) {
	dir := serving(t, instant+"account: {limits: {requests_per_minute: 1, spend_per_day: 5 USD}}\n")
	code, out, errs := runCLI(t, "invoke", "--model", "amazon.nova-lite-v1:0", "--json", "hello", "--data-dir", dir)
	var answer struct {
		RequestID string `json:"requestId"`
	}
	if err := json.Unmarshal([]byte(out), &answer); code != 0 || err != nil {
		t.Fatalf("%d %v %s %s", code, err, out, errs)
	}
	code, out, errs = runCLI(t, "explain", "--data-dir", dir, answer.RequestID)
	for _, want := range []string{
		`call +` + answer.RequestID + `, openai ChatCompletions`,
		`by +key key_\w+ of account 000000000000`,
		`model +amazon\.nova-lite-v1:0 on engine simulated \(SIMULATED\), on-demand, tier default`,
		`outcome +ok \(200\)`,
		`held +\d+ tokens: estimated input \d+, the model's own bound on the answer`,
		`charge +0\.\d+ USD: input 0\.\d+, output 0\.\d+; .*pricing`,
		`cost +unknown`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%d %s: no %q in\n%s", code, errs, want, out)
		}
	}

	_, out, _ = runCLI(t, "env", "--json", "--data-dir", dir)
	var vars map[string]string
	if err := json.Unmarshal([]byte(out), &vars); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, vars["OPENAI_BASE_URL"]+"/chat/completions",
		strings.NewReader(`{"model":"amazon.nova-lite-v1:0","max_tokens":20,"messages":[{"role":"user","content":"x"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+vars["OPENAI_API_KEY"])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("the second call of the minute: %d", resp.StatusCode)
	}
	id := resp.Header.Get("X-Request-Id")
	code, out, errs = runCLI(t, "explain", "--data-dir", dir, id)
	for _, want := range []string{
		`outcome +refused \(429\): throttled`,
		`Refused by the limit account 000000000000 requests/min; there is room again after 5\d(\.\d+)?s\.`,
		`requests/min +account 000000000000 +1 +1 +1`,
		`spend/day +account 000000000000 +5\.00 +0\.\d+ +0\.\d+`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("%d %s: no %q in\n%s", code, errs, want, out)
		}
	}
	_, out, _ = runCLI(t, "explain", "--json", "--data-dir", dir, id)
	var ex meter.Explanation
	var d decision
	if err := json.Unmarshal([]byte(out), &ex); err != nil || ex.RequestID != id || json.Unmarshal(ex.Detail, &d) != nil || d.Refused != "account 000000000000 requests/min" {
		t.Errorf("%v %s", err, out)
	}
}
