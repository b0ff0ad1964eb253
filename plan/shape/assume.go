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

// other is one other assumption: its name, and what it changes. It is false where it changes nothing.
type other struct {
	name string
	make func(s *Shape) bool
}

// open are the other assumptions of what the words leave open: those of one list are instead of each other.
func (s *Shape) open() [][]other {
	var out [][]other
	if !s.said.in || !s.said.out {
		var list []other
		for _, x := range sizes[1:] {
			in, out := s.in, s.out
			o := *s
			if o.sized(x.in, x.out); o.in == in && o.out == out {
				continue // max_tokens holds it down
			}
			list = append(list, other{fmt.Sprintf("%d tokens in and %d out, %s", o.in, o.out, x.name), func(s *Shape) bool {
				s.sized(x.in, x.out)
				return true
			}})
		}
		out = append(out, list)
	}
	if !s.said.peak {
		var list []other
		for _, f := range peaks {
			list = append(list, other{fmt.Sprintf("a busiest minute of %g times the mean of its hours", f), func(s *Shape) bool {
				s.curve(f)
				return true
			}})
		}
		out = append(out, list)
	}
	if !s.said.day[time.Saturday] || !s.said.day[time.Sunday] {
		var list []other
		for _, x := range weekends {
			list = append(list, other{x.name, func(s *Shape) bool {
				s.weekend(x.share)
				return s.level() // else there are no other days
			}})
		}
		out = append(out, list)
	}
	return out
}

// Assumptions yields the same traffic under each other assumption of what the words leave open, with its name.
func (s *Shape) Assumptions() iter.Seq2[string, workload.Source] {
	return func(yield func(string, workload.Source) bool) {
		for _, list := range s.open() {
			for _, x := range list {
				o := *s
				if x.make(&o) && !yield(x.name, &o) {
					return
				}
			}
		}
	}
}

// Together yields it under two of them or more at once, in every combination.
func (s *Shape) Together() iter.Seq[workload.Source] {
	return func(yield func(workload.Source) bool) {
		type some struct {
			shape Shape
			n     int
		}
		all := []some{{*s, 0}}
		for _, list := range s.open() {
			for _, before := range all {
				for _, x := range list {
					o := before.shape
					if x.make(&o) {
						all = append(all, some{o, before.n + 1})
					}
				}
			}
		}
		for i := range all {
			if all[i].n > 1 && !yield(&all[i].shape) {
				return
			}
		}
	}
}
