package catalog

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"forebay/fault"
	"forebay/infer"
)

const haiku = "anthropic.claude-3-haiku-20240307-v1:0"

func names() *Names {
	return NewNames(Builtin(), map[string]string{"claude": haiku, "gone": "nothing"}, "")
}

func TestResolve(t *testing.T) {
	for _, c := range []struct{ id, model, prefix, alias, context string }{
		{haiku, haiku, "", "", ""},
		{"us." + haiku, haiku, "us", "", ""},
		{"us-gov." + haiku, haiku, "us-gov", "", ""},
		{"global." + haiku, haiku, "global", "", ""},
		{"claude", haiku, "", "claude", ""},
		{haiku + ":48k", haiku, "", "", "48k"},
		{"arn:aws:bedrock:us-east-1::foundation-model/" + haiku, haiku, "", "", ""},
		{"arn:aws:bedrock:us-east-1:000000000000:inference-profile/eu." + haiku, haiku, "eu", "", ""},
	} {
		r, err := names().Resolve(c.id)
		if err != nil || r.Model.ID != c.model || r.RegionPrefix != c.prefix || r.Alias != c.alias || r.Context != c.context {
			t.Errorf("%s: %+v %v", c.id, r, err)
		}
	}
}

func TestResolveFaults(t *testing.T) {
	for id, kind := range map[string]fault.Kind{
		"": fault.UnknownModel, "gone": fault.UnknownModel, "nosuch": fault.UnknownModel, "a\r\nb": fault.UnknownModel,
		strings.Repeat("x", 5000): fault.UnknownModel, "arn:aws:s3:::bucket": fault.UnknownModel, "arn:": fault.UnknownModel,
		"arn:aws:bedrock:us-east-1:000000000000:provisioned-model/abcdefabcdef": fault.NotFound,
	} {
		if _, err := names().Resolve(id); fault.KindOf(err) != kind {
			t.Errorf("%.40q: %v, want %s", id, err, kind)
		}
	}
	_, err := names().Resolve("anthropic.claude-3-haiku-20240307-v1")
	if r := fault.From(err).Reason; !strings.Contains(r, haiku) {
		t.Errorf("the nearest id is not named: %s", r)
	}
	strict := NewNames(Builtin(), nil, "eu-west-1")
	if _, err := strict.Resolve("arn:aws:bedrock:us-east-1::foundation-model/" + haiku); fault.KindOf(err) != fault.UnknownModel {
		t.Errorf("a foreign region passed: %v", err)
	}
}

// The prices of the worked example: Claude 3 Haiku at 0.00025 and 0.00125 USD per 1,000 tokens.
func TestHaikuPrice(t *testing.T) {
	r := names().Get(haiku).Price.Rates(infer.TierDefault)
	if r.Currency != "USD" || *r.Input != 250_000_000 || *r.Output != 1_250_000_000 {
		t.Errorf("%+v", r)
	}
	if r := names().Get(haiku).Price.Rates(infer.TierBatch); *r.Input != 125_000_000 {
		t.Errorf("batch: %d", *r.Input)
	}
	if r := names().Get(haiku).Price.Rates(infer.TierPriority); r.Input != nil {
		t.Error("a price that nobody published is known")
	}
}

func TestBuiltinIsSane(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range Builtin() {
		if seen[m.ID] || m.ID == "" || m.Context <= 0 || m.Burndown < 1000 || m.Family == "" || len(m.Input) == 0 {
			t.Errorf("%+v", m)
		}
		seen[m.ID] = true
		if m.Price != nil && (m.Price.Source == "" || m.Price.Date == "" || m.Price.Currency == "" || *m.Price.Input%1000 != 0) {
			t.Errorf("%s: price %+v", m.ID, m.Price)
		}
		if m.Embeds() != (m.MaxOutput == 0) {
			t.Errorf("%s: output", m.ID)
		}
	}
}

func FuzzResolve(f *testing.F) {
	for _, s := range []string{haiku, "us.x", "arn:aws:bedrock:::foundation-model/x", ":48k", "\xff"} {
		f.Add(s)
	}
	n := names()
	f.Fuzz(func(t *testing.T, id string) {
		r, err := n.Resolve(id)
		if (err == nil) != (r.Model != nil) {
			t.Errorf("%q: %+v %v", id, r, err)
		}
	})
}

// An alias may stand in for a built-in model, never for one that is declared, and says whose price is charged.
func TestAliasStandsInForABuiltin(t *testing.T) {
	const llama, declared = "meta.llama3-8b-instruct-v1:0", "my.model"
	models := append([]*Model{{ID: declared, ManagedBy: "forebay.yaml"}}, Builtin()...)
	n := NewNames(models, map[string]string{haiku: llama, "us.amazon.nova-pro-v1:0": llama, "gpt": llama, declared: llama, "amazon.nova-micro-v1:0": llama}, "")
	n.ChargeAsked([]string{haiku, "us.amazon.nova-pro-v1:0", "gpt", declared})
	for _, c := range []struct{ id, model, charged string }{
		{haiku, llama, haiku},
		{"eu." + haiku, llama, haiku},
		{"arn:aws:bedrock:us-east-1::foundation-model/" + haiku, llama, haiku},
		{"us.amazon.nova-pro-v1:0", llama, "amazon.nova-pro-v1:0"},
		{"amazon.nova-micro-v1:0", llama, llama}, // no rule: the model served
		{"gpt", llama, "gpt"},                    // of no known price
		{declared, declared, declared},
		{llama, llama, llama},
	} {
		r, err := n.Resolve(c.id)
		if err != nil || r.Model.ID != c.model || r.Charged != c.charged {
			t.Errorf("%s: %+v %v, want %s charged as %s", c.id, r, err, c.model, c.charged)
		}
	}
	n.ChargeAsked([]string{llama}) // a model's rule holds for every alias of it
	if r, err := n.Resolve("amazon.nova-micro-v1:0"); err != nil || r.Charged != "amazon.nova-micro-v1:0" {
		t.Errorf("%+v %v", r, err)
	}
}

func TestListPriceOfUpstreamNames(t *testing.T) {
	for name, want := range map[string]string{
		haiku: haiku, "us." + haiku: haiku, haiku + ":200k": haiku, "claude-3-haiku-20240307": haiku,
		"arn:aws:bedrock:us-east-1:000000000000:inference-profile/us." + haiku: haiku,
		"claude-3-5-sonnet-20241022": "anthropic.claude-3-5-sonnet-20241022-v2:0", "llama3.2": "", "": "", "-v1:0": "",
		"arn:aws:bedrock:us-east-1:000000000000:provisioned-model/abc": "",
	} {
		id, p := ListPrice(name)
		if id != want || want != "" && (p == nil || p.Source == "") {
			t.Errorf("%s: %q %+v, want %q", name, id, p, want)
		}
	}
}

// Published prices (the sources are named in the catalogue), in USD per 1,000 tokens; and that nothing else claims to be known.
func TestPricesAreThoseOfTheirSources(t *testing.T) {
	const page, early, litellm, list = "2025-07-20", "2024-01-01", "2026-01-01", "2026-07-27"
	known := map[string]struct{ in, out, date string }{
		haiku: {"0.00025", "0.00125", page}, "anthropic.claude-3-5-haiku-20241022-v1:0": {"0.0008", "0.004", page},
		"anthropic.claude-3-sonnet-20240229-v1:0": {"0.003", "0.015", page}, "anthropic.claude-3-5-sonnet-20240620-v1:0": {"0.003", "0.015", page},
		"anthropic.claude-3-5-sonnet-20241022-v2:0": {"0.003", "0.015", page}, "anthropic.claude-sonnet-4-20250514-v1:0": {"0.003", "0.015", page},
		"anthropic.claude-v2": {"0.008", "0.024", early}, "anthropic.claude-v2:1": {"0.008", "0.024", early},
		"anthropic.claude-instant-v1": {"0.0008", "0.0024", early},
		"amazon.nova-micro-v1:0":      {"0.000035", "0.00014", page}, "amazon.nova-lite-v1:0": {"0.00006", "0.00024", page},
		"amazon.nova-pro-v1:0": {"0.0008", "0.0032", page}, "amazon.nova-2-lite-v1:0": {"0.0003", "0.0025", litellm},
		"meta.llama3-1-8b-instruct-v1:0": {"0.00022", "0.00022", page}, "meta.llama3-1-70b-instruct-v1:0": {"0.00072", "0.00072", page},
		"meta.llama3-1-405b-instruct-v1:0": {"0.0024", "0.0024", page}, "meta.llama3-8b-instruct-v1:0": {"0.0003", "0.0006", page},
		"meta.llama3-70b-instruct-v1:0": {"0.00265", "0.0035", page}, "meta.llama2-13b-chat-v1": {"0.00075", "0.001", early},
		"meta.llama2-70b-chat-v1": {"0.00195", "0.00256", early}, "amazon.titan-text-lite-v1": {"0.0003", "0.0004", early},
		"amazon.titan-text-express-v1": {"0.0008", "0.0016", early}, "cohere.command-r-v1:0": {"0.0005", "0.0015", page},
		"cohere.command-r-plus-v1:0": {"0.003", "0.015", page}, "deepseek.r1-v1:0": {"0.00135", "0.0054", page},
		"qwen.qwen3-32b-v1:0": {"0.00015", "0.0006", list},
	}
	nano := func(perThousand string) int64 { // per million tokens
		_, frac, _ := strings.Cut(perThousand, ".")
		v, err := strconv.ParseInt(frac+strings.Repeat("0", 12-len(frac)), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, m := range Builtin() {
		want, ok := known[m.ID]
		switch {
		case !ok && m.Price != nil:
			t.Errorf("%s: a price of no known source: %+v", m.ID, m.Price)
		case ok && (m.Price == nil || *m.Price.Input != nano(want.in) || *m.Price.Output != nano(want.out) || m.Price.Date != want.date):
			t.Errorf("%s: %+v, want %+v", m.ID, m.Price, want)
		}
		delete(known, m.ID)
	}
	for id := range known {
		t.Errorf("%s has a known price and is not in the catalogue", id)
	}
}

// Aliases that hide a model or stand for none are not listed.
func TestAliases(t *testing.T) {
	a, b := &Model{ID: "a"}, &Model{ID: "b"}
	n := NewNames([]*Model{a, b}, map[string]string{"z": "a", "x": "b", "a": "b", "lost": "c"}, "")
	if got := n.Aliases(); !slices.Equal(got, []Alias{{"x", b}, {"z", a}}) {
		t.Errorf("%+v", got)
	}
}
