package dispatch

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"forebay/infer"
)

// isolated gives the purchase one replica of engine b.
func isolated(r *rig) {
	r.top.Reservations = []Reservation{{ID: purchase, Name: "bought", Model: modelID, Input: 1000, Replicas: map[string]int64{"b": 1}}}
}

// Calls under quota keep off the replica of a purchase, though it idles, and its calls run there while theirs wait.
func TestIsolatedReplicasServeTheirPurchaseAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &fake{answer: after(time.Second, infer.Usage{Input: 10, Output: 1})}
		b := &fake{answer: after(time.Second, infer.Usage{Input: 10, Output: 1})}
		r := newRig(t, isolated, a, b)
		began, done := time.Now(), make(chan time.Duration, 3)
		call := func(req *infer.Request) {
			if _, err := r.do(context.Background(), req); err != nil {
				t.Error(err)
			}
			done <- time.Since(began)
		}
		first, second, own := r.request(), r.request(), r.reservedRequest()
		go call(first)
		go call(second)
		synctest.Wait()
		if a.count() != 1 || b.count() != 0 {
			t.Errorf("%d calls on the shared replica, %d on the purchase's", a.count(), b.count())
		}
		go call(own)
		synctest.Wait()
		if st, _ := r.Reserved(purchase); st.Own != 1 || st.Running != 1 || b.count() != 1 {
			t.Errorf("%+v", st)
		}
		for range 2 {
			if took := <-done; took != time.Second {
				t.Error(took)
			}
		}
		if took := <-done; took != 2*time.Second || b.count() != 1 {
			t.Errorf("%s, %d calls on the purchase's replica", took, b.count())
		}
	})
}

// A call that can be recalled borrows the replica of a purchase, and goes when a call of the purchase comes; it is done afterwards.
func TestIsolatedReplicasAreLentAndRecalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &fake{answer: after(time.Minute, infer.Usage{Input: 10, Output: 1})}
		own := &fake{answer: after(time.Second, infer.Usage{Input: 10, Output: 1})}
		r := newRig(t, isolated, slow, own)
		ended := make(chan struct{}, 2)
		call := func(req *infer.Request) {
			if _, err := r.do(context.Background(), req); err != nil {
				t.Error(err)
			}
			ended <- struct{}{}
		}
		busy, flex := r.request(), r.request()
		flex.Tier = infer.TierFlex
		go call(busy)
		synctest.Wait()
		go call(flex)
		synctest.Wait()
		if own.count() != 1 {
			t.Fatal("an idle replica was not lent")
		}
		began := time.Now()
		r.mustDo(r.reservedRequest())
		if took := time.Since(began); took != time.Second {
			t.Errorf("the purchase's call took %s", took)
		}
		<-ended
		<-ended
	})
}

// Purchases keep their replicas over changes, lanes that name engines do not get them, and what ends gives them back.
func TestIsolatedReplicasStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quick := func() *fake { return &fake{answer: after(0, infer.Usage{Input: 10, Output: 1})} }
		engines := []*fake{quick(), quick(), quick()}
		r := newRig(t, func(r *rig) {
			for i := range r.top.Models[0].Bindings {
				r.top.Models[0].Bindings[i].Declared = "pods"
			}
			one := map[string]int64{"pods": 1}
			r.top.Reservations = []Reservation{
				{ID: "first", Model: modelID, Replicas: one}, {ID: "second", Model: modelID, Replicas: one}, {ID: "none", Model: modelID},
			}
		}, engines...)
		holders := func() string {
			var out strings.Builder
			for _, x := range r.world.Load().models[modelID].replicas {
				fmt.Fprintf(&out, "%s=%s ", x.name, x.purchase)
			}
			return out.String()
		}
		if got := holders(); got != "a=first b=second c= " {
			t.Error(got)
		}
		r.top.Reservations = r.top.Reservations[1:]
		r.top.Reservations = append(r.top.Reservations, Reservation{ID: "third", Model: modelID, Replicas: map[string]int64{"pods": 5}})
		if err := r.Configure(r.top); err != nil {
			t.Fatal(err)
		}
		if got := holders(); got != "a=third b=second c=third " {
			t.Error(got)
		}
		if st, _ := r.Reserved("third"); st.Own != 2 {
			t.Errorf("%+v", st)
		}
		r.top.Reservations = nil
		if err := r.Configure(r.top); err != nil {
			t.Fatal(err)
		}
		if got := holders(); got != "a= b= c= " {
			t.Error(got)
		}
		r.mustDo(r.request())
	})
}
