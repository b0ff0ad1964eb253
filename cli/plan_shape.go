package cli

import (
	"fmt"
	"strings"

	"forebay/plan/shape"
)

// Help lists what the words of --shape can say.
func (*planCmd) Help() string {
	var b strings.Builder
	b.WriteString("--shape takes any of these, divided by commas, and a time zone such as America/New_York:\n\n")
	for _, c := range shape.Clauses() {
		fmt.Fprintf(&b, "    %-26s %s\n", c.Form, c.Means)
	}
	return b.String()
}

// shapeForms are examples of them, for completion.
func shapeForms() []string {
	var out []string
	for _, c := range shape.Clauses() {
		out = append(out, c.Form)
	}
	return out
}
