package bedrockclient

import (
	"strings"

	"forebay/engine/splice"
	"forebay/engine/upstream"
	"forebay/infer"

	"github.com/go-json-experiment/json"
)

// What a call asks of the cloud around the model travels beside a native body, in headers, and
// within a Converse body.

const headerPerformance = "X-Amzn-Bedrock-PerformanceConfig-Latency"

// performed is the performance configuration that the cloud says it has served; "" for what is none.
func performed(told string) string {
	if told == infer.LatencyStandard || told == infer.LatencyOptimized {
		return told
	}
	return ""
}

// cloudHeaders are the headers of InvokeModel for guardrail and performance configuration.
func cloudHeaders(req *infer.Request) []upstream.Field {
	var out []upstream.Field
	if g := req.Guardrail; g != nil {
		out = append(out,
			upstream.Field{Name: "X-Amzn-Bedrock-GuardrailIdentifier", Value: g.ID},
			upstream.Field{Name: "X-Amzn-Bedrock-GuardrailVersion", Value: g.Version})
		if g.Trace != "" {
			out = append(out, upstream.Field{Name: "X-Amzn-Bedrock-Trace", Value: strings.ToUpper(g.Trace)})
		}
	}
	if req.Latency != "" {
		out = append(out, upstream.Field{Name: headerPerformance, Value: req.Latency})
	}
	if tier := namedTier(req); tier != "" {
		out = append(out, upstream.Field{Name: "X-Amzn-Bedrock-Service-Tier", Value: tier})
	}
	return out
}

// converseEdits take out of a Converse body that passes through what the model's rules leave out.
func converseEdits(req *infer.Request) []splice.Edit {
	var edits []splice.Edit
	if req.Guardrail == nil {
		edits = append(edits, splice.Edit{Name: "guardrailConfig"})
	}
	if req.Latency == "" {
		edits = append(edits, splice.Edit{Name: "performanceConfig"})
	}
	return edits
}

// cloudMembers puts them into a Converse body.
func cloudMembers(req *infer.Request, body []byte) [][]byte {
	var edits []splice.Edit
	if g := req.Guardrail; g != nil {
		mode := g.StreamMode
		if !req.Stream {
			mode = "" // the member of streams only
		}
		edits = append(edits, splice.Edit{Name: "guardrailConfig", Value: member(struct {
			ID      string `json:"guardrailIdentifier"`
			Version string `json:"guardrailVersion"`
			Trace   string `json:"trace,omitempty"`
			Mode    string `json:"streamProcessingMode,omitempty"`
		}{g.ID, g.Version, g.Trace, mode})})
	}
	if req.Latency != "" {
		edits = append(edits, splice.Edit{Name: "performanceConfig", Value: member(map[string]string{"latency": req.Latency})})
	}
	if tier := namedTier(req); tier != "" {
		edits = append(edits, splice.Edit{Name: "serviceTier", Value: member(map[string]string{"type": tier})})
	}
	if len(edits) == 0 {
		return [][]byte{body}
	}
	return splice.Parts(nil, body, edits...)
}

// namedTier is the tier of service that the caller has named, where it is not what the cloud would serve at anyway.
func namedTier(req *infer.Request) string {
	if req.TierAsked == infer.TierDefault.String() {
		return ""
	}
	return req.TierAsked
}

func member(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return []byte("null") // strings that are no UTF-8, which no guardrail's id is
	}
	return b
}
