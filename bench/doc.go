// Command bench measures what Forebay adds to a request, beside floors, in one run.
//
// It starts a mock upstream and every target, drives them in turn over several rounds
// so that drift of the machine hits all alike, and writes medians and ratios as a
// table. Everything listens on loopback and stops by itself.
//
//	bench suite   all targets, all phases: what `make bench` runs
//	bench mock    the upstream alone; a model name steers it: mock-60ms, mock-0ms-10000us
//	bench floor   a net/http reverse proxy that checks for a key, parses the JSON body, rewrites the model and
//	              reads the usage: the least that any gateway in Go does with the standard library
//
// Absolute figures differ from machine to machine and hour to hour: quote ratios of one run.
package main
