//go:build !linux

package main

import "time"

// sleepUntil returns at t, or as much later as the runtime's timers are coarse.
func sleepUntil(t time.Time) { time.Sleep(time.Until(t)) }
