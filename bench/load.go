package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load is one burst of requests: closed loop over Conns connections, or open loop at
// Rate a second, or exactly one request per connection (Once).
type load struct {
	Name     string
	Model    string
	Stream   bool
	Conns    int
	Rate     float64
	Once     bool
	BodyKB   int
	Duration time.Duration
	idle     bool // streams that stay silent between their first event and their last
	// AtRest, of a load of idle streams, is called when all of them have been open and silent for settleFor.
	AtRest func()
}

// settleFor is how long idle streams are left alone before memory is read, so that what opening
// them took has been collected.
const settleFor = 5 * time.Second

// outcome is what a load measured.
type outcome struct {
	OK, Errors int64
	FirstError string
	Seconds    float64
	Chunks     int64
	Latency    []time.Duration
}

func (o *outcome) rps() float64    { return float64(o.OK) / o.Seconds }
func (o *outcome) chunks() float64 { return float64(o.Chunks) / o.Seconds }

func (o *outcome) quantile(q float64) time.Duration {
	if len(o.Latency) == 0 {
		return 0
	}
	slices.Sort(o.Latency)
	return o.Latency[min(int(q*float64(len(o.Latency))), len(o.Latency)-1)]
}

// loader sends the requests of one load to one target.
type loader struct {
	load
	target *target
	client *http.Client
	body   []byte

	mu      sync.Mutex
	lat     []time.Duration
	first   string
	ok      atomic.Int64
	errors  atomic.Int64
	chunks  atomic.Int64
	begun   atomic.Int64 // streams that had their first event
	ended   atomic.Int64
	rested  chan struct{} // closed when AtRest has returned
	allOpen atomic.Bool   // until then no stream had ended
}

func (l load) run(ctx context.Context, t *target) outcome {
	body, _ := json.Marshal(map[string]any{
		"model": l.Model, "stream": l.Stream, "max_tokens": 200,
		"messages": []map[string]string{{"role": "user", "content": strings.Repeat("tell me of the river ", max(1, l.BodyKB*1024/21))}},
	})
	tr := &http.Transport{MaxIdleConns: 8192, MaxIdleConnsPerHost: 8192, DisableCompression: true}
	defer tr.CloseIdleConnections()
	x := &loader{load: l, target: t, client: &http.Client{Transport: tr}, body: body, rested: make(chan struct{})}
	start := time.Now()
	switch {
	case l.Rate > 0:
		x.open(ctx)
	default:
		x.closed(ctx)
	}
	if l.AtRest != nil && !x.wereAllOpen() {
		x.errors.Add(1)
		x.first = fmt.Sprintf("the %d streams were not all open at rest; %s", l.Conns, x.first)
	}
	return outcome{
		OK: x.ok.Load(), Errors: x.errors.Load(), FirstError: x.first, Seconds: time.Since(start).Seconds(),
		Chunks: x.chunks.Load(), Latency: x.lat,
	}
}

// wereAllOpen reports whether AtRest was called, and before any stream ended.
func (x *loader) wereAllOpen() bool {
	select {
	case <-x.rested:
		return x.allOpen.Load()
	default:
		return false
	}
}

// atRest runs when the last stream has begun.
func (x *loader) atRest() {
	time.Sleep(settleFor)
	x.AtRest()
	x.allOpen.Store(x.ended.Load() == 0)
	close(x.rested)
}

func (x *loader) closed(ctx context.Context) {
	var wg sync.WaitGroup
	end := time.Now().Add(x.Duration)
	for range x.Conns {
		wg.Go(func() {
			for ctx.Err() == nil {
				x.one(ctx, time.Now())
				if x.Once || time.Now().After(end) {
					return
				}
			}
		})
	}
	wg.Wait()
}

// open sends at a fixed rate whether or not answers come back. Latency counts from when a request was due,
// so that a stalled target cannot hide its delay (coordinated omission).
func (x *loader) open(ctx context.Context) {
	var wg sync.WaitGroup
	gap := time.Duration(float64(time.Second) / x.Rate)
	due := time.Now()
	for end := due.Add(x.Duration); due.Before(end) && ctx.Err() == nil; due = due.Add(gap) {
		sleepUntil(due)
		from := due
		wg.Go(func() { x.one(ctx, from) })
	}
	wg.Wait()
}

func (x *loader) one(ctx context.Context, from time.Time) {
	err := x.request(ctx)
	took := time.Since(from)
	x.mu.Lock()
	defer x.mu.Unlock()
	if err != nil {
		x.errors.Add(1)
		if x.first == "" {
			x.first = err.Error()
		}
		return
	}
	x.ok.Add(1)
	x.lat = append(x.lat, took)
}

func (x *loader) request(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.target.url, bytes.NewReader(x.body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+benchKey)
	res, err := x.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 300))
		return fmt.Errorf("status %d: %s", res.StatusCode, text)
	}
	if !x.Stream {
		n, err := io.Copy(io.Discard, res.Body)
		if err == nil && n < 500 {
			err = fmt.Errorf("answer of %d bytes", n)
		}
		return err
	}
	return x.readStream(res.Body)
}

func (x *loader) readStream(body io.Reader) error {
	var seen int64
	defer x.ended.Add(1)
	done := false
	sc := bufio.NewScanner(body)
	for sc.Scan() {
		line := sc.Bytes()
		switch {
		case bytes.Equal(line, []byte("data: [DONE]")):
			done = true
		case bytes.HasPrefix(line, []byte("data: ")):
			if seen++; seen == 1 && x.begun.Add(1) == int64(x.Conns) && x.AtRest != nil {
				go x.atRest()
			}
		}
	}
	x.chunks.Add(seen)
	if err := sc.Err(); err != nil {
		return err
	}
	if _, _, chunks := mockTiming(x.Model); !done || seen < int64(chunks) {
		return fmt.Errorf("stream cut after %d chunks", seen)
	}
	return nil
}
