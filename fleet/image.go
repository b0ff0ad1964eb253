package fleet

import (
	_ "embed"
	"maps"
	"slices"
)

// Image is what an image's name stands for: a command, and how the thing that it starts is spoken to.
type Image struct {
	// Command and Env may hold the places of engine.Spec, and those below.
	Command []string
	Env     []string
	// Protocol is the language of calls; Flavour that of an engine with the OpenAI protocol, as openaiclient names it.
	Protocol Protocol
	Flavour  string
	// Health is the path that is answered with status 200 when calls can be; "" is the protocol's own: /ping of a container, /health of an engine.
	Health string
	// Metrics is the path of the engine's own figures, "" for none.
	Metrics string
}

// The places in commands that the fleet fills, beside those of engine.Spec.
const (
	// PlaceGGUF is the GGUF file among the weights.
	PlaceGGUF = "{gguf}"
	// PlaceName is what calls name the model.
	PlaceName = "{name}"
)

// handlerScript serves a handler in Python by the container contract.
//
//go:embed handler.py
var handlerScript string

// presets are the images that are known without configuration.
var presets = map[string]Image{
	"llama-server": {
		Command:  []string{"llama-server", "--host", "{host}", "--port", "{port}", "--model", "{gguf}", "--parallel", "{slots}", "--alias", "{name}", "--metrics"},
		Protocol: ProtocolOpenAI, Flavour: "llama-server", Health: "/health", Metrics: "/metrics",
	},
	"vllm": {
		Command:  []string{"vllm", "serve", "{model}", "--host", "{host}", "--port", "{port}", "--served-model-name", "{name}", "--max-num-seqs", "{slots}"},
		Protocol: ProtocolOpenAI, Flavour: "vllm", Health: "/health", Metrics: "/metrics",
	},
	"sglang": {
		Command: []string{
			"python3", "-m", "sglang.launch_server", "--model-path", "{model}", "--host", "{host}", "--port", "{port}", "--served-model-name", "{name}",
			"--max-running-requests", "{slots}", "--enable-metrics",
		},
		Protocol: ProtocolOpenAI, Flavour: "sglang", Health: "/health", Metrics: "/metrics",
	},
	"tgi": {
		Command:  []string{"text-generation-launcher", "--model-id", "{model}", "--hostname", "{host}", "--port", "{port}", "--max-concurrent-requests", "{slots}"},
		Protocol: ProtocolOpenAI, Flavour: "tgi", Health: "/health", Metrics: "/metrics",
	},
	"ollama": {
		Command: []string{"ollama", "serve"}, Env: []string{"OLLAMA_HOST={host}:{port}", "OLLAMA_MODELS={model}", "OLLAMA_NUM_PARALLEL={slots}"},
		Protocol: ProtocolOpenAI, Flavour: "ollama", Health: "/api/version",
	},
	"python": {
		Command: []string{"python3", "-u", "-c", handlerScript}, Protocol: ProtocolContainer, Health: "/ping",
	},
}

// Preset returns the image that is known by a name without configuration.
func Preset(name string) (Image, bool) {
	i, ok := presets[name]
	return i, ok
}

// Presets are the names of those, in order.
func Presets() []string { return slices.Sorted(maps.Keys(presets)) }
