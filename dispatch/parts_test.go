package dispatch

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"forebay/fault"
	"forebay/identity"
	"forebay/infer"

	"github.com/go-json-experiment/json"
)

// divided is a purchase of 120 input tokens a minute, of which search has 60 and lab 30.
func divided(r *rig) {
	r.top.Reservations = []Reservation{{
		ID: purchase, Name: "bought", Model: modelID, Input: 120, Slots: 4, Account: "acme",
		Parts: []Part{{Team: "search", Input: 60, Slots: 2}, {Team: "lab", Input: 30, Slots: 1}},
	}}
}

// ofTeam is a call on the purchase by a key of a team.
func (r *rig) ofTeam(team string) *infer.Request {
	req := r.reservedRequest()
	req.Caller.Team = team
	return req
}

// A team borrows what the others leave, and the others have their parts all the same: they are refused only beyond them, while the
// purchase is used up. A key of no team has what no team uses.
func TestTeamsHaveTheirParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, divided, &fake{answer: after(0, infer.Usage{Input: 50, Output: 1})})
		for range 3 {
			r.mustDo(r.ofTeam("search")) // 150 of its 60, and of the purchase's 120
		}
		_, err := r.do(t.Context(), r.ofTeam("search"))
		throttled(t, err, 15*time.Second) // until the purchase is at 120 again: that is sooner than its own 60
		if reason := fault.From(err).Reason; !strings.Contains(reason, "120 input tokens/min of the purchase") {
			t.Error(reason)
		}
		_, err = r.do(t.Context(), r.ofTeam(""))
		throttled(t, err, 15*time.Second)
		r.mustDo(r.ofTeam("lab")) // 0 of its 30, though the purchase is used up
		_, err = r.do(t.Context(), r.ofTeam("lab"))
		throttled(t, err, 40*time.Second) // 20 above its 30; the purchase, at 200, is at 120 at the same time
		var x explanation
		if err := json.Unmarshal(r.book.last(t).Explanation, &x); err != nil || !strings.Contains(x.Refused, "input tokens/min") {
			t.Errorf("%+v %v", x, err)
		}
		st, _ := r.Reserved(purchase)
		if len(st.Parts) != 2 || st.Parts[0].Team != "lab" || st.Parts[0].Input != (Level{50, 30, 30}) || st.Parts[1].Input != (Level{150, 60, 60}) || st.Input != (Level{200, 120, 120}) {
			t.Errorf("%+v", st)
		}
		if st.Parts[0].Slots != 1 || st.Parts[1].Slots != 2 || st.Slots != 4 {
			t.Errorf("%+v", st)
		}
	})
}

// A team of another account has no part, whatever its name.
func TestPartsAreOfTheAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig) {
			divided(r)
			r.top.Accounts = append(r.top.Accounts, Account{ID: "other", Zone: time.UTC, Limits: identity.Limits{}})
		}, &fake{answer: after(0, infer.Usage{Input: 50, Output: 1})})
		req := r.ofTeam("search")
		req.Caller.Account = "other"
		r.mustDo(req)
		if st, _ := r.Reserved(purchase); st.Input.Fill != 50 || st.Parts[1].Input.Fill != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// A division changes while calls are under way: a part that stays keeps its level, one that is new is empty, and the purchase is as
// full as it was, but for the calls that wait for a part that has ended: they are told, and give back what they took. Undone and made again, it begins anew.
func TestDivisionsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, divided, &fake{answer: after(time.Second, infer.Usage{Input: 50, Output: 1})})
		configure := func(parts ...Part) ReservationStatus {
			t.Helper()
			r.top.Reservations = []Reservation{r.top.Reservations[0]}
			r.top.Reservations[0].Parts = parts
			if err := r.Configure(r.top); err != nil {
				t.Fatal(err)
			}
			st, _ := r.Reserved(purchase)
			return st
		}
		first, second := r.ofTeam("search"), r.ofTeam("lab")
		done := make(chan error, 2)
		for _, req := range []*infer.Request{first, second} { // one slot: the second waits
			go func() { _, err := r.do(context.Background(), req); done <- err }()
			synctest.Wait()
		}
		st := configure(Part{Team: "search", Input: 90}, Part{Team: "new", Input: 30})
		if len(st.Parts) != 2 || st.Parts[1].Input != (Level{10, 90, 90}) || st.Parts[0].Input != (Level{0, 30, 30}) || st.Input.Fill != 10 {
			t.Errorf("%+v", st)
		}
		wantKind(t, <-done, fault.Unavailable)
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.mustDo(r.ofTeam("lab")) // has no part any more, and uses what is undivided
		if st = configure(); len(st.Parts) != 0 {
			t.Errorf("%+v", st)
		}
		r.mustDo(r.ofTeam("search"))
		if st = configure(Part{Team: "search", Input: 60}); st.Parts[0].Input.Fill != 0 || st.Input.Fill == 0 {
			t.Errorf("%+v", st)
		}
	})
}

// After a restart parts are as full as the ledger says.
func TestPartsAreRebuilt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, divided, &fake{answer: after(0, infer.Usage{Input: 50, Output: 1})})
		if err := r.Rebuild(t.Context(), past{
			{Account: "acme", Team: "search", Key: "key", Model: modelID, Reservation: purchase, At: time.Now(), Requests: 1, Input: 80},
			{Account: "acme", Key: "key", Model: modelID, Reservation: purchase, At: time.Now(), Requests: 1, Input: 20},
			{Account: "acme", Team: "search", Key: "key", Model: modelID, Reservation: "gone", At: time.Now(), Requests: 1, Input: 20},
		}); err != nil {
			t.Fatal(err)
		}
		if st, _ := r.Reserved(purchase); st.Input.Fill != 100 || st.Parts[1].Input.Fill != 80 || st.Parts[0].Input.Fill != 0 {
			t.Errorf("%+v", st)
		}
	})
}
