package prove

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

// Stream is one source of calls: an open loop of Poisson arrivals, or clients in a closed loop. It does not retry.
type Stream struct {
	Name  string
	Key   string // bearer key
	Model string
	// Tier is the service tier to ask for; "" names none.
	Tier string
	// Plain leaves out what makes the simulated engine answer with exactly Output tokens: an answer has at most as many.
	Plain bool
	// Even makes an open loop's calls come at even distances.
	Even bool
	// Rate is the mean number of calls a second; 0 makes Clients send one call after the other.
	Rate    float64
	Clients int
	// Input and Output are tokens of a call, as the simulated engine counts and gives them.
	Input  int
	Output int
	// MaxTokens is what a call asks for; 0 is Output.
	MaxTokens int
	// Whole asks for the answer in one piece, which can be stopped and run again without anybody noticing.
	Whole bool
	// Pause is how long a client in a closed loop waits after a refusal; Obey makes it wait for as long as the refusal says instead.
	Obey  bool
	Pause time.Duration
	Seed  uint64
}

// Sample is one call. Times count from the start of the run; First and End are 0 when nothing came.
type Sample struct {
	Stream         string
	At, First, End time.Duration
	Status         int
	// RetryAfter is what a refusal tells to wait, Retry whether that is exact or an estimate, Told what the client's last call was told.
	RetryAfter        time.Duration
	Retry, Told       string
	Lane, Spill, Tier string
	Output            int64
	Err               string
	Reason            string // why it was refused, in the server's words
}

// driver sends the calls of a run.
type driver struct {
	url    string
	client *http.Client
	start  time.Time

	mu      sync.Mutex
	samples []Sample
}

// drive sends the streams' calls to a server for a time, waits for their answers, and returns all of them.
func drive(ctx context.Context, url string, streams []Stream, length time.Duration) []Sample {
	transport := &http.Transport{MaxIdleConns: 1 << 14, MaxIdleConnsPerHost: 1 << 14, DisableCompression: true}
	defer transport.CloseIdleConnections()
	d := &driver{url: url, client: &http.Client{Transport: transport}, start: time.Now()}
	var wg sync.WaitGroup
	for _, s := range streams {
		body := s.body()
		if s.Rate > 0 {
			wg.Go(func() { d.open(ctx, s, body, length) })
			continue
		}
		for range s.Clients {
			wg.Go(func() {
				d.closed(ctx, &s, body, length)
			})
		}
	}
	wg.Wait()
	return d.samples
}

// closed is one client that sends a call when the one before has ended.
func (d *driver) closed(ctx context.Context, s *Stream, body []byte, length time.Duration) {
	var after Sample
	for ctx.Err() == nil && time.Since(d.start) < length {
		x := d.one(ctx, s, body, time.Since(d.start), after)
		pause := s.Pause
		if s.Obey {
			pause = x.RetryAfter
		}
		if after = x; x.Status != http.StatusOK && pause > 0 {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}
}

// open sends at Poisson arrivals, whether or not answers come back. A call counts from when it was due, so that a late sender
// hides no delay.
func (d *driver) open(ctx context.Context, s Stream, body []byte, length time.Duration) {
	random := rand.New(rand.NewPCG(s.Seed, 11)) //nolint:gosec // arrivals that can be repeated
	var wg sync.WaitGroup
	timer := time.NewTimer(0)
	defer timer.Stop()
	for due := time.Duration(0); ; {
		gap := 1.0
		if !s.Even {
			gap = random.ExpFloat64()
		}
		due += time.Duration(gap / s.Rate * float64(time.Second))
		if due >= length {
			break
		}
		timer.Reset(due - time.Since(d.start))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() { d.one(ctx, &s, body, due, Sample{}) })
	}
	wg.Wait()
}

// tokenBytes is the length of a token to the simulated engine.
const tokenBytes = 4

// body is the request of a stream's calls.
func (s *Stream) body() []byte {
	ask := fmt.Sprintf("[[tokens:%d]]", s.Output)
	const overhead = 3 // tokens of a message besides its text
	if s.Plain {
		ask = ""
	}
	limit := s.MaxTokens
	if limit == 0 || s.Plain {
		limit = s.Output
	}
	fill := max(0, (s.Input-overhead)*tokenBytes-len(ask))
	m := map[string]any{
		"model": s.Model, "stream": !s.Whole, "max_tokens": limit,
		"messages": []map[string]string{{"role": "user", "content": strings.Repeat("word", fill/tokenBytes) + ask}},
	}
	if !s.Whole {
		m["stream_options"] = map[string]bool{"include_usage": true}
	}
	if s.Tier != "" {
		m["service_tier"] = s.Tier
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // a map of these types always is JSON
	}
	return b
}

// one makes a call. after is the client's last one.
func (d *driver) one(ctx context.Context, s *Stream, body []byte, due time.Duration, after Sample) Sample {
	x := Sample{Stream: s.Name, At: due, Told: after.Retry}
	if err := d.call(ctx, s, body, &x); err != nil {
		x.Err = err.Error()
	}
	x.End = time.Since(d.start)
	d.mu.Lock()
	d.samples = append(d.samples, x)
	d.mu.Unlock()
	return x
}

func (d *driver) call(ctx context.Context, s *Stream, body []byte, x *Sample) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.Key)
	res, err := d.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	x.Status = res.StatusCode
	x.Lane, x.Spill = res.Header.Get("X-Forebay-Lane"), res.Header.Get("X-Forebay-Spill")
	if ms, err := strconv.ParseInt(res.Header.Get("Retry-After-Ms"), 10, 64); err == nil {
		x.RetryAfter, x.Retry = time.Duration(ms)*time.Millisecond, res.Header.Get("X-Forebay-Retry")
	}
	if res.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
		x.Reason = string(text)
		return err
	}
	return d.read(res.Body, s, x)
}

var errNoUsage = errors.New("the stream told no usage")

// answer is what is looked at of an answer, or of a piece of one.
type answer struct {
	Tier  string `json:"service_tier"`
	Usage struct {
		Output int64 `json:"completion_tokens"`
	} `json:"usage"`
}

func (d *driver) read(body io.Reader, s *Stream, x *Sample) error {
	note := func(text []byte) error {
		var a answer
		if err := json.Unmarshal(text, &a); err != nil {
			return err
		}
		x.Output = max(x.Output, a.Usage.Output)
		if a.Tier != "" {
			x.Tier = a.Tier
		}
		return nil
	}
	if s.Whole {
		text, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		x.First = time.Since(d.start)
		return note(text)
	}
	lines := bufio.NewScanner(body)
	last, done := []byte(nil), false
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		switch {
		case !ok:
		case bytes.Equal(data, []byte("[DONE]")):
			done = true
		case x.First == 0 && bytes.Contains(data, []byte(`"content":"`)) && !bytes.Contains(data, []byte(`"content":""`)):
			x.First = time.Since(d.start)
		default:
			last = append(last[:0], data...)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if !done {
		return io.ErrUnexpectedEOF
	}
	if last == nil {
		return errNoUsage
	}
	return note(last)
}
