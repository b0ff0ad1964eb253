// Package infer is the vocabulary of one inference call: the request as the scheduler
// and the engines see it, the response as a head and a pull of events, and the Handler
// that stands between them. It has no behaviour of its own beyond small helpers and
// depends on nothing but the standard library.
//
// A request carries its body in the dialect in which it arrived. When the engine speaks
// the same dialect the body passes through byte-identical, but for documented splices,
// and events carry the engine's own bytes in Raw. Otherwise the API has decoded the body
// into Chat or Embed before admission, the engine client encodes that in its own
// dialect, and events are canonical.
package infer

import (
	"cmp"
	"context"
	"time"
)

// Dialect names the JSON language of a request body and of its response. Model
// families of the catalogue are dialects; the remaining ones belong to an API.
type Dialect string

// The dialects.
const (
	DialectAnthropic     Dialect = "anthropic"      // Anthropic Messages
	DialectNova          Dialect = "nova"           // Amazon Nova messages-v1
	DialectLlama         Dialect = "llama"          // Meta Llama prompt completion
	DialectMistral       Dialect = "mistral"        // Mistral text completion
	DialectMistralChat   Dialect = "mistral-chat"   // Mistral chat completion
	DialectTitanText     Dialect = "titan-text"     // Amazon Titan Text
	DialectTitanEmbed    Dialect = "titan-embed"    // Amazon Titan Embeddings G1 and V2
	DialectCohereCommand Dialect = "cohere-command" // Cohere Command R chat
	DialectCohereEmbed   Dialect = "cohere-embed"   // Cohere Embed v3 and v4
	DialectJamba         Dialect = "jamba"          // AI21 Jamba
	DialectDeepSeek      Dialect = "deepseek"       // DeepSeek R1 text completion
	DialectGPTOSS        Dialect = "gpt-oss"        // chat completions with <reasoning> tags
	DialectOpenAI        Dialect = "openai"         // OpenAI chat completions

	DialectOpenAICompletions Dialect = "openai-completions" // OpenAI legacy text completions
	DialectOpenAIEmbeddings  Dialect = "openai-embeddings"  // OpenAI embeddings
	DialectConverse          Dialect = "converse"           // Bedrock Converse
	DialectOpaque            Dialect = "opaque"             // bytes that only the caller and the container understand
)

// Task is what a call asks for.
type Task uint8

// The tasks.
const (
	TaskChat  Task = iota // generate text from messages or a prompt
	TaskEmbed             // vectors for texts
)

// Tier orders on-demand work. The zero value is the default tier.
type Tier uint8

// The tiers, see docs/routes.md.
const (
	TierDefault Tier = iota
	TierPriority
	TierFlex
	TierReserved
	TierBatch

	// NumTiers is the number of tiers, for tables of them.
	NumTiers
)

var tierNames = [...]string{"default", "priority", "flex", "reserved", "batch"}

// String returns the tier's name on the wire.
func (t Tier) String() string {
	if int(t) < len(tierNames) {
		return tierNames[t]
	}
	return tierNames[0]
}

// ParseTier returns the tier with the name; "" is the default tier.
func ParseTier(name string) (Tier, bool) {
	if name == "" {
		return TierDefault, true
	}
	for i, n := range tierNames {
		if n == name {
			return Tier(i), true
		}
	}
	return TierDefault, false
}

// Handler answers one call. What fails before the first byte is the error (a
// *fault.Error, or an unclassified one, which is internal); what fails later is returned
// by Response.Next. The handler may keep req only until the Response is closed.
type Handler func(ctx context.Context, req *Request) (*Response, error)

// Caller says on whose account a call runs, and how it names itself.
type Caller struct {
	Account string
	Team    string // "" when the key belongs to no team
	Key     string // key id, never the secret
	ARN     string // the principal's ARN as AWS would show it
	// InvocationID is amz-sdk-invocation-id: equal for all attempts of one call of an SDK.
	InvocationID string
	// Attempt is the client's own attempt number (amz-sdk-request), 0 when not said.
	Attempt int
	// Tags is the request metadata the caller attached.
	Tags map[string]string
}

// Request is one call on its way to an engine.
type Request struct {
	ID        string // request id, as returned to the client
	Caller    Caller
	API       string // "bedrock-runtime", "openai", "anthropic"
	Operation string // "Converse", "ChatCompletions", ...
	Task      Task

	ModelAsked   string // the id as the client wrote it
	Model        string // the catalogue's id of the model that serves
	RegionPrefix string // "us", "eu", "global", ... of a system inference profile; else ""
	// ModelCharged is the catalogue's id of the model by whose price the call is charged; "" is Model.
	ModelCharged string
	// Route is the name of the route that the call asked for; "" for a model by a name of its own.
	Route string
	// Reservation is the purchase that the call names, which serves it alone; "" is none.
	Reservation string
	// Lanes are those of the route that can serve the call, in order of preference. Without a route there are none, and Model
	// serves on demand.
	Lanes []Lane
	// UpstreamModel is the engine's own name of the model. dispatch sets it for the chosen replica.
	UpstreamModel string

	Dialect Dialect // the language of Body
	// Opaque describes Body where its dialect is DialectOpaque.
	Opaque *Opaque
	Body   []byte // as received; nil when the API's operation is not body-shaped (Converse)
	Stream bool   // the client wants events
	// Chat or Embed is the decoded call. Nil when Body passes through untouched.
	Chat  *Chat
	Embed *Embed
	// Decode, when set, fills Chat or Embed for an engine that does not take Body as it is: the
	// engines of a model may change while the call waits.
	Decode func() error

	// Betas are the values of an anthropic-beta header, which Bedrock has in the body instead.
	Betas []string

	// Sent, when set, is called once the first event of a stream has come: Body, Chat and
	// Embed are not read after it.
	Sent func()

	// Guardrail is what a cloud is to apply to the call; nil for none.
	Guardrail *Guardrail
	// Latency is the performance configuration that a cloud is asked for: "", LatencyStandard or LatencyOptimized.
	Latency string
	// Timeouts are the served model's bounds, which go before those of the engine. dispatch sets them, and Within before them.
	Timeouts Timeouts
	// Within are the API's own bounds, which go before the model's.
	Within Timeouts

	// Trace follows the call where it is traced; else nil.
	Trace Trace
	// Propagate is sent to the engine: the caller's trace context, or the attempt's in place of it.
	Propagate TraceContext

	// Dropped names the parts that the rules of the model that serves leave out, for the response's header.
	Dropped []string

	Facts Facts
	// Tier is that at which the call is served; TierAsked the one that the caller named, as Tier has it, "" for none.
	Tier      Tier
	TierAsked string
	Arrived   time.Time // wall clock at the front door
	Deadline  time.Time // zero: none known
}

// Opaque is what is known of bytes that nobody but the caller and the container understands.
type Opaque struct {
	ContentType string
	Accept      string   // of a request: the type that the answer should have
	Header      []Header // that the container is to see, or has set
}

// Header is a field of HTTP.
type Header struct{ Name, Value string }

// Lane is one of the ways in which a route may serve a call.
type Lane struct {
	Number int    // its place in the route, from 0
	Model  string // the catalogue's id of the model that serves in it
	// Enter makes the request what the lane's model takes. It is called before the first attempt in the lane, unless the request
	// has Entered it already; its error ends the call.
	Enter   func() error
	Entered bool
}

// The performance configurations of Bedrock.
const (
	LatencyStandard  = "standard"
	LatencyOptimized = "optimized"
)

// Guardrail names a guardrail of Bedrock, as the caller gave it.
type Guardrail struct {
	ID, Version string
	Trace       string // "enabled", "disabled", "enabled_full"; "" when not said
	StreamMode  string // "sync" or "async"; "" when not said
}

// Timeouts bounds the phases of a call. Zero means no bound of its own. FirstToken and
// BetweenTokens concern calls that stream; one that does not sends nothing before its end.
type Timeouts struct {
	Connect       time.Duration // dial and TLS handshake
	FirstToken    time.Duration // from the request sent to the first event
	BetweenTokens time.Duration // between two events
	Total         time.Duration // the whole call
}

// Over returns t with what it does not bound taken from the other.
func (t Timeouts) Over(other Timeouts) Timeouts {
	return Timeouts{
		Connect: cmp.Or(t.Connect, other.Connect), FirstToken: cmp.Or(t.FirstToken, other.FirstToken),
		BetweenTokens: cmp.Or(t.BetweenTokens, other.BetweenTokens), Total: cmp.Or(t.Total, other.Total),
	}
}

// Operated names what the call asks for in the words of OpenTelemetry (gen_ai.operation.name).
func (r *Request) Operated() string {
	switch {
	case r.Task == TaskEmbed:
		return "embeddings"
	case r.Dialect == DialectOpenAICompletions:
		return "text_completion"
	default:
		return "chat"
	}
}

// Facts is what admission, placement and routing need to know of a call; the dialect
// reads them without decoding the body in full.
type Facts struct {
	MaxTokens  int64 // the caller's bound on output per choice; 0 when absent
	N          int64 // number of choices asked for; 0 means 1
	TextBytes  int64 // bytes of text that the model will read
	MediaUnits int64 // tokens by formula for images and documents
	Media      int64 // number of images and documents
	PrefixHash uint64
	Uses       Features
	Model      string // "model" member of the body, where the dialect has one
	Stream     bool   // "stream" member of the body, where the dialect has one
	WantUsage  bool   // stream_options.include_usage
	User       string // end-user id the body carries, for logs only
	Tier       string // service_tier of the body, unparsed
	Version    string // anthropic_version of the body
	TopK       int64  // top_k of a body of Anthropic's dialect; 0 when absent
}

// Features is a set of things a request uses, to be held against what a model serves.
type Features uint32

// The features.
const (
	UsesSystem Features = 1 << iota
	UsesTools
	UsesImages
	UsesDocuments
	UsesVideo
	UsesAudio
	UsesCachePoints
	UsesReasoning
	UsesStop
	UsesResponseFormat
	UsesLogprobs
	UsesGuardrail
	UsesSeed
	UsesTopK
	UsesLatency // latency-optimised inference
)

// Has reports whether all features of g are in f.
func (f Features) Has(g Features) bool { return f&g == g }

// Usage counts tokens. Input excludes what was read from or written to a cache, as the
// Bedrock and Anthropic APIs count; dialects that include it add it back.
type Usage struct {
	Input      int64
	Output     int64
	CacheRead  int64
	CacheWrite int64
	Reasoning  int64 // part of Output
	// Estimated is set when the engine did not report usage and Forebay counted by its own ratio, and when what it
	// reported cannot be.
	Estimated bool
}

// Total is all tokens read and written.
func (u Usage) Total() int64 { return u.Input + u.Output + u.CacheRead + u.CacheWrite }

// maxCount is more tokens than any call has; what an engine reports beyond it is its mistake.
// Sums and prices of such counts stay far from the ends of an int64.
const maxCount = 1_000_000_000

// Bounded returns the usage with every count between zero and a thousand million, for counts
// that come from an engine; one that was not is marked as estimated.
func (u Usage) Bounded() Usage {
	for _, n := range []*int64{&u.Input, &u.Output, &u.CacheRead, &u.CacheWrite, &u.Reasoning} {
		if in := min(max(*n, 0), maxCount); in != *n {
			*n, u.Estimated = in, true
		}
	}
	return u
}
