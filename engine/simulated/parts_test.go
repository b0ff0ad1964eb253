package simulated

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"forebay/engine"
	"forebay/fault"
	"forebay/infer"
)

// blocksOf reads an answer of one choice as blocks, from a stream or whole.
func blocksOf(t *testing.T, e *Engine, req *infer.Request) (blocks []infer.Block, stop infer.StopReason) {
	t.Helper()
	res, err := e.Infer(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close() //nolint:errcheck // always nil
	for {
		ev, err := res.Next()
		if err != nil {
			return blocks, stop
		}
		switch ev.Kind {
		case infer.EventBlockStart:
			if ev.Index != len(blocks) {
				t.Errorf("block %d starts as %d", len(blocks), ev.Index)
			}
			blocks = append(blocks, ev.Block)
		case infer.EventDelta:
			b := &blocks[ev.Index]
			if b.Kind != ev.Delta {
				t.Errorf("a delta of kind %d in a block of kind %d", ev.Delta, b.Kind)
			}
			if b.Kind == infer.BlockToolUse {
				b.ToolInput = append(b.ToolInput, ev.Text...)
			} else {
				b.Text += ev.Text
			}
		case infer.EventStop:
			stop = ev.Stop
		case infer.EventResult:
			return ev.Result.Choices[0].Content, ev.Result.Choices[0].Stop
		default:
		}
	}
}

// A scripted answer has reasoning, text and several calls, streamed and whole.
func TestScriptedBlocks(t *testing.T) {
	e := open(t, Options{Directives: true})
	defer e.Close() //nolint:errcheck // always nil
	for _, stream := range []bool{true, false} {
		req := ask(`[[think:let me see]][[text:I look it up.]][[tool:weather {"city":"Rome"}]][[tool:time]]`)
		req.Stream = stream
		req.Chat.Tools = []infer.Tool{{Name: "weather"}, {Name: "time"}}
		blocks, stop := blocksOf(t, e, req)
		if len(blocks) != 4 || stop != infer.StopToolUse {
			t.Fatalf("stream %v: %+v %s", stream, blocks, stop)
		}
		kinds := []infer.BlockKind{blocks[0].Kind, blocks[1].Kind, blocks[2].Kind, blocks[3].Kind}
		if !slices.Equal(kinds, []infer.BlockKind{infer.BlockThinking, infer.BlockText, infer.BlockToolUse, infer.BlockToolUse}) ||
			blocks[0].Text != "let me see" || blocks[1].Text != "I look it up." || string(blocks[2].ToolInput) != `{"city":"Rome"}` ||
			string(blocks[3].ToolInput) != "{}" || blocks[3].ToolName != "time" || blocks[2].ToolID == blocks[3].ToolID {
			t.Errorf("stream %v: %+v", stream, blocks)
		}
		req = ask(`[[think:let me see]]`)
		req.Stream = stream
		if blocks, stop := blocksOf(t, e, req); len(blocks) != 2 || !strings.HasPrefix(blocks[1].Text, "This answer is simulated") || stop != infer.StopEndTurn {
			t.Errorf("stream %v: %+v %s", stream, blocks, stop)
		}
		limit := int64(2)
		req = ask(`[[think:let me see]]`)
		req.Stream, req.Chat.MaxTokens = stream, &limit
		if blocks, stop := blocksOf(t, e, req); len(blocks) != 1 || blocks[0].Text != "let me s" || stop != infer.StopMaxTokens {
			t.Errorf("stream %v, two tokens: %+v %s", stream, blocks, stop)
		}
	}
}

// An engine that hangs is given up at the limits, its own or the call's.
func TestTimeLimits(t *testing.T) {
	for _, k := range []struct {
		own, call engine.Timeouts
		prompt    string
		stream    bool
		phase     string
		after     time.Duration
	}{
		{engine.Timeouts{FirstToken: 3 * time.Second}, engine.Timeouts{}, "[[hang]]", true, "first-token", 3 * time.Second},
		{engine.Timeouts{FirstToken: 3 * time.Second}, engine.Timeouts{FirstToken: 7 * time.Second}, "[[hang]]", true, "first-token", 7 * time.Second},
		{engine.Timeouts{FirstToken: 3 * time.Second, Total: 9 * time.Second}, engine.Timeouts{}, "[[hang]]", false, "total", 9 * time.Second},
		{engine.Timeouts{}, engine.Timeouts{BetweenTokens: time.Second}, "[[slow:20]]", true, "between-tokens", 0},
		{engine.Timeouts{}, engine.Timeouts{Total: time.Second}, "[[tokens:1000]]", true, "total", time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := open(t, Options{Profile: slow, Directives: true, Timeouts: k.own})
			defer e.Close() //nolint:errcheck // always nil
			req := ask(k.prompt)
			req.Stream, req.Timeouts = k.stream, k.call
			from := time.Now()
			res, err := e.Infer(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Close() //nolint:errcheck // always nil
			for err == nil {
				_, err = res.Next()
			}
			took := time.Since(from)
			if f := fault.From(err); f.Kind != fault.Timeout || f.Code != k.phase || k.after > 0 && took != k.after {
				t.Errorf("%s: %v (%s) after %v", k.prompt, err, f.Code, took)
			}
		})
	}
}

// Vectors in a byte per component keep the signs and the largest component.
func TestQuantizedVectors(t *testing.T) {
	e := open(t, Options{})
	defer e.Close() //nolint:errcheck // always nil
	size := int64(64)
	res, err := e.Infer(t.Context(), &infer.Request{Embed: &infer.Embed{Inputs: []string{"x"}, Types: []string{"float", "int8", "uint8"}, Dimensions: &size}})
	if err != nil {
		t.Fatal(err)
	}
	ev, err := res.Next()
	if err != nil {
		t.Fatal(err)
	}
	v := ev.Result.Embeddings[0]
	var peak float32
	for i, x := range v.Floats {
		q := v.ByType["int8"][i]
		peak = max(peak, q, -q)
		if v.ByType["uint8"][i] != q+128 || x > 0.05 && q <= 0 || x < -0.05 && q >= 0 {
			t.Errorf("component %d: %v, %v, %v", i, x, q, v.ByType["uint8"][i])
		}
	}
	if peak != 127 {
		t.Errorf("the largest component is %v", peak)
	}
}
