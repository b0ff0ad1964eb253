package dispatch

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"forebay/catalog"
	"forebay/engine"
	"forebay/fault"
	"forebay/identity"
	"forebay/infer"
	"forebay/meter"
)

func TestACallAndItsRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, limits(identity.Limits{TokensPerMinute: 1000}), &fake{answer: after(2*time.Second, infer.Usage{Input: 9, Output: 5})})
		r.mustDo(r.request())
		row := r.book.last(t)
		if row.Outcome != meter.OutcomeOK || row.Input != 9 || row.Output != 5 || row.Held != 30 || row.Engine != "a" || row.Status != 200 {
			t.Errorf("%+v", row)
		}
		if row.Charge.Total() != 9*1000+5*2000 { // nano-dollars
			t.Errorf("charged %d", row.Charge.Total())
		}
		if row.Total != 2*time.Second || row.Queue != 0 || len(row.Attempts) != 1 {
			t.Errorf("took %s, queued %s, %d attempts", row.Total, row.Queue, len(row.Attempts))
		}
	})
}

func TestRetryElsewhereBeforeTheFirstByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad, good := &fake{answer: failing}, &fake{answer: after(time.Second, infer.Usage{Input: 10, Output: 1})}
		r := newRig(t, nil, bad, good)
		start := time.Now()
		r.mustDo(r.request())
		if took := time.Since(start); took != time.Second {
			t.Errorf("a first retry elsewhere waits: %s", took)
		}
		row := r.book.last(t)
		if len(row.Attempts) != 2 || row.Attempts[0].Engine != "a" || row.Attempts[0].Outcome != "unavailable" || row.Engine != "b" {
			t.Errorf("%+v", row.Attempts)
		}
		if bad.count() != 1 || good.count() != 1 {
			t.Errorf("%d and %d calls", bad.count(), good.count())
		}
	})
}

// An engine that shows nothing within its time limit has hung: another one is asked. A lone one is not asked again, and neither is anybody after a
// time limit on the whole call.
func TestAHungEngine(t *testing.T) {
	for _, x := range []struct {
		code   string
		others int
		asked  int
		served bool
	}{{engine.PhaseFirstToken, 1, 1, true}, {engine.PhaseConnect, 1, 1, true}, {"total", 1, 1, false}, {engine.PhaseFirstToken, 0, 1, false}} {
		synctest.Test(t, func(t *testing.T) {
			hangs := &fake{answer: func(context.Context, int, *infer.Request) (*infer.Response, error) {
				e := fault.New(fault.Timeout, "no answer")
				e.Code = x.code
				return nil, e
			}}
			fakes := []*fake{hangs}
			for range x.others {
				fakes = append(fakes, &fake{answer: after(time.Second, infer.Usage{Input: 10, Output: 1})})
			}
			r := newRig(t, nil, fakes...)
			_, err := r.do(t.Context(), r.request())
			if x.served && err != nil || !x.served && fault.KindOf(err) != fault.Timeout {
				t.Errorf("%s with %d others: %v", x.code, x.others, err)
			}
			if hangs.count() != x.asked {
				t.Errorf("%s: asked %d times", x.code, hangs.count())
			}
		})
	}
}

// A lone engine is asked again after a pause below 100 ms, doubled for each attempt, and at most three times.
// What an API bounds goes before what the model does, in each attempt.
func TestBoundsOfTheAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []infer.Timeouts
		f := &fake{}
		f.answer = func(ctx context.Context, n int, req *infer.Request) (*infer.Response, error) {
			if told = append(told, req.Timeouts); len(told) == 1 {
				return failing(ctx, n, req)
			}
			return after(time.Second, infer.Usage{Input: 10, Output: 1})(ctx, n, req)
		}
		r := newRig(t, func(r *rig) { r.top.Models[0].Timeouts = infer.Timeouts{FirstToken: time.Second, Total: time.Hour} }, f)
		req := r.request()
		req.Within.Total = time.Minute
		r.mustDo(req)
		for _, got := range told {
			if want := (infer.Timeouts{FirstToken: time.Second, Total: time.Minute}); got != want || len(told) != 2 {
				t.Errorf("%+v in %d attempts, want %+v", got, len(told), want)
			}
		}
	})
}

// An attempt that met the end of a kept connection is made again at once, and says nothing against the engine's health.
func TestAStaleConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		f.answer = func(ctx context.Context, n int, req *infer.Request) (*infer.Response, error) {
			if f.count() == 1 {
				e := fault.New(fault.Unavailable, "closed")
				e.Code = engine.StaleConnection
				return nil, e
			}
			return after(time.Second, infer.Usage{Input: 10, Output: 1})(ctx, n, req)
		}
		r := newRig(t, nil, f)
		start := time.Now()
		r.mustDo(r.request())
		row := r.book.last(t)
		if took := time.Since(start); took != time.Second || f.count() != 2 || len(row.Attempts) != 2 || row.Attempts[0].Outcome != "unavailable" || row.Engine != "a" {
			t.Errorf("%s, %d attempts: %+v", took, f.count(), row.Attempts)
		}
	})
}

func TestRetriesOfALoneEngineBackOffAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		f := &fake{answer: func(context.Context, int, *infer.Request) (*infer.Response, error) {
			at = append(at, time.Now())
			return nil, errDown
		}}
		r := newRig(t, nil, f)
		_, err := r.do(t.Context(), r.request())
		wantKind(t, err, fault.Unavailable)
		if len(at) != maxAttempts {
			t.Fatalf("%d attempts", len(at))
		}
		for i := range at[1:] {
			if pause, bound := at[i+1].Sub(at[i]), 100*time.Millisecond<<(i+1); pause < 0 || pause >= bound {
				t.Errorf("a pause of %s before attempt %d, the bound is %s", pause, i+2, bound)
			}
		}
		if row := r.book.last(t); row.Outcome != meter.OutcomeFailed || len(row.Attempts) != maxAttempts || row.Status != 503 {
			t.Errorf("%+v", row)
		}
	})
}

func TestNoRetryOfWhatTheEngineSaysIsTheCallersFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := fault.New(fault.ModelFailed, "max_tokens is too large")
		bad.OriginalStatus = 400
		f := &fake{answer: func(context.Context, int, *infer.Request) (*infer.Response, error) { return nil, bad }}
		r := newRig(t, nil, f, &fake{answer: failing})
		_, err := r.do(t.Context(), r.request())
		wantKind(t, err, fault.ModelFailed)
		if f.count() != 1 {
			t.Errorf("asked %d times", f.count())
		}
	})
}

// The retries of a pool are a fifth of its calls above the first ten, so that a broken engine is not flooded.
func TestRetryBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		overloaded := fault.New(fault.Overloaded, "busy") // which does not open the breaker
		f := &fake{answer: func(context.Context, int, *infer.Request) (*infer.Response, error) { return nil, overloaded }}
		r := newRig(t, nil, f)
		const calls = 100
		for range calls {
			_, err := r.do(t.Context(), r.request())
			wantKind(t, err, fault.Overloaded)
		}
		if retries := f.count() - calls; retries < 10 || retries > 10+calls/5 {
			t.Errorf("%d retries of %d calls", retries, calls)
		}
	})
}

// Behind the first byte nothing is retried; what was produced is settled and billed.
func TestABrokenStreamIsSettledInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, other := &fake{answer: streaming(20, 7)}, &fake{answer: streaming(20, 0)}
		r := newRig(t, limits(identity.Limits{TokensPerMinute: 100}), f, other)
		req := r.request()
		req.Stream = true
		n, err := r.do(t.Context(), req)
		wantKind(t, err, fault.StreamFailed)
		row := r.book.last(t)
		if n != 7 || row.Output != 7 || row.Input != 10 || !row.UsageGuess || row.Outcome != meter.OutcomeFailed || other.count() != 0 {
			t.Errorf("%d events, %+v", n, row)
		}
		// Held 30 seven seconds ago, charged 17, drained by 7 x 100/60.
		if b, _ := r.state.Bucket(r.world.Load().scopes[scopeRef{scopeKey, "acme", "key"}][0].bucket); b.Charged != 17 || b.Fill != 17-7*100/60-1 {
			t.Errorf("%+v", b)
		}
	})
}

func TestAClientThatLeavesWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: after(time.Minute, infer.Usage{Input: 10})}
		r := newRig(t, nil, f)
		go r.mustDo(r.request())
		synctest.Wait()
		ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errors.New("the client hung up"))
		defer cancel()
		start := time.Now()
		_, err := r.do(ctx, r.request())
		wantKind(t, err, fault.Canceled)
		if took := time.Since(start); took != 10*time.Second || f.count() != 1 {
			t.Errorf("waited %s, %d calls reached the engine", took, f.count())
		}
		if row := r.book.last(t); row.Outcome != meter.OutcomeCanceled || row.Charge.Total() != 0 || row.Status != 499 {
			t.Errorf("%+v", row)
		}
		time.Sleep(time.Hour)
	})
}

// A client that leaves while its call runs stops the engine at once, and pays for what came.
func TestAClientThatLeavesWhileItsCallRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, &fake{answer: streaming(100, 0)})
		ctx, cancel := context.WithCancel(t.Context())
		req := r.request()
		req.Stream = true
		resp, err := r.Infer(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			if _, err := resp.Next(); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		if _, err := resp.Next(); fault.KindOf(err) != fault.Canceled {
			t.Errorf("%v", err)
		}
		_ = resp.Close()
		if row := r.book.last(t); row.Outcome != meter.OutcomeCanceled || row.Output != 4 || len(r.book.all()) != 1 {
			t.Errorf("%+v", row)
		}
	})
}

// A client that leaves as its turn comes costs nothing: no engine has heard of its call. The row says how long it waited.
func TestAClientThatLeavesAsItsTurnComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: after(time.Second, infer.Usage{Input: 10, Output: 1})}
		r := newRig(t, limits(identity.Limits{TokensPerDay: 1000}), f)
		left, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := r.do(left, r.request())
		wantKind(t, err, fault.Canceled)

		c := r.take(r.request()) // one that sees that its client has left before it sees its admission
		if err := r.arrive(c); err != nil {
			t.Fatal(err)
		}
		c.abandon()
		_ = c.refused(t.Context(), canceled(context.Canceled))

		for _, row := range r.book.all() {
			if row.Outcome != meter.OutcomeCanceled || row.Input != 0 || len(row.Attempts) != 0 || row.Held == 0 || row.Queue != 0 {
				t.Errorf("%+v", row)
			}
		}
		if n := r.level(limitTPD); f.count() != 0 || n != 0 {
			t.Errorf("%d calls of the engine, %d tokens today", f.count(), n)
		}
	})
}

func TestAResponseClosedEarlyIsSettledOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, &fake{answer: streaming(100, 0)})
		req := r.request()
		req.Stream = true
		resp, err := r.Infer(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Close()
		_ = resp.Close()
		if rows := r.book.all(); len(rows) != 1 || rows[0].Outcome != meter.OutcomeCanceled {
			t.Errorf("%d rows", len(rows))
		}
	})
}

func TestAClientThatLeavesDuringTheBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := &fake{answer: func(context.Context, int, *infer.Request) (*infer.Response, error) {
			cancel()
			return nil, errDown
		}}
		r := newRig(t, nil, f)
		_, err := r.do(ctx, r.request())
		wantKind(t, err, fault.Canceled)
		if f.count() != 1 {
			t.Errorf("%d attempts", f.count())
		}
	})
}

// A flex call gives its slot to a call of a higher tier and runs again afterwards. It is billed once, for the run that
// gave the answer.
func TestAFlexCallIsRecalledAndBilledOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: after(10*time.Second, infer.Usage{Input: 10, Output: 20})}
		r := newRig(t, limits(identity.Limits{TokensPerMinute: 100_000}), f)
		flex := r.request()
		flex.Tier = infer.TierFlex
		done := make(chan struct{})
		start := time.Now()
		go func() {
			defer close(done)
			r.mustDo(flex)
		}()
		time.Sleep(5 * time.Second)
		r.mustDo(r.request())
		if took := time.Since(start); took != 15*time.Second {
			t.Errorf("the call of the higher tier was done after %s", took)
		}
		<-done
		if took := time.Since(start); took != 25*time.Second {
			t.Errorf("the flex call was done after %s", took)
		}
		row := r.book.last(t)
		if len(r.book.all()) != 2 || row.Output != 20 || row.Charge.Total() != (10*1000+20*2000)/2 || row.Tier != "flex" {
			t.Errorf("%+v", row)
		}
		if len(row.Attempts) != 2 || !row.Attempts[0].Recalled || row.Attempts[1].Recalled {
			t.Errorf("%+v", row.Attempts)
		}
		if h := r.Health(); h[0].Failures != 0 {
			t.Error("the recall counts against the engine")
		}
	})
}

// A call that is recalled twice is answered once, and what was lost with it both times is on the ledger as our cost, not the caller's.
func TestWhatIsLostWithRecalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: after(10*time.Second, infer.Usage{Input: 10, Output: 20})}
		in, out := int64(3e9), int64(4e9)
		r := newRig(t, func(r *rig) {
			r.top.Models[0].Bindings[0].Cost = meter.NewTariffs("up", &catalog.Price{Currency: "EUR", Input: &in, Output: &out, FlexPermille: 500})
		}, f)
		flex := r.request()
		flex.Tier = infer.TierFlex
		events := make(chan int, 1)
		go func() {
			n, err := r.do(t.Context(), flex)
			if err != nil {
				t.Error(err)
			}
			events <- n
		}()
		for range 2 {
			time.Sleep(5 * time.Second)
			r.mustDo(r.request())
		}
		if n := <-events; n != 1 {
			t.Errorf("%d answers", n)
		}
		row := r.book.last(t)
		if len(r.book.all()) != 3 || len(row.Attempts) != 3 || row.Charge.Total() != (10*1000+20*2000)/2 {
			t.Fatalf("%+v", row)
		}
		for i, a := range row.Attempts {
			recalled := i < 2
			if a.Recalled != recalled || a.Lost.Known != recalled || a.Lost.Total() != map[bool]int64{true: 10 * 1500}[recalled] || recalled && a.Lost.Currency() != "EUR" {
				t.Errorf("attempt %d: %+v", i+1, a)
			}
		}
		if f.count() != 5 {
			t.Errorf("the engine was asked %d times", f.count())
		}
	})
}

// A recall that comes as the answer does is too late: the answer is delivered, once, and the slot goes on with it.
func TestARecallAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		f.answer = func(ctx context.Context, n int, req *infer.Request) (*infer.Response, error) {
			if n > 1 {
				return after(time.Second, infer.Usage{Input: 10, Output: 1})(ctx, n, req)
			}
			<-ctx.Done() // the recall; the engine has just finished
			return infer.NewResponse(infer.Head{}, infer.OneResult(&infer.Result{Usage: infer.Usage{Input: 10, Output: 20}})), nil
		}
		r := newRig(t, nil, f)
		flex := r.request()
		flex.Tier = infer.TierFlex
		events := make(chan int, 1)
		go func() {
			n, err := r.do(t.Context(), flex)
			if err != nil {
				t.Error(err)
			}
			events <- n
		}()
		synctest.Wait()
		r.mustDo(r.request())
		if n := <-events; n != 1 || f.count() != 2 {
			t.Errorf("%d answers of %d calls of the engine", n, f.count())
		}
		for _, row := range r.book.all() {
			if len(row.Attempts) != 1 || row.Attempts[0].Recalled || row.Outcome != meter.OutcomeOK {
				t.Errorf("%+v", row)
			}
		}
	})
}

// A streamed call cannot be recalled: its bytes are on their way.
func TestAStreamIsNotRecalled(t *testing.T) {
	for _, tier := range []infer.Tier{infer.TierFlex, infer.TierBatch} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil, &fake{answer: streaming(10, 0)})
			low := r.request()
			low.Tier, low.Stream = tier, true
			go r.mustDo(low)
			time.Sleep(1500 * time.Millisecond)
			r.mustDo(r.request())
			for _, row := range r.book.all() {
				if row.Outcome != meter.OutcomeOK || len(row.Attempts) != 1 {
					t.Errorf("%+v", row)
				}
			}
		})
	}
}

// Recalls and failures at the same moment, many times over, leave no call behind: each ends once.
func TestRecallsMeetFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		f.answer = func(ctx context.Context, n int, req *infer.Request) (*infer.Response, error) {
			d := time.Duration(n%5) * 10 * time.Millisecond
			if n%3 == 0 {
				if err := pause(ctx, d); err != nil {
					return nil, err
				}
				return nil, fault.New(fault.Overloaded, "busy")
			}
			return after(d, infer.Usage{Input: 10, Output: 1})(ctx, n, req)
		}
		r := newRig(t, nil, f, f)
		done := make(chan struct{})
		const calls = 300
		for i := range calls {
			req := r.request()
			if i%2 == 0 {
				req.Tier = infer.TierFlex
			}
			go func() {
				_, _ = r.do(t.Context(), req)
				done <- struct{}{}
			}()
			if i%4 == 3 {
				time.Sleep(10 * time.Millisecond)
			}
		}
		for range calls {
			<-done
		}
		if n := len(r.book.all()); n != calls {
			t.Errorf("%d rows of %d calls", n, calls)
		}
	})
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, &fake{answer: after(time.Minute, infer.Usage{Input: 10})})
		go r.mustDo(r.request())
		synctest.Wait()
		req := r.request()
		req.Deadline = time.Now().Add(10 * time.Second)
		start := time.Now()
		_, err := r.do(t.Context(), req)
		wantKind(t, err, fault.Overloaded)
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("refused after %s", took)
		}
		time.Sleep(time.Hour)
	})
}

func TestTheLedgerDecidesWhetherCallsAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: streaming(3, 0)}
		r := newRig(t, nil, f)
		broken := fault.New(fault.Unavailable, "the ledger cannot be written")
		r.book.broken = broken
		req := r.request()
		req.Stream = true
		n, err := r.do(t.Context(), req)
		if n != 3 || !errors.Is(err, broken) { // all but the last event, which waits for the row
			t.Errorf("%d events, %v", n, err)
		}
		r.book.refuses = broken
		if _, err := r.do(t.Context(), r.request()); !errors.Is(err, broken) || f.count() != 1 {
			t.Errorf("%v, %d calls reached the engine", err, f.count())
		}
		r.book.broken, r.book.refuses = nil, nil
		r.mustDo(r.request())
	})
}

func TestUnknownModelsAndRefusedCallsHaveRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, &fake{answer: failing})
		req := r.request()
		req.Model = "other"
		_, err := r.do(t.Context(), req)
		wantKind(t, err, fault.UnknownModel)
		r.Refuse(t.Context(), r.request(), fault.New(fault.Denied, "no"), 403)
		rows := r.book.all()
		if len(rows) != 2 || rows[0].Status != 400 || rows[1].Status != 403 || rows[1].Outcome != meter.OutcomeRefused {
			t.Errorf("%+v", rows)
		}
	})
}

// An engine that does not count is not free: what it was sent and has written is estimated, and marked so.
func TestAnAnswerWithoutUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := &infer.Result{Usage: infer.Usage{Estimated: true}, Choices: []infer.Choice{{Content: []infer.Block{{Text: "forty bytes of text are about ten tokens"}}}}}
		r := newRig(t, nil, &fake{answer: func(context.Context, int, *infer.Request) (*infer.Response, error) {
			return infer.NewResponse(infer.Head{}, infer.OneResult(answer)), nil
		}})
		r.mustDo(r.request())
		row := r.book.last(t)
		if row.Input != row.Estimate || row.Output != 10 || !row.UsageGuess || row.Charge.Total() != row.Input*1000+row.Output*2000 {
			t.Errorf("%d in of %d, %d out, guess %v, charge %d", row.Input, row.Estimate, row.Output, row.UsageGuess, row.Charge.Total())
		}
	})
}

// gone wrong.
func TestAWaitingCallOutlivesTheConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, &fake{answer: after(time.Minute, infer.Usage{Input: 1, Output: 1})})
		ctx, cancel := context.WithCancel(t.Context())
		begin := func() chan error {
			done := make(chan error, 1)
			go func() {
				_, err := r.do(ctx, r.request())
				done <- err
			}()
			synctest.Wait()
			return done
		}
		running, waiting := begin(), begin()
		anew := &call{d: r.Dispatcher, req: r.request()}
		wantKind(t, anew.overtaken(), fault.Unavailable)
		without := r.top
		without.Models = nil
		if err := r.Configure(without); err != nil {
			t.Fatal(err)
		}
		wantKind(t, <-waiting, fault.UnknownModel)
		cancel()
		wantKind(t, <-running, fault.Canceled)
	})
}
