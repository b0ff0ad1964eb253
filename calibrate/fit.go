package calibrate

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"forebay/perf"
)

// Sample is a time that was measured and what it is made of.
type Sample struct {
	Seconds float64 `json:"seconds"`
	Calls   float64 `json:"calls,omitzero"`   // times that a call's way to the engine and back is in it
	Steps   float64 `json:"steps"`            // of the engine
	Prefill float64 `json:"prefill,omitzero"` // prompt tokens read
	Context float64 `json:"context,omitzero"` // tokens of context, summed over decoding sequences and steps
	Decoded float64 `json:"decoded,omitzero"` // tokens produced, one for each decoding sequence and step
	Batch   float64 `json:"batch"`            // sequences that decoded at once, in the mean; for coverage and plots
}

// The coefficients, in the order of a vector.
const (
	termCall = iota
	termStep
	termPrefill
	termContext
	termSequence
)

var termNames = [terms]string{"call", "step", "prefill token", "context token", "sequence"}

// row is the sample in relative terms: it is to sum up to one.
func (s *Sample) row() vector {
	return vector{s.Calls / s.Seconds, s.Steps / s.Seconds, s.Prefill / s.Seconds, s.Context / s.Seconds, s.Decoded / s.Seconds}
}

// Estimate is a coefficient in seconds, with the interval that holds it with a probability of nine in ten.
type Estimate struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Coefficients are the result of a fit.
type Coefficients struct {
	Call         Estimate `json:"call"` // a call's way to the engine and back, no part of the engine
	Step         Estimate `json:"step"`
	PrefillToken Estimate `json:"prefillToken"`
	ContextToken Estimate `json:"contextToken"`
	Sequence     Estimate `json:"sequence"`

	Measured perf.Range `json:"measured"` // where they hold

	Samples int     `json:"samples"` // that were fitted
	LeftOut int     `json:"leftOut"` // others, which something else had disturbed
	Error   float64 `json:"error"`   // root mean square of the relative errors of those that were fitted
	Worst   float64 `json:"worst"`   // largest of them
}

// Predict is the time of a sample by the coefficients.
func (c *Coefficients) Predict(s *Sample) float64 {
	return c.Call.Value*s.Calls + c.Step.Value*s.Steps + c.PrefillToken.Value*s.Prefill + c.ContextToken.Value*s.Context + c.Sequence.Value*s.Decoded
}

// Uncovered says what samples do not span. Its text is for people.
type Uncovered struct{ Missing []string }

func (u *Uncovered) Error() string {
	return "the samples do not span what the model is to tell: " + strings.Join(u.Missing, "; ")
}

// Span is what samples must span.
type Span struct {
	Batch int // the most sequences that run at once
	// Block is the number of consecutive samples that are alike by chance: 1 for designed ones, the length of a typical call
	// in samples for counters. Intervals are computed by drawing such blocks.
	Block int
	// Within asks for coefficients that hold where the samples are, and nowhere else. Of an engine that is always full, the cost of a step cannot be told from
	// that of its context, and need not be as long as it stays full; Coefficients.Measured says where that is.
	Within bool
}

const (
	resamples = 400
	tail      = 20 // of the resamples, on either side of an interval of nine in ten
	// least tolerance of a column: below it, an error of measurement grows more than eighteenfold in its coefficient.
	leastTolerance = 0.003
	// minSpread is the least ratio of the largest batch to the smallest.
	minSpread = 4
	perTerm   = 3 // samples, at least
)

// Fit finds the coefficients, without samples that were disturbed (see undisturbed). Its error is Uncovered where the samples cannot tell.
func Fit(samples []Sample, span Span) (*Coefficients, error) {
	for i := range samples {
		if s := &samples[i]; !(s.Seconds > 0) || min(s.Calls, s.Steps, s.Prefill, s.Context, s.Decoded) < 0 || math.IsInf(s.Seconds, 0) {
			return nil, fmt.Errorf("sample %d is no measurement: %+v", i+1, *s)
		}
	}
	rows, missing := spanned(samples, span)
	if len(missing) > 0 {
		return nil, &Uncovered{missing}
	}
	all := len(samples)
	if near := undisturbed(samples, rows); (all-len(near))*mostLeftOut <= all {
		if r, missing := spanned(near, span); len(missing) == 0 {
			samples, rows = near, r
		}
	}
	x, weights := robust(rows)
	if x[termStep] == 0 {
		return nil, errors.New("the fit is degenerate: a step costs nothing in it; the samples are no steps of one engine")
	}
	low, high := intervals(rows, weights, max(span.Block, 1), &x)
	c := &Coefficients{Samples: len(samples), LeftOut: all - len(samples), Measured: RangeOf(samples)}
	for i, e := range []*Estimate{&c.Call, &c.Step, &c.PrefillToken, &c.ContextToken, &c.Sequence} {
		*e = Estimate{Value: x[i], Low: low[i], High: high[i]}
	}
	for i := range samples {
		off := math.Abs(c.Predict(&samples[i])/samples[i].Seconds - 1)
		c.Error += off * off / float64(len(samples))
		c.Worst = max(c.Worst, off)
	}
	c.Error = math.Sqrt(c.Error)
	return c, nil
}

// spanned returns the rows of samples, and what these do not span.
func spanned(samples []Sample, span Span) (rows []vector, missing []string) {
	rows = make([]vector, len(samples))
	var all normal
	for i := range samples {
		rows[i] = samples[i].row()
		all.add(&rows[i], 1)
	}
	return rows, uncovered(samples, &all, span)
}

// Samples that are left out.
const (
	// biweight is how many deviations off a sample has no say at all; the estimate of errors that are normal has 95 % of the efficiency of
	// least squares then.
	biweight = 4.685
	// leastOff is a relative error that is no disturbance, however exact the other samples are: no engine is a line to a twentieth.
	leastOff = 0.05
	// mostLeftOut is of how many samples one is left out at most. Of more, it is not they that are wrong.
	mostLeftOut = 4
)

// undisturbed returns the samples without those that something else had disturbed: a machine that did other work, a pause. From the fit of robust
// on it weights each sample by Tukey's biweight, which takes all say from one that is far off (Beaton and Tukey, Technometrics 16, 1974), until
// the weights stand. The deviation is by the median of the absolute errors (Hampel, JASA 69, 1974), with the correction for few samples of Rousseeuw
// and Leroy (Robust Regression and Outlier Detection, 1987, chapter 5), whose advice it is to leave such samples out and to fit the others again.
func undisturbed(samples []Sample, rows []vector) []Sample {
	const rounds = 50
	x, _ := robust(rows)
	off := make([]float64, len(rows))
	var cut float64
	for range rounds {
		errorsOf(rows, &x, off)
		deviation := median(off) / normalMedian * (1 + 5/float64(len(rows)-terms))
		cut = max(biweight*deviation, leastOff)
		var n normal
		for i := range rows {
			if u := off[i] / cut; u < 1 {
				n.addWeighted(&rows[i], 1, (1-u*u)*(1-u*u))
			}
		}
		next := n.nonNegative()
		if next == x {
			break
		}
		x = next
	}
	near := make([]Sample, 0, len(samples))
	for i := range samples {
		if off[i] <= cut {
			near = append(near, samples[i])
		}
	}
	return near
}

// normalMedian is the median of the absolute errors that are normal, in deviations.
const normalMedian = 0.6745

// errorsOf fills in how far each sample is off, relative to what was measured.
func errorsOf(rows []vector, x *vector, off []float64) {
	for i := range rows {
		off[i] = -1
		for k := range terms {
			off[i] += rows[i][k] * x[k]
		}
		off[i] = math.Abs(off[i])
	}
}

func median(v []float64) float64 { return slices.Sorted(slices.Values(v))[len(v)/2] }

// robust fits samples so that a few that were disturbed do not draw the others after them: a sample further off than the
// measure below counts in proportion to it (Huber, Annals of Mathematical Statistics 35, 1964), by reweighting until
// the weights stand. Where nothing is disturbed all weights are near one.
func robust(rows []vector) (x vector, weights []float64) {
	const rounds = 20
	weights = make([]float64, len(rows))
	for i := range weights {
		weights[i] = 1
	}
	off := make([]float64, len(rows))
	for range rounds {
		var n normal
		for i := range rows {
			n.addWeighted(&rows[i], 1, weights[i])
		}
		x = n.nonNegative()
		errorsOf(rows, &x, off)
		// Beyond 2.5 deviations is one of eighty errors that are normal, so that the weights say little of samples that nothing has
		// disturbed, and intervals need not draw them again.
		near := 2.5 / normalMedian * median(off)
		if near < 1e-9 {
			return x, weights
		}
		for i := range weights {
			weights[i] = min(1, near/max(off[i], near))
		}
	}
	return x, weights
}

// intervals draws blocks of samples again and again and fits each draw; an interval leaves out a twentieth of the draws on either
// side. It always holds the estimate itself.
func intervals(rows []vector, weights []float64, block int, x *vector) (low, high vector) {
	r := rand.New(rand.NewPCG(uint64(len(rows)), 0)) //nolint:gosec // the same samples give the same intervals
	block = min(block, max(1, len(rows)/5))
	var drawn [terms][]float64
	for range resamples {
		var n normal
		for taken := 0; taken < len(rows); {
			at := r.IntN(len(rows))
			for k := 0; k < block && taken < len(rows); k, taken = k+1, taken+1 {
				i := (at + k) % len(rows)
				n.addWeighted(&rows[i], 1, weights[i])
			}
		}
		fit := n.nonNegative()
		for i := range terms {
			drawn[i] = append(drawn[i], fit[i])
		}
	}
	// Draws spread less than what the samples were drawn from, by the freedom that the coefficients took of each sample (as the
	// estimator HC3 of MacKinnon and White, Journal of Econometrics 29, 1985, has it of residuals).
	wider := float64(len(rows)) / float64(max(len(rows)-terms, 1))
	for i := range terms {
		slices.Sort(drawn[i])
		low[i] = max(0, x[i]-wider*max(0, x[i]-drawn[i][tail]))
		high[i] = x[i] + wider*max(0, drawn[i][resamples-1-tail]-x[i])
	}
	return low, high
}

// RangeOf is where samples lie. How long the prompts were is known of those that were timed alone, and not of counters.
func RangeOf(samples []Sample) perf.Range {
	var r perf.Range
	for i := range samples {
		s := &samples[i]
		if s.Calls > 0 {
			r.Prompt = max(r.Prompt, int64(s.Prefill))
		}
		if s.Decoded <= 0 || s.Steps <= 0 {
			continue
		}
		if n := max(1, int(s.Batch)); r.Least == 0 || n < r.Least {
			r.Least = n
		}
		r.Most = max(r.Most, int(math.Ceil(s.Batch)))
		r.Context = max(r.Context, int64(math.Ceil(s.Context/s.Steps)))
	}
	return r
}

// uncovered lists what samples do not span.
func uncovered(samples []Sample, all *normal, span Span) (missing []string) {
	var prefill, plain bool
	var low, high float64
	for i := range samples {
		s := &samples[i]
		prefill = prefill || s.Prefill > 0
		plain = plain || s.Decoded > 0 && s.Prefill*10 < s.Decoded*s.Batch
		if s.Decoded > 0 {
			if low == 0 || s.Batch < low {
				low = s.Batch
			}
			high = max(high, s.Batch)
		}
	}
	if n := perTerm * terms; len(samples) < n {
		missing = append(missing, fmt.Sprintf("there are %d, of at least %d", len(samples), n))
	}
	if !prefill {
		missing = append(missing, "in none was a prompt read")
	}
	if !plain {
		missing = append(missing, "in none did sequences mostly decode")
	}
	if span.Within {
		return missing
	}
	limit := float64(max(span.Batch, 1))
	if most := max(1.5, high/minSpread); low > most {
		missing = append(missing, fmt.Sprintf("the batch was never below %.1f; it went up to %.1f", low, high))
	}
	if least := 0.8 * limit; high < least {
		missing = append(missing, fmt.Sprintf("the batch went up to %.1f of %d", high, span.Batch))
	}
	set := 0
	for i := range terms {
		if all.a[i][i] > 0 {
			set |= 1 << i
		}
	}
	for i := range terms {
		if set>>i&1 == 0 {
			if i != termCall && i != termPrefill {
				missing = append(missing, "nothing tells of the cost of a "+termNames[i])
			}
			continue
		}
		if t := all.tolerance(i, set); t < leastTolerance {
			missing = append(missing, fmt.Sprintf("the cost of a %s cannot be told from the others (%.1f %% of it is its own)", termNames[i], 100*t))
		}
	}
	return missing
}
