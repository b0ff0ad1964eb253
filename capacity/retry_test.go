package capacity

import "testing"

// The retry budget is there for the engine's sake, and one that has read nothing of a call has no load of it.
func TestUnreadAttemptsTakeNothingOfTheRetryBudget(t *testing.T) {
	for _, unread := range []bool{false, true} {
		s := setUp(huge, huge, 1000, 1)
		s.Step(0, Event{Kind: EventConfigure, Config: &Config{Pools: []Pool{{ID: poolID, MaxQueue: 10, RetryBudget: 200}}}}, nil)
		as, retries := s.Step(0, arrive(1, 1, 1), nil), 0
		for ; as[0].Kind == ActionAdmit && retries < 100; retries++ {
			as = s.Step(0, Event{Kind: EventRetry, Call: 1, Unread: unread}, nil)
		}
		if want := map[bool]int{false: 1, true: 100}[unread]; retries < want || !unread && (retries > 11 || as[0].Reason != ReasonRetryBudget) {
			t.Errorf("unread %v: %d retries, then %+v", unread, retries, as[0])
		}
	}
}

// A call that every replica fails is refused after as many attempts as there are replicas, and after four of however many.
func TestACallThatFailsEverywhereEnds(t *testing.T) {
	for replicas := ReplicaID(1); replicas <= 10; replicas++ {
		s := setUp(huge, huge, 1000, 1)
		for id := ReplicaID(2); id <= replicas; id++ {
			s.Step(0, Event{Kind: EventConfigure, Config: &Config{Replicas: []Replica{{ID: id, Pool: poolID, Slots: 1}}}}, nil)
			s.Step(0, Event{Kind: EventReplicaUp, Replica: id}, nil)
		}
		as, attempts := s.Step(0, arrive(1, 1, 1), nil), ReplicaID(0)
		for ; as[0].Kind == ActionAdmit && attempts < 100; attempts++ {
			as = s.Step(0, Event{Kind: EventRetry, Call: 1, Replica: as[0].Replica}, nil)
		}
		if as[0].Kind != ActionReject || as[0].Reason != ReasonReplicasFailed || attempts != min(replicas, 4) {
			t.Errorf("of %d replicas %d have failed it, and then it gets %+v", replicas, attempts, as[0])
		}
	}
}
