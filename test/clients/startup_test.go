package clients

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"forebay/internal/llamatest"
)

// BenchmarkFirstByte measures the start-up of a call on demand: the time to the first byte of a
// streamed answer of a real engine, asked directly and through Forebay in turn, one call at a time, and how long
// Forebay itself takes from its start until it answers. It is where the figures of docs/modes.md come from.
func BenchmarkFirstByte(b *testing.B) {
	engine := llamatest.Start(b)
	bin, err := build()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	conf := filepath.Join(dir, "forebay.yaml")
	text := "server: {tls_listen: \"\"}\nengines:\n  llama: {type: openai, flavour: llama-server, url: " + engine + "/v1}\nmodels:\n  " + haiku + ": {engines: [{engine: llama, model: tiny}]}\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	cmd, cred := boot(b, bin, conf, filepath.Join(dir, "data"))
	started := time.Since(began)
	defer stop(b, cmd)
	ask := func(url, key string) time.Duration {
		body := `{"model":"` + haiku + `","stream":true,"temperature":0,"max_tokens":8,"messages":[{"role":"user","content":"Hello"}]}`
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url+"/v1/chat/completions", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		sent := time.Now()
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		lines := bufio.NewReader(res.Body)
		if _, err := lines.ReadString('\n'); err != nil || res.StatusCode != http.StatusOK {
			b.Fatal(res.Status, err)
		}
		took := time.Since(sent)
		if _, err := io.Copy(io.Discard, lines); err != nil {
			b.Fatal(err)
		}
		return took
	}
	var direct, through []time.Duration
	for range 20 { // connections, and the engine's own caches
		ask(engine, "none")
		ask(cred.URL, cred.APIKey)
	}
	for b.Loop() {
		direct = append(direct, ask(engine, "none"))
		through = append(through, ask(cred.URL, cred.APIKey))
	}
	slices.Sort(direct)
	slices.Sort(through)
	at := func(d []time.Duration, percent int) float64 {
		return float64(d[(len(d)-1)*percent/100].Microseconds()) / 1000
	}
	b.ReportMetric(at(direct, 50), "engine-p50-ms")
	b.ReportMetric(at(direct, 99), "engine-p99-ms")
	b.ReportMetric(at(through, 50), "whole-p50-ms")
	b.ReportMetric(at(through, 99), "whole-p99-ms")
	b.ReportMetric(at(through, 50)-at(direct, 50), "added-p50-ms")
	b.ReportMetric(float64(started.Milliseconds()), "forebay-start-ms")
}

func stop(tb testing.TB, cmd *exec.Cmd) {
	tb.Helper()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		tb.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		tb.Error(err)
	}
}
