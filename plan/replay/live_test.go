package replay_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"forebay/capacity"
	"forebay/capacity/eventlog"
	"forebay/catalog"
	"forebay/dispatch"
	"forebay/engine/simulated"
	"forebay/identity"
	"forebay/infer"
	"forebay/internal/testenv"
	"forebay/meter"
	"forebay/perf"
	"forebay/plan/replay"
	"forebay/workload"

	"github.com/go-json-experiment/json"
)

// The live run: calls of one key to two engines of three slots each, more than its quota lets in, and at times more than the engines take at once.
const (
	liveEngines, liveSlots, liveQueue = 2, 3, 20
	liveRequests, liveTokens          = 170, 100_000 // a minute
	liveMax                           = 400          // max_tokens
	liveCalls                         = 2000
	liveRate                          = 3.0 // calls a second
)

// sent is a call as its client made it, and how it went.
type sent struct {
	Input, Output int64
	Refused       bool
	First, Whole  float64 // seconds, of one that was served
}

func liveProfile(t *testing.T) perf.Profile {
	t.Helper()
	p, err := perf.Named("llama-3.1-8b/rtx-pro-6000")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// rows is a ledger in memory.
type rows struct {
	mu   sync.Mutex
	byID map[string]meter.Record
}

func (b *rows) Append(_ context.Context, r *meter.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.byID[r.RequestID] = *r
	return nil
}

func (b *rows) Healthy() error { return nil }

// live serves calls with the live dispatcher and engines that take their time, on the virtual clock of a bubble, and records the scheduler's events into a
// folder. Goroutines, mailboxes, timers and streams are those of service; only time is not waited for.
func live(t *testing.T, dir string) []sent {
	t.Helper()
	var calls []sent
	synctest.Test(t, func(t *testing.T) {
		book := &rows{byID: map[string]meter.Record{}}
		d := dispatch.New(dispatch.Options{Recorder: book, Log: slog.New(slog.DiscardHandler), Recording: dispatch.Recording{Dir: dir}})
		top := dispatch.Topology{
			Models:   []dispatch.Model{{ID: "m", Entry: &catalog.Model{ID: "m", Burndown: 1000}, MaxOutput: 4096, Burndown: 1000, MaxQueue: liveQueue}},
			Accounts: []dispatch.Account{{ID: "000000000001", Zone: time.UTC}},
			Keys:     []dispatch.Scope{{ID: "key", Account: "000000000001", Limits: identity.Limits{RequestsPerMinute: liveRequests, TokensPerMinute: liveTokens}}},
		}
		for i := range liveEngines {
			e, err := simulated.New(simulated.Options{Profile: liveProfile(t), Directives: true})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = e.Close() }()
			name := fmt.Sprintf("engine%d", i)
			top.Engines = append(top.Engines, dispatch.Engine{Name: name, Client: e})
			top.Models[0].Bindings = append(top.Models[0].Bindings, dispatch.Binding{Engine: name, Slots: liveSlots})
		}
		if err := d.Configure(top); err != nil {
			t.Fatal(err)
		}
		d.BeginRecording()
		ctx, cancel := context.WithCancel(t.Context())
		var running, clients sync.WaitGroup
		running.Go(func() { _ = d.Run(ctx) })
		r := rand.New(rand.NewPCG(13, 0))
		for i := range liveCalls {
			time.Sleep(time.Duration(r.ExpFloat64() / liveRate * 1e9))
			c := sent{
				Input: 20 + int64(min(r.ExpFloat64()*800, 3500)), Output: 1 + int64(min(r.ExpFloat64()*120, liveMax-1)),
			}
			calls = append(calls, c)
			clients.Go(func() { ask(t, d, i, &c) })
		}
		clients.Wait()
		cancel()
		running.Wait()
		d.Close()
		for i := range calls {
			row := book.byID[strconv.Itoa(i)]
			calls[i].Refused, calls[i].First, calls[i].Whole = row.Outcome != meter.OutcomeOK, row.FirstToken.Seconds(), row.Total.Seconds()
			if !calls[i].Refused && (row.Input != calls[i].Input || row.Output != calls[i].Output) {
				t.Errorf("call %d: %d and %d tokens, of %+v", i, row.Input, row.Output, calls[i])
			}
		}
	})
	return calls
}

// ask makes a call and reads its answer. The simulated engine's tokens have four bytes, and a message three more of them.
func ask(t *testing.T, d *dispatch.Dispatcher, number int, c *sent) {
	text := fmt.Sprintf("[[tokens:%d]]", c.Output)
	text += strings.Repeat("x", 4*int(c.Input-3)-len(text))
	resp, err := d.Infer(t.Context(), &infer.Request{
		ID: strconv.Itoa(number), Caller: infer.Caller{Account: "000000000001", Key: "key"}, Model: "m", ModelAsked: "m", Stream: true, Arrived: time.Now(),
		Facts: infer.Facts{TextBytes: int64(len(text)), MaxTokens: liveMax},
		Chat:  &infer.Chat{Messages: []infer.Message{{Role: infer.RoleUser, Content: []infer.Block{{Kind: infer.BlockText, Text: text}}}}},
	})
	if err != nil {
		return // it is on the ledger
	}
	defer func() { _ = resp.Close() }()
	for {
		if _, err := resp.Next(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Errorf("call %d: %v", number, err)
			return
		}
	}
}

// verdict is how a recorded run compares with what the scheduler of this build makes of it.
type verdict struct {
	Events, Differ int // of the record, and those that give other actions than then
	Refused        int64
	First, Whole   float64 // seconds, means of the calls served, from the arrivals alone
}

// judge replays a recorded run: all its events through the scheduler, and its arrivals alone through the planner.
func judge(t *testing.T, dir string, calls []sent) verdict {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.events"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	log, err := eventlog.NewReader(bufio.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	var v verdict
	var arrivals []workload.Request
	if err := eventlog.Replay(log, func(rec *eventlog.Record, _ []capacity.Action, same bool) error {
		if rec.Name != "" {
			return nil
		}
		v.Events++
		if !same {
			v.Differ++
		}
		if rec.Event.Kind == capacity.EventArrive {
			c := &calls[len(arrivals)] // they come one by one, in order
			arrivals = append(arrivals, workload.Request{At: time.Duration(rec.Now), Input: c.Input, Output: c.Output, MaxOutput: rec.Event.MaxOutput})
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(arrivals) != len(calls) {
		t.Fatalf("%d calls arrived of %d", len(arrivals), len(calls))
	}
	res, err := replay.Run(t.Context(), func(yield func(workload.Request, error) bool) {
		for _, q := range arrivals {
			if !yield(q, nil) {
				return
			}
		}
	}, replay.Serving{
		Burndown: 1000, MaxOutput: 4096, Quota: replay.Quota{Requests: liveRequests, Tokens: liveTokens},
		Engines: liveEngines, Slots: liveSlots, Profile: liveProfile(t), MaxQueue: liveQueue,
	})
	if err != nil {
		t.Fatal(err)
	}
	v.Refused, v.First, v.Whole = res.Refused, res.First.Mean().Seconds(), res.Whole.Mean().Seconds()
	return v
}

// bounds are those within which the planner must meet the live run: of refusals, 2.576 standard deviations of so many calls that are refused by chance; of
// the mean times, the 99 % interval of the live ones by the means of batches of calls that follow each other, which leaves them their dependence.
type bounds struct {
	refused            float64
	refusals           int64
	first, whole       float64 // seconds
	firstHalf, allHalf float64
}

func boundsOf(calls []sent) bounds {
	const batches, t99 = 20, 2.861 // Student's, 19 degrees
	var b bounds
	var firsts, wholes []float64
	for i := range calls {
		if calls[i].Refused {
			b.refusals++
			continue
		}
		firsts, wholes = append(firsts, calls[i].First), append(wholes, calls[i].Whole)
	}
	p := float64(b.refusals) / float64(len(calls))
	b.refused = 2.576 * math.Sqrt(float64(len(calls))*p*(1-p))
	interval := func(v []float64) (mean, half float64) {
		var means []float64
		for part := range slices.Chunk(v, (len(v)+batches-1)/batches) {
			sum := 0.0
			for _, x := range part {
				sum += x
			}
			means = append(means, sum/float64(len(part)))
			mean += sum / float64(len(v))
		}
		square := 0.0
		for _, m := range means {
			square += (m - mean) * (m - mean) / float64(len(means)-1)
		}
		return mean, t99 * math.Sqrt(square/float64(len(means)))
	}
	b.first, b.firstHalf = interval(firsts)
	b.whole, b.allHalf = interval(wholes)
	return b
}

// outside says what of a verdict is beyond the bounds.
func (b *bounds) outside(v *verdict) []string {
	var out []string
	if off := float64(v.Refused - b.refusals); math.Abs(off) > b.refused {
		out = append(out, fmt.Sprintf("%d refused, live %d +- %.0f", v.Refused, b.refusals, b.refused))
	}
	if off := v.First - b.first; math.Abs(off) > b.firstHalf {
		out = append(out, fmt.Sprintf("mean first token %.3f s, live %.3f +- %.3f", v.First, b.first, b.firstHalf))
	}
	if off := v.Whole - b.whole; math.Abs(off) > b.allHalf {
		out = append(out, fmt.Sprintf("mean answer %.3f s, live %.3f +- %.3f", v.Whole, b.whole, b.allHalf))
	}
	return out
}

// All events of a live run give, replayed, the actions that were taken live, bit for bit; its arrivals alone, given to the planner, give as many refusals
// and as long times as it had.
func TestT13ReplayOfALiveRun(t *testing.T) {
	dir := t.TempDir()
	calls := live(t, dir)
	b := boundsOf(calls)
	if p := float64(b.refusals) / liveCalls; p < 0.1 || p > 0.6 || b.first < 0.1 {
		t.Errorf("the run tells little: %.0f %% refused, first tokens after %.3f s", 100*p, b.first)
	}
	v := judge(t, dir, calls)
	if v.Differ != 0 || v.Events < 3*liveCalls/2 {
		t.Errorf("%d of %d events give other actions", v.Differ, v.Events)
	}
	if out := b.outside(&v); len(out) > 0 {
		t.Error(strings.Join(out, "; "))
	}
	testenv.Record(t, "T13", fmt.Sprintf("%d events of a live run of %d calls, replayed: %d give other actions", v.Events, liveCalls, v.Differ), "the actions that were taken live, bit for bit")
	testenv.Record(t, "T13", fmt.Sprintf("its arrivals alone, planned: %d refused, mean first token %.3f s, mean answer %.3f s", v.Refused, v.First, v.Whole),
		fmt.Sprintf("live: %d +- %.0f (2.576 standard deviations), %.3f +- %.3f s, %.3f +- %.3f s (99 %%, means of 20 batches)", b.refusals, b.refused, b.first, b.firstHalf, b.whole, b.allHalf))
}

// mutation is a change of the admission of calls: what they hold of a quota of tokens is their prompt, and not what they may produce.
var mutation = struct{ file, from, to string }{
	"capacity/hold.go", "return sum(sum(c.input, c.cacheWrite), c.maxOutput)", "return sum(c.input, c.cacheWrite)",
}

// recordedRun is the environment's name of the folder with a recorded run.
const recordedRun = "FOREBAY_RECORDED_RUN"

// A build with other admission code is found out in both ways: the events give other actions, and the arrivals leave the bounds. The go tool builds this test a
// second time with a changed copy of one source in the place of the original (-overlay), and once with a copy that is not changed.
func TestT13ChangedAdmission(t *testing.T) {
	testenv.Long(t)
	dir := t.TempDir()
	calls := live(t, dir)
	raw, err := json.Marshal(calls)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "calls.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(testenv.Root(t), filepath.FromSlash(mutation.file)))
	if err != nil || strings.Count(string(source), mutation.from) != 1 {
		t.Fatalf("%v: %s has not once %q: choose another change", err, mutation.file, mutation.from)
	}
	b := boundsOf(calls)
	same, changed := rebuilt(t, dir, source), rebuilt(t, dir, []byte(strings.Replace(string(source), mutation.from, mutation.to, 1)))
	if out := b.outside(&same); same.Differ != 0 || len(out) > 0 {
		t.Errorf("a copy that is not changed: %+v, %q", same, out)
	}
	out := b.outside(&changed)
	if changed.Differ == 0 || len(out) == 0 {
		t.Errorf("a copy that holds less is not found out: %+v, %q", changed, out)
	}
	testenv.Record(t, "T13", fmt.Sprintf("%s changed to hold no max_tokens, and built: %d of %d events give other actions; arrivals alone: %s", mutation.file, changed.Differ, changed.Events, strings.Join(out, ", ")),
		"both must notice; a copy that is not changed: 0 events, within the bounds")
}

// rebuilt judges a recorded run by a build in which the source of the mutation is another.
func rebuilt(t *testing.T, dir string, source []byte) verdict {
	t.Helper()
	root, into := testenv.Root(t), t.TempDir()
	copied, overlay, result := filepath.Join(into, "source.go"), filepath.Join(into, "overlay.json"), filepath.Join(into, "verdict.json")
	raw, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, filepath.FromSlash(mutation.file)): copied}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(copied, source, 0o600), os.WriteFile(overlay, raw, 0o600)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-vet=off", "-overlay="+overlay, "-run=^TestJudgeRecordedRun$", "./plan/replay")
	cmd.Dir, cmd.Env = root, append(os.Environ(), recordedRun+"="+dir, "FOREBAY_VERDICT="+result, "FOREBAY_VALIDATION=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var v verdict
	if raw, err = os.ReadFile(result); err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestJudgeRecordedRun is what TestT13ChangedAdmission runs in another build.
func TestJudgeRecordedRun(t *testing.T) {
	dir := os.Getenv(recordedRun)
	if dir == "" {
		t.Skip("part of TestT13ChangedAdmission, which runs it in another build")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "calls.json"))
	if err != nil {
		t.Fatal(err)
	}
	var calls []sent
	if err := json.Unmarshal(raw, &calls); err != nil {
		t.Fatal(err)
	}
	if raw, err = json.Marshal(judge(t, dir, calls)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(os.Getenv("FOREBAY_VERDICT"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
}
