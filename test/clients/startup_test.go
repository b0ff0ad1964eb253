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
	"forebay/server"
)

// BenchmarkFirstByte measures the start-up of a call: the time to the first byte of a streamed answer of a real engine, asked
// directly, through Forebay on demand, and through Forebay on a purchase in turn, one call at a time, and how long
// Forebay itself takes from its start until it answers. It is where the figures of docs/modes.md come from.
func BenchmarkFirstByte(b *testing.B) {
	engine := llamatest.Start(b)
	bin, err := build()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	conf := filepath.Join(dir, "forebay.yaml")
	text := "server: {tls_listen: \"\"}\nengines:\n  llama: {type: openai, flavour: llama-server, url: " + engine + "/v1}\nmodels:\n  " + haiku + ": {unit: {input: 600000, output: 200000}, engines: [{engine: llama, model: tiny, units: 2}]}\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	cmd, cred := boot(b, bin, conf, filepath.Join(dir, "data"))
	started := time.Since(began)
	defer stop(b, cmd)
	buy(b, cred, "bought")
	ask := func(url, key, model string) time.Duration {
		body := `{"model":"` + model + `","stream":true,"temperature":0,"max_tokens":8,"messages":[{"role":"user","content":"Hello"}]}`
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
	var direct, through, bought []time.Duration
	for range 20 { // connections, and the engine's own caches
		ask(engine, "none", haiku)
		ask(cred.URL, cred.APIKey, haiku)
		ask(cred.URL, cred.APIKey, "bought")
	}
	for b.Loop() {
		direct = append(direct, ask(engine, "none", haiku))
		through = append(through, ask(cred.URL, cred.APIKey, haiku))
		bought = append(bought, ask(cred.URL, cred.APIKey, "bought"))
	}
	slices.Sort(direct)
	slices.Sort(through)
	slices.Sort(bought)
	at := func(d []time.Duration, percent int) float64 {
		return float64(d[(len(d)-1)*percent/100].Microseconds()) / 1000
	}
	b.ReportMetric(at(direct, 50), "engine-p50-ms")
	b.ReportMetric(at(direct, 99), "engine-p99-ms")
	b.ReportMetric(at(through, 50), "whole-p50-ms")
	b.ReportMetric(at(through, 99), "whole-p99-ms")
	b.ReportMetric(at(through, 50)-at(direct, 50), "added-p50-ms")
	b.ReportMetric(at(bought, 50), "bought-p50-ms")
	b.ReportMetric(at(bought, 99), "bought-p99-ms")
	b.ReportMetric(at(bought, 50)-at(direct, 50), "bought-added-p50-ms")
	b.ReportMetric(float64(started.Milliseconds()), "forebay-start-ms")
}

// buy orders a unit of the model and returns once it is in service.
func buy(tb testing.TB, cred *server.Credentials, name string) {
	tb.Helper()
	send := func(method, path, body string) string {
		req, err := http.NewRequestWithContext(tb.Context(), method, cred.URL+path, strings.NewReader(body))
		if err != nil {
			tb.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+cred.APIKey)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			tb.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		text, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode/100 != 2 {
			tb.Fatal(res.Status, string(text), err)
		}
		return string(text)
	}
	send(http.MethodPost, "/provisioned-model-throughput", `{"provisionedModelName":"`+name+`","modelId":"`+haiku+`","modelUnits":1}`)
	for {
		switch text := send(http.MethodGet, "/provisioned-model-throughput/"+name, ""); {
		case strings.Contains(text, `"InService"`):
			return
		case !strings.Contains(text, `"Creating"`):
			tb.Fatal(text)
		}
	}
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
