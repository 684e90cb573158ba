package text

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"text/template"
	"time"
	"unicode"
	"unicode/utf8"
)

// functions returns what templates can call beside what package text/template has
// and this does not replace.
func functions(escape func(string) string) template.FuncMap {
	return template.FuncMap{
		printName: printer(escape),
		stepName:  (&run{}).step, // every run has its own

		"eq": equal,
		"ne": unequal,
		"lt": ordered(func(sign int) bool { return sign < 0 }),
		"le": ordered(func(sign int) bool { return sign <= 0 }),
		"gt": ordered(func(sign int) bool { return sign > 0 }),
		"ge": ordered(func(sign int) bool { return sign >= 0 }),

		"print":   func(vs ...any) (string, error) { return format(fmt.Sprint, asString, vs) },
		"println": func(vs ...any) (string, error) { return format(fmt.Sprintln, asString, vs) },
		"printf": func(layout string, vs ...any) (string, error) {
			if err := narrow(layout); err != nil {
				return "", err
			}
			return format(func(vs ...any) string { return fmt.Sprintf(layout, vs...) }, asFormatted, vs)
		},

		"default":  byDefault,
		"get":      get,
		"upper":    plain(strings.ToUpper),
		"lower":    plain(strings.ToLower),
		"title":    plain(title),
		"trim":     plain(strings.TrimSpace),
		"truncate": truncate,
		"replace":  replace,
		"join":     join,
		"date":     date,

		"json":       func(v any) (any, error) { return inJSON(v, "") },
		"jsonIndent": func(v any) (any, error) { return inJSON(v, "  ") },
		"html":       func(v any) (any, error) { return onText(v, HTML, asSafe) },
		"slack":      func(v any) (any, error) { return onText(v, Slack, asSafe) },
		"raw":        func(v any) (any, error) { return onText(v, func(s string) string { return s }, asSafe) },
	}
}

// missing is why a value cannot be printed.
const missing = "the event has no such value: columns are spelled as in the database, and most of an old row is known with REPLICA IDENTITY FULL only; the helper default stands in for what is missing"

// printer returns the function that all printed values pass; source is where they
// stand in the template.
func printer(escape func(string) string) func(source string, v any) (Safe, error) {
	return func(source string, v any) (Safe, error) {
		if text, ok := v.(Safe); ok {
			return text, nil
		}
		if v == nil {
			return "", mistakef("%s: %s", source, missing)
		}
		text := String(v)
		if escape != nil {
			text = escape(text)
		}
		return Safe(text), nil
	}
}

// HTML escapes text for Telegram's HTML and for HTML attributes in double quotes.
func HTML(text string) string { return htmlEscaper.Replace(text) }

var htmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

// Slack escapes the three characters that Slack wants escaped in text
// (https://docs.slack.dev/messaging/formatting-message-text).
func Slack(text string) string { return slackEscaper.Replace(text) }

var slackEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// fits returns an error if n bytes are more than a template may hold.
func fits(n int) error {
	if n > MaxOutput {
		return mistakef("a text is longer than %d bytes", MaxOutput)
	}
	return nil
}

// format lets a function of package fmt print values of an event, each as what as
// makes of it.
func format(sprint func(...any) string, as func(any) any, vs []any) (string, error) {
	all := make([]any, len(vs))
	for i, v := range vs {
		all[i] = v
		switch v.(type) {
		case nil:
			return "", mistake(missing)
		case bool, int, float64, rune:
		default:
			all[i] = as(v)
		}
	}
	text := sprint(all...)
	return text, fits(len(text))
}

// wide is a verb whose width or precision has more than three digits, or is an argument.
var wide = regexp.MustCompile(`%[^A-Za-z%]*(\d{4}|\*)`)

// narrow returns an error for a layout of printf by which package fmt would write more
// than a template may hold before anybody could count. A layout can be a value.
func narrow(layout string) error {
	if wide.MatchString(layout) {
		return mistakef("printf takes widths and precisions of three digits at most")
	}
	return fits(len(layout) + 1000*strings.Count(layout, "%"))
}

func asString(v any) any    { return String(v) }
func asFormatted(v any) any { return formatted{v} }

// onText returns what f makes of v's text. NULL and what is missing stay what they
// are, so that default can follow.
func onText(v any, f func(string) string, as func(string) any) (any, error) {
	if isNothing(v) {
		return v, nil
	}
	text := f(String(v))
	return as(text), fits(len(text))
}

func asText(text string) any { return text }
func asSafe(text string) any { return Safe(text) }

// plain makes a helper of f.
func plain(f func(string) string) func(any) (any, error) {
	return func(v any) (any, error) { return onText(v, f, asText) }
}

// inJSON returns v as JSON; what is missing stays missing.
func inJSON(v any, indent string) (any, error) {
	if v == nil {
		return nil, nil
	}
	text, err := marshal(v, indent)
	return Safe(text), err
}

// byDefault returns v, or other if v is NULL, missing or an empty text.
func byDefault(other, v any) any {
	if isNothing(v) || v == "" {
		return other
	}
	return v
}

// get returns the value of a column whatever its name looks like.
func get(row Row, column string) any { return row[column] }

// title begins every word with a capital.
func title(text string) string {
	var out strings.Builder
	inside := false
	for _, r := range text {
		if !inside {
			r = unicode.ToTitle(r)
		}
		out.WriteRune(r)
		inside = unicode.IsLetter(r) || unicode.IsDigit(r) || r == '\''
	}
	return out.String()
}

func truncate(n int, v any) (any, error) {
	if n < 1 {
		return nil, mistakef("truncate wants at least 1 character")
	}
	return onText(v, func(text string) string { return Truncate(text, n) }, asText)
}

// Truncate returns text if it has at most n characters, which is at least 1, and
// else its beginning and an ellipsis, n characters together.
func Truncate(text string, n int) string {
	if len(text) <= n || utf8.RuneCountInString(text) <= n {
		return text
	}
	end := 0
	for range n - 1 {
		_, size := utf8.DecodeRuneInString(text[end:])
		end += size
	}
	return strings.TrimRightFunc(text[:end], unicode.IsSpace) + "…"
}

func replace(old, by string, v any) (any, error) {
	text := String(v)
	if err := fits(len(text) + strings.Count(text, old)*max(0, len(by)-len(old))); err != nil {
		return nil, err
	}
	return onText(v, func(text string) string { return strings.ReplaceAll(text, old, by) }, asText)
}

// join returns the elements of a list with sep between them.
func join(sep string, list any) (any, error) {
	if isNothing(list) {
		return list, nil
	}
	v := reflect.ValueOf(list)
	if v.Kind() != reflect.Slice {
		return nil, mistakef("join wants a separator and a list")
	}
	if err := fits(v.Len() * len(sep)); err != nil {
		return nil, err
	}
	texts := make([]string, v.Len())
	for i := range texts {
		texts[i] = String(v.Index(i).Interface())
	}
	text := strings.Join(texts, sep)
	return text, fits(len(text))
}

// date formats a time, or a text that is one, by a layout of package time. Other
// text stays as it is: PostgreSQL has dates, such as infinity, that time has not.
func date(layout string, v any) (any, error) {
	if t, ok := v.(time.Time); ok {
		return t.Format(layout), nil
	}
	return onText(v, func(text string) string {
		for _, form := range []string{time.RFC3339Nano, time.DateOnly, time.TimeOnly} {
			if t, err := time.Parse(form, text); err == nil {
				return t.Format(layout)
			}
		}
		return text
	}, asText)
}
