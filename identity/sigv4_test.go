package identity

import (
	"encoding/json"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forebay/fault"
	"forebay/internal/testenv"
)

type vector struct {
	Credentials struct {
		AccessKeyID     string `json:"access_key_id"`
		SecretAccessKey string `json:"secret_access_key"`
		Token           string `json:"token"`
	} `json:"credentials"`
	Normalize bool   `json:"normalize"`
	SignBody  bool   `json:"sign_body"`
	Region    string `json:"region"`
	Service   string `json:"service"`
	Timestamp string `json:"timestamp"`
	OmitToken bool   `json:"omit_session_token"`
}

// parseRequest reads the vectors' raw requests, which net/http would refuse (spaces in
// the target, folded headers).
func parseRequest(text string) (*Request, string) {
	head, body, _ := strings.Cut(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n")
	lines := strings.Split(strings.TrimRight(head, "\n"), "\n")
	first := lines[0]
	method, rest, _ := strings.Cut(first, " ")
	target := strings.TrimSuffix(rest, " HTTP/1.1")
	r := &Request{Method: method, Header: map[string][]string{}}
	r.Path, r.Query, _ = strings.Cut(target, "?")
	last := ""
	for _, l := range lines[1:] {
		if strings.HasPrefix(l, " ") || strings.HasPrefix(l, "\t") {
			v := r.Header[last]
			v[len(v)-1] += " " + strings.TrimSpace(l)
			continue
		}
		k, v, _ := strings.Cut(l, ":")
		last = textproto.CanonicalMIMEHeaderKey(k)
		if last == "Host" {
			r.Host = v
			continue
		}
		r.Header[last] = append(r.Header[last], v)
	}
	return r, body
}

// normalizePath is RFC 3986 dot-segment removal, which a client may ask its signer for;
// the service then sees the path already normalised.
func normalizePath(p string) string {
	var out []string
	for seg := range strings.SplitSeq(p, "/") {
		switch seg {
		case "", ".":
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
		default:
			out = append(out, seg)
		}
	}
	n := "/" + strings.Join(out, "/")
	if strings.HasSuffix(p, "/") && n != "/" {
		n += "/"
	}
	return n
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n")
}

func TestSigningVectors(t *testing.T) {
	root := testenv.Shared(t, "conformance/sigv4/v4")
	dirs, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, d := range dirs {
		for _, form := range []string{"header", "query"} {
			n++
			t.Run(d.Name()+"/"+form, func(t *testing.T) { checkVector(t, filepath.Join(root, d.Name()), form) })
		}
	}
	if n != 76 {
		t.Errorf("%d cases, want 76", n)
	}
}

func checkVector(t *testing.T, dir, form string) {
	var v vector
	if err := json.Unmarshal([]byte(read(t, dir, "context.json")), &v); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, form+"-signed-request.txt"))
	if err != nil {
		t.Fatal(err)
	}
	r, body := parseRequest(string(raw))
	if v.Normalize {
		r.Path = normalizePath(r.Path)
	}
	parse := ParseAuthorization
	if form == "query" {
		parse = ParsePresigned
	}
	c, err := parse(r)
	if err != nil {
		t.Fatal(err)
	}
	if v.OmitToken && form == "query" { // the token was appended after signing
		kept := []string{}
		for part := range strings.SplitSeq(r.Query, "&") {
			if !strings.HasPrefix(part, "X-Amz-Security-Token=") {
				kept = append(kept, part)
			}
		}
		r.Query = strings.Join(kept, "&")
	}
	now, err := time.Parse(time.RFC3339, v.Timestamp)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(now, v.Region, v.Service); err != nil {
		t.Fatal(err)
	}
	hash, err := PayloadHash(r, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.CanonicalRequest(r, hash), read(t, dir, form+"-canonical-request.txt"); got != want {
		t.Errorf("canonical request\n%s\nwant\n%s", got, want)
	}
	if got, want := c.StringToSign(r, hash), read(t, dir, form+"-string-to-sign.txt"); got != want {
		t.Errorf("string to sign\n%s\nwant\n%s", got, want)
	}
	key := SigningKey(v.Credentials.SecretAccessKey, c.Date, c.Region, c.Service)
	if err := c.Verify(r, key, hash); err != nil {
		t.Error(err)
	}
	key[0] ^= 1
	if err := c.Verify(r, key, hash); fault.KindOf(err) != fault.BadSignature {
		t.Errorf("a wrong key gave %v", err)
	}
}
