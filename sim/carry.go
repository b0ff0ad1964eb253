package sim

import "forebay/capacity"

// carryOut does what the scheduler has decided. It must not call the scheduler.
func (w *World) carryOut(a *capacity.Action) {
	f := w.calls[a.Call]
	if f == nil {
		return // of no call, such as a wish for replicas
	}
	switch {
	case a.Kind == capacity.ActionAdmit:
		w.admit(f, a)
	case a.Kind == capacity.ActionSpill:
		f.outcome.Spilled++
	case a.Kind == capacity.ActionPreempt:
		w.stop(f, a)
	case a.Kind.Terminal():
		delete(w.calls, a.Call)
		f.outcome.Last, f.outcome.Ended = *a, w.now
		if w.opt.Done != nil {
			w.opt.Done(&f.outcome)
		}
		w.ended = append(w.ended, f)
	}
}

// admit gives the call to an engine. One that cannot hold it at all fails it.
func (w *World) admit(f *flight, a *capacity.Action) {
	o := &f.outcome
	o.Admission = *a
	o.Attempts++
	if o.Admitted == 0 {
		o.Admitted = w.now
	}
	r := w.replicas[a.Replica]
	if r == nil {
		w.todo = append(w.todo, capacity.Event{Kind: capacity.EventRetry, Call: a.Call, Replica: a.Replica})
		return
	}
	w.catchUp(r)
	if !r.engine.Add(engineTime(w.now), uint64(a.Call), o.Call.Input, o.Call.Output) {
		w.todo = append(w.todo, capacity.Event{Kind: capacity.EventRetry, Call: a.Call, Replica: a.Replica})
		return
	}
	f.on, f.recalled, f.produced = r, false, 0
	w.plan(r)
}

// stop takes a running call off its engine. One that is recalled is free again after the latency of a cancellation; one whose
// client has left pays for what was produced, which is nothing of an attempt that was recalled before.
func (w *World) stop(f *flight, a *capacity.Action) {
	r := f.on
	if r == nil {
		if f.recalled {
			w.scheduleStopped(w.settlement(f))
		}
		return
	}
	w.catchUp(r)
	made, ok := r.engine.Made(uint64(a.Call))
	if !ok {
		return // it has just ended
	}
	f.produced = made
	r.engine.Remove(uint64(a.Call))
	w.plan(r)
	f.on = nil
	ev := capacity.Event{Kind: capacity.EventFreed, Call: a.Call}
	if a.Reason == capacity.ReasonRecall {
		f.outcome.Lost += f.produced
		f.outcome.First = 0
		f.recalled, f.produced = true, 0
	} else {
		f.outcome.Produced = f.produced
		ev = w.settlement(f)
	}
	w.scheduleStopped(ev)
}

// scheduleStopped tells the scheduler something when an engine that is stopped now has let go.
func (w *World) scheduleStopped(ev capacity.Event) {
	w.schedule(item{at: w.now + Instant(w.opt.CancelLatency), event: &ev})
}

// settlement is the event that ends the call's account.
func (w *World) settlement(f *flight) capacity.Event {
	c := f.outcome.Call
	return capacity.Event{
		Kind: capacity.EventSettle, Call: c.Arrive.Call, Input: c.Input, Output: f.produced,
		Money: c.Arrive.Lanes[f.outcome.Admission.Lane].Money,
	}
}
