// Package perf is the model of an inference engine with continuous batching, in integers
// and without a clock. One step of the engine takes
//
//	Step + PrefillToken x prompt tokens read + ContextToken x context of decoding sequences + Sequence x decoding sequences
//
// Every sequence that has read its prompt produces one token in each step; the step that
// reads the last of a prompt produces the first token. A step spends at most Chunk
// tokens, one for each decoding sequence first and the rest on prompts, first come first
// served. Sequences hold KV memory in blocks; a prompt is admitted when all of it fits, and when
// a running sequence needs a block and none is free, the newest one is set
// back to the head of the queue and reads again the share Recompute of what it held.
//
// The form of the step time is that of the published engine simulators (Vidur, BLIS); the
// scheduling rules are those of vLLM's V1 scheduler (chunked prefill, full prompt
// reserved, preemption by recomputation); the figures are in Profiles with their sources.
//
// Time is nanoseconds from any origin. Coefficients are picoseconds and what does not
// make up a nanosecond is carried to the next step, so that a thousand steps taken one by
// one end exactly where one jump over them ends. An Engine is driven by its user:
//
//   - Step(now) carries out every step that has ended by now. It must be called before Add or Remove at that instant.
//   - NextWake is the end of the step under way: a live engine sleeps until then.
//   - NextChange is the next instant at which more happens than one more token for each
//     decoding sequence: a simulator jumps there, over thousands of steps at once.
//
// Both ways give the same results to the nanosecond. Order is by arrival only; there are no maps.
//
// From the same profile come the figures that reservations are sold by: Among (W, the time of a call in a full
// engine), Headroom (the slots and the memory that back a demand, with its wait), Pool.Room (what is left to sell) and Pool.Unit.
package perf
