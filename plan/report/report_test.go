package report

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"flag"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"forebay/catalog"
	"forebay/internal/testenv"
	"forebay/plan"
	"forebay/plan/shape"
)

var update = flag.Bool("update", false, "write the chart of docs/planning.md")

func answer(t *testing.T, model string, change func(*plan.Question)) *plan.Answer {
	t.Helper()
	s, err := shape.Parse("50000/day, 80% 09-17, 1% 22-06, America/New_York, peak x2, in 1000, out 300", 1)
	if err != nil {
		t.Fatal(err)
	}
	r, err := catalog.NewNames(catalog.Builtin(), nil, "").Resolve(model)
	if err != nil {
		t.Fatal(err)
	}
	q := &plan.Question{Traffic: s, Model: r.Model, Seed: 1, Calls: 60_000}
	if change != nil {
		change(q)
	}
	a, err := plan.Do(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func second(t *testing.T) *plan.Answer {
	t.Helper()
	return answer(t, "meta.llama3-1-70b-instruct-v1:0", func(q *plan.Question) {
		q.Unit = &catalog.Unit{Input: 200_000, Output: 20_000, Basis: catalog.BasisGiven}
	})
}

// quick is the same, of fewer calls that are replayed.
func quick(t *testing.T) *plan.Answer {
	t.Helper()
	return answer(t, "meta.llama3-1-70b-instruct-v1:0", func(q *plan.Question) {
		q.Unit, q.Calls = &catalog.Unit{Input: 200_000, Output: 20_000, Basis: catalog.BasisGiven}, 5_000
	})
}

// The chart of the documentation is that of the second worked example.
func TestChartOfTheDocumentation(t *testing.T) {
	got := costSVG(second(t)) + "\n"
	path := filepath.Join(testenv.Root(t), "docs", "planning", "worked-example.svg")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%v: %s is not the chart that is drawn now: go test ./plan/report -update", err, path)
	}
}

// The page is whole, its charts are well-formed, it loads nothing, and what comes from outside cannot break out of its text.
func TestPage(t *testing.T) {
	a := quick(t)
	a.Warnings = append(a.Warnings, `</script><script>alert("x")</script>`)
	a.Options[0].Name += ` <img src=x onerror=alert(1)> "'&`
	var b bytes.Buffer
	if err := HTML(&b, a); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, bad := range []string{"<img", `alert("x")</script>`, "http://", "https://", "ZgotmplZ"} {
		if strings.Contains(strings.ReplaceAll(page, "http://www.w3.org/2000/svg", ""), bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	charts := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(page, -1)
	if len(charts) < 2 {
		t.Fatalf("%d charts", len(charts))
	}
	for _, c := range charts {
		d := xml.NewDecoder(strings.NewReader(c))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v in %s", err, c)
			}
		}
	}
	for _, want := range []string{"1,404.00", "641 %", "Sizing sheet", "81,408.96"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestPictureAndTable(t *testing.T) {
	a := quick(t)
	var b bytes.Buffer
	if err := PNG(&b, a); err != nil {
		t.Fatal(err)
	}
	if img, err := png.Decode(&b); err != nil || img.Bounds().Dx() != chartWidth*pngScale {
		t.Error(err)
	}
	b.Reset()
	if err := CSV(&b, a); err != nil {
		t.Fatal(err)
	}
	if rows, err := csv.NewReader(&b).ReadAll(); err != nil || len(rows) != len(a.Options)+1 {
		t.Errorf("%d rows: %v", len(rows), err)
	}
	b.Reset()
	if err := Text(&b, a, true); err != nil || !strings.Contains(b.String(), "Where each figure comes from") {
		t.Errorf("%v %s", err, b.String())
	}
}
