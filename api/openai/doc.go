// Package openai serves the OpenAI API: chat completions, completions, embeddings and
// models, under /v1 and, as Bedrock does, under /openai/v1. A call whose engine speaks
// the same dialect passes through byte for byte, but for the model's name in both
// directions and the usage chunk that metering asks for.
package openai
