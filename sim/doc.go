// Package sim runs the scheduler and the engine model on a virtual clock. It is what dispatch and the engines are in
// service, without sockets or time: every decision is a Step of capacity, every token a step of perf, and the clock jumps from one
// event to the next.
//
// A World is deterministic: the same calls give the same outcomes, to the nanosecond. It is not safe for concurrent use.
package sim
