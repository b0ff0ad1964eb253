package dispatch

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"forebay/fault"
	"forebay/identity"
	"forebay/infer"

	"github.com/go-json-experiment/json"
)

// A hundred callers on one bucket of 600 requests a minute, each of whom waits as long as it is told: in one minute exactly
// 600 + 600 get through, whatever their order.
func TestAHundredCallersOnOneBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: after(0, infer.Usage{Input: 10, Output: 1})}
		r := newRig(t, limits(identity.Limits{RequestsPerMinute: 60}), f)
		r.top.Models[0].Bindings[0].Slots = 1000
		if err := r.Configure(r.top); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second-time.Nanosecond)
		defer cancel()
		var wg sync.WaitGroup
		var mu sync.Mutex
		passed := 0
		for range 100 {
			wg.Go(func() {
				for ctx.Err() == nil {
					mu.Lock()
					req := r.request()
					mu.Unlock()
					_, err := r.do(t.Context(), req)
					var e *fault.Error
					switch {
					case err == nil:
						mu.Lock()
						passed++
						mu.Unlock()
					case errors.As(err, &e) && e.Kind == fault.Throttled && e.RetryAfter > 0 && !e.RetryEstimated:
						_ = pause(ctx, e.RetryAfter)
					default:
						t.Errorf("%v", err)
						return
					}
				}
			})
		}
		wg.Wait()
		if passed != 60+20-1 { // the depth, and what drained; the last nanosecond is missing
			t.Errorf("%d calls passed", passed)
		}
	})
}

func TestRefusalsExplainThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, limits(identity.Limits{TokensPerMinute: 60, RequestsPerMinute: 100}), &fake{answer: after(0, infer.Usage{Input: 10, Output: 20})})
		r.mustDo(r.request())
		r.mustDo(r.request())
		_, err := r.do(t.Context(), r.request())
		var e *fault.Error
		if !errors.As(err, &e) || e.Kind != fault.Throttled || e.Code != "tokens" || e.RetryAfter != 30*time.Second || e.RetryEstimated {
			t.Fatalf("%+v", e)
		}
		var x explanation
		if err := json.Unmarshal(r.book.last(t).Explanation, &x); err != nil || x.Refused != "key key tokens/min" || x.RetryMs != 30_000 || len(x.Limits) != 2 {
			t.Errorf("%+v, %v", x, err)
		}
		req := r.request()
		req.Facts.MaxTokens = 99 // more than the bucket's depth
		_, err = r.do(t.Context(), req)
		wantKind(t, err, fault.Invalid)
	})
}

// Parallel calls cannot spend more than the budget together: each holds the most that it can cost.
func TestBudgetsAreHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// A call can cost at most 10 x 1000 + 20 x 2000 = 50,000 nano-dollars.
		r := newRig(t, limits(identity.Limits{SpendPerDay: 120_000, Currency: "USD"}), &fake{answer: after(time.Second, infer.Usage{Input: 10, Output: 5})})
		r.top.Models[0].Bindings[0].Slots = 10
		if err := r.Configure(r.top); err != nil {
			t.Fatal(err)
		}
		go r.mustDo(r.request())
		go r.mustDo(r.request())
		synctest.Wait()
		_, err := r.do(t.Context(), r.request())
		wantKind(t, err, fault.BudgetExceeded)
		time.Sleep(time.Second)
		synctest.Wait() // each cost 20,000 in the end
		for range 2 {
			r.mustDo(r.request())
		}
		_, err = r.do(t.Context(), r.request()) // 80,000 spent
		wantKind(t, err, fault.BudgetExceeded)
	})
}

func TestABudgetInAnotherCurrencyThanThePrice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: failing}
		r := newRig(t, limits(identity.Limits{SpendPerDay: 1e12, Currency: "EUR"}), f)
		_, err := r.do(t.Context(), r.request())
		wantKind(t, err, fault.BudgetExceeded)
		if f.count() != 0 {
			t.Error("it reached the engine")
		}
	})
}

func TestQueueBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.top.Models[0].MaxQueue, r.top.Models[0].MaxWait = 9, 30*time.Second }, &fake{answer: after(time.Minute, infer.Usage{Input: 10})})
		var wg sync.WaitGroup
		kinds := make(chan fault.Kind, 20)
		for range 12 {
			req := r.request()
			wg.Go(func() {
				_, err := r.do(t.Context(), req)
				if err != nil {
					kinds <- fault.KindOf(err)
				}
			})
			synctest.Wait()
		}
		if n := len(kinds); n != 3 { // one runs, 8 of 9 places are for one account
			t.Errorf("%d calls were refused at once", n)
		}
		wg.Wait()
		close(kinds)
		n := 0
		for k := range kinds {
			if n++; k != fault.Overloaded {
				t.Errorf("refused as %s", k)
			}
		}
		if n != 11 { // those that waited were refused after 30 seconds
			t.Errorf("%d calls were refused", n)
		}
	})
}

// Ceilings hold calls in flight, those that wait included, of a key, a team, an account, and an account's calls of a model; calls that end,
// by whatever way, make room. What the ledger has of the past is not in flight.
func TestConcurrentCallsAreBounded(t *testing.T) {
	two := identity.Limits{ConcurrentCalls: 2}
	for name, set := range map[string]func(*rig){
		"key key":      limits(two),
		"team search":  func(r *rig) { r.top.Teams = []Scope{{ID: "search", Account: "acme", Limits: two}} },
		"account acme": func(r *rig) { r.top.Accounts[0].Limits = two },
		"model m":      func(r *rig) { r.top.Accounts[0].Models = map[string]identity.Limits{modelID: two} },
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, set, &fake{answer: after(time.Second, infer.Usage{Input: 10, Output: 1})}) // one slot: the second waits
			if err := r.Rebuild(t.Context(), past{{Account: "acme", Key: "key", Team: "search", Model: modelID, At: time.Now(), Requests: 9, Input: 1000}}); err != nil {
				t.Fatal(err)
			}
			next := func() *infer.Request {
				req := r.request()
				req.Caller.Team = "search"
				return req
			}
			ctx, leave := context.WithCancel(t.Context())
			gone, done := make(chan error, 1), make(chan error, 1)
			first, second := next(), next()
			go func() { _, err := r.do(ctx, first); gone <- err }()
			go func() { _, err := r.do(t.Context(), second); done <- err }()
			synctest.Wait()
			_, err := r.do(t.Context(), next())
			var e *fault.Error
			if !errors.As(err, &e) || e.Kind != fault.Throttled || e.Code != "requests" || e.Reason != "the limit of 2 concurrent calls of "+name+" is used up" {
				t.Fatalf("%s: %+v", name, e)
			}
			var x explanation
			if err := json.Unmarshal(r.book.last(t).Explanation, &x); err != nil || x.Refused != name+" concurrent calls" {
				t.Errorf("%s: %+v, %v", name, x, err)
			}
			leave()
			wantKind(t, <-gone, fault.Canceled)
			synctest.Wait()
			r.mustDo(next()) // behind the second
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// Ceilings hold for calls on a purchase, too, whose tokens no quota counts.
func TestConcurrentCallsAreBoundedOnPurchases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ceiling := limits(identity.Limits{ConcurrentCalls: 1, TokensPerMinute: 1})
		r := newRig(t, func(r *rig) { ceiling(r); bought(1000)(r) }, &fake{answer: after(time.Second, infer.Usage{Input: 10, Output: 1})})
		first := r.reservedRequest()
		done := make(chan error, 1)
		go func() { _, err := r.do(t.Context(), first); done <- err }()
		synctest.Wait()
		_, err := r.do(t.Context(), r.reservedRequest())
		wantKind(t, err, fault.Throttled)
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.mustDo(r.reservedRequest())
	})
}
