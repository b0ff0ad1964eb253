package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forebay/internal/testenv"
)

func TestDocumentIsMadeOfRecords(t *testing.T) {
	dir := t.TempDir()
	records, document := filepath.Join(dir, "records"), filepath.Join(dir, "page.md")
	t.Setenv("FOREBAY_VALIDATION", records)
	testenv.Record(t, "T10", "later", "o")
	testenv.Record(t, "T2", "a|b", "c")
	testenv.Record(t, "T2", "a|b", "c")
	if err := os.WriteFile(document, []byte("before\n"+begin+"stale\n"+end+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(records, document); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(document)
	text := string(raw)
	if err != nil || strings.Contains(text, "stale") || !strings.HasPrefix(text, "before\n") || !strings.HasSuffix(text, "after\n") || strings.Count(text, "holds") != 2 ||
		strings.Index(text, "| T2 |") > strings.Index(text, "| T10 |") || !strings.Contains(text, `a\|b`) {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestRecordsRefused(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"empty": "", "no JSON": "x\n", "another id": `{"id":"T18"}` + "\n", "zero": `{"id":"T01"}` + "\n"} {
		path := filepath.Join(dir, "records")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := read(path); err == nil {
			t.Errorf("%s: read", name)
		}
	}
}
