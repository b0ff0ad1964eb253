package simulated

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"

	"forebay/fault"
	"forebay/infer"
)

// plan is the whole answer of a call, known before it begins.
type plan struct {
	answers []answer // one for each choice
	slow    int64    // steps per token
	hang    bool
	failAt  int // tokens of a choice before a failure; -1 for none
	status  int // of the failure
}

// answer is what one choice says.
type answer struct {
	parts   []part // at least one
	stop    infer.StopReason
	stopTxt string
}

// part is one block of an answer: text, reasoning, or a tool call whose input the tokens are.
type part struct {
	block  infer.Block
	tokens []string
}

// tokens is how many tokens the answer has.
func (a *answer) tokens() (n int) {
	for i := range a.parts {
		n += len(a.parts[i].tokens)
	}
	return n
}

// content are the blocks of the whole answer.
func (a *answer) content() []infer.Block {
	var out []infer.Block
	for i := range a.parts {
		b := a.parts[i].block
		text := strings.Join(a.parts[i].tokens, "")
		if b.Kind == infer.BlockToolUse {
			b.ToolInput = []byte(text)
		} else {
			b.Text = text
		}
		out = append(out, b)
	}
	return out
}

const (
	minWords, maxWords = 20, 60 // of an answer that is not told how long to be, after what it must say
	maxChoices         = 128    // as OpenAI's API has it
	maxAsked           = 1 << 20
)

// words fill the answer up to its length.
var words = strings.Fields(`water gathers behind the weir and waits while the gates stand half open in the morning
the mill race carries what was promised first and spills the rest over the crest so that no wheel runs dry
each turn of the wheel is counted and the count is kept in a plain book beside the sluice`)

func (e *Engine) plan(req *infer.Request) (*plan, error) {
	c := req.Chat
	p := &plan{slow: 1, failAt: -1}
	n := int64(1)
	if c.N != nil {
		n = *c.N
	}
	if n < 1 || n > maxChoices {
		return nil, refusal(http.StatusBadRequest, fmt.Sprintf("n must be between 1 and %d.", maxChoices))
	}
	said := script{failAt: -1}
	prompt := lastPrompt(c)
	if e.opts.Directives {
		said = directives(prompt)
	}
	p.slow, p.hang, p.failAt, p.status = max(said.slow, 1), said.hang, said.failAt, said.status
	if p.status != 0 && p.failAt < 0 {
		return nil, refusal(p.status, told)
	}
	for i := range n {
		p.answers = append(p.answers, e.answer(&said, req, prompt, i))
	}
	return p, nil
}

// answer composes one choice.
func (e *Engine) answer(said *script, req *infer.Request, prompt string, choice int64) answer {
	a := answer{}
	if said.think != "" {
		a.parts = append(a.parts, part{infer.Block{Kind: infer.BlockThinking}, split(said.think)})
	}
	if len(said.tools) > 0 && len(req.Chat.Tools) > 0 {
		if said.text != "" {
			a.parts = append(a.parts, part{tokens: split(said.text)})
		}
		for i, t := range said.tools {
			id := fmt.Sprintf("tooluse_%016x", e.hash(prompt, choice)+uint64(i))
			a.parts = append(a.parts, part{infer.Block{Kind: infer.BlockToolUse, ToolID: id, ToolName: t.name}, split(t.input)})
		}
		a.stop = infer.StopToolUse
		return a
	}
	text := said.text
	if text == "" {
		seed := e.opts.Seed
		if s := req.Chat.Seed; s != nil {
			seed += uint64(*s)
		}
		text = e.compose(rand.New(rand.NewPCG(e.hash(prompt, choice), seed)), req.UpstreamModel, said.tokens) //nolint:gosec // text, not secrets
	}
	a.end(text, req.Chat)
	return a
}

// compose writes a text of so many tokens, or of some.
func (e *Engine) compose(r *rand.Rand, model string, tokens int64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "This answer is simulated: no real model stands behind %s yet.", model)
	if e.opts.Hint != "" {
		b.WriteString(" To put one there, run: " + strings.ReplaceAll(e.opts.Hint, "MODEL", model) + " .")
	}
	at := r.IntN(len(words))
	for n := minWords + r.IntN(maxWords-minWords); n > 0 || int64(b.Len()) < tokens*tokenBytes; n-- {
		b.WriteString(" " + words[at%len(words)])
		at++
	}
	b.WriteString(".")
	if tokens > 0 {
		return strings.Join(split(b.String())[:tokens], "")
	}
	return b.String()
}

// end adds the text, as far as stop sequences and the bound on tokens let it come.
func (a *answer) end(text string, c *infer.Chat) {
	a.stop = infer.StopEndTurn
	at := len(text)
	for _, s := range c.Stop {
		if i := strings.Index(text, s); s != "" && i >= 0 && i < at {
			at, a.stop, a.stopTxt = i, infer.StopSequence, s
		}
	}
	if tokens := split(text[:at]); len(tokens) > 0 || len(a.parts) == 0 {
		a.parts = append(a.parts, part{tokens: tokens})
	}
	if c.MaxTokens == nil || int64(a.tokens()) <= max(*c.MaxTokens, 0) {
		return
	}
	a.stop, a.stopTxt = infer.StopMaxTokens, ""
	left := int(max(*c.MaxTokens, 0)) // less than the answer has
	for i := range a.parts {
		p := &a.parts[i]
		if left <= len(p.tokens) {
			p.tokens = p.tokens[:left]
			a.parts = a.parts[:i+1]
			return
		}
		left -= len(p.tokens)
	}
}

// lastPrompt is the text of the last message, or the prompt.
func lastPrompt(c *infer.Chat) string {
	if c.Prompt != nil {
		return *c.Prompt
	}
	if len(c.Messages) == 0 {
		return ""
	}
	var b strings.Builder
	for _, blk := range c.Messages[len(c.Messages)-1].Content {
		if blk.Kind == infer.BlockText {
			b.WriteString(blk.Text)
		}
	}
	return b.String()
}

// script is what the directives of a prompt ask for.
type script struct {
	text   string
	think  string
	tokens int64
	tools  []toolCall
	hang   bool
	slow   int64
	status int
	failAt int // -1: before the first byte
}

// toolCall is a call that the answer makes.
type toolCall struct{ name, input string }

// directives reads those of a prompt; what is not one is left alone.
func directives(prompt string) script {
	s := script{failAt: -1}
	for rest := prompt; ; {
		_, after, ok := strings.Cut(rest, "[[")
		if !ok {
			return s
		}
		body, tail, ok := strings.Cut(after, "]]")
		if !ok {
			return s
		}
		rest = tail
		name, arg, _ := strings.Cut(body, ":")
		switch name {
		case "echo":
			s.text = prompt
		case "text":
			s.text = arg
		case "tokens":
			s.tokens = number(arg)
		case "think":
			s.think = arg
		case "tool":
			tool, input, _ := strings.Cut(arg, " ")
			s.tools = append(s.tools, toolCall{tool, cmp.Or(strings.TrimSpace(input), "{}")})
		case "hang":
			s.hang = true
		case "slow":
			s.slow = number(arg)
		case "fail":
			code, after, later := strings.Cut(arg, " after ")
			if s.status = int(number(code)); s.status == 0 {
				s.status = http.StatusInternalServerError
			}
			if later {
				s.failAt = int(number(after))
			}
		}
	}
}

// number reads a count; what is none is zero.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return min(max(n, 0), maxAsked)
}

const told = "The simulated model failed as it was told to."

// refusal is the engine's answer with a status before the head, classified as the port demands.
func refusal(status int, message string) error {
	kind := fault.ModelFailed
	switch {
	case status == http.StatusTooManyRequests:
		kind = fault.Overloaded
	case status >= http.StatusInternalServerError:
		kind = fault.Unavailable
	}
	return failed(kind, status, message)
}

func failed(kind fault.Kind, status int, message string) error {
	f := fault.New(kind, message)
	f.OriginalStatus, f.OriginalMessage = status, message
	return f
}

// canceled is the error of a call whose context has ended.
func canceled(ctx context.Context) error { return fault.Wrap(fault.Canceled, context.Cause(ctx), "") }
