package simulated

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"forebay/engine"
	"forebay/engine/enginetest"
	"forebay/fault"
	"forebay/infer"
	"forebay/perf"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// slow is an engine that takes a tenth of a second a step.
var slow = perf.Profile{Name: "slow", Step: 100e9, PrefillToken: 1e9, MaxBatch: 64, Chunk: 4096, KV: 50_000}

func open(t testing.TB, o Options) *Engine {
	t.Helper()
	if o.Profile.Name == "" {
		p, err := perf.Named("instant")
		if err != nil {
			t.Fatal(err)
		}
		o.Profile = p
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// bubble runs a test with an engine in virtual time.
func bubble(t *testing.T, o Options, test func(t *testing.T, e *Engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := open(t, o)
		test(t, e)
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}

func ask(prompt string) *infer.Request {
	return &infer.Request{ID: "call-1", UpstreamModel: "some-model", Stream: true, Chat: &infer.Chat{
		Messages: []infer.Message{{Role: infer.RoleUser, Content: []infer.Block{{Kind: infer.BlockText, Text: prompt}}}},
	}}
}

// read pulls an answer to its end: the text of each choice, the last stop reason, the usage.
func read(t testing.TB, e *Engine, req *infer.Request) (texts []string, stop infer.Event, u infer.Usage) {
	t.Helper()
	res, err := e.Infer(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close() //nolint:errcheck // always nil
	for {
		ev, err := res.Next()
		if errors.Is(err, io.EOF) {
			u, _ = res.Usage()
			return texts, stop, u
		}
		if err != nil {
			t.Fatal(err)
		}
		for len(texts) <= ev.Choice {
			texts = append(texts, "")
		}
		texts[ev.Choice] += ev.Text
		if ev.Kind == infer.EventStop {
			stop = *ev
		}
		if ev.Kind == infer.EventResult {
			texts = nil
			for _, c := range ev.Result.Choices {
				texts = append(texts, c.Content[0].Text+string(c.Content[0].ToolInput))
				stop.Stop, stop.StopText = c.Stop, c.StopText
			}
		}
	}
}

func TestPort(t *testing.T) {
	enginetest.Port(t, func(t testing.TB) engine.Client { return open(t, Options{Profile: slow}) })
}

func TestAnswerSaysWhatItIs(t *testing.T) {
	const hint = "forebay up --serve MODEL=llama-server"
	e := open(t, Options{Hint: hint, Seed: 7})
	defer e.Close() //nolint:errcheck // always nil
	one, stop, u := read(t, e, ask("Hello"))
	if !strings.HasPrefix(one[0], "This answer is simulated") || !strings.Contains(one[0], "forebay up --serve some-model=llama-server") || !strings.Contains(one[0], "some-model") {
		t.Errorf("%q", one[0])
	}
	if stop.Stop != infer.StopEndTurn || u.Output != count(one[0]) || u.Input != count("Hello")+tokensPerMessage {
		t.Errorf("stop %q, usage %+v", stop.Stop, u)
	}
	if again, _, _ := read(t, e, ask("Hello")); !slices.Equal(one, again) {
		t.Errorf("the same prompt gave %q and %q", one, again)
	}
	if other, _, _ := read(t, e, ask("Hello!")); slices.Equal(one, other) {
		t.Error("another prompt gave the same text")
	}
	seeded, seed := ask("Hello"), int64(3)
	seeded.Chat.Seed = &seed
	if other, _, _ := read(t, e, seeded); slices.Equal(one, other) {
		t.Error("another seed gave the same text")
	}
	res, err := e.Infer(t.Context(), ask("Hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close() //nolint:errcheck // always nil
	if !res.Head.Simulated {
		t.Error("the head does not say that the answer is simulated")
	}
}

// Streamed or whole, an answer has the same text, stop and usage.
func TestWholeEqualsStream(t *testing.T) {
	e := open(t, Options{Directives: true})
	defer e.Close() //nolint:errcheck // always nil
	limit, n := int64(9), int64(3)
	for name, spoil := range map[string]func(*infer.Request){
		"plain":  func(*infer.Request) {},
		"limit":  func(r *infer.Request) { r.Chat.MaxTokens = &limit },
		"stop":   func(r *infer.Request) { r.Chat.Stop = []string{"", "simul"} },
		"three":  func(r *infer.Request) { r.Chat.N = &n },
		"tool":   func(r *infer.Request) { *r = *ask(`[[tool:add {"a":1}]]`); r.Chat.Tools = []infer.Tool{{Name: "add"}} },
		"nought": func(r *infer.Request) { zero := int64(0); r.Chat.MaxTokens = &zero },
	} {
		t.Run(name, func(t *testing.T) {
			streamed, whole := ask("Hello"), ask("Hello")
			spoil(streamed)
			spoil(whole)
			whole.Stream = false
			a, stopA, useA := read(t, e, streamed)
			b, stopB, useB := read(t, e, whole)
			if !slices.Equal(a, b) || stopA.Stop != stopB.Stop || stopA.StopText != stopB.StopText || useA != useB {
				t.Errorf("%q %q %+v\n%q %q %+v", a, stopA.Stop, useA, b, stopB.Stop, useB)
			}
		})
	}
}

func TestLimitStopAndChoices(t *testing.T) {
	e := open(t, Options{})
	defer e.Close() //nolint:errcheck // always nil
	limit, n := int64(5), int64(3)
	req := ask("Hello")
	req.Chat.MaxTokens = &limit
	if texts, stop, u := read(t, e, req); stop.Stop != infer.StopMaxTokens || u.Output != 5 || texts[0] != "This answer is simul" {
		t.Errorf("%q %q %+v", texts, stop.Stop, u)
	}
	req = ask("Hello")
	req.Chat.Stop = []string{"simul", "answer"}
	if texts, stop, _ := read(t, e, req); stop.Stop != infer.StopSequence || stop.StopText != "answer" || texts[0] != "This " {
		t.Errorf("%q %q %q", texts, stop.Stop, stop.StopText)
	}
	req = ask("Hello")
	req.Chat.N = &n
	texts, _, u := read(t, e, req)
	if len(texts) != 3 || texts[0] == texts[1] || u.Output != count(texts[0])+count(texts[1])+count(texts[2]) {
		t.Errorf("%q %+v", texts, u)
	}
	n = 129
	if _, err := e.Infer(t.Context(), req); fault.KindOf(err) != fault.ModelFailed {
		t.Errorf("n of 129: %v", err)
	}
}

func TestDirectives(t *testing.T) {
	e := open(t, Options{Directives: true})
	defer e.Close() //nolint:errcheck // always nil
	for prompt, want := range map[string]string{
		"a [[echo]] b":             "a [[echo]] b",
		"[[text:exactly so]]":      "exactly so",
		"[[text:one]] [[text:two]": "one",
	} {
		if texts, _, _ := read(t, e, ask(prompt)); texts[0] != want {
			t.Errorf("%q: %q", prompt, texts[0])
		}
	}
	if _, _, u := read(t, e, ask("[[tokens:1000]]")); u.Output != 1000 {
		t.Errorf("usage %+v", u)
	}
	tool := ask(`[[tool:get_weather {"city":"Rome"}]]`)
	if texts, _, _ := read(t, e, tool); !strings.HasPrefix(texts[0], "This answer") {
		t.Errorf("a tool that was not offered was called: %q", texts)
	}
	tool.Chat.Tools = []infer.Tool{{Name: "get_weather"}}
	if texts, stop, _ := read(t, e, tool); texts[0] != `{"city":"Rome"}` || stop.Stop != infer.StopToolUse {
		t.Errorf("%q %q", texts, stop.Stop)
	}
	deaf := open(t, Options{})
	defer deaf.Close() //nolint:errcheck // always nil
	if texts, _, _ := read(t, deaf, ask("[[text:obey]]")); texts[0] == "obey" {
		t.Error("a directive was obeyed that is not enabled")
	}
}

func TestFailures(t *testing.T) {
	e := open(t, Options{Directives: true})
	defer e.Close() //nolint:errcheck // always nil
	for prompt, want := range map[string]struct {
		kind   fault.Kind
		status int
	}{
		"[[fail:418]]": {fault.ModelFailed, 418}, "[[fail:429]]": {fault.Overloaded, 429},
		"[[fail:503]]": {fault.Unavailable, 503}, "[[fail]]": {fault.Unavailable, 500},
	} {
		_, err := e.Infer(t.Context(), ask(prompt))
		if f := fault.From(err); f == nil || f.Kind != want.kind || f.OriginalStatus != want.status {
			t.Errorf("%s: %v", prompt, err)
		}
	}
	for prompt, tokens := range map[string]int{"[[fail:500 after 3]]": 3, "[[fail:500 after 0]]": 0, "[[text:1234]][[fail:500 after 99]]": 1} {
		res, err := e.Infer(t.Context(), ask(prompt))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for {
			ev, err := res.Next()
			if err != nil {
				if fault.KindOf(err) != fault.StreamFailed || n != tokens {
					t.Errorf("%s: %v after %d tokens", prompt, err, n)
				}
				break
			}
			if ev.Kind == infer.EventDelta {
				n++
			}
		}
		_ = res.Close()
	}
	no := open(t, Options{Refuse: true})
	defer no.Close() //nolint:errcheck // always nil
	if _, err := no.Infer(t.Context(), ask("Hi")); fault.KindOf(err) != fault.Unavailable || no.Probe(t.Context()) == nil {
		t.Errorf("%v", err)
	}
}

// A call takes the time that the model says: alone, in company, and told to be slow.
func TestTime(t *testing.T) {
	took := func(t *testing.T, e *Engine, prompt string) time.Duration {
		from := time.Now()
		read(t, e, ask(prompt))
		return time.Since(from)
	}
	bubble(t, Options{Profile: slow, Directives: true}, func(t *testing.T, e *Engine) {
		const prompt = "[[tokens:50]]" // 4 tokens, and 3 of the message
		if got, want := took(t, e, prompt), 50*100*time.Millisecond+7*time.Millisecond; got != want {
			t.Errorf("50 tokens took %v, want %v", got, want)
		}
		const slower = "[[slow:3]][[tokens:50]]"
		if got, want := took(t, e, slower), 3*50*100*time.Millisecond+9*time.Millisecond; got != want {
			t.Errorf("50 slow tokens took %v, want %v", got, want)
		}
	})
}

// Calls share a batch: five hundred of them in a batch of 64 come in eight waves.
func TestCallsShareTheBatch(t *testing.T) {
	p := slow
	p.PrefillToken = 0
	bubble(t, Options{Profile: p, Directives: true}, func(t *testing.T, e *Engine) {
		from := time.Now()
		var wg sync.WaitGroup
		for i := range 500 {
			wg.Go(func() { read(t, e, ask(fmt.Sprintf("[[tokens:10]] %d", i))) })
		}
		wg.Wait()
		if got, want := time.Since(from), 8*10*100*time.Millisecond; got < want || got > want+100*time.Millisecond {
			t.Errorf("500 calls took %v, want %v and at most a step", got, want)
		}
	})
}

// A call that is cancelled, or closed, leaves batch and memory at once, also when nobody is waiting for its tokens.
func TestCancelFreesTheEngine(t *testing.T) {
	bubble(t, Options{Profile: slow, Directives: true}, func(t *testing.T, e *Engine) {
		free := func() int64 {
			e.mu.Lock()
			defer e.mu.Unlock()
			n, limit := e.batch.Memory()
			return limit - n
		}
		ctx, cancel := context.WithCancel(t.Context())
		res, err := e.Infer(ctx, ask("[[tokens:1000]]"))
		if err != nil {
			t.Fatal(err)
		}
		other, err := e.Infer(t.Context(), ask("[[tokens:1000]]"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // virtual
		if free() == 0 {
			t.Fatal("nothing is held")
		}
		cancel()
		_ = other.Close()
		synctest.Wait()
		if n := free(); n != 0 || len(e.calls) != 0 {
			t.Errorf("%d tokens of memory and %d calls are held", n, len(e.calls))
		}
		for err == nil {
			_, err = res.Next()
		}
		if fault.KindOf(err) != fault.Canceled {
			t.Errorf("%v", err)
		}
		_ = res.Close()
	})
}

func TestHangEndsWithTheContext(t *testing.T) {
	bubble(t, Options{Directives: true}, func(t *testing.T, e *Engine) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		res, err := e.Infer(ctx, ask("[[hang]]"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Close() //nolint:errcheck // always nil
		from := time.Now()
		if _, err = res.Next(); fault.KindOf(err) != fault.Canceled || time.Since(from) != time.Hour {
			t.Errorf("%v after %v", err, time.Since(from))
		}
	})
}

func TestWhatDoesNotFitIsRefused(t *testing.T) {
	p := slow
	p.KV = 100
	e := open(t, Options{Profile: p})
	defer e.Close() //nolint:errcheck // always nil
	n := int64(2)
	req := ask(strings.Repeat("word", 99))
	req.Chat.N = &n
	_, err := e.Infer(t.Context(), req)
	if f := fault.From(err); f == nil || f.Kind != fault.ModelFailed || f.OriginalStatus != http.StatusBadRequest || len(e.calls) != 0 {
		t.Errorf("%v, %d calls", err, len(e.calls))
	}
}

func TestEmbeddings(t *testing.T) {
	e := open(t, Options{})
	defer e.Close() //nolint:errcheck // always nil
	size := int64(256)
	req := &infer.Request{Task: infer.TaskEmbed, Embed: &infer.Embed{
		Inputs: []string{"one", "two", "one"}, Tokens: [][]int64{{1, 2, 3}}, Images: []infer.Media{{Data: []byte{1}}}, Dimensions: &size,
	}}
	res, err := e.Infer(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close() //nolint:errcheck // always nil
	ev, err := res.Next()
	if err != nil {
		t.Fatal(err)
	}
	v := ev.Result.Embeddings
	if len(v) != 5 || !slices.Equal(v[0].Floats, v[2].Floats) || slices.Equal(v[0].Floats, v[1].Floats) || ev.Usage.Input != 6 {
		t.Fatalf("%d vectors, usage %+v", len(v), ev.Usage)
	}
	for i := range v {
		var sum float64
		for _, x := range v[i].Floats {
			sum += float64(x) * float64(x)
		}
		if len(v[i].Floats) != 256 || math.Abs(sum-1) > 1e-5 {
			t.Errorf("vector %d has %d components and a square of %g", i, len(v[i].Floats), sum)
		}
	}
}

// The count before a call is the usage after it.
func TestCountTokensIsExact(t *testing.T) {
	e := open(t, Options{})
	defer e.Close() //nolint:errcheck // always nil
	prompt := "Grüße, 世界 — 12345"
	for _, req := range []*infer.Request{
		ask("Hello, how are you?"),
		{UpstreamModel: "m", Stream: true, Chat: &infer.Chat{Prompt: &prompt}},
		{UpstreamModel: "m", Stream: true, Chat: &infer.Chat{
			System:   []infer.Block{{Text: "Be brief"}},
			Messages: []infer.Message{{Content: []infer.Block{{Kind: infer.BlockToolResult, Content: []infer.Block{{Text: "42"}}}}}},
			Tools:    []infer.Tool{{Name: "add", Description: "adds", Schema: []byte(`{}`)}},
		}},
	} {
		n, err := e.CountTokens(t.Context(), req)
		if _, _, u := read(t, e, req); err != nil || n != u.Input || n < 2 {
			t.Errorf("counted %d (%v), used %+v", n, err, u)
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", "a", "abcd", "abcde", "Grüße, 世界", "\xff\xfe\x80\x80\x80\x80\x80", "日本語"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tokens := split(s)
		if strings.Join(tokens, "") != s || int64(len(tokens)) != count(s) {
			t.Errorf("%q became %q, counted %d", s, tokens, count(s))
		}
		for _, x := range tokens {
			if len(x) == 0 || len(x) > tokenBytes || (strings.ToValidUTF8(s, "") == s && strings.ToValidUTF8(x, "") != x) {
				t.Errorf("token %q of %q", x, s)
			}
		}
	})
}

func FuzzDirectives(f *testing.F) {
	for _, s := range []string{"[[echo]]", "[[text:a]][[", "[[fail:9 after 1]]", "[[tokens:-1]]", "[[slow:99999999999999999999]]", "[[tool:x {}]]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := directives(s)
		if d.failAt < -1 || d.tokens < 0 || d.tokens > maxAsked || d.slow < 0 || d.slow > maxAsked || d.status < 0 {
			t.Errorf("%q: %+v", s, d)
		}
	})
}

// BenchmarkCall is a whole call against an engine that takes no time.
func BenchmarkCall(b *testing.B) {
	e := open(b, Options{Directives: true})
	defer e.Close() //nolint:errcheck // always nil
	req := ask("[[tokens:100]]")
	b.ReportAllocs()
	for b.Loop() {
		read(b, e, req)
	}
}
