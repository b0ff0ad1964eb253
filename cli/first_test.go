package cli

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"forebay/engine/enginetest/fakeupstream"
)

// upUntilFirstCall runs up until its first call is shown, and returns everything it has written, in pieces.
func upUntilFirstCall(t *testing.T, file string, args ...string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "forebay.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := &pieces{watcher: newWatcher()}
	done := make(chan int, 1)
	go func() {
		done <- Main(ctx, append([]string{"up", "--config", path, "--listen", "127.0.0.1:0", "--data-dir", t.TempDir()}, args...), Streams{In: strings.NewReader(""), Out: out, Err: out})
	}()
	for !strings.Contains(out.String(), " in all; ") {
		select {
		case <-out.more:
		case code := <-done:
			t.Fatalf("exit %d before the first call: %s", code, out)
		}
	}
	stop()
	if code := <-done; code != exitOK {
		t.Errorf("exit %d: %s", code, out)
	}
	return out.list
}

// pieces is a watcher that keeps what is written apart.
type pieces struct {
	*watcher
	list []string
}

func (p *pieces) Write(b []byte) (int, error) {
	p.list = append(p.list, string(b)) // before the watcher wakes who reads it
	return p.watcher.Write(b)
}

// The first command alone shows a call: the answer as it streams, with tokens, latency and price.
func TestFirstCall(t *testing.T) {
	list := upUntilFirstCall(t, instant)
	text := strings.Join(list, "")
	_, call, _ := strings.Cut(text, "A first call to "+demoModel+": Hello! What are you?\n> ")
	m := regexp.MustCompile(`(?s)^(This answer is simulated.*)\n  (\d+) tokens in, (\d+) out; first token after \S+s, \S+s in all; 0\.\d+ USD\n`).FindStringSubmatch(call)
	if m == nil {
		t.Fatalf("%s", text)
	}
	if in, out := wholeNumber(t, m[2]), wholeNumber(t, m[3]); in < 1 || out < 10 {
		t.Errorf("%d tokens in, %d out", in, out)
	}
	for _, piece := range list {
		if len(piece) > len(m[1])/2 && strings.Contains(m[1], piece) {
			t.Errorf("not as it streams: %q in one piece", piece)
		}
	}
}

// A model that --serve puts on an engine is answered by it, under the engine's own name of it, and is not called simulated.
func TestServeMakesAModelReal(t *testing.T) {
	up := fakeupstream.New(t, fakeupstream.OpenAI)
	up.Say("Water", " over", " the", " weir.")
	for name, c := range map[string]struct{ file, engine string }{
		"by its address": {"logging: {level: info}\n", up.URL + "/v1"},
		"by its name":    {"engines: {mine: {type: openai, url: \"" + up.URL + "\"}}\n", "mine"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(up.Calls())
			text := strings.Join(upUntilFirstCall(t, c.file, "--serve", demoModel+"="+c.engine+"/org/name"), "")
			if !strings.Contains(text, "> Water over the weir.\n") || strings.Contains(strings.ToLower(text), "simulated") {
				t.Errorf("%s", text)
			}
			asked := false
			for _, call := range up.Calls()[before:] {
				asked = asked || strings.HasSuffix(call.Target, "/chat/completions") && strings.Contains(string(call.Body), `"model":"org/name"`)
			}
			if !asked {
				t.Error("the engine was not asked for its own name of the model")
			}
		})
	}
}
