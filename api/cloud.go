package api

import (
	"bytes"
	"net/http"
	"strings"

	"forebay/fault"
	"forebay/infer"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Headers by which a call asks something of the cloud around its model (Bedrock API reference, "InvokeModel"; user guide,
// "Invoke a model with the OpenAI Chat Completions API").
const (
	headerGuardrail = "X-Amzn-Bedrock-Guardrailidentifier"
	headerVersion   = "X-Amzn-Bedrock-Guardrailversion"
	headerTrace     = "X-Amzn-Bedrock-Trace"
	headerLatency   = "X-Amzn-Bedrock-Performanceconfig-Latency"
)

// memberGuardrail is the member of a body that tells which of its text a guardrail is to look at; the headers name the guardrail.
const memberGuardrail = "amazon-bedrock-guardrailConfig"

// Cloud fills in what a call whose body is not Bedrock's own asks of the cloud around its model: a guardrail and a performance
// configuration. What the model does not serve of them is then refused or left out by its rules, and not passed over.
func (in *Intent) Cloud(h http.Header, body []byte) (err error) {
	switch in.Latency = h.Get(headerLatency); in.Latency {
	case "", infer.LatencyStandard, infer.LatencyOptimized:
	default:
		return fault.Newf(fault.Invalid, "Value '%s' at 'performanceConfigLatency' failed to satisfy constraint: Member must satisfy enum value set: [standard, optimized]",
			HeaderValue(in.Latency))
	}
	in.Guardrail, err = Guardrail(h.Get(headerGuardrail), h.Get(headerVersion), h.Get(headerTrace), body)
	return err
}

// Guardrail returns the guardrail that headers name; nil when the call asks for none. One that cannot be applied because it is not
// named in full is refused.
func Guardrail(id, version, trace string, body []byte) (*infer.Guardrail, error) {
	switch {
	case (id == "") != (version == ""):
		return nil, fault.New(fault.Invalid, "The guardrail identifier and version must be provided together.")
	case id != "":
		return &infer.Guardrail{ID: id, Version: version, Trace: strings.ToLower(trace)}, nil
	case configuresGuardrail(body):
		return nil, fault.New(fault.Invalid, "The guardrail identifier and version must be provided with "+memberGuardrail+".")
	default:
		return nil, nil //nolint:nilnil // no guardrail is what most calls have
	}
}

// Latency is the performance configuration that an answer tells to a caller who has asked for one; "" tells nothing. A cloud that was
// asked for the optimized one may serve at the standard one all the same, so that only its own word stands.
func Latency(c *Call, req *infer.Request, head *infer.Head) string {
	switch {
	case c.Intent == nil || c.Intent.Latency == "":
		return ""
	case head.Latency != "" || req.Latency == infer.LatencyOptimized:
		return head.Latency
	default:
		return infer.LatencyStandard
	}
}

// configuresGuardrail reports whether a body has the member of guardrails. A body that is no JSON is left to its dialect.
func configuresGuardrail(body []byte) bool {
	if !bytes.Contains(body, []byte(`"`+memberGuardrail+`"`)) {
		return false
	}
	var in struct {
		Config jsontext.Value `json:"amazon-bedrock-guardrailConfig"`
	}
	err := json.Unmarshal(body, &in, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return err == nil && len(in.Config) > 0 && in.Config.Kind() != 'n'
}
