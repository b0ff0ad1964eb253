// Package bedrockclient speaks to bedrock-runtime: AWS itself, or another Forebay.
//
// # Splices
//
// A body in the dialect of the model's family passes through InvokeModel. Bodies of the
// Anthropic family lose "model" and "stream", which Bedrock has in the path, and get
// "anthropic_version" (and "anthropic_beta" for values of that header) where they lack it; chat
// completions lose "model", "stream" and "stream_options". No other byte of a request
// changes. From the last chunk of a stream "amazon-bedrock-invocationMetrics" is taken away and
// read as usage, since whoever answers the client adds metrics of its own.
//
// A Converse body passes through Converse and ConverseStream, and their answers come back as they
// are; it loses "guardrailConfig" and "performanceConfig" where the model's rules leave them out.
//
// Calls in other dialects are converted: chats go through Converse and ConverseStream,
// embeddings through InvokeModel in the family's dialect.
package bedrockclient
