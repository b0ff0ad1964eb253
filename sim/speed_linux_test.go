package sim

import (
	"fmt"
	"runtime"
	"testing"

	"forebay/internal/testenv"
)

// Two hundred thousand calls a second are planned on one core, with the scheduler's real steps and the engines'. The mark is held against processor time,
// so that what else runs on the machine does not count.
func TestT16OneCore(t *testing.T) {
	testenv.Long(t)
	const calls, mark = 2_000_000, 200_000
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	p := newPlanning()
	for range 20_000 { // until the engines are full
		p.one()
	}
	busy, ended := testenv.Processor(t), p.ended
	for range calls {
		p.one()
	}
	took := testenv.Processor(t) - busy
	rate := float64(p.ended-ended) / took.Seconds()
	if rate < mark {
		t.Errorf("%.0f calls a second, fewer than %d", rate, mark)
	}
	testenv.Record(t, "T16", fmt.Sprintf("%d calls of a chat on eight engines, simulated on one core: %.0f a second of processor time", calls, rate), fmt.Sprintf("%d a second on one core", mark))
}
