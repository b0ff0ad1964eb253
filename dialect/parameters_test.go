package dialect

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"forebay/fault"
	"forebay/infer"
)

// minimal are the least bodies of the families.
var minimal = map[infer.Dialect]string{
	infer.DialectAnthropic: `"messages":[{"role":"user","content":"q"}]`, infer.DialectNova: `"messages":[{"role":"user","content":[{"text":"q"}]}]`,
	infer.DialectLlama: `"prompt":"q"`, infer.DialectMistral: `"prompt":"q"`, infer.DialectDeepSeek: `"prompt":"q"`, infer.DialectTitanText: `"inputText":"q"`,
	infer.DialectMistralChat: `"messages":[{"role":"user","content":"q"}]`, infer.DialectJamba: `"messages":[{"role":"user","content":"q"}]`,
	infer.DialectGPTOSS: `"messages":[{"role":"user","content":"q"}]`, infer.DialectCohereCommand: `"message":"q"`,
}

// decodeWith decodes the least body of a family with one number in it.
func decodeWith(d infer.Dialect, path, value string) (*infer.Chat, error) {
	member := fmt.Sprintf("%q:%s", path, value)
	if outer, inner, ok := strings.Cut(path, "."); ok {
		member = fmt.Sprintf("%q:{%q:%s}", outer, inner, value)
	}
	return codecs[d].DecodeChat([]byte("{" + minimal[d] + "," + member + "}"))
}

// The ranges that the documentation lists are those that decoding holds bodies to.
func TestParametersAreHeldToTheirRanges(t *testing.T) {
	for _, d := range slices.Sorted(maps.Keys(parameters)) {
		for _, p := range parameters[d] {
			for _, bound := range []struct {
				at      string
				outside float64
			}{{p.Min, -1}, {p.Max, 1}} {
				v, err := strconv.ParseFloat(bound.at, 64)
				if err != nil {
					continue
				}
				if _, err := decodeWith(d, p.Name, bound.at); err != nil {
					t.Errorf("%s: %s of %s is refused: %v", d, p.Name, bound.at, err)
				}
				_, err = decodeWith(d, p.Name, strconv.FormatFloat(v+bound.outside, 'f', -1, 64))
				if fault.KindOf(err) != fault.Invalid {
					t.Errorf("%s: %s of %v beyond %s: %v", d, p.Name, v+bound.outside, bound.at, err)
				}
			}
		}
	}
}

// A body that says nothing gets the family's defaults; one that says something keeps it.
func TestDefaults(t *testing.T) {
	for _, k := range []struct {
		d         infer.Dialect
		temp, top float64
		max       int64
	}{ // Bedrock user guide
		{infer.DialectLlama, 0.5, 0.9, 512},
		{infer.DialectTitanText, 0.7, 0.9, 512},
		{infer.DialectMistral, 0.5, 0.9, 512},
		{infer.DialectMistralChat, 0.7, 1, 8192},
		{infer.DialectNova, 0.7, 0.9, 0},
		{infer.DialectCohereCommand, 0.3, 0.75, 0},
		{infer.DialectJamba, 1, 1, 4096},
	} {
		c, err := codecs[k.d].DecodeChat([]byte("{" + minimal[k.d] + "}"))
		if err != nil {
			t.Fatal(err)
		}
		codecs[k.d].Defaults(c)
		if c.Temperature == nil || *c.Temperature != k.temp || c.TopP == nil || *c.TopP != k.top {
			t.Errorf("%s: temperature %v, top_p %v", k.d, c.Temperature, c.TopP)
		}
		if k.max == 0 && c.MaxTokens != nil || k.max != 0 && (c.MaxTokens == nil || *c.MaxTokens != k.max) {
			t.Errorf("%s: a bound on output of %v, want %d", k.d, c.MaxTokens, k.max)
		}
	}
	c, err := decodeWith(infer.DialectLlama, "temperature", "0")
	if err != nil {
		t.Fatal(err)
	}
	codecs[infer.DialectLlama].Defaults(c)
	if *c.Temperature != 0 {
		t.Errorf("a temperature of 0 became %v", *c.Temperature)
	}
	c, err = codecs[infer.DialectAnthropic].DecodeChat([]byte("{" + minimal[infer.DialectAnthropic] + "}"))
	if err != nil {
		t.Fatal(err)
	}
	codecs[infer.DialectAnthropic].Defaults(c)
	if c.Temperature != nil || c.TopP != nil {
		t.Error("defaults that are left to the engine were applied")
	}
}

// parametersDoc is the part of the documentation that lists them.
func parametersDoc() string {
	var b strings.Builder
	b.WriteString("\n## Numbers of the families' own bodies\n\nA body that is converted is held to these ranges. Where it says nothing, and the default is marked ✓, " +
		"the engine is told the family's default, so that it samples as the family's service does; other defaults are the engine's own.\n\n" +
		"| family | parameter | from | to | default |\n|---|---|---|---|---|\n")
	for _, d := range ChatDialects() {
		for _, p := range parameters[d] {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", d, p.Name, p.Min, p.Max, p.Default+map[bool]string{true: " ✓"}[p.Applied])
		}
	}
	return b.String()
}
