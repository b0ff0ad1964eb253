package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestSplitTarget(t *testing.T) {
	for target, want := range map[string][2]string{
		"/v1/models":                          {"/v1/models", ""},
		"/model/a%2Fb/invoke?x=%20&y":         {"/model/a%2Fb/invoke", "x=%20&y"},
		"/?u=http://h/p":                      {"/", "u=http://h/p"},
		"http://host/p?q":                     {"/p", "q"},
		"http://host":                         {"/", ""},
		"http://host?q=1":                     {"/", "q=1"},
		"http://host?q=/admin/v1/keys":        {"/", "q=/admin/v1/keys"},
		"http://host?q=http://other/admin/v1": {"/", "q=http://other/admin/v1"},
		"*":                                   {"*", ""},
	} {
		if path, query := SplitTarget(target); path != want[0] || query != want[1] {
			t.Errorf("%s: %q and %q", target, path, query)
		}
	}
}

// A keep-alive that was due when the answer was sent in one piece adds nothing to it.
func TestKeepAliveThatComesTooLate(t *testing.T) {
	rec := httptest.NewRecorder()
	w := NewWriter(rec, 0)
	w.Stream(FramingSSE, time.Hour, func() {})
	if err := w.Body(http.StatusTooManyRequests, "application/json", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	w.keepAlive()
	if got := rec.Body.String(); got != "{}" {
		t.Errorf("%q", got)
	}
}
