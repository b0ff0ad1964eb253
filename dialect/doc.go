// Package dialect knows the JSON languages in which models are called: one or two files per family.
//
// A Codec reads and writes one dialect in both directions. Towards clients it inspects a
// body for what admission needs (without decoding it), decodes it into infer.Chat or
// infer.Embed, and encodes results and event streams. Towards engines it encodes
// requests and decodes results and streams. A body whose dialect the engine speaks is
// never decoded: Inspect is all that happens to it.
//
// A conversion refuses what the other dialect cannot express, naming it, or drops it and
// says so where the caller allowed that; it never ignores it in silence.
package dialect
