package llamatest_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"forebay/internal/llamatest"
)

type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
}

func post(t *testing.T, url, body string) io.Reader {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(res.Body)
		t.Fatalf("%s: %s", res.Status, b)
	}
	return res.Body
}

const question = `"messages":[{"role":"user","content":"hi"}],"max_tokens":8,"temperature":0`

// ask returns the engine's greedy answer.
func ask(t *testing.T, url string) (text string, u usage) {
	t.Helper()
	var out struct {
		Choices []struct{ Message struct{ Content string } }
		Usage   usage
	}
	if err := json.NewDecoder(post(t, url+"/v1/chat/completions", "{"+question+"}")).Decode(&out); err != nil || len(out.Choices) != 1 {
		t.Fatalf("%v %+v", err, out)
	}
	return out.Choices[0].Message.Content, out.Usage
}

// stream is ask with server-sent events.
func stream(t *testing.T, url string) (text string, u usage) {
	t.Helper()
	body := post(t, url+"/v1/chat/completions", "{"+question+`,"stream":true,"stream_options":{"include_usage":true}}`)
	ended := false
	var said strings.Builder
	for sc := bufio.NewScanner(body); sc.Scan(); {
		data, ok := strings.CutPrefix(sc.Text(), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			ended = true
			continue
		}
		var chunk struct {
			Choices []struct{ Delta struct{ Content string } }
			Usage   *usage
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			t.Fatalf("%v in %s", err, data)
		}
		for _, c := range chunk.Choices {
			said.WriteString(c.Delta.Content)
		}
		if chunk.Usage != nil {
			u = *chunk.Usage
		}
	}
	if !ended {
		t.Error("the stream has no end")
	}
	return said.String(), u
}

// At temperature 0 the engine always says the same, whole or streamed, and counts it.
func TestGreedyAnswersAreTheSame(t *testing.T) {
	url := llamatest.Start(t)
	text, u := ask(t, url)
	again, _ := ask(t, url)
	streamed, su := stream(t, url)
	if text == "" || text != again || text != streamed {
		t.Errorf("%q, then %q, then streamed %q", text, again, streamed)
	}
	if u != su || u.Completion != 8 || u.Prompt == 0 {
		t.Errorf("usage %+v, streamed %+v", u, su)
	}
}

// Another process with the same model says the same, and it embeds too.
func TestEngineCanBeStartedTwice(t *testing.T) {
	one, two := llamatest.Start(t), llamatest.Start(t)
	if one == two {
		t.Fatalf("both listen on %s", one)
	}
	a, _ := ask(t, one)
	b, _ := ask(t, two)
	if a != b {
		t.Errorf("%q and %q", a, b)
	}
	var out struct {
		Data []struct{ Embedding []float32 }
	}
	if err := json.NewDecoder(post(t, one+"/v1/embeddings", `{"input":["one","two"]}`)).Decode(&out); err != nil || len(out.Data) != 2 || len(out.Data[0].Embedding) != 64 {
		t.Errorf("%v: %d vectors", err, len(out.Data))
	}
}
