package server

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forebay/capacity"
	"forebay/capacity/eventlog"
)

// What the configuration asks to be recorded can be replayed after the stop, and the status says where it is.
func TestRecordingIsReplayable(t *testing.T) {
	c := testConfig(t)
	c.Account.Limits.TokensPerMinute = 1000
	c.Recording.Dir = filepath.Join(t.TempDir(), "events")
	const calls = 5
	t.Run("live", func(t *testing.T) {
		s := run(t, c)
		for range calls {
			post(t, s, chatPath, `{"model":"`+haiku+`","max_tokens":5,"messages":[{"role":"user","content":"a secret"}]}`)
		}
		got := post(t, s, "/admin/v1/status", "", func(r *http.Request) { r.Method = http.MethodGet })
		if !strings.Contains(got.body, `"recording"`) || !strings.Contains(got.body, c.Recording.Dir) || strings.Contains(got.body, "stopped") {
			t.Errorf("%s", got.body)
		}
	})
	count, names := replayed(t, c.Recording.Dir)
	if count[capacity.EventArrive] != calls || count[capacity.EventSettle] != calls {
		t.Errorf("%v", count)
	}
	if !strings.Contains(names, "bucket account 000000000000 tokens/min") || !strings.Contains(names, "model "+haiku) {
		t.Errorf("%s", names)
	}
}

// replayed replays the recording of one server. It counts the events, and lists what they name.
func replayed(t *testing.T, dir string) (count map[capacity.EventKind]int, named string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.events"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("a secret")) {
		t.Error("a prompt is in the recording")
	}
	log, err := eventlog.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	count = map[capacity.EventKind]int{}
	var names []string
	err = eventlog.Replay(log, func(rec *eventlog.Record, _ []capacity.Action, same bool) error {
		if !same {
			t.Errorf("%s gives other actions", rec.Event.Kind)
		}
		if rec.Name != "" {
			names = append(names, rec.Kind+" "+rec.Name)
		}
		count[rec.Event.Kind]++
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return count, strings.Join(names, "\n")
}
