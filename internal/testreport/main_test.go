package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const pass = `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:1: chatter\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:2: SKIPPED: no engine\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"pass","Package":"p"}
`
	for _, c := range []struct {
		name, in   string
		ok         bool
		want, lack []string
	}{
		{"pass", pass, true, []string{"ok  \tp", "p TestB: b_test.go:2: SKIPPED: no engine", "PASS: 1 tests passed, 0 failed, 1 skipped in 1 packages"}, []string{"chatter"}},
		{"fail", pass + `{"Action":"output","Package":"q","Test":"TestC","Output":"    c_test.go:3: wrong\n"}
{"Action":"fail","Package":"q","Test":"TestC"}
{"Action":"fail","Package":"q"}`, false, []string{"c_test.go:3: wrong", "FAIL: 1 tests passed, 1 failed, 1 skipped in 2 packages"}, nil},
		{"panic", `{"Action":"output","Package":"q","Test":"TestD","Output":"panic: boom\n"}
{"Action":"fail","Package":"q"}`, false, []string{"panic: boom"}, nil},
		{"build", `{"ImportPath":"q","Action":"build-output","Output":"q.go:1: syntax\n"}
{"ImportPath":"q","Action":"build-fail"}`, false, []string{"q.go:1: syntax", "FAIL"}, nil},
		{"stranger", "go: no such thing\n" + pass, true, []string{"go: no such thing"}, nil},
	} {
		var out strings.Builder
		ok, err := report(strings.NewReader(c.in), &out)
		if err != nil || ok != c.ok {
			t.Errorf("%s: %v, %v", c.name, ok, err)
		}
		for _, w := range c.want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%s: no %q in\n%s", c.name, w, out.String())
			}
		}
		for _, l := range c.lack {
			if strings.Contains(out.String(), l) {
				t.Errorf("%s: %q in\n%s", c.name, l, out.String())
			}
		}
	}
	if _, err := report(strings.NewReader(""), &strings.Builder{}); err == nil {
		t.Error("nothing was taken for a report")
	}
}
