package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"forebay/fault"
)

// Source: AWS IAM user guide, "Create a signed AWS API request".
const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	timeFormat = "20060102T150405Z"
	dateFormat = "20060102"
	// Window is how far the date of a signature may lie from the clock, either way.
	Window = 5 * time.Minute
	// maxPresigned is the longest life of a presigned request: seven days.
	maxPresigned = 7 * 24 * time.Hour

	headerDate    = "X-Amz-Date"
	headerToken   = "X-Amz-Security-Token" //nolint:gosec // a header's name
	headerContent = "X-Amz-Content-Sha256"
)

// authority is the name under which HTTP/2 clients sign the host.
const authority = ":authority"

// Hashes that stand for a body which is not signed as a whole.
const (
	UnsignedPayload   = "UNSIGNED-PAYLOAD"
	UnsignedTrailer   = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	StreamingEvents   = "STREAMING-AWS4-HMAC-SHA256-EVENTS"
	emptyPayload      = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	maxSignedHeaders  = 64
	maxAuthHeaderSize = 8 << 10
)

// Request is what a signature covers, as it came over the wire. Headers are by canonical
// name (as net/textproto has it) and without Host.
type Request struct {
	Method string
	Path   string // raw, before any decoding or cleaning
	Query  string // raw
	Host   string
	Header map[string][]string
}

// Claim is a signature that has been parsed and not yet verified.
type Claim struct {
	KeyID     string
	Date      string // of the scope, YYYYMMDD
	Region    string
	Service   string
	Time      time.Time
	Expires   time.Duration // of a presigned request; 0 for one signed in its header
	Presigned bool

	stamp     string
	signed    []string
	signature string
	end       string // the scope's terminator
}

func incomplete(format string, args ...any) error {
	return fault.Newf(fault.IncompleteAuth, format, args...)
}

// ParseAuthorization parses the Authorization header of a signed request. Faults:
// IncompleteAuth when it is malformed.
func ParseAuthorization(r *Request) (*Claim, error) {
	value := one(r.Header, "Authorization")
	if len(value) > maxAuthHeaderSize {
		return nil, incomplete("Authorization header is too long.")
	}
	rest, ok := strings.CutPrefix(value, algorithm)
	if !ok {
		name, _, _ := strings.Cut(value, " ")
		return nil, fault.Newf(fault.IncompleteAuth, "Unsupported AWS 'algorithm': '%s'.", clip(name)).
			WithReason("signatures are verified with %s only; asymmetric ones (SigV4A) are not", algorithm)
	}
	c := &Claim{}
	var credential, signed string
	params := map[string]*string{"Credential": &credential, "SignedHeaders": &signed, "Signature": &c.signature}
	for part := range strings.SplitSeq(rest, ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		to := params[k]
		if to == nil {
			continue
		}
		if *to != "" { // whoever routes by one of them must not meet another
			return nil, incomplete("Authorization header has the parameter '%s' more than once. Authorization=%s", k, clip(value))
		}
		*to = v
	}
	switch {
	case credential == "":
		return nil, incomplete("Authorization header requires 'Credential' parameter. Authorization=%s", clip(value))
	case signed == "":
		return nil, incomplete("Authorization header requires 'SignedHeaders' parameter. Authorization=%s", clip(value))
	case c.signature == "":
		return nil, incomplete("Authorization header requires 'Signature' parameter. Authorization=%s", clip(value))
	}
	c.stamp = one(r.Header, headerDate)
	if c.stamp == "" {
		return nil, incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. Authorization=%s", clip(value))
	}
	return c, c.complete(credential, signed, r)
}

// clip bounds what is echoed, and hides the signature.
func clip(s string) string {
	if i := strings.Index(s, "Signature="); i >= 0 {
		s = s[:i] + "Signature=..."
	}
	return s[:min(len(s), 256)]
}

// ParsePresigned parses the query of a presigned request.
func ParsePresigned(r *Request) (*Claim, error) {
	q := map[string]string{}
	for part := range strings.SplitSeq(r.Query, "&") {
		k, v, _ := strings.Cut(part, "=")
		if name := unescape(k); strings.HasPrefix(name, "X-Amz-") {
			if _, twice := q[name]; twice {
				return nil, incomplete("AWS query-string parameter '%s' occurs more than once.", clip(name))
			}
			q[name] = unescape(v)
		}
	}
	if a := q["X-Amz-Algorithm"]; a != algorithm {
		return nil, incomplete("Unsupported AWS 'algorithm': '%s'.", clip(a))
	}
	for _, name := range []string{"X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Expires"} {
		if q[name] == "" {
			return nil, incomplete("AWS query-string parameters must include '%s'. Re-examine the query-string parameters.", name)
		}
	}
	seconds, err := strconv.ParseInt(q["X-Amz-Expires"], 10, 32)
	if err != nil || seconds < 0 || time.Duration(seconds)*time.Second > maxPresigned {
		return nil, incomplete("X-Amz-Expires must be a number of seconds between 0 and %d", int(maxPresigned/time.Second))
	}
	c := &Claim{
		Presigned: true, stamp: q["X-Amz-Date"], signature: q["X-Amz-Signature"],
		Expires: time.Duration(seconds) * time.Second,
	}
	return c, c.complete(q["X-Amz-Credential"], q["X-Amz-SignedHeaders"], r)
}

// complete parses what both forms have in common.
func (c *Claim) complete(credential, signed string, r *Request) error {
	parts := strings.Split(credential, "/")
	n := len(parts)
	if n < 5 {
		return incomplete("Credential must have at least 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%s'", clip(credential))
	}
	c.KeyID = strings.Join(parts[:n-4], "/")
	c.Date, c.Region, c.Service, c.end = parts[n-4], parts[n-3], parts[n-2], parts[n-1]
	t, err := time.Parse(timeFormat, c.stamp)
	if err != nil || len(c.stamp) != len(timeFormat) { // Parse takes fractions of a second, too
		return incomplete("Date must be in ISO-8601 'basic format'. Got '%s'. See http://en.wikipedia.org/wiki/ISO_8601", clip(c.stamp))
	}
	c.Time = t
	c.signed = strings.Split(strings.ToLower(signed), ";")
	if len(c.signed) > maxSignedHeaders {
		return incomplete("more than %d signed headers", maxSignedHeaders)
	}
	for _, name := range c.signed {
		if !headerName(name) {
			return incomplete("SignedHeaders must be names of headers, separated by semicolons. Got '%s'", clip(signed))
		}
	}
	return c.coversAll(r)
}

// headerName reports whether s can be a signed header's name: a token (RFC 9110, 5.6.2), so
// that no name reaches into another line of the canonical request.
func headerName(s string) bool {
	if s == authority {
		return true
	}
	for i := range len(s) {
		if c := s[i]; !unreserved(c) && strings.IndexByte("!#$%&'*+^`|", c) < 0 {
			return false
		}
	}
	return s != ""
}

// coversAll demands that Host and every x-amz-* header is signed, so that nothing can be
// added on the way.
func (c *Claim) coversAll(r *Request) error {
	if !slices.Contains(c.signed, "host") && !slices.Contains(c.signed, authority) {
		return fault.New(fault.BadSignature, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) { // of several, always the same one is named
		if len(name) > 6 && strings.EqualFold(name[:6], "x-amz-") && !slices.Contains(c.signed, strings.ToLower(name)) {
			// Some services have clients add the token after signing. It says nothing here: no key
			// of ours is temporary.
			if strings.EqualFold(name, headerToken) {
				continue
			}
			return fault.Newf(fault.BadSignature, "'%s' must be a 'SignedHeader' in the AWS Authorization.", strings.ToLower(name))
		}
	}
	return nil
}

// Check holds the claim's date and scope against the clock, the region ("" accepts any)
// and the names of the services that may sign for the request. Faults: BadSignature, Expired.
func (c *Claim) Check(now time.Time, region string, services ...string) error {
	if c.end != terminator {
		return fault.Newf(fault.BadSignature, "Credential should be scoped with a valid terminator: '%s', not '%s'.", terminator, clip(c.end))
	}
	if region != "" && c.Region != region {
		return fault.Newf(fault.BadSignature, "Credential should be scoped to a valid Region, not '%s'.", clip(c.Region))
	}
	if len(services) > 0 && !slices.Contains(services, c.Service) {
		return fault.Newf(fault.BadSignature, "Credential should be scoped to correct service: '%s'.", services[0])
	}
	if day := c.Time.Format(dateFormat); day != c.Date {
		return fault.Newf(fault.BadSignature,
			"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.",
			clip(c.Date), day, c.stamp)
	}
	return c.inWindow(now.UTC())
}

func (c *Claim) inWindow(now time.Time) error {
	if earliest := now.Add(Window); c.Time.After(earliest) {
		return fault.Newf(fault.Expired, "Signature not yet current: %s is still later than %s (%s + 5 min.)",
			c.stamp, earliest.Format(timeFormat), now.Format(timeFormat))
	}
	life := Window
	if c.Presigned {
		life = c.Expires
	}
	if c.Time.Add(life).Before(now) {
		if c.Presigned {
			return fault.Newf(fault.Expired, "Signature expired: %s is now earlier than %s", c.Time.Add(life).Format(timeFormat), now.Format(timeFormat))
		}
		return fault.Newf(fault.Expired, "Signature expired: %s is now earlier than %s (%s - 5 min.)",
			c.stamp, now.Add(-Window).Format(timeFormat), now.Format(timeFormat))
	}
	return nil
}

// SigningKey derives the key of one day, region and service. It may be cached by (key id,
// date, region, service) for as long as the secret stands.
func SigningKey(secret, date, region, service string) []byte {
	k := mac([]byte("AWS4"+secret), date)
	k = mac(k, region)
	k = mac(k, service)
	return mac(k, terminator)
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// PayloadHash returns the hash that the canonical request carries for the body. It fails
// with BadSignature when the request states a hash that is not the body's.
func PayloadHash(r *Request, body []byte) (string, error) {
	stated := one(r.Header, headerContent)
	switch stated {
	case UnsignedPayload, UnsignedTrailer, StreamingEvents:
		return stated, nil
	}
	got := emptyPayload
	if len(body) > 0 {
		sum := sha256.Sum256(body)
		got = hex.EncodeToString(sum[:])
	}
	if stated != "" && subtle.ConstantTimeCompare([]byte(stated), []byte(got)) != 1 {
		return "", fault.New(fault.BadSignature, "The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	return got, nil
}

// Verify reports whether the signature is that of the key over the request with the
// payload hash. The comparison takes the same time wherever the signatures differ.
func (c *Claim) Verify(r *Request, signingKey []byte, payloadHash string) error {
	want := hex.EncodeToString(mac(signingKey, c.StringToSign(r, payloadHash)))
	if subtle.ConstantTimeCompare([]byte(want), []byte(c.signature)) != 1 {
		return fault.New(fault.BadSignature,
			"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	return nil
}

// StringToSign returns the text whose MAC is the signature.
func (c *Claim) StringToSign(r *Request, payloadHash string) string {
	sum := sha256.Sum256([]byte(c.CanonicalRequest(r, payloadHash)))
	return algorithm + "\n" + c.stamp + "\n" +
		c.Date + "/" + c.Region + "/" + c.Service + "/" + c.end + "\n" + hex.EncodeToString(sum[:])
}
