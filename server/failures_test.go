package server

import (
	"encoding/xml"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"forebay/api"
	"forebay/fault"

	"github.com/go-json-experiment/json"
)

// Every API has an answer to every kind of failure: a status, a name and a message in a form that its
// clients parse. What an internal fault says is for the log alone; a wait is told wherever one is known.
func TestEveryFailureHasAForm(t *testing.T) {
	s := run(t, testConfig(t))
	f := s.front
	for _, svc := range []api.Service{f.openai, f.anthropic, f.runtime, f.bedrock, f.sts, f.sagemaker, f.endpoints, f.scaling, f.admin, unknownAWS{}} {
		for k := range fault.NumKinds {
			e := fault.Wrap(k, http.ErrAbortHandler, "")
			e.RetryAfter = 1500 * time.Millisecond
			if k == fault.Internal {
				e.Message = "the secret of the house"
			}
			rec := httptest.NewRecorder()
			c := &api.Call{ID: "the-id", HTTP: httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil), W: api.NewWriter(rec, 0), Log: slog.New(slog.DiscardHandler)}
			svc.Fail(c, e)
			what := svc.Name() + ", " + k.String()
			if rec.Code < 400 || rec.Code > 599 {
				t.Errorf("%s: status %d", what, rec.Code)
			}
			body := rec.Body.String()
			if strings.Contains(body, "secret") || strings.Contains(body, http.ErrAbortHandler.Error()) {
				t.Errorf("%s tells a client what is for the log: %s", what, body)
			}
			if rec.Header().Get("Retry-After") != "2" || rec.Header().Get("X-Amz-Retry-After") != "1500" {
				t.Errorf("%s: the wait is not told: %v", what, rec.Header())
			}
			name, message := failureOf(t, what, rec.Header().Get("Content-Type"), rec.Body.Bytes())
			if name == "" || message == "" {
				t.Errorf("%s: name %q, message %q in %s", what, name, message, body)
			}
		}
	}
}

// failureOf reads the error of an answer as its API's clients do.
func failureOf(t *testing.T, what, kind string, body []byte) (name, message string) {
	t.Helper()
	if strings.HasPrefix(kind, "text/xml") {
		var x struct {
			Code    string `xml:"Error>Code"`
			Message string `xml:"Error>Message"`
			ID      string `xml:"RequestId"`
		}
		if err := xml.Unmarshal(body, &x); err != nil || x.ID != "the-id" {
			t.Errorf("%s: %v in %s", what, err, body)
		}
		return x.Code, x.Message
	}
	var j struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
		Modeled string `json:"Message"` // in SageMaker's own errors
		Error   struct {
			Kind    string `json:"kind"` // of the admin API
			Type    string `json:"type"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &j); err != nil || !strings.HasPrefix(kind, "application/json") && !strings.HasPrefix(kind, "application/x-amz-json-1.") {
		t.Errorf("%s: %v in %s of type %s", what, err, body, kind)
	}
	if j.Type != "" {
		return j.Type, j.Message + j.Modeled
	}
	return j.Error.Type + j.Error.Kind, j.Error.Message
}
