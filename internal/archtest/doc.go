// Package archtest holds the rules of docs/architecture.md as a test: which package may
// import which, what pure packages must not touch, and the size of files and functions. Each failure
// says the reason and what to do.
package archtest
