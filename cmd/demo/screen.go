package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/walherald/walherald/publisher"
)

// The colours of the actions, as SGR parameters.
var colours = map[publisher.Action]string{
	publisher.Insert: "32", publisher.Update: "33", publisher.Delete: "31", publisher.Truncate: "35",
	publisher.LogicalMessage: "36",
}

// screen prints events, in colour on a terminal, and remembers how long each
// took from its commit to its confirmation.
type screen struct {
	colour bool

	mu        sync.Mutex
	w         io.Writer
	confirms  int
	latencies []time.Duration
}

func newScreen(f *os.File) *screen {
	return &screen{w: f, colour: term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""}
}

func (s *screen) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.w, format+"\n", args...)
}

// confirmed prints a batch that was just confirmed.
func (s *screen) confirmed(batch []publisher.Message, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range batch {
		m := &batch[i]
		took := time.Duration(at.UnixMicro()-m.CommitTime) * time.Microsecond
		s.confirms++
		s.latencies = append(s.latencies, took)
		fmt.Fprintf(s.w, "%s  %s %-17s %s  %s\n", at.Format("15:04:05.000"),
			s.paint(colours[m.Action], fmt.Sprintf("%-6s", m.Action)), strings.TrimPrefix(m.Table, "public."),
			rowOf(m.Body), s.paint("2", took.Round(10*time.Microsecond).String()))
	}
}

// webhook prints a request that the receiver has answered.
func (s *screen) webhook(a arrival) {
	answer := s.paint("32", strconv.Itoa(a.Status))
	if a.Status >= 300 {
		answer = s.paint("31", strconv.Itoa(a.Status))
	}
	attempt := ""
	if a.Attempt > 1 {
		attempt = s.paint("33", fmt.Sprintf("  attempt %d", a.Attempt))
	}
	s.say("%s  %s %-9s %s  %s%s%s", a.At.Format("15:04:05.000"), s.paint("1;34", "WEBHOOK →"), a.Destination,
		s.paint("1", a.Words), answer, attempt, s.paint("2", "  "+a.note()))
}

// log returns a log whose warnings and errors are shown among the events.
func (s *screen) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(logWriter{s}, &slog.HandlerOptions{
		Level: slog.LevelWarn,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{} // the screen has its own
			}
			return a
		},
	}))
}

// logWriter prints each record of a log.
type logWriter struct{ *screen }

// Write implements io.Writer; a handler of slog calls it once a record.
func (w logWriter) Write(record []byte) (int, error) {
	w.say("%s  %s", time.Now().Format("15:04:05.000"), w.paint("33", "LOG     "+strings.TrimSpace(string(record))))
	return len(record), nil
}

// addresses tells where everything is.
func (s *screen) addresses(version int, p *places) {
	link := func(port int, path string) string {
		return s.paint("4", fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
	}
	s.say("\nThe page           %s  token %s", link(p.Page, "/"), p.Token)
	s.say("The webhooks       %s", s.paint("4", p.Receiver+"/"))
	s.say("Probes, metrics    %s  %s", link(p.Probes, "/ready"), link(p.Probes, "/metrics"))
	s.say("JetStream          nats://127.0.0.1:%d", p.JetStream)
	s.say("PostgreSQL %-7d postgres://postgres@%s:%d/%s", version, p.Host, p.Port, p.Database)
	s.say("Configuration      %s\n", p.file())
}

func (s *screen) paint(colour, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// rowOf returns what the event says of the row.
func rowOf(body []byte) string {
	var e struct{ Data, DataOld json.RawMessage }
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	if len(e.Data) > len("{}") {
		return string(e.Data)
	}
	return string(e.DataOld)
}

// quantiles returns the median and the 99th percentile of the latencies.
func (s *screen) quantiles() (p50, p99 time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.latencies) == 0 {
		return 0, 0
	}
	slices.Sort(s.latencies)
	at := func(q float64) time.Duration {
		return s.latencies[int(q*float64(len(s.latencies)-1))].Round(10 * time.Microsecond)
	}
	return at(0.50), at(0.99)
}
