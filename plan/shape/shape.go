// Package shape reads traffic in words, such as "50000/day, 80% 09-17, 1% 22-06, America/New_York, peak x2, in 1000, out 300", and makes it: a week of
// calls that come independently of each other at a rate that follows the words. The same words and seed give the same calls.
package shape

import (
	"iter"
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"time"

	"forebay/fault"
	"forebay/workload"
)

// Shape is a traffic in words. It is immutable.
type Shape struct {
	words    string
	perDay   float64
	hours    [24]float64 // share of the day's calls
	peak     float64     // the busiest minute over the mean of its window
	from, to int         // the window of the peak, hours
	power    float64     // of the sine that gives the peak
	in, out  int64
	weekend  float64 // calls of a day at the weekend over those of a working day
	said     struct{ in, out, peak, weekend bool }
	place    *time.Location
	notes    []string
	seed     uint64
}

// days are how many a shape has: a week from a Monday on.
const days = 7

var (
	volume = regexp.MustCompile(`^([\d_.]+)\s*/\s*(day|hour|minute|s)$`)
	share  = regexp.MustCompile(`^([\d.]+)\s*%\s*(\d{1,2})-(\d{1,2})$`)
	factor = regexp.MustCompile(`^peak\s+x\s*([\d.]+)$`)
	size   = regexp.MustCompile(`^(in|out)\s+(\d+)$`)
	rest   = regexp.MustCompile(`^weekends\s+([\d.]+)\s*%$`)
)

// standard are the names of zones without daylight saving time that are often taken for those with it.
var standard = map[string]string{"EST": "America/New_York", "MST": "America/Denver"}

func invalid(format string, args ...any) error { return fault.Newf(fault.Invalid, format, args...) }

// Parse reads words. What it refuses it names, and says what to write instead.
func Parse(words string, seed uint64) (*Shape, error) {
	s := &Shape{words: words, peak: 1, weekend: 1, place: time.UTC, seed: seed}
	left, given := 100.0, [24]bool{}
	for part := range strings.SplitSeq(words, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		if err := s.clause(part, &left, &given); err != nil {
			return nil, err
		}
	}
	if s.perDay == 0 {
		return nil, invalid("the shape %q does not say how many calls there are: begin with a number such as 50000/day", words)
	}
	s.assume()
	return s, s.spread(left, &given)
}

func (s *Shape) clause(part string, left *float64, given *[24]bool) error {
	if m := volume.FindStringSubmatch(part); m != nil {
		n, err := strconv.ParseFloat(strings.ReplaceAll(m[1], "_", ""), 64)
		if err != nil || n <= 0 || n > 1e10 {
			return invalid("%q: give between 1 and 10,000,000,000 calls", part)
		}
		s.perDay = n * map[string]float64{"day": 1, "hour": 24, "minute": 1440, "s": 86400}[m[2]]
		return nil
	}
	if m := share.FindStringSubmatch(part); m != nil {
		return s.window(part, m, left, given)
	}
	if m := factor.FindStringSubmatch(part); m != nil {
		f, err := strconv.ParseFloat(m[1], 64)
		if err != nil || f < 1 || f > 100 {
			return invalid("%q: the busiest minute is between 1 and 100 times the mean of its hours", part)
		}
		s.peak, s.said.peak = f, true
		return nil
	}
	if part == "no weekends" {
		part = "weekends 0%"
	}
	if m := rest.FindStringSubmatch(part); m != nil {
		f, err := strconv.ParseFloat(m[1], 64)
		if err != nil || f > 1000 {
			return invalid("%q: a day at the weekend has 0 to 1000 %% of the calls of a working day", part)
		}
		s.weekend, s.said.weekend = f/100, true
		return nil
	}
	if m := size.FindStringSubmatch(part); m != nil {
		n, err := strconv.ParseInt(m[2], 10, 64)
		if err != nil || n < 1 || n > 10_000_000 {
			return invalid("%q: give between 1 and 10,000,000 tokens", part)
		}
		if m[1] == "in" {
			s.in, s.said.in = n, true
		} else {
			s.out, s.said.out = n, true
		}
		return nil
	}
	place, err := time.LoadLocation(part)
	if err != nil || part == "Local" {
		return invalid("%q is not understood: write a volume (50000/day), a share of hours (80%% 09-17), a time zone (America/New_York), peak x2, weekends 30%%, in 1000, out 300", part)
	}
	s.place = place
	if lived, ok := standard[part]; ok {
		s.notes = append(s.notes, part+" has no daylight saving time; people there live by "+lived)
	}
	return nil
}

// window gives a share of the day's calls to hours.
func (s *Shape) window(part string, m []string, left *float64, given *[24]bool) error {
	percent, err := strconv.ParseFloat(m[1], 64)
	from, _ := strconv.Atoi(m[2])
	to, _ := strconv.Atoi(m[3])
	if err != nil || from > 23 || to > 24 || from == to%24 && to != 24 {
		return invalid("%q: hours are 00 to 24, and the end is another one than the beginning", part)
	}
	if *left -= percent; *left < -1e-9 {
		return invalid("%q: the shares of the shape add up to %g %%, at most 100 %% can be", part, 100-*left)
	}
	length := (to - from + 24) % 24
	if length == 0 {
		length = 24
	}
	for i := range length {
		h := (from + i) % 24
		if given[h] {
			return invalid("%q: hour %02d has a share already", part, h)
		}
		given[h], s.hours[h] = true, percent/100/float64(length)
	}
	if s.to == 0 || percent/float64(length) > 100*s.hours[s.from] {
		s.from, s.to = from, from+length
	}
	return nil
}

// spread gives what no share names to the hours that are left, and finds the curve of the peak.
func (s *Shape) spread(left float64, given *[24]bool) error {
	free := 0
	for _, g := range given {
		if !g {
			free++
		}
	}
	if free == 0 && left > 1e-6 {
		return invalid("the shares of the shape %q add up to %g %%, and no hour is left for the rest", s.words, 100-left)
	}
	for h, g := range given {
		if !g {
			s.hours[h] = left / 100 / float64(free)
		}
	}
	if s.to == 0 {
		s.from, s.to = 0, 24
	}
	s.curve(s.peak)
	return nil
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

// start is the Monday that a shape begins on.
func (s *Shape) start() time.Time { return time.Date(2026, 1, 5, 0, 0, 0, 0, s.place) }

// Info implements workload.Source.
func (s *Shape) Info() workload.Info {
	return workload.Info{Name: s.words, Format: "shape", Start: s.start(), Length: days * 24 * time.Hour, Notes: s.notes}
}

// Faults implements workload.Source.
func (s *Shape) Faults() []workload.Fault { return nil }

// Tokens returns the mean sizes of a call.
func (s *Shape) Tokens() (input, output float64) { return float64(s.in), float64(s.out) }

// Rate returns the calls a second that are expected at an instant.
func (s *Shape) Rate(at time.Duration) float64 {
	hour := at.Hours()
	h := math.Mod(hour, 24)
	r := s.perDay * s.hours[int(h)] / 3600
	if day := int(hour/24) % 7; day >= 5 { // from a Monday on
		r *= s.weekend
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

// All implements workload.Source: a Poisson process at the rate, by thinning.
func (s *Shape) All() iter.Seq2[workload.Request, error] {
	most := 0.0
	for _, share := range s.hours {
		most = max(most, share*s.perDay/3600*s.peak*max(1, s.weekend))
	}
	return func(yield func(workload.Request, error) bool) {
		random := rand.New(rand.NewPCG(s.seed, 0)) //nolint:gosec // traffic
		for at := time.Duration(0); ; {
			at += time.Duration(random.ExpFloat64() / most * float64(time.Second))
			if at >= days*24*time.Hour {
				return
			}
			if random.Float64()*most < s.Rate(at) && !yield(workload.Request{At: at, Input: s.in, Output: s.out}, nil) {
				return
			}
		}
	}
}
