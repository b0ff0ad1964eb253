package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"forebay/config"
	"forebay/server"

	"github.com/go-json-experiment/json"
	"github.com/mattn/go-isatty"
)

// knownEngine is an engine that many machines have, at its usual address.
type knownEngine struct {
	name  string // as --serve takes it
	title string
	config.Engine
}

// knownEngines are in the order in which they are looked for.
var knownEngines = []knownEngine{
	{"ollama", "Ollama", config.Engine{Type: "openai", URL: "http://127.0.0.1:11434/v1", Flavour: "ollama"}},
	{"llama-server", "llama-server", config.Engine{Type: "openai", URL: "http://127.0.0.1:8080/v1", Flavour: "llama-server"}},
	{"vllm", "vLLM", config.Engine{Type: "openai", URL: "http://127.0.0.1:8000/v1", Flavour: "vllm"}},
	{"lm-studio", "LM Studio", config.Engine{Type: "openai", URL: "http://127.0.0.1:1234/v1"}},
}

// engineNamed returns a known engine, nil for no known name.
func engineNamed(name string) *knownEngine {
	i := slices.IndexFunc(knownEngines, func(k knownEngine) bool { return k.name == name })
	if i < 0 {
		return nil
	}
	return &knownEngines[i]
}

// serve adds an engine and binds a model to it: ID=ENGINE[/MODEL], where ENGINE is one of
// the known names, an engine of the configuration, or a URL with /v1 in its path.
func serve(cfg *config.Config, spec string) error {
	id, target, ok := strings.Cut(spec, "=")
	if !ok || id == "" || target == "" {
		return fmt.Errorf("--serve %q is not ID=ENGINE[/MODEL], such as anthropic.claude-3-haiku-20240307-v1:0=ollama/llama3.2", spec)
	}
	name, model, _ := strings.Cut(target, "/")
	e, declared := cfg.Engines[name]
	if !declared {
		if known := engineNamed(name); known != nil {
			e = known.Engine
		} else {
			var err error
			if name, model, e, err = urlTarget(target); err != nil {
				return fmt.Errorf("--serve %q: %w", spec, err)
			}
		}
	}
	if cfg.Engines == nil {
		cfg.Engines = map[string]config.Engine{}
	}
	if cfg.Models == nil {
		cfg.Models = map[string]config.Model{}
	}
	if _, declared := cfg.Engines[name]; !declared {
		cfg.Engines[name] = e
	}
	m := cfg.Models[id]
	m.Engines = append(m.Engines, config.Binding{Engine: name, Model: model})
	cfg.Models[id] = m
	return nil
}

// urlTarget takes a URL apart: what is up to /v1 is the engine's address, the rest its name of the model.
func urlTarget(target string) (name, model string, e config.Engine, err error) {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		first, _, _ := strings.Cut(target, "/")
		return "", "", e, fmt.Errorf("%q is neither a URL nor an engine of the configuration, nor one of ollama, llama-server, vllm, lm-studio", first)
	}
	prefix, rest, found := strings.Cut(u.Path+"/", "/v1/")
	if !found {
		return "", "", e, fmt.Errorf("the URL %s has no /v1 in its path; write http://HOST:PORT/v1/MODEL", target)
	}
	e = config.Engine{Type: "openai", URL: u.Scheme + "://" + u.Host + prefix + "/v1"}
	return u.Host, strings.Trim(rest, "/"), e, nil
}

// found is a known engine that runs, with the models that it serves.
type found struct {
	*knownEngine
	models []string
}

// lookLimit bounds the look for each engine.
const lookLimit = 400 * time.Millisecond

// look finds the known engines that run on this machine, by asking each for its models.
func look(ctx context.Context, known []knownEngine) []found {
	all := make([]found, len(known))
	var wg sync.WaitGroup
	for i := range known {
		wg.Go(func() {
			lctx, cancel := context.WithTimeout(ctx, lookLimit)
			defer cancel()
			if models, err := served(lctx, known[i].URL); err == nil {
				all[i] = found{&known[i], models}
			}
		})
	}
	wg.Wait()
	return slices.DeleteFunc(all, func(f found) bool { return f.knownEngine == nil })
}

// served asks an engine that speaks OpenAI's API for its models.
func served(ctx context.Context, url string) ([]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/models", http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.New(res.Status)
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, err
	}
	var out []string
	for _, m := range list.Data {
		if m.ID != "" {
			out = append(out, m.ID)
		}
	}
	return out, nil
}

// Terminal reports whether both ends of a command are a terminal, so that a person can be asked.
func Terminal(in, out *os.File) bool {
	return isatty.IsTerminal(in.Fd()) && isatty.IsTerminal(out.Fd())
}

// askedFile in the data directory says that the question was asked, and how to have it asked again.
const askedFile = "asked-about-engines"

// offer asks once, on a terminal, whether an engine that runs on this machine shall answer
// for the model of the examples. A yes is kept like anything made at run time.
func offer(e *env, s *server.Server, engines []knownEngine) error {
	marker := filepath.Join(s.DataDir(), askedFile)
	if _, err := os.Stat(marker); err == nil || !e.Terminal || !s.Simulated(demoModel) {
		return nil
	}
	for _, f := range look(e.ctx, engines) {
		if len(f.models) == 0 {
			continue
		}
		_, _ = fmt.Fprintf(e.Out, "%s runs on this machine (%s) and serves %s.\nUse %s's %s for %s? [Y/n, or the name of another] ",
			f.title, f.URL, strings.Join(f.models, ", "), f.title, f.models[0], demoModel)
		model, err := answer(e, f.models)
		if err != nil {
			return err
		}
		if err := os.WriteFile(marker, []byte("Delete this file to be asked again.\n"), 0o600); err != nil {
			return err
		}
		if model == "" {
			_, _ = fmt.Fprintf(e.Out, "Not used, and not asked again. To use it later: forebay models add %s --engine %s/%s\n\n", demoModel, f.name, f.models[0])
			return nil
		}
		if err := s.Bind(e.ctx, demoModel, f.name, f.Engine, model); err != nil {
			return err
		}
		_, _ = fmt.Fprintf(e.Out, "Kept in the data directory. To undo it: forebay models remove %s\n\n", demoModel)
		return nil
	}
	return nil
}

// answer reads a yes, a no or the name of a model, and asks again for anything else. "" is a no.
func answer(e *env, models []string) (string, error) {
	lines := make(chan string)
	go func() { // ends with the command at the latest: a read of a terminal cannot be called off
		defer close(lines)
		sc := bufio.NewScanner(e.In)
		for sc.Scan() {
			select {
			case lines <- strings.TrimSpace(sc.Text()):
			case <-e.ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-e.ctx.Done():
			return "", e.ctx.Err()
		case line, ok := <-lines:
			switch {
			case !ok:
				_, _ = fmt.Fprintln(e.Out)
				return "", nil // nobody answers: nothing is assumed
			case line == "" || strings.EqualFold(line, "y") || strings.EqualFold(line, "yes"):
				return models[0], nil
			case strings.EqualFold(line, "n") || strings.EqualFold(line, "no"):
				return "", nil
			case slices.Contains(models, line):
				return line, nil
			}
			_, _ = fmt.Fprintf(e.Out, "Write y, n, or one of %s: ", strings.Join(models, ", "))
		}
	}
}
