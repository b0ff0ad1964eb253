package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forebay/config"
	"forebay/identity"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const hiConverse = `{"messages":[{"role":"user","content":[{"text":"[[tokens:1]]"}]}],"inferenceConfig":{"maxTokens":5}}`

// signature is how a request is signed; the zero value is the right way, with the development keys.
type signature struct {
	id, secret, token string
	at                time.Time // zero: now
	service, region   string    // "": bedrock, us-east-1
	payload           string    // the payload hash; "": that of the body
	state             bool      // the hash is stated in X-Amz-Content-Sha256, too
}

// sign returns a change that signs a request with a body, and then changes it further.
func sign(t *testing.T, s *Server, body string, how signature, further ...func(*http.Request)) func(*http.Request) {
	t.Helper()
	return func(r *http.Request) {
		r.Header.Del("Authorization")
		hash, at := how.payload, how.at
		if hash == "" {
			sum := sha256.Sum256([]byte(body))
			hash = hex.EncodeToString(sum[:])
		}
		if how.state {
			r.Header.Set("X-Amz-Content-Sha256", hash)
		}
		if at.IsZero() {
			at = time.Now()
		}
		if err := v4.NewSigner().SignHTTP(t.Context(), how.credentials(s), r, hash, or(how.service, "bedrock"), or(how.region, "us-east-1"), at); err != nil {
			t.Error(err)
		}
		for _, f := range further {
			f(r)
		}
	}
}

func (how signature) credentials(s *Server) aws.Credentials {
	return aws.Credentials{AccessKeyID: or(how.id, s.creds.AccessKeyID), SecretAccessKey: or(how.secret, s.creds.SecretAccessKey), SessionToken: how.token}
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// set changes a header; "" takes it away.
func set(name, value string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Del(name)
		if value != "" {
			r.Header.Set(name, value)
		}
	}
}

// replace changes a piece of the Authorization header.
func replace(old, with string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, with, 1))
	}
}

// Names of refusals with their status.
const (
	badSignature  = "Forbidden InvalidSignatureException"
	badForm       = "Bad Request IncompleteSignatureException"
	unrecognised  = "Forbidden UnrecognizedClientException"
	noCredentials = "Forbidden MissingAuthenticationTokenException"
	mismatch      = "The request signature we calculated does not match the signature you provided."
	invalidToken  = "The security token included in the request is invalid."
)

// makeKey makes a key through the admin API.
func makeKey(t *testing.T, s *Server, name string, kind identity.KeyKind, policy identity.Policy, expires time.Time) identity.Secret {
	t.Helper()
	in := map[string]any{"name": name, "kind": kind, "policy": policyText(t, policy)}
	if !expires.IsZero() {
		in["expires"] = expires
	}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		ID     string `json:"id"`
		Secret string `json:"secret"`
	}
	got := post(t, s, "/admin/v1/keys", string(b))
	if err := json.Unmarshal([]byte(got.body), &out); err != nil || got.status != http.StatusOK {
		t.Fatalf("%d %s %v", got.status, got.body, err)
	}
	return identity.Secret{ID: out.ID, Value: out.Secret}
}

// policyText is a policy as the admin API takes it.
func policyText(t *testing.T, p identity.Policy) jsontext.Value {
	t.Helper()
	text, err := (keyAdmin{}).FormatPolicy(&p)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// expiredKey makes a key whose time is over, which the admin API would not.
func expiredKey(t *testing.T, s *Server, kind identity.KeyKind) identity.Secret {
	t.Helper()
	generate := identity.NewPair
	if kind == identity.KeyBearer {
		generate = identity.NewBearer
	}
	key, err := generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	err = s.changeKeys(t.Context(), func() error {
		return s.store.CreateKey(t.Context(), &identity.Key{ID: key.ID, Name: key.ID, Kind: kind, Account: s.cfg.Account.ID, Expires: time.Now()}, key.Value)
	})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func revoke(t *testing.T, s *Server, id string) {
	t.Helper()
	if got := post(t, s, "/admin/v1/keys/"+id, "", func(r *http.Request) { r.Method = http.MethodDelete }); got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
}

// What is wrong with a signature is said in the words of AWS.
func TestBadSignatures(t *testing.T) {
	s, tidy := runTidy(t)
	defer tidy()
	now := time.Now()
	stamp := func(at time.Time) string { return at.UTC().Format("20060102T150405Z") }
	revoked := makeKey(t, s, "revoked", identity.KeyPair, identity.Policy{}, time.Time{})
	revoke(t, s, revoked.ID)
	expired := expiredKey(t, s, identity.KeyPair)
	for _, c := range []struct {
		name       string
		how        signature
		further    func(*http.Request)
		want, text string
	}{
		{"of another body", signature{payload: emptyHash}, nil, badSignature, mismatch},
		{"of a body that the request does not have", signature{payload: emptyHash, state: true}, nil, badSignature, "x-amz-content-sha256"},
		{"by another secret", signature{secret: "wrong"}, nil, badSignature, mismatch},
		{"of another path", signature{}, func(r *http.Request) { r.URL.Path += "-stream" }, badSignature, mismatch},
		{"of another query", signature{}, func(r *http.Request) { r.URL.RawQuery = "a=b" }, badSignature, mismatch},
		{"expired", signature{at: now.Add(-6 * time.Minute)}, nil, badSignature, "Signature expired: " + stamp(now.Add(-6*time.Minute)) + " is now earlier than "},
		{"future", signature{at: now.Add(6 * time.Minute)}, nil, badSignature, "Signature not yet current: " + stamp(now.Add(6*time.Minute)) + " is still later than "},
		{"replayed with a newer date", signature{at: now.Add(-6 * time.Minute)}, set("X-Amz-Date", stamp(now)), badSignature, ""},
		{"replayed on another day", signature{at: now.Add(-24 * time.Hour)}, set("X-Amz-Date", stamp(now)), badSignature, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "},
		{"unknown key", signature{id: "AKIAIOSFODNN7EXAMPLE"}, nil, unrecognised, invalidToken},
		{"revoked key", signature{id: revoked.ID, secret: revoked.Value}, nil, unrecognised, invalidToken},
		{"expired key", signature{id: expired.ID, secret: expired.Value}, nil, unrecognised, invalidToken},
		{"another terminator", signature{}, replace("aws4_request", "aws5_request"), badSignature, "valid terminator: 'aws4_request'"},
		{"for another service", signature{service: "sagemaker"}, nil, "Not Found UnknownOperationException", ""},
		{"no date", signature{}, set("X-Amz-Date", ""), badForm, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header."},
		{"a date in another format", signature{}, set("X-Amz-Date", "2026-01-02"), badForm, "Date must be in ISO-8601 'basic format'. Got '2026-01-02'."},
		{"no credential", signature{}, replace("Credential=", "Cred="), badForm, "Authorization header requires 'Credential' parameter."},
		{"half a credential", signature{}, replace("/us-east-1/bedrock", ""), badForm, "Credential must have at least 5 slash-delimited elements"},
		{"no signed headers", signature{}, replace("SignedHeaders=", "Headers="), badForm, "Authorization header requires 'SignedHeaders' parameter."},
		{"no signature", signature{}, replace("Signature=", "Sig="), badForm, "Authorization header requires 'Signature' parameter."},
		{"without the host", signature{}, replace("host;", ""), badSignature, "'Host' or ':authority' must be a 'SignedHeader'"},
		{"a header added on the way", signature{}, set("X-Amz-Evil", "1"), badSignature, "'x-amz-evil' must be a 'SignedHeader' in the AWS Authorization."},
		{"a signed header changed on the way", signature{}, set("Content-Type", "text/plain"), badSignature, mismatch},
		{"asymmetric (SigV4A)", signature{}, replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), badForm, "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'."},
		{"none", signature{}, set("Authorization", ""), noCredentials, "Missing Authentication Token"},
		{"no scheme of ours", signature{}, set("Authorization", "Basic eDp5"), badForm, ""},
		{"a short-term key of nonsense", signature{}, set("Authorization", "Bearer bedrock-api-key-e30="), unrecognised, invalidToken},
		{"an unknown API key", signature{}, set("Authorization", "Bearer nonsense"), unrecognised, invalidToken},
	} {
		t.Run(c.name, func(t *testing.T) {
			further := []func(*http.Request){}
			if c.further != nil {
				further = append(further, c.further)
			}
			got := post(t, s, conversePath, hiConverse, sign(t, s, hiConverse, c.how, further...))
			told{viaConverse, "", c.want, c.text}.check(t, got)
			if strings.Contains(got.body, s.creds.SecretAccessKey) || strings.Contains(got.body, s.creds.APIKey) {
				t.Error("a secret is echoed")
			}
		})
	}
}

// Every form of a good signature is taken.
func TestGoodSignatures(t *testing.T) {
	s := run(t, testConfig(t))
	for name, c := range map[string]struct {
		how  signature
		path string
	}{
		"header":            {signature{}, conversePath},
		"nearly too old":    {signature{at: time.Now().Add(-identity.Window + 20*time.Second)}, conversePath},
		"nearly too new":    {signature{at: time.Now().Add(identity.Window - 20*time.Second)}, conversePath},
		"session token":     {signature{token: "a-token"}, conversePath},
		"stated hash":       {signature{state: true}, conversePath},
		"unsigned payload":  {signature{payload: identity.UnsignedPayload, state: true}, conversePath},
		"streaming trailer": {signature{payload: identity.UnsignedTrailer, state: true}, conversePath},
		"streaming events":  {signature{payload: identity.StreamingEvents, state: true}, conversePath},
		"another region":    {signature{region: "eu-west-1"}, conversePath},
		"escaped colon":     {signature{}, strings.ReplaceAll(conversePath, ":", "%3A")},
	} {
		if got := post(t, s, c.path, hiConverse, sign(t, s, hiConverse, c.how)); got.status != http.StatusOK {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}

// A presigned call of a week's life is taken, with its body.
func TestGoodPresignedRequest(t *testing.T) {
	s := run(t, testConfig(t))
	for _, seconds := range []string{"60", "604800"} {
		if got := post(t, s, conversePath, hiConverse, presign(t, s, time.Now().Add(-30*time.Second), seconds)); got.status != http.StatusOK {
			t.Errorf("%s s: %d %s", seconds, got.status, got.body)
		}
	}
}

// presign moves the signature of a request into its query.
func presign(t *testing.T, s *Server, at time.Time, seconds string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Del("Authorization")
		r.Header.Del("Content-Type")
		q := r.URL.Query()
		q.Set("X-Amz-Expires", seconds)
		r.URL.RawQuery = q.Encode()
		// The body of a presigned call is signed as that of a call by header.
		sum := sha256.Sum256([]byte(hiConverse))
		signed, _, err := v4.NewSigner().PresignHTTP(t.Context(), signature{}.credentials(s), r, hex.EncodeToString(sum[:]), "bedrock", "us-east-1", at)
		if err != nil {
			t.Error(err)
			return
		}
		if r.URL, err = r.URL.Parse(signed); err != nil {
			t.Error(err)
		}
	}
}

func TestPresignedRequests(t *testing.T) {
	s, tidy := runTidy(t)
	defer tidy()
	cut := func(r *http.Request) {
		r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "X-Amz-Signature=", "X-Amz-Signature=0", 1)
	}
	for _, c := range []struct {
		name       string
		change     func(*http.Request)
		then       func(*http.Request)
		want, text string
	}{
		{"expired", presign(t, s, time.Now().Add(-2*time.Minute), "60"), nil, badSignature, "Signature expired: "},
		{"from the future", presign(t, s, time.Now().Add(6*time.Minute), "60"), nil, badSignature, "Signature not yet current: "},
		{"for too long", presign(t, s, time.Now(), "604801"), nil, badForm, "X-Amz-Expires"},
		{"for ever", presign(t, s, time.Now(), ""), nil, badForm, "X-Amz-Expires"},
		{"changed", presign(t, s, time.Now(), "60"), cut, badSignature, mismatch},
	} {
		change := c.change
		if c.then != nil {
			change = func(r *http.Request) { c.change(r); c.then(r) }
		}
		got := post(t, s, conversePath, hiConverse, change)
		told{door{name: c.name}, "", c.want, c.text}.check(t, got)
	}
}

// Keys are taken where each API's clients put them, and told by each API in its own words.
func TestBearerKeys(t *testing.T) {
	s, tidy := runTidy(t)
	defer tidy()
	revoked := makeKey(t, s, "revoked", identity.KeyBearer, identity.Policy{}, time.Time{})
	revoke(t, s, revoked.ID)
	expired := expiredKey(t, s, identity.KeyBearer)
	bearer := func(key string) func(*http.Request) { return set("Authorization", "Bearer "+key) }
	apiKey := func(key string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Del("Authorization"); r.Header.Set("X-Api-Key", key) }
	}
	chat := viaChat.body(`[{"role":"user","content":"x"}]`)
	for _, c := range []struct {
		name   string
		door   door
		change func(*http.Request)
		want   string
		text   string
	}{
		{"none", viaChat, set("Authorization", ""), "Unauthorized invalid_request_error", "You didn't provide an API key."},
		{"none", viaMessages, set("Authorization", ""), "Unauthorized authentication_error", "x-api-key header is required"},
		{"unknown", viaChat, bearer("nonsense"), "Unauthorized invalid_request_error", "Incorrect API key provided"},
		{"unknown", viaMessages, apiKey("nonsense"), "Unauthorized authentication_error", "invalid x-api-key"},
		{"revoked", viaChat, bearer(revoked.Value), "Unauthorized invalid_request_error", "Incorrect API key provided"},
		{"revoked", viaMessages, apiKey(revoked.Value), "Unauthorized authentication_error", "invalid x-api-key"},
		{"revoked", viaConverse, bearer(revoked.Value), unrecognised, invalidToken},
		{"expired", viaChat, bearer(expired.Value), "Unauthorized invalid_request_error", "Incorrect API key provided"},
		{"the id of a key", viaChat, bearer(expired.ID), "Unauthorized invalid_request_error", "Incorrect API key provided"},
		{"a secret access key", viaChat, bearer(s.creds.SecretAccessKey), "Unauthorized invalid_request_error", "Incorrect API key provided"},
		{"no scheme of ours", viaChat, set("Authorization", "Basic eDp5"), "Unauthorized invalid_request_error", ""},
		{"with a tab inside", viaChat, bearer("a\tb"), "Unauthorized invalid_request_error", "Incorrect API key provided"},
	} {
		got := post(t, s, c.door.path, chat, c.change)
		told{c.door, "", c.want, c.text}.check(t, got)
		if strings.Contains(got.body, revoked.Value) || strings.Contains(got.body, s.creds.SecretAccessKey) {
			t.Errorf("%s: the key is echoed", c.name)
		}
	}
}

// A key of an account that is not configured is unknown, though its secret is in the store. Of one that is, it is
// good, and sees nothing of others.
func TestKeyOfAnotherAccount(t *testing.T) {
	const first, second = "111111111111", "222222222222"
	c := testConfig(t)
	c.Account.ID = first
	var pair, token identity.Secret
	call := func(t *testing.T, s *Server) (byPair, byToken answer) {
		return post(t, s, conversePath, hiConverse, sign(t, s, hiConverse, signature{id: pair.ID, secret: pair.Value})),
			post(t, s, conversePath, hiConverse, set("Authorization", "Bearer "+token.Value))
	}
	t.Run("its own", func(t *testing.T) {
		s := run(t, c)
		pair = makeKey(t, s, "pair", identity.KeyPair, identity.Policy{}, time.Time{})
		token = makeKey(t, s, "token", identity.KeyBearer, identity.Policy{Actions: []string{"*"}}, time.Time{})
		if a, b := call(t, s); a.status != http.StatusOK || b.status != http.StatusOK {
			t.Fatalf("%s %s", a.body, b.body)
		}
	})
	c.Account.ID = second
	t.Run("another", func(t *testing.T) {
		s, tidy := runTidy(t, func(tidy *config.Config) { tidy.DataDir, tidy.Account.ID = c.DataDir, second })
		defer tidy()
		a, b := call(t, s)
		told{viaConverse, "", unrecognised, invalidToken}.check(t, a)
		told{viaConverse, "", unrecognised, invalidToken}.check(t, b)
	})
	c.Accounts = map[string]config.Tenant{first: {}}
	s := run(t, c)
	if a, b := call(t, s); a.status != http.StatusOK || b.status != http.StatusOK {
		t.Fatalf("%s %s", a.body, b.body)
	}
	get := func(r *http.Request) { r.Method = http.MethodGet }
	id := post(t, s, chatPath, viaChat.body(`[{"role":"user","content":"x"}]`)).header.Get("X-Request-Id")
	if got := post(t, s, "/admin/v1/explain/"+id, "", get, set("Authorization", "Bearer "+token.Value)); got.status != http.StatusNotFound {
		t.Errorf("another account's call is explained: %d %s", got.status, got.body)
	}
	for _, list := range []struct{ key, hides string }{{s.creds.APIKey, pair.ID}, {token.Value, s.creds.AccessKeyID}} {
		if got := post(t, s, "/admin/v1/keys", "", get, set("Authorization", "Bearer "+list.key)); got.status != http.StatusOK || strings.Contains(got.body, list.hides) {
			t.Errorf("another account's keys are listed: %s", got.body)
		}
	}
}

// Who steals the databases has no key: bearer keys are hashed, secret keys are sealed with a
// key that lies elsewhere.
func TestStolenDatabase(t *testing.T) {
	c := testConfig(t)
	s := run(t, c)
	pair := makeKey(t, s, "pair", identity.KeyPair, identity.Policy{}, time.Time{})
	token := makeKey(t, s, "token", identity.KeyBearer, identity.Policy{}, time.Time{})
	works(t, s)
	files, err := filepath.Glob(filepath.Join(c.DataDir, "*.db*"))
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	found := false
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		found = found || bytes.Contains(b, []byte(pair.ID))
		for _, secret := range []string{pair.Value, token.Value, s.creds.APIKey, s.creds.SecretAccessKey} {
			if bytes.Contains(b, []byte(secret)) || bytes.Contains(b, []byte(hex.EncodeToString([]byte(secret)))) {
				t.Errorf("%s discloses a key", filepath.Base(f))
			}
		}
		if st, err := os.Stat(f); err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s can be read by others: %v %v", filepath.Base(f), st.Mode(), err)
		}
	}
	if !found {
		t.Error("the key's id is in no file: the test looks in the wrong place")
	}
}

// Without authentication nothing but loopback is listened on.
func TestNoAuthIsForLoopback(t *testing.T) {
	for address, ok := range map[string]bool{"127.0.0.1:0": true, "[::1]:0": true, "localhost:0": true, "0.0.0.0:0": false, ":0": false, "[::]:0": false, "192.0.2.1:0": false, "example.com:0": false} {
		c := testConfig(t)
		c.NoAuth, c.Server.Listen = true, address
		s, err := New(context.WithoutCancel(t.Context()), c, slog.New(slog.DiscardHandler))
		if err == nil {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if refused := err != nil && strings.Contains(err.Error(), "loopback"); refused == ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}
