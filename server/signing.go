package server

import (
	"sync"

	"forebay/identity"
)

// signingKeys remembers derived signing keys: deriving one takes four MACs, and it holds for a day.
type signingKeys struct {
	mu   sync.Mutex
	keys map[signingScope][]byte
}

type signingScope struct{ id, date, region, service, secret string }

// maxSigningKeys bounds the cache. Scopes come from callers that hold a live key id, so
// reaching it means somebody plays with regions; starting anew costs little.
const maxSigningKeys = 1024

func (s *signingKeys) key(c *identity.Claim, secret string) []byte {
	scope := signingScope{c.KeyID, c.Date, c.Region, c.Service, secret}
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, ok := s.keys[scope]; ok {
		return k
	}
	if s.keys == nil || len(s.keys) >= maxSigningKeys {
		s.keys = make(map[signingScope][]byte)
	}
	k := identity.SigningKey(secret, c.Date, c.Region, c.Service)
	s.keys[scope] = k
	return k
}
