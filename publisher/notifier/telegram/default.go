package telegram

import (
	"fmt"
	"strings"
	"unicode/utf16"

	"github.com/walherald/walherald/publisher/notifier/text"
)

// How much a message shows by default. Telegram takes 100 pieces of markup, of which
// a row has three at most.
const (
	maxRows  = 30
	maxValue = 300  // characters of a value, and of two that stand beside each other
	maxLines = 3300 // UTF-16 code units of rows, behind which no other one begins
)

// icons are by action.
var icons = map[string]string{"INSERT": "🆕", "UPDATE": "✏️", "DELETE": "🗑", "TRUNCATE": "💥", "MESSAGE": "💬"}

// defaultText returns a line with what happened to what, a line for each column that
// matters, and one with where that comes from.
func defaultText(e *text.Event) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s <b>%s</b> on %s\n", icons[e.Action], e.Action, code(e.Subject(), maxValue))
	fields := e.Fields()
	if len(fields) > 0 {
		out.WriteString("\n")
	}
	units := 0
	for i, f := range fields {
		if i == maxRows || units > maxLines {
			fmt.Fprintf(&out, "and %d more\n", len(fields)-i)
			break
		}
		units += row(&out, f)
	}
	fmt.Fprintf(&out, "\n<i>%s · %s · %s</i>", text.HTML(e.Rule), e.CommitTime.UTC().Format("2006-01-02 15:04:05 UTC"), text.HTML(e.LSN))
	return out.String()
}

// row writes the line of a column and returns about how many UTF-16 code units it
// shows: not less.
func row(out *strings.Builder, f text.Field) int {
	line := "<b>" + text.HTML(f.Column) + "</b>: " + value(f.Value, maxValue) + "\n"
	if f.Changed {
		line = "<b>" + text.HTML(f.Column) + "</b>: " + value(f.Old, maxValue/2) + " → " + value(f.Value, maxValue/2) + "\n"
	}
	out.WriteString(line)
	units, err := measure(line)
	if err != nil { // it would be a mistake in this file
		return len(utf16.Encode([]rune(line)))
	}
	return units
}

// value shows a value of at most n characters.
func value(v any, n int) string {
	if text.IsNull(v) {
		return "<i>NULL</i>"
	}
	return code(text.Visible(v), n)
}

// code shows s literally, in one line: in code Telegram looks for no mentions and
// links.
func code(s string, n int) string {
	return "<code>" + text.HTML(oneLine.Replace(text.Truncate(s, n))) + "</code>"
}

var oneLine = strings.NewReplacer("\r\n", "⏎", "\n", "⏎", "\r", "⏎")
