package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"forebay/calibrate"
	"forebay/server"
	"forebay/wire/sse"

	"github.com/go-json-experiment/json"
)

// questioner asks a model for answers whose tokens are timed.
type questioner struct {
	cred    server.Credentials
	model   string
	client  *http.Client
	perWord float64 // tokens
}

// The most connections that stay open between calls.
const keptConnections = 1024

func newQuestioner(cred server.Credentials, model string) *questioner {
	return &questioner{cred: cred, model: model, perWord: 1, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: keptConnections}}}
}

// learn finds how many tokens a word has.
func (q *questioner) learn(ctx context.Context) error {
	const words = 200
	a, err := q.ask(ctx, calibrate.Question{Prompt: words, Output: 2})
	if err != nil {
		return err
	}
	q.perWord = max(float64(a.Input)/words, 0.1)
	return nil
}

// stock are words of prompts: common ones, so that tokenizers have one token for most.
var stock = strings.Fields("water river stone light paper house green table music summer winter garden window story bridge forest mountain island letter morning")

// words makes a prompt of about so many tokens that begins like no other.
func (q *questioner) words(x calibrate.Question) string {
	r := rand.New(rand.NewPCG(x.Number, uint64(time.Now().UnixNano()))) //nolint:gosec // words, not secrets
	var b strings.Builder
	for n := int(float64(x.Prompt)/q.perWord) - 8; n > 0; n-- {
		b.WriteString(stock[r.IntN(len(stock))] + " ")
	}
	b.WriteString("\nContinue this list; do not stop.")
	return b.String()
}

// timedChunk is what is read of a piece of an answer.
type timedChunk struct {
	Choices []struct {
		Delta struct {
			Content   string `json:"content"`
			Reasoning string `json:"reasoning_content"`
		} `json:"delta"`
	} `json:"choices"`
	Usage *struct {
		Prompt     int64 `json:"prompt_tokens"`
		Completion int64 `json:"completion_tokens"`
		Details    *struct {
			Cached int64 `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
	} `json:"usage"`
	Error *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// ask makes one call.
func (q *questioner) ask(ctx context.Context, x calibrate.Question) (*calibrate.Answer, error) {
	body, err := json.Marshal(map[string]any{
		"model": q.model, "stream": true, "max_tokens": x.Output, "stream_options": map[string]bool{"include_usage": true},
		"messages": []map[string]string{{"role": "user", "content": q.words(x)}},
	})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, q.cred.URL+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if q.cred.APIKey != "" {
		req.Header.Set("Authorization", "Bearer "+q.cred.APIKey)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header["Idempotency-Key"] = nil // not sent: it lets net/http try again where the engine has closed a connection that was idle
	a := &calibrate.Answer{Sent: time.Now()}
	res, err := q.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		return nil, remoteError(res.Status, b)
	}
	return a, readTimed(sse.NewReader(res.Body), a)
}

// readTimed reads an answer to its end.
func readTimed(r *sse.Reader, a *calibrate.Answer) error {
	for {
		ev, err := r.Next()
		if errors.Is(err, io.EOF) || string(ev.Data) == "[DONE]" {
			if a.Output == 0 {
				return errors.New("the engine does not tell how many tokens it read and produced")
			}
			return nil
		}
		if err != nil {
			return err
		}
		now := time.Now()
		var ch timedChunk
		if err := json.Unmarshal(ev.Data, &ch); err != nil {
			return fmt.Errorf("a piece of an answer: %w", err)
		}
		if ch.Error != nil {
			return errors.New(ch.Error.Message)
		}
		if ch.Usage != nil {
			a.Input, a.Output = ch.Usage.Prompt, ch.Usage.Completion
			if ch.Usage.Details != nil {
				a.Cached = ch.Usage.Details.Cached
			}
		}
		for _, choice := range ch.Choices {
			if choice.Delta.Content+choice.Delta.Reasoning != "" {
				a.Pieces = append(a.Pieces, now)
			}
		}
	}
}
