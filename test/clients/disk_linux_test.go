package clients

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"forebay/meter"
	"forebay/server"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"
)

// fileLimit bounds the files that a running process may write, as a full disk would; 0 lifts it.
func fileLimit(t *testing.T, cmd *exec.Cmd, bytes uint64) {
	t.Helper()
	l := unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}
	if bytes == 0 {
		l.Cur = unix.RLIM_INFINITY
	}
	if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_FSIZE, &l, nil); err != nil {
		t.Skipf("SKIPPED: A FULL DISK CANNOT BE PLAYED HERE: %v", err)
	}
}

// visit makes one call and returns its status.
func visit(ctx context.Context, cred *server.Credentials, path string) (status int, body string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, cred.URL+"/v1/chat/completions",
		strings.NewReader(`{"model":"`+haiku+`","max_tokens":20,"messages":[{"role":"user","content":"hi"}]}`))
	if path != "" {
		req, err = http.NewRequestWithContext(ctx, http.MethodGet, cred.URL+path, http.NoBody)
	}
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+cred.APIKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(b)
}

// A disk that fills up under a running server does what on_ledger_failure says, through the front
// door, and when there is room again everything goes on.
func TestFullDisk(t *testing.T) {
	for _, mode := range []string{"refuse", "serve"} {
		t.Run(mode, func(t *testing.T) { fullDisk(t, mode) })
	}
}

func fullDisk(t *testing.T, mode string) {
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	conf, data := filepath.Join(dir, "forebay.yaml"), filepath.Join(dir, "data")
	config := "server: {tls_listen: \"\"}\nledger: {on_ledger_failure: " + mode + "}\nengines:\n  test: {type: simulated, profile: instant}\nmodels:\n  " + haiku + ": {engines: [{engine: test}]}\n"
	if err := os.WriteFile(conf, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, cred := boot(t, bin, conf, data)
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		http.DefaultClient.CloseIdleConnections()
	}()
	fileLimit(t, cmd, 512<<10)
	served, refused := 0, 0
	const calls = 2000 // far more rows than there is room for
	for range calls {
		switch status, body := visit(t.Context(), cred, ""); {
		case status == http.StatusOK:
			served++
		case status == http.StatusServiceUnavailable && mode == "refuse":
			refused++
		default:
			t.Fatalf("%d %s after %d answers", status, body, served)
		}
	}
	ready, why := visit(t.Context(), cred, "/readyz")
	_, status := visit(t.Context(), cred, "/admin/v1/status")
	lost := !strings.Contains(status, `"rowsLost": 0`)
	switch mode {
	case "refuse":
		if served == 0 || refused == 0 || ready != http.StatusServiceUnavailable || !strings.Contains(why, "unavailable") {
			t.Errorf("%d served, %d refused; ready: %d %s", served, refused, ready, why)
		}
	case "serve":
		if served != calls || !lost || ready != http.StatusOK {
			t.Errorf("%d served; ready: %d; %s", served, ready, status)
		}
	}
	fileLimit(t, cmd, 0)
	deadline := time.Now().Add(30 * time.Second) // it looks once a second
	for again := 0; again != http.StatusOK && time.Now().Before(deadline); {
		again, why = visit(t.Context(), cred, "/readyz")
	}
	if status, body := visit(t.Context(), cred, ""); status != http.StatusOK {
		t.Errorf("with room again: %d %s; %s", status, body, why)
	}
	served++
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the drain: %v", err)
	}
	recount(t, data, mode, served, refused)
}

// A disk that is full tells who administers that it is, in the API's own form, and leaves nothing half-made; what needs no
// room goes on.
func TestAdminOnAFullDisk(t *testing.T) {
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	conf, data := filepath.Join(dir, "forebay.yaml"), filepath.Join(dir, "data")
	if err := os.WriteFile(conf, []byte("server: {tls_listen: \"\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, cred := boot(t, bin, conf, data)
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		http.DefaultClient.CloseIdleConnections()
	}()
	var made struct{ ID, Secret string }
	administer := func(method, path, body string) (status int, answer string) {
		req, err := http.NewRequestWithContext(t.Context(), method, cred.URL+"/admin/v1/"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+cred.APIKey)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	status, answer := administer(http.MethodPost, "keys", `{"name":"before","kind":"api-key"}`)
	if err := json.Unmarshal([]byte(answer), &made, json.MatchCaseInsensitiveNames(true)); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s %v", status, answer, err)
	}
	fileLimit(t, cmd, 1)
	for _, x := range [][3]string{
		{http.MethodPost, "keys", `{"name":"full","kind":"api-key"}`},
		{http.MethodPost, "keys/" + made.ID + "/rotate", ""},
		{http.MethodDelete, "keys/" + made.ID, ""},
		{http.MethodPost, "teams/full", `{}`},
		{http.MethodPut, "prices/" + haiku, `{"input":"1 USD"}`},
	} {
		status, answer := administer(x[0], x[1], x[2])
		if status != http.StatusInsufficientStorage || !strings.Contains(answer, `"kind":"unavailable"`) || !strings.Contains(answer, "full or fails") || strings.Contains(answer, data) {
			t.Errorf("%s %s: %d %s", x[0], x[1], status, answer)
		}
	}
	if status, answer := administer(http.MethodGet, "keys", ""); status != http.StatusOK || strings.Contains(answer, `"full"`) {
		t.Errorf("%d %s", status, answer)
	}
	if !works(t.Context(), cred, made.Secret) {
		t.Error("a key was changed on a full disk")
	}
	fileLimit(t, cmd, 0)
	if status, answer := administer(http.MethodPost, "keys", `{"name":"full","kind":"api-key"}`); status != http.StatusOK {
		t.Errorf("with room again: %d %s", status, answer)
	}
}

// recount holds the ledger against what the client has seen.
func recount(t *testing.T, data, mode string, served, refused int) {
	t.Helper()
	l, err := meter.OpenLedger(t.Context(), meter.LedgerOptions{Path: filepath.Join(data, "ledger.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	counts := map[string]int{}
	rows, err := l.Usage(t.Context(), meter.UsageQuery{By: []string{"outcome"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		counts[r.Group[0]] = int(r.Requests)
	}
	v, err := l.Verify(t.Context(), time.Time{}, time.Time{})
	if err != nil || v.Wrong != 0 {
		t.Errorf("%+v %v", v, err)
	}
	switch {
	case mode == "serve" && (counts[meter.OutcomeOK] == 0 || counts[meter.OutcomeOK] >= served):
		t.Errorf("serve: %d of %d answers have rows, some must have been lost", counts[meter.OutcomeOK], served)
	case mode == "refuse" && counts[meter.OutcomeOK] != served:
		t.Errorf("refuse: %d answers and %d rows", served, counts[meter.OutcomeOK])
	case mode == "refuse" && (counts[meter.OutcomeRefused] > refused || counts[meter.OutcomeRefused] < refused-1):
		// The call that found the disk full had been answered by its engine, and its row is what was lost.
		t.Errorf("refuse: %d refusals and %d on the ledger", refused, counts[meter.OutcomeRefused])
	}
}
