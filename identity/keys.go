package identity

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"forebay/fault"
)

// Prefixes of keys. Access key ids have the form of AWS's, whose clients check it.
const (
	bearerPrefix    = "fb-"
	bearerIDPrefix  = "key_"
	pairIDPrefix    = "AKIA"
	shortTermPrefix = "bedrock-api-key-"
	shortTermMax    = 12 * time.Hour
	shortTermHost   = "bedrock.amazonaws.com"
	shortTermAction = "Action=CallWithBearerToken"
)

var plainBase32 = base32.StdEncoding.WithPadding(base32.NoPadding)

// Secret is a new key's secret, to be shown once.
type Secret struct {
	ID    string
	Value string // the secret access key, or the whole bearer token
}

// NewPair makes an access key id and a secret access key of 240 random bits.
func NewPair(random io.Reader) (Secret, error) {
	var b [40]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return Secret{}, fmt.Errorf("read randomness: %w", err)
	}
	return Secret{ID: pairIDPrefix + plainBase32.EncodeToString(b[:10]), Value: base64.StdEncoding.EncodeToString(b[10:])}, nil
}

// NewBearer makes an API key of 200 random bits. Its id says nothing of the token.
func NewBearer(random io.Reader) (Secret, error) {
	var b [35]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return Secret{}, fmt.Errorf("read randomness: %w", err)
	}
	return Secret{
		ID:    bearerIDPrefix + strings.ToLower(plainBase32.EncodeToString(b[:10])),
		Value: bearerPrefix + strings.ToLower(plainBase32.EncodeToString(b[10:])),
	}, nil
}

// HashToken returns what is stored of a bearer token. A token has 200 random bits, so a
// plain hash cannot be searched and no slow one is needed.
func HashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// Keyring finds keys. It is immutable: a change makes a new one.
type Keyring struct {
	pairs  map[string]*pairEntry
	tokens map[string]*Entry
	ids    map[string]*Key
}

// Entry is a key in a ring, with the principal it stands for.
type Entry struct {
	Key       *Key
	Principal *Principal
}

type pairEntry struct {
	Entry
	secret string
}

// NewKeyring returns an empty ring with room for n keys, to be filled before use.
func NewKeyring(n int) *Keyring {
	return &Keyring{pairs: make(map[string]*pairEntry, n), tokens: make(map[string]*Entry, n), ids: make(map[string]*Key, n)}
}

// AddPair adds an access key pair.
func (r *Keyring) AddPair(k *Key, secret string) {
	r.pairs[k.ID] = &pairEntry{Entry{k, PrincipalOf(k)}, secret}
	r.ids[k.ID] = k
}

// AddToken adds a bearer key by the hash of its token.
func (r *Keyring) AddToken(k *Key, hash string) {
	r.tokens[hash] = &Entry{k, PrincipalOf(k)}
	r.ids[k.ID] = k
}

// Live reports whether the ring has a live key with an id, of either kind. It is for callers
// who have been authenticated by an older ring.
func (r *Keyring) Live(id string, now time.Time) bool {
	k := r.ids[id]
	return k != nil && k.Live(now)
}

var errUnknownKey = fault.New(fault.UnknownKey, "")

// Pair returns the live key pair with an access key id, and its secret. Faults: UnknownKey.
func (r *Keyring) Pair(id string, now time.Time) (*Entry, string, error) {
	e := r.pairs[id]
	if e == nil || !e.Key.Live(now) {
		return nil, "", errUnknownKey
	}
	return &e.Entry, e.secret, nil
}

// Bearer returns the live key of a bearer token. Faults: UnknownKey.
func (r *Keyring) Bearer(token string, now time.Time) (*Entry, error) {
	e := r.tokens[HashToken(token)]
	if e == nil || !e.Key.Live(now) {
		return nil, errUnknownKey
	}
	return e, nil
}

// Known returns the id of the key that a caller names by its access key id or presents as a
// bearer token, live or not; "" when there is none. It authenticates nobody.
func (r *Keyring) Known(id, token string) string {
	if e := r.pairs[id]; e != nil && id != "" {
		return e.Key.ID
	}
	if token == "" {
		return ""
	}
	if e := r.tokens[HashToken(token)]; e != nil {
		return e.Key.ID
	}
	return ""
}

// IsShortTerm reports whether a bearer token is a short-term Bedrock API key.
func IsShortTerm(token string) bool { return strings.HasPrefix(token, shortTermPrefix) }

// ParseShortTerm parses a short-term Bedrock API key: a presigned request without its
// scheme, in base64. Source: aws-bedrock-token-generator. The claim is verified like any
// other, over the returned request. Faults: IncompleteAuth.
func ParseShortTerm(token string) (*Claim, *Request, error) {
	encoded := strings.TrimPrefix(token, shortTermPrefix)
	if len(encoded) > maxAuthHeaderSize {
		return nil, nil, incomplete("The API key is too long.")
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, nil, incomplete("The API key is not valid.")
	}
	// The generator appends Version after it has signed.
	text := strings.TrimSuffix(string(raw), "&Version=1")
	text = strings.TrimPrefix(text, "https://")
	host, rest, ok := strings.Cut(text, "/")
	if !ok {
		return nil, nil, incomplete("The API key is not valid.")
	}
	// No other request that the key's owner may have presigned is a key.
	path, query, _ := strings.Cut(rest, "?")
	r := &Request{Method: "POST", Path: "/" + path, Query: query, Host: host}
	if host != shortTermHost || path != "" || !slices.Contains(strings.Split(query, "&"), shortTermAction) {
		return nil, nil, incomplete("The API key is not valid.")
	}
	c, err := ParsePresigned(r)
	if err != nil {
		return nil, nil, err
	}
	if c.Expires > shortTermMax {
		return nil, nil, fault.New(fault.Expired, "The API key lives longer than 12 hours.")
	}
	return c, r, nil
}

// ShortTermHash is the payload hash that short-term keys are signed with.
const ShortTermHash = emptyPayload
