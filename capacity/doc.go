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
// call goes (units.go). If the pool takes it (accept.go, wait.go, stranded.go) it waits in its tier by fairness between accounts and then principals
// (queue.go, fair.go), or at a seat of its reservation (seats.go). In its turn (turn.go) it gets a slot (admit.go) of a replica (place.go,
// affinity.go, rack.go, pool.go) if what was bought by others stays theirs (headroom.go, apart.go), and runs until it is settled, retried or
// recalled for a call with a better right to its slot (run.go, lend.go).
//
// # Invariants
//
// Each call that arrived gets exactly one terminal action. What calls hold in any interval of length T, less what they were given back, is at
// most depth + rate x T. A caller alone with its limits is admitted exactly after the RetryAfter that it was told. When nothing is in
// flight nothing is held, and when time has passed nothing is filled. What is charged to a reservation within its purchase in every minute is
// never refused, and no call that cannot be recalled starts where it takes what backs another's purchase.
//
// # Rules
//
// The scripts in testdata show each rule with its figures:
//
//	hold.go, bucket.go, layers.go      atomic_holds, hold_settle_refund, drained_hold, debt, over_depth, rebuild, clock
//	counter.go                         calendar, concurrent
//	quota.go, share.go                 quota, shares
//	step.go                            spill, spill_budget
//	reserve.go, units.go               reservation, reservation_config, reservation_example, reservation_parts
//	headroom.go, seats.go              headroom, headroom_memory, headroom_large, oversized, sold_out, reservation_teams
//	apart.go                           isolation, isolation_parts, isolation_recall, isolation_memory, isolation_order
//	lend.go                            lending, recall, recall_of_use_to_somebody
//	queue.go, fair.go, turn.go         tiers, fair_queue
//	accept.go, deadline.go, wait.go    queue_room, deadline, reservation_latency
//	place.go, affinity.go, rack.go     placement, weights, standby
//	pool.go, run.go, stranded.go       replica_down, memory_shrinks, retry_and_exclude, stranded
//	scale.go                           elastic, elastic_sold, starting
//	explain.go, explain_slots.go       explain, reservation_explain
package capacity
