package cli

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"forebay/calibrate"
)

// An engine's page of metrics gives its coefficients back: 20 ms a step, 50 us a prompt token, 100 ns a token of context and 200 us a
// call, of an engine whose load goes up and down.
func TestMetricsGiveTheEngineBack(t *testing.T) {
	const seconds, kv = 90, 100_000
	at := func(i int) (running, prompt, held float64) {
		running = 1 + float64(i%30)
		return running, 100 * float64(i*7%11), running * (200 + 40*float64(i*5%13))
	}
	looks, prompts, generated := 0, 1e6, 2e6 // counters since the engine began
	engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		running, prompt, held := at(looks)
		if looks > 0 {
			before, _, heldBefore := at(looks - 1)
			mean := (running + before) / 2
			prompts += prompt
			generated += mean * (1 - 50e-6*prompt) / (0.020 + 200e-6*mean + 100e-9*(held+heldBefore)/2)
		}
		looks++
		_, _ = fmt.Fprintf(w, `# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="a {model}"} %g
vllm:generation_tokens_total{engine="0",model_name="a {model}"} %g 1700000000000
vllm:num_requests_running{engine="0"} %g
vllm:num_requests_waiting{engine="0"} 0
vllm:kv_cache_usage_perc{engine="0"} %g
vllm:gpu_cache_usage_perc{engine="0"} %g
`, prompts, generated, running, held/kv, held/kv)
	}))
	defer engine.Close()
	ticks := make(chan time.Time, seconds+1)
	for i := range seconds + 1 {
		ticks <- time.Unix(int64(i), 0)
	}
	close(ticks)
	told := 0
	list, err := followMetrics(t.Context(), engine.URL, kv, ticks, func(n int) { told = n })
	if err != nil || len(list) != seconds || told != seconds {
		t.Fatalf("%d counters, %d told, %v", len(list), told, err)
	}
	fit, err := calibrate.Fit(calibrate.FromCounters(list), calibrate.Span{Batch: 30, Block: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		what      string
		got, want float64
	}{{"a step", fit.Step.Value, 0.020}, {"a prompt token", fit.PrefillToken.Value, 50e-6}, {"a token of context", fit.ContextToken.Value, 100e-9}, {"a call", fit.Sequence.Value, 200e-6}} {
		if math.Abs(x.got-x.want) > 0.02*x.want {
			t.Errorf("%s: %g, want %g", x.what, x.got, x.want)
		}
	}
}

// Pages that say nothing of steps, and engines that end meanwhile, are told.
func TestMetricsThatCannotBeFollowed(t *testing.T) {
	const whole = "vllm:prompt_tokens_total 5\nvllm:generation_tokens_total 5\nvllm:num_requests_running 1\nvllm:kv_cache_usage_perc 0.5\n"
	for want, pages := range map[string][]string{
		"has no vllm:prompt_tokens_total":        {"llamacpp:prompt_tokens_total 5\n"},
		"has neither vllm:kv_cache_usage_perc":   {strings.Replace(whole, "vllm:kv", "x:kv", 1)},
		"500 Internal Server Error":              {""},
		"the engine was started again while it ": {whole, strings.ReplaceAll(whole, " 5", " 4")},
	} {
		n := 0
		engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if pages[n] == "" {
				w.WriteHeader(http.StatusInternalServerError)
			}
			_, _ = w.Write([]byte(pages[n]))
			n = min(n+1, len(pages)-1)
		}))
		ticks := make(chan time.Time, 2)
		ticks <- time.Unix(1, 0)
		ticks <- time.Unix(2, 0)
		close(ticks)
		if list, err := followMetrics(t.Context(), engine.URL, 1000, ticks, func(int) {}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v %v, want %q", list, err, want)
		}
		engine.Close()
	}
}
