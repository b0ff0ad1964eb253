// Package shape reads traffic in words, such as "50000/day, 80% 09-17, 1% 22-06, America/New_York, peak x2, in 1000, out 300", and makes it: calls that come
// at a rate that follows the words, independently of each other or in bursts, in a week or as many as the words say. The same words and seed give the
// same calls.
package shape

import (
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"forebay/workload"
	"forebay/workload/arrival"
)

// Shape is a traffic in words. It is immutable.
type Shape struct {
	words    string
	volume   volume
	perDay   float64     // calls of a day whose share is 1, at the start
	hours    [24]float64 // share of the day's calls
	week     [7]float64  // calls of a day over those of an ordinary one, by time.Weekday
	peak     float64     // the busiest minute over the mean of its window
	from, to int         // the window of the peak, hours
	power    float64     // of the sine that gives the peak
	growth   float64     // in thirty days, as a share
	process  arrival.Process
	tenants  []tenant
	in, out  int64
	cached   float64 // share of in
	most     int64   // max_tokens, 0 for not said
	said     said
	calendar calendar
	dates    map[int64]float64 // calls of a date over those of an ordinary day, by its number from the first on; nil for none
	notes    []string
	seed     uint64
}

// volume is a number of calls, and in how many days they come: none is an ordinary day.
type volume struct{ calls, days float64 }

// tenant is a caller, with the share of the calls that are his and of those before him.
type tenant struct {
	name string
	upTo float64
}

// said is what the words leave open if they do not say it.
type said struct {
	in, out, peak bool
	day           [7]bool
}

// month is how many days a month has here.
const month = 30

// level finds the calls of an ordinary day from the volume, by the shares of the days. It is false where no day has calls.
func (s *Shape) level() bool {
	sum := 0.0
	for _, share := range s.week {
		sum += share
	}
	if s.perDay = s.volume.calls; s.volume.days > 0 {
		s.perDay = s.volume.calls / s.volume.days * 7 / sum
	}
	return sum > 0
}

// curve finds the power of the sine whose top is so many times its mean.
func (s *Shape) curve(peak float64) {
	s.peak, s.power = peak, 0
	if peak == 1 {
		return
	}
	low, high := 0.0, 1e5
	for range 100 { // the mean of sin(pi u)^k over u is 1 / peak
		if s.power = (low + high) / 2; 1/sineMean(s.power) < peak {
			low = s.power
		} else {
			high = s.power
		}
	}
}

// sineMean is the mean of sin(pi u)^k for u from 0 to 1: Gamma((k+1)/2) / (sqrt(pi) Gamma(k/2+1)).
func sineMean(k float64) float64 {
	a, _ := math.Lgamma((k + 1) / 2)
	b, _ := math.Lgamma(k/2 + 1)
	return math.Exp(a-b) / math.Sqrt(math.Pi)
}

// Info implements workload.Source.
func (s *Shape) Info() workload.Info {
	out := workload.Info{Name: s.words, Format: "shape", Start: s.calendar.start, Length: s.calendar.length, Notes: slices.Clone(s.notes)}
	for _, t := range s.tenants {
		out.Tenants = append(out.Tenants, t.name)
	}
	return out
}

// Faults implements workload.Source.
func (s *Shape) Faults() []workload.Fault { return nil }

// Call returns the size of a call.
func (s *Shape) Call() workload.Request {
	return workload.Request{Input: s.in, Cached: int64(math.Round(float64(s.in) * s.cached)), Output: s.out, MaxOutput: s.most}
}

// Rate returns the calls a second that are expected at an instant. Hours and days are those of the clock on the wall: an hour that happens twice has its
// calls twice.
func (s *Shape) Rate(at time.Duration) float64 {
	day, clock := s.calendar.wall(at)
	h := clock.Hours()
	share := s.week[s.calendar.weekday(day)]
	if of, ok := s.dates[day]; ok {
		share = of
	}
	r := s.perDay * s.hours[int(h)] * share / 3600
	if s.growth != 0 {
		r *= math.Pow(1+s.growth, at.Hours()/(24*month))
	}
	u := (h - float64(s.from)) / float64(s.to-s.from)
	if h < float64(s.to-24) {
		u = (h + 24 - float64(s.from)) / float64(s.to-s.from)
	}
	if s.power > 0 && u >= 0 && u <= 1 {
		r *= s.peak * math.Pow(math.Sin(math.Pi*u), s.power)
	}
	return r
}

// cell is the time for which the rate is taken for constant. Hours begin with one.
const cell = 10 * time.Second

// All implements workload.Source: the arrivals of a process of rate one, each at the time by which as many calls are expected (Cinlar, Introduction to Stochastic
// Processes, 1975, section 4.7, for the Poisson process).
func (s *Shape) All() iter.Seq2[workload.Request, error] { return s.Between(0, s.calendar.length) }

// Between implements workload.Ranged: a part that begins later begins its process anew, with a seed of its own.
func (s *Shape) Between(from, to time.Duration) iter.Seq2[workload.Request, error] {
	from = from.Truncate(cell)
	return func(yield func(workload.Request, error) bool) {
		rng := rand.New(rand.NewPCG(s.seed, uint64(from))) //nolint:gosec // traffic
		call := s.Call()
		next := s.process.First(rng) // how many calls are expected from the cell's beginning to the next one
		for at := from; at < min(to, s.calendar.length); at += cell {
			expected := s.Rate(at+cell/2) * cell.Seconds()
			for next < expected {
				call.At = at + time.Duration(next/expected*float64(cell))
				call.Tenant = s.tenant(rng)
				if !yield(call, nil) {
					return
				}
				next += s.process.Next(rng)
			}
			next -= expected
		}
	}
}

// tenant draws a caller.
func (s *Shape) tenant(rng *rand.Rand) int32 {
	if len(s.tenants) == 0 {
		return 0
	}
	u := rng.Float64()
	for i := range s.tenants {
		if u < s.tenants[i].upTo {
			return int32(i)
		}
	}
	return int32(len(s.tenants) - 1)
}
