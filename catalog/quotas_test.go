package catalog

import "testing"

// Figures of the AWS General Reference, as published.
func TestAWSQuotas(t *testing.T) {
	q := AWSQuotas()
	for _, c := range []struct {
		model, region string
		want          Quota
		ok            bool
	}{
		{haiku, "us-east-1", Quota{1000, 2_000_000}, true},
		{haiku, "ap-northeast-1", Quota{200, 200_000}, true},
		{haiku, "eu-central-1", Quota{400, 300_000}, true},
		{"anthropic.claude-3-5-sonnet-20240620-v1:0", "us-west-2", Quota{250, 2_000_000}, true},
		{"amazon.nova-pro-v1:0", "ca-central-1", Quota{50, 100_000}, true},
		{"meta.llama3-1-405b-instruct-v1:0", "us-west-2", Quota{200, 400_000}, true},
		{"anthropic.claude-sonnet-4-20250514-v1:0", "us-east-1", Quota{}, false}, // through inference profiles alone
		{"mine", "us-east-1", Quota{}, false},
	} {
		if got, ok := q.Of(c.model, c.region); got != c.want || ok != c.ok {
			t.Errorf("%s in %s: %+v %v, want %+v %v", c.model, c.region, got, ok, c.want, c.ok)
		}
	}
	if q.Date == "" || q.Source == "" {
		t.Error("the figures have no date or source")
	}
	known := map[string]bool{}
	for _, m := range Builtin() {
		known[m.ID] = true
	}
	for id, m := range q.models {
		if !known[id] || m.RequestsPerMinute["*"] <= 0 || m.TokensPerMinute["*"] <= 0 {
			t.Errorf("%s: %+v", id, m)
		}
	}
}
