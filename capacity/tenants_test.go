package capacity

import (
	"slices"
	"testing"
)

// Two tenants in two tiers on two slots: who runs and who waits, before and after one has ended.
func TestTenants(t *testing.T) {
	s := New()
	s.Step(0, Event{Kind: EventConfigure, Config: &Config{
		Models: []Model{{ID: 1, MaxOutput: 10}}, Pools: []Pool{{ID: 5, MaxQueue: 10}}, Replicas: []Replica{{ID: 1, Pool: 5, Slots: 2}},
	}}, nil)
	s.Step(0, Event{Kind: EventReplicaUp, Replica: 1}, nil)
	for i, x := range []struct {
		account AccountID
		tier    Tier
	}{{7, TierDefault}, {8, TierFlex}, {7, TierDefault}, {7, TierFlex}} {
		ev := Event{Kind: EventArrive, Call: CallID(i + 1), Account: x.account, Tier: x.tier, Input: 1}
		ev.SetLanes(Lane{Pool: 5, Model: 1})
		s.Step(1, ev, nil)
	}
	want := []TenantStats{{5, 7, TierDefault, 1, 1}, {5, 7, TierFlex, 1, 0}, {5, 8, TierFlex, 0, 1}}
	if got := s.Tenants(); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	s.Step(2, Event{Kind: EventSettle, Call: 2}, nil) // its slot goes to the one in the higher tier
	want = []TenantStats{{5, 7, TierDefault, 0, 2}, {5, 7, TierFlex, 1, 0}}
	if got := s.Tenants(); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
