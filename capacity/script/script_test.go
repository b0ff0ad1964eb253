package script

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forebay/capacity"
)

// What Format writes of the events in the scheduler's own scripts, Parse reads.
func TestWhatIsWrittenIsRead(t *testing.T) {
	files, err := filepath.Glob("../testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	seen := map[capacity.EventKind]bool{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimRight(line, "\n")
			if object, ok := strings.CutPrefix(line, "  "); ok {
				cfg := new(capacity.Config)
				if ParseObject(object, cfg) != nil {
					continue // a line of an explanation
				}
				if got := FormatEvent(&capacity.Event{Kind: capacity.EventConfigure, Config: cfg}); !same(got, "configure\n  "+object) {
					t.Errorf("%s: %q comes back as %q", name, object, got)
				}
				continue
			}
			ev, err := ParseEvent(line)
			if err != nil {
				continue // a command of the test, an action, a comment
			}
			seen[ev.Kind] = true
			if got := FormatEvent(&ev); !same(got, line) {
				t.Errorf("%s: %q comes back as %q", name, line, got)
			}
		}
	}
	for kind := capacity.EventConfigure; kind <= capacity.EventTick; kind++ {
		if !seen[kind] && kind != capacity.EventExpire {
			t.Errorf("no script has a %s", kind)
		}
	}
}

// same says whether two lines have the same words, but for fields that are zero.
func same(a, b string) bool {
	count := map[string]int{}
	for w := range strings.FieldsSeq(a) {
		count[w]++
	}
	for w := range strings.FieldsSeq(b) {
		count[w]--
	}
	for w, n := range count {
		if n != 0 && !strings.HasSuffix(w, "=0") && !strings.HasSuffix(w, "=0s") {
			return false
		}
	}
	return true
}

func TestMistakesAreNamed(t *testing.T) {
	for line, want := range map[string]string{
		"":                     "empty line",
		"arive call=1":         `no event "arive"`,
		"arrive cal=1":         "no such words: cal",
		"arrive call=1 call=2": "call comes twice",
		"arrive call=x":        "want a number in range",
		"settle call=1 output=9999999999999999999999":    "want a number in range",
		"arrive call=1 tier=fast":                        "want a name that exists",
		"arrive call=1 tier=unknown":                     "want a name that exists",
		"arrive call=1 deadline=5":                       "want a duration",
		"arrive call=1 preemptible=1":                    "want no value",
		"arrive call=1 lane(pool=1":                      "lane( without )",
		"arrive call=1 buckets=1 lane(pool=1 buckets=2)": "handles of the event's own list",
		"arrive call=1 buckets=1,x":                      "at most 16 handles",
	} {
		if _, err := ParseEvent(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", line, err, want)
		}
	}
	if err := ParseObject("modell id=1", new(capacity.Config)); err == nil {
		t.Error("there is an object modell")
	}
}
