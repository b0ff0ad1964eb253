// Package cli is the command line. Every verb but up, demo, plan, prove, replay and what checks a file is a client of the
// admin API of a running server.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"forebay/config"
	"forebay/internal/version"

	"github.com/alecthomas/kong"
)

// Streams are the terminal, or what stands in for it.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// Terminal says that a person sits at In and Out and can be asked.
	Terminal bool
	// Hangup returns what asks a server to read its configuration again. Only a server calls it,
	// so that other commands end with their terminal; nil never asks.
	Hangup func() <-chan os.Signal
}

// commands is the grammar of the command line.
type commands struct {
	Up         upCmd         `cmd:"" help:"Start the server."`
	Demo       demoCmd       `cmd:"" help:"Start a server, call a model through every API, and stop."`
	Env        envCmd        `cmd:"" help:"Print the environment that points clients here: eval \"$(forebay env)\"."`
	Invoke     invokeCmd     `cmd:"" help:"Ask a model, or talk with it, and show answers as they come."`
	Models     modelsCmd     `cmd:"" help:"List, show, add and price models; pull their weights."`
	Route      routeCmd      `cmd:"" help:"List, make, test and delete routes: names for lanes in order of preference."`
	Engines    enginesCmd    `cmd:"" help:"List, add and remove engines."`
	Accounts   accountsCmd   `cmd:"" help:"List, make and delete accounts."`
	Teams      teamsCmd      `cmd:"" help:"List, make and delete teams."`
	Provision  provisionCmd  `cmd:"" help:"Buy, list, show and end provisioned throughput."`
	Keys       keysCmd       `cmd:"" help:"List, create, rotate and revoke keys."`
	Usage      usageCmd      `cmd:"" help:"Show usage and money by any dimension."`
	Top        topCmd        `cmd:"" help:"Watch pools, reservations, tiers, tenants, throttles and cost per hour."`
	Explain    explainCmd    `cmd:"" help:"Explain what happened to one call, by its request id."`
	Config     configCmd     `cmd:"" help:"Check a configuration file, or show what is in effect."`
	Doctor     doctorCmd     `cmd:"" help:"Check everything a support person would ask for."`
	Calibrate  calibrateCmd  `cmd:"" help:"Measure what an engine can do, and so what a model unit is here."`
	Plan       planCmd       `cmd:"" help:"Find the cheapest way to serve a traffic: on demand, provisioned, an endpoint, serverless, or a mix."`
	Prove      proveCmd      `cmd:"" help:"Show by experiment what a reservation holds."`
	Replay     replayCmd     `cmd:"" help:"Show recorded events of the scheduler, and decide them again."`
	Completion completionCmd `cmd:"" help:"Print shell completion: source <(forebay completion bash)."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

// env is what a verb runs in.
type env struct {
	ctx context.Context //nolint:containedctx // the life of one command
	Streams
	parser *kong.Kong
}

type versionCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run implements the verb.
func (c *versionCmd) Run(e *env) error {
	if c.JSON {
		return printJSON(e, map[string]string{"version": version.String()})
	}
	_, err := fmt.Fprintln(e.Out, "forebay", version.String())
	return err
}

// Exit codes.
const (
	exitOK    = 0
	exitFault = 1 // the command failed; one line on standard error says why
	exitUsage = 2 // the command line is wrong, or what it asks about
)

// Main runs the command line and returns the exit code.
func Main(ctx context.Context, args []string, s Streams) int {
	var c commands
	exited := -1
	parser, err := kong.New(&c, kong.Name("forebay"),
		kong.Description("Deploy foundation models behind the AWS, OpenAI and Anthropic clients you already have."),
		kong.Writers(s.Out, s.Err), kong.Exit(func(code int) { exited = code }), kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		return failed(s, err)
	}
	explain(parser.Model)
	if len(args) == 0 {
		args = []string{"--help"}
	}
	k, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		_, _ = fmt.Fprintf(s.Err, "forebay: %v; see forebay --help\n", err)
		return exitUsage
	}
	if err := k.Run(&env{ctx: ctx, Streams: s, parser: parser}); err != nil {
		return failed(s, err)
	}
	return exitOK
}

func failed(s Streams, err error) int {
	if errors.Is(err, context.Canceled) {
		return exitOK
	}
	if b, ok := errors.AsType[badInput](err); ok {
		_, _ = fmt.Fprintf(s.Err, "forebay: %v\n", b)
		return exitUsage
	}
	var faults config.Faults
	if !errors.As(err, &faults) {
		_, _ = fmt.Fprintf(s.Err, "forebay: %v\n", err)
		return exitFault
	}
	for i := range faults { // a line each, as compilers do
		_, _ = fmt.Fprintf(s.Err, "forebay: %v\n", &faults[i])
	}
	return exitFault
}
