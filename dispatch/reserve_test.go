package dispatch

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"forebay/fault"
	"forebay/identity"
	"forebay/infer"
	"forebay/meter"
)

const purchase = "arn:bought"

// bought adds a purchase of so many input tokens a minute.
func bought(input int64) func(*rig) {
	return func(r *rig) {
		r.top.Reservations = []Reservation{{ID: purchase, Name: "bought", Model: modelID, Input: input, Slots: 1}}
	}
}

// reservedRequest is a call of 10 input tokens on the purchase.
func (r *rig) reservedRequest() *infer.Request {
	req := r.request()
	req.Reservation = purchase
	return req
}

// throttled checks a refusal that says exactly how long to wait.
func throttled(t *testing.T, err error, wait time.Duration) {
	t.Helper()
	var e *fault.Error
	if !errors.As(err, &e) || e.Kind != fault.Throttled || e.RetryEstimated || e.RetryAfter != wait {
		t.Fatalf("%+v, want to be throttled for %s", err, wait)
	}
}

// A purchase is charged as it is used, and its calls touch neither quotas of tokens nor budgets; calls on demand do not touch it.
func TestPurchasesAreApartFromQuotas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quota := limits(identity.Limits{TokensPerMinute: 40, SpendPerDay: 1, Currency: "EUR"})
		r := newRig(t, func(r *rig) { quota(r); bought(60)(r) }, &fake{answer: after(0, infer.Usage{Input: 70, Output: 20})})
		r.mustDo(r.reservedRequest()) // takes 70 of 60
		_, err := r.do(t.Context(), r.reservedRequest())
		throttled(t, err, 10*time.Second)
		if reason := fault.From(err).Reason; !strings.Contains(reason, "60 input tokens/min of the purchase") {
			t.Error(reason)
		}
		time.Sleep(10 * time.Second)
		r.mustDo(r.reservedRequest())
		for i, row := range r.book.all() {
			if row.Mode != meter.ModeProvisioned || row.Reservation != purchase || i != 1 && (!row.Charge.Known || row.Charge.Total() != 0) {
				t.Errorf("%d: %+v", i, row)
			}
		}
		if st, ok := r.Reserved(purchase); !ok || st.Input.Rate != 60 || st.Input.Fill < 60 || st.Slots != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// A key's limit of requests holds for calls on a purchase, too.
func TestLimitsOfRequestsHoldOnPurchases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quota := limits(identity.Limits{RequestsPerMinute: 1})
		r := newRig(t, func(r *rig) { quota(r); bought(1000)(r) }, &fake{answer: after(0, infer.Usage{Input: 10, Output: 20})})
		r.mustDo(r.reservedRequest())
		_, err := r.do(t.Context(), r.reservedRequest())
		throttled(t, err, time.Minute)
	})
}

// What was used of a purchase counts on when another model is put in its place, and is forgotten when it ends; calls on their way to
// it are told.
func TestPurchasesChangeAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bought(60), &fake{answer: after(0, infer.Usage{Input: 70, Output: 20})})
		r.mustDo(r.reservedRequest())
		entry := model()
		entry.ID = "other"
		other := r.top.Models[0]
		other.ID, other.Entry = "other", entry
		r.top.Models = append(r.top.Models, other)
		r.top.Reservations[0].Model = "other"
		configure := func() {
			t.Helper()
			if err := r.Configure(r.top); err != nil {
				t.Fatal(err)
			}
		}
		configure()
		_, err := r.do(t.Context(), r.reservedRequest())
		wantKind(t, err, fault.Unavailable) // it has looked up the model that was there before
		onOther := func() *infer.Request {
			req := r.reservedRequest()
			req.Model = "other"
			return req
		}
		_, err = r.do(t.Context(), onOther())
		throttled(t, err, 10*time.Second)
		again := r.top.Reservations
		r.top.Reservations = nil
		configure()
		_, err = r.do(t.Context(), onOther())
		wantKind(t, err, fault.Unavailable)
		if _, ok := r.Reserved(purchase); ok {
			t.Error("what has ended has a level")
		}
		r.top.Reservations = again
		configure()
		r.mustDo(onOther())
	})
}

// After a restart a purchase is as full as the ledger says, and what was bought of a model that is not served does no harm.
func TestPurchasesAreRebuilt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) {
			bought(60)(r)
			r.top.Reservations = append(r.top.Reservations, Reservation{ID: "lost", Model: "nowhere", Input: 1})
		}, &fake{answer: after(0, infer.Usage{Input: 70, Output: 20})})
		charges := past{
			{Account: "acme", Key: "key", Model: modelID, Reservation: purchase, At: time.Now().Add(-time.Second), Requests: 1, Input: 80, Output: 5},
			{Account: "acme", Key: "key", Model: modelID, At: time.Now().Add(-time.Second), Requests: 1, Input: 1000},
		}
		if err := r.Rebuild(t.Context(), charges); err != nil {
			t.Fatal(err)
		}
		_, err := r.do(t.Context(), r.reservedRequest())
		throttled(t, err, 19*time.Second)
	})
}
