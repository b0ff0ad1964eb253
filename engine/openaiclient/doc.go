// Package openaiclient speaks to whatever serves OpenAI's chat completions, completions
// and embeddings: llama-server, vLLM, SGLang, TGI, Ollama and clouds.
//
// # Splices
//
// A body in a dialect that the engine speaks passes through with these members changed and
// no other byte: "model" is set to the engine's name of the model where that is known and
// differs; "stream" is set when the API decides it outside the body; and for
// a stream "stream_options.include_usage" is set to true, since metering needs it. The chunk that
// reports usage is then kept from a client that did not ask for it: its usage comes with the
// last event, or as an EventUsage without Raw. Nothing in a response is changed; engines that
// add "usage": null to the other chunks when asked for usage do so for every client.
//
// Other calls are converted by package dialect into chat completions, or completions when there
// is only a prompt, or embeddings.
package openaiclient
