package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// Names of the targets.
const (
	direct = "direct"
	floor  = "go-rp-json"
	allOn  = "forebay"
	allOff = "forebay-off"
	// earlier is another build of Forebay with everything on, to compare a change with.
	earlier = "against"
)

const benchKey = "fb-bench-0123456789abcdefghijklmnopqrstuvwxyz"

// everyLimit is one of each kind, none of which is ever reached.
const everyLimit = ", limits: {requests_per_minute: 1000000000, tokens_per_minute: 1000000000000, tokens_per_day: 1000000000000000, " +
	"spend_per_day: 1000000000.00 USD, spend_per_month: 1000000000.00 USD}"

// start starts the mock and the targets before it, and returns those that were started.
func start(ctx context.Context, o suiteOptions, dir string) ([]*target, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.Setenv("BENCH_KEY", benchKey); err != nil {
		return nil, err
	}
	mockAt, floorAt, onAt, offAt := freeAddr(), freeAddr(), freeAddr(), freeAddr()
	chat := func(addr string) string { return "http://" + addr + "/v1/chat/completions" }
	mock := &target{name: direct, args: []string{self, "mock", "-listen", mockAt}, url: chat(mockAt), ready: "http://" + mockAt + "/health"}
	bare := &target{name: floor, args: []string{self, "floor", "-listen", floorAt, "-to", "http://" + mockAt}, url: chat(floorAt), ready: "http://" + floorAt + "/health"}
	on, err := forebay(o, dir, allOn, onAt, mockAt)
	if err != nil {
		return nil, err
	}
	off, err := forebay(o, dir, allOff, offAt, mockAt)
	if err != nil {
		return nil, err
	}
	targets := []*target{mock, bare, on, off}
	if o.against != "" {
		was := o
		was.forebay, was.profiles = o.against, ""
		before, err := forebay(was, dir, earlier, freeAddr(), mockAt)
		if err != nil {
			return nil, err
		}
		targets = append(targets, before)
	}
	for i, t := range targets {
		if err := t.start(ctx); err != nil {
			return targets[:i], err
		}
	}
	return targets, nil
}

// forebay describes a Forebay with everything on, or with everything that governs off.
func forebay(o suiteOptions, dir, name, addr, mockAt string) (*target, error) {
	price, limits := ", price: {input: 0.25 USD, output: 1.25 USD}", everyLimit
	if name == allOff {
		price, limits = "", ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "server: {tls_listen: \"\"}\nengines:\n  mock: {type: openai, url: \"http://%s/v1\", slots: 8192}\nmodels:\n", mockAt)
	seen := map[string]bool{}
	for _, p := range phases(o.length) {
		if !seen[p.Model] {
			seen[p.Model] = true
			fmt.Fprintf(&b, "  %s: {engines: [{engine: mock, model: %s}]%s}\n", p.Model, p.Model, price)
		}
	}
	fmt.Fprintf(&b, "keys:\n  - {name: bench, kind: api-key, secret: env:BENCH_KEY%s}\n", limits)
	path := filepath.Join(dir, name+".yaml")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		return nil, err
	}
	t := &target{
		name: name, url: "http://" + addr + "/v1/chat/completions", ready: "http://" + addr + "/readyz",
		args: []string{o.forebay, "up", "--quiet", "--config", path, "--listen", addr, "--data-dir", filepath.Join(dir, name)},
	}
	if name == allOff {
		t.args = append(t.args, "--no-auth", "--no-ledger")
	}
	if o.profiles != "" {
		t.pprof = freeAddr()
		t.args = append(t.args, "--pprof", t.pprof)
	}
	return t, nil
}

func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	if err != nil {
		return "127.0.0.1:0"
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
