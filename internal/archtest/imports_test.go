package archtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// node is a package, or a group of them (ending in /), in the diagram.
type node struct {
	pkg string
	may []string // packages of the module it may import, or groups ending in /
	why string   // the reason and the remedy, shown when it imports another
}

// diagram is who may import whom. The first entry that matches a package holds. A new package
// is drawn in here first.
var diagram = []node{
	{"fault", nil, "the vocabulary of failures stands alone, so that everything can use it"},
	{"infer", nil, "the vocabulary of calls stands alone, so that everything can use it"},
	{"perf", []string{"infer", "fault"}, "the engine model is pure and knows nothing of the live system"},
	{"capacity/codec", nil, "a format is described in terms of plain values"},
	{"capacity/eventlog", []string{"capacity", "capacity/codec"}, "the log is a format; who writes it, and where, is for dispatch"},
	{"capacity/scale", []string{"capacity/codec"}, "rules take what was seen of a pool and give a number; whose pool it is belongs to capacity"},
	{"capacity/script", []string{"capacity", "capacity/scale"}, "the text form of what the scheduler takes and gives"},
	{"capacity", []string{"capacity/codec", "capacity/scale", "perf", "infer", "fault"}, "the scheduler is pure: what it needs enters as an event, what it wants leaves as an action; put the rest into dispatch"},
	{"workload/ledger", []string{"fault", "internal/minheap", "meter", "workload"}, "calls of a ledger become traffic; where the ledger is, and who may see it, is for cli"},
	{"workload/arrival", []string{"internal/minheap"}, "processes of arrival draw numbers; what calls they stand for is for those who ask"},
	{"workload/rows", []string{"fault", "workload"}, "rows of files are texts; what they mean is for those who read them"},
	{"workload/servegen", []string{"fault", "workload", "workload/arrival", "workload/rows"}, "parameters become traffic; what it costs is for plan"},
	{"workload/trace", []string{"fault", "internal/minheap", "workload", "workload/rows", "workload/servegen"}, "a file becomes traffic; what it costs is for plan"},
	{"workload", []string{"infer", "fault"}, "traffic is data; who makes calls of it is for sim and plan"},
	{"sim", []string{"capacity", "internal/minheap", "perf"}, "a virtual clock over the scheduler and the engine model, and nothing of the live system"},
	{"plan/clouds", []string{"fault"}, "rules of other clouds take calls and give verdicts; who calls is for plan"},
	{"plan/interval", []string{"fault", "plan/purchase"}, "intervals are of plain days; where these come from is for plan"},
	{"plan/purchase", []string{"fault"}, "the theory of buying works on plain series of volume; where they come from is for plan"},
	{"plan/report", []string{"internal/axis", "plan"}, "a report shows an answer and computes nothing"},
	{"plan/shape", []string{"fault", "workload", "workload/arrival"}, "words become traffic; what it costs is for plan"},
	{"plan/replay", []string{"capacity", "capacity/scale", "internal/minheap", "perf", "plan/clouds", "sim", "workload"}, "a replay says what happens; what it costs is for plan"},
	{"plan", []string{"capacity/scale", "catalog", "fault", "infer", "perf", "plan/", "workload"}, "a plan is worked out from values: the traffic, the offers, the clock of sim; who asks, and where files are, is for cli"},
	{"prove", []string{"capacity", "capacity/eventlog", "internal/axis", "perf"}, "experiments call a server from outside, as its clients do, and read its record"},
	{"calibrate", []string{"perf"}, "a fit of the engine model over measurements; who makes the calls, and where the result is kept, is for its callers"},
	{"identity", []string{"infer", "fault"}, "identity evaluates what it is given; loading keys is for store, wiring for server"},
	{"catalog", []string{"infer", "fault"}, "the catalogue is data"},

	{"wire/", []string{"wire", "wire/", "fault"}, "wire turns bytes into shapes and knows no operation; put meaning into api or dialect"},
	{"wire", []string{"wire/", "fault"}, "wire turns bytes into shapes and knows no operation; put meaning into api or dialect"},
	{"dialect", []string{"infer", "fault", "wire", "wire/"}, "a dialect translates; it depends on the vocabulary alone"},

	{"api", []string{"catalog", "dialect", "fault", "identity", "infer", "wire", "wire/"}, "an API hands calls to a handler and never sees engine, store or scheduler; server connects them"},
	{"api/admin", []string{"accrual", "api", "catalog", "fault", "identity", "infer", "invocationlog", "meter", "provision", "resource", "wire", "wire/"}, "the admin API shows what others own through interfaces of its own; server connects them"},
	{"api/bedrock", []string{"api", "artifact", "catalog", "custom", "fault", "identity", "invocationlog", "profile", "provision", "resource", "wire/"}, "the control plane asks those who keep what callers make; it sees no table and no engine"},
	{"api/sagemaker", []string{"api", "endpoint", "fault", "identity", "resource", "wire/"}, "the control plane asks those who keep what callers deploy; it sees no table and no instance"},
	{"api/autoscaling", []string{"api", "endpoint", "fault", "identity", "resource", "wire/"}, "what scales belongs to those who keep endpoints, and how it scales to capacity"},
	{"api/sagemakerruntime", []string{"api", "endpoint", "fault", "identity", "infer", "resource", "wire", "wire/"}, "calls of endpoints go through the gateway as all calls do; which variant takes one is said by those who keep endpoints"},
	{"api/", []string{"api", "catalog", "dialect", "fault", "identity", "infer", "wire", "wire/"}, "an API never imports an engine, a store or another API; what APIs share belongs into package api"},

	{"engine", []string{"infer", "fault"}, "the ports know no implementation"},
	{"engine/enginetest/", []string{"infer", "fault", "wire/"}, "the scripted upstream must not share code with the clients it is to judge"},
	{"engine/enginetest", []string{"dialect", "engine", "engine/enginetest/", "engine/upstream", "fault", "infer", "wire/"}, "the conformance suite knows the port, not the clients"},
	{"engine/simulated", []string{"engine", "fault", "infer", "perf"}, "an engine answers calls and decides nothing; what it needs comes with the request"},
	{"engine/", []string{"engine", "engine/reply", "engine/splice", "engine/upstream", "dialect", "fault", "infer", "wire", "wire/"}, "an engine answers calls and decides nothing; what it needs comes with the request"},

	{"dispatch", []string{"capacity", "capacity/eventlog", "capacity/scale", "catalog", "engine", "fault", "identity", "infer", "meter"}, "dispatch is the scheduler's live shell and knows the port, not the engines, APIs or stores"},
	{"meter/tracing", []string{"fault", "infer"}, "tracing is told of calls by those who carry them; it asks nobody"},
	{"meter/bulk", nil, "a way of writing to SQLite, which knows nothing of what is written"},
	{"meter", []string{"catalog", "fault", "infer", "internal/filelock", "meter/bulk"}, "metering takes finished records; it never asks the road they came"},
	{"accrual", []string{"meter", "provision"}, "accrual posts what was bought; by which cost, and in which zone, is for server to connect"},
	{"fleet", []string{"capacity/scale", "engine", "fault", "infer"}, "a fleet says what runs and is told how much should; the scheduler, the weights and the launcher are connected by server"},
	{"store", []string{"fault", "identity", "infer"}, "a store keeps what it is given; its consumers define what"},
	{"provision", []string{"catalog", "fault", "resource", "store"}, "what is bought, and when it begins and ends; pools and models answer through its ports, and server connects them"},
	{"resource", []string{"fault", "store"}, "how resources are named, tagged and listed; what a kind of them is belongs to its own package"},
	{"artifact/weights", []string{"fault"}, "formats of weights, read from any file system"},
	{"artifact/cache", []string{"artifact", "artifact/fetch", "artifact/unpack", "fault", "internal/filelock"}, "weights are kept for whoever asks; who runs an engine on them is for fleet"},
	{"artifact/fetch", []string{"artifact", "fault", "internal/version"}, "sources are asked, and files brought; where these are kept, and for whom, is for cache"},
	{"artifact/unpack", []string{"artifact", "fault"}, "an archive becomes files of a folder; whose it is, and how much room there is, is for cache"},
	{"artifact", []string{"fault"}, "where objects lie; what they are is for others"},
	{"invocationlog", []string{"artifact", "fault", "infer", "resource", "store"}, "records are made of what the road tells; it never asks"},
	{"custom", []string{"artifact", "artifact/weights", "fault", "resource", "store"}, "what callers bring, and what becomes of it; serving it is for server"},
	{"endpoint", []string{"artifact", "capacity/scale", "engine", "fault", "fleet", "resource", "store"}, "what is deployed, and what becomes of it; who runs it answers through its ports, and server connects them"},
	{"profile", []string{"catalog", "fault", "resource", "store"}, "profiles are names for models; how calls by them are served is not theirs"},
	{"config", []string{"artifact", "capacity", "catalog", "fault", "identity", "infer", "meter", "perf"}, "configuration is values; building from them is for server"},

	{"server", []string{"accrual", "api", "api/", "artifact", "artifact/", "capacity", "catalog", "config", "custom", "dialect", "dispatch", "endpoint", "engine", "engine/", "fault", "fleet", "identity", "infer", "internal/", "invocationlog", "meter", "meter/", "perf", "profile", "provision", "resource", "store", "store/", "wire", "wire/"}, "the server is the only wiring and is itself started by cli"},
	{"cli", []string{"accrual", "api/admin", "artifact", "artifact/cache", "artifact/fetch", "calibrate", "capacity", "capacity/eventlog", "capacity/scale", "capacity/script", "catalog", "config", "fault", "identity", "internal/", "meter", "perf", "plan", "plan/", "prove", "server", "wire/", "workload", "workload/"}, "the command line is a client of the admin API; only up, demo and prove start a server, only plan works something out, pull fills the cache of weights, which programs share, and nothing opens a store"},
	{"cmd/forebay", []string{"cli"}, "main is signals and an exit code; the rest belongs into cli"},
	{"bench", []string{"internal/"}, "what measures the program must not share code with it"},
	{"internal/", []string{"internal/"}, "internal packages serve tests and builds and depend on nothing that they serve"},
	{"test/", nil, "these folders hold tests only"},
}

// draws reports whether a pattern of the diagram stands for a package.
func draws(pattern, pkg string) bool {
	if group, ok := strings.CutSuffix(pattern, "/"); ok {
		return strings.HasPrefix(pkg, group+"/")
	}
	return pkg == pattern
}

func importsFollowTheDiagram(files []file) []string {
	var out []string
	for i := range files {
		f := &files[i]
		if f.test {
			continue // tests may look from outside at anything
		}
		at := slices.IndexFunc(diagram, func(n node) bool { return draws(n.pkg, f.pkg) })
		if at < 0 {
			out = append(out, fmt.Sprintf("%s: package %s is not in the diagram of internal/archtest: decide whom it may import, and write it down there with the reason", f.path, f.pkg))
			continue
		}
		for _, imp := range f.imports() {
			pkg, ours := strings.CutPrefix(imp, module+"/")
			if ours && !slices.ContainsFunc(diagram[at].may, func(p string) bool { return draws(p, pkg) }) {
				out = append(out, fmt.Sprintf("%s imports %s: %s", f.path, imp, diagram[at].why))
			}
		}
	}
	return out
}

func TestImportsFollowTheDiagram(t *testing.T) { hold(t, importsFollowTheDiagram) }

// Each entry of the diagram stands for a package that is there.
func TestDiagramIsCurrent(t *testing.T) {
	files := load(t)
	for i, n := range diagram {
		if !slices.ContainsFunc(files, func(f file) bool {
			return slices.IndexFunc(diagram, func(n node) bool { return draws(n.pkg, f.pkg) }) == i
		}) {
			t.Errorf("the diagram draws %s, which is not there: delete the entry", n.pkg)
		}
	}
}

// forbidden are packages that nothing, or little, may import.
var forbidden = []struct {
	imp   string
	tests bool     // tests may
	may   []string // packages that may, and why
	why   string
}{
	{
		imp: "encoding/json", tests: true,
		may: []string{"bench"}, // decodes answers of what it measures as a client in the field would
		why: "it takes duplicate names, other cases and invalid UTF-8; use github.com/go-json-experiment/json",
	},
	{imp: "io/ioutil", why: "its functions are in io and os"},
	{imp: "math/rand", why: "use math/rand/v2, with a seed where results matter"},
	{imp: "log", why: "take a *slog.Logger as an argument"},
	{imp: "github.com/stretchr/testify/assert", why: "plain testing says it in the language everybody knows"},
	{imp: "github.com/stretchr/testify/require", why: "plain testing says it in the language everybody knows"},
}

func nothingForbidden(files []file) []string {
	var out []string
	for i := range files {
		f := &files[i]
		for _, imp := range f.imports() {
			for _, x := range forbidden {
				if imp == x.imp && (!f.test || !x.tests) && !slices.Contains(x.may, f.pkg) {
					out = append(out, fmt.Sprintf("%s imports %s: %s", f.path, imp, x.why))
				}
			}
		}
	}
	return out
}

func TestNothingForbidden(t *testing.T) { hold(t, nothingForbidden) }
