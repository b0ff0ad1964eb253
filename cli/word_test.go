package cli

import (
	"context"
	"os/exec"
	"testing"

	"pgregory.net/rapid"
)

// A shell reads a word as the text that it was made of, whatever that is.
func TestWord(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("SKIPPED: no shell here")
	}
	check := func(ctx context.Context, t rapid.TB, s string) {
		out, err := exec.CommandContext(ctx, sh, "-c", "printf %s "+word(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("%q came back as %q: %v", s, out, err)
		}
	}
	for _, s := range []string{"/a b", "q'uote", `d"q`, "new\nline", "$(echo x)", "`echo x`", "a*b", "~", "#", "", `\`} {
		check(t.Context(), t, s)
	}
	text := rapid.StringOfN(rapid.RuneFrom([]rune("a '\"$`\\\n*~!#&;|<>(){}é")), 1, 12, -1)
	rapid.Check(t, func(r *rapid.T) { check(r.Context(), r, text.Draw(r, "text")) })
}
