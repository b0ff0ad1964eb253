package sim

import (
	"container/heap"
	"math"

	"forebay/capacity"
	"forebay/perf"
)

const never = Instant(math.MaxInt64)

// replica is an engine and when it has something to do.
type replica struct {
	id     capacity.ReplicaID
	engine *perf.Engine
	at     Instant
	place  int // in World.due
}

func engineTime(at Instant) perf.Instant { return perf.Instant(at) }

// advance lets an engine work up to now.
func (w *World) advance(r *replica) {
	w.catchUp(r)
	w.plan(r)
}

// catchUp carries out the engine's steps up to now, and notes what they did.
func (w *World) catchUp(r *replica) {
	w.progress = r.engine.Step(engineTime(w.now), w.progress[:0])
	for _, p := range w.progress {
		if f := w.calls[capacity.CallID(p.ID)]; f != nil && !p.Preempted {
			w.note(f, p)
		}
	}
}

// note takes down what an engine did for a call and tells the scheduler when it is time.
func (w *World) note(f *flight, p perf.Progress) {
	f.produced = p.Tokens
	at := Instant(p.At)
	if p.First {
		f.outcome.First = at
	}
	switch {
	case p.Done:
		f.on = nil
		f.outcome.Produced = f.produced
		w.todo = append(w.todo, w.settlement(f))
	default:
		w.todo = append(w.todo, capacity.Event{
			Kind: capacity.EventProgress, Call: f.outcome.Call.Arrive.Call, Input: f.outcome.Call.Input, Output: f.produced,
		})
	}
}

// plan notes when the engine has to be looked at next: when something changes in it, or when its progress is to be told.
func (w *World) plan(r *replica) {
	r.at = never
	if at, busy := r.engine.NextChange(); busy {
		r.at = min(Instant(at), max(w.now+Instant(w.opt.ReportEvery), w.nextStep(r)))
	}
	heap.Fix(&w.due, r.place)
}

// nextStep is when the engine's present step ends: nothing is to be told before.
func (w *World) nextStep(r *replica) Instant {
	at, _ := r.engine.NextWake()
	return Instant(at)
}

// due is a heap of replicas.
type due []*replica

func (d due) Len() int           { return len(d) }
func (d due) Less(i, j int) bool { return d[i].at < d[j].at || d[i].at == d[j].at && d[i].id < d[j].id }

func (d due) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].place, d[j].place = i, j
}

func (d *due) Push(x any) {
	r := x.(*replica)
	r.place = len(*d)
	*d = append(*d, r)
}
func (d *due) Pop() any { panic("sim: a replica does not leave") }

// item is something that happens at an instant: a call arrives, or the scheduler is told something.
type item struct {
	at    Instant
	order uint64
	call  *Call
	event *capacity.Event
}

// Before orders items by time, and those of one instant as they were put in.
func (i *item) Before(j *item) bool { return i.at < j.at || i.at == j.at && i.order < j.order }
