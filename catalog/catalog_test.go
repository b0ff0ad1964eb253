package catalog

import (
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
