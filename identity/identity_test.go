package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"forebay/fault"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"pgregory.net/rapid"
)

const secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

var at = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func credentials() aws.Credentials {
	return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: secret}
}

// request is what the server sees of an http.Request.
func request(r *http.Request) *Request {
	path, query, _ := strings.Cut(r.URL.RequestURI(), "?")
	return &Request{Method: r.Method, Path: path, Query: query, Host: r.Host, Header: r.Header}
}

func verify(r *Request, c *Claim, body []byte) error {
	hash, err := PayloadHash(r, body)
	if err != nil {
		return err
	}
	return c.Verify(r, SigningKey(secret, c.Date, c.Region, c.Service), hash)
}

// Whatever path, query and headers the Go SDK's signer signs, we verify, and any change of what
// is signed we notice.
func TestAgreesWithTheGoSDKsSigner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		segment := rapid.SampledFrom([]string{"model", "a:b", "a%3Ab", "arn%3Aaws%3Abedrock%3A%3Ax%2Fy", "~-._", "x y", "é", "a+b", "%25"})
		url := "http://127.0.0.1:8484/" + strings.ReplaceAll(segment.Draw(t, "a"), " ", "%20") + "/" + strings.ReplaceAll(segment.Draw(t, "b"), " ", "%20")
		if rapid.Bool().Draw(t, "query") {
			url += "?b=2&a=" + rapid.StringMatching(`[a-zA-Z0-9~._-]{0,8}`).Draw(t, "value") + "&a=1&c"
		}
		body := rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "body")
		r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Custom", rapid.StringMatching(`[ -~]{0,20}`).Draw(t, "header"))
		sum := sha256.Sum256(body)
		if err := v4.NewSigner().SignHTTP(context.Background(), credentials(), r, hex.EncodeToString(sum[:]), "bedrock", "us-east-1", at); err != nil {
			t.Fatal(err)
		}
		q := request(r)
		c, err := ParseAuthorization(q)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Check(at, "us-east-1", "bedrock"); err != nil {
			t.Fatal(err)
		}
		if err := verify(q, c, body); err != nil {
			t.Fatalf("%s: %v\n%s", url, err, c.CanonicalRequest(q, hex.EncodeToString(sum[:])))
		}
		if err := verify(q, c, append(body, 'x')); fault.KindOf(err) != fault.BadSignature {
			t.Fatalf("another body passed: %v", err)
		}
		q.Path += "x"
		if err := verify(q, c, body); fault.KindOf(err) != fault.BadSignature {
			t.Fatalf("another path passed: %v", err)
		}
	})
}

func signed(t *testing.T) (*Request, *Claim) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/model/x/invoke", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if err := v4.NewSigner().SignHTTP(t.Context(), credentials(), r, emptyPayload, "bedrock", "us-east-1", at); err != nil {
		t.Fatal(err)
	}
	q := request(r)
	c, err := ParseAuthorization(q)
	if err != nil {
		t.Fatal(err)
	}
	return q, c
}

func TestScopeAndWindow(t *testing.T) {
	_, c := signed(t)
	for _, x := range []struct {
		now     time.Time
		region  string
		service string
		kind    fault.Kind
		text    string
	}{
		{at.Add(Window), "us-east-1", "bedrock", fault.Internal, ""},
		{at.Add(-Window), "", "bedrock", fault.Internal, ""},
		{at.Add(Window + time.Second), "", "bedrock", fault.Expired, "Signature expired: 20260304T050607Z is now earlier than 20260304T050608Z (20260304T051108Z - 5 min.)"},
		{at.Add(-Window - time.Second), "", "bedrock", fault.Expired, "Signature not yet current: 20260304T050607Z is still later than 20260304T050606Z (20260304T050106Z + 5 min.)"},
		{at, "eu-west-1", "bedrock", fault.BadSignature, "Credential should be scoped to a valid Region, not 'us-east-1'."},
		{at, "", "sts", fault.BadSignature, "Credential should be scoped to correct service: 'sts'."},
	} {
		err := c.Check(x.now, x.region, x.service)
		if x.text == "" {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if e := fault.From(err); e == nil || e.Kind != x.kind || e.Message != x.text {
			t.Errorf("%v, want %s", err, x.text)
		}
	}
}

func TestUnsignedAmzHeaderIsRefused(t *testing.T) {
	q, _ := signed(t)
	q.Header["X-Amz-Meta-Evil"] = []string{"1"}
	if _, err := ParseAuthorization(q); fault.KindOf(err) != fault.BadSignature {
		t.Errorf("%v", err)
	}
}

func TestUnsignedAmzHeaderOfAPresignedRequestIsRefused(t *testing.T) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/model/x/invoke?X-Amz-Expires=60", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	url, _, err := v4.NewSigner().PresignHTTP(t.Context(), credentials(), r, emptyPayload, "bedrock", "us-east-1", at)
	if err != nil {
		t.Fatal(err)
	}
	_, query, _ := strings.Cut(url, "?")
	q := &Request{Method: http.MethodPost, Path: "/model/x/invoke", Query: query, Host: "127.0.0.1", Header: map[string][]string{}}
	if _, err := ParsePresigned(q); err != nil {
		t.Fatal(err)
	}
	q.Header["X-Amz-Target"] = []string{"DynamoDB_20120810.DeleteTable"}
	if _, err := ParsePresigned(q); fault.KindOf(err) != fault.BadSignature {
		t.Errorf("an unsigned header passed: %v", err)
	}
}

// What could be read in two ways is not read at all.
func TestAmbiguousAuthorizationIsRefused(t *testing.T) {
	const cred, other = "Credential=AKIDEXAMPLE/20260304/us-east-1/bedrock/aws4_request", "Credential=AKIDEXAMPLE/20260304/us-east-1/sts/aws4_request"
	const rest = "SignedHeaders=host;x-amz-date, Signature=00"
	for auth, ok := range map[string]bool{
		cred + ", " + rest:                                                 true,
		cred + ", " + other + ", " + rest:                                  false,
		cred + ", " + rest + ", SignedHeaders=host":                        false,
		cred + ", " + rest + ", Signature=01":                              false,
		cred + ", SignedHeaders=host;;x-amz-date, Signature=00":            false,
		cred + ", SignedHeaders=host;x-amz-date;a:b, Signature=00":         false,
		cred + ", SignedHeaders=:authority;x-amz-date;x_1, Signature=00":   true,
		cred + ", SignedHeaders=host;x-amz-date;naïve, Signature=00":       false,
		strings.Replace(cred, "/us", "", 1) + ", " + rest + ", Signature=": false,
	} {
		r := &Request{Method: "POST", Path: "/", Host: "h", Header: map[string][]string{
			"Authorization": {"AWS4-HMAC-SHA256 " + auth}, "X-Amz-Date": {"20260304T050607Z"},
		}}
		if _, err := ParseAuthorization(r); (err == nil) != ok || err != nil && fault.KindOf(err) != fault.IncompleteAuth {
			t.Errorf("%s: %v", auth, err)
		}
	}
	for _, query := range []string{
		"X-Amz-SignedHeaders=host%0Ax&", "X-Amz-SignedHeaders=host&X-Amz-SignedHeaders=host&", "X-Amz-SignedHeaders=host&%58-Amz-Credential=b%2F20260304%2Fr%2Fs%2Faws4_request&",
	} {
		r := &Request{Method: "POST", Path: "/", Host: "h", Query: query +
			"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2F20260304%2Fr%2Fs%2Faws4_request&X-Amz-Date=20260304T050607Z&X-Amz-Signature=0&X-Amz-Expires=9"}
		if _, err := ParsePresigned(r); fault.KindOf(err) != fault.IncompleteAuth {
			t.Errorf("%s: %v", query, err)
		}
	}
	for _, stamp := range []string{"20260304T050607.9Z", "20260304T050607,9Z", "2026-03-04T05:06:07Z", ""} {
		r := &Request{Method: "POST", Path: "/", Host: "h", Header: map[string][]string{
			"Authorization": {"AWS4-HMAC-SHA256 " + cred + ", " + rest}, "X-Amz-Date": {stamp},
		}}
		if _, err := ParseAuthorization(r); fault.KindOf(err) != fault.IncompleteAuth {
			t.Errorf("date %q: %v", stamp, err)
		}
	}
}

// Only a request to call with a bearer token is a key; whoever finds another presigned
// request of the same owner has none.
func TestOtherPresignedRequestsAreNoKeys(t *testing.T) {
	for target, ok := range map[string]bool{
		"bedrock.amazonaws.com/?Action=CallWithBearerToken":               true,
		"bedrock.amazonaws.com/model/m/invoke?Action=CallWithBearerToken": false,
		"bedrock.amazonaws.com/?XAction=CallWithBearerToken":              false,
		"bedrock.amazonaws.com/?Action=CallWithBearerTokenNot":            false,
		"sts.amazonaws.com/?Action=CallWithBearerToken":                   false,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+target+"&X-Amz-Expires=43200", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		url, _, err := v4.NewSigner().PresignHTTP(t.Context(), credentials(), r, emptyPayload, "bedrock", "us-east-1", at)
		if err != nil {
			t.Fatal(err)
		}
		key := "bedrock-api-key-" + base64.StdEncoding.EncodeToString([]byte(strings.TrimPrefix(url, "https://")+"&Version=1"))
		if _, _, err := ParseShortTerm(key); (err == nil) != ok {
			t.Errorf("%s: %v", target, err)
		}
	}
}

// A short-term Bedrock API key is a presigned request in base64, with Version appended.
func TestShortTermKey(t *testing.T) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://bedrock.amazonaws.com/?Action=CallWithBearerToken&X-Amz-Expires=43200", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	url, _, err := v4.NewSigner().PresignHTTP(t.Context(), credentials(), r, emptyPayload, "bedrock", "us-east-1", at)
	if err != nil {
		t.Fatal(err)
	}
	key := "bedrock-api-key-" + base64.StdEncoding.EncodeToString([]byte(strings.TrimPrefix(url, "https://")+"&Version=1"))
	if !IsShortTerm(key) {
		t.Fatal("not recognised")
	}
	c, q, err := ParseShortTerm(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(at.Add(11*time.Hour), "us-east-1", "bedrock"); err != nil {
		t.Error(err)
	}
	if err := c.Check(at.Add(13*time.Hour), "us-east-1", "bedrock"); fault.KindOf(err) != fault.Expired {
		t.Errorf("after 13 hours: %v", err)
	}
	if err := c.Verify(q, SigningKey(secret, c.Date, c.Region, c.Service), ShortTermHash); err != nil {
		t.Error(err)
	}
	if err := c.Verify(q, SigningKey("other", c.Date, c.Region, c.Service), ShortTermHash); fault.KindOf(err) != fault.BadSignature {
		t.Errorf("%v", err)
	}
}

// Wildcards against regular expressions.
func TestMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*?]{0,8}`).Draw(t, "pattern")
		name := rapid.StringMatching(`[ab]{0,10}`).Draw(t, "name")
		re := "^" + strings.NewReplacer("*", ".*", "?", ".").Replace(pattern) + "$"
		if got, want := Match(pattern, name), regexp.MustCompile(re).MatchString(name); got != want {
			t.Fatalf("%q %q: %v", pattern, name, got)
		}
	})
}

func TestPolicies(t *testing.T) {
	p := PrincipalOf(&Key{ID: "AKIA1", Name: "app", Account: "000000000000", Policy: Policy{
		Actions: []string{"bedrock:InvokeModel*"}, Models: []string{"amazon.*"}, Tier: "default",
	}})
	for _, c := range []struct {
		action, model, tier string
		ok                  bool
	}{
		{"bedrock:InvokeModel", "amazon.nova", "", true},
		{"bedrock:InvokeModelWithResponseStream", "amazon.nova", "flex", true},
		{"bedrock:InvokeModel", "amazon.nova", "priority", false},
		{"bedrock:InvokeModel", "meta.llama", "", false},
		{"bedrock:CountTokens", "amazon.nova", "", false},
		{"forebay:AdminRead", "", "", false},
	} {
		if err := Authorize(p, c.action, c.model, ModelARN("us-east-1", c.model), c.tier); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
	err := Authorize(p, "bedrock:CountTokens", "amazon.nova", "arn:x", "")
	want := "User: arn:aws:iam::000000000000:user/app is not authorized to perform: bedrock:CountTokens on resource: arn:x because no identity-based policy allows the bedrock:CountTokens action"
	if fault.From(err).Message != want {
		t.Errorf("%v", err)
	}
	odd := PrincipalOf(&Key{Policy: Policy{Tier: "gold"}})
	if err := Authorize(odd, "bedrock:InvokeModel", "amazon.nova", "", "priority"); fault.KindOf(err) != fault.Denied {
		t.Errorf("a tier nobody knows caps nothing: %v", err)
	}
	cheap := PrincipalOf(&Key{Policy: Policy{Actions: []string{"*"}, Tier: "flex"}})
	if err := Authorize(cheap, "forebay:AdminRead", "", "*", ""); err != nil {
		t.Errorf("what is no call is held against the highest tier of calls: %v", err)
	}
	if err := Authorize(cheap, "bedrock:GetFoundationModel", "amazon.nova", "", NoTier); err != nil {
		t.Errorf("what is no call, and about a model, is held against the highest tier of calls: %v", err)
	}
	if err := Authorize(cheap, "bedrock:InvokeModel", "amazon.nova", "", ""); fault.KindOf(err) != fault.Denied {
		t.Errorf("a call of the default tier with a ceiling of flex: %v", err)
	}
	if err := Authorize(PrincipalOf(&Key{}), "forebay:AdminWrite", "", "*", ""); fault.KindOf(err) != fault.Denied {
		t.Errorf("a key without a policy administers: %v", err)
	}
}

func TestKeyring(t *testing.T) {
	tok, err := NewBearer(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := NewPair(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ring := NewKeyring(2)
	ring.AddToken(&Key{ID: tok.ID, Expires: at}, HashToken(tok.Value))
	ring.AddPair(&Key{ID: pair.ID, Revoked: at}, pair.Value)
	p, err := ring.Bearer(tok.Value, at.Add(-1))
	if err != nil || p.KeyID != tok.ID {
		t.Fatalf("%v", err)
	}
	if _, err := ring.Bearer(tok.Value, at); fault.KindOf(err) != fault.UnknownKey {
		t.Errorf("an expired key: %v", err)
	}
	if _, err := ring.Signers(pair.ID, at); fault.KindOf(err) != fault.UnknownKey {
		t.Errorf("a revoked key: %v", err)
	}
	if !ring.Live(p, at.Add(-1)) || ring.Live(p, at) || ring.Live(&Principal{KeyID: tok.ID}, at.Add(-1)) {
		t.Error("the key lives longer or shorter than it should, or without its secret")
	}
	if !regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`).MatchString(pair.ID) || len(pair.Value) != 40 {
		t.Errorf("%s and a secret of %d characters do not look like AWS's", pair.ID, len(pair.Value))
	}
}

// A secret that a rotation has replaced authenticates the same key until its end.
func TestRotatedSecrets(t *testing.T) {
	pair, token := &Key{ID: "AKIDEXAMPLE", Kind: KeyPair}, &Key{ID: "key_a", Kind: KeyBearer}
	before, ring := NewKeyring(2), NewKeyring(2)
	before.AddToken(token, HashToken("old"))
	ring.AddPair(pair, "new", Retired{"old", at}, Retired{"older", at.Add(-time.Hour)})
	ring.AddToken(token, HashToken("new"), Retired{HashToken("old"), at})
	p, err := before.Bearer("old", at)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		now     time.Time
		secrets int
	}{{at.Add(-2 * time.Hour), 3}, {at.Add(-1), 2}, {at, 1}} {
		s, err := ring.Signers(pair.ID, x.now)
		if err != nil || len(s) != x.secrets || s[0].Secret != "new" || s[len(s)-1].Principal.KeyID != pair.ID {
			t.Errorf("%v: %d secrets, %v", x.now, len(s), err)
		}
		old, err := ring.Bearer("old", x.now)
		if good := x.secrets > 1; (err == nil) != good || good && old.KeyID != token.ID || ring.Live(p, x.now) != good {
			t.Errorf("%v: the old token: %v", x.now, err)
		}
		if got, err := ring.Bearer("new", x.now); err != nil || got.KeyID != token.ID {
			t.Errorf("%v: %v", x.now, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=A/20260304/r/s/aws4_request, SignedHeaders=host, Signature=x", "X-Amz-Algorithm=AWS4-HMAC-SHA256", "bedrock-api-key-e30=")
	f.Fuzz(func(_ *testing.T, auth, query, key string) {
		r := &Request{Method: "POST", Path: "/", Query: query, Host: "h", Header: map[string][]string{"Authorization": {auth}, "X-Amz-Date": {"20260304T050607Z"}}}
		if c, err := ParseAuthorization(r); err == nil {
			_ = c.Check(at, "r", "s")
			_ = verify(r, c, nil)
		}
		if c, err := ParsePresigned(r); err == nil {
			_ = verify(r, c, nil)
		}
		_, _, _ = ParseShortTerm(key)
	})
}
