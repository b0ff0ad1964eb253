package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"forebay/config"
)

// BenchmarkChat is one call with every limit, over real sockets, with its client and engine
// in the same process: for profiles, not for figures (see docs/performance.md).
func BenchmarkChat(b *testing.B) {
	engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"`+
			strings.Repeat("water ", 150)+`"},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":180,"total_tokens":200}}`)
	}))
	defer engine.Close()
	c := config.Default()
	c.DataDir = b.TempDir()
	c.Server.Listen, c.Server.TLSListen = "127.0.0.1:0", ""
	c.Engines = map[string]config.Engine{"up": {Type: "openai", URL: engine.URL + "/v1"}}
	c.Models = map[string]config.Model{"m": {Engines: []config.Binding{{Engine: "up"}}, Price: &config.Price{Input: "1 USD", Output: "2 USD"}}}
	c.Account.Limits = config.Limits{RequestsPerMinute: 1 << 40, TokensPerMinute: 1 << 40, TokensPerDay: 1 << 50, SpendPerDay: "1000000000 USD", SpendPerMonth: "1000000000 USD"}
	s, err := New(b.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := errors.Join(<-done, s.Close()); err != nil {
			b.Error(err)
		}
	}()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	body := `{"model":"m","max_tokens":200,"messages":[{"role":"user","content":"` + strings.Repeat("tell me of the river ", 50) + `"}]}`
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			req, _ := http.NewRequestWithContext(context.Background(), http.MethodPost, s.creds.URL+"/v1/chat/completions", strings.NewReader(body))
			req.Header.Set("Authorization", "Bearer "+s.creds.APIKey)
			res, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				b.Errorf("status %d", res.StatusCode)
			}
		}
	})
	client.CloseIdleConnections()
}
