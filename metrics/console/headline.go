package console

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/walherald/walherald/metrics"
)

// Headline is the state in a sentence: whether walherald keeps up and what blocks it.
type Headline struct {
	// Tone is good, wait (nothing to mend), warn or bad.
	Tone string `json:"tone"`
	// Text is the sentence, such as "Blocked by output stream since 3 min". Until its
	// Key changes it says the same with other figures.
	Text string `json:"text"`
	Key  string `json:"key"`
	// Detail says why, or what else there is to know; it may be empty.
	Detail string `json:"detail"`
}

// The tones of a Headline.
const (
	good = "good"
	wait = "wait"
	warn = "warn"
	bad  = "bad"
)

const (
	// behind is the lag in seconds from which walherald does not keep up any more.
	behind = 10.0
	// atRisk is which share of the log that a slot may keep has to be left.
	atRisk = 0.2
)

// headline finds what matters most. A slot that is about to be lost comes before
// everything, since then changes are lost; next what holds all up, then one output.
func headline(s Status, r Rates) Headline {
	switch {
	case s.Source.SlotStatus == "lost":
		return Headline{
			Tone: bad, Key: "Slot lost",
			Text:   fmt.Sprintf("Slot %s is lost", s.Source.Slot),
			Detail: "PostgreSQL has removed log that was still needed. " + s.Source.Reason,
		}
	case s.State == metrics.StatusStopping:
		return Headline{
			Tone: wait, Key: "Stopping", Text: "Stopping",
			Detail: "What is in flight is still delivered; the rest comes after the next start.",
		}
	case slotAtRisk(s.Source):
		return riskLine(s, r)
	}
	return work(s, r)
}

// work is the headline of a slot that is safe.
func work(s Status, r Rates) Headline {
	blocked, others := blockedOutput(s.Outputs)
	switch {
	case s.State == metrics.StatusStandby:
		return Headline{
			Tone: wait, Key: "Standby", Text: "Standby: another walherald reads slot " + s.Source.Slot,
			Detail: s.Source.Reason,
		}
	case s.Source.starting() || blocked != nil && blocked.starting() && s.Source.Ready:
		return Headline{Tone: wait, Key: "Starting", Text: "Starting", Detail: notes(s)}
	case !s.Source.Ready:
		return Headline{
			Tone: bad, Key: "Blocked by PostgreSQL",
			Text:   "Blocked by PostgreSQL since " + duration(s.Source.Seconds),
			Detail: because(s.Source.State),
		}
	case blocked != nil:
		line := Headline{
			Tone: bad, Key: "Blocked by output " + blocked.Name,
			Text:   fmt.Sprintf("Blocked by output %s since %s", blocked.Name, duration(blocked.Seconds)),
			Detail: because(blocked.State),
		}
		if others > 0 {
			line.Detail += fmt.Sprintf(" · blocked as well: %s", count(others, "output"))
		}
		return line
	case s.State != metrics.StatusReady:
		return Headline{Tone: wait, Key: "Starting", Text: "Starting", Detail: notes(s)}
	}
	return pace(s, r)
}

// pace is the headline where nothing is blocked.
func pace(s Status, r Rates) Headline {
	lag := duration(s.Source.LagSeconds)
	detail := notes(s)
	switch {
	case s.Source.LagSeconds < behind:
		text := "Keeping up: " + lag + " behind"
		if s.Source.LagSeconds == 0 {
			text = "Keeping up: nothing waits"
		}
		tone := good
		if detail != "" {
			tone = warn
		}
		return Headline{Tone: tone, Key: "Keeping up", Text: text, Detail: detail}
	case r.LagSeconds < 0:
		return Headline{Tone: warn, Key: "Catching up", Text: "Catching up: " + lag + " behind", Detail: detail}
	default:
		return Headline{Tone: warn, Key: "Falling behind", Text: "Falling behind: " + lag, Detail: detail}
	}
}

// slotAtRisk reports whether the server is about to remove log that is needed.
func slotAtRisk(s Source) bool {
	if s.SlotStatus == "unreserved" {
		return true
	}
	if s.SafeBytes == nil || s.RetainedBytes == nil {
		return false
	}
	return *s.SafeBytes < atRisk*(*s.SafeBytes+*s.RetainedBytes)
}

func riskLine(s Status, r Rates) Headline {
	line := Headline{Tone: bad, Key: "Slot at risk", Text: fmt.Sprintf("Slot %s is at risk", s.Source.Slot)}
	if s.Source.SafeBytes != nil {
		line.Text += ": " + size(max(*s.Source.SafeBytes, 0)) + " of log left"
	}
	line.Detail = work(s, r).sentence()
	return line
}

// sentence is text and detail in one.
func (h Headline) sentence() string {
	if h.Detail == "" {
		return h.Text
	}
	return h.Text + ": " + h.Detail
}

// blockedOutput returns the one that has been blocked longest, and how many others are.
func blockedOutput(all []Output) (longest *Output, others int) {
	for i, o := range all {
		if o.Ready {
			continue
		}
		if longest == nil {
			longest = &all[i]
			continue
		}
		others++
		if o.Seconds > longest.Seconds {
			longest = &all[i]
		}
	}
	return longest, others
}

// starting reports whether a part has not come to do its work yet; package metrics
// gives every new one that reason.
func (s State) starting() bool { return !s.Ready && s.Reason == "starting" }

// because says why a part waits, and where.
func because(s State) string {
	if s.LSN == "" {
		return s.Reason
	}
	return s.Reason + ", at " + s.LSN
}

// notes gathers what is worth knowing although nothing is held up.
func notes(s Status) string {
	var all []string
	if s.Source.Note != "" {
		all = append(all, s.Source.Note)
	}
	for _, o := range s.Outputs {
		switch {
		case o.Note != "":
			all = append(all, o.Name+": "+o.Note)
		case o.CircuitOpen:
			all = append(all, o.Name+": taken for down, nothing is sent")
		}
	}
	return strings.Join(all, " · ")
}

// duration writes seconds for people: 0.2 s, 42 s, 3 min, 2 h 5 min, 4 d 3 h.
func duration(seconds float64) string {
	d := time.Duration(min(max(seconds, 0), math.MaxInt32) * float64(time.Second))
	minutes, hours := int(d.Minutes()), int(d.Hours())
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case hours < 2:
		return fmt.Sprintf("%d min", minutes)
	case hours < 48:
		return fmt.Sprintf("%d h %d min", hours, minutes%60)
	default:
		return fmt.Sprintf("%d d %d h", hours/24, hours%24)
	}
}

// size writes bytes in the units that PostgreSQL uses, powers of 1024.
func size(bytes float64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	for _, unit := range units[:len(units)-1] {
		if bytes < 1024 {
			return rounded(bytes) + " " + unit
		}
		bytes /= 1024
	}
	return rounded(bytes) + " " + units[len(units)-1]
}

// rounded has one decimal where that says something.
func rounded(v float64) string {
	if v < 10 && v != math.Trunc(v) {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 other " + what
	}
	return fmt.Sprintf("%d other %ss", n, what)
}
