package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"forebay/config"
	"forebay/internal/version"
	"forebay/prove"
	"forebay/server"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// proveCmd shows by experiment what a reservation holds.
type proveCmd struct {
	remote
	Only     []string      `help:"Make these experiments only: contention, isolated, idle, overshoot, spill, faults." placeholder:"NAME"`
	Dir      string        `help:"Where the report, its plots, the server's configuration and the recording are kept; a folder of its own that is deleted when left out." type:"path"`
	Length   time.Duration `help:"Length of one run." default:"65s"`
	Pairs    int           `help:"Paired runs, each alone and among others." default:"3"`
	Replicas int           `help:"Simulated engines." default:"6"`
	Slots    int           `help:"Calls that each engine takes at once." default:"12"`
	Profile  string        `help:"Engine model of the simulated engines." default:"demo"`
	Sold     float64       `help:"Share of the pool that is bought." default:"0.25"`
	Tenants  int           `help:"On-demand tenants." default:"50"`
	Overload float64       `help:"What the tenants offer, in multiples of what the pool can do." default:"10"`
	Seed     uint64        `help:"Seed of the arrivals." default:"1"`
	Write    string        `help:"Also write the results into this Markdown file, between its marks, and the plots beside it." type:"path" placeholder:"FILE"`

	// On an operator's own pool.
	Model    string   `help:"Prove it on the pool that serves this model at --server, instead of on simulated engines: contention, or isolated. Calls cost what they cost." placeholder:"ID"`
	Tenant   []string `help:"Where the key of a tenant is, env:NAME or file:PATH, for each; every one of an account or team of its own." placeholder:"REF" sep:"none"`
	PoolRate float64  `help:"How many of these calls a second the pool completes with all slots busy." placeholder:"N"`
	Units    int      `help:"Units to buy, which cover the share --sold of the pool; they are given back at the end." placeholder:"N"`
	Input    int      `help:"Input tokens of a call." default:"60"`
	Output   int      `help:"Output tokens of a call." default:"16"`
}

var errNotProven = errors.New("a claim does not hold; see the report")

// Run implements the verb.
func (c *proveCmd) Run(e *env) error {
	s := prove.Default()
	s.Length, s.Pairs, s.Replicas, s.Slots, s.Profile, s.Sold = c.Length, c.Pairs, c.Replicas, c.Slots, c.Profile, c.Sold
	s.Tenants, s.Overload, s.Seed, s.Input, s.Output = c.Tenants, c.Overload, c.Seed, c.Input, c.Output
	if c.Model != "" {
		if len(c.Tenant) < 2 || c.PoolRate <= 0 || c.Units < 1 {
			return errors.New("--model needs at least two --tenant, --pool-rate and --units: who presses on the pool, what it can do, and what is bought of it")
		}
		s.Tenants, s.PoolRate, s.Units = len(c.Tenant), c.PoolRate, c.Units
	}
	if err := s.Check(); err != nil {
		return err
	}
	if c.Dir == "" {
		dir, err := os.MkdirTemp("", "forebay-prove-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		c.Dir = dir
	} else if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return err
	}
	if c.Model != "" {
		return c.own(e, s)
	}
	lab := &prove.Lab{Dir: c.Dir, Setting: s, Progress: c.progress(e)}
	for range s.Replicas {
		p, err := prove.NewProxy(e.ctx)
		if err != nil {
			return err
		}
		defer func() { _ = p.Close() }()
		lab.Proxies = append(lab.Proxies, p)
	}
	path, err := s.Files(c.Dir, lab.Proxies)
	if err != nil {
		return err
	}
	done, err := c.experiments(e, path, lab)
	if err != nil {
		return err
	}
	return c.report(e, lab, done)
}

// own makes the experiments on an operator's own pool.
func (c *proveCmd) own(e *env, s prove.Setting) error {
	cred, err := c.credentials()
	if err != nil {
		return err
	}
	lab := &prove.Lab{URL: strings.TrimSuffix(cred.URL, "/"), Key: cred.APIKey, Dir: c.Dir, Setting: s, Model: c.Model, Progress: c.progress(e)}
	for _, ref := range c.Tenant {
		key, err := config.Secret(ref)
		if err != nil {
			return fmt.Errorf("--tenant: %w", err)
		}
		lab.Tenants = append(lab.Tenants, key)
	}
	done, err := lab.Run(e.ctx, c.Only)
	if err != nil {
		return err
	}
	return c.report(e, lab, done)
}

// report completes what was shown, writes it down, and fails when a claim does not hold.
func (c *proveCmd) report(e *env, lab *prove.Lab, done []*prove.Experiment) error {
	if err := lab.Finish(done); err != nil {
		return err
	}
	s := lab.Setting
	s.Seconds = s.Length.Seconds()
	report := prove.Report{At: time.Now(), Machine: fmt.Sprintf("%s/%s, %d processors", runtime.GOOS, runtime.GOARCH, runtime.NumCPU()), Version: version.String(), Setting: s}
	for _, x := range done {
		report.Experiments = append(report.Experiments, *x)
	}
	if err := c.write(e, &report); err != nil {
		return err
	}
	if !report.Holds() {
		return errNotProven
	}
	return nil
}

// experiments starts the server of the experiments, makes them, and stops it.
func (c *proveCmd) experiments(e *env, path string, lab *prove.Lab) ([]*prove.Experiment, error) {
	cfg, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Logging.Level = "error"
	log, _ := logger(&cfg, e)
	s, err := server.New(e.ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	var done []*prove.Experiment
	ctx, stop := context.WithCancel(e.ctx)
	defer stop()
	err = run(&env{ctx: ctx, Streams: e.Streams, parser: e.parser}, s, func(context.Context) {}, func(ctx context.Context) error {
		lab.URL, lab.Key = s.Credentials().URL, s.Credentials().APIKey
		var err error
		done, err = lab.Run(ctx, c.Only)
		stop()
		return err
	})
	if errors.Is(err, context.Canceled) && e.ctx.Err() == nil {
		err = nil
	}
	return done, err
}

// progress tells on standard error what is under way, and until when.
func (c *proveCmd) progress(e *env) func(string, time.Duration) {
	return func(what string, length time.Duration) {
		until := ""
		if length > 0 {
			until = " (until " + time.Now().Add(length).Format(time.TimeOnly) + ")"
		}
		_, _ = fmt.Fprintf(e.Err, "%s  %s%s\n", time.Now().Format(time.TimeOnly), what, until)
	}
}

// write writes the report and its plots into the folder, and prints it.
func (c *proveCmd) write(e *env, r *prove.Report) error {
	text, err := json.Marshal(r, jsontext.Multiline(true))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.Dir, "report.json"), text, 0o600); err != nil {
		return err
	}
	var md bytes.Buffer
	if err := r.Markdown(&md, plots(c.Dir, "")); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.Dir, "report.md"), md.Bytes(), 0o600); err != nil {
		return err
	}
	if c.JSON {
		md.Reset()
		_, _ = md.Write(append(text, '\n'))
	}
	if _, err := md.WriteTo(e.Out); err != nil || c.Write == "" {
		return err
	}
	return document(c.Write, r)
}

// plots returns what writes a plot into a folder of a document's, and names it as the document does.
func plots(dir, folder string) func(prove.Plot) (string, error) {
	return func(p prove.Plot) (string, error) {
		name := filepath.Join(folder, p.Name+".svg")
		return name, os.WriteFile(filepath.Join(dir, name), []byte(p.SVG()), 0o644) //nolint:gosec // a document's
	}
}

// The marks of a document between which results stand.
const (
	resultsBegin = "<!-- results: begin -->\n"
	resultsEnd   = "<!-- results: end -->\n"
)

// document writes results into a document, in place of the former ones, and the plots into a folder of its name.
func document(path string, r *prove.Report) error {
	old, err := os.ReadFile(path) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(old), resultsBegin)
	_, after, ended := strings.Cut(rest, resultsEnd)
	if !found || !ended {
		return fmt.Errorf("%s has no place for results: put the lines %q and %q into it", path, strings.TrimSpace(resultsBegin), strings.TrimSpace(resultsEnd))
	}
	dir, folder := filepath.Dir(path), strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil { //nolint:gosec // a document's
		return err
	}
	var md bytes.Buffer
	if err := r.Markdown(&md, plots(dir, folder)); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(before+resultsBegin+"\n"+md.String()+resultsEnd+after), 0o644) //nolint:gosec // a document
}
