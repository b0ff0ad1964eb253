package cli

import (
	"strings"

	"github.com/alecthomas/kong"
)

// examples are shown in the help of each verb. A test parses them.
var examples = map[string]string{
	"up":                "forebay up --serve anthropic.claude-3-haiku-20240307-v1:0=ollama/llama3.2",
	"demo":              "forebay demo",
	"calibrate":         "forebay calibrate meta.llama3-8b-instruct-v1:0 --kv 400000 --html calibration.html",
	"top":               "forebay top --every 2s",
	"plan":              `forebay plan --model anthropic.claude-3-haiku-20240307-v1:0 --shape '50000/day, 80% 09-17, 1% 22-06, America/New_York, peak x2, in 1000, out 300'`,
	"prove":             "forebay prove --only idle --dir proof",
	"replay":            "forebay replay --quiet events/forebay-0000000001.events",
	"env":               "forebay env --shell fish --tls",
	"invoke":            "forebay invoke --model amazon.nova-lite-v1:0 'What is a forebay?'",
	"models list":       "forebay models",
	"models show":       "forebay models show amazon.nova-lite-v1:0",
	"models add":        "forebay models add my-model --engine vllm/org/model --context 32768 --price-input '0.10 USD' --price-output '0.40 USD'",
	"models price":      "forebay models price my-model --input '0.10 USD' --output '0.40 USD' --flex 0.5 --source 'price list of May'",
	"models remove":     "forebay models remove my-model",
	"models pull":       "forebay models pull hf://Qwen/Qwen2.5-0.5B-Instruct-GGUF/qwen2.5-0.5b-instruct-q4_k_m.gguf",
	"models pulled":     "forebay models pulled",
	"models prune":      "forebay models prune --unused-for 720h",
	"route list":        "forebay route",
	"route show":        "forebay route show chat --json",
	"route create":      "forebay route create chat --lane anthropic.claude-3-haiku-20240307-v1:0,spill=over-rate,failover --lane amazon.nova-lite-v1:0",
	"route set":         "forebay route set chat --file lanes.yaml",
	"route delete":      "forebay route delete chat",
	"route test":        "forebay route test chat --input 2000 --max-tokens 500",
	"engines list":      "forebay engines",
	"engines show":      "forebay engines show local",
	"engines add":       "forebay engines add local --url http://127.0.0.1:8000/v1 --flavour vllm --slots 64",
	"engines remove":    "forebay engines remove local",
	"accounts list":     "forebay accounts",
	"accounts create":   "forebay accounts create 111111111111 --name research --tokens-per-minute 100000",
	"accounts set":      "forebay accounts set 111111111111 --name research --spend-per-month '500 USD'",
	"accounts delete":   "forebay accounts delete 111111111111",
	"teams list":        "forebay teams --account 111111111111",
	"teams create":      "forebay teams create search --spend-per-day '20 USD' --max-tier default",
	"teams set":         "forebay teams set search --spend-per-day '40 USD'",
	"teams delete":      "forebay teams delete search",
	"provision list":    "forebay provision",
	"provision create":  "forebay provision create chat --model anthropic.claude-3-haiku-20240307-v1:0 --units 2 --commitment one-month",
	"provision reserve": "forebay provision reserve steady --model anthropic.claude-3-haiku-20240307-v1:0 --input 50000 --output 5000",
	"provision show":    "forebay provision show chat --json",
	"provision divide":  "forebay provision divide chat --team search=3 --team lab=2",
	"provision delete":  "forebay provision delete chat --at-term-end",
	"keys list":         "forebay keys --json",
	"keys create":       "forebay keys create ci --team search --allow-model 'amazon.*' --requests-per-minute 60 --expires-in 720h",
	"keys revoke":       "forebay keys revoke key_abcdefghijklmnop",
	"keys rotate":       "forebay keys rotate key_abcdefghijklmnop",
	"usage":             "forebay usage --by day,model --since 168h --csv",
	"explain":           "forebay explain 01234567-89ab-cdef-0123-456789abcdef",
	"config validate":   "forebay config validate forebay.yaml",
	"config show":       "forebay config show",
	"config schema":     "forebay config schema > forebay.schema.json",
	"config logging":    "forebay config logging --json",
	"config export":     "forebay config export > exported.yaml",
	"doctor":            "forebay doctor",
	"completion":        "source <(forebay completion bash)",
	"version":           "forebay version --json",
}

// explain puts the examples into the help of the verbs.
func explain(m *kong.Application) {
	for _, verb := range m.Leaves(true) {
		if x := examples[path(verb)]; x != "" {
			verb.Detail = strings.TrimSpace(verb.Detail + "\n\nExample:\n\n    " + x)
		}
	}
}

// path is a verb as it is written, without the name of the program and arguments.
func path(n *kong.Node) string {
	var names []string
	for ; n != nil && n.Type == kong.CommandNode; n = n.Parent {
		names = append([]string{n.Name}, names...)
	}
	return strings.Join(names, " ")
}
