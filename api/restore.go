package api

import (
	"bytes"

	"forebay/infer"
	"forebay/wire/scan"
)

// restoreModel puts the model's name as the client knows it back into a payload of the
// engine: the documented splice of responses that pass through.
func restoreModel(payload []byte, model string, where infer.Span) []byte {
	old := payload[where.Start:where.End]
	if where.End == 0 || model == "" || string(old) == model {
		return payload
	}
	out := make([]byte, 0, len(payload)+len(model))
	out = append(out, payload[:where.Start]...)
	out = append(out, model...) // ids hold no character that JSON escapes: the resolver refuses them
	return append(out, payload[where.End:]...)
}

// modelOf finds the model's name in a payload: its member "model", wherever engines put it, and no member of that
// name deeper in the payload. (Answers in one piece know it: infer.Event.Model.)
func modelOf(payload []byte) infer.Span {
	var s scan.Scanner
	s.Reset(payload)
	named := false
	for {
		t, err := s.Next()
		switch {
		case err != nil || t.Kind == scan.End:
			return infer.Span{}
		case t.Depth != 1:
		case t.Kind == scan.Key:
			named = string(scan.Text(payload, t)) == "model"
		case named && t.Kind == scan.String:
			return infer.Span{Start: t.Start + 1, End: t.End - 1}
		default:
			named = false
		}
	}
}

// nameTier says in a payload of chat completions that passes through which tier served, for a caller who named one: in place of null, or
// behind the model's name. An engine that names a tier keeps its word.
func nameTier(payload []byte, d infer.Dialect, tier string) []byte {
	if tier == "" || d != infer.DialectOpenAI {
		return payload
	}
	var s scan.Scanner
	s.Reset(payload)
	key, put := "", infer.Span{} // put is where the tier goes
	for {
		t, err := s.Next()
		switch {
		case err != nil:
			return payload
		case t.Kind == scan.End:
			return splicedTier(payload, tier, put)
		case t.Depth != 1:
		case t.Kind == scan.Key:
			key = string(scan.Text(payload, t))
		case key == "service_tier" && t.Kind != scan.Null:
			return payload
		case key == "service_tier":
			return splicedTier(payload, tier, infer.Span{Start: t.Start, End: t.End})
		case key == "model" && t.Kind == scan.String:
			put = infer.Span{Start: t.End, End: t.End}
		}
	}
}

// splicedTier puts a tier in place of null, or in as a member of its own.
func splicedTier(payload []byte, tier string, put infer.Span) []byte {
	if put.End == 0 {
		return payload // no answer: an error, or what is no chat completion
	}
	out := make([]byte, 0, len(payload)+len(tier)+len(`,"service_tier":""`))
	out = append(out, payload[:put.Start]...)
	if put.Start == put.End {
		out = append(out, `,"service_tier":`...)
	}
	out = append(append(append(out, '"'), tier...), '"')
	return append(out, payload[put.End:]...)
}

// modelNear finds the model's name in an event of a stream. Engines write it near the start,
// Anthropic's within the message; a long event that has it behind its content is read in full.
func modelNear(payload []byte) infer.Span {
	const window = 512
	i := bytes.Index(payload[:min(len(payload), window)], []byte(`"model":`))
	if i < 0 {
		if len(payload) > window {
			return modelOf(payload)
		}
		return infer.Span{}
	}
	start := i + len(`"model":`)
	for start < len(payload) && payload[start] == ' ' {
		start++
	}
	if start >= len(payload) || payload[start] != '"' {
		return infer.Span{}
	}
	n := bytes.IndexByte(payload[start+1:], '"')
	if n < 0 || bytes.IndexByte(payload[start+1:start+1+n], '\\') >= 0 {
		return infer.Span{}
	}
	return infer.Span{Start: start + 1, End: start + 1 + n}
}
