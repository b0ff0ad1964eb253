package config

import (
	"strings"
	"testing"
)

func TestReplicas(t *testing.T) {
	for text, want := range map[string]string{
		"images: {churn: {command: [./serve, '--port', '{port}'], env: [MODE=fast], health: /healthz}, fast: {from: vllm, env: [A=b]}}": "",
		"images: {llama-server: {from: llama-server, command: [/opt/llama-server, '--model', '{gguf}']}}":                               "",
		"instances: {ml.m5.large: {cpus: 2, memory: 8GiB}, ml.g5.xlarge: {gpus: 1}}":                                                    "",
		"replicas: {cpus: 8, memory: 32GiB, gpus: ['0', GPU-8f1], cgroup: /sys/fs/cgroup/forebay}":                                      "",
		"images: {churn: {env: [A=b]}}":                                       "images.churn.command",
		"images: {churn: {command: [x, '{prot}']}}":                           "{prot}",
		"images: {churn: {command: [x], env: [A]}}":                           "images.churn.env",
		"images: {churn: {command: [x], health: ping}}":                       "\"ping\"",
		"images: {churn: {command: [x], protocol: grpc}}":                     "images.churn.protocol",
		"images: {churn: {command: [x], protocol: container, flavour: vllm}}": "images.churn.flavour",
		"instances: {ml.m5.large: {cpus: -1}}":                                "instances.ml.m5.large",
		"replicas: {cgroup: forebay}":                                         "replicas.cgroup",
		"replicas: {cpus: -1}":                                                "replicas.cpus",
	} {
		got := faults(t, text)
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0], want)) {
			t.Errorf("%s: %q", text, got)
		}
	}
}
