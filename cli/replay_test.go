package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forebay/capacity"
	"forebay/capacity/eventlog"
)

// A recording is shown with what came of each event, and events that give other actions today fail the verb.
func TestReplay(t *testing.T) {
	s := capacity.New()
	segment := eventlog.Begin(nil, time.Unix(1_700_000_000, 0), s.Snapshot(nil))
	log := eventlog.NewEncoder(s.Now())
	records := log.Name(nil, "pool", 1, "my-model")
	arrive := capacity.Event{Kind: capacity.EventArrive, Call: 7, Input: 10, MaxOutput: 5}
	arrive.SetLanes(capacity.Lane{Pool: 1, Model: 1})
	for _, ev := range []capacity.Event{
		{Kind: capacity.EventConfigure, Config: &capacity.Config{
			Models: []capacity.Model{{ID: 1}}, Pools: []capacity.Pool{{ID: 1, MaxQueue: 1}}, Replicas: []capacity.Replica{{ID: 3, Pool: 1, Slots: 1}},
		}},
		{Kind: capacity.EventReplicaUp, Replica: 3},
		arrive,
	} {
		now := s.Now() + 1000
		records = log.Event(records, now, &ev, s.Step(now, ev, nil))
	}
	good := filepath.Join(t.TempDir(), "good.events")
	if err := os.WriteFile(good, eventlog.Block(segment, records), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := runCLI(t, "replay", good)
	for _, want := range []string{
		"from 2023-11-14T22:13:20Z", "# pool 1 is my-model", "  replica id=3 pool=1 slots=1", "3µs arrive call=7 input=10 max-output=5 lane(pool=1 model=1",
		"    -> admit call=7 replica=3", "# 3 events, 0 of them with other actions than then",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if code != 0 {
		t.Errorf("exit %d: %s", code, errs)
	}

	records = log.Event(records, s.Now(), &capacity.Event{Kind: capacity.EventTick}, []capacity.Action{{Kind: capacity.ActionReject, Call: 9}})
	bad := filepath.Join(t.TempDir(), "bad.events")
	if err := os.WriteFile(bad, eventlog.Block(segment, records), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs = runCLI(t, "replay", "--quiet", bad)
	if code != 1 || !strings.Contains(errs, "1 events give other actions") || !strings.Contains(out, "tick\n    !! then it gave 1 actions") || strings.Contains(out, "arrive") {
		t.Errorf("exit %d: %s\n%s", code, errs, out)
	}
	if code, _, errs := runCLI(t, "replay", filepath.Join(t.TempDir(), "none")); code != 1 || !strings.Contains(errs, "no such file") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
