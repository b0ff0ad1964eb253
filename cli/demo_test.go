package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// demoPrices are the published on-demand prices in USD for a million tokens in and out, in cents.
var demoPrices = map[string][2]int{demoModel: {25, 125}, demoNova: {6, 24}, demoLlama: {30, 60}}

// The demo asks through every API, shows what each answers, and the ledger adds up.
func TestDemo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "forebay.yaml")
	if err := os.WriteFile(file, []byte(instant), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := runCLI(t, "demo", "--config", file)
	if code != 0 {
		t.Fatalf("exit %d: %s %s", code, out, errs)
	}
	calls, ledger, _ := strings.Cut(out, "\nThe ledger:\n")
	for _, want := range []string{
		`Bedrock Converse +anthropic\.\S+\n  \{.*"output":\{"message":\{"role":"assistant","content":\[\{"text":"This answer is simulated`,
		`Bedrock ConverseStream +anthropic\.\S+\n  \{"role":"assistant"\} \{"delta":\{"text":"This"\},"contentBlockIndex":0\}`,
		`Bedrock InvokeModel +anthropic\.\S+\n  \{"id":"msg_\w+","type":"message"`,
		`Bedrock InvokeModel +amazon\.nova\S+\n  \{"output":\{"message"`,
		`Bedrock InvokeModel +meta\.\S+\n  \{"generation":"This answer is simulated`,
		`Bedrock InvokeModel +amazon\.titan\S+\n  \{"embedding":\[`,
		`Bedrock InvokeModel, streamed +anthropic\.\S+\n  \{"type":"message_start"`,
		`OpenAI chat +anthropic\.\S+\n  \{"id":"chatcmpl-[-\w]+","object":"chat\.completion"`,
		`OpenAI completions +meta\.\S+\n  \{"id":"cmpl-[-\w]+","object":"text_completion"`,
		`OpenAI embeddings +amazon\.titan\S+\n  \{"object":"list","data":\[\{"object":"embedding"`,
		`Anthropic messages +anthropic\.\S+\n  \{"id":"msg_\w+","type":"message"`,
		`Anthropic count_tokens +anthropic\.\S+\n  \{"input_tokens":\d+\}`,
		`Streamed, as it comes:\n> This answer is simulated.*\n  \d+ tokens in, \d+ out; first token after \S+, \S+ in all; 0\.\d+ USD`,
	} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(calls) {
			t.Errorf("no %s in\n%s", want, calls)
		}
	}
	checkDemoLedger(t, ledger)
}

// checkDemoLedger holds each row of the ledger against the calls that were made and the published prices.
func checkDemoLedger(t *testing.T, ledger string) {
	t.Helper()
	want := map[string]int{"openai " + demoModel: 1} // the streamed one
	for _, d := range demoCalls {
		api, _, _ := strings.Cut(strings.ToLower(d.api), " ")
		switch {
		case strings.HasSuffix(d.path, "/count_tokens"):
			continue // counted by nobody
		case api == "bedrock":
			api = "bedrock-runtime"
		}
		want[api+" "+d.model]++
	}
	// The columns: API, model, requests, refused, failed, left, tokens in and out, charge.
	row := regexp.MustCompile(`(?m)^(\S+) +(\S+\.\S+) +(\d+) +0 +0 +0 +(\d+) +(\d+) +(unknown|0\.\d+ USD) `)
	for _, m := range row.FindAllStringSubmatch(ledger, -1) {
		key := m[1] + " " + m[2]
		requests, input, output := wholeNumber(t, m[3]), wholeNumber(t, m[4]), wholeNumber(t, m[5])
		if requests != want[key] || input == 0 {
			t.Errorf("%s has %d calls of %d tokens, want %d", key, requests, input, want[key])
		}
		charge := "unknown"
		if p, priced := demoPrices[m[2]]; priced {
			charge = strings.TrimRight(fmt.Sprintf("0.%08d", input*p[0]+output*p[1]), "0") + " USD"
		}
		if m[6] != charge {
			t.Errorf("%s is charged %s for %d and %d tokens, want %s", key, m[6], input, output, charge)
		}
		delete(want, key)
	}
	if len(want) > 0 {
		t.Errorf("no row of %v in\n%s", want, ledger)
	}
}

func wholeNumber(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
