package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"forebay/meter"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// signedAt signs a request, as it is, for bedrock at a time.
func signedAt(s *Server, secret string, at time.Time) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Del("Authorization")
		creds := aws.Credentials{AccessKeyID: s.creds.AccessKeyID, SecretAccessKey: secret}
		_ = v4.NewSigner().SignHTTP(context.Background(), creds, r, emptyHash, "bedrock", "us-east-1", at)
	}
}

// refusals are the refused calls by key, reason, API and operation, in one string each.
func refusals(t *testing.T, s *Server) []string {
	t.Helper()
	var out []string
	for _, r := range usage(t, s, "account", "key", "reason", "api", "operation", "model", "outcome") {
		out = append(out, fmt.Sprint(strings.Join(r.Group, " "), " ", r.Requests))
	}
	return out
}

// Whoever calls and is refused before he is authenticated is counted by reason, API, and the
// key if it exists: by nothing that he can invent.
func TestRefusedBeforeAuthenticationIsCounted(t *testing.T) {
	s := run(t, testConfig(t))
	pair, account := s.creds.AccessKeyID, s.cfg.Account.ID
	revoked := post(t, s, "/admin/v1/keys", `{"name":"gone","kind":"api-key"}`)
	_, rest, _ := strings.Cut(revoked.body, `"secret": "`)
	secret, _, _ := strings.Cut(rest, `"`)
	_, rest, _ = strings.Cut(revoked.body, `"id": "`)
	id, _, _ := strings.Cut(rest, `"`)
	post(t, s, "/admin/v1/keys/"+id, "", func(r *http.Request) { r.Method = http.MethodDelete })

	auth := func(v string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Del("Authorization")
			if v != "" {
				r.Header.Set("Authorization", v)
			}
		}
	}
	for i := range 300 { // beyond what gets rows of its own, each with another invention
		post(t, s, chatPath, `{"model":"invented-`+strconv.Itoa(i)+`"}`, auth("Bearer invented-"+strconv.Itoa(i)))
	}
	post(t, s, chatPath, `{}`, auth(""))
	post(t, s, messagesPath, `{}`, auth("Basic eDp5"))
	post(t, s, chatPath, `{}`, auth("Bearer "+secret))
	post(t, s, conversePath, `{}`, signedAt(s, s.creds.SecretAccessKey, time.Now().Add(-time.Hour)))
	post(t, s, conversePath, `{}`, signedAt(s, "not the secret", time.Now()))
	post(t, s, conversePath, `{}`, signedAt(s, s.creds.SecretAccessKey, time.Now())) // signed over another body
	post(t, s, "/v1//models", `{}`, auth(""))

	want := []string{
		"  incomplete_auth anthropic   refused 1",
		"  missing_auth openai   refused 1",
		"  unknown_key openai   refused 300",
		"  unknown_operation openai   refused 1",
		" " + pair + " bad_signature bedrock-runtime   refused 2",
		" " + pair + " expired bedrock-runtime   refused 1",
		" " + id + " unknown_key openai   refused 1",
	}
	got := refusals(t, s)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
	if n := s.ledger.Rows(); n != int64(len(want)) {
		t.Errorf("%d rows for %d kinds of refusals", n, len(want))
	}
	if strings.Contains(fmt.Sprint(got), secret) || strings.Contains(fmt.Sprint(got), "invented") || strings.Contains(fmt.Sprint(got), account) {
		t.Error("what a caller invented, or a secret, is on the ledger")
	}
	if got := post(t, s, "/admin/v1/usage?by=reason", "", func(r *http.Request) { r.Method = http.MethodGet }); !strings.Contains(got.body, "unknown_key") {
		t.Errorf("usage does not show them: %s", got.body)
	}
}

// Every refusal of a known caller has its row, whatever was wrong.
func TestEveryRefusalOfAKnownCallerHasItsRow(t *testing.T) {
	c := testConfig(t)
	c.Server.BodyLimit = 2000
	s := run(t, c)
	key := usageKey(t, s)
	post(t, s, "/admin/v1/keys", `{"name":"titan","kind":"api-key","policy":{"models":["amazon.titan*"]}}`)
	for _, x := range []struct{ path, body string }{
		{chatPath, `{"model":`},
		{chatPath, `{"messages":[]}`},
		{chatPath, `{"model":"nope","messages":[]}`},
		{chatPath, `{"model":"` + haiku + `","messages":[]}`},
		{chatPath, `{"pad":"` + strings.Repeat("x", 3000) + `"}`},
		{"/v1/nope", `{}`},
		{messagesPath, `[]`},
		{conversePath, `{`},
		{invokePath, `nope`},
		{"/model/x.y/invoke", `{}`},
		{"/model/x/nope", `{}`},
		{"/guardrail/g/version/1/apply", `{}`},
	} {
		if got := post(t, s, x.path, x.body); got.status < 400 {
			t.Errorf("%s %.40s: %d", x.path, x.body, got.status)
		}
	}
	var sum int64
	for _, r := range usage(t, s, "key", "outcome") {
		if r.Group[0] != key || r.Group[1] != meter.OutcomeRefused {
			t.Errorf("%v", r.Group)
		}
		sum += r.Refused
	}
	if sum != 12 || s.ledger.Rows() != 12 {
		t.Errorf("%d refusals in %d rows, want 12: %q", sum, s.ledger.Rows(), refusals(t, s))
	}
	got := refusals(t, s)
	for _, want := range []string{
		" malformed openai ChatCompletions  refused 1", " unknown_model openai ChatCompletions  refused 1", " too_large openai   refused 1",
		" invalid openai ChatCompletions  refused 1", " unknown_operation openai   refused 1", " unknown_model bedrock-runtime InvokeModel  refused 1",
		" invalid openai ChatCompletions " + haiku + " refused 1", " unsupported bedrock-runtime ApplyGuardrail  refused 1",
	} {
		if !slices.ContainsFunc(got, func(r string) bool { return strings.HasSuffix(r, want) }) {
			t.Errorf("no row %q in %s", want, strings.Join(got, "\n"))
		}
	}
}

// usageKey is the id of the development API key.
func usageKey(t *testing.T, s *Server) string {
	t.Helper()
	if id := s.keyring.Load().Known("", s.creds.APIKey); id != "" {
		return id
	}
	t.Fatal("the development key is not known")
	return ""
}

// A body that breaks off is refused, and counted for its caller.
func TestBrokenOffBodyHasItsRow(t *testing.T) {
	s := run(t, testConfig(t))
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.creds.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(conn, "POST "+chatPath+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+s.creds.APIKey+"\r\nContent-Length: 100\r\n\r\n{\"model\"")
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	if _, err := io.Copy(io.Discard, conn); err != nil { // the server closes when it is done
		t.Error(err)
	}
	_ = conn.Close()
	if got := refusals(t, s); len(got) != 1 || !strings.Contains(got[0], " malformed openai ") {
		t.Errorf("%q", got)
	}
}
