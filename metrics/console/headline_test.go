package console

import (
	"strings"
	"testing"
)

func TestHeadlineSaysWhetherItKeepsUpAndWhatBlocksIt(t *testing.T) {
	refused := State{Reason: "connection refused", LSN: "0/16B3748", Seconds: 190}
	for _, tt := range []struct {
		about        string
		change       func(*Status)
		lag          float64 // by how much it grows
		tone         string
		text, detail string
	}{
		{"ready", nil, 0, good, "Keeping up: 0.2 s behind", ""},
		{"idle", func(s *Status) { s.Source.LagSeconds = 0 }, 0, good, "Keeping up: nothing waits", ""},
		{"shrinking lag", func(s *Status) { s.Source.LagSeconds = 42 }, -1, warn, "Catching up: 42 s behind", ""},
		{"growing lag", func(s *Status) { s.Source.LagSeconds = 42 }, 1, warn, "Falling behind: 42 s", ""},
		{
			"blocked output", blockedBy("connection refused"), 1, bad,
			"Blocked by output stream since 3 min", "connection refused, at 0/16B3748",
		},
		{"two blocked outputs", func(s *Status) {
			blockedBy("connection refused")(s)
			s.Outputs[1].State = State{Reason: "401 Unauthorized", Seconds: 7300}
		}, 1, bad, "Blocked by output hook since 2 h 1 min", "401 Unauthorized · blocked as well: 1 other output"},
		{
			"blocked source", func(s *Status) { s.State, s.Source.State = "blocked", refused }, 1, bad,
			"Blocked by PostgreSQL since 3 min", "connection refused, at 0/16B3748",
		},
		{"standby", func(s *Status) {
			s.State, s.Source.State = "standby", State{Reason: "slot walherald is active for PID 77"}
		}, 0, wait, "Standby: another walherald reads slot walherald", "slot walherald is active for PID 77"},
		{"stopping", func(s *Status) { s.State = "stopping" }, 0, wait, "Stopping", "What is in flight"},
		{"starting", func(s *Status) {
			s.State, s.Source.State = "blocked", State{Reason: "starting"}
		}, 0, wait, "Starting", ""},
		{"starting output", func(s *Status) {
			s.State, s.Outputs[0].State = "blocked", State{Reason: "starting"}
		}, 0, wait, "Starting", ""},
		{"little log left", func(s *Status) {
			blockedBy("connection refused")(s)
			s.Source.RetainedBytes, s.Source.SafeBytes = ptr(900.0*(1<<20)), ptr(100.0*(1<<20))
		}, 1, bad, "Slot walherald is at risk: 100 MB of log left", "Blocked by output stream since 3 min: connection refused, at 0/16B3748"},
		{"no log left", func(s *Status) {
			s.Source.SlotStatus, s.Source.SafeBytes = "unreserved", ptr(-5.0)
		}, 0, bad, "Slot walherald is at risk: 0 B of log left", "Keeping up: 0.2 s behind"},
		{"lost slot", func(s *Status) {
			s.State, s.Source.State, s.Source.SlotStatus = "blocked", refused, "lost"
		}, 0, bad, "Slot walherald is lost", "connection refused"},
		{"no bound", func(s *Status) { s.Source.SafeBytes = nil }, 0, good, "Keeping up: 0.2 s behind", ""},
		{"open circuit", func(s *Status) { s.Outputs[1].CircuitOpen = true }, 0, warn, "Keeping up: 0.2 s behind", "hook: taken for down"},
		{"notes", func(s *Status) { s.Outputs[1].Note = "no stream yet" }, 0, warn, "Keeping up: 0.2 s behind", "hook: no stream yet"},
	} {
		s := working()
		if tt.change != nil {
			tt.change(&s)
		}
		got := headline(s, Rates{LagSeconds: tt.lag})
		if got.Tone != tt.tone || got.Text != tt.text || !strings.Contains(got.Detail, tt.detail) || tt.detail == "" && got.Detail != "" {
			t.Errorf("%s: the headline is %+v", tt.about, got)
		}
		if !strings.HasPrefix(got.Text, strings.SplitN(got.Key, " ", 2)[0]) {
			t.Errorf("%s: key %q is not of %q", tt.about, got.Key, got.Text)
		}
	}
}

func TestKeyOfAHeadlineOutlivesItsFigures(t *testing.T) {
	a, b := working(), working()
	blockedBy("connection refused")(&a)
	blockedBy("connection refused")(&b)
	b.Outputs[0].Seconds = 4000
	if x, y := headline(a, Rates{}), headline(b, Rates{}); x.Key != y.Key || x.Text == y.Text {
		t.Errorf("headlines are %+v and %+v", x, y)
	}
}

func TestFiguresAreWrittenForPeople(t *testing.T) {
	for seconds, want := range map[float64]string{
		-1: "0.0 s", 0: "0.0 s", 0.25: "0.2 s", 42.4: "42 s", 119: "119 s", 120: "2 min", 7199: "119 min",
		7500: "2 h 5 min", 200000: "2 d 7 h", 1e300: "24855 d 3 h",
	} {
		if got := duration(seconds); got != want {
			t.Errorf("%g seconds are %q, want %q", seconds, got, want)
		}
	}
	for bytes, want := range map[float64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 kB", 5 << 20: "5 MB", 1 << 62: "4096 PB"} {
		if got := size(bytes); got != want {
			t.Errorf("%g bytes are %q, want %q", bytes, got, want)
		}
	}
}
