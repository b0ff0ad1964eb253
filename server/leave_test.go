package server

import (
	"bufio"
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"forebay/engine/enginetest/fakeupstream"
)

// A client that leaves pays for what it got, although the engine has reported its usage
// only at the start, as Anthropic's protocol does.
func TestClientThatLeavesPaysForWhatItGot(t *testing.T) {
	const words = 20
	for path, mark := range map[string]string{messagesPath: "text_delta", chatPath: `"content":`} {
		t.Run(path, func(t *testing.T) { leave(t, path, mark, words) })
	}
}

// leave has a client of an engine leave when it has got so many words.
func leave(t *testing.T, path, mark string, words int) {
	s, up := bound(t, fakeupstream.Anthropic, "anthropic")
	up.Handle(func(c *fakeupstream.Call) {
		for _, p := range c.Protocol.Stream(slices.Repeat([]string{"word"}, words), fakeupstream.SaidUsage)[:3+words] {
			c.Send(p)
		}
		<-c.Gone()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.creds.URL+path,
		strings.NewReader(`{"model":"`+haiku+`","max_tokens":99,"stream":true,"messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.creds.APIKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	for got := 0; got < words && lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "data: ") && strings.Contains(lines.Text(), mark) {
			got++
		}
	}
	cancel()
	deadline := time.Now().Add(10 * time.Second)
	for s.ledger.Rows() == 0 && time.Now().Before(deadline) {
		<-time.After(time.Millisecond)
	}
	if rows := usage(t, s, "outcome"); len(rows) != 1 || rows[0].Output < int64(words) || rows[0].Output > int64(words)+1 || rows[0].Input != fakeupstream.SaidUsage.Input {
		t.Errorf("%+v", rows)
	}
}
