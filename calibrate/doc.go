// Package calibrate finds the coefficients of an engine's model (package perf) from measurements. It has floats, which perf
// must not have; what it gives to others is a perf.Profile, in integers.
//
// There are three ways:
//
//   - Measure drives an engine with a designed set of calls: prompts of several lengths alone, then batches from one
//     call to the limit, each with short and with long contexts. It times tokens as they come.
//   - FromCounters takes the counters that engines publish, second by second, of traffic that was there anyway.
//   - TwoPoint takes one run alone and one at the batch limit.
//
// The first two end in Fit: every sample is a time and what it is made of, in steps, prompt tokens, tokens of
// context and decoding sequences, and the coefficients are the non-negative ones whose relative errors have the least
// sum of squares. Fit refuses samples that do not span what is asked of them, because a model that was fitted on an
// engine before its batch has filled is off by a quarter where it matters.
package calibrate
