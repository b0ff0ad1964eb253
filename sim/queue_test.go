package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"forebay/internal/testenv"
	"forebay/perf"

	"pgregory.net/rapid"
)

// plain is an engine that serves one call at a time, for a microsecond and one more for each token of its prompt: with it, the world is a queue in
// front of as many servers as there are engines, and the scheduler in it is the one of service.
var plain = perf.Profile{Name: "plain", Step: 1_000_000, PrefillToken: 1_000_000, MaxBatch: 1, Chunk: 1 << 31, KV: 1 << 40, Recompute: 1000}

// mean is the mean service time.
const mean = Instant(time.Second)

// system is a queue: calls that come independently of each other, and are served by the first server that is free, in the order of their arrival.
type system struct {
	name    string
	servers int
	load    float64                      // calls that come in a mean service time
	service func(rng *rand.Rand) float64 // of a call, over the mean
	waits   float64                      // the share of calls that wait, 0 for not asked
	varies  bool                         // by more than an exponential service time
	wait    float64                      // their mean wait, also of those that do not wait, over the mean service time
}

// run lets calls pass, and shows each as it ends.
func (q *system) run(seed uint64, calls int, each func(o *Outcome)) {
	rng := rand.New(rand.NewPCG(seed, 4))
	s, engines := pool(q.servers, 1, plain)
	var again []*Call
	w := New(Options{Scheduler: s, Replicas: engines, ReportEvery: time.Hour, ReportTokens: math.MaxInt64, Done: func(o *Outcome) {
		each(o)
		again = append(again, o.Call)
	}})
	at := Instant(1)
	for i := range calls {
		gap, tokens := q.draw(rng)
		at += gap
		w.Run(at)
		c := new(Call)
		if n := len(again); n > 0 {
			c, again = again[n-1], again[:n-1]
		}
		*c = *newCall(i+1, 0, tokens, 1)
		w.Offer(at, c)
	}
	w.Run(0)
}

// draw draws the time until a call comes, and the tokens of its prompt.
func (q *system) draw(rng *rand.Rand) (gap Instant, tokens int64) {
	gap = Instant(rng.ExpFloat64() / q.load * float64(mean))
	return gap, max(1, int64(math.Round(q.service(rng)*float64(mean)/1000))-1)
}

// recursion returns the share of calls that wait and their mean wait by Kiefer's and Wolfowitz's recursion, of the same calls as run has for the seed.
func (q *system) recursion(seed uint64, calls, skip int) (share, wait float64) {
	rng := rand.New(rand.NewPCG(seed, 4))
	free := make([]Instant, q.servers) // a heap: the first server to be free is the first
	at, sum, waited := Instant(1), Instant(0), 0
	for i := range calls + skip {
		gap, tokens := q.draw(rng)
		at += gap
		begin := max(at, free[0])
		if i >= skip && begin > at {
			waited++
			sum += begin - at
		}
		sink(free, begin+Instant(1000*(tokens+1)))
	}
	return float64(waited) / float64(calls), float64(sum) / float64(calls) / float64(mean)
}

// sink puts a value in the place of a heap's least.
func sink(heap []Instant, v Instant) {
	i := 0
	for {
		child := 2*i + 1
		if child >= len(heap) {
			break
		}
		if child+1 < len(heap) && heap[child+1] < heap[child] {
			child++
		}
		if heap[child] >= v {
			break
		}
		heap[i] = heap[child]
		i = child
	}
	heap[i] = v
}

func exponential(rng *rand.Rand) float64 { return rng.ExpFloat64() }
func constant(*rand.Rand) float64        { return 1 }
func uniform(rng *rand.Rand) float64     { return 2 * rng.Float64() }

// hyperexponential is one of two exponential times, whose squared coefficient of variation is 4 and whose shares of the load are alike.
func hyperexponential(rng *rand.Rand) float64 {
	const often = 0.887298334620742 // (1 + sqrt((4 - 1) / (4 + 1))) / 2
	if rng.Float64() < often {
		return rng.ExpFloat64() / (2 * often)
	}
	return rng.ExpFloat64() / (2 * (1 - often))
}

// erlang is a queue with exponential service times: the share of calls that wait is given, their mean wait is that over the servers that are free.
func erlang(servers int, load, waits float64) system {
	return system{fmt.Sprintf("M/M/%d at %.0f %%", servers, 100*load/float64(servers)), servers, load, exponential, waits, false, waits / (float64(servers) - load)}
}

// pollaczek is a queue with one server: the mean wait is that of Pollaczek and Khinchine.
func pollaczek(name string, load float64, service func(*rand.Rand) float64, square float64) system {
	return system{fmt.Sprintf("%s at %.0f %%", name, 100*load), 1, load, service, 0, square > 1, load / (1 - load) * (1 + square) / 2}
}

// systems are those of which the closed form is known.
func systems() []system {
	return []system{
		erlang(1, 0.8, 0.8),
		erlang(2, 1.6, 0.711111),
		erlang(5, 4, 0.554113),
		erlang(10, 8, 0.409180),
		erlang(20, 18, 0.550769),
		erlang(50, 45, 0.363864),
		pollaczek("M/D/1", 0.5, constant, 0),
		pollaczek("M/D/1", 0.8, constant, 0),
		pollaczek("M/D/1", 0.9, constant, 0),
		pollaczek("M/G/1, uniform service times,", 0.8, uniform, 1.0/3),
		pollaczek("M/G/1, hyperexponential service times,", 0.5, hyperexponential, 4),
		pollaczek("M/G/1, hyperexponential service times,", 0.8, hyperexponential, 4),
	}
}

// The figures that are given for Erlang's queues are those of his formula.
func TestErlangsFormula(t *testing.T) {
	for _, q := range systems() {
		if q.waits == 0 {
			continue
		}
		term, sum := 1.0, 0.0 // load^k / k!
		for k := range q.servers {
			sum += term
			term *= q.load / float64(k+1)
		}
		term *= float64(q.servers) / (float64(q.servers) - q.load)
		if want := term / (sum + term); math.Abs(q.waits-want) > 5e-7 {
			t.Errorf("%s: %v, Erlang's formula gives %.6f", q.name, q.waits, want)
		}
	}
}

// Each call begins when the recursion of Kiefer and Wolfowitz (Trans. Amer. Math. Soc. 78, 1955) says, to the nanosecond: at its arrival, or when
// the first of the servers is free of the calls before it.
func TestT4ServersInOrder(t *testing.T) {
	const calls = 500
	checked := 0
	rapid.Check(t, func(t *rapid.T) {
		q := system{servers: rapid.IntRange(1, 12).Draw(t, "servers")}
		q.load = rapid.Float64Range(0.1, 1.2).Draw(t, "load") * float64(q.servers)
		q.service = []func(*rand.Rand) float64{exponential, constant, uniform, hyperexponential}[rapid.IntRange(0, 3).Draw(t, "service")]
		var ended []Outcome
		var arrive []Call
		q.run(rapid.Uint64().Draw(t, "seed"), calls, func(o *Outcome) {
			ended = append(ended, *o)
			arrive = append(arrive, *o.Call)
		})
		order := make([]int, len(ended))
		for i := range order {
			order[arrive[i].Arrive.Call-1] = i
		}
		free := make([]Instant, q.servers)
		for n, i := range order {
			o := &ended[i]
			first := slices.Index(free, slices.Min(free))
			begin := max(o.Arrived, free[first])
			free[first] = begin + Instant(1000*(arrive[i].Input+1))
			if o.Admitted != begin || o.Ended != free[first] {
				t.Fatalf("call %d of %d servers came at %d, began at %d and ended at %d; it should have begun at %d and ended at %d", n+1, q.servers, o.Arrived, o.Admitted, o.Ended, begin, free[first])
			}
		}
		checked += len(ended)
	})
	testenv.Record(t, "T4", fmt.Sprintf("%d calls in random systems of 1 to 12 servers: each begins and ends to the nanosecond as it must", checked),
		"recursion of Kiefer and Wolfowitz, 1955, for a queue of c servers in order of arrival")
}

// The queues' closed forms lie within intervals from 30 seeds, which are fixed and of which others would make all intervals together miss one in one of
// a hundred runs. Queues that are nearly full, and service times that vary much, take longer runs, with FOREBAY_VALIDATE=1: means of few calls are far from
// normal. There intervals are at most 2 % wide.
func TestT4ClosedForms(t *testing.T) {
	const seeds, family = 30, 0.01
	long := testenv.Validating()
	calls, skip := 700, 300
	if long {
		calls, skip = 10_000, 2_000
	}
	all := systems()
	checks := 0
	for i := range all {
		if checks++; all[i].waits > 0 {
			checks++
		}
	}
	times := student(1-family/float64(checks)/2, seeds-1) / math.Sqrt(seeds)
	for i := range all {
		q := &all[i]
		if !long && (q.load > 0.85*float64(q.servers) || q.varies) {
			continue
		}
		t.Run(q.name, func(t *testing.T) {
			control, how := 0, ""
			if long {
				if control = 3_000_000; q.servers >= 20 {
					control = 9_000_000
				}
				how = fmt.Sprintf(", and for the noise of their recursion %d others", control)
			}
			share, wait := q.sample(seeds, calls, skip, control)
			for _, x := range []struct {
				what   string
				values []float64
				want   float64
			}{{"share of calls that wait", share, q.waits}, {"mean wait in service times", wait, q.wait}} {
				if x.want == 0 {
					continue
				}
				middle, deviation := moments(x.values)
				half := times * deviation
				if math.Abs(middle-x.want) > half {
					t.Errorf("%s: %.4f +- %.4f, want %.6f", x.what, middle, half, x.want)
				}
				if long && half > 0.01*x.want {
					t.Errorf("%s: the interval of +- %.4f is wider than 2 %% of %.6f", x.what, half, x.want)
				}
				testenv.Record(t, "T4", fmt.Sprintf("%s: %s %.4f +- %.4f (30 seeds of %d calls%s; 99 %% for all %d intervals together)", q.name, x.what, middle, half, calls, how, checks),
					fmt.Sprintf("closed form: %.6f", x.want))
			}
		})
	}
}

// sample returns what each seed has for the share of calls that wait and for the mean wait. With a number of calls for a control, the recursion on the
// same calls is a control variate, whose mean is taken from so many others: what is left of the noise is that of the longer run, and what the scheduler does
// otherwise than it should is left in whole.
func (q *system) sample(seeds, calls, skip, control int) (share, wait []float64) {
	share, wait = make([]float64, seeds), make([]float64, seeds)
	var all sync.WaitGroup
	next := make(chan int)
	for range 2 {
		all.Go(func() {
			for i := range next {
				var waited, sum Instant
				q.run(100+uint64(i), calls+skip, func(o *Outcome) {
					if int(o.Call.Arrive.Call) <= skip {
						return
					}
					if o.Admitted > o.Arrived {
						waited++
					}
					sum += o.Admitted - o.Arrived
				})
				share[i], wait[i] = float64(waited)/float64(calls), float64(sum)/float64(calls)/float64(mean)
				if control > 0 {
					same, sameWait := q.recursion(100+uint64(i), calls, skip)
					other, otherWait := q.recursion(1000+uint64(i), control, skip)
					share[i], wait[i] = share[i]-same+other, wait[i]-sameWait+otherWait
				}
			}
		})
	}
	for i := range seeds {
		next <- i
	}
	close(next)
	all.Wait()
	return share, wait
}

// moments are the mean and the standard deviation.
func moments(values []float64) (middle, deviation float64) {
	n := float64(len(values))
	for _, v := range values {
		middle += v / n
	}
	for _, v := range values {
		deviation += (v - middle) * (v - middle) / (n - 1)
	}
	return middle, math.Sqrt(deviation)
}

// student is the quantile, above the middle, of Student's distribution with an odd number of degrees of freedom, whose distribution function is a finite
// sum (Abramowitz, Stegun, 26.7.3).
func student(p float64, freedom int) float64 {
	inside := func(t float64) float64 { // the probability of -t to t
		angle := math.Atan(t / math.Sqrt(float64(freedom)))
		sin, cos := math.Sincos(angle)
		term, sum := cos, cos
		for k := 3; k <= freedom-2; k += 2 {
			term *= cos * cos * float64(k-1) / float64(k)
			sum += term
		}
		return 2 / math.Pi * (angle + sin*sum)
	}
	low, high := 0.0, 1000.0
	for range 100 {
		if mid := (low + high) / 2; inside(mid) < 2*p-1 {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

func TestStudent(t *testing.T) {
	for _, x := range []struct {
		p       float64
		freedom int
		want    float64
	}{{0.995, 29, 2.756}, {0.975, 9, 2.262}, {0.95, 5, 2.015}, {0.9995, 29, 3.659}} {
		if got := student(x.p, x.freedom); math.Abs(got-x.want) > 5e-4 {
			t.Errorf("%v of %d degrees: %.4f, tables have %v", x.p, x.freedom, got, x.want)
		}
	}
}
