package llamatest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"forebay/internal/llamatest"
)

// ask returns the engine's greedy answer.
func ask(t *testing.T, url string) (text string, tokens int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/chat/completions",
		strings.NewReader(`{"messages":[{"role":"user","content":"hi"}],"max_tokens":8,"temperature":0}`))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var out struct {
		Choices []struct{ Message struct{ Content string } }
		Usage   struct {
			CompletionTokens int `json:"completion_tokens"`
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil || len(out.Choices) != 1 {
		t.Fatalf("%v %+v", err, out)
	}
	return out.Choices[0].Message.Content, out.Usage.CompletionTokens
}

func TestGreedyAnswersAreTheSame(t *testing.T) {
	url := llamatest.Start(t)
	text, tokens := ask(t, url)
	again, _ := ask(t, url)
	if text == "" || text != again || tokens != 8 {
		t.Errorf("%q, then %q, %d tokens", text, again, tokens)
	}
}
