package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"forebay/calibrate"
)

// What vLLM publishes of itself and adds up at each step (its documentation, "Production Metrics"). Other engines add tokens up when a
// call ends, which says nothing of steps.
const (
	vllmPrompt    = "vllm:prompt_tokens_total"
	vllmGenerated = "vllm:generation_tokens_total"
	vllmRunning   = "vllm:num_requests_running"
	vllmWaiting   = "vllm:num_requests_waiting"
	vllmMemory    = "vllm:kv_cache_usage_perc"  // a fraction, whatever its name says
	vllmMemoryOld = "vllm:gpu_cache_usage_perc" // of older versions
)

// maxMetrics bounds what is read of a page of metrics.
const maxMetrics = 16 << 20

// followMetrics looks at an engine's page of metrics at each tick, and returns what it did between them. kv are the tokens that its
// memory holds. It ends with the ticks.
func followMetrics(ctx context.Context, url string, kv int64, ticks <-chan time.Time, told func(n int)) ([]calibrate.Counter, error) {
	var out []calibrate.Counter
	var before map[string]float64
	var last time.Time
	for at := range ticks {
		now, err := readMetrics(ctx, url)
		if err != nil {
			return nil, err
		}
		if before != nil {
			c := calibrate.Counter{
				Seconds: at.Sub(last).Seconds(), Prompt: now[vllmPrompt] - before[vllmPrompt], Generated: now[vllmGenerated] - before[vllmGenerated],
				Running: now[vllmRunning], Waiting: now[vllmWaiting], KV: (now[vllmMemory] + now[vllmMemoryOld]) * float64(kv),
			}
			if c.Prompt < 0 || c.Generated < 0 {
				return nil, fmt.Errorf("%s: the engine was started again while it was followed", url)
			}
			out = append(out, c)
		}
		before, last = now, at
		told(len(out))
	}
	return out, ctx.Err()
}

// readMetrics reads a page of metrics in Prometheus's text form. Series of one name are added up.
func readMetrics(ctx context.Context, url string) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, res.Status)
	}
	out := map[string]float64{}
	lines := bufio.NewScanner(io.LimitReader(res.Body, maxMetrics))
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), " ")
		if i := strings.IndexByte(lines.Text(), '{'); i >= 0 && i < len(name) { // labels may have spaces
			name = lines.Text()[:i]
			rest = lines.Text()[strings.LastIndexByte(lines.Text(), '}')+1:]
		}
		value, _, _ := strings.Cut(strings.TrimSpace(rest), " ") // a time may follow
		if v, err := strconv.ParseFloat(value, 64); err == nil && !strings.HasPrefix(name, "#") {
			out[name] += v
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	for _, name := range []string{vllmPrompt, vllmGenerated, vllmRunning} {
		if _, ok := out[name]; !ok {
			return nil, fmt.Errorf("%s has no %s: the counters of vLLM are followed, which adds them up at each step", url, name)
		}
	}
	_, ok := out[vllmMemory]
	if _, old := out[vllmMemoryOld]; !ok && !old {
		return nil, fmt.Errorf("%s has neither %s nor %s", url, vllmMemory, vllmMemoryOld)
	}
	if ok {
		delete(out, vllmMemoryOld)
	}
	return out, nil
}

// followed are the counters of an engine that is followed for a while.
func (c *calibrateCmd) followed(e *env) ([]calibrate.Counter, error) {
	n := int(c.For / time.Second)
	if n < 10 {
		return nil, errors.New("--for must be 10s or more: the engine is looked at each second")
	}
	ctx, stop := context.WithCancel(e.ctx)
	defer stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	ticks := make(chan time.Time)
	go func() {
		defer close(ticks)
		for range n + 1 {
			select {
			case at := <-tick.C:
				select {
				case ticks <- at:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	list, err := followMetrics(ctx, c.Metrics, c.KV, ticks, func(done int) {
		if e.Terminal {
			_, _ = fmt.Fprintf(e.Err, "\r\x1b[Kfollowed for %d of %d s", done, n)
		}
	})
	if e.Terminal {
		_, _ = fmt.Fprint(e.Err, "\r\x1b[K")
	}
	return list, err
}
