package server

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"forebay/config"
	"forebay/engine/enginetest/fakeupstream"
)

// raw writes bytes to a connection of its own and reads the first answer and whether the
// connection was closed behind it. It closes its sending side first when asked to.
func raw(t *testing.T, s *Server, text string, cut bool) (a answer, closed bool) {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(s.creds.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	if cut {
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	br := bufio.NewReader(conn)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		return answer{}, true // closed without a word
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("an answer that breaks off: %v", err)
	}
	_ = res.Body.Close()
	return answer{res.StatusCode, res.Header, string(b)}, res.Close
}

// request is a request as it goes over the wire, with the development key.
func (s *Server) request(line string, headers []string, body string) string {
	all := append([]string{line, "Host: h", "Authorization: Bearer " + s.creds.APIKey, "Content-Type: application/json"}, headers...)
	return strings.Join(all, "\r\n") + "\r\n\r\n" + body
}

func length(body string) string { return "Content-Length: " + strconv.Itoa(len(body)) }

// Paths that mean something else once they are cleaned or decoded are no operation, and
// never a redirect, which a signature would not survive.
func TestPathTricks(t *testing.T) {
	s, tidy := runTidy(t)
	defer tidy()
	body := viaChat.body(`[{"role":"user","content":"x"}]`)
	const unknownURL = "Not Found invalid_request_error"
	bedrock, openAI := door{name: "Bedrock"}, door{name: "OpenAI"}
	for path, want := range map[string]told{
		"/model/../v1/models":                {bedrock, "", unknownOperation, "is not recognized"},
		"/model/" + haiku + "//invoke":       {bedrock, "", unknownOperation, "is not recognized"},
		"/model/a%00b/invoke":                {bedrock, "", unknownOperation, "is not recognized"},
		"/model/" + haiku + "/%2e%2e/invoke": {bedrock, "", badValidation, "The provided model identifier is invalid."},
		"/model//invoke":                     {bedrock, "", unknownOperation, "is not recognized"},
		"/model/invoke":                      {bedrock, "", unknownOperation, "is not recognized"},
		"/model/" + haiku + "/invoke/":       {bedrock, "", unknownOperation, "is not recognized"},
		"/v1//models":                        {openAI, "", unknownURL, "Invalid URL."},
		"/v1/./models":                       {openAI, "", unknownURL, "Invalid URL."},
		"/v1/models/..":                      {openAI, "", unknownURL, "Invalid URL."},
		"//v1/models":                        {openAI, "", unknownURL, "Invalid URL."},
		"/..":                                {openAI, "", unknownURL, "Invalid URL."},
		"/.":                                 {openAI, "", unknownURL, "Unknown request URL: POST /.."},
		"/v1/chat/completions/../../../admin/v1/keys": {openAI, "", unknownURL, "Invalid URL."},
		"/v1/%2e%2e/admin/v1/keys":                    {openAI, "", unknownURL, "Unknown request URL: POST /v1/%2e%2e/admin/v1/keys."},
		"/v1/chat/completions%00":                     {openAI, "", unknownURL, "Invalid URL."},
		"/V1/chat/completions":                        {openAI, "", unknownURL, "Unknown request URL: POST /V1/chat/completions."},
		"/v1/chat/completions;jsessionid=1":           {openAI, "", unknownURL, "Unknown request URL: POST /v1/chat/completions;jsessionid=1."},
		`/v1\chat\completions`:                        {openAI, "", unknownURL, `Unknown request URL: POST /v1\chat\completions.`},
	} {
		got, _ := raw(t, s, s.request("POST "+path+" HTTP/1.1", []string{length(body)}, body), false)
		want.name += ", " + path
		want.check(t, got)
		if got.header.Get("Location") != "" {
			t.Errorf("%s: %d to %s", path, got.status, got.header.Get("Location"))
		}
	}
	got, _ := raw(t, s, s.request("POST /admin/v1/../../v1/chat/completions HTTP/1.1", []string{length(body)}, body), false)
	if got.status != http.StatusNotFound || !strings.Contains(got.body, `"kind":"unknown_operation"`) || got.header.Get("Location") != "" {
		t.Errorf("from the admin API: %d %v %s", got.status, got.header, got.body)
	}
}

// Framing that two parsers could read in two ways is refused, and the connection ends.
func TestAmbiguousFraming(t *testing.T) {
	s, tidy := runTidy(t)
	defer tidy()
	body := viaChat.body(`[{"role":"user","content":"x"}]`)
	chunk := strconv.FormatInt(int64(len(body)), 16) + "\r\n" + body + "\r\n"
	post := "POST " + chatPath + " HTTP/1.1"
	for name, text := range map[string]string{
		"two lengths":                   s.request(post, []string{length(body), "Content-Length: 5"}, body),
		"a negative length":             s.request(post, []string{"Content-Length: -1"}, body),
		"a length that is no number":    s.request(post, []string{"Content-Length: 1e3"}, body),
		"a coding nobody knows":         s.request(post, []string{"Transfer-Encoding: gzip, chunked"}, chunk+"0\r\n\r\n"),
		"a chunk size that is none":     s.request(post, []string{"Transfer-Encoding: chunked"}, "zz\r\n"+body+"\r\n0\r\n\r\n"),
		"a space before the colon":      s.request(post, []string{length(body), "X-A : a"}, body),
		"a null in a header":            s.request(post, []string{length(body), "X-A: a\x00b"}, body),
		"a bare carriage return inside": s.request(post, []string{length(body), "X-A: a\rX-B: b"}, body),
		"two hosts":                     s.request(post, []string{length(body), "Host: other"}, body),
		"no host":                       strings.Replace(s.request(post, []string{length(body)}, body), "Host: h\r\n", "", 1),
		"headers over the limit":        s.request(post, []string{length(body), "X-A: " + strings.Repeat("a", 80<<10)}, ""),
		"no protocol":                   s.request("POST "+chatPath, []string{length(body)}, body),
		"another protocol":              s.request("POST "+chatPath+" HTTP/3.0", []string{length(body)}, body),
	} {
		got, closed := raw(t, s, text, false)
		if got.status >= 200 && got.status < 400 || got.status >= 500 && got.status != http.StatusHTTPVersionNotSupported && got.status != http.StatusNotImplemented || !closed {
			t.Errorf("%s: %d, closed %v: %.200s", name, got.status, closed, got.body)
		}
	}
}

// What cannot be read as a request has no service whose words it could get: net/http answers it before any handler, in
// plain text, and ends the connection. docs/conformance.md lists these and the others.
func TestAnsweredBeforeAnyHandler(t *testing.T) {
	s := run(t, testConfig(t))
	post := "POST " + conversePath + " HTTP/1.1"
	hostless := func(headers ...string) string {
		return strings.Replace(s.request(post, headers, ""), "Host: h\r\n", "", 1)
	}
	for _, c := range []struct{ name, text, want string }{
		{"a path that cannot be unescaped", s.request("POST /model/%zz/converse HTTP/1.1", nil, ""), "400 Bad Request"},
		{"no host", hostless(), "400 Bad Request: missing required Host header"},
		{"a malformed host", hostless("Host: a b"), "400 Bad Request: malformed Host header"},
		{"two hosts", s.request(post, []string{"Host: other"}, ""), "400 Bad Request"},
		{"a null in a header", s.request(post, []string{"X-A: a\x00b"}, ""), "400 Bad Request"},
		{"a coding nobody knows", s.request(post, []string{"Transfer-Encoding: gzip"}, ""), "Unsupported transfer encoding"},
		{"another protocol", s.request("POST "+conversePath+" HTTP/3.0", nil, ""), "505 HTTP Version Not Supported: unsupported protocol version"},
		{"no protocol", s.request("POST "+conversePath, nil, ""), "400 Bad Request"},
	} {
		got, closed := raw(t, s, c.text, false)
		if got.body != c.want || got.header.Get("Content-Type") != "text/plain; charset=utf-8" || !closed {
			t.Errorf("%s: %d %v %q, closed %v; want %q", c.name, got.status, got.header, got.body, closed, c.want)
		}
	}
}

// A question about the whole server is an operation that nobody knows, in the words of the client's API.
func TestOptionsOfTheServer(t *testing.T) {
	s := run(t, testConfig(t))
	got, _ := raw(t, s, s.request("OPTIONS * HTTP/1.1", nil, ""), false)
	if got.status != http.StatusNotFound || !strings.Contains(got.body, `"error":{`) {
		t.Errorf("%d %v %.200s", got.status, got.header, got.body)
	}
	got, _ = raw(t, s, s.request("OPTIONS * HTTP/1.1", []string{"Amz-Sdk-Request: attempt=1"}, ""), false)
	if got.status != http.StatusNotFound || got.header.Get("X-Amzn-Errortype") != "UnknownOperationException" || !strings.Contains(got.body, `"__type":"UnknownOperationException"`) {
		t.Errorf("to AWS's SDK: %d %v %.200s", got.status, got.header, got.body)
	}
}

// Where both a length and chunks are stated the chunks count (RFC 9112, 6.3), in this server and in any proxy before it.
func TestLengthAndChunks(t *testing.T) {
	s := run(t, testConfig(t))
	body := viaChat.body(`[{"role":"user","content":"x"}]`)
	text := s.request("POST "+chatPath+" HTTP/1.1", []string{"Content-Length: 3", "Transfer-Encoding: chunked"}, strconv.FormatInt(int64(len(body)), 16)+"\r\n"+body+"\r\n0\r\n\r\n")
	if got, _ := raw(t, s, text, false); got.status != http.StatusOK {
		t.Errorf("%d %.200s", got.status, got.body)
	}
}

// Trailers behind the last chunk are taken and count for nothing.
func TestChunkedTrailers(t *testing.T) {
	s, tidy := runTidyBut(t, 1)
	defer tidy()
	body := viaChat.body(`[{"role":"user","content":"x"}]`)
	text := s.request("POST "+chatPath+" HTTP/1.1", []string{"Transfer-Encoding: chunked", "Trailer: Authorization, X-Checksum"},
		strconv.FormatInt(int64(len(body)), 16)+"\r\n"+body+"\r\n0\r\nAuthorization: Bearer nonsense\r\nX-Checksum: 1\r\n\r\n")
	if got, _ := raw(t, s, text, false); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
	// What only a trailer says is not said: no key, no model.
	nameless := strings.Replace(text, "Authorization: Bearer "+s.creds.APIKey+"\r\n", "", 1)
	nameless = strings.Replace(nameless, "Bearer nonsense", "Bearer "+s.creds.APIKey, 1)
	if got, _ := raw(t, s, nameless, false); got.status != http.StatusUnauthorized {
		t.Errorf("a key in a trailer: %d %s", got.status, got.body)
	}
}

// A body that breaks off is refused, whoever reads it, and leaves nothing.
func TestTruncatedBody(t *testing.T) {
	s, tidy := runTidy(t)
	defer tidy()
	const inFull = "The request body could not be read in full."
	for _, w := range []told{
		{viaConverse, "", badSerialization, inFull},
		{viaInvoke, "", badSerialization, inFull},
		{viaChat, "", badRequest, inFull},
		{viaMessages, "", badRequest, inFull},
	} {
		body := w.door.body(`[{"role":"user","content":"x"}]`)
		for name, text := range map[string]string{
			"with a length": s.request("POST "+w.path+" HTTP/1.1", []string{length(body)}, body[:len(body)/2]),
			"in chunks":     s.request("POST "+w.path+" HTTP/1.1", []string{"Transfer-Encoding: chunked"}, strconv.FormatInt(int64(len(body)), 16)+"\r\n"+body[:len(body)/2]),
		} {
			got, _ := raw(t, s, text, true)
			how := w
			how.name += ", " + name
			how.check(t, got)
		}
	}
}

// A body over the limit gets each API's own error, with a stated length before a byte of it is read.
func TestBodyOverTheLimit(t *testing.T) {
	s, tidy := runTidy(t, func(c *config.Config) { c.Server.BodyLimit = 1000 })
	defer tidy()
	for _, w := range []told{
		{viaConverse, "", badValidation, "1000 bytes"},
		{viaInvoke, "", badValidation, "1000 bytes"},
		{viaChat, "", "Request Entity Too Large invalid_request_error", "1000 bytes"},
		{viaMessages, "", "Request Entity Too Large request_too_large", "1000 bytes"},
	} {
		big := w.door.body(`[{"role":"user","content":"` + strings.Repeat("y", 2000) + `"}]`)
		w.check(t, post(t, s, w.path, big))
		w.check(t, post(t, s, w.path, "", func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader(big)), -1 }))
		got, _ := raw(t, s, s.request("POST "+w.path+" HTTP/1.1", []string{"Content-Length: 99999999999"}, ""), false)
		w.check(t, got)
		got, _ = raw(t, s, s.request("POST "+w.path+" HTTP/1.1", []string{"Content-Length: 99999999999", "Expect: 100-continue"}, ""), false)
		w.check(t, got)
	}
}

// Nothing that a client writes becomes a header line of the answer.
func TestHeaderInjection(t *testing.T) {
	s, tidy := runTidyBut(t, 1) // a member that nobody knows is none of ours
	defer tidy()
	const evil = `\r\nX-Evil: 1\r\n\r\n<html>`
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{chatPath, `{"model":"no` + evil + `","messages":[]}`, http.StatusNotFound},
		{messagesPath, `{"model":"no` + evil + `","max_tokens":5,"messages":[]}`, http.StatusNotFound},
		{"/model/no%0d%0aX-Evil:%201%0d%0a/converse", hiConverse, http.StatusBadRequest},
		{"/v1/models/no%0d%0aX-Evil:%201", "", http.StatusNotFound},
		{"/v1/no%0d%0aX-Evil:%201", "{}", http.StatusNotFound},
		{conversePath, `{"messages":[{"role":"user","content":[{"text":"x"}]}],"requestMetadata":{"a":"b` + evil + `"}}`, http.StatusBadRequest},
		{conversePath, `{"messages":[{"role":"user","content":[{"text":"x"}]}],"odd` + evil + `":1}`, http.StatusOK},
	} {
		got, _ := raw(t, s, s.request("POST "+c.path+" HTTP/1.1", []string{length(c.body)}, c.body), false)
		if got.status != c.status || got.header.Get("X-Evil") != "" || strings.HasPrefix(got.body, "<") {
			t.Errorf("%s: %d %v %.200s", c.path, got.status, got.header, got.body)
		}
		for name, values := range got.header {
			if strings.ContainsAny(strings.Join(values, ""), "\r\n") {
				t.Errorf("%s: %s is %q", c.path, name, values)
			}
		}
	}
}

// A client that closes its sending side while the model is at work is taken for one that left. It gets
// no answer, not one that says 200 and is empty.
func TestHalfClosedClientIsToldNothing(t *testing.T) {
	s, up := bound(t, fakeupstream.Anthropic, "anthropic")
	up.Handle(func(c *fakeupstream.Call) { <-c.Gone() })
	body := `{"model":"` + haiku + `","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`
	for _, path := range []string{chatPath, messagesPath} {
		if got, closed := raw(t, s, s.request("POST "+path+" HTTP/1.1", []string{length(body)}, body), true); got.status != 0 || !closed {
			t.Errorf("%s: %d %q, closed %v", path, got.status, got.body, closed)
		}
	}
}

// What a caller names may be no text at all. It hides nothing from those who look at usage.
func TestNamesThatAreNoText(t *testing.T) {
	s := run(t, testConfig(t))
	bad := post(t, s, "/model/%ff%fe/converse", hiConverse)
	if bad.status != http.StatusBadRequest {
		t.Fatalf("%+v", bad)
	}
	for _, path := range []string{"usage?by=asked", "explain/" + bad.header.Get("X-Amzn-Requestid")} {
		if a := ask(t, s, http.MethodGet, path, ""); a.status != http.StatusOK || !utf8.ValidString(a.body) {
			t.Errorf("%s: %d %q", path, a.status, a.body)
		}
	}
}
