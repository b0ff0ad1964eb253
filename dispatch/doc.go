// Package dispatch is the live shell of package capacity: it feeds the scheduler with
// events, carries out the actions that come back, and so turns a request into a call of
// an engine. A Dispatcher is an infer.Handler.
//
// One capacity.State lives behind one mutex. Under it an event is stamped with the
// monotonic clock and stepped; the resulting actions are put into the mailboxes of the calls they name, and everything slow (engines, the ledger, refused
// connections) happens outside. An engine never retries: a failure before the first byte
// comes back as a Retry event, and the scheduler says where the call goes next.
//
// Life of a call: Arrive, then Admit or a refusal; an attempt at the replica; Settle
// with what was really used; one ledger row. The row is durable before the last event of
// the response is handed on, so that whoever has read a complete response finds it on the ledger.
//
// Recording: every event can be kept on disk (recording.go), appended under the mutex and written by a goroutine of Run, from its
// beginning until its context ends. Recording gives up rather than make a call wait.
//
// Health: an engine that fails five times in a row, or whose probe fails, is taken out
// as ReplicaDown and comes back as ReplicaUp after a good probe.
package dispatch
