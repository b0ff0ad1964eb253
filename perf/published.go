package perf

import "fmt"

// Profiles are engines with published coefficients, ordered by name. "instant" takes no
// time at all, for tests; "demo" is quick enough to watch.
//
// Where the source gives no memory or batch, KV is 0.9 of the accelerators' memory less
// 16-bit weights, by the model's own KV bytes per token (128 KiB for Llama-3 8B, 320 KiB for
// the 70B ones), rounded down, and batch and chunk are the engine's defaults. Measured is what the source's samples span; BLIS publishes no samples.
var Profiles = []Profile{
	{
		Name: "codellama-34b/h100", Source: "BLIS defaults.yaml at 938f8d88, vLLM 0.8.4",
		Step: 26_600 * micro, PrefillToken: 96_300_000, Sequence: 57 * micro,
		MaxBatch: 256, Chunk: 2048, KV: 20_000, Block: 16, Recompute: permille,
	},
	{
		Name: "demo", Source: "chosen to be pleasant to watch, not measured",
		Step: 18 * milli, PrefillToken: 40 * micro, Sequence: 60 * micro,
		MaxBatch: 64, Chunk: 2048, KV: 500_000, Block: 16, Recompute: permille,
	},
	{
		Name: "instant", Source: "no engine: for tests",
		MaxBatch: 4096, Chunk: 1 << 40, KV: 1 << 40, Block: 1, Recompute: permille,
	},
	{
		Name: "llama-2-70b/4xh100", Source: "Splitwise-sim data/perf_model.csv, medians",
		Step: 28_300 * micro, PrefillToken: 111 * micro, Sequence: 352 * micro,
		MaxBatch: 256, Chunk: 2048, KV: 450_000, Block: 16, Recompute: permille,
		Measured: Range{Least: 1, Most: 64, Prompt: 8192, Context: 64 * (512 + 128)},
	},
	{
		Name: "llama-2-70b/8xh100", Source: "Splitwise-sim data/perf_model.csv, medians",
		Step: 29_900 * micro, PrefillToken: 98 * micro, Sequence: 307 * micro,
		MaxBatch: 256, Chunk: 2048, KV: 1_300_000, Block: 16, Recompute: permille,
		Measured: Range{Least: 1, Most: 64, Prompt: 8192, Context: 64 * (512 + 128)},
	},
	{
		Name: "llama-2-7b/a10g", Source: "VTC artifact cost_profile.json, fit over 16 points, residual up to 10 %",
		Step: 16_300 * micro, PrefillToken: 213 * micro, ContextToken: 2_020_000, Sequence: 245 * micro,
		MaxBatch: 64, Chunk: 2048, KV: 10_000, Block: 1, Recompute: permille,
		Measured: Range{Most: 1111, Prompt: 512, Context: 10_000}, // the points have 13 sequences and more, the artifact's own runs fewer
	},
	{
		Name: "llama-3.1-8b/a100-80", Source: "BLIS defaults.yaml at 938f8d88, vLLM 0.8.4",
		Step: 16_400 * micro, PrefillToken: 47_800_000, Sequence: 18 * micro,
		MaxBatch: 256, Chunk: 2048, KV: 400_000, Block: 16, Recompute: permille,
	},
	{
		Name: "llama-3.1-8b/rtx-4090", Source: "LLMServingSim bench/examples at 5daddb21, fit of the run on vLLM 0.19",
		Step: 16_300 * micro, PrefillToken: 85 * micro, ContextToken: 210_000, Sequence: 27 * micro,
		MaxBatch: 256, Chunk: 2048, KV: 41_408, Block: 16, Recompute: permille,
		Measured: Range{Least: 1, Most: 50, Prompt: 3998, Context: 41_408},
	},
	{
		Name: "llama-3.1-8b/rtx-pro-6000", Source: "LLMServingSim bench/examples at 5daddb21, fit of the run on vLLM 0.19",
		Step: 13_100 * micro, PrefillToken: 41_700_000, ContextToken: 52_000, Sequence: 61 * micro,
		MaxBatch: 128, Chunk: 2048, KV: 500_000, Block: 16, Recompute: permille,
		Measured: Range{Least: 1, Most: 128, Prompt: 3998, Context: 104_567},
	},
	{
		Name: "llama-3.3-70b/4xh100", Source: "BLIS defaults.yaml at 938f8d88, vLLM 0.8.4",
		Step: 12_600 * micro, PrefillToken: 76_400_000, Sequence: 67 * micro,
		MaxBatch: 256, Chunk: 2048, KV: 450_000, Block: 16, Recompute: permille,
	},
	{
		Name: "opt-13b/a100-80", Source: "DistServe simdistserve/estimators/profile_data, vLLM, batches under 95",
		Step: 23_475 * micro, PrefillToken: 140_509_000, ContextToken: 593_000, Sequence: 60_727_000,
		MaxBatch: 256, Chunk: 2048, KV: 66_144, Block: 16, Recompute: permille,
		Measured: Range{Least: 1, Most: 94},
	},
	{
		Name: "qwen3-14b/h100", Source: "BLIS defaults.yaml at 938f8d88, vLLM 0.8.4",
		Step: 13_600 * micro, PrefillToken: 39_400_000, Sequence: 27 * micro,
		MaxBatch: 256, Chunk: 2048, KV: 260_000, Block: 16, Recompute: permille,
	},
}

// Named returns the profile with the name.
func Named(name string) (Profile, error) {
	names := make([]string, 0, len(Profiles))
	for _, p := range Profiles {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Profile{}, fmt.Errorf("no engine profile %q; there are %q", name, names)
}
