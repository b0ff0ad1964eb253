package clients

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"forebay/meter"
	"forebay/server"
)

// rounds of the kill test: twenty by default, FOREBAY_KILL_ROUNDS for fewer or more.
func rounds(t *testing.T) int {
	t.Helper()
	v := os.Getenv("FOREBAY_KILL_ROUNDS")
	if v == "" {
		return 20
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// boot starts the program on a data directory, and returns it with the line it is ready at.
func boot(t testing.TB, bin, conf, data string) (*exec.Cmd, *server.Credentials) {
	t.Helper()
	cmd := exec.Command(bin, "up", "--quiet", "--config", conf, "--listen", "127.0.0.1:0", "--data-dir", data) //nolint:noctx // killed below
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(out)
	for sc.Scan() && !strings.HasPrefix(sc.Text(), "Try") {
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	cred, err := server.ReadCredentials(data)
	if err != nil {
		t.Fatal(err)
	}
	return cmd, cred
}

// Killed at a random moment under load, again and again: every response that a client has
// read to its end has its row, no row is there twice, and the totals are those of the rows.
func TestKilledUnderLoad(t *testing.T) {
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "forebay.yaml")
	const config = "server: {tls_listen: \"\"}\nengines:\n  test: {type: simulated, profile: instant}\nmodels:\n  " + haiku + ": {engines: [{engine: test}]}\n"
	if err := os.WriteFile(conf, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	var mu sync.Mutex
	answered := map[string]bool{}
	for range rounds(t) {
		cmd, cred := boot(t, bin, conf, data)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for ctx.Err() == nil {
					if id := askOnce(ctx, cred, i%2 == 0); id != "" {
						mu.Lock()
						answered[id] = true
						mu.Unlock()
					}
				}
			})
		}
		<-time.After(time.Duration(200+rand.IntN(400)) * time.Millisecond) // a random moment
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		cancel()
		wg.Wait()
	}
	http.DefaultClient.CloseIdleConnections()
	l, err := meter.OpenLedger(t.Context(), meter.LedgerOptions{Path: filepath.Join(data, "ledger.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	lost := 0
	for id := range answered {
		if e, err := l.Explain(t.Context(), id); err != nil || e.Outcome != meter.OutcomeOK || e.Charge == nil {
			lost++
		}
	}
	// Verify computes every amount and total again; a request id is unique by the schema.
	v, err := l.Verify(t.Context(), time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var n, charges int64
	if err := l.Charges(t.Context(), time.Unix(0, 0), time.Now(), func(c meter.Charge) { n += c.Requests; charges += c.Money }); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d responses read to their end, %d rows, %d lost", len(answered), v.Rows, lost)
	if lost != 0 || v.Wrong != 0 || v.Rows < int64(len(answered)) || n != v.Calls || charges != v.Charges["USD"] {
		t.Errorf("%d of %d responses have no row; %+v; %d calls recounted with %d nano", lost, len(answered), v, n, charges)
	}
}

// askOnce returns the request id of an answer that was read to its end, "" for any other.
func askOnce(ctx context.Context, cred *server.Credentials, stream bool) string {
	body := `{"model":"` + haiku + `","max_tokens":20,"stream":` + strconv.FormatBool(stream) + `,"messages":[{"role":"user","content":"hi"}]}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, cred.URL+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return ""
	}
	req.Header.Set("Authorization", "Bearer "+cred.APIKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil && !errors.Is(err, io.EOF) || res.StatusCode != http.StatusOK {
		return ""
	}
	if stream && !strings.HasSuffix(string(b), "data: [DONE]\n\n") {
		return ""
	}
	return res.Header.Get("X-Request-Id")
}
