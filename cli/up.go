package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"

	"forebay/config"
	"forebay/server"
)

// serverFlags are what up and demo share.
type serverFlags struct {
	ConfigPath string   `name:"config" help:"Configuration file; forebay.yaml of this folder when it is there." type:"path" placeholder:"FILE"`
	Listen     string   `help:"Address to listen on; port 0 takes a free one." placeholder:"HOST:PORT"`
	DataDir    string   `help:"Where keys and the ledger are kept." type:"path" placeholder:"DIR"`
	Serve      []string `help:"Serve a model by an engine: one of ollama, llama-server, vllm, lm-studio, one of the configuration, or a URL with /v1 in its path." placeholder:"ID=ENGINE[/MODEL]" sep:"none"`
	Quotas     string   `help:"Quotas of every account: none, or aws for AWS's published defaults." enum:",none,aws" default:""`
	NoAuth     bool     `help:"Accept every caller; loopback only."`
	NoLedger   bool     `help:"Write no rows, to measure what they cost; with --no-auth only." hidden:""`
}

func (f *serverFlags) load() (config.Config, error) {
	cfg, err := config.Load(f.ConfigPath)
	if err != nil {
		return cfg, err
	}
	if f.Listen != "" {
		cfg.Override("server.listen", func() { cfg.Server.Listen = f.Listen })
	}
	if f.DataDir != "" {
		cfg.Override("data_dir", func() { cfg.DataDir = f.DataDir })
	}
	if f.Quotas != "" {
		cfg.Override("quotas", func() { cfg.Quotas = f.Quotas })
	}
	cfg.NoAuth, cfg.NoLedger = f.NoAuth, f.NoLedger
	cfg.Hint = program() + " up --serve MODEL=ollama/llama3.2"
	if f.DataDir != "" {
		cfg.Hint += " --data-dir " + word(f.DataDir)
	}
	for _, s := range f.Serve {
		if err := serve(&cfg, s); err != nil {
			return cfg, err
		}
	}
	return cfg, cfg.Validate()
}

type upCmd struct {
	serverFlags
	Quiet bool   `help:"Do not send a first call."`
	Pprof string `name:"pprof" help:"Serve Go profiles (/debug/pprof/) on a loopback address." placeholder:"HOST:PORT"`
}

// Run implements the verb.
func (c *upCmd) Run(e *env) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	log, level := logger(&cfg, e)
	if c.Pprof != "" {
		addr, err := servePprof(e.ctx, c.Pprof)
		if err != nil {
			return err
		}
		log.Info("profiles are served", "url", "http://"+addr.String()+"/debug/pprof/")
	}
	s, err := server.New(e.ctx, cfg, log)
	if err != nil {
		return err
	}
	if err := offer(e, s, knownEngines); err != nil {
		return errors.Join(err, s.Close())
	}
	banner(e, s)
	return run(e, s, func(ctx context.Context) { c.reloads(ctx, e.hangups(), s, log, level) }, func(ctx context.Context) error {
		if c.Quiet {
			return nil
		}
		return firstCall(ctx, e, s)
	})
}

// run serves while f runs and afterwards, until the command is interrupted. What runs beside
// it has ended when the server is closed.
func run(e *env, s *server.Server, beside func(context.Context), f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var wg sync.WaitGroup
	wg.Go(func() { beside(ctx) })
	ferr := f(ctx)
	if ferr != nil {
		cancel()
	}
	err := <-done
	cancel()
	wg.Wait()
	return errors.Join(ferr, err, s.Close())
}

// demoModel is the model of examples.
const demoModel = "anthropic.claude-3-haiku-20240307-v1:0"

// program is how this program is called in a shell: by its name where the path has it.
func program() string {
	self, err := os.Executable()
	if err != nil {
		return "forebay"
	}
	if found, err := exec.LookPath("forebay"); err == nil && found == self {
		return "forebay"
	}
	return word(self)
}

// plainWord is what means itself to a shell.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// word writes a text as one word of a POSIX shell, in a command that people are to paste.
func word(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func banner(e *env, s *server.Server) {
	c := s.Credentials()
	flag := ""
	if def := config.Default(); s.DataDir() != def.DataDir {
		flag = " --data-dir " + word(s.DataDir())
	}
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(e.Out, format+"\n", args...) }
	at := c.URL
	if c.TLSURL != "" {
		at += " (and " + c.TLSURL + ")"
	}
	p("Forebay listens on %s", at)
	if c.New {
		p("\nNew development keys, shown once and kept in %s (mode 0600):", s.DataDir())
		p("  access key  %s\n  secret key  %s\n  API key     %s", c.AccessKeyID, c.SecretAccessKey, c.APIKey)
	}
	model := s.Example(demoModel)
	if s.Simulated(model) {
		p("\nNo engine stands behind %s: it is SIMULATED. To serve a real one: %s", model, s.Hint(model))
	}
	p("\nTry, in another shell:")
	p("  eval \"$(%s env%s)\"", program(), flag)
	p("  curl $OPENAI_BASE_URL/chat/completions -H \"Authorization: Bearer $OPENAI_API_KEY\" -d '{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}'", model)
	p("  aws bedrock-runtime converse --region %s --model-id %s --messages '[{\"role\":\"user\",\"content\":[{\"text\":\"Hello\"}]}]'", c.Region, model)
	p("  python3 -c 'import openai; print(openai.OpenAI().chat.completions.create(model=\"%s\", messages=[{\"role\":\"user\",\"content\":\"Hello\"}]).choices[0].message.content)'\n", model)
}
