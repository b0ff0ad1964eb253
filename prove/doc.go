// Package prove runs experiments that show what a reservation holds: real calls over real sockets, against a server with
// simulated engines of its own or an operator's pool, with figures that carry their uncertainty.
//
// A latency is compared by confidence limits, never by two point estimates: a quantile has an upper limit from its order statistics,
// a ratio of two runs one from a bootstrap of blocks of time, since calls that follow each other wait for the same thing.
package prove
