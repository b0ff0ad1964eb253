package process

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"forebay/engine"
	"forebay/fault"
)

// probe asks whether the instance can answer until it can, has ended, or has had its time.
func (i *instance) probe() {
	h := i.Spec.Health
	if h.Path == "" {
		h.Path = "/ping"
	}
	limit := cmp.Or(h.StartTimeout, engine.DefaultStartTimeout)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	ping := cmp.Or(h.PingTimeout, engine.DefaultPingTimeout)
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true, // a connection that was made before it was ready says nothing
			DialContext:       (&net.Dialer{Timeout: ping}).DialContext,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       ping,
	}
	tick := time.NewTicker(cmp.Or(h.Interval, engine.DefaultProbeInterval))
	defer tick.Stop()
	last := "its port was never open"
	for {
		said, err := ask(ctx, client, "http://"+i.Addr()+h.Path)
		if err == nil {
			i.becomes(nil)
			return
		}
		if said != "" {
			last = said
		}
		select {
		case <-i.exited:
			return // supervise says why
		case <-ctx.Done():
			e := fault.Newf(fault.Timeout, "The replica was not ready after %v: %s.", limit, last)
			e.OriginalMessage = i.log.tail()
			i.becomes(e)
			return
		case <-tick.C:
		}
	}
}

// ask makes one probe. What was said is "" where nothing listens.
func ask(ctx context.Context, client *http.Client, url string) (said string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "its health path is not one", err
	}
	res, err := client.Do(req)
	if err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() { //nolint:errorlint // http.Client returns it as it is
			return fmt.Sprintf("GET %s was not answered in time", req.URL.Path), err
		}
		return "", err
	}
	defer res.Body.Close() //nolint:errcheck // nothing of it is read
	if res.StatusCode != http.StatusOK {
		return fmt.Sprintf("GET %s was answered with status %d", req.URL.Path, res.StatusCode), fmt.Errorf("status %d", res.StatusCode)
	}
	return "", nil
}
