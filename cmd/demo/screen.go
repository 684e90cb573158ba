package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/walherald/walherald/publisher"
)

// The colours of the actions, as SGR parameters.
var colours = map[publisher.Action]string{
	publisher.Insert: "32", publisher.Update: "33", publisher.Delete: "31", publisher.Truncate: "35",
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
			row(m.Body), s.paint("2", took.Round(10*time.Microsecond).String()))
	}
}

func (s *screen) paint(colour, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// row returns what the event says of the row.
func row(body []byte) string {
	var e struct{ Data, DataOld json.RawMessage }
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	if len(e.Data) > len("{}") {
		return string(e.Data)
	}
	return string(e.DataOld)
}
