package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"forebay/meter"
	"forebay/server"
	"forebay/wire/sse"

	"github.com/go-json-experiment/json"
)

// answered is what a chat call showed.
type answered struct {
	RequestID  string
	Text       string
	Input      int64
	Output     int64
	FirstToken time.Duration
	Total      time.Duration
}

type chatChunk struct {
	Choices []struct {
		Delta struct {
			Content string `json:"content"`
		} `json:"delta"`
	} `json:"choices"`
	Usage *struct {
		Prompt     int64 `json:"prompt_tokens"`
		Completion int64 `json:"completion_tokens"`
	} `json:"usage"`
	Error *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// message is one turn of a conversation.
type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// chat asks a model one thing through the OpenAI API and writes the answer as it comes.
func chat(ctx context.Context, c server.Credentials, model, system, prompt string, out io.Writer) (*answered, error) {
	return converse(ctx, c, model, append(opening(system), message{"user", prompt}), out)
}

// opening is a conversation before its first turn.
func opening(system string) []message {
	if system == "" {
		return nil
	}
	return []message{{"system", system}}
}

// converse asks a model for the next turn of a conversation and writes it as it comes.
func converse(ctx context.Context, c server.Credentials, model string, turns []message, out io.Writer) (*answered, error) {
	body, err := json.Marshal(map[string]any{
		"model": model, "stream": true, "messages": turns, "stream_options": map[string]bool{"include_usage": true},
	})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.APIKey)
	req.Header.Set("Content-Type", "application/json")
	start := time.Now()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no server answers at %s (is `forebay up` running?): %w", c.URL, err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		return nil, remoteError(res.Status, b)
	}
	a := &answered{RequestID: res.Header.Get("X-Request-Id")}
	return a, a.read(sse.NewReader(res.Body), start, out)
}

func (a *answered) read(r *sse.Reader, start time.Time, out io.Writer) error {
	for {
		ev, err := r.Next()
		if errors.Is(err, io.EOF) || string(ev.Data) == "[DONE]" {
			a.Total = time.Since(start)
			return nil
		}
		if err != nil {
			return err
		}
		var ch chatChunk
		if err := json.Unmarshal(ev.Data, &ch); err != nil {
			return err
		}
		if ch.Error != nil {
			return errors.New(ch.Error.Message)
		}
		if ch.Usage != nil {
			a.Input, a.Output = ch.Usage.Prompt, ch.Usage.Completion
		}
		for _, choice := range ch.Choices {
			if choice.Delta.Content != "" && a.FirstToken == 0 {
				a.FirstToken = time.Since(start)
			}
			a.Text += choice.Delta.Content
			if _, err := io.WriteString(out, choice.Delta.Content); err != nil {
				return err
			}
		}
	}
}

// firstCall sends one call through the front door and shows what it cost.
func firstCall(ctx context.Context, e *env, s *server.Server) error {
	const prompt = "Hello! What are you?"
	model := s.Example(demoModel)
	_, _ = fmt.Fprintf(e.Out, "A first call to %s: %s\n> ", model, prompt)
	a, err := chat(ctx, s.Credentials(), model, "", prompt, e.Out)
	if err != nil {
		_, _ = fmt.Fprintf(e.Out, "\nThe call failed: %v\n", err)
		return nil // the server goes on; its engine may be starting
	}
	_, _ = fmt.Fprintf(e.Out, "\n  %s\n\n", summary(ctx, s.Credentials(), a))
	return nil
}

// summary is one line of tokens, price and latency, the price from the ledger.
func summary(ctx context.Context, c server.Credentials, a *answered) string {
	line := fmt.Sprintf("%d tokens in, %d out; first token after %s, %s in all", a.Input, a.Output, a.FirstToken.Round(time.Millisecond), a.Total.Round(time.Millisecond))
	r := remote{Server: c.URL, Key: c.APIKey}
	var ex meter.Explanation
	if err := r.call(ctx, http.MethodGet, "explain/"+a.RequestID, nil, &ex); err != nil {
		return line
	}
	if ex.Charge == nil {
		return line + "; price unknown"
	}
	return line + "; " + meter.FormatMoney(ex.Charge.Total, ex.Charge.Currency)
}

type invokeCmd struct {
	remote
	Model  string   `help:"Model to ask." default:"anthropic.claude-3-haiku-20240307-v1:0" short:"m"`
	System string   `help:"System prompt."`
	File   string   `help:"Read the prompt from a file; - is standard input." short:"f" placeholder:"FILE"`
	Chat   bool     `help:"Go on with the conversation: every further line of standard input is a turn, until ctrl-D or /bye. A terminal without a prompt does so too."`
	Prompt []string `arg:"" optional:"" help:"The prompt."`
}

// Run implements the verb.
func (c *invokeCmd) Run(e *env) error {
	prompt := strings.Join(c.Prompt, " ")
	if c.Chat && (c.JSON || c.File == "-") {
		return errors.New("--chat goes with neither --json nor a prompt from standard input")
	}
	if c.Chat || e.Terminal && !c.JSON && c.File == "" && prompt == "" {
		return c.talk(e, prompt)
	}
	prompt, err := c.asked(e, prompt)
	if err != nil {
		return err
	}
	cred, err := c.credentials()
	if err != nil {
		return err
	}
	out := e.Out
	if c.JSON {
		out = io.Discard
	}
	a, err := chat(e.ctx, cred, c.Model, c.System, prompt, out)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e, map[string]any{
			"requestId": a.RequestID, "model": c.Model, "text": a.Text, "inputTokens": a.Input, "outputTokens": a.Output,
			"firstTokenMs": a.FirstToken.Milliseconds(), "totalMs": a.Total.Milliseconds(),
		})
	}
	_, err = fmt.Fprintf(e.Out, "\n\n%s\n", summary(e.ctx, cred, a))
	return err
}

// asked is the prompt: that of the command line, of a file, or of standard input.
func (c *invokeCmd) asked(e *env, prompt string) (string, error) {
	switch {
	case c.File == "-" || c.File == "" && prompt == "":
		b, err := io.ReadAll(io.LimitReader(e.In, maxPrompt))
		return string(b), err
	case c.File != "":
		b, err := os.ReadFile(c.File)
		return string(b), err
	default:
		return prompt, nil
	}
}

// maxPrompt is the longest prompt that is read, in bytes: the largest body that a server takes as it comes.
const maxPrompt = 25 << 20

// talk holds a conversation, whose first turn may be given: every line of standard input is a turn, until its end or
// /bye. A turn that fails is told, and is no part of the conversation; without a person to try again it ends it.
func (c *invokeCmd) talk(e *env, first string) error {
	if c.File != "" {
		b, err := os.ReadFile(c.File)
		if err != nil {
			return err
		}
		first = string(b)
	}
	cred, err := c.credentials()
	if err != nil {
		return err
	}
	turns := opening(c.System)
	lines := bufio.NewScanner(e.In)
	lines.Buffer(nil, maxPrompt)
	if _, err := fmt.Fprintf(e.Out, "%s; ctrl-D or /bye ends.\n", c.Model); err != nil {
		return err
	}
	for said := first; ; said = "" {
		if said == "" {
			_, _ = io.WriteString(e.Out, "> ")
			if !lines.Scan() {
				_, _ = fmt.Fprintln(e.Out)
				return lines.Err()
			}
			said = strings.TrimSpace(lines.Text())
		}
		switch said {
		case "":
			continue
		case "/bye":
			return nil
		}
		asked := slices.Concat(turns, []message{{"user", said}})
		a, err := converse(e.ctx, cred, c.Model, asked, e.Out)
		switch {
		case err != nil && (e.ctx.Err() != nil || !e.Terminal):
			return err
		case err != nil:
			_, _ = fmt.Fprintf(e.Err, "\nforebay: %v\n", err)
			continue
		}
		turns = slices.Concat(asked, []message{{"assistant", a.Text}})
		if _, err := fmt.Fprintf(e.Out, "\n  %s\n", summary(e.ctx, cred, a)); err != nil {
			return err
		}
	}
}
