//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// A file that reaches its size limit is a full disk, which the ledger knows how to handle; the
// signal that comes with it would end the process.
func init() { signal.Ignore(syscall.SIGXFSZ) }
