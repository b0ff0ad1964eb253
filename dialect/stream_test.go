package dialect

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"forebay/infer"

	"pgregory.net/rapid"
)

// answers is what a dialect's answers can say.
type answers struct {
	kinds   []infer.BlockKind
	stops   []infer.StopReason
	usage   bool // of a whole answer
	streams bool // usage in streams as well
	many    bool // several choices
	signed  bool // reasoning has signatures
	noIDs   bool // tool calls have no ids
}

var (
	chatStops   = []infer.StopReason{infer.StopEndTurn, infer.StopMaxTokens, infer.StopToolUse, infer.StopFiltered}
	promptStops = []infer.StopReason{infer.StopEndTurn, infer.StopMaxTokens}
	textOnly    = []infer.BlockKind{infer.BlockText}
)

var answered = map[infer.Dialect]answers{
	infer.DialectAnthropic: {
		kinds:  []infer.BlockKind{infer.BlockThinking, infer.BlockText, infer.BlockToolUse},
		stops:  []infer.StopReason{infer.StopEndTurn, infer.StopMaxTokens, infer.StopToolUse, infer.StopSequence, infer.StopRefusal, infer.StopContextWindow},
		signed: true, usage: true, streams: true,
	},
	infer.DialectConverse: {
		kinds:  []infer.BlockKind{infer.BlockThinking, infer.BlockText, infer.BlockToolUse},
		stops:  []infer.StopReason{infer.StopEndTurn, infer.StopMaxTokens, infer.StopToolUse, infer.StopSequence, infer.StopGuardrail, infer.StopFiltered},
		signed: true, usage: true, streams: true,
	},
	infer.DialectNova: {
		kinds: []infer.BlockKind{infer.BlockText, infer.BlockToolUse}, stops: []infer.StopReason{infer.StopEndTurn, infer.StopToolUse}, usage: true, streams: true,
	},
	infer.DialectOpenAI: {
		kinds: []infer.BlockKind{infer.BlockThinking, infer.BlockText, infer.BlockToolUse}, stops: chatStops, usage: true, streams: true, many: true,
	},
	infer.DialectGPTOSS: {
		kinds: []infer.BlockKind{infer.BlockThinking, infer.BlockText, infer.BlockToolUse}, stops: chatStops, usage: true, streams: true,
	},
	infer.DialectJamba:             {kinds: []infer.BlockKind{infer.BlockText, infer.BlockToolUse}, stops: chatStops, usage: true, streams: true, many: true},
	infer.DialectMistralChat:       {kinds: []infer.BlockKind{infer.BlockText, infer.BlockToolUse}, stops: chatStops},
	infer.DialectOpenAICompletions: {kinds: textOnly, stops: promptStops, usage: true, streams: true, many: true},
	infer.DialectLlama:             {kinds: textOnly, stops: promptStops, usage: true, streams: true},
	infer.DialectTitanText:         {kinds: textOnly, stops: append(slices.Clone(promptStops), infer.StopSequence, infer.StopFiltered), usage: true, streams: true},
	infer.DialectMistral:           {kinds: textOnly, stops: promptStops},
	infer.DialectDeepSeek:          {kinds: textOnly, stops: promptStops},
	infer.DialectCohereCommand:     {kinds: []infer.BlockKind{infer.BlockText, infer.BlockToolUse}, stops: []infer.StopReason{infer.StopEndTurn, infer.StopMaxTokens, infer.StopSequence, infer.StopFiltered}, noIDs: true},
}

// accumulate is what a stream's events add up to. It checks their order on the way.
func accumulate(t *rapid.T, events []infer.Event) *infer.Result {
	res := &infer.Result{}
	open := map[[2]int]bool{}
	choice := func(i int) *infer.Choice {
		for len(res.Choices) <= i {
			res.Choices = append(res.Choices, infer.Choice{})
		}
		return &res.Choices[i]
	}
	for i, ev := range events {
		if (ev.Kind == infer.EventStart) != (i == 0) {
			t.Fatalf("event %d of kind %d: a stream starts once, at its start", i, ev.Kind)
		}
		if ev.HasUsage {
			res.Usage = ev.Usage
		}
		at := [2]int{ev.Choice, ev.Index}
		switch ev.Kind {
		case infer.EventBlockStart:
			c := choice(ev.Choice)
			if ev.Index != len(c.Content) || c.Stop != "" {
				t.Fatalf("block %d starts behind %d blocks, stop %q", ev.Index, len(c.Content), c.Stop)
			}
			open[at] = true
			c.Content = append(c.Content, ev.Block)
		case infer.EventDelta:
			if !open[at] {
				t.Fatalf("a delta for block %v, which is not open", at)
			}
			b := &choice(ev.Choice).Content[ev.Index]
			if b.Kind != ev.Delta {
				t.Fatalf("a delta of kind %d in a block of kind %d", ev.Delta, b.Kind)
			}
			if b.Signature += ev.Signature; ev.Delta == infer.BlockToolUse {
				b.ToolInput = append(b.ToolInput, ev.Text...)
			} else {
				b.Text += ev.Text
			}
		case infer.EventBlockStop:
			if !open[at] {
				t.Fatalf("block %v stops, which is not open", at)
			}
			delete(open, at)
		case infer.EventStop:
			c := choice(ev.Choice)
			if c.Stop != "" {
				t.Fatal("a choice stops twice")
			}
			c.Stop, c.StopText = ev.Stop, ev.StopText
		}
	}
	if len(open) > 0 {
		t.Fatalf("blocks stay open: %v", open)
	}
	return res
}

func (a *answers) result(t *rapid.T) *infer.Result {
	n := 1
	if a.many {
		n = rapid.IntRange(1, 3).Draw(t, "choices")
	}
	res := &infer.Result{}
	for range n {
		c := infer.Choice{Stop: rapid.SampledFrom(a.stops).Draw(t, "stop")}
		calls := 0
		for _, k := range a.kinds {
			if k != infer.BlockToolUse && !rapid.Bool().Draw(t, "kind") {
				continue
			}
			switch k {
			case infer.BlockText:
				c.Content = append(c.Content, infer.Block{Text: drawText.Draw(t, "text")})
			case infer.BlockThinking:
				b := infer.Block{Kind: k, Text: drawText.Draw(t, "thought")}
				if a.signed {
					b.Signature = "c2ln"
				}
				c.Content = append(c.Content, b)
			case infer.BlockToolUse:
				for range rapid.IntRange(0, 2).Draw(t, "calls") {
					id := "id_" + rapid.StringMatching(`[a-z]{4}`).Draw(t, "id") + callID("", calls)
					if a.noIDs {
						id = callID("", calls)
					}
					calls++
					c.Content = append(c.Content, infer.Block{Kind: k, ToolID: id, ToolName: "look", ToolInput: []byte(drawInput.Draw(t, "input"))})
				}
			}
		}
		if a.noIDs && calls > 0 {
			c.Stop = infer.StopToolUse
		}
		if c.Stop == infer.StopSequence && slices.Contains(a.stops, infer.StopRefusal) {
			c.StopText = "END"
		}
		res.Choices = append(res.Choices, c)
	}
	res.Usage = infer.Usage{Input: rapid.Int64Range(1, 90).Draw(t, "in"), Output: rapid.Int64Range(1, 90).Draw(t, "out")}
	return res
}

// events cuts a result into the events of a stream, choices one after the other.
func events(t *rapid.T, res *infer.Result) []infer.Event {
	out := []infer.Event{{Kind: infer.EventStart}}
	for ci, c := range res.Choices {
		for i, b := range c.Content {
			start := infer.Block{Kind: b.Kind, ToolID: b.ToolID, ToolName: b.ToolName}
			out = append(out, infer.Event{Kind: infer.EventBlockStart, Choice: ci, Index: i, Block: start})
			text := b.Text
			if b.Kind == infer.BlockToolUse {
				text = string(b.ToolInput)
			}
			for runes := []rune(text); len(runes) > 0; {
				n := rapid.IntRange(1, len(runes)).Draw(t, "cut")
				out = append(out, infer.Event{Kind: infer.EventDelta, Choice: ci, Index: i, Delta: b.Kind, Text: string(runes[:n]), Tokens: 1})
				runes = runes[n:]
			}
			if b.Signature != "" {
				out = append(out, infer.Event{Kind: infer.EventDelta, Choice: ci, Index: i, Delta: b.Kind, Signature: b.Signature})
			}
			out = append(out, infer.Event{Kind: infer.EventBlockStop, Choice: ci, Index: i})
		}
		out = append(out, infer.Event{Kind: infer.EventStop, Choice: ci, Stop: c.Stop, StopText: c.StopText})
	}
	return append(out, infer.Event{Kind: infer.EventUsage, Usage: res.Usage, HasUsage: true})
}

// same compares what two results say. Some dialects open a text block that stays empty.
func same(t *rapid.T, what string, got, want *infer.Result, usage bool) {
	for i := range got.Choices {
		got.Choices[i].Content = slices.DeleteFunc(got.Choices[i].Content, func(b infer.Block) bool { return b.Kind == infer.BlockText && b.Text == "" })
		if len(got.Choices[i].Content) == 0 {
			got.Choices[i].Content = nil
		}
	}
	if !reflect.DeepEqual(got.Choices, want.Choices) {
		t.Fatalf("%s:\ngot  %+v\nwant %+v", what, got.Choices, want.Choices)
	}
	if usage && got.Usage != want.Usage {
		t.Fatalf("%s: usage %+v, want %+v", what, got.Usage, want.Usage)
	}
}

// TestAnswerRoundTrip: a result and its stream say the same in every dialect: what is
// encoded of either decodes to the result, and every payload is JSON.
func TestAnswerRoundTrip(t *testing.T) {
	for d, a := range answered {
		c, ok := Get(d)
		if !ok {
			t.Fatal(d)
		}
		t.Run(string(d), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				want := a.result(t)
				h := Head{ID: "8f2c-1", Model: "m", Created: time.Unix(1700000000, 0), IncludeUsage: true}
				body, err := c.EncodeResult(h, want)
				if err != nil {
					t.Fatal(err)
				}
				got, err := c.DecodeResult(body)
				if err != nil {
					t.Fatalf("%s: %v", body, err)
				}
				same(t, string(body), got, want, a.usage)

				var decoded []infer.Event
				var all string
				dec := c.NewStreamDecoder()
				enc := c.NewStreamEncoder(h)
				emit := func(name string, p []byte) {
					if !json.Valid(p) {
						t.Fatalf("not JSON: %s", p)
					}
					all += name + " " + string(p) + "\n"
					if decoded, err = dec.Decode(name, p, decoded); err != nil {
						t.Fatalf("%s: %v", p, err)
					}
				}
				list := events(t, want)
				for i := range list {
					if err := enc.Encode(&list[i], emit); err != nil {
						t.Fatal(err)
					}
				}
				enc.Finish(emit)
				if d == infer.DialectOpenAI || d == infer.DialectOpenAICompletions {
					decoded, err = dec.Decode("", []byte("[DONE]"), decoded)
				}
				if !dec.Complete() || err != nil {
					t.Fatalf("the stream is not complete (%v):\n%s", err, all)
				}
				same(t, all, accumulate(t, decoded), want, a.streams)
			})
		})
	}
	for d, c := range codecs {
		if _, ok := answered[d]; !ok && c.NewStreamEncoder != nil {
			t.Errorf("%s is not tested", d)
		}
	}
}
