package main

import (
	"syscall"
	"time"
)

// sleepUntil returns at t, to within some 60 us. The runtime's own timers wake up to a millisecond late in an idle
// process, for it waits for the network in whole milliseconds; that would be most of what is measured.
func sleepUntil(t time.Time) {
	for d := time.Until(t); d > 0; d = time.Until(t) {
		ts := syscall.NsecToTimespec(d.Nanoseconds())
		_ = syscall.Nanosleep(&ts, nil) // interrupted by signals of the runtime
	}
}
