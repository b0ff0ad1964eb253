package shape

import (
	"fmt"
	"iter"
	"time"

	"forebay/workload"
)

// sizes are the mean sizes of calls in published traces, the first of which is assumed where words give none: AzurePublicDataset's LLM inference
// traces of 2023, and Mooncake's conversation trace.
var sizes = []struct {
	name    string
	in, out int64
}{
	{"as the conversations of Azure's 2023 trace", 1155, 211},
	{"as the code completions of Azure's 2023 trace", 2048, 28},
	{"as the long conversations of Mooncake's trace", 12_035, 343},
}

// peaks and weekends are tried where words say nothing of them.
var (
	peaks    = []float64{2, 3}
	weekends = []struct {
		name  string
		share float64
	}{
		{"weekends with a third of a working day's calls, as the code traffic of Azure's 2024 trace has", 1.0 / 3},
		{"no calls at weekends", 0},
	}
)

// sized gives what is not said of a call's size, within max_tokens.
func (s *Shape) sized(in, out int64) {
	if !s.said.in {
		s.in = in
	}
	if !s.said.out {
		if s.out = out; s.most > 0 {
			s.out = min(out, s.most)
		}
	}
}

// weekend gives the days of the weekend that are not said their calls.
func (s *Shape) weekend(share float64) {
	for _, d := range []time.Weekday{time.Saturday, time.Sunday} {
		if !s.said.day[d] {
			s.week[d] = share
		}
	}
}

// assume fills in what the words leave open, and says so.
func (s *Shape) assume() {
	s.sized(sizes[0].in, sizes[0].out)
	if !s.said.in {
		s.notes = append(s.notes, fmt.Sprintf("the words give no size of prompts: %d tokens are assumed, %s", s.in, sizes[0].name))
	}
	if !s.said.out {
		s.notes = append(s.notes, fmt.Sprintf("the words give no size of answers: %d tokens are assumed, %s", s.out, sizes[0].name))
	}
	if !s.said.peak {
		s.notes = append(s.notes, "the words give no peak: the calls of an hour are assumed to come evenly; add one, such as peak x2")
	}
	switch sat, sun := s.said.day[time.Saturday], s.said.day[time.Sunday]; {
	case !sat && !sun:
		s.notes = append(s.notes, "the words say nothing of weekends: they are assumed to be as other days; add weekends 30%, or no weekends")
	case !sat:
		s.notes = append(s.notes, "the words say nothing of Saturdays: they are assumed to be as other days; add sat 30%")
	case !sun:
		s.notes = append(s.notes, "the words say nothing of Sundays: they are assumed to be as other days; add sun 30%")
	}
}

// Assumptions yields the same traffic under each other assumption of what the words leave open, with its name.
func (s *Shape) Assumptions() iter.Seq2[string, workload.Source] {
	return func(yield func(string, workload.Source) bool) {
		for _, x := range sizes[1:] {
			if s.said.in && s.said.out {
				break
			}
			other := *s
			if other.sized(x.in, x.out); other.in == s.in && other.out == s.out {
				continue // max_tokens holds it down
			}
			if !yield(fmt.Sprintf("%d tokens in and %d out, %s", other.in, other.out, x.name), &other) {
				return
			}
		}
		for _, f := range peaks {
			if s.said.peak {
				break
			}
			other := *s
			other.curve(f)
			if !yield(fmt.Sprintf("a busiest minute of %g times the mean of its hours", f), &other) {
				return
			}
		}
		for _, x := range weekends {
			if s.said.day[time.Saturday] && s.said.day[time.Sunday] {
				break
			}
			other := *s
			if other.weekend(x.share); !other.level() {
				continue // there are no other days
			}
			if !yield(x.name, &other) {
				return
			}
		}
	}
}
