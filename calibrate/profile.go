package calibrate

import (
	"math"

	"forebay/perf"
)

// Profile returns an engine with the coefficients, where they hold, and what else an engine is: batch, chunk, memory and the like.
func (c *Coefficients) Profile(rest perf.Profile) perf.Profile {
	rest.Step, rest.PrefillToken = picoseconds(c.Step.Value), picoseconds(c.PrefillToken.Value)
	rest.ContextToken, rest.Sequence = picoseconds(c.ContextToken.Value), picoseconds(c.Sequence.Value)
	rest.Measured = c.Measured
	return rest
}

func picoseconds(s float64) int64 { return int64(math.Round(s * 1e12)) }
