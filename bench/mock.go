package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// mockChunks is the number of content chunks of a mock stream.
const mockChunks = 100

var mockAnswer = buildAnswer(1024)

func buildAnswer(size int) []byte {
	const (
		head = `{"id":"chatcmpl-mock","object":"chat.completion","created":1700000000,"model":"mock","choices":[{"index":0,"message":{"role":"assistant","content":"`
		tail = `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":180,"total_tokens":200}}`
	)
	pad := max(size-len(head)-len(tail), 0)
	return []byte(head + strings.Repeat("water over the weir ", pad/20+1)[:pad] + tail)
}

// mockTiming reads the delay before the answer, the gap between chunks and their number
// out of a model name of the form mock-<n>ms[-<n>us[-<n>c]].
func mockTiming(model string) (delay, gap time.Duration, chunks int) {
	chunks = mockChunks
	for part := range strings.SplitSeq(model, "-") {
		switch {
		case strings.HasSuffix(part, "ms"):
			if n, err := strconv.Atoi(strings.TrimSuffix(part, "ms")); err == nil {
				delay = time.Duration(n) * time.Millisecond
			}
		case strings.HasSuffix(part, "us"):
			if n, err := strconv.Atoi(strings.TrimSuffix(part, "us")); err == nil {
				gap = time.Duration(n) * time.Microsecond
			}
		case strings.HasSuffix(part, "c"):
			if n, err := strconv.Atoi(strings.TrimSuffix(part, "c")); err == nil {
				chunks = n
			}
		}
	}
	return delay, gap, chunks
}

func mockHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", serveMock)
	for _, path := range []string{"GET /health", "GET /v1/models"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"object":"list","data":[{"id":"mock-0ms","object":"model"}]}`)
		})
	}
	return mux
}

func serveMock(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Model  string `json:"model"`
		Stream bool   `json:"stream"`
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(body, &req) != nil {
		http.Error(w, `{"error":{"message":"bad json"}}`, http.StatusBadRequest)
		return
	}
	delay, gap, chunks := mockTiming(req.Model)
	if !pause(r, delay) {
		return
	}
	if !req.Stream {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(mockAnswer)))
		_, _ = w.Write(mockAnswer)
		return
	}
	serveMockStream(w, r, gap, chunks)
}

func serveMockStream(w http.ResponseWriter, r *http.Request, gap time.Duration, chunks int) {
	w.Header().Set("Content-Type", "text/event-stream")
	rc := http.NewResponseController(w)
	for i := range chunks {
		if i > 0 && !pause(r, gap) {
			return
		}
		if _, err := fmt.Fprintf(w, `data: {"id":"chatcmpl-mock","object":"chat.completion.chunk","created":1700000000,"model":"mock","choices":[{"index":0,"delta":{"content":"tok%03d "},"finish_reason":null}]}`+"\n\n", i); err != nil {
			return
		}
		_ = rc.Flush()
	}
	_, _ = io.WriteString(w, `data: {"id":"chatcmpl-mock","object":"chat.completion.chunk","created":1700000000,"model":"mock","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":100,"total_tokens":120}}`+"\n\ndata: [DONE]\n\n")
	_ = rc.Flush()
}

// pause waits for d and reports whether the client is still there.
func pause(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}
