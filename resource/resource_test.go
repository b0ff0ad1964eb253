package resource_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"forebay/fault"
	"forebay/resource"

	"pgregory.net/rapid"
)

func TestARNs(t *testing.T) {
	for _, s := range []string{
		"arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
		"arn:aws:bedrock:us-east-1:000000000000:custom-model/amazon.nova-lite-v1:0:300k/abcdefghij12",
		"arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abcdefghij12",
	} {
		a, ok := resource.Parse(s)
		if !ok || a.String() != s {
			t.Errorf("%s: %+v", s, a)
		}
	}
	a, _ := resource.Parse("arn:aws-us-gov:bedrock:r:1:custom-model/base/xyz")
	if a.Kind != resource.CustomModel || a.Last() != "xyz" || a.Account != "1" {
		t.Errorf("%+v", a)
	}
	for _, s := range []string{"", "arn", "arn:aws:s3:::bucket/key", "arn:aws:bedrock:r:1:guardrail", "arn:aws:bedrock:r:1:/x", "arn:aws:bedrock:r:1:k/", "x:aws:bedrock:r:1:k/i"} {
		if a, ok := resource.Parse(s); ok {
			t.Errorf("%q is read as %+v", s, a)
		}
	}
}

// The bounds of the counts are five standard deviations of the binomial distribution.
func TestNewIDsAreEvenAndDiffer(t *testing.T) {
	const ids = 6000
	seen, letters := map[string]bool{}, map[rune]int{}
	for range ids {
		id := resource.NewID()
		if !resource.IsID(id) || seen[id] {
			t.Fatal(id)
		}
		seen[id] = true
		for _, r := range id {
			letters[r]++
		}
	}
	const mean, bound = ids * 12 / 36, 221 // 5 sqrt(72000 * 1/36 * 35/36)
	for r, n := range letters {
		if n < mean-bound || n > mean+bound {
			t.Errorf("%c occurs %d times", r, n)
		}
	}
	if len(letters) != 36 || resource.IsID("ABCDEFGHIJKL") || resource.IsID("short") {
		t.Error(len(letters))
	}
}

func TestTagRules(t *testing.T) {
	many := func(n int) (out []resource.Tag) {
		for i := range n {
			out = append(out, resource.Tag{Key: fmt.Sprint("k", i)})
		}
		return out
	}
	for name, c := range map[string]struct {
		tags []resource.Tag
		kind fault.Kind
		code string
		ok   bool
	}{
		"none":       {nil, 0, "", true},
		"fifty":      {many(50), 0, "", true},
		"fifty-one":  {many(51), fault.QuotaExceeded, resource.CodeTooManyTags, false},
		"twice":      {[]resource.Tag{{Key: "a"}, {Key: "a", Value: "x"}}, fault.Invalid, "", false},
		"other case": {[]resource.Tag{{Key: "a"}, {Key: "A"}}, 0, "", true},
		"no name":    {[]resource.Tag{{Value: "x"}}, fault.Invalid, "", false},
		"a form":     {[]resource.Tag{{Key: "a b._:/=+@-", Value: "x y"}}, 0, "", true},
		"other text": {[]resource.Tag{{Key: "ü"}}, fault.Invalid, "", false},
		"long name":  {[]resource.Tag{{Key: strings.Repeat("a", 129)}}, fault.Invalid, "", false},
		"long value": {[]resource.Tag{{Key: "a", Value: strings.Repeat("a", 257)}}, fault.Invalid, "", false},
		"odd value":  {[]resource.Tag{{Key: "a", Value: "\x1b[31m"}}, fault.Invalid, "", false},
		"reserved":   {[]resource.Tag{{Key: "AWS:x"}}, fault.Invalid, "", false},
	} {
		got, err := resource.TagMap(c.tags)
		if c.ok != (err == nil) || c.ok && len(got) != len(c.tags) || !c.ok && (fault.KindOf(err) != c.kind || fault.From(err).Code != c.code) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

type thing struct {
	at time.Time
	id string
}

func (x thing) Made() time.Time  { return x.at }
func (x thing) Identity() string { return x.id }

// Pages put together are the list, in order, whatever their size; what is deleted between two of them hides nothing.
func TestPagesAreTheList(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		times := rapid.SliceOfN(rapid.Int64Range(0, 5), 0, 40).Draw(rt, "times")
		var list []thing
		for i, at := range times {
			list = append(list, thing{time.Unix(0, at), fmt.Sprintf("id%02d", i)})
		}
		f := resource.Filter{Max: rapid.IntRange(1, 12).Draw(rt, "max"), Descending: rapid.Bool().Draw(rt, "descending")}
		if rapid.Bool().Draw(rt, "after") {
			f.After = time.Unix(0, 1)
		}
		var want []thing
		for _, x := range list {
			if f.After.IsZero() || x.at.After(f.After) {
				want = append(want, x)
			}
		}
		slices.SortFunc(want, func(a, b thing) int {
			return int(a.at.UnixNano()*100-b.at.UnixNano()*100) + slices.Index(list, a) - slices.Index(list, b)
		})
		if f.Descending {
			slices.Reverse(want)
		}
		var got []thing
		for {
			page, next, err := resource.Page(list, &f)
			if err != nil || len(page) > f.Max {
				rt.Fatal(page, err)
			}
			got = append(got, page...)
			if next == "" {
				break
			}
			if len(page) > 0 { // deleted after it was seen
				list = slices.DeleteFunc(list, func(x thing) bool { return x == page[len(page)-1] })
			}
			f.Token = next
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("got %v, want %v", got, want)
		}
	})
}

// What was never made, as profiles of the system are not, is listed in pages like everything else.
func TestPagesOfWhatWasNeverMade(t *testing.T) {
	list := []thing{{id: "a"}, {id: "b"}, {id: "c"}, {time.Unix(0, 1), "d"}}
	var got []thing
	f := resource.Filter{Max: 1}
	for range list {
		page, next, err := resource.Page(list, &f)
		if err != nil {
			t.Fatal(err)
		}
		got, f.Token = append(got, page...), next
	}
	if !slices.Equal(got, list) || f.Token != "" {
		t.Errorf("%v, and then %q", got, f.Token)
	}
}

func TestTokensOfOthersAreRefused(t *testing.T) {
	for _, token := range []string{"x", "!!", "MQ", "eCB5"} {
		if _, _, err := resource.Page([]thing{}, &resource.Filter{Token: token}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: %v", token, err)
		}
	}
}
