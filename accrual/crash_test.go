package accrual

import (
	"bufio"
	"context"
	"database/sql"
	"os"
	"os/exec"
	"testing"
	"time"

	"forebay/meter"
)

// The environment of a process that is to be killed.
const (
	envDir   = "FOREBAY_TEST_ACCRUAL_DIR"
	envPoint = "FOREBAY_TEST_ACCRUAL_POINT"
)

// fiveMonths is a purchase that takes several transactions to catch up with.
func fiveMonths() (*Purchase, time.Time) {
	return &Purchase{
		ID: "p", Account: "a", Model: "m", Units: 3, Term: "OneMonth", Began: at("2026-01-01T10:20:30Z"), Prices: []Price{{Charge: usd(1_000_000_007)}},
		Terms: []time.Time{at("2026-02-01T10:20:30Z"), at("2026-03-01T10:20:30Z"), at("2026-04-01T10:20:30Z"), at("2026-05-01T10:20:30Z"), at("2026-06-01T10:20:30Z")},
	}, at("2026-06-01T10:00:00Z")
}

// stopping says where it is and waits there for its end.
type stopping struct {
	Ledger

	point string
}

func (s stopping) Update(ctx context.Context, f func(*sql.Tx) error) error {
	stop := func() {
		_, _ = os.Stdout.WriteString("here\n")
		select {}
	}
	err := s.Ledger.Update(ctx, func(tx *sql.Tx) error {
		err := f(tx)
		if s.point == "before" {
			stop()
		}
		return err
	})
	stop()
	return err
}

// TestMain is the process that is killed, when the environment says so.
func TestMain(m *testing.M) {
	dir := os.Getenv(envDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	l, err := meter.OpenLedger(context.Background(), ledgerOptions(dir))
	if err != nil {
		panic(err)
	}
	p, now := fiveMonths()
	panic(NewBook(stopping{l, os.Getenv(envPoint)}).Post(context.Background(), p, now)) // it is killed before
}

// kill9 runs a process that posts, and kills it in the middle of a transaction or just after one.
func kill9(t *testing.T, dir, point string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envDir+"="+dir, envPoint+"="+point)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "here\n" {
		t.Errorf("%q %v", line, err)
	}
	if err := cmd.Process.Kill(); err != nil { // SIGKILL
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
}

// A process that is killed before its commit leaves nothing, after it everything, and the next goes on from there.
func TestKilledWhilePosting(t *testing.T) {
	dir := t.TempDir()
	hours := func() int64 {
		t.Helper()
		l := openLedger(t, dir)
		v, err := NewBook(l).Verify(t.Context(), time.Time{}, time.Time{})
		if err != nil || v.Wrong != 0 {
			t.Fatalf("%+v %v", v, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return v.Hours
	}
	before := int64(0)
	for _, point := range []string{"before", "after", "before", "before", "after"} {
		kill9(t, dir, point)
		got := hours()
		if grown := got > before; grown != (point == "after") {
			t.Errorf("killed %s the commit: %d hours were posted, and then %d", point, before, got)
		}
		before = got
	}
	l := openLedger(t, dir)
	b := NewBook(l)
	p, now := fiveMonths()
	if err := b.Post(t.Context(), p, now); err != nil {
		t.Fatal(err)
	}
	v, err := b.Verify(t.Context(), time.Time{}, time.Time{})
	// 151 days less twenty minutes and a half, in which four renewals cut an hour each.
	if err != nil || v.Wrong != 0 || v.Hours != 151*24+4 {
		t.Errorf("%+v %v", v, err)
	}
}
