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

// Retired is a secret that a rotation has replaced and that is good until its end.
type Retired struct {
	Proof string // the secret access key of a pair, the hash of a bearer token
	Until time.Time
}

// Keyring finds keys. It is immutable: a change makes a new one.
type Keyring struct {
	pairs  map[string][]Signer   // by access key id, the newest secret first
	tokens map[string]credential // by the hash of the token
	proofs map[string]credential // by the hash of any secret
	ids    map[string]*Key
}

// Signer is one secret of a key pair.
type Signer struct {
	Principal *Principal // whom it authenticates
	Secret    string
	credential
}

// credential is one secret of a key, without the secret.
type credential struct {
	key       *Key
	principal *Principal
	until     time.Time // zero: as long as the key
}

func (c *credential) live(now time.Time) bool {
	return c.key != nil && c.key.Live(now) && (c.until.IsZero() || now.Before(c.until))
}

// NewKeyring returns an empty ring with room for n keys, to be filled before use.
func NewKeyring(n int) *Keyring {
	return &Keyring{
		pairs: make(map[string][]Signer, n), tokens: make(map[string]credential, n), proofs: make(map[string]credential, n), ids: make(map[string]*Key, n),
	}
}

// AddPair adds an access key pair with its secret, and those that it replaced.
func (r *Keyring) AddPair(k *Key, secret string, old ...Retired) {
	for _, x := range append([]Retired{{Proof: secret}}, old...) {
		c := r.add(k, HashToken(x.Proof), x.Until)
		r.pairs[k.ID] = append(r.pairs[k.ID], Signer{c.principal, x.Proof, c})
	}
}

// AddToken adds a bearer key by the hash of its token, and of those that it replaced.
func (r *Keyring) AddToken(k *Key, hash string, old ...Retired) {
	for _, x := range append([]Retired{{Proof: hash}}, old...) {
		r.tokens[x.Proof] = r.add(k, x.Proof, x.Until)
	}
}

func (r *Keyring) add(k *Key, proof string, until time.Time) credential {
	p := PrincipalOf(k)
	p.proof = proof
	c := credential{k, p, until}
	r.proofs[proof], r.ids[k.ID] = c, k
	return c
}

// Live reports whether a caller who was authenticated by an older ring would be by this one, too.
func (r *Keyring) Live(p *Principal, now time.Time) bool {
	c := r.proofs[p.proof]
	return c.live(now) && c.key.ID == p.KeyID
}

// Key returns the key with an id, of either kind, live or not; nil when there is none.
func (r *Keyring) Key(id string) *Key { return r.ids[id] }

var errUnknownKey = fault.New(fault.UnknownKey, "")

// Signers returns the live secrets of the key pair with an access key id, the newest first: one that
// a rotation has replaced signs until its end. Faults: UnknownKey.
func (r *Keyring) Signers(id string, now time.Time) ([]Signer, error) {
	var out []Signer
	for _, s := range r.pairs[id] {
		if s.live(now) {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, errUnknownKey
	}
	return out, nil
}

// Bearer returns whom a bearer token authenticates. Faults: UnknownKey.
func (r *Keyring) Bearer(token string, now time.Time) (*Principal, error) {
	c := r.token(token)
	if !c.live(now) {
		return nil, errUnknownKey
	}
	return c.principal, nil
}

// token finds a bearer token by its hash, and allocates nothing: every call comes here.
func (r *Keyring) token(token string) credential {
	sum := sha256.Sum256([]byte(token))
	var text [2 * sha256.Size]byte
	hex.Encode(text[:], sum[:])
	return r.tokens[string(text[:])]
}

// Known returns the id of the key that a caller names by its access key id or presents as a
// bearer token, live or not; "" when there is none. It authenticates nobody.
func (r *Keyring) Known(id, token string) string {
	if len(r.pairs[id]) > 0 {
		return id
	}
	if token == "" {
		return ""
	}
	if c := r.token(token); c.key != nil {
		return c.key.ID
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
