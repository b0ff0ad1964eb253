package fleet

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"forebay/engine"
	"forebay/engine/process"
	"forebay/fault"
)

// The preset for handlers in Python serves one, by the container contract.
func TestPythonHandler(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("SKIPPED, the handler in Python is not tested:", err)
	}
	model := t.TempDir()
	script := `
import json, os
def model_fn(d): return json.load(open(os.path.join(d, "weights.json")))
def predict_fn(x, model):
    if "divide" in x: return {"y": 1 / x["divide"]}
    return {"y": x["x"] * model["factor"]}
`
	for name, text := range map[string]string{"inference.py": script, "weights.json": `{"factor": 3}`} {
		if err := os.WriteFile(filepath.Join(model, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := process.New(process.Options{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	image, _ := Preset("python")
	i, err := l.Start(t.Context(), &engine.Spec{Name: "p", Command: image.Command, ModelDir: model, LogDir: t.TempDir(), Health: engine.Health{Path: image.Health}})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Stop(t.Context()) //nolint:errcheck // test
	if err := i.Ready(t.Context()); err != nil {
		t.Fatal(err, fault.From(err).OriginalMessage)
	}
	for body, want := range map[string]string{`{"x": 14}`: `200 application/json {"y": 42}`, `{`: "400 text/plain", `{"divide": 0}`: "500 text/plain; charset=utf-8 ZeroDivisionError"} {
		res, err := http.Post("http://"+i.Addr()+"/invocations", "application/json", strings.NewReader(body)) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if got := res.Status[:3] + " " + res.Header.Get("Content-Type") + " " + string(b); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, %v; want %s", body, got, err, want)
		}
	}
	if err := i.Stop(t.Context()); err != nil || i.Err() != nil {
		t.Error(err, i.Err())
	}
}

// Each preset says how to see that it can answer, and is spoken to in a known language.
func TestPresets(t *testing.T) {
	for _, name := range Presets() {
		i, ok := Preset(name)
		if !ok || len(i.Command) == 0 || !strings.HasPrefix(i.Health, "/") || i.Protocol != ProtocolOpenAI && i.Protocol != ProtocolContainer {
			t.Errorf("%s: %+v", name, i)
		}
		if text := strings.Join(append(i.Command, i.Env...), " "); name != "python" && !strings.Contains(text, engine.PlacePort) {
			t.Errorf("%s is not told its port: %s", name, text)
		}
	}
}

func TestFindGGUF(t *testing.T) {
	dir := t.TempDir()
	if _, err := findGGUF(dir); fault.KindOf(err) != fault.Invalid {
		t.Errorf("none: %v", err)
	}
	for _, name := range []string{"mmproj-f16.gguf", "q4/big-00001-of-00002.gguf", "q4/big-00002-of-00002.gguf", "readme.md"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := findGGUF(dir); err != nil || got != filepath.Join(dir, "q4", "big-00001-of-00002.gguf") {
		t.Errorf("%s, %v", got, err)
	}
}
