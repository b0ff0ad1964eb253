package simulated

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"forebay/fault"
	"forebay/infer"
)

// plan is the whole answer of a call, known before it begins.
type plan struct {
	tokens  []string
	tool    *infer.Block // instead of text
	stop    infer.StopReason
	stopTxt string
	slow    int64 // steps per token
	hang    bool
	failAt  int // tokens before a failure; -1 for none
	status  int
	choices int
}

// Bounds of the length of an answer that is not told how long to be.
const (
	minAnswer = 30
	maxAnswer = 90
)

// words fill the answer up to its length.
var words = strings.Fields(`water gathers behind the weir and waits while the gates stand half open in the morning
the mill race carries what was promised first and spills the rest over the crest so that no wheel runs dry
each turn of the wheel is counted and the count is kept in a plain book beside the sluice`)

func (e *Engine) plan(req *infer.Request) (*plan, error) {
	c := req.Chat
	p := &plan{slow: 1, failAt: -1, stop: infer.StopEndTurn, choices: 1}
	if c.N != nil {
		p.choices = int(min(max(*c.N, 1), 16))
	}
	prompt := lastPrompt(c)
	text := ""
	if e.opts.Directives {
		var err error
		if text, err = p.directives(prompt, c); err != nil {
			return nil, err
		}
	}
	if p.tool != nil {
		p.tokens = split(string(p.tool.ToolInput))
		p.stop = infer.StopToolUse
		return p, nil
	}
	if text == "" {
		text = e.compose(prompt, req.UpstreamModel)
	}
	p.cut(text, c)
	return p, nil
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

func (e *Engine) compose(prompt, model string) string {
	r := rand.New(rand.NewPCG(e.hash(prompt), e.opts.Seed)) //nolint:gosec // text, not secrets
	var b strings.Builder
	fmt.Fprintf(&b, "This answer is simulated: no real model stands behind %s yet.", model)
	if e.opts.Hint != "" {
		b.WriteString(" To put one there, run: " + e.opts.Hint + " .")
	}
	n := minAnswer + r.IntN(maxAnswer-minAnswer)
	at := r.IntN(len(words))
	for i := range n {
		b.WriteString(" " + words[(at+i)%len(words)])
	}
	b.WriteString(".")
	return b.String()
}

// split makes tokens of text: words with the space before them.
func split(text string) []string {
	var out []string
	start := 0
	for i := 1; i < len(text); i++ {
		if text[i] == ' ' && text[i-1] != ' ' {
			out = append(out, text[start:i])
			start = i
		}
	}
	return append(out, text[start:])
}

// cut applies stop sequences and the bound on tokens.
func (p *plan) cut(text string, c *infer.Chat) {
	at := len(text)
	for _, s := range c.Stop {
		if s == "" {
			continue
		}
		if i := strings.Index(text, s); i >= 0 && i < at {
			at, p.stop, p.stopTxt = i, infer.StopSequence, s
		}
	}
	p.tokens = split(text[:at])
	if c.MaxTokens != nil && int64(len(p.tokens)) > *c.MaxTokens {
		p.tokens = p.tokens[:*c.MaxTokens]
		p.stop, p.stopTxt = infer.StopMaxTokens, ""
	}
}

// directives reads what the prompt asks of the answer, and returns its text if that was given.
func (p *plan) directives(prompt string, c *infer.Chat) (string, error) {
	text := ""
	rest := prompt
	for {
		_, after, ok := strings.Cut(rest, "[[")
		if !ok {
			return text, nil
		}
		body, tail, ok := strings.Cut(after, "]]")
		if !ok {
			return text, nil
		}
		rest = tail
		name, arg, _ := strings.Cut(body, ":")
		switch name {
		case "echo":
			text = prompt
		case "text":
			text = arg
		case "hang":
			p.hang = true
		case "slow":
			n, err := strconv.ParseInt(arg, 10, 32)
			if err == nil && n > 0 {
				p.slow = n
			}
		case "tool":
			if len(c.Tools) > 0 {
				tool, input, _ := strings.Cut(arg, " ")
				p.tool = &infer.Block{Kind: infer.BlockToolUse, ToolID: "tooluse_" + hexID(prompt), ToolName: tool, ToolInput: []byte(input)}
			}
		case "fail":
			if err := p.fail(arg); err != nil {
				return "", err
			}
		}
	}
}

func hexID(s string) string {
	sum := uint64(14695981039346656037)
	for i := range len(s) {
		sum = (sum ^ uint64(s[i])) * 1099511628211
	}
	var b [8]byte
	for i := range b {
		b[i] = byte(sum >> (8 * i))
	}
	return hex.EncodeToString(b[:])
}

// fail plans a failure, or fails at once.
func (p *plan) fail(arg string) error {
	code, after, later := strings.Cut(arg, " after ")
	status, err := strconv.Atoi(code)
	if err != nil {
		status = 500
	}
	p.status = status
	if later {
		p.failAt, _ = strconv.Atoi(after)
		return nil
	}
	return p.failure(fault.ModelFailed)
}

func (p *plan) failure(kind fault.Kind) error {
	e := fault.New(kind, "The simulated model failed as it was told to.")
	e.OriginalStatus, e.OriginalMessage = p.status, e.Message
	return e
}

// vector is a unit vector of a size, from a seed.
func vector(seed uint64, size int64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // numbers, not secrets
	v := make([]float32, size)
	var sum float64
	for i := range v {
		x := r.NormFloat64()
		v[i] = float32(x)
		sum += x * x
	}
	norm := float32(1 / math.Sqrt(sum))
	for i := range v {
		v[i] *= norm
	}
	return v
}
