package config

import (
	"strings"
	"testing"
)

const haikuID = "anthropic.claude-3-haiku-20240307-v1:0"

// purchases is a file with these lines under provisioned, each of which is a purchase.
func purchases(lines ...string) string {
	return "account: {teams: {search: {}, lab: {}}, model_units: 8}\naliases: {gpt: '" + haikuID + "'}\nprovisioned:\n  - " + strings.Join(lines, "\n  - ") + "\n"
}

func TestFaultsOfPurchases(t *testing.T) {
	const of = "model: '" + haikuID + "'"
	for line, want := range map[string]string{
		"{name: a, " + of + ", units: 2}":                                                                  "",
		"{name: a, model: '" + haikuID + ":48k', units: 8, commitment: six-months}":                        "",
		"{name: a, " + of + ", units: 3, teams: {search: {units: 2}, lab: {units: 1}}}":                    "",
		"{name: a, " + of + ", units: 1, isolation: replica, tags: {team: search, 'a b': ''}}":             "",
		"{name: a, " + of + ", input_tokens_per_minute: 2000, output_tokens_per_minute: 1000}":             "",
		"{name: a, " + of + ", input_tokens_per_minute: 2000000000, output_tokens_per_minute: 1000}":       ".input_tokens_per_minute: 2000000000 is no multiple of 1000 up to 1000000000",
		"{name: a, model: 'arn:aws:bedrock:us-east-1:000000000000:custom-model/x/abcdefabcdef', units: 1}": "",

		"{" + of + ", units: 1}":                                 ".name: is missing",
		"{name: a b, " + of + ", units: 1}":                      ".name: \"a b\" is none of a purchase",
		"{name: gpt, " + of + ", units: 1}":                      ".name: \"gpt\" is an alias",
		"{name: 5, " + of + ", units: 1}":                        ".name: wants text",
		"{name: a, units: 1}":                                    ".model: is missing",
		"{name: a, model: gpt, units: 1}":                        ".model: \"gpt\" is an alias; write the id of the model, " + haikuID,
		"{name: a, model: 'anthropic.claude-3-haiku', units: 1}": ".model: there is no \"anthropic.claude-3-haiku\" among the models; did you mean " + haikuID + "?",
		"{name: a, model: '" + haikuID + ":1k', units: 1}":       ".model: there is no",
		"{name: a, model: 'arn:aws:bedrock:us-east-1::foundation-model/" + haikuID + "', units: 1}": ".model: is no ARN of a custom model",
		"{name: a, " + of + "}":                                                          ".units: is missing",
		"{name: a, " + of + ", units: 0}":                                                ".units: is missing",
		"{name: a, " + of + ", units: -2}":                                               ".units: -2 is negative",
		"{name: a, " + of + ", units: lots}":                                             ".units: \"lots\" is no whole number",
		"{name: a, " + of + ", units: 9}":                                                ".units: with those before it, account 000000000000 has 9 units, and may have 8",
		"{name: a, " + of + ", unit: 2}":                                                 ".unit: is not known; did you mean units?",
		"{name: a, " + of + ", units: 2, commitment: forever}":                           ".commitment: \"forever\" is not one of none, one-month",
		"{name: a, " + of + ", units: 2, commitment: three-months}":                      ".commitment: \"three-months\" is not one of none, one-month, six-months",
		"{name: a, " + of + ", units: 2, isolation: none}":                               ".isolation: \"none\" is not one of replica",
		"{name: a, " + of + ", units: 2, account: '111111111111'}":                       ".account: there is no \"111111111111\" among the accounts",
		"{name: a, " + of + ", units: 2, teams: {serch: {units: 1}}}":                    ".teams.serch: there is no \"serch\" among the teams of account 000000000000; did you mean search?",
		"{name: a, " + of + ", units: 2, teams: {search: {}}}":                           ".teams.search: units is missing",
		"{name: a, " + of + ", units: 2, teams: {search: {units: x}}}":                   ".teams.search.units: \"x\" is no whole number",
		"{name: a, " + of + ", units: 2, teams: {search: {units: 1}, lab: {units: 2}}}":  ".teams.search: the shares come to more than the 2 units of a",
		"{name: a, " + of + ", units: 2, teams: {search: {input_tokens_per_minute: 9}}}": ".teams.search: a is of model units",
		"{name: a, " + of + ", units: 2, tags: {'aws:x': y}}":                            ".tags.aws:x: begins with aws:",
		"{name: a, " + of + ", units: 2, tags: {'forebay:isolation': replica}}":          ".tags.forebay:isolation: write isolation: replica",
		"{name: a, " + of + ", units: 2, tags: {x: 'a;b'}}":                              ".tags.x: a value has",

		"{name: a, " + of + ", units: 2, input_tokens_per_minute: 1000, output_tokens_per_minute: 1000}":                                   ".units: a purchase is of model units, or of tokens a minute",
		"{name: a, " + of + ", input_tokens_per_minute: 1500, output_tokens_per_minute: 1000}":                                             ".input_tokens_per_minute: 1500 is no multiple of 1000",
		"{name: a, " + of + ", input_tokens_per_minute: 1000}":                                                                             ".output_tokens_per_minute: is missing",
		"{name: a, model: 'amazon.titan-embed-text-v2:0', input_tokens_per_minute: 1000, output_tokens_per_minute: 1000}":                  ".output_tokens_per_minute: amazon.titan-embed-text-v2:0 makes no output tokens",
		"{name: a, " + of + ", output_tokens_per_minute: 1000}":                                                                            ".input_tokens_per_minute: is missing",
		"{name: a, " + of + ", input_tokens_per_minute: -1000, output_tokens_per_minute: 1000}":                                            ".input_tokens_per_minute: -1000 is negative",
		"{name: a, " + of + ", input_tokens_per_minute: 1000, output_tokens_per_minute: 1000, isolation: replica}":                         ".isolation: the reserved tier has no replicas",
		"{name: a, " + of + ", input_tokens_per_minute: 1000, output_tokens_per_minute: 1000, commitment: six-months}":                     ".commitment: \"six-months\" is not one of none, one-month, three-months",
		"{name: a, " + of + ", input_tokens_per_minute: 3000, output_tokens_per_minute: 1000, teams: {lab: {units: 1}}}":                   ".teams.lab: a is of the reserved tier",
		"{name: a, " + of + ", input_tokens_per_minute: 3000, output_tokens_per_minute: 1000, teams: {lab: {input_tokens_per_minute: 1}}}": ".teams.lab: a share is of what was bought",
		"{name: a, model: 'amazon.titan-embed-text-v2:0', input_tokens_per_minute: 3000, teams: {lab: {input_tokens_per_minute: 3001}}}":   ".teams.lab: the shares come to more than the 3000 input",
	} {
		got := faults(t, purchases(line))
		if want == "" {
			if got != nil {
				t.Errorf("%s:\n%s", line, strings.Join(got, "\n"))
			}
			continue
		}
		if len(got) != 1 || !strings.HasPrefix(got[0], "forebay.yaml:4: provisioned[0]"+want) {
			t.Errorf("%s:\n%s\nwant\n%s", line, strings.Join(got, "\n"), want)
		}
	}
}

// What purchases make together has a line, too: names in whatever case, and units beyond the quota.
func TestFaultsOfPurchasesTogether(t *testing.T) {
	const of = "model: '" + haikuID + "'"
	for _, x := range []struct {
		text, want string
	}{
		{purchases("{name: a, "+of+", units: 1}", "{name: A, "+of+", units: 1}"), "forebay.yaml:5: provisioned[1].name: \"A\" is that of provisioned[0], too"},
		{purchases("{name: a, "+of+", units: 5}", "{name: b, "+of+", units: 4}"), "forebay.yaml:5: provisioned[1].units: with those before it, account 000000000000 has 9 units, and may have 8 (model_units)"},
		{"quotas: aws\nprovisioned:\n- {name: a, " + of + ", units: 1}\n", "forebay.yaml:3: provisioned[0].units: with those before it, account 000000000000 has 1 units, and may have 0 (model_units)"},
		{"routes: {r: {lanes: [{model: '" + haikuID + "'}]}}\nprovisioned:\n- {name: r, " + of + ", units: 1}\n", "forebay.yaml:3: provisioned[0].name: \"r\" is a route; choose another name"},
		{"models: {m: {unit: {input: 5}}}\nprovisioned:\n- {name: m, model: m, units: 1}\n", "forebay.yaml:3: provisioned[0].name: \"m\" stands for a model; choose another name"},
		{"accounts: {'111111111111': {}}\nprovisioned:\n- {name: a, " + of + ", units: 1}\n- {name: a, account: '111111111111', " + of + ", units: 1}\n", ""},
	} {
		if got := strings.Join(faults(t, x.text), "\n"); got != x.want {
			t.Errorf("%s\n%s\nwant\n%s", x.text, got, x.want)
		}
	}
}

// Custom models have tags, of the same form, and no others have.
func TestTagsOfModels(t *testing.T) {
	const base = "models:\n  v: {base: '" + haikuID + "', tags: {"
	for text, want := range map[string]string{
		base + "team: search}}\n":       "",
		base + "'aws:x': y}}\n":         "forebay.yaml:2: models.v.tags.aws:x: begins with aws:, which is reserved",
		"models: {m: {tags: {a: b}}}\n": "forebay.yaml:1: models.m.tags: are of custom models, which have a base",
	} {
		if got := strings.Join(faults(t, text), "\n"); got != want {
			t.Errorf("%s\n%s\nwant\n%s", text, got, want)
		}
	}
}

// A purchase is read, written and read again as it was, and the schema takes what the decoder takes.
func TestPurchasesAreReadAndWritten(t *testing.T) {
	text := purchases("{name: chat, model: '"+haikuID+"', units: 3, commitment: one-month, isolation: replica, teams: {search: {units: 2}}, tags: {team: search}}",
		"{name: tier, model: '"+haikuID+"', input_tokens_per_minute: 3000, output_tokens_per_minute: 1000, teams: {lab: {input_tokens_per_minute: 2000, output_tokens_per_minute: 500}}}")
	c, err := load(t, text)
	if err != nil {
		t.Fatal(err)
	}
	if p := c.Provisioned[0]; p.Name != "chat" || p.Units != 3 || p.Teams["search"].Units != 2 || p.Tags["team"] != "search" || p.Tier() || !c.Provisioned[1].Tier() {
		t.Errorf("%+v", c.Provisioned)
	}
	if at := c.Where(PurchasePath(1)); !strings.HasSuffix(at, ":5") {
		t.Error(at)
	}
	out, err := c.Export()
	if err != nil {
		t.Fatal(err)
	}
	again, err := load(t, string(out))
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Validate(); err != nil || len(again.Provisioned) != 2 || again.Provisioned[1].Teams["lab"] != c.Provisioned[1].Teams["lab"] {
		t.Errorf("%v\n%s", err, out)
	}
	takes := schemaTakes(t)
	for text, valid := range map[string]bool{text: true, purchases("{name: a, units: 1}"): false, purchases("{name: a, model: m, units: -1}"): false, purchases("{name: a, model: m, unit: 1}"): false} {
		if err := takes(text); (err == nil) != valid {
			t.Errorf("%s\n%v", text, err)
		}
	}
}
