package infer

// Role is who speaks in a message.
type Role string

// The roles. Tool results are blocks of a user message, as in Converse and Anthropic Messages.
const (
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
	RoleSystem    Role = "system"
)

// Chat is a generation request in no particular dialect. Pointers are nil when the
// caller said nothing, so that the engine's own default applies.
type Chat struct {
	System   []Block
	Messages []Message
	// Prompt is set instead of Messages by completion-style families: text that is
	// already in the model's own template and must reach the engine as it is.
	Prompt *string
	Suffix string // text after the gap, for fill-in-the-middle completions

	MaxTokens        *int64
	Temperature      *float64
	TopP             *float64
	TopK             *int64
	MinP             *float64
	Stop             []string
	Seed             *int64
	N                *int64
	FrequencyPenalty *float64
	PresencePenalty  *float64
	Logprobs         *bool
	TopLogprobs      *int64
	Echo             bool

	Tools             []Tool
	ToolChoice        ToolChoice
	ParallelToolCalls *bool
	ResponseFormat    *ResponseFormat
	Reasoning         *Reasoning

	User string
	// ResponseFields are JSON pointers to members of the model's own answer that the caller
	// wants beside the common ones (Converse).
	ResponseFields []string
	// Extra holds JSON members that the request's dialect does not define (for Converse:
	// additionalModelRequestFields). An encoder of the same family passes them on; another
	// one refuses what it cannot express.
	Extra map[string][]byte
	// ExtraFrom is the dialect whose members Extra holds.
	ExtraFrom Dialect
}

// Message is one turn.
type Message struct {
	Role    Role
	Name    string
	Content []Block
}

// BlockKind says which fields of a Block are used.
type BlockKind uint8

// The block kinds.
const (
	BlockText BlockKind = iota
	BlockImage
	BlockDocument
	BlockVideo
	BlockAudio
	BlockToolUse
	BlockToolResult
	BlockThinking // Text and Signature
	BlockRedacted // Data: reasoning the model encrypted
	BlockCachePoint
)

// Block is a piece of content: a tagged struct rather than an interface, so that it can
// be built, compared and copied without allocation games.
type Block struct {
	Kind      BlockKind
	Text      string // text, thinking
	Signature string // of a thinking block

	Media Media // image, document, video, audio

	ToolID    string  // tool use and tool result
	ToolName  string  // tool use
	ToolInput []byte  // tool use: JSON object
	ToolError bool    // tool result: the tool failed
	Content   []Block // tool result

	Data     []byte // redacted reasoning
	CacheTTL string // cache point: "", "5m", "1h"
	Cite     bool   // document: the answer should cite it

	Citations []Citation // text of an answer: what it rests on
}

// CitedUnit is what the places of a citation count.
type CitedUnit uint8

// The units: characters, pages (from one), and blocks of a document that came in blocks.
const (
	CitedChars CitedUnit = iota
	CitedPages
	CitedBlocks
)

// Citation is a part of a document that a text rests on.
type Citation struct {
	Document   int // among the documents of the request, from 0
	Title      string
	Unit       CitedUnit
	Start, End int64  // End is behind the last
	Text       string // the cited words
}

// Media is an image, document, video or audio clip, inline or by reference.
type Media struct {
	Format string // "png", "jpeg", "gif", "webp", "pdf", "txt", ...
	Name   string // documents
	Data   []byte // decoded bytes; nil when URI is set
	URI    string // https:// or s3:// location
	Detail string // OpenAI's image detail, "" when not said
}

// Tool is a function the model may call.
type Tool struct {
	Name        string
	Description string
	Schema      []byte // JSON schema of the input
	Strict      *bool
}

// ToolChoice says whether and which tool must be used. Mode is "" (the model's
// default), "auto", "any", "none" or "tool" with Name.
type ToolChoice struct {
	Mode string
	Name string
}

// ResponseFormat asks for text, a JSON object, or JSON of a schema.
type ResponseFormat struct {
	Type   string // "text", "json_object", "json_schema"
	Name   string
	Schema []byte
	Strict *bool
}

// Reasoning asks the model to think before it answers.
type Reasoning struct {
	Enabled bool
	Budget  int64  // tokens; 0 when not said
	Effort  string // "low", "medium", "high"; "" when not said
}

// Embed is an embedding request in no particular dialect.
type Embed struct {
	Inputs     []string
	Images     []Media
	Tokens     [][]int64 // OpenAI allows token arrays instead of text
	Dimensions *int64
	Normalize  *bool
	Types      []string // "float", "binary", "int8", ...
	InputType  string   // Cohere's input_type
	Truncate   string
	Encoding   string // OpenAI's encoding_format: "float" or "base64"
	User       string
}
