package cli

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"forebay/config"

	"github.com/alecthomas/kong"
)

// serving starts a server for the verbs of a test and returns its data directory.
func serving(t *testing.T, file string) string {
	t.Helper()
	return servingFrom(t, t.TempDir(), file)
}

// servingFrom is serving on a data directory that may hold something already.
func servingFrom(t *testing.T, dir, file string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "forebay.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	out := newWatcher()
	done := make(chan int, 1)
	go func() {
		done <- Main(ctx, []string{"up", "--quiet", "--config", path, "--listen", "127.0.0.1:0", "--data-dir", dir}, Streams{In: strings.NewReader(""), Out: out, Err: out})
	}()
	t.Cleanup(func() {
		stop()
		if code := <-done; code != exitOK {
			t.Errorf("up: exit %d: %s", code, out)
		}
	})
	out.await(t, "Try, in another shell")
	return dir
}

const instant = "engines: {simulated: {type: simulated, profile: instant}}\n"

// The verbs that make, change and remove what is made at run time, in the order of a working day.
func TestVerbsOfAdministration(t *testing.T) {
	dir := serving(t, instant+"account: {teams: {declared: {}}}\n")
	t.Setenv("FOREBAY_DATA_DIR", dir)
	id := regexp.MustCompile(`(?m)^id +(\S+)$`)
	secret := regexp.MustCompile(`(?m)^secret +(\S+)$`)
	var key string
	fill := func(args []string) []string {
		out := slices.Clone(args)
		for i, a := range out {
			out[i] = strings.NewReplacer("KEY", key, "TOKEN", "env:THE_TOKEN").Replace(a)
		}
		return out
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"teams create search --spend-per-day 20~USD --max-tier default", 0, `team search is {"max_tier":"default","limits":{"spend_per_day":"20 USD"}}`},
		{"teams create search", 1, `team "search" exists already`},
		{"teams create x --spend-per-day 20", 1, "not an amount with its currency"},
		{"teams delete declared", 1, "is managed by"},
		{"teams", 0, "declared"},
		{"keys create ci --team nosuch", 1, "make it with `forebay teams create nosuch`"},
		{"keys create ci --team search --allow-model amazon.* --requests-per-minute 9 --expires-in 720h", 0, "secret"},
		{"keys create ci", 1, `a key named "ci" exists already`},
		{"invoke --key TOKEN --model amazon.nova-lite-v1:0 --json hello", 0, `"outputTokens"`},
		{"invoke --key TOKEN --model meta.llama3-8b-instruct-v1:0 hello", 1, "not authorized"},
		{"keys --key TOKEN", 1, "not authorized"},
		{"teams delete search", 1, "has 1 live keys; revoke them first"},
		{"keys rotate KEY", 0, "The old one is good until"},
		{"keys", 0, "live, an old secret too until"},
		{"keys rotate KEY --grace 0", 0, "secret"},
		{"keys rotate KEY --grace 3000h", 1, "no time between 0 and"},
		{"keys rotate KEY --grace 0 --json", 0, `"requests_per_minute"`},
		{"keys rotate KEY", 0, "secret"},
		{"invoke --key TOKEN --model amazon.nova-lite-v1:0 --json hello", 0, `"outputTokens"`},
		{"accounts create 111111111111 --name research --billing-zone Europe/Rome", 0, "account 111111111111 is"},
		{"accounts create 12", 1, "is not twelve digits"},
		{"accounts create 000000000000", 1, "is managed by"},
		{"accounts set 111111111111 --name research --model-units 0", 0, `"model_units":0`},
		{"provision create x --model amazon.nova-lite-v1:0 --units 1 --account 111111111111", 1, "0 left of 0"},
		{"teams create lab --account 111111111111", 0, "team lab is {}"},
		{"keys create lab --team lab --account 111111111111 --allow-action forebay:Admin* --allow-action bedrock:*", 0, "secret"},
		{"keys --key TOKEN", 0, "lab"},
		{"keys --key TOKEN --account 000000000000", 1, "only keys of the operator's account"},
		{"accounts --key TOKEN", 1, "only keys of the operator's account"},
		{"invoke --key TOKEN --model amazon.nova-lite-v1:0 --json hello", 0, `"outputTokens"`},
		{"usage --by key --account 111111111111", 0, "1"},
		{"accounts delete 111111111111", 1, "has teams"},
		{"keys revoke KEY --account 111111111111", 0, "revoked"},
		{"teams delete lab --account 111111111111", 0, "team lab is deleted"},
		{"accounts delete 111111111111", 0, "account 111111111111 is deleted"},
		{"models add tuned --base amazon.nova-lite-v1:0", 0, "model tuned is"},
		{"models add tuned-again --base tuned", 1, "is fine-tuned itself"},
		{"models add tuned-again --base amazon.nova-lite-v1:1", 1, "did you mean amazon.nova-lite-v1:0?"},
		{"models add of-nothing", 1, "--engine ENGINE[/MODEL], or what it was made from"},
		{"models add arn:aws:bedrock:us-east-1:000000000000:imported-model/abcdefghij12 --engine simulated", 1, "there is no custom or imported model"},
		{"models show tuned", 0, `"base": "amazon.nova-lite-v1:0"`},
		{"models remove tuned", 0, ""},
		{"config logging", 0, "model invocations are not recorded"},
		{"models add mine --engine nosuch", 1, "neither an engine of the server (simulated)"},
		{"models add mine --engine simulated --price-input 1~USD --price-output 2~USD", 0, "model mine is"},
		{"models show mine", 0, `"output": 2000000000`},
		{"models price mine --input 3~USD", 0, `"input":"3 USD"`},
		{"models price mine --input 3~USD --flex 0.5 --priority 1.75", 0, `"priority":1.75,"flex":0.5`},
		{"models show mine", 0, `"flexPermille": 500`},
		{"models price mine --input 3~USD --flex 101", 1, "the factor 101 of a tier"},
		{"models price mine --flex 0.5", 1, "say at least one price"},
		{"models price nosuch --input 3~USD", 0, "model nosuch is"},
		{"models remove nosuch", 0, "deleted"},
		{"models price amazon.nova-lite-v1:0 --output 7~USD --source test", 0, `"output":"7 USD"`},
		{"models show amazon.nova-lite-v1:0", 0, `"source": "test"`},
		{"invoke --model mine --json hello", 0, `"outputTokens"`},
		{"models add other --engine http://127.0.0.1:9/v1/m", 0, "model other is"},
		{"engines", 0, "127.0.0.1:9"},
		{"engines show 127.0.0.1:9", 0, "its address is of this machine"},
		{"engines show 127.0.0.1:9 --json", 0, `"kind": "owned"`},
		{"engines show nosuch", 1, "see `forebay engines`"},
		{"engines add cloud --type bedrock --requests-per-minute 50", 0, `"quota":{"requests_per_minute":50}`},
		{"models add rents --engine cloud/amazon.nova-lite-v1:0", 0, "model rents is"},
		{"engines show cloud", 0, "rented: A quota of its owner's."},
		{"models remove rents", 0, "deleted"},
		{"engines remove cloud", 0, "deleted"},
		{"engines remove 127.0.0.1:9", 1, `there is no "127.0.0.1:9" among the engines`},
		{"models remove other", 0, "deleted"},
		{"engines remove 127.0.0.1:9", 0, "deleted"},
		{"engines remove simulated", 1, "is managed by"},
		{"config show", 0, "spend_per_day: 20 USD"},
		{"config export", 0, "token_sha256"},
		{"provision create chat --model amazon.nova-lite-v1:0 --units 2 --tag team=search", 0, "2 of 60000 input and 6000 output tokens a minute (placeholder)"},
		{"provision create chat --model amazon.nova-lite-v1:0 --units 2", 1, "already in use"},
		{"provision reserve steady --model amazon.nova-lite-v1:0 --input 3000 --output 1000", 0, "3000 input and 1000 output tokens a minute, for calls that ask for the tier"},
		{"provision reserve thin --model amazon.nova-lite-v1:0 --input 3500 --output 1000", 1, "3500 input tokens are not"},
		{"provision reserve long --model amazon.nova-lite-v1:0 --input 3000 --output 1000 --commitment six-months", 2, "three-months"},
		{"provision delete steady", 0, "steady is deleted"},
		{"provision create x --model amazon.nova-lite-v1:0 --units 0", 1, "at least 1"},
		{"provision create x --model meta.llama3-8b-instruct-v1:0 --units 1", 1, "not supported for Provisioned Throughput"},
		{"provision create x --model amazon.nova-lite-v1:0 --units 1 --account 999999999999", 1, "there is no account"},
		{"provision create year --model amazon.titan-text-express-v1 --units 1 --commitment one-month", 0, "18.40 USD a unit-hour"},
		{"provision", 0, "InService"},
		{"invoke --model chat --json hello", 0, `"outputTokens"`},
		{"provision show chat", 0, "120000 drain a minute"},
		{"provision show chat", 0, " unknown\n"},
		{"provision divide chat", 2, "--team"},
		{"provision divide chat --team nobody=1", 1, "no team"},
		{"provision divide chat --team declared=3", 1, "more than the 2"},
		{"provision divide chat --team declared=1", 0, "1 of 2 units"},
		{"provision", 0, "2 (declared=1)"},
		{"top --once", 0, "team declared"},
		{"provision divide chat --undo", 0, "120000 drain a minute"},
		{"provision create alone --model amazon.nova-lite-v1:0 --units 1 --isolation replica", 0, "cannot be isolated"},
		{"provision delete alone", 0, "alone is deleted"},
		{"provision show chat --json", 0, `"basis": "placeholder"`},
		{"provision show nosuch", 1, "Could not find"},
		{"top", 0, "amazon.nova-lite-v1:0"},
		{"top --json", 0, `"reservations"`},
		{"top --every 1ms", 1, "at least 100ms"},
		{"provision delete year", 1, "before the commitment term is over"},
		{"provision delete chat --at-term-end", 1, "has no commitment"},
		{"provision delete year --at-term-end", 0, "year ends at"},
		{"provision show year", 0, "ends at"},
		{"provision delete chat", 0, "chat is deleted"},
		{"provision delete chat", 1, "Could not find"},
		{"keys --key fb-asecretwrittenout", 1, "write env:NAME or file:PATH, not the secret itself"},
		{"explain nosuch", 1, "no call with request id"},
		{"models show nosuch", 1, "see `forebay models`"},
	} {
		code, out, errs := runCLI(t, fill(tilde(strings.Fields(c.args)))...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%s: exit %d\n%s%s\nwant %d with %s", c.args, code, out, errs, c.code, c.want)
		}
		if m := id.FindStringSubmatch(out); m != nil {
			key = m[1]
		}
		if m := secret.FindStringSubmatch(out); m != nil {
			t.Setenv("THE_TOKEN", m[1])
		}
	}

	// What is exported can be declared, and is then the file's.
	_, text, _ := runCLI(t, "config", "export")
	path := filepath.Join(t.TempDir(), "exported.yaml")
	if err := os.WriteFile(path, []byte(instant+text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.Validate(); err != nil || len(cfg.Keys) != 1 || cfg.Keys[0].Team != "search" || cfg.Models["mine"].Price.Input != "3 USD" || cfg.Account.Teams["search"].Tier != "default" {
		t.Errorf("%v\n%s\n%+v", err, text, cfg.Keys)
	}
}

// tilde stands for a space within an argument.
func tilde(args []string) []string {
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "~", " ")
	}
	return args
}

// Every verb has an example that its grammar takes, and every verb that shows data has --json.
func TestEveryVerbHasAnExampleAndJSON(t *testing.T) {
	var c commands
	parser, err := kong.New(&c, kong.Name("forebay"))
	if err != nil {
		t.Fatal(err)
	}
	words := regexp.MustCompile(`'[^']*'|\S+`)
	left := map[string]bool{}
	for verb := range examples {
		left[verb] = true
	}
	for _, leaf := range parser.Model.Leaves(true) {
		verb := path(leaf)
		if !left[verb] {
			t.Errorf("%s has no example", verb)
			continue
		}
		delete(left, verb)
		line, _, _ := strings.Cut(strings.Trim(strings.TrimPrefix(examples[verb], "source <("), ")"), " >")
		args := words.FindAllString(strings.TrimPrefix(line, "forebay "), -1)
		for i := range args {
			args[i] = strings.Trim(args[i], "'")
		}
		var fresh commands
		p, err := kong.New(&fresh, kong.Name("forebay"))
		if err != nil {
			t.Fatal(err)
		}
		k, err := p.Parse(args)
		if err != nil || path(k.Selected()) != verb {
			t.Errorf("the example of %s: %v", verb, err)
		}
		hasJSON := slices.ContainsFunc(leaf.Flags, func(f *kong.Flag) bool { return f.Name == "json" })
		if prints := !slices.Contains([]string{"up", "demo", "completion", "config schema", "replay"}, verb); hasJSON != prints {
			t.Errorf("%s: --json is %v", verb, hasJSON)
		}
	}
	for verb := range left {
		t.Errorf("there is an example of %q, which is no verb", verb)
	}
}

// full is an output that takes nothing, as a file of a full disk or a pipe that nobody reads.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// A secret that cannot be shown is not lost in silence: a new key is revoked, and of a rotated one is said what is good.
func TestSecretsThatCannotBeShown(t *testing.T) {
	dir := serving(t, instant)
	t.Setenv("FOREBAY_DATA_DIR", dir)
	var errs strings.Builder
	blind := func(args ...string) int {
		errs.Reset()
		return Main(t.Context(), args, Streams{In: strings.NewReader(""), Out: full{}, Err: &errs})
	}
	if code := blind("keys", "create", "ci"); code != exitFault || !strings.Contains(errs.String(), "the key is revoked; make it again") {
		t.Errorf("%d %s", code, errs.String())
	}
	_, out, _ := runCLI(t, "keys", "create", "ci") // its name is free
	id := regexp.MustCompile(`(?m)^id +(\S+)$`).FindStringSubmatch(out)
	if id == nil {
		t.Fatal(out)
	}
	for _, x := range []struct{ grace, want string }{{"1h", "the old one is good until"}, {"0", "no secret of it is known now; rotate it again"}} {
		if code := blind("keys", "rotate", id[1], "--grace", x.grace, "--json"); code != exitFault || !strings.Contains(errs.String(), x.want) || !strings.Contains(errs.String(), id[1]) {
			t.Errorf("%s: %d %s", x.grace, code, errs.String())
		}
	}
}

// The doctor looks at the right directory, and its exit code says whether all is well.
func TestDoctor(t *testing.T) {
	dir := serving(t, instant)
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	code, out, errs := runCLI(t, "doctor", "--data-dir", dir)
	for _, want := range []string{"program", "configuration", "data directory", "disk", "open files", "server", "ledger", "engine simulated"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is not looked at:\n%s", want, out)
		}
	}
	if code != exitOK || strings.Contains(out, "FAULT") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := runCLI(t, "doctor", "--data-dir", dir, "--json"); code != exitFault || !strings.Contains(out, "chmod 700") {
		t.Errorf("%d %s", code, out)
	}
}
