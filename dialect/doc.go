// Package dialect knows the JSON languages in which models are called: one or a few files per family.
//
// # Model
//
// A Codec reads and writes one dialect in both directions. Towards clients it inspects a
// body for what admission needs, decodes it into infer.Chat or infer.Embed, and encodes
// results and event streams. Towards engines it encodes requests and decodes results and
// streams. A body whose dialect the engine speaks is never decoded: Inspect is one scan of
// it, without allocation but for the names it returns, and the engine clients splice what
// they must (model, usage option, closing metrics) without touching another byte.
//
// # Invariants
//
//   - What Inspect accepts is one JSON object in UTF-8, no deeper than wire/scan allows, in
//     which no member that the dialect knows at the top comes twice, under whatever
//     escapes: Forebay and the engine cannot read two different values. What decodes has
//     passed Inspect with the same values (a fuzz target holds them together), but for names
//     that differ from a control member's in case, which Inspect alone refuses.
//   - A conversion refuses what the other dialect cannot express, naming it (fault.Invalid,
//     with the parameter as its Code), or drops it and says so; it never loses anything in
//     silence. Decoding is strict for the same reason: a member that is not known has no
//     place in infer.Chat. Members of the body itself go into Chat.Extra, and on to engines
//     of the same dialect only.
//   - What decode(encode(chat)) and a stream's events add up to is what went in, for
//     everything a dialect can express. docs/dialects.md is the table of that, made by
//     asking the encoders.
//   - Answers of engines are read leniently (duplicate names, invalid UTF-8, null and
//     missing members, usage anywhere); what cannot be understood is fault.StreamFailed, and an error
//     that the engine reports is too, with its own words in OriginalMessage.
//
// A breach of a dialect's schema is reported in the words of the service that owns the
// dialect: Anthropic's ("max_tokens: Field required"), OpenAI's ("Missing required
// parameter: 'messages'."), or those of the validator in front of Bedrock's native bodies
// ("#: required key [prompt] not found"). Native translates the first into the last.
//
// A cache point at the very start of Chat.System stands behind the tools, which come
// before the system prompt in what a model reads.
//
// # Concurrency
//
// Codecs are immutable and safe for concurrent use. Stream encoders and decoders belong to
// one response and one goroutine.
package dialect
