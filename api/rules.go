package api

import (
	"forebay/catalog"
	"forebay/dialect"
	"forebay/fault"
	"forebay/infer"
)

// refusals are the words in which a part of a request is refused: the service's where it has
// them.
var refusals = map[string]string{
	"system":      "This model doesn't support system messages. Try again without a system message or use a model that supports system messages.",
	"tools":       "This model doesn't support tool use.",
	"images":      "This model doesn't support the image content block that you provided. Remove the image from the request and try again.",
	"documents":   "This model doesn't support documents.",
	"video":       "This model doesn't support the video content block that you provided. Remove the video from the request and try again.",
	"audio":       "This model doesn't support the audio content block that you provided. Remove the audio from the request and try again.",
	"cachePoints": "You invoked an unsupported model or your request did not allow prompt caching. See the documentation for more information.",
	"guardrails":  "The guardrail identifier or version provided in the request does not exist.",
	"latency":     "Latency performance configuration is not supported for this model.",
}

// Lacks is the cause of a refusal by a model's rules: a part of the request that it does not serve, by its name in the catalogue.
type Lacks struct{ Part string }

func (e *Lacks) Error() string { return "the model does not serve " + e.Part }

// drops is what the rules of a model leave out of a request.
type drops struct {
	uses    infer.Features // of the body
	outside infer.Features // of what goes beside it
	ruled   bool           // the configuration says so, and not the catalogue alone
}

// rules holds what the request uses against the rules of a model: a part that is refused fails the call there.
func rules(in *Intent, req *infer.Request, m *catalog.Model) (drops, error) {
	uses := req.Facts.Uses
	if in.Guardrail != nil {
		uses |= infer.UsesGuardrail
	}
	if in.Latency == infer.LatencyOptimized {
		uses |= infer.UsesLatency
	}
	var out drops
	for i := range catalog.Parts {
		p := &catalog.Parts[i]
		if uses&p.Uses == 0 {
			continue
		}
		rule, set := m.Rule(p)
		if p.ConverseOnly && !set && in.Dialect != infer.DialectConverse {
			continue // the engine decides
		}
		switch rule {
		case catalog.RuleRefuse:
			return out, fault.Wrap(fault.Invalid, &Lacks{p.Name}, refusals[p.Name]).
				WithReason("%s has no rule to serve this; set models.%s.rules.%s, or features, in the configuration", m.ID, m.ID, p.Name)
		case catalog.RuleDrop:
			out.uses |= p.Uses
			out.ruled = out.ruled || set && p.Uses&outside == 0
		default:
		}
	}
	out.uses, out.outside = out.uses&^outside, out.uses&outside
	return out, nil
}

// keep gives the request what goes beside its body, as far as it is not left out, which is named in the response's header.
func (d *drops) keep(in *Intent, req *infer.Request) {
	req.Guardrail, req.Latency, req.Dropped = in.Guardrail, in.Latency, nil
	if d.outside&infer.UsesGuardrail != 0 {
		req.Guardrail = nil
	}
	if d.outside&infer.UsesLatency != 0 {
		req.Latency = ""
	}
	tellDropped(req, d.outside)
}

func tellDropped(req *infer.Request, uses infer.Features) {
	for i := range catalog.Parts {
		if p := &catalog.Parts[i]; uses&p.Uses != 0 {
			req.Dropped = append(req.Dropped, p.Title)
		}
	}
}

// outside are the parts that are no content, and that a body which passes through may keep.
const outside = infer.UsesGuardrail | infer.UsesLatency

// leaveOut takes the dropped parts out of a decoded call. What is left goes to the engine in
// place of the body.
func leaveOut(req *infer.Request, d drops) error {
	if d.uses == 0 || req.Chat == nil {
		return nil
	}
	tellDropped(req, d.uses)
	if !dialect.LeaveOut(req.Chat, d.uses) {
		return fault.New(fault.Invalid, "A message has no content that this model supports.")
	}
	req.Body = nil
	return nil
}
