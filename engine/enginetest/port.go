package enginetest

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"forebay/engine"
	"forebay/fault"
	"forebay/infer"
)

// Port holds an engine that has no upstream, such as a simulated one, against the part of the suite that
// concerns the port alone. It runs in virtual time, in which the engine must
// sleep; goroutines that the engine leaves behind fail the test.
//
// The engine must answer a short chat within a minute, and one with LongAnswer tokens
// must take more than a second.
func Port(t *testing.T, open func(t testing.TB) engine.Client) {
	run := func(name string, test func(t *testing.T, c engine.Client)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t)
				defer c.Close() //nolint:errcheck // a second Close in some tests
				test(t, c)
			})
		})
	}
	run("Stream", portStream)
	run("Whole", portWhole)
	run("Probe", func(t *testing.T, c engine.Client) {
		if err := c.Probe(t.Context()); err != nil {
			t.Error(err)
		}
	})
	run("CancelInTheStream", portCancel)
	run("CloseOfTheResponse", portCloseResponse)
	run("CloseWhileRunning", portCloseClient)
	run("TimeoutsOfTheCall", portTimeouts)
	run("ManyAtOnce", portMany)
}

// LongAnswer is the number of tokens that Port's long chats ask for.
const LongAnswer = 4096

func long() *infer.Request {
	req := canonical(true)
	n := int64(LongAnswer)
	req.Chat.MaxTokens, req.Facts.MaxTokens = &n, n
	return req
}

func portStream(t *testing.T, c engine.Client) {
	res, err := c.Infer(t.Context(), canonical(true))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close() //nolint:errcheck // test
	list, err := pull(res)
	if err != nil {
		t.Fatal(err)
	}
	if text(list) == "" {
		t.Error("no text")
	}
	var kinds []infer.EventKind
	for _, ev := range list {
		if n := len(kinds); (n == 0 || kinds[n-1] != ev.Kind) && ev.Kind != infer.EventUsage {
			kinds = append(kinds, ev.Kind)
		}
	}
	want := []infer.EventKind{infer.EventStart, infer.EventBlockStart, infer.EventDelta, infer.EventBlockStop, infer.EventStop}
	if len(kinds) != len(want) {
		t.Fatalf("kinds of events %v, want %v", kinds, want)
	}
	for i := range want {
		if kinds[i] != want[i] {
			t.Errorf("kinds of events %v, want %v", kinds, want)
		}
	}
	if u, ok := res.Usage(); !ok || u.Input <= 0 || u.Output <= 0 {
		t.Errorf("usage %+v (%v)", u, ok)
	}
}

func portWhole(t *testing.T, c engine.Client) {
	res, err := c.Infer(t.Context(), canonical(false))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close() //nolint:errcheck // test
	list, err := pull(res)
	if err != nil || len(list) != 1 || list[0].Kind != infer.EventResult || list[0].Result == nil {
		t.Fatalf("%d events, %v", len(list), err)
	}
	if ch := list[0].Result.Choices; len(ch) != 1 || len(ch[0].Content) == 0 || ch[0].Content[0].Text == "" || ch[0].Stop == "" {
		t.Errorf("%+v", ch)
	}
	if u, ok := res.Usage(); !ok || u.Input <= 0 || u.Output <= 0 {
		t.Errorf("usage %+v (%v)", u, ok)
	}
}

// firstText pulls to the first text.
func firstText(t *testing.T, res *infer.Response) {
	t.Helper()
	for {
		ev, err := res.Next()
		if err != nil {
			t.Fatal(err)
		}
		if ev.Kind == infer.EventDelta {
			return
		}
	}
}

func portCancel(t *testing.T, c engine.Client) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	res, err := c.Infer(ctx, long())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close() //nolint:errcheck // test
	firstText(t, res)
	var at time.Time
	time.AfterFunc(time.Second, func() { at = time.Now(); cancel() })
	_, err = pull(res)
	wantKind(t, err, fault.Canceled)
	if d := time.Since(at); d > atOnce {
		t.Errorf("the caller waited %v", d)
	}
}

func portCloseResponse(t *testing.T, c engine.Client) {
	res, err := c.Infer(t.Context(), long())
	if err != nil {
		t.Fatal(err)
	}
	firstText(t, res)
	_, _ = res.Close(), res.Close()
	if _, err := res.Next(); err == nil {
		t.Error("an event after Close")
	}
}

func portCloseClient(t *testing.T, c engine.Client) {
	res, err := c.Infer(t.Context(), long())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close() //nolint:errcheck // test
	firstText(t, res)
	time.AfterFunc(time.Second, func() { _ = c.Close() })
	_, err = pull(res)
	wantKind(t, err, fault.StreamFailed, fault.Canceled)
	_, err = c.Infer(t.Context(), canonical(true))
	wantKind(t, err, fault.Unavailable)
}

func portMany(t *testing.T, c engine.Client) {
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			list, err := attempt(t.Context(), c, canonical(i%2 == 0))
			if err != nil || len(list) == 0 {
				t.Errorf("call %d: %d events, %v", i, len(list), err)
			}
		})
	}
	wg.Wait()
}

// portTimeouts holds an engine to the bounds that a call brings along.
func portTimeouts(t *testing.T, c engine.Client) {
	req := long()
	req.Timeouts = engine.Timeouts{Total: 500 * time.Millisecond}
	start := time.Now()
	_, err := attempt(t.Context(), c, req)
	if e := wantKind(t, err, fault.Timeout); e.Code != "total" || time.Since(start) != 500*time.Millisecond {
		t.Errorf("%q after %v", e.Code, time.Since(start))
	}
}
