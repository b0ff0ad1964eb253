package server

import (
	"context"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"time"
)

const (
	// ballast is memory that is never touched, and so takes none of the machine's: it only makes the collector
	// believe that this much is in use. It lets garbage grow by as much before the next cycle, whatever else is in
	// use, where a percentage would be too little for a small heap and too much for a large one.
	ballast = 16 << 20

	// A server that allocates less than quietRate a second, and has allocated more than worthTrimming since it was trimmed last,
	// collects and returns what a burst of streams or large bodies took. A cycle of the collector's own in between does not do:
	// it leaves stacks too large, and keeps what it has freed.
	quietRate     = 1 << 20
	worthTrimming = 8 << 20
	trimEvery     = time.Second
)

// tendMemory keeps the collector's cycles rare under load, and gives memory back after it.
func tendMemory(ctx context.Context) {
	weight := make([]byte, ballast)
	defer runtime.KeepAlive(weight)
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	var m memory
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if m.look() {
				trim()
			}
		}
	}
}

// trim collects and returns what is free. A cycle halves the stacks that have become too large, once: those who wait
// for a client or an engine need three to come down from what their goroutines began with.
func trim() {
	runtime.GC()
	runtime.GC()
	debug.FreeOSMemory()
}

// memory is what was seen of the heap.
type memory struct {
	allocated uint64 // bytes since the program began, at the last look
	trimmed   uint64 // of these, when it was trimmed last
}

// look reports whether the heap is worth trimming now.
func (m *memory) look() bool {
	s := []runtimemetrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	runtimemetrics.Read(s)
	return m.worth(s[0].Value.Uint64())
}

func (m *memory) worth(allocated uint64) bool {
	quiet := allocated-m.allocated < quietRate
	m.allocated = allocated
	if !quiet || allocated-m.trimmed < worthTrimming {
		return false
	}
	m.trimmed = allocated
	return true
}
