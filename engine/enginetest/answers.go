package enginetest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"forebay/engine"
	"forebay/engine/enginetest/fakeupstream"
	"forebay/fault"
	"forebay/infer"
)

var words = []string{"Hello", " wörld", "\n\"quoted\"", " [DONE] "}

func testRawStream(t *testing.T, s *Setup) {
	x := loopback(t, s, s.Through, engine.Timeouts{})
	x.server.Say(words...)
	res := x.infer(t, s.raw(t, true))
	if !res.Head.PassThrough {
		t.Error("the head does not say that the call passes through")
	}
	list, err := pull(res)
	if err != nil {
		t.Fatal(err)
	}
	want := s.Raw(s.Through.Stream(words, fakeupstream.SaidUsage))
	var tokens int64
	for i, ev := range list {
		if i < len(want) && (string(ev.Raw) != want[i].Data || ev.Name != want[i].Name || ev.Kind != infer.EventRaw) {
			t.Errorf("event %d: %s %q, want %s %q", i, ev.Name, ev.Raw, want[i].Name, want[i].Data)
		}
		if ev.Last != (i == len(want)-1) {
			t.Errorf("event %d of %d: Last is %v", i, len(want), ev.Last)
		}
		tokens += ev.Tokens
	}
	if len(list) != len(want) || tokens < int64(len(words)) {
		t.Errorf("%d events with %d tokens, want %d with at least %d", len(list), tokens, len(want), len(words))
	}
	wantUsage(t, res)
	x.arrived(t, true)
	if _, err := res.Next(); err == nil || err.Error() != "EOF" {
		t.Errorf("after the end: %v", err)
	}
}

// arrived checks the one call that has reached the upstream.
func (x *setting) arrived(t *testing.T, stream bool) {
	t.Helper()
	calls := x.server.Calls()
	if len(calls) != 1 {
		t.Fatalf("%d calls have arrived", len(calls))
	}
	_, want := x.Body(stream)
	if got := string(calls[0].Body); got != want {
		t.Errorf("arrived\n%s\nwant\n%s", got, want)
	}
	if target := x.Target(stream); calls[0].Target != target || calls[0].Method != http.MethodPost {
		t.Errorf("arrived at %s %s, want %s", calls[0].Method, calls[0].Target, target)
	}
	if ct := calls[0].Header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type %q", ct)
	}
}

func testRawWhole(t *testing.T, s *Setup) {
	x := loopback(t, s, s.Through, engine.Timeouts{})
	x.server.Say(words...)
	res := x.infer(t, s.raw(t, false))
	list, err := pull(res)
	if err != nil || len(list) != 1 || list[0].Kind != infer.EventResult {
		t.Fatalf("%d events, %v", len(list), err)
	}
	if want := string(s.Through.Whole(words, fakeupstream.SaidUsage)); string(list[0].Raw) != want {
		t.Errorf("body %s\nwant %s", list[0].Raw, want)
	}
	wantUsage(t, res)
	x.arrived(t, false)
}

// order is the grammar of canonical events (infer.EventKind).
func order(list []infer.Event) string {
	var b strings.Builder
	for _, ev := range list {
		b.WriteByte("SbdexuRr"[ev.Kind])
	}
	return b.String()
}

func testCanonicalStream(t *testing.T, s *Setup) {
	x := loopback(t, s, s.Canonical, engine.Timeouts{})
	x.server.Say(words...)
	res := x.infer(t, canonical(true))
	if res.Head.PassThrough {
		t.Error("a converted call does not pass through")
	}
	list, err := pull(res)
	if err != nil {
		t.Fatal(err)
	}
	if got := text(list); got != strings.Join(words, "") {
		t.Errorf("text %q", got)
	}
	got := strings.ReplaceAll(strings.TrimRight(order(list), "u"), "u", "")
	if want := "Sb" + strings.Repeat("d", len(words)) + "ex"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	for _, ev := range list {
		if ev.Kind == infer.EventStop && ev.Stop != infer.StopEndTurn {
			t.Errorf("stop reason %q", ev.Stop)
		}
	}
	wantUsage(t, res)
	if body := string(x.server.Calls()[0].Body); !strings.Contains(body, "Be brief.") || !strings.Contains(body, "Hi") {
		t.Errorf("arrived %s", body)
	}
}

func testCanonicalWhole(t *testing.T, s *Setup) {
	x := loopback(t, s, s.Canonical, engine.Timeouts{})
	x.server.Say(words...)
	res := x.infer(t, canonical(false))
	list, err := pull(res)
	if err != nil || len(list) != 1 || list[0].Result == nil || len(list[0].Result.Choices) != 1 {
		t.Fatalf("%d events, %v", len(list), err)
	}
	c := list[0].Result.Choices[0]
	if len(c.Content) != 1 || c.Content[0].Text != strings.Join(words, "") || c.Stop != infer.StopEndTurn {
		t.Errorf("choice %+v", c)
	}
	wantUsage(t, res)
}

func testSpeaks(t *testing.T, s *Setup) {
	x := loopback(t, s, s.Through, engine.Timeouts{})
	if !x.client.Speaks(s.Dialect) || x.client.Speaks("no such dialect") {
		t.Error("Speaks is wrong")
	}
	_, err := x.client.Infer(t.Context(), &infer.Request{UpstreamModel: UpstreamModel})
	if err == nil {
		t.Error("a call without content was sent")
	}
}

func testRefused(t *testing.T, s *Setup) {
	both(t, s, func(t *testing.T, p *fakeupstream.Protocol, req func(testing.TB, bool) *infer.Request) {
		x := loopback(t, s, p, engine.Timeouts{})
		for _, c := range []struct {
			status int
			kind   fault.Kind
		}{
			{400, fault.ModelFailed},
			{403, fault.ModelFailed},
			{404, fault.ModelFailed},
			{422, fault.ModelFailed},
			{429, fault.Overloaded},
			{500, fault.Unavailable},
			{503, fault.Unavailable},
			{301, fault.Unavailable},
		} {
			x.server.Refuse(c.status, "engine says no", http.Header{"Retry-After": {"7"}})
			for _, stream := range []bool{false, true} {
				_, err := x.client.Infer(t.Context(), req(t, stream))
				e := wantKind(t, err, c.kind)
				if e.OriginalStatus != c.status || e.OriginalMessage != "engine says no" || e.RetryAfter != 7*time.Second || !e.RetryEstimated {
					t.Errorf("%d: %+v", c.status, e)
				}
			}
		}
		if n := x.server.Conns(); n != 1 {
			t.Errorf("%d connections for refusals that were read to their end", n)
		}
		if n := len(x.server.Calls()); n != 16 {
			t.Errorf("%d calls arrived of 16: a client never retries", n)
		}
		x.server.Close()
		_, err := x.client.Infer(t.Context(), req(t, true))
		wantKind(t, err, fault.Unavailable)
	})
}

func testLarge(t *testing.T, s *Setup) {
	both(t, s, func(t *testing.T, p *fakeupstream.Protocol, req func(testing.TB, bool) *infer.Request) {
		x := loopback(t, s, p, engine.Timeouts{})
		large := strings.Repeat("0123456789abcdef", 700_000/16) // base64 of it stays below Bedrock's 1 MB
		x.server.Say("a", large, "b")
		list, err := attempt(t.Context(), x.client, req(t, true))
		if err != nil {
			t.Fatal(err)
		}
		found := strings.Contains(text(list), "a"+large+"b")
		for _, ev := range list {
			found = found || strings.Contains(string(ev.Raw), large)
		}
		if !found {
			t.Error("the large payload did not arrive whole")
		}
		if _, err := attempt(t.Context(), x.client, req(t, false)); err != nil {
			t.Error(err)
		}
	})
}

// testSlowReader lets the upstream run into a reader that does not read, and then reads.
func testSlowReader(t *testing.T, s *Setup) {
	x := loopback(t, s, s.Through, engine.Timeouts{})
	many := make([]string, 4000)
	for i := range many {
		many[i] = fmt.Sprintf("%06d%s", i, strings.Repeat(".", 1000))
	}
	x.server.Say(many...)
	res := x.infer(t, s.raw(t, true))
	other, err := attempt(t.Context(), x.client, s.raw(t, true)) // a second call is not held up by the first
	if err != nil {
		t.Fatal(err)
	}
	list, err := pull(res)
	if err != nil || len(list) != len(other) {
		t.Fatalf("%d events and %d, %v", len(list), len(other), err)
	}
	want := s.Raw(s.Through.Stream(many, fakeupstream.SaidUsage))
	for i := range list {
		if string(list[i].Raw) != want[i].Data {
			t.Fatalf("event %d differs", i)
		}
	}
}

func testConcurrent(t *testing.T, s *Setup) {
	both(t, s, func(t *testing.T, p *fakeupstream.Protocol, req func(testing.TB, bool) *infer.Request) {
		x := loopback(t, s, p, engine.Timeouts{FirstToken: time.Minute, BetweenTokens: time.Minute, Total: time.Hour})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 20 {
					list, err := attempt(t.Context(), x.client, req(t, (i+j)%2 == 0))
					if err != nil || len(list) == 0 {
						t.Errorf("call %d of %d: %d events, %v", j, i, len(list), err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

func testReuse(t *testing.T, s *Setup) {
	both(t, s, func(t *testing.T, p *fakeupstream.Protocol, req func(testing.TB, bool) *infer.Request) {
		bubble(t, s, p, engine.Timeouts{}, func(t *testing.T, x *setting) {
			for i := range 10 {
				if _, err := attempt(t.Context(), x.client, req(t, i%2 == 0)); err != nil {
					t.Fatal(err)
				}
			}
			if n := x.server.Conns(); n != 1 {
				t.Errorf("%d connections for calls one after the other", n)
			}
		})
	})
}

// testReuseWithoutTheEnd leaves streams at their last event, as those do who know from it
// that nothing follows, while the end of the framing is still on its way.
func testReuseWithoutTheEnd(t *testing.T, s *Setup) {
	bubble(t, s, s.Through, engine.Timeouts{}, func(t *testing.T, x *setting) {
		x.server.Handle(func(c *fakeupstream.Call) {
			for _, p := range c.Protocol.Stream(words, fakeupstream.SaidUsage) {
				c.Send(p)
			}
			c.End()
			time.Sleep(5 * time.Millisecond)
		})
		for range 5 {
			res := x.infer(t, s.raw(t, true))
			for last := false; !last; {
				ev, err := res.Next()
				if err != nil {
					t.Fatal(err)
				}
				last = ev.Last
			}
			_ = res.Close()
		}
		if n := x.server.Conns(); n != 1 {
			t.Errorf("%d connections for streams that were read to their last event", n)
		}
	})
}

func testProbe(t *testing.T, s *Setup) {
	x := loopback(t, s, s.Through, engine.Timeouts{Connect: time.Minute})
	x.server.Handle(func(c *fakeupstream.Call) { c.Respond(http.StatusOK, nil, []byte(`{"object":"list","data":[]}`)) })
	if err := x.client.Probe(t.Context()); err != nil {
		t.Errorf("a healthy engine: %v", err)
	}
	x.server.Refuse(http.StatusServiceUnavailable, "loading", nil)
	wantKind(t, x.client.Probe(t.Context()), fault.Unavailable)
	x.server.Close()
	wantKind(t, x.client.Probe(t.Context()), fault.Unavailable)
}
