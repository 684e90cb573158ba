package slack

import (
	"fmt"
	"strings"
	"time"

	"github.com/walherald/walherald/publisher/notifier/text"
)

// How much a message shows by default. A field holds 2000 characters; escaping makes
// five of one, and a column's name has 63 at most.
const (
	maxFields = 10
	maxValue  = 200 // characters of a value, and of two that stand beside each other
	maxBrief  = 150 // of the text that notifications show
)

// block is a block of Block Kit with the members that are used here.
type block struct {
	Type     string    `json:"type"`
	Text     *object   `json:"text,omitempty"`
	Fields   []*object `json:"fields,omitempty"`
	Elements []*object `json:"elements,omitempty"`
}

// object is a text object. Verbatim keeps Slack from making links of what looks
// like one.
type object struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	Verbatim bool   `json:"verbatim"`
}

func mrkdwn(s string) *object { return &object{"mrkdwn", s, true} }

// icons are by action.
var icons = map[string]string{
	"INSERT": ":new:", "UPDATE": ":pencil2:", "DELETE": ":wastebasket:", "TRUNCATE": ":boom:", "MESSAGE": ":speech_balloon:",
}

// defaultBlocks returns a line with what happened to what, the fields that matter,
// and a line in small type with where that comes from.
func defaultBlocks(e *text.Event) []block {
	blocks := []block{{Type: "section", Text: mrkdwn(icons[e.Action] + "  *" + e.Action + "*  " + code(e.Subject(), maxValue))}}
	fields := e.Fields()
	shown := fields[:min(len(fields), maxFields)]
	if len(shown) > 0 {
		blocks = append(blocks, block{Type: "section", Fields: objects(shown)})
	}
	return append(blocks, block{Type: "context", Elements: footer(e, len(fields)-len(shown))})
}

func objects(fields []text.Field) []*object {
	var all []*object
	for _, f := range fields {
		line := "*" + text.Slack(f.Column) + "*\n"
		if f.Changed {
			line += value(f.Old, maxValue/2) + " → " + value(f.Value, maxValue/2)
		} else {
			line += value(f.Value, maxValue)
		}
		all = append(all, mrkdwn(line))
	}
	return all
}

// value shows a value of at most n characters.
func value(v any, n int) string {
	if text.IsNull(v) {
		return "_NULL_"
	}
	return code(text.Visible(v), n)
}

// code shows s literally: between backticks Slack finds no markup. Those of s itself
// and line breaks would end that, so others that look like them take their place.
func code(s string, n int) string {
	return "`" + text.Slack(literal.Replace(text.Truncate(s, n))) + "`"
}

var literal = strings.NewReplacer("`", "ˋ", "\r\n", "⏎", "\n", "⏎", "\r", "⏎")

// footer says how many fields are left out, which rule it was, when and where.
func footer(e *text.Event, more int) []*object {
	var all []*object
	if more > 0 {
		all = append(all, mrkdwn(fmt.Sprintf("and %d more", more)))
	}
	for _, s := range []string{"rule " + code(e.Rule, maxValue), date(e.CommitTime), "LSN " + code(e.LSN, maxValue)} {
		all = append(all, mrkdwn(s))
	}
	return all
}

// date shows a time in the time zone of who looks at it
// (https://docs.slack.dev/messaging/formatting-message-text#date-formatting).
func date(t time.Time) string {
	return fmt.Sprintf("<!date^%d^{date_short_pretty} {time_secs}|%s>", t.Unix(), t.UTC().Format("2006-01-02 15:04:05 UTC"))
}

// fallback is what notifications show, in which there are no blocks.
func fallback(e *text.Event) string {
	var parts []string
	for _, f := range e.Fields() {
		part := f.Column + " " + text.String(f.Value)
		if f.Changed {
			part = f.Column + " " + text.String(f.Old) + " → " + text.String(f.Value)
		}
		parts = append(parts, part)
	}
	line := e.Action + " " + e.Subject()
	if len(parts) > 0 {
		line += ": " + strings.Join(parts, ", ")
	}
	return text.Slack(text.Truncate(strings.Join(strings.Fields(line), " "), maxBrief))
}
