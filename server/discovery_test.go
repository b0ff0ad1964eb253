package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"forebay/config"
	"forebay/engine"
	"forebay/engine/enginetest/fakeupstream"
)

// Each address of an engine's name is a replica that comes and goes with its record.
func TestReplicasFollowTheName(t *testing.T) {
	one := fakeupstream.New(t, fakeupstream.OpenAI)
	u, err := url.Parse(one.URL)
	if err != nil {
		t.Fatal(err)
	}
	two := fakeupstream.Listen(t, fakeupstream.OpenAI, "127.0.0.2:"+u.Port())
	c := testConfig(t)
	c.Engines["pods"] = config.Engine{Type: "openai", URL: "http://localhost:" + u.Port() + "/v1", Resolve: "dns"}
	c.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "pods"}, {Engine: "sim", Standby: true}}}
	s, err := New(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	look := func(found []netip.Addr, err error) bool {
		s.discovery.lookup = func(context.Context, string) ([]netip.Addr, error) { return found, err }
		now = now.Add(time.Minute)
		changed := s.discovery.refresh(t.Context(), now)
		if err := s.loadKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
		return changed
	}
	first, second := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	both := []netip.Addr{first, second, netip.MustParseAddr("::1")}
	look(both, nil)
	start(t, s)
	served := func(calls int) map[string]int {
		t.Helper()
		before := map[string]int{"one": len(one.Calls()), "two": len(two.Calls())}
		for i := range calls {
			// different prompts: the same one goes where its prefix is cached
			if got := post(t, s, chatPath, fmt.Sprintf(`{"model":"%s","messages":[{"role":"user","content":"hi %d"}]}`, haiku, i)); got.status != 200 {
				t.Fatalf("%d %s", got.status, got.body)
			}
		}
		out := map[string]int{}
		for name, n := range map[string]int{"one": len(one.Calls()), "two": len(two.Calls())} {
			if n -= before[name]; n > 0 {
				out[name] = n
			}
		}
		return out
	}
	// A call that runs on one replica sends the next one to the other.
	arrived, release := make(chan string), make(chan struct{})
	for name, up := range map[string]*fakeupstream.Server{"one": one, "two": two} {
		up.Handle(func(c *fakeupstream.Call) {
			arrived <- name
			<-release
			c.Respond(200, nil, c.Protocol.Whole([]string{"Hello"}, fakeupstream.SaidUsage))
		})
	}
	var running sync.WaitGroup
	for _, prompt := range []string{"Hello", "Bye"} {
		running.Go(func() { s.ask(t.Context(), haiku, prompt) })
	}
	if a, b := <-arrived, <-arrived; a == b {
		t.Errorf("two calls at once went to %s", a)
	}
	close(release)
	running.Wait()
	one.Say("Hello")
	two.Say("Hello")
	if host := two.Calls()[0].Header.Get("Host"); host != "" && host != "localhost:"+u.Port() {
		t.Errorf("the replica was called %q", host)
	}
	var names []string
	for _, h := range s.dispatch.Health() {
		names = append(names, h.Name)
	}
	want := []string{"pods@127.0.0.1:" + u.Port(), "pods@127.0.0.2:" + u.Port()}
	if !slices.Equal(names[:2], want) {
		t.Errorf("engines %v, want %v first", names, want)
	}
	if look(both, nil) {
		t.Error("the same addresses are a change")
	}
	if !look([]netip.Addr{second}, nil) {
		t.Error("a vanished record is no change")
	}
	if got := served(4); !maps.Equal(got, map[string]int{"two": 4}) {
		t.Errorf("calls went to %v after a replica had gone", got)
	}
	if look(nil, &net.DNSError{Err: "server misbehaving", IsTemporary: true}) || !maps.Equal(served(2), map[string]int{"two": 2}) {
		t.Error("a resolver that fails changed the replicas")
	}
	if !look(nil, &net.DNSError{Err: "no such host", IsNotFound: true}) {
		t.Error("a name without records is no change")
	}
	if got := served(2); len(got) != 0 {
		t.Errorf("calls went to %v, want the standby", got)
	}
	if !look([]netip.Addr{first}, nil) || !maps.Equal(served(2), map[string]int{"one": 2}) {
		t.Error("a replica that came back takes no calls")
	}
}

// ask makes a call whose answer does not matter.
func (s *Server) ask(ctx context.Context, model, prompt string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.creds.URL+chatPath, strings.NewReader(`{"model":"`+model+`","messages":[{"role":"user","content":"`+prompt+`"}]}`))
	if err != nil {
		return
	}
	req.Header.Set("Authorization", "Bearer "+s.creds.APIKey)
	if res, err := http.DefaultClient.Do(req); err == nil {
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
}

// The client of an address that has gone is closed when no call can run on it any more.
func TestClientsOfGoneReplicasAreClosed(t *testing.T) {
	c := testConfig(t)
	c.Engines["pods"] = config.Engine{Type: "openai", URL: "http://localhost:9/v1", Resolve: "dns"}
	s, err := New(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	n := s.discovery.names["pods"]
	s.discovery.lookup = func(context.Context, string) ([]netip.Addr, error) { return nil, nil }
	now := time.Now()
	s.discovery.refresh(t.Context(), now)
	if len(n.replicas) != 1 {
		t.Fatalf("%d clients are kept, want that of localhost", len(n.replicas))
	}
	s.discovery.refresh(t.Context(), now.Add(defaultTotal))
	if len(n.replicas) != 1 {
		t.Error("a client was closed on which a call may run")
	}
	s.discovery.refresh(t.Context(), now.Add(defaultTotal+time.Second))
	if len(n.replicas) != 0 {
		t.Error("a client is kept for ever")
	}
}

// Addresses that cannot be applied, because the store is busy, are applied later; nothing else ends for it.
func TestAddressesAreAppliedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDiscovery(slog.New(slog.DiscardHandler))
		d.lookup = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
		d.names = map[string]*name{"pods": {host: "pods", replicas: map[netip.Addr]*address{}, open: func(netip.Addr) (engine.Client, error) { return nil, nil }}} //nolint:nilnil // nobody calls it
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		applied := 0
		err := d.run(ctx, func(context.Context) error {
			if applied++; applied < 3 {
				return errors.New("busy")
			}
			cancel()
			return nil
		})
		if err != nil || applied != 3 {
			t.Errorf("applied %d times, %v", applied, err)
		}
	})
}
