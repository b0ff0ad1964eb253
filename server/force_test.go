package server

import (
	"testing"

	"forebay/provision"
)

// What could not be put in force when it was stored is put in force when the book is tended again.
func TestPurchasesComeIntoForceAfterAFailure(t *testing.T) {
	s := run(t, testConfig(t))
	live := s.live.Load()
	broken := *live
	broken.cfg.Account.Zone = "Nowhere/Else"
	s.live.Store(&broken)
	arn := buy(t, s, `{"provisionedModelName":"late","modelId":"`+haiku+`","modelUnits":1}`)
	s.live.Store(live)
	s.keys.Lock()
	s.tendBook(t.Context(), false)
	s.keys.Unlock()
	if x := s.provisioned.Load().find(live.cfg.Account.ID, arn); x == nil || x.Status != provision.InService {
		t.Errorf("%+v", x)
	}
}
