package servegen

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"forebay/fault"
	"forebay/workload"
	"forebay/workload/arrival"
	"forebay/workload/rows"
)

// Traffic is the clients of a service, each with its rate and its bursts in each window of time, as the files of ServeGen have them: a line a
// window, with its start in seconds, calls a second, their coefficient of variation, the distribution that fits, and its two parameters. Source: Xiang
// et al., "ServeGen: Workload Characterization and Generation of Large Language Model Serving in Production", NSDI'26. It implements
// workload.Source.
//
// Arrivals have the shape of the distribution that was fitted, and the rate of the window: its second parameter, the scale, is not used. Sizes are drawn
// of the distributions in the client's other file (chunk-N-dataset.json: by the start of a window, weights of sizes of input_tokens and
// output_tokens), the last that began before the window; clients without one have the size that is given.
type Traffic struct {
	path    string
	opt     Options
	step    time.Duration
	steps   int
	clients []client
	rates   []float64 // of all clients, by window
	mean    struct{ input, output float64 }
	faults  []workload.Fault
	unknown []workload.Span
	notes   []string
}

// client is one of the files. Shapes above 0 are of Gamma distributions, below 0 of Weibull ones; 0 is Poisson.
type client struct {
	name         string
	rate, shapes []float32
	sizes        []sized // in order; none is the size that is given
}

// sizesAt are the distributions in a window.
func (c *client) sizesAt(start int64) *sized {
	if len(c.sizes) == 0 {
		return nil
	}
	i, found := slices.BinarySearchFunc(c.sizes, start, func(s sized, at int64) int { return cmp.Compare(s.from, at) })
	if !found {
		i = max(i-1, 0)
	}
	return &c.sizes[i]
}

// Options say what the files do not.
type Options struct {
	// Input and Output are the tokens of a call of clients without a file of sizes; 0 is not known.
	Input, Output int64
	Seed          uint64
	// Idle says that windows that no file has are idleness; else they are missing data.
	Idle bool
}

// Bounds of a folder.
const (
	// maxTokens is more than any model takes or makes in a call.
	maxTokens = 100_000_000
	// maxWindows is ten years of hours.
	maxWindows       = 10 * 366 * 24
	maxClients       = 20_000
	maxClientWindows = 50_000_000 // of all clients: 400 MB
)

// row of a file: the window's start and rate, and the shape of its gaps.
type clientRow struct {
	line, start int64 // start in seconds
	rate, shape float64
}

// Open reads the files of the clients of a folder. Faults: Invalid for what is no traffic.
func Open(path string, files []string, opt Options) (*Traffic, error) {
	if len(files) > maxClients {
		return nil, fault.Newf(fault.Invalid, "%s has %d clients: at most %d are read: take some of the files", path, len(files), maxClients)
	}
	slices.SortFunc(files, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }) // by number
	s := &Traffic{path: path, opt: opt}
	x := rows.Faults{}
	covered := []bool{}
	windows, distributions := 0, 0
	for _, f := range files {
		list, err := s.file(f, x)
		if err != nil {
			return nil, err
		}
		if err := s.take(f, list, x, &covered); err != nil {
			return nil, err
		}
		c := &s.clients[len(s.clients)-1]
		if err := s.size(c, strings.TrimSuffix(f, "-trace.csv")+"-dataset.json", x); err != nil {
			return nil, err
		}
		windows, distributions = windows+len(c.rate), distributions+2*len(c.sizes)
		if windows > maxClientWindows || distributions > maxSizes {
			return nil, fault.Newf(fault.Invalid, "%s has more than %d windows of clients, or more than %d distributions of sizes: take some of the files", path, maxClientWindows, maxSizes)
		}
	}
	s.faults = x.List()
	return s, s.complete(covered)
}

// size reads the sizes of a client's calls, if there is a file of them.
func (s *Traffic) size(c *client, path string, x rows.Faults) (err error) {
	if _, err := os.Stat(path); err == nil {
		if c.sizes, err = sizesOf(path, x); err != nil {
			return err
		}
	}
	if len(c.sizes) == 0 && s.opt.Input < 1 {
		return fault.Newf(fault.Invalid, "%s: %s tells how many calls come, and no file how large they are: give their mean tokens, such as --tokens 1000,300", s.path, c.name)
	}
	return nil
}

// file reads the rows of a client.
func (s *Traffic) file(path string, x rows.Faults) (list []clientRow, err error) {
	in, closer, err := rows.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	lines := bufio.NewScanner(io.Reader(in.Reader))
	for n := int64(1); lines.Scan(); n++ {
		in.Row()
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		r, wrong := clientLine(text)
		if wrong != "" {
			x.LeaveOut(wrong, n, []string{filepath.Base(path) + ": " + text})
			continue
		}
		r.line = n
		list = append(list, r)
	}
	if err := lines.Err(); err != nil {
		return nil, fault.Newf(fault.Invalid, "%s: %v: mend the file, or take it out of the folder", path, err)
	}
	return list, nil
}

// clientLine reads a line of a client's file.
func clientLine(text string) (r clientRow, wrong string) {
	fields := strings.Split(text, ",")
	if len(fields) < 4 {
		return r, "it has not the columns start, calls a second, coefficient of variation, distribution and its parameters"
	}
	number := func(i int) float64 {
		if i >= len(fields) {
			return math.NaN()
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(fields[i]), 64)
		if err != nil || math.IsInf(v, 0) {
			return math.NaN()
		}
		return v
	}
	start := number(0)
	r.rate, r.shape = number(1), number(4)
	switch kind := strings.ToLower(strings.TrimSpace(fields[3])); {
	case !(start >= 0 && start < 1e9) || start != math.Floor(start):
		return r, "the start of the window is no number of seconds"
	case !(r.rate >= 0 && r.rate < 1e7):
		return r, "the rate is no number from 0 on"
	case kind == "" || r.rate == 0:
		r.shape = 0
	case !(r.shape >= arrival.LeastShape && r.shape <= arrival.MostShape):
		return r, fmt.Sprintf("the shape of the distribution is no number from %g to %g", arrival.LeastShape, float64(arrival.MostShape))
	case kind == "weibull":
		r.shape = -r.shape
	case kind != "gamma":
		return r, "the distribution is none of Gamma and Weibull"
	}
	r.start = int64(start)
	return r, ""
}

// take makes a client of rows.
func (s *Traffic) take(path string, list []clientRow, x rows.Faults, covered *[]bool) error {
	if s.step == 0 {
		for i := 1; i < len(list); i++ {
			if d := time.Duration(list[i].start-list[i-1].start) * time.Second; d > 0 && (s.step == 0 || d < s.step) {
				s.step = d
			}
		}
		if s.step == 0 {
			return fault.Newf(fault.Invalid, "%s has no two windows: their length is not known: take it out of the folder", path)
		}
	}
	c := client{name: strings.TrimSuffix(filepath.Base(path), "-trace.csv")}
	seconds := int64(s.step / time.Second)
	for _, r := range list {
		n := int(r.start / seconds)
		switch {
		case r.start%seconds != 0:
			x.LeaveOut("the window begins within another one", r.line, []string{filepath.Base(path)})
			continue
		case n >= maxWindows:
			x.LeaveOut("the window is more than ten years from the first", r.line, []string{filepath.Base(path)})
			continue
		}
		for len(c.rate) <= n {
			c.rate, c.shapes = append(c.rate, 0), append(c.shapes, 0)
		}
		for len(*covered) <= n {
			*covered = append(*covered, false)
		}
		c.rate[n], c.shapes[n], (*covered)[n] = float32(r.rate), float32(r.shape), true
	}
	s.steps = max(s.steps, len(c.rate))
	s.clients = append(s.clients, c)
	return nil
}

// complete sums up, and refuses what is no traffic.
func (s *Traffic) complete(covered []bool) error {
	s.rates = make([]float64, s.steps)
	zero, all := 0, 0
	for _, c := range s.clients {
		for i, r := range c.rate {
			s.rates[i] += float64(r)
			all++
			if r == 0 {
				zero++
			}
		}
	}
	if slices.Max(append(s.rates, 0)) == 0 {
		return fault.Newf(fault.Invalid, "%s has no window with calls: nothing can be planned for it", s.path)
	}
	note := func(format string, args ...any) { s.notes = append(s.notes, fmt.Sprintf(format, args...)) }
	note("each of %d clients has a rate and a distribution of gaps by windows of %v; calls are made of them by a seed", len(s.clients), s.step)
	note("times are seconds from any origin: the hours of the day and the days of the week are not known")
	unsized := s.means()
	switch {
	case unsized == len(s.clients):
		note("the sizes of calls are those given: %d tokens in and %d out, all alike", s.opt.Input, s.opt.Output)
	case unsized > 0:
		note("%d clients have no file of sizes (chunk-N-dataset.json): their calls have %d tokens in and %d out, all alike", unsized, s.opt.Input, s.opt.Output)
	}
	if unsized < len(s.clients) {
		note("sizes are drawn of each client's distributions, prompts and answers apart; what is computed without replay takes all calls as the mean one")
	}
	if zero > 0 {
		note("%.0f %% of the clients' windows have a rate of zero, which counts as idle: the files do not tell it from missing data", 100*float64(zero)/float64(all))
	}
	var gaps rows.Gaps
	for i := 0; i < len(covered); i++ {
		if covered[i] {
			continue
		}
		from := i
		for i < len(covered) && !covered[i] {
			i++
		}
		gaps.Miss(int64(from)*int64(s.step), int64(i)*int64(s.step))
	}
	if text := gaps.Settle(s.opt.Idle); text != "" {
		s.notes = append(s.notes, text)
	}
	s.unknown = gaps
	return nil
}

// means computes the mean sizes of all calls, and returns how many clients have none of their own.
func (s *Traffic) means() (unsized int) {
	calls := 0.0
	for i := range s.clients {
		c := &s.clients[i]
		if len(c.sizes) == 0 {
			unsized++
		}
		for n, rate := range c.rate {
			in, out := float64(s.opt.Input), float64(s.opt.Output)
			if z := c.sizesAt(int64(n) * int64(s.step/time.Second)); z != nil {
				in, out = z.in.mean(), z.out.mean()
			}
			s.mean.input, s.mean.output, calls = s.mean.input+in*float64(rate), s.mean.output+out*float64(rate), calls+float64(rate)
		}
	}
	s.mean.input, s.mean.output = s.mean.input/calls, s.mean.output/calls
	return unsized
}

// Info implements workload.Source.
func (s *Traffic) Info() workload.Info {
	i := workload.Info{Name: filepath.Base(s.path), Format: "servegen", Length: time.Duration(s.steps) * s.step, Grain: s.step, Unknown: s.unknown, Notes: slices.Clone(s.notes)}
	for n, name := range []string{"window", "rate", "variation", "distribution", "shape", "scale"} {
		i.Columns = append(i.Columns, workload.Column{Name: strconv.Itoa(n + 1), Meaning: name, Guessed: true})
	}
	for _, c := range s.clients {
		i.Tenants = append(i.Tenants, c.name)
	}
	return i
}

// Faults implements workload.Source.
func (s *Traffic) Faults() []workload.Fault { return slices.Clone(s.faults) }

// Rate returns the calls a second that are expected at an instant.
func (s *Traffic) Rate(at time.Duration) float64 {
	if n := int(at / s.step); at >= 0 && n < len(s.rates) {
		return s.rates[n]
	}
	return 0
}

// Call returns the mean size of a call, in whole tokens.
func (s *Traffic) Call() workload.Request {
	return workload.Request{Input: int64(math.Round(s.mean.input)), Output: int64(math.Round(s.mean.output))}
}

// All implements workload.Source.
func (s *Traffic) All() iter.Seq2[workload.Request, error] {
	processes := make([]arrival.Timed, len(s.clients))
	for i := range s.clients {
		processes[i] = s.clients[i].process(s.step)
	}
	return func(yield func(workload.Request, error) bool) {
		random := arrival.Random(s.opt.Seed, len(processes))
		for of, at := range arrival.Merge(processes, s.opt.Seed) {
			q := workload.Request{At: at, Input: s.opt.Input, Output: s.opt.Output, Tenant: int32(of)}
			if z := s.clients[of].sizesAt(int64(at.Truncate(s.step) / time.Second)); z != nil {
				q.Input, q.Output = z.in.draw(random), z.out.draw(random)
			}
			if !yield(q, nil) {
				return
			}
		}
	}
}

// process is the client's arrivals.
func (c *client) process(step time.Duration) arrival.Timed {
	return arrival.Timed{
		Curve: arrival.Curve{Step: step, Steps: len(c.rate), Rate: func(i int) float64 { return float64(c.rate[i]) }},
		Process: func(i int) arrival.Process {
			switch shape := float64(c.shapes[i]); {
			case shape > 0:
				return arrival.GammaOfShape(shape)
			case shape < 0:
				return arrival.WeibullOfShape(-shape)
			default:
				return arrival.Poisson()
			}
		},
	}
}
