package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"forebay/perf"
)

// Calibration is what one replica of an engine can do with a model: measured by `forebay calibrate`, or given. Its name
// is MODEL/ENGINE.
type Calibration struct {
	Step         float64 `yaml:"step_us" doc:"Microseconds of a step of the engine, whatever is in it."`
	PrefillToken float64 `yaml:"prefill_token_us,omitempty" doc:"Microseconds more for every prompt token that is read in the step."`
	ContextToken float64 `yaml:"context_token_us,omitempty" doc:"Microseconds more for every token of context of the calls that produce a token in the step."`
	Sequence     float64 `yaml:"sequence_us,omitempty" doc:"Microseconds more for every call that produces a token in the step."`
	Slots        int32   `yaml:"slots" doc:"Calls that run at once."`
	Chunk        int64   `yaml:"chunk_tokens,omitempty" doc:"Tokens that a step reads and produces at most; 2048 when left out."`
	KV           int64   `yaml:"kv_tokens" doc:"Tokens that its memory holds."`
	UnitInput    int64   `yaml:"unit_input,omitempty" doc:"Input tokens a minute of a model unit on such replicas, where the model has no unit of its own."`
	UnitOutput   int64   `yaml:"unit_output,omitempty" doc:"Output tokens a minute of a model unit."`
	Measured     string  `yaml:"measured,omitempty" format:"time" doc:"When it was measured; what has no date is given."`
	// Intervals are of the coefficients, by their names.
	Intervals map[string]Interval `yaml:"intervals,omitempty" doc:"Intervals that hold a coefficient with a probability of nine in ten, by its name."`
	Samples   int64               `yaml:"samples,omitempty" doc:"Measurements that it was fitted on."`
	LeftOut   int64               `yaml:"left_out,omitempty" doc:"Measurements that something else had disturbed, and that were not fitted."`
	Error     float64             `yaml:"error,omitempty" doc:"Root mean square of the fit's relative errors."`
	KVAtLeast bool                `yaml:"kv_at_least,omitempty" doc:"The memory holds more than kv_tokens: so many were seen, and none had to wait."`
}

// Interval is a range of a coefficient.
type Interval struct {
	Low  float64 `yaml:"low" doc:"Microseconds."`
	High float64 `yaml:"high" doc:"Microseconds."`
}

const usualChunk = 2048

// Profile is the engine's model.
func (c *Calibration) Profile() perf.Profile {
	ps := func(us float64) int64 { return int64(math.Round(us * 1e6)) }
	return perf.Profile{
		Step: ps(c.Step), PrefillToken: ps(c.PrefillToken), ContextToken: ps(c.ContextToken), Sequence: ps(c.Sequence),
		MaxBatch: int(c.Slots), Chunk: cmp.Or(c.Chunk, usualChunk), KV: c.KV, Recompute: 1000,
	}
}

// SplitCalibration returns the model and the engine of a calibration's name.
func SplitCalibration(name string) (model, engine string, ok bool) {
	at := strings.LastIndexByte(name, '/') // ids of models may hold slashes, names of engines do not
	if at < 1 || at == len(name)-1 {
		return "", "", false
	}
	return name[:at], name[at+1:], true
}

func (c *Config) checkCalibrations(k *checker) {
	for _, name := range slices.Sorted(maps.Keys(c.Calibrations)) {
		x, path := c.Calibrations[name], "calibrations."+name
		model, engine, ok := SplitCalibration(name)
		if !ok {
			k.bad(path, "is named MODEL/ENGINE")
			continue
		}
		if !c.binds(model, engine) {
			k.bad(path, "model %q is not bound to an engine %q", model, engine)
		}
		if err := x.check(); err != nil && !k.inside(path+".") {
			k.bad(path, "%v", strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
}

// binds reports whether a model runs on an engine: those without a binding on the simulated one.
func (c *Config) binds(model, engine string) bool {
	m, ok := c.Models[model]
	if len(m.Engines) == 0 {
		return engine == "simulated" && (ok || slices.Contains(c.modelIDs(), model))
	}
	return slices.ContainsFunc(m.Engines, func(b Binding) bool { return b.Engine == engine })
}

// The most that a coefficient or a count may be, so that the integers of package perf hold it.
const maxMicroseconds, maxCount = 3.6e9, 1 << 40

func (c *Calibration) check() error {
	values := []float64{c.Step, c.PrefillToken, c.ContextToken, c.Sequence, c.Error}
	for name, i := range c.Intervals {
		if i.Low > i.High {
			return fmt.Errorf("the interval of %s ends before it begins", name)
		}
		values = append(values, i.Low, i.High)
	}
	for _, v := range values {
		if !(v >= 0 && v <= maxMicroseconds) {
			return fmt.Errorf("%v is no time in microseconds", v)
		}
	}
	if max(c.Chunk, c.KV, c.UnitInput, c.UnitOutput) > maxCount {
		return fmt.Errorf("counts of tokens are at most %d", int64(maxCount))
	}
	if c.Step == 0 {
		return errors.New("step_us is missing: every step costs something")
	}
	if c.UnitInput == 0 && c.UnitOutput > 0 {
		return errors.New("unit_input is missing: a unit that gives answers reads prompts")
	}
	p := c.Profile()
	return p.Validate()
}
