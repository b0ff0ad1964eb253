package invocationlog

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"forebay/artifact"
	"forebay/infer"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The events are those that the service's reference has for a stream with each kind of block.
func TestConverseStreamsBecomeMessages(t *testing.T) {
	var events []event
	for _, x := range [][2]string{
		{"messageStart", `{"role":"assistant"}`},
		{"contentBlockDelta", `{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"so "}}}`},
		{"contentBlockDelta", `{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"be it"}}}`},
		{"contentBlockDelta", `{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"c2ln"}}}`},
		{"contentBlockStop", `{"contentBlockIndex":0}`},
		{"contentBlockDelta", `{"contentBlockIndex":1,"delta":{"text":"Hel"}}`},
		{"contentBlockDelta", `{"contentBlockIndex":1,"delta":{"text":"lo"}}`},
		{"contentBlockStop", `{"contentBlockIndex":1}`},
		{"contentBlockStart", `{"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"t1","name":"search"}}}`},
		{"contentBlockDelta", `{"contentBlockIndex":2,"delta":{"toolUse":{"input":"{\"q\":"}}}`},
		{"contentBlockDelta", `{"contentBlockIndex":2,"delta":{"toolUse":{"input":"1}"}}}`},
		{"contentBlockStop", `{"contentBlockIndex":2}`},
		{"contentBlockDelta", `{"contentBlockIndex":9999999,"delta":{"text":"beyond"}}`},
		{"contentBlockDelta", `not JSON`},
		{"messageStop", `{"stopReason":"tool_use"}`},
		{"metadata", `{"usage":{"inputTokens":4,"outputTokens":5,"totalTokens":9},"metrics":{"latencyMs":7}}`},
	} {
		events = append(events, event{x[0], []byte(x[1])})
	}
	const want = `{"output":{"message":{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"so be it","signature":"c2ln"}}},` +
		`{"text":"Hello"},{"toolUse":{"toolUseId":"t1","name":"search","input":{"q":1}}}]}},"stopReason":"tool_use","metrics":{"latencyMs":7},` +
		`"usage":{"inputTokens":4,"outputTokens":5,"totalTokens":9}}`
	if got := canonical(t, string(message(events))); got != canonical(t, want) {
		t.Errorf("%s", got)
	}
}

func canonical(t *testing.T, text string) string {
	t.Helper()
	v := jsontext.Value(text)
	if err := v.Canonicalize(); err != nil {
		t.Fatal(err)
	}
	return string(v)
}

// newLog is a log over a folder.
func newLog(t *testing.T) (*Log, *Config, string) {
	t.Helper()
	dir := t.TempDir()
	l := New(Options{Objects: &artifact.Objects{Root: dir}, Region: "us-east-1", Log: slog.New(slog.DiscardHandler), Every: 10 * time.Second})
	return l, &Config{Location: artifact.Location{Bucket: "logs"}, Data: Everything}, dir
}

func call(l *Log, c *Config, body string) {
	w := l.Begin(c, []byte(body))
	w.Answer([]byte(`{"answer":1}`))
	w.Used(infer.Usage{Input: 3, Output: 4})
	w.End(&End{Account: "1", RequestID: "r", Operation: "Converse", Model: "m", Began: time.Now()})
}

// What has no room is dropped and counted, and never waited for; what is written gives its room back.
func TestMemoryIsBounded(t *testing.T) {
	l, c, _ := newLog(t)
	big := `"` + strings.Repeat("x", maxBytes/2) + `"`
	for range 3 {
		call(l, c, big)
	}
	for range maxQueue + 10 {
		call(l, c, `{}`)
	}
	if got := l.Counts(); got.Dropped != 2+11 || len(l.entries) != maxQueue {
		t.Errorf("%+v, %d wait", got, len(l.entries))
	}
	l.Begin(c, []byte("gone")).Discard()
	endless := l.Begin(c, nil)
	before := l.used.Load()
	for range maxBytes / (1 << 20) {
		endless.Event("chunk", make([]byte, 1<<20))
	}
	if endless.events != nil || l.used.Load() >= before {
		t.Errorf("a stream that does not fit holds %d events", len(endless.events))
	}
	endless.End(&End{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Error(err)
	}
	if got := l.Counts(); got.Dropped != 2+11+1 || got.Written != maxQueue || got.Failed != 0 || l.used.Load() != 0 {
		t.Errorf("%+v, %d bytes are held", got, l.used.Load())
	}
}

func objects(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A record is written within the time that is promised; those of two hours are in two objects.
func TestRecordsAreWrittenInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, c, dir := newLog(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx) }()
		call(l, c, `{}`)
		call(l, c, `{}`)
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if n := objects(t, dir); n != 0 {
			t.Errorf("%d objects too early", n)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := objects(t, dir); n != 1 || l.Counts().Written != 2 {
			t.Errorf("%d objects, %+v", n, l.Counts())
		}
		call(l, c, `{}`)
		time.Sleep(time.Hour)
		call(l, c, `{}`)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := objects(t, dir); n != 3 || l.Counts().Written != 4 {
			t.Errorf("%d objects, %+v", n, l.Counts())
		}
	})
}

// A place that cannot be written costs records, which are counted, and nothing else.
func TestFailedRecordsAreCounted(t *testing.T) {
	l, c, dir := newLog(t)
	if err := os.WriteFile(filepath.Join(dir, "logs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	call(l, c, `{}`)
	call(l, c, `"`+strings.Repeat("x", inline)+`"`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Error(err)
	}
	if got := l.Counts(); got.Failed != 2 || got.Written != 0 || l.used.Load() != 0 {
		t.Errorf("%+v", got)
	}
}

// Bodies stand in the record up to the documented length, and beside it beyond.
func TestLongBodiesAreAside(t *testing.T) {
	for n, aside := range map[int]bool{inline: false, inline + 1: true} {
		l, c, _ := newLog(t)
		w := l.Begin(c, []byte(`"`+strings.Repeat("x", n-2)+`"`))
		line, err := l.line(&entry{call: w, end: End{Account: "1", RequestID: "r", Began: time.Now()}})
		var r record
		if err = errors.Join(err, json.Unmarshal(line, &r)); err != nil || (r.Input.Path != "") != aside || (r.Input.Body != nil) == aside {
			t.Errorf("%d: %v, %q", n, err, r.Input.Path)
		}
	}
}

// Whatever a caller sends, what stands in a line is JSON of one line.
func TestBodiesThatAreNoJSON(t *testing.T) {
	for _, body := range []string{"", "{", "{}{}", "\xff", "{\n\"a\":\n1}"} {
		l, c, _ := newLog(t)
		w := l.Begin(c, []byte(body))
		line, err := l.line(&entry{call: w, end: End{Account: "1"}})
		if err != nil || strings.Count(string(line), "\n") != 1 || !jsontext.Value(line).IsValid() {
			t.Errorf("%q: %s, %v", body, line, err)
		}
	}
}
