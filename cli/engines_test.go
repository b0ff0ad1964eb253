package cli

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forebay/config"
	"forebay/internal/llamatest"
	"forebay/server"
)

// engineServing is something that answers /v1/models.
func engineServing(t *testing.T, body string, status int) knownEngine {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/models" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	return knownEngine{"ollama", "Ollama", config.Engine{Type: "openai", URL: srv.URL + "/v1"}}
}

const twoModels = `{"object":"list","data":[{"id":"llama3.2","object":"model"},{"id":"qwen3:8b","object":"model"}]}`

// The question is asked once, on a terminal, about what an engine really serves; nothing is
// assumed, and the answer is kept.
func TestEngineQuestion(t *testing.T) {
	up := engineServing(t, twoModels, 200)
	down := knownEngine{"vllm", "vLLM", config.Engine{Type: "openai", URL: "http://127.0.0.1:1/v1"}}
	none := engineServing(t, `{"data":[]}`, 200)
	other := engineServing(t, `<html>`, 200)
	refusing := engineServing(t, twoModels, 401)
	for name, c := range map[string]struct {
		engines  []knownEngine
		in       string
		terminal bool
		want     string // what the model is bound to: engine/name, "" for the simulated one
		says     string
		asked    bool // the answer is final
	}{
		"yes":              {[]knownEngine{down, up}, "\n", true, "ollama", "Use Ollama's llama3.2 for " + demoModel + "? [Y/n", true},
		"another":          {[]knownEngine{up}, "qwen3:8b\n", true, "ollama", "serves llama3.2, qwen3:8b", true},
		"no":               {[]knownEngine{up}, "n\n", true, "", "forebay models add " + demoModel + " --engine ollama/llama3.2", true},
		"unclear, then no": {[]knownEngine{up}, "perhaps\nno\n", true, "", "Write y, n, or one of", true},
		"nobody answers":   {[]knownEngine{up}, "", true, "", "[Y/n", true},
		"no terminal":      {[]knownEngine{up}, "y\n", false, "", "", false},
		"nothing runs":     {[]knownEngine{down}, "y\n", true, "", "", false},
		"no models":        {[]knownEngine{none}, "y\n", true, "", "", false},
		"something else":   {[]knownEngine{other, refusing}, "y\n", true, "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config.Default()
			cfg.DataDir, cfg.Server.Listen, cfg.Server.TLSListen = t.TempDir(), "127.0.0.1:0", ""
			open := func() *server.Server {
				s, err := server.New(t.Context(), cfg, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			s := open()
			var out bytes.Buffer
			e := &env{ctx: t.Context(), Streams: Streams{In: strings.NewReader(c.in), Out: &out, Terminal: c.terminal}}
			if err := offer(e, s, c.engines); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out.String(), c.says) || c.says == "" && out.Len() > 0 {
				t.Errorf("it says\n%s\nwant %q", out.String(), c.says)
			}
			if bound := !s.Simulated(demoModel); bound != (c.want != "") {
				t.Errorf("a real engine: %v", bound)
			}
			if _, err := os.Stat(filepath.Join(cfg.DataDir, askedFile)); (err == nil) != c.asked {
				t.Errorf("remembered: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open() // the answer holds after a restart, and is not asked for again
			defer func() { _ = s.Close() }()
			if bound := !s.Simulated(demoModel); bound != (c.want != "") {
				t.Errorf("after a restart, a real engine: %v", bound)
			}
			out.Reset()
			e.In = strings.NewReader("y\n")
			if err := offer(e, s, c.engines); err != nil || c.asked && out.Len() > 0 {
				t.Errorf("asked again: %v %s", err, out.String())
			}
		})
	}
}

// A yes about an engine that really runs puts it behind the model, and it answers the next call.
func TestEngineQuestionAboutARealEngine(t *testing.T) {
	engine := knownEngine{"llama-server", "llama-server", config.Engine{Type: "openai", URL: llamatest.Start(t) + "/v1", Flavour: "llama-server"}}
	cfg := config.Default()
	cfg.DataDir, cfg.Server.Listen, cfg.Server.TLSListen = t.TempDir(), "127.0.0.1:0", ""
	s, err := server.New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	e := &env{ctx: t.Context(), Streams: Streams{In: strings.NewReader("y\n"), Out: &out, Terminal: true}}
	if err := offer(e, s, []knownEngine{engine}); err != nil || s.Simulated(demoModel) {
		t.Fatalf("%v: %s", err, out.String())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	dir := servingFrom(t, cfg.DataDir, "logging: {level: info}\n")
	code, said, errs := runCLI(t, "invoke", "--model", demoModel, "hello", "--data-dir", dir)
	if code != 0 || strings.Contains(said, "simulated") || !strings.Contains(said, "tokens in") {
		t.Errorf("%d %s %s", code, said, errs)
	}
	if _, said, _ := runCLI(t, "usage", "--by", "engine", "--data-dir", dir); !strings.Contains(said, "llama-server  1 ") {
		t.Errorf("%s", said)
	}
}

// Ctrl-C at the question ends the command.
func TestEngineQuestionCanBeInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in, hold := io.Pipe()
	defer func() { _ = hold.Close() }()
	e := &env{ctx: ctx, Streams: Streams{In: in, Out: io.Discard, Terminal: true}}
	cancel()
	if _, err := answer(e, []string{"m"}); failed(Streams{Err: io.Discard}, err) != exitOK {
		t.Errorf("%v", err)
	}
}

func TestServeSpecs(t *testing.T) {
	for spec, want := range map[string][3]string{
		"a=ollama/llama3.2":                  {"ollama", "http://127.0.0.1:11434/v1", "llama3.2"},
		"a=vllm/org/name":                    {"vllm", "http://127.0.0.1:8000/v1", "org/name"},
		"a=lm-studio/m":                      {"lm-studio", "http://127.0.0.1:1234/v1", "m"},
		"a=llama-server":                     {"llama-server", "http://127.0.0.1:8080/v1", ""},
		"a=mine/m":                           {"mine", "http://127.0.0.1:7/v1", "m"},
		"a=http://127.0.0.1:9/v1/org/name":   {"127.0.0.1:9", "http://127.0.0.1:9/v1", "org/name"},
		"a=http://127.0.0.1:9/v1":            {"127.0.0.1:9", "http://127.0.0.1:9/v1", ""},
		"a=http://[::1]:9/v1/m":              {"[::1]:9", "http://[::1]:9/v1", "m"},
		"a=https://host.example/api/v1/m:1b": {"host.example", "https://host.example/api/v1", "m:1b"},
	} {
		c := config.Config{Engines: map[string]config.Engine{"mine": {Type: "openai", URL: "http://127.0.0.1:7/v1"}}}
		if err := serve(&c, spec); err != nil {
			t.Errorf("%s: %v", spec, err)
			continue
		}
		b := c.Models["a"].Engines[0]
		if b.Engine != want[0] || c.Engines[b.Engine].URL != want[1] || b.Model != want[2] {
			t.Errorf("%s: %+v %+v", spec, b, c.Engines[b.Engine])
		}
	}
	for spec, want := range map[string]string{
		"a": "ID=ENGINE", "=ollama": "ID=ENGINE", "a=": "ID=ENGINE", "a=nosuch/m": "neither a URL nor an engine",
		"a=http://127.0.0.1:9/m": "no /v1 in its path", "a=ftp://h/v1/m": "neither a URL",
	} {
		var c config.Config
		if err := serve(&c, spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", spec, err)
		}
	}
}
