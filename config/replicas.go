package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Image is what an image's name stands for: a command that is started for each replica.
type Image struct {
	From     string   `yaml:"from,omitempty" doc:"The preset, or image, whose members hold where nothing is said here: llama-server, vllm, sglang, tgi, ollama or python."`
	Command  []string `yaml:"command,omitempty" doc:"The program with its arguments. {host}, {port}, {model} (the folder of the weights), {gguf} (the GGUF file in it), {name} and {slots} are filled in."`
	Env      []string `yaml:"env,omitempty" doc:"Variables, NAME=value, with the same places."`
	Protocol string   `yaml:"protocol,omitempty" enum:",container,openai" doc:"What it speaks: the container contract of SageMaker (when left out), or OpenAI's API."`
	Flavour  string   `yaml:"flavour,omitempty" enum:",llama-server,vllm,sglang,tgi,ollama,openai" doc:"Which engine it is, of those that speak OpenAI's API."`
	Health   string   `yaml:"health,omitempty" doc:"The path whose GET is answered with status 200 when it can take calls; /ping when left out, /health with OpenAI's API."`
	Metrics  string   `yaml:"metrics,omitempty" doc:"The path of its own figures."`
}

// Instance is an instance type.
type Instance struct {
	CPUs   int  `yaml:"cpus,omitempty" doc:"Processors that a replica takes."`
	Memory Size `yaml:"memory,omitempty" doc:"Memory that a replica takes."`
	GPUs   int  `yaml:"gpus,omitempty" doc:"GPUs that a replica has for itself."`
}

// Replicas says what the replicas of endpoints may use of this machine.
type Replicas struct {
	CPUs   int      `yaml:"cpus,omitempty" doc:"Processors of all replicas together; 0 is no bound."`
	Memory Size     `yaml:"memory,omitempty" doc:"Memory of all replicas together; 0 is no bound."`
	GPUs   []string `yaml:"gpus,omitempty" doc:"The GPUs that are given out, as CUDA_VISIBLE_DEVICES names them."`
	Cgroup string   `yaml:"cgroup,omitempty" doc:"A delegated cgroup v2 folder, such as /sys/fs/cgroup/forebay, in which bounds of replicas are enforced; without one they are counted alone."`
}

// imagePlace is what may stand in braces in commands and variables.
var imagePlace = regexp.MustCompile(`\{[a-z_]+\}`)

var imagePlaces = []string{"{host}", "{port}", "{model}", "{gguf}", "{name}", "{slots}"}

func (c *Config) checkReplicas(k *checker) {
	for _, name := range slices.Sorted(maps.Keys(c.Images)) {
		i, at := c.Images[name], "images."+name
		if len(i.Command) == 0 && i.From == "" {
			k.bad(at+".command", "is missing: give a command, or the preset that it is from")
		}
		if i.From == name && len(i.Command) > 0 { // a preset by another command
			i.From = ""
		}
		for _, path := range []string{i.Health, i.Metrics} {
			if path != "" && !strings.HasPrefix(path, "/") {
				k.bad(at, "%q is not a path: it begins with a slash", path)
			}
		}
		for _, v := range i.Env {
			if key, _, ok := strings.Cut(v, "="); !ok || key == "" {
				k.bad(at+".env", "%q is not NAME=value", v)
			}
		}
		for _, text := range append(slices.Clone(i.Command), i.Env...) {
			for _, place := range imagePlace.FindAllString(text, -1) {
				if !slices.Contains(imagePlaces, place) && len(text) < 1000 { // a script may have braces of its own
					k.bad(at, "%s is not known: %s are", place, strings.Join(imagePlaces, ", "))
				}
			}
		}
		if i.Flavour != "" && i.Protocol == "container" {
			k.bad(at+".flavour", "is of engines that speak OpenAI's API")
		}
	}
	if g := c.Replicas.Cgroup; g != "" && !strings.HasPrefix(g, "/") {
		k.bad("replicas.cgroup", "%q is not an absolute path", g)
	}
}
