// Package capacity is the scheduler: it admits, queues, places, refuses and settles calls.
//
// It is one function, State.Step: a time and an event go in, actions come out. There is no clock, lock, goroutine, log, float or
// random number in it, and nothing depends on the order of a map, so that the same events give the same actions anywhere: in
// the live shell (package dispatch), in a replay of what it recorded (package eventlog), and on a virtual clock. State.Snapshot and
// Restore carry it from one process to another.
//
// # Model
//
// A call arrives with the limits that apply to it and a route of lanes. A lane is a model served by a pool, the set of replicas behind
// one queue. The call holds on every limit of its lane or on none (hold.go): buckets, which drain at their rate (bucket.go,
// layers.go), and counters, which start again each period (counter.go). A lane of a reservation (reserve.go) charges what was bought as the
// call goes (units.go). It waits in its tier by fairness between accounts and then principals (fair.go, queue.go), or at a seat of its
// reservation (seats.go), gets a slot of a replica (place.go, rack.go) if what was bought by others stays theirs (headroom.go), and runs until
// it is settled, retried or recalled for a call with a better right to its slot (run.go, lend.go).
//
// # Invariants
//
// Each call that arrived gets exactly one terminal action. What calls hold in any interval of length T, less what they were given back, is at
// most depth + rate x T. A caller alone with its limits is admitted exactly after the RetryAfter that it was told. When nothing is in
// flight nothing is held, and when time has passed nothing is filled. What is charged to a reservation within its purchase in every minute is
// never refused, and no call that cannot be recalled starts where it takes what backs another's purchase.
//
// The scripts in testdata show the behaviour with its figures.
package capacity
