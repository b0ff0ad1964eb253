// Package trace reads recorded traffic from files: CSV and JSON, one row a call or one row a window of time with a count, also compressed by gzip.
// What a column means is guessed from its name, told, and can be overridden.
//
// Forms that are known by their columns: the Azure LLM inference traces of 2023 and 2024, BurstGPT, Mooncake's and Qwen's with hashes of blocks, logs of
// vLLM benchmark runs, model-invocation logs of Amazon Bedrock, LiteLLM's spend logs, and counts by the minute as CloudWatch exports them.
package trace
