package cli

import (
	"strings"
	"testing"
	"time"

	"forebay/api/admin"

	tea "github.com/charmbracelet/bubbletea"
)

func sampleLive() *admin.Live {
	l := &admin.Live{
		At: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC),
		Pools: []admin.LivePool{
			{Name: "idle", Slots: 4},
			{Name: "llama", Kind: "owned", Replicas: 2, Slots: 24, Busy: 12, Sold: 6, Lent: 2, Waiting: 5, Tiers: map[string]int32{"flex": 3, "default": 2}},
		},
		Reservations: []admin.LiveReservation{{ID: "pt-1", Model: "llama", Unit: "measured", Use: admin.Use{Input: admin.Level{Fill: 250, Depth: 1000, Rate: 1000}, Slots: 6, Running: 3}}},
		Tenants:      []admin.LiveTenant{{Account: "1", Pool: "llama", Tier: "default", Running: 1}, {Account: "2", Pool: "llama", Tier: "flex", Running: 9, Waiting: 5}},
	}
	l.Totals = admin.LiveTotals{Arrived: 100, Rejected: map[string]uint64{"bucket": 10}, Charge: map[string]int64{"USD": 1e9}}
	l.Hourly.Charge = map[string]int64{"USD": 40e9}
	return l
}

func TestScreen(t *testing.T) {
	first := sampleLive()
	text := screen(first, nil, 0)
	for _, want := range []string{"100 arrived", "refused bucket 10", "1.00 USD charged for calls since the start", "40.00 USD an hour charged for reservations", "██████░░░░░░", "12/24", "default 2, flex 3", "measured", "25 %"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "idle") || strings.Index(text, "\n2 ") > strings.Index(text, "\n1 ") {
		t.Errorf("idle pools are left out, busy tenants come first:\n%s", text)
	}
	bought := sampleLive()
	bought.Totals.Charge[""] = 0
	bought.Hourly.Unpriced, bought.Hourly.Uncosted = 2, 3
	text = screen(bought, nil, 0)
	for _, want := range []string{"money 1.00 USD charged for calls", "40.00 USD and what is unknown of 2 units an hour charged for reservations, which cost unknown"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	second := sampleLive()
	second.At = first.At.Add(2 * time.Second)
	second.Totals.Arrived, second.Totals.Rejected["bucket"], second.Totals.Charge["USD"] = 150, 16, 1e9+5e6
	text = screen(second, first, 0)
	for _, want := range []string{"25.0/s arrived", "refused bucket 3.0/s", "9.00 USD an hour charged for calls at this rate"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	second.Totals.Arrived = 3 // restarted
	if text = screen(second, first, 0); !strings.Contains(text, "0.0/s arrived") {
		t.Errorf("after a restart:\n%s", text)
	}
	if n := strings.Count(screen(first, nil, 4), "\n"); n != 4 {
		t.Errorf("%d lines of 4", n)
	}
}

func TestTopScreen(t *testing.T) {
	s := &topScreen{c: &topCmd{Every: time.Second}, ctx: t.Context(), now: sampleLive()}
	if s.Init() == nil {
		t.Error("nothing makes it look again")
	}
	next := sampleLive()
	next.At = next.At.Add(time.Second)
	if _, cmd := s.Update(looked{live: next}); cmd == nil || s.now != next || s.before == nil {
		t.Error("a look is not taken")
	}
	if _, cmd := s.Update(looked{err: errNotProven}); cmd == nil || s.now != next || !strings.Contains(s.View(), errNotProven.Error()) {
		t.Errorf("a look that fails: %s", s.View())
	}
	for _, key := range []tea.KeyMsg{{Type: tea.KeyCtrlC}, {Type: tea.KeyEsc}, {Type: tea.KeyRunes, Runes: []rune("q")}} {
		if _, cmd := s.Update(key); cmd == nil {
			t.Errorf("%s does not end it", key)
		}
	}
	if _, cmd := s.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("x")}); cmd != nil {
		t.Error("any key ends it")
	}
}
