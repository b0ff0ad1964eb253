package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

type suiteOptions struct {
	write, forebay string
	rounds         int
	length         time.Duration
}

// phase is a load with the figure that is read from it.
type phase struct {
	load
	figure string
	unit   string
	read   func(o *outcome, cpu time.Duration, rss int64) float64
}

func phases(d time.Duration) []phase {
	return []phase{
		{
			load{Name: "throughput", Model: "mock-0ms", Conns: 64, BodyKB: 1, Duration: d}, "requests/s, 64 connections", "req/s",
			func(o *outcome, _ time.Duration, _ int64) float64 { return o.rps() },
		},
		{
			load{Name: "cpu", Model: "mock-0ms", Conns: 64, BodyKB: 1, Duration: d}, "processor time a request at that load", "us",
			func(o *outcome, cpu time.Duration, _ int64) float64 {
				return float64(cpu.Microseconds()) / float64(max(o.OK, 1))
			},
		},
		{
			load{Name: "latency", Model: "mock-0ms", Rate: 300, BodyKB: 1, Duration: d}, "p50 at 300 requests/s, open loop", "ms",
			func(o *outcome, _ time.Duration, _ int64) float64 { return o.quantile(.5).Seconds() * 1e3 },
		},
		{
			load{Name: "streams", Model: "mock-0ms", Stream: true, Conns: 16, BodyKB: 1, Duration: d}, "streamed chunks/s, 16 connections", "chunks/s",
			func(o *outcome, _ time.Duration, _ int64) float64 { return o.chunks() },
		},
		{
			load{Name: "bodies", Model: "mock-1500ms", Conns: 1500, Once: true, BodyKB: 150, Duration: d}, "resident memory with 1,500 bodies of 150 KB under way", "MB",
			func(_ *outcome, _ time.Duration, rss int64) float64 { return float64(rss) / (1 << 20) },
		},
		{
			load{Name: "idle-streams", Model: "mock-0ms-6000000us-2c", Stream: true, Conns: 5000, Once: true, BodyKB: 1, Duration: d}, "resident memory a stream, 5,000 held open", "KB",
			func(_ *outcome, _ time.Duration, rss int64) float64 { return float64(rss) / 1024 / 5000 },
		},
	}
}

// result is one figure of one target: a value a round.
type result struct {
	values []float64
	errors int64
	first  string
}

func (r *result) median() float64 {
	v := slices.Sorted(slices.Values(r.values))
	if len(v) == 0 {
		return 0
	}
	return v[len(v)/2]
}

func suite(ctx context.Context, o suiteOptions) error {
	dir, err := os.MkdirTemp("", "forebay-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	targets, err := start(ctx, o, dir)
	defer func() {
		for _, t := range targets {
			t.stop()
		}
	}()
	if err != nil {
		return err
	}
	table := map[string]map[string]*result{}
	for round := range o.rounds {
		for _, p := range phases(o.length) {
			for _, t := range targets {
				if p.Once && t.name == "direct" {
					continue // a figure of memory, which the mock is not asked for
				}
				fmt.Fprintf(os.Stderr, "round %d of %d: %-13s %s\n", round+1, o.rounds, p.Name, t.name)
				measure(ctx, table, p, t)
			}
		}
	}
	text := report(o, targets, table)
	fmt.Print(text)
	if o.write == "" {
		return nil
	}
	return rewrite(o.write, text)
}

func measure(ctx context.Context, table map[string]map[string]*result, p phase, t *target) {
	if table[p.Name] == nil {
		table[p.Name] = map[string]*result{}
	}
	r := table[p.Name][t.name]
	if r == nil {
		r = &result{}
		table[p.Name][t.name] = r
	}
	var out outcome
	before := t.cpu()
	rss := t.peakWhile(func() { out = p.run(ctx, t) })
	r.values = append(r.values, p.read(&out, t.cpu()-before, rss))
	r.errors += out.Errors
	if out.FirstError != "" {
		r.first = out.FirstError
	}
}

// start starts the mock and the targets before it.
func start(ctx context.Context, o suiteOptions, dir string) ([]*target, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	mockAt, floorAt, onAt, offAt := freeAddr(), freeAddr(), freeAddr(), freeAddr()
	const key = "fb-bench-0123456789abcdefghijklmnopqrstuvwxyz"
	if err := os.Setenv("BENCH_KEY", key); err != nil {
		return nil, err
	}
	conf := func(name, limits string) string {
		path := filepath.Join(dir, name+".yaml")
		models := ""
		for _, m := range []string{"mock-0ms", "mock-1500ms", "mock-0ms-6000000us-2c"} {
			models += "  " + m + ": {engines: [{engine: mock, model: " + m + "}], price: {input: 0.25 USD, output: 1.25 USD}}\n"
		}
		text := "server: {tls_listen: \"\"}\nengines:\n  mock: {type: openai, url: \"http://" + mockAt + "/v1\", slots: 8192}\nmodels:\n" + models +
			"keys:\n  - {name: bench, kind: api-key, secret: env:BENCH_KEY" + limits + "}\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return ""
		}
		return path
	}
	limits := ", limits: {requests_per_minute: 1000000000, tokens_per_minute: 1000000000000, tokens_per_day: 1000000000000000, spend_per_day: 1000000000.00 USD, spend_per_month: 1000000000.00 USD}"
	at := func(addr string) string { return "http://" + addr + "/v1/chat/completions" }
	up := func(name, addr, limits string) *target {
		return &target{
			name: name, key: key, url: at(addr), ready: "http://" + addr + "/readyz",
			args: []string{o.forebay, "up", "--quiet", "--config", conf(name, limits), "--listen", addr, "--data-dir", filepath.Join(dir, name)},
		}
	}
	targets := []*target{
		{name: "direct", key: key, args: []string{self, "mock", "-listen", mockAt}, url: at(mockAt), ready: "http://" + mockAt + "/health"},
		{name: "go-rp-json", key: key, args: []string{self, "floor", "-listen", floorAt, "-to", "http://" + mockAt}, url: at(floorAt), ready: "http://" + floorAt + "/health"},
		up("forebay", onAt, limits),
		up("forebay-no-limits", offAt, ""),
	}
	for i, t := range targets {
		t.ready = strings.Replace(t.ready, floorAt+"/health", mockAt+"/health", 1)
		if err := t.start(ctx); err != nil {
			return targets[:i], err
		}
	}
	return targets, nil
}

func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	if err != nil {
		return "127.0.0.1:0"
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// report is a Markdown table: a row a figure, a column a target, and the ratio to the floor.
func report(o suiteOptions, targets []*target, table map[string]map[string]*result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Medians of %d rounds of %s a phase, all targets in turn, %d processors, %s. Ratios are forebay / go-rp-json.\n\n| figure |", o.rounds, o.length, runtime.NumCPU(), runtime.Version())
	for _, t := range targets {
		fmt.Fprintf(&b, " %s |", t.name)
	}
	b.WriteString(" ratio | errors |\n|---|")
	b.WriteString(strings.Repeat("---|", len(targets)+2) + "\n")
	for _, p := range phases(o.length) {
		fmt.Fprintf(&b, "| %s, %s |", p.figure, p.unit)
		errs := int64(0)
		for _, t := range targets {
			r := table[p.Name][t.name]
			if r == nil {
				b.WriteString(" - |")
				continue
			}
			errs += r.errors
			if r.first != "" {
				fmt.Fprintf(os.Stderr, "%s %s: %s\n", p.Name, t.name, r.first)
			}
			fmt.Fprintf(&b, " %.4g |", r.median())
		}
		ratio := 0.0
		if f := table[p.Name]["go-rp-json"].median(); f > 0 {
			ratio = table[p.Name]["forebay"].median() / f
		}
		fmt.Fprintf(&b, " %.2f | %d |\n", ratio, errs)
	}
	return b.String()
}

// Marks around the tables in the document.
const (
	begin = "<!-- bench -->"
	end   = "<!-- /bench -->"
)

func rewrite(path, text string) error {
	doc, err := os.ReadFile(path) //nolint:gosec // the file the user names
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(doc), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no %s ... %s", path, begin, end)
	}
	return os.WriteFile(path, []byte(head+begin+"\n"+text+end+tail), 0o600)
}
