package cli

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// A conversation on the terminal sends all its turns each time, the failed ones not, and ends with /bye or the input.
func TestConversation(t *testing.T) {
	t.Setenv("CHAT_TEST_KEY", "k")
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/chat/completions" {
			http.NotFound(w, r)
			return
		}
		var body struct {
			Messages []message `json:"messages"`
		}
		if err := json.UnmarshalRead(r.Body, &body); err != nil {
			t.Error(err)
		}
		var turns []string
		for _, m := range body.Messages {
			turns = append(turns, m.Role+" "+m.Content)
		}
		asked = append(asked, strings.Join(turns, "|"))
		if strings.HasSuffix(turns[len(turns)-1], "fail") {
			http.Error(w, `{"error":{"message":"it cannot"}}`, http.StatusBadRequest)
			return
		}
		_, _ = fmt.Fprintf(w, "data: {\"choices\":[{\"delta\":{\"content\":\"answer %d\"}}]}\n\ndata: [DONE]\n\n", len(turns))
	}))
	defer s.Close()
	for _, c := range []struct {
		name, args, in string
		terminal       bool
		code           int
		asked          []string
		shows          string
	}{
		{"until /bye", "--system s", "one\n\n two \n/bye\nthree\n", true, 0, []string{"system s|user one", "system s|user one|assistant answer 2|user two"}, "answer 4"},
		{"until the end, a prompt first", "--chat one", "two", false, 0, []string{"user one", "user one|assistant answer 1|user two"}, "answer 3"},
		{"a turn that fails", "", "fail\ntwo\n", true, 0, []string{"user fail", "user two"}, "it cannot"},
		{"a turn that fails in a pipe", "--chat", "fail\ntwo\n", false, 1, []string{"user fail"}, "it cannot"},
		{"a pipe", "", "one\ntwo\n", false, 0, []string{"user one\ntwo\n"}, "answer 1"},
		{"JSON", "--json", "one\ntwo\n", true, 0, []string{"user one\ntwo\n"}, `"answer 1"`},
		{"a terminal, a prompt", "one", "two\n", true, 0, []string{"user one"}, "answer 1"},
		{"chat in JSON", "--chat --json", "one\n", true, 1, nil, "neither --json"},
	} {
		asked = nil
		var out bytes.Buffer
		args := append([]string{"invoke", "--server", s.URL, "--key", "env:CHAT_TEST_KEY"}, strings.Fields(c.args)...)
		code := Main(t.Context(), args, Streams{In: strings.NewReader(c.in), Out: &out, Err: &out, Terminal: c.terminal})
		if code != c.code || !slices.Equal(asked, c.asked) || !strings.Contains(out.String(), c.shows) {
			t.Errorf("%s: %d, asked %q, want %q; shows\n%s", c.name, code, asked, c.asked, out.String())
		}
	}
}
