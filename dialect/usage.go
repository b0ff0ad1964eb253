package dialect

import (
	"bytes"
	"strconv"

	"forebay/infer"
	"forebay/wire/scan"

	"github.com/go-json-experiment/json/jsontext"
)

// counts are the token counts that the dialects' usage objects have, under all their names.
type counts struct {
	input, output         int64
	cacheRead, cacheWrite int64
	reasoning             int64
	inclusive             bool // input includes what was read from or written to a cache
	seen                  bool
	negative              bool // something cannot be, and counts as nothing
}

// set takes one member. Names: OpenAI and the engines that follow it (DeepSeek's
// prompt_cache_hit_tokens, Moonshot's cached_tokens), Anthropic, Converse, and Bedrock's
// invocation metrics.
func (c *counts) set(parent, name string, n int64) {
	if n < 0 {
		n, c.negative = 0, true
	}
	switch name {
	case "prompt_tokens":
		c.input, c.inclusive, c.seen = n, true, true
	case "completion_tokens":
		c.output, c.seen = n, true
	case "input_tokens", "inputTokens", "inputTokenCount":
		c.input, c.seen = n, true
	case "output_tokens", "outputTokens", "outputTokenCount":
		c.output, c.seen = n, true
	case "cached_tokens":
		if parent == "" || parent == "prompt_tokens_details" || parent == "input_tokens_details" {
			c.cacheRead = n
		}
	case "prompt_cache_hit_tokens", "cache_read_input_tokens", "cacheReadInputTokens", "cacheReadInputTokenCount":
		c.cacheRead = n
	case "cache_creation_input_tokens", "cacheWriteInputTokens", "cacheWriteInputTokenCount":
		c.cacheWrite = n
	case "reasoning_tokens", "thinking_tokens":
		c.reasoning = n
	}
}

func (c *counts) usage() infer.Usage {
	u := infer.Usage{Input: c.input, Output: c.output, CacheRead: c.cacheRead, CacheWrite: c.cacheWrite, Reasoning: min(c.reasoning, c.output), Estimated: c.negative}
	if c.inclusive {
		u.CacheRead = min(u.CacheRead, u.Input)
		u.Input -= u.CacheRead
		u.CacheWrite = min(u.CacheWrite, u.Input)
		u.Input -= u.CacheWrite
	}
	return u
}

// readCounts reads the members of the usage object at the start of b. It allocates nothing.
func (c *counts) read(b []byte) bool {
	var s scan.Scanner
	s.Reset(b)
	var name, parent []byte
	for {
		t, err := s.Next()
		switch {
		case err != nil || t.Kind == scan.End:
			return false
		case t.Depth == 0:
			if t.Kind != scan.ObjectStart {
				return c.seen && t.Kind == scan.ObjectEnd
			}
		case t.Kind == scan.Key:
			name = scan.Text(b, t)
			if t.Depth == 1 {
				parent = nil
			}
		case t.Kind == scan.ObjectStart && t.Depth == 1:
			parent = name
		case t.Kind == scan.Number && t.Depth <= 2:
			if n, err := strconv.ParseInt(string(b[t.Start:t.End]), 10, 64); err == nil {
				c.set(string(parent), string(name), n)
			} else if f, err := strconv.ParseFloat(string(b[t.Start:t.End]), 64); err == nil && f > -1e15 && f < 1e15 {
				c.set(string(parent), string(name), int64(f)) // counts that an engine writes as 12.0
			}
		}
	}
}

var (
	usageKey   = []byte(`"usage"`)
	metricsKey = []byte(metricsName)
)

// rawUsage reads the usage out of a payload that passes through; payloads without one
// cost a search. A quote inside a string is escaped, so the key cannot be text.
func rawUsage(payload []byte) (infer.Usage, bool) { return usageAt(payload, usageKey) }

// metricsUsage is rawUsage for families whose payloads count tokens only in the metrics
// that Bedrock adds.
func metricsUsage(payload []byte) (infer.Usage, bool) { return usageAt(payload, metricsKey) }

func usageAt(payload, key []byte) (infer.Usage, bool) {
	for {
		i := bytes.LastIndex(payload, key)
		if i < 0 {
			return infer.Usage{}, false
		}
		rest := bytes.TrimLeft(payload[i+len(key):], " \t\r\n")
		if len(rest) > 0 && rest[0] == ':' {
			var c counts
			if c.read(rest[1:]) {
				return c.usage(), true
			}
		}
		payload = payload[:i]
	}
}

// engineUsage reads the usage member of an engine's answer; absent, null and unreadable
// ones are none.
func engineUsage(v jsontext.Value) (infer.Usage, bool) {
	var c counts
	if v.Kind() != '{' || !c.read(v) {
		return infer.Usage{}, false
	}
	return c.usage(), true
}

// resultUsage is engineUsage for a whole answer.
func resultUsage(v jsontext.Value) infer.Usage {
	u, ok := engineUsage(v)
	if !ok {
		u.Estimated = true
	}
	return u
}
