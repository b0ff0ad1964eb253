package calibrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Question is one call of a design.
type Question struct {
	Prompt int64  // tokens, about; the answer says how many they were
	Output int64  // tokens, at most
	Number uint64 // of the call: prompts of different numbers have no beginning in common, so that no cache helps
}

// Answer is what became of a call.
type Answer struct {
	Sent   time.Time
	Pieces []time.Time // when each piece of the answer came; an engine may send several tokens in one
	// As the engine counted. Cached tokens are those of Input that were not read again.
	Input, Cached, Output int64
}

// Ask makes a call and returns when its answer has ended.
type Ask func(ctx context.Context, q Question) (*Answer, error)

// Design says what Measure asks.
type Design struct {
	Slots   int     // calls that the engine runs at once; 0 finds it out, up to Most
	Most    int     // calls at once
	Prompts []int64 // lengths of prompts that are asked alone
	Short   int64   // prompts of batches
	Long    int64   // likewise; made shorter where the memory demands it
	Output  int64   // tokens of the answers in batches
	Repeat  int     // times that each cell is asked
	Chunk   int64   // tokens of a step, as the engine is set
	// Told hears of each cell before it is asked, and how many there are, as far as is known.
	Told func(Cell, int, int)
}

// Cell is calls alike at once.
type Cell struct {
	Batch  int
	Prompt int64
	Output int64
}

// Usual is a design that takes a minute or two on an engine that gives fifty tokens a second.
var Usual = Design{Most: 256, Prompts: []int64{32, 128, 512, 1024, 1900}, Short: 32, Long: 1024, Output: 64, Repeat: 2, Chunk: 2048}

// aloneRepeat multiplies the repetitions of cells of one call, which are quick and tell of prompts.
const aloneRepeat = 2

// Measured is what Measure found.
type Measured struct {
	Samples []Sample
	// Slots is how many calls ran at once; Limited says that more were asked for and waited.
	Slots   int
	Limited bool
	// Held is the most tokens of context that were held at once; Full says that more were asked for and waited.
	Held int64
	Full bool
	// Alone and Filled are the ends of the two-point recipe.
	Alone, Filled Point
}

// measuring is a run of Measure.
type measuring struct {
	Measured
	design Design
	ask    Ask
	number uint64
	done   int
	total  int
}

// Measure asks an engine what a design says. The engine must have nothing else to do.
func Measure(ctx context.Context, d Design, ask Ask) (*Measured, error) {
	if d.Most < 1 || d.Slots < 0 || d.Short < 1 || d.Long <= d.Short || d.Output < 2*leastSteps || d.Repeat < 1 || d.Chunk < 1 || len(d.Prompts) < 2 {
		return nil, fmt.Errorf("nothing can be measured with at most %d calls at once in %d slots, prompts of %d tokens in batches, answers of %d, steps of %d and %d repetitions: each must be larger",
			d.Most, d.Slots, d.Long, d.Output, d.Chunk, d.Repeat)
	}
	m := &measuring{design: d, ask: ask}
	sizes := m.sizes()
	m.total = 1 + d.Repeat*(aloneRepeat*len(d.Prompts)+2*len(sizes))
	if _, err := m.cell(ctx, Cell{1, d.Short, 2}); err != nil { // wakes up what sleeps
		return nil, err
	}
	for range aloneRepeat * d.Repeat {
		for _, prompt := range d.Prompts {
			if err := m.alone(ctx, prompt); err != nil {
				return nil, err
			}
		}
	}
	for i := 0; i < len(sizes) && !m.Limited; i++ {
		for range d.Repeat {
			if err := m.batch(ctx, sizes[i]); err != nil {
				return nil, err
			}
		}
	}
	if len(m.Samples) == 0 {
		return nil, errors.New("no call's tokens came one after the other")
	}
	return &m.Measured, nil
}

// sizes are the batches, each about twice the one before.
func (m *measuring) sizes() (out []int) {
	limit := m.design.Slots
	if limit == 0 {
		limit = m.design.Most
	}
	for n := 1; n < limit; n *= 2 {
		out = append(out, n)
	}
	return append(out, limit)
}

// cell asks calls alike, all at once.
func (m *measuring) cell(ctx context.Context, c Cell) ([]*Answer, error) {
	if m.design.Told != nil {
		m.design.Told(c, m.done, max(m.total, m.done+1))
	}
	m.done++
	answers := make([]*Answer, c.Batch)
	g, ctx := errgroup.WithContext(ctx)
	for i := range answers {
		m.number++
		q := Question{Prompt: c.Prompt, Output: c.Output, Number: m.number}
		g.Go(func() (err error) {
			answers[i], err = m.ask(ctx, q)
			if err == nil && len(answers[i].Pieces) == 0 {
				err = errors.New("an answer had no text")
			}
			return err
		})
	}
	return answers, g.Wait()
}

// alone times the first token of a prompt.
func (m *measuring) alone(ctx context.Context, prompt int64) error {
	answers, err := m.cell(ctx, Cell{1, prompt, 2})
	if err != nil {
		return err
	}
	a := answers[0]
	read := max(a.Input-a.Cached, 1)
	m.Samples = append(m.Samples, Sample{
		Seconds: a.Pieces[0].Sub(a.Sent).Seconds(), Calls: 1, Steps: float64((read + m.design.Chunk - 1) / m.design.Chunk), Prefill: float64(read), Batch: 1,
	})
	return nil
}

// batch times the tokens of so many calls at once, with short prompts and with long ones.
func (m *measuring) batch(ctx context.Context, n int) error {
	answers, err := m.cell(ctx, Cell{n, m.design.Short, m.design.Output})
	if err != nil {
		return err
	}
	s := look(answers)
	if s.waited > 0 {
		m.Limited = true
	}
	m.Slots = max(m.Slots, n-s.waited)
	m.take(s)
	// Prompts that take half of an answer's steps to be read are all read before the first call ends, so that whoever waits does so for memory.
	prompt := min(m.design.Long, m.design.Chunk*m.design.Output/2/int64(n))
	if m.Full {
		prompt = min(prompt, m.Held*9/10/int64(n)-m.design.Output)
	}
	if prompt < 2*m.design.Short || s.waited > 0 {
		m.done++
		return nil
	}
	if answers, err = m.cell(ctx, Cell{n, prompt, m.design.Output}); err != nil {
		return err
	}
	s = look(answers)
	m.Full = m.Full || s.waited > 0 || s.uneven
	m.take(s)
	return nil
}

// take keeps what a cell showed.
func (m *measuring) take(s *stretch) {
	if s.uneven {
		return
	}
	m.Held = max(m.Held, s.held)
	if s.steps < leastSteps {
		return
	}
	m.Samples = append(m.Samples, s.sample())
	p := Point{Batch: float64(s.running), Prompt: s.prompt, First: s.first.Seconds(), Between: s.time.Seconds() / s.steps}
	if s.running == 1 && m.Alone.Batch == 0 {
		m.Alone = p
	}
	if p.Batch > m.Filled.Batch {
		m.Filled = p
	}
}

// leastSteps is how many steps a stretch must have, so that the moments of its ends do not matter.
const leastSteps = 8

// stretch is the time from which all calls of a cell that run at once produce tokens, until the first of them ends.
type stretch struct {
	running int
	waited  int           // calls whose first token came after the end of another: they found no slot, or no memory
	uneven  bool          // some call stood still: it was set back for want of memory
	first   time.Duration // to the first token of the call that had its last
	time    time.Duration
	steps   float64
	context float64 // tokens, summed over calls and steps
	prompt  float64 // tokens of a call, in the mean
	held    int64   // tokens at the end
}

func (s *stretch) sample() Sample {
	return Sample{Seconds: s.time.Seconds(), Steps: s.steps, Context: s.context, Decoded: s.steps * float64(s.running), Batch: float64(s.running)}
}

// look finds the stretch of a cell.
func look(answers []*Answer) *stretch {
	s := new(stretch)
	end := answers[0].last()
	for _, a := range answers {
		if l := a.last(); l.Before(end) {
			end = l
		}
	}
	var last *Answer // the one that begins the stretch
	for _, a := range answers {
		if a.Pieces[0].After(end) {
			s.waited++
			continue
		}
		s.running++
		s.prompt += float64(a.Input)
		if last == nil || a.Pieces[0].After(last.Pieces[0]) {
			last = a
		}
	}
	s.prompt /= float64(s.running)
	from := last.Pieces[0]
	to := last.Pieces[last.by(end)-1]
	s.first, s.time = from.Sub(last.Sent), to.Sub(from)
	s.steps = last.tokens(last.by(to)) - 1
	for _, a := range answers {
		if a.Pieces[0].After(end) {
			continue
		}
		begin := a.tokens(a.by(from))
		made := a.tokens(a.by(to)) - begin
		if off := made - s.steps; off > max(2, s.steps/10) || off < -max(2, s.steps/10) {
			s.uneven = true
		}
		s.context += s.steps * (float64(a.Input) + begin + (s.steps-1)/2)
		s.held += a.Input + int64(begin+s.steps)
	}
	return s
}

func (a *Answer) last() time.Time { return a.Pieces[len(a.Pieces)-1] }

// by is how many pieces had come by a moment.
func (a *Answer) by(at time.Time) int {
	n, _ := slices.BinarySearchFunc(a.Pieces, at, func(p, at time.Time) int {
		if p.After(at) {
			return 1
		}
		return -1
	})
	return n
}

// tokens is how many tokens were in so many pieces, at least one of them, if the further ones came evenly.
func (a *Answer) tokens(pieces int) float64 {
	if len(a.Pieces) == 1 || pieces < 1 {
		return float64(min(pieces, 1))
	}
	return 1 + float64(pieces-1)*float64(max(a.Output-1, 1))/float64(len(a.Pieces)-1)
}
