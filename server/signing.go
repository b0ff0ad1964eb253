package server

import (
	"strings"
	"sync"

	"forebay/identity"
)

// signingKeys verifies signatures and remembers the signing keys of good ones: deriving one
// takes four MACs, and it holds for a day.
type signingKeys struct {
	mu   sync.Mutex
	keys map[signingScope][]byte
}

type signingScope struct{ id, date, region, service, secret string }

// maxSigningKeys bounds the cache. Only who holds a secret can add to it, so reaching the bound
// means that somebody plays with regions; starting anew costs little.
const maxSigningKeys = 1024

// signer returns whom a claim authenticates: it is signed with one of the secrets of its key. Faults: BadSignature.
func (s *signingKeys) signer(c *identity.Claim, secrets []identity.Signer, r *identity.Request, payloadHash string) (*identity.Principal, error) {
	var first error
	for i := range secrets {
		err := s.verify(c, secrets[i].Secret, r, payloadHash)
		if err == nil {
			return secrets[i].Principal, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// verify checks a claim of the key pair with the secret. Faults: BadSignature.
func (s *signingKeys) verify(c *identity.Claim, secret string, r *identity.Request, payloadHash string) error {
	scope := signingScope{c.KeyID, c.Date, c.Region, c.Service, secret}
	s.mu.Lock()
	key, known := s.keys[scope]
	s.mu.Unlock()
	if !known {
		key = identity.SigningKey(secret, c.Date, c.Region, c.Service)
	}
	if err := c.Verify(r, key, payloadHash); err != nil || known {
		return err
	}
	// The claim's strings are parts of the request's head, which must not live as long.
	scope.id, scope.date = strings.Clone(scope.id), strings.Clone(scope.date)
	scope.region, scope.service = strings.Clone(scope.region), strings.Clone(scope.service)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil || len(s.keys) >= maxSigningKeys {
		s.keys = make(map[signingScope][]byte)
	}
	s.keys[scope] = key
	return nil
}
