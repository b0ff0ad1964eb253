package arrival

import (
	"iter"
	"math/rand/v2"
	"time"

	"forebay/internal/minheap"
)

// Curve is a rate that is the same over each of equal steps.
type Curve struct {
	Step  time.Duration
	Steps int
	// Rate returns the arrivals a second in a step from 0 on, never less than 0.
	Rate func(step int) float64
}

// Timed is arrivals at a rate that changes: a process in its own time, which passes as fast as the rate says. As many arrivals as the rate says are
// expected in each step, whatever the process is.
type Timed struct {
	Curve Curve
	// Process returns the process in a step.
	Process func(step int) Process
}

// All yields the instants of the arrivals, in order.
func (p Timed) All(random *rand.Rand) iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		a := p.start(random)
		for a.advance(random) {
			if !yield(a.at()) {
				return
			}
		}
	}
}

// arrival is where a process stands.
type arrival struct {
	p    *Timed
	step int
	in   float64 // seconds of the step that have passed
	rate float64 // of the step
	next float64 // of the process's own time, until the next arrival
	any  bool
}

// start stands before the first arrival.
func (p *Timed) start(random *rand.Rand) arrival {
	a := arrival{p: p}
	for a.step < p.Curve.Steps { // the process is that of where something comes
		if a.rate = p.Curve.Rate(a.step); a.rate > 0 {
			a.next = p.Process(a.step).First(random)
			break
		}
		a.step++
	}
	return a
}

// advance goes to the next arrival; false where there is none.
func (a *arrival) advance(random *rand.Rand) bool {
	if a.any {
		a.next = a.p.Process(a.step).Next(random)
	}
	a.any = true
	length := a.p.Curve.Step.Seconds()
	for a.step < a.p.Curve.Steps {
		left := (length - a.in) * a.rate
		if a.next < left {
			a.in += a.next / a.rate
			return true
		}
		a.next -= left
		a.step++
		a.in = 0
		if a.step < a.p.Curve.Steps {
			a.rate = a.p.Curve.Rate(a.step)
		}
	}
	return false
}

// at is the instant of the arrival.
func (a *arrival) at() time.Duration {
	return time.Duration(a.step)*a.p.Curve.Step + time.Duration(a.in*float64(time.Second))
}

// pending is the next arrival of one of several processes.
type pending struct {
	at time.Duration
	of int
}

// Before orders arrivals by time, and those of one instant by their process.
func (p *pending) Before(o *pending) bool { return p.at < o.at || p.at == o.at && p.of < o.of }

// Merge yields the arrivals of several processes in order of time, each with the number of its process. Every process has a generator of its
// own, of the seed and its number, so that none changes what another does.
func Merge(processes []Timed, seed uint64) iter.Seq2[int, time.Duration] {
	return func(yield func(int, time.Duration) bool) {
		states, randoms := make([]arrival, len(processes)), make([]*rand.Rand, len(processes))
		var heap minheap.Heap[pending, *pending]
		for i := range processes {
			randoms[i] = Random(seed, i)
			states[i] = processes[i].start(randoms[i])
			if states[i].advance(randoms[i]) {
				heap.Push(pending{states[i].at(), i})
			}
		}
		for len(heap) > 0 {
			next := heap.Pop()
			if !yield(next.of, next.at) {
				return
			}
			if s := &states[next.of]; s.advance(randoms[next.of]) {
				heap.Push(pending{s.at(), next.of})
			}
		}
	}
}

// Random is the generator of a process of a seed.
func Random(seed uint64, process int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(process)+1)) //nolint:gosec // traffic
}
