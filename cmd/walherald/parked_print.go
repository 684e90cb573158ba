package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
	"github.com/walherald/walherald/publisher/notifier/parking"
)

// printParked writes a table of entries.
func printParked(w io.Writer, all []parking.Entry, limit int) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no parked notification matches")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	now := time.Now()
	fmt.Fprintln(t, "PARKED\tDESTINATION\tRULE\tTABLE\tACTION\tID\tSIZE\tATTEMPTS\tNEXT\tREASON")
	for i := range all {
		e := &all[i]
		fmt.Fprintf(t, "%s ago\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", ageOf(now.Sub(e.ParkedAt)), shown(e.Destination), shown(e.Rule),
			shown(e.Table), e.Action, e.ID, sizeOf(uint64(e.Size)), e.Attempts, nextOf(&e.Parked, now), shown(beginning(e.Reason, reasonInList)))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(all) == limit {
		fmt.Fprintf(w, "there can be more: these are the first %d, --limit 0 lists all\n", limit)
	}
	return nil
}

// reasonInList is how many characters of a reason a list shows.
const reasonInList = 100

// beginning returns the text's first characters, and says so if there are more.
func beginning(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	return string([]rune(text)[:limit-1]) + "…"
}

// shown makes text safe for a terminal and a line.
func shown(text string) string { return string(onOneLine([]byte(text))) }

// nextOf says when a delivery is tried again.
func nextOf(p *notifier.Parked, now time.Time) string {
	switch {
	case p.Next.IsZero():
		return "by hand"
	case p.Next.After(now):
		return "in " + ageOf(p.Next.Sub(now))
	}
	return "now"
}

// ageOf prints a time that has passed in the units that keep it readable.
func ageOf(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, d/time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}

// parkedNotification is one for scripts.
type parkedNotification struct {
	ID          string `json:"id"`
	Destination string `json:"destination"`
	Rule        string `json:"rule"`
	Topic       string `json:"topic"`
	Table       string `json:"table"`
	Action      string `json:"action"`
	Key         string `json:"key,omitempty"`
	CommitTime  string `json:"commitTime"`
	ParkedAt    string `json:"parkedAt"`
	// Next is empty for what waits for somebody.
	Next     string `json:"next,omitempty"`
	Attempts int    `json:"attempts"`
	Reason   string `json:"reason"`
	// Size is the payload's, in bytes. Payload is left out of lists; it is a string
	// if it is no JSON.
	Size    int             `json:"size"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

func printParkedJSON(w io.Writer, p *notifier.Parked, size int) error {
	n := parkedNotification{
		ID: p.ID.String(), Destination: p.Destination, Rule: p.Rule, Topic: p.Topic, Table: p.Table, Action: p.Action.String(), Key: string(p.Key),
		CommitTime: timeOf(time.UnixMicro(p.CommitTime)), ParkedAt: timeOf(p.ParkedAt), Next: timeOf(p.Next),
		Attempts: p.Attempts, Reason: p.Reason, Size: size, Payload: p.Payload,
	}
	if len(p.Payload) > 0 && !json.Valid(p.Payload) {
		quoted, err := json.Marshal(string(p.Payload))
		if err != nil {
			return fmt.Errorf("encode payload: %w", err)
		}
		n.Payload = quoted
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(n)
}

// timeOf prints a time as RFC 3339, and nothing for none.
func timeOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func showParked(w io.Writer, all []notifier.Parked, asJSON bool) error {
	for i := range all {
		p := &all[i]
		if asJSON {
			if err := printParkedJSON(w, p, len(p.Payload)); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := showOne(w, p, time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// showOne writes all of one for people.
func showOne(w io.Writer, p *notifier.Parked, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	row("id", "%s", p.ID)
	row("destination", "%s", shown(p.Destination))
	row("rule", "%s", shown(p.Rule))
	row("table", "%s, %s", shown(p.Table), p.Action)
	row("topic", "%s", shown(p.Topic))
	row("key", "%s", onOneLine(p.Key))
	row("committed", "%s at %s", timeOf(time.UnixMicro(p.CommitTime)), publisher.AppendLSN(nil, p.ID.LSN()))
	row("parked", "%s, %s ago", timeOf(p.ParkedAt), ageOf(now.Sub(p.ParkedAt)))
	row("attempts", "%d since then, next %s", p.Attempts, nextOf(p, now))
	row("reason", "%s", shown(p.Reason))
	row("payload", "%s", sizeOf(uint64(len(p.Payload))))
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s\n", onOneLine(p.Payload))
	return err
}

// errNotDelivered says that a retry did not deliver everything.
var errNotDelivered = errors.New("some notifications were not delivered")

// tally prints and counts outcomes.
type tally struct {
	w                 io.Writer
	delivered, failed int
}

func (t *tally) count(p notifier.Parked, err error) {
	outcome := "delivered"
	if err == nil {
		t.delivered++
	} else {
		t.failed++
		outcome = "failed: " + shown(err.Error())
	}
	fmt.Fprintf(t.w, "%s to %s: %s\n", p.ID, shown(p.Destination), outcome)
}

func (t *tally) result() error {
	if t.delivered+t.failed == 0 {
		fmt.Fprintln(t.w, "no parked notification matches, or those that do are being tried at the moment")
		return nil
	}
	fmt.Fprintf(t.w, "%d delivered, %d failed\n", t.delivered, t.failed)
	if t.failed > 0 {
		return &runError{err: errNotDelivered, told: true}
	}
	return nil
}

// shownBeforeDrop is how many notifications are shown that would be dropped.
const shownBeforeDrop = 20

// wouldDrop says what a drop would give up.
func wouldDrop(w io.Writer, all []parking.Entry) error {
	first := all[:min(len(all), shownBeforeDrop)]
	if err := printParked(w, first, 0); err != nil || len(all) == 0 {
		return failed(err)
	}
	if rest := len(all) - len(first); rest > 0 {
		fmt.Fprintf(w, "and %d more\n", rest)
	}
	numbers := make(map[string]int)
	for i := range all {
		numbers[all[i].Destination]++
	}
	fmt.Fprintf(w, "this would drop %d:", len(all))
	for _, destination := range slices.Sorted(maps.Keys(numbers)) {
		fmt.Fprintf(w, " %d for %s;", numbers[destination], shown(destination))
	}
	fmt.Fprintln(w, " they would never be delivered")
	return &runError{err: errUnconfirmed}
}
