package server

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"forebay/capacity"
	"forebay/config"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/meter"
)

// A stop takes no new calls, lets those under way finish within the drain time, cuts off the rest, and
// leaves a row for each.
func TestDrain(t *testing.T) {
	t.Run("a call that ends in time", func(t *testing.T) { drain(t, 30*time.Second, true) })
	t.Run("a call that does not", func(t *testing.T) { drain(t, 10*time.Millisecond, false) })
}

func drain(t *testing.T, patience time.Duration, ends bool) {
	up := fakeupstream.New(t, fakeupstream.OpenAI)
	release, gone := make(chan struct{}), make(chan struct{})
	up.Handle(func(c *fakeupstream.Call) {
		c.Start()
		for i, p := range c.Protocol.Stream([]string{"one", " two"}, fakeupstream.SaidUsage) {
			c.Send(p)
			if i == 1 {
				select {
				case <-release:
				case <-c.Gone():
					close(gone)
					return
				}
			}
		}
		c.End()
	})
	c := testConfig(t)
	c.Server.Drain = patience
	c.Recording.Dir = t.TempDir()
	c.Engines["up"] = config.Engine{Type: "openai", URL: up.URL}
	c.Models[haiku] = config.Model{Engines: []config.Binding{{Engine: "up"}}}
	s, err := New(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		http.DefaultClient.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	stopped := make(chan error, 1)
	go func() { stopped <- s.Run(ctx) }()
	body := startStream(t, s)
	defer func() { _ = body.Close() }()
	lines := bufio.NewReader(body)
	if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, "data: ") {
		t.Fatalf("%q %v", line, err)
	}
	stop()
	for s.ready() == nil { // the listeners close right after
		<-time.After(time.Millisecond)
	}
	if ends {
		refusedNow(t, s)
		close(release)
	} else {
		<-gone // the engine is stopped with the call
	}
	rest, err := io.ReadAll(lines)
	if whole := err == nil && strings.HasSuffix(string(rest), "data: [DONE]\n\n"); whole != ends {
		t.Errorf("the rest of the answer: %v %s", err, rest)
	}
	if err := <-stopped; err != nil {
		t.Errorf("run: %v", err)
	}
	want := meter.OutcomeOK
	if !ends {
		want = meter.OutcomeCanceled
	}
	if rows := usage(t, s, "outcome"); len(rows) != 1 || rows[0].Group[0] != want {
		t.Errorf("%+v, want one call %s", rows, want)
	}
	if count, _ := replayed(t, c.Recording.Dir); count[capacity.EventArrive] != 1 || count[capacity.EventSettle] != 1 {
		t.Errorf("the recording ends before the calls do: %v", count)
	}
}

// startStream begins a call that streams and returns its body.
func startStream(t *testing.T, s *Server) io.ReadCloser {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.creds.URL+chatPath,
		strings.NewReader(`{"model":"`+haiku+`","stream":true,"messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.creds.APIKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return res.Body
}

// refusedNow waits until nobody is let in any more.
func refusedNow(t *testing.T, s *Server) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.creds.URL+"/livez", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			return
		}
		_ = res.Body.Close()
	}
	t.Error("a server that stops goes on letting callers in")
}
