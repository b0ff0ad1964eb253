package archtest

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// page is a document.
type page struct {
	path string // from the root of the repository
	text string
}

// loadPages reads every document of the repository.
func loadPages(t *testing.T) []page {
	t.Helper()
	root, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	var out []page
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skip(root, name, d.Name())
		}
		if !strings.HasSuffix(name, ".md") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		out = append(out, page{filepath.ToSlash(rel), string(text)})
		return err
	})
	if err != nil || len(out) == 0 {
		t.Fatal(len(out), "documents found:", err)
	}
	return out
}

var (
	codeBlock = regexp.MustCompile("(?ms)^```.*?^```$")
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading   = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	number    = regexp.MustCompile(`^docs/adr/(\d{4})-`)
)

// anchors are the fragments that a document's headings can be reached by, as GitHub makes them.
func anchors(text string) []string {
	var out []string
	for _, h := range heading.FindAllStringSubmatch(text, -1) {
		out = append(out, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, h[1]))
	}
	return out
}

// linksLead: a link to a place in the repository leads to a file that is there, and its fragment
// to a heading.
func linksLead(pages []page, exists func(path string) bool) []string {
	texts := map[string]string{}
	for i, p := range pages {
		pages[i].text = codeBlock.ReplaceAllString(p.text, "")
		texts[p.path] = pages[i].text
	}
	var out []string
	for _, p := range pages {
		for _, m := range link.FindAllStringSubmatch(p.text, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			file, fragment, _ := strings.Cut(m[1], "#")
			target := p.path
			if file != "" {
				target = path.Join(path.Dir(p.path), file)
			}
			if !exists(target) {
				out = append(out, fmt.Sprintf("%s links to %s, which is not there", p.path, m[1]))
			} else if fragment != "" && !slices.Contains(anchors(texts[target]), fragment) {
				out = append(out, fmt.Sprintf("%s links to %s, which has no such heading", p.path, m[1]))
			}
		}
	}
	return out
}

func TestLinksLead(t *testing.T) {
	root, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	for _, breach := range linksLead(loadPages(t), func(path string) bool {
		_, err := os.Stat(filepath.Join(root, path))
		return err == nil
	}) {
		t.Error(breach)
	}
}

// decisionsAreComplete: a decision has a number of its own, and says what, why and what follows.
func decisionsAreComplete(pages []page) []string {
	var out []string
	taken := map[string]string{}
	for _, p := range pages {
		m := number.FindStringSubmatch(p.path)
		if m == nil {
			continue
		}
		if other := taken[m[1]]; other != "" {
			out = append(out, fmt.Sprintf("%s has the number of %s: take the next one that is free", p.path, other))
		}
		taken[m[1]] = p.path
		if title := "# " + strings.TrimLeft(m[1], "0") + ". "; !strings.HasPrefix(p.text, title) {
			out = append(out, fmt.Sprintf("%s does not begin with %q", p.path, title))
		}
		for _, part := range []string{"**Decision", "**Why", "**Consequences"} {
			if !strings.Contains(p.text, "\n"+part) {
				out = append(out, fmt.Sprintf("%s has no paragraph that begins with %s", p.path, part))
			}
		}
	}
	return out
}

func TestDecisionsAreComplete(t *testing.T) {
	for _, breach := range decisionsAreComplete(loadPages(t)) {
		t.Error(breach)
	}
}

// guidePath is the page with the table of packages.
const guidePath = "docs/architecture.md"

// packagesAreInTheGuide: the table has a row for every package, by its name or as one of NAME/*.
func packagesAreInTheGuide(packages []string, guide string) []string {
	var out []string
	for _, pkg := range packages {
		if !strings.Contains(guide, "`"+pkg+"`") && !strings.Contains(guide, "`"+path.Dir(pkg)+"/*`") {
			out = append(out, fmt.Sprintf("package %s is not in the table of %s: say there what it is", pkg, guidePath))
		}
	}
	return out
}

func TestPackagesAreInTheGuide(t *testing.T) {
	pages := loadPages(t)
	at := slices.IndexFunc(pages, func(p page) bool { return p.path == guidePath })
	if at < 0 {
		t.Fatal(guidePath + " is not there")
	}
	var packages []string
	for _, f := range load(t) {
		if !slices.Contains(packages, f.pkg) {
			packages = append(packages, f.pkg)
		}
	}
	for _, breach := range packagesAreInTheGuide(packages, pages[at].text) {
		t.Error(breach)
	}
}

// The rules for documents find what they are there to find, and nothing else.
func TestRulesForDocumentsBite(t *testing.T) {
	const good = "# 7. Seven\n\n**Decision.** x\n\n**Why not.** x\n\n**Consequences.** x\n"
	exists := func(path string) bool { return path == "docs/a.md" || path == "README.md" }
	links := func(text string) func() []string {
		return func() []string {
			return linksLead([]page{{"README.md", "# Read me\n"}, {"docs/a.md", text}}, exists)
		}
	}
	decisions := func(pages ...page) func() []string { return func() []string { return decisionsAreComplete(pages) } }
	packages := func(pkg string) func() []string {
		return func() []string { return packagesAreInTheGuide([]string{pkg}, "| `api`, `api/*` |") }
	}
	for _, c := range []struct {
		name   string
		breach func() []string
		want   string // of the only breach; "" for none
	}{
		{"file", links("[x](../README.md)"), ""},
		{"heading", links("[x](../README.md#read-me)"), ""},
		{"own heading", links("## What x, y's `z` are\n[x](#what-x-ys-z-are)"), ""},
		{"elsewhere", links("[x](https://example.com/none)"), ""},
		{"code", links("```\n[x](none.md)\n```\n"), ""},
		{"no file", links("[x](none.md)"), "not there"},
		{"no heading", links("[x](../README.md#none)"), "no such heading"},
		{"decision", decisions(page{"docs/adr/0007-x.md", good}), ""},
		{"no reason", decisions(page{"docs/adr/0007-x.md", strings.Replace(good, "**Why", "**When", 1)}), "**Why"},
		{"other number", decisions(page{"docs/adr/0008-x.md", good}), `"# 8. "`},
		{"number twice", decisions(page{"docs/adr/0007-x.md", good}, page{"docs/adr/0007-y.md", good}), "has the number of"},
		{"package", packages("api"), ""},
		{"package of a group", packages("api/x"), ""},
		{"package of none", packages("wire"), "wire is not in the table"},
	} {
		got := c.breach()
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
			t.Errorf("%s: want %q, have %q", c.name, c.want, got)
		}
	}
}
