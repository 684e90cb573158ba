package text

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Safe is text that has been escaped: it is printed as it is.
type Safe string

// null is SQL NULL, or null in JSON. It is a map without entries, so that a
// template finds it false and without fields.
type null map[string]any

// Null is the value of a column that is NULL.
var Null any = null(nil)

// String returns NULL.
func (null) String() string { return "NULL" }

// MarshalJSON returns null.
func (null) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// IsNull reports whether v is NULL.
func IsNull(v any) bool {
	_, ok := v.(null)
	return ok
}

// isNothing reports whether v is NULL or missing.
func isNothing(v any) bool { return v == nil || IsNull(v) }

// parseValue reads one JSON value.
func parseValue(raw json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return withNull(v), nil
}

// withNull puts Null in the place of every nil.
func withNull(v any) any {
	switch v := v.(type) {
	case nil:
		return Null
	case []any:
		for i := range v {
			v[i] = withNull(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = withNull(v[k])
		}
	}
	return v
}

// Visible is String, but of blanks alone, which it puts in quotes so that there is
// something to see.
func Visible(v any) string {
	s := String(v)
	if strings.TrimSpace(s) == "" {
		return `"` + s + `"`
	}
	return s
}

// String returns v as messages show it: text as it is, a number with all its
// digits, NULL, a time as RFC 3339, and everything else as JSON. What is missing
// is empty.
func String(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case Safe:
		return string(v)
	case json.Number:
		return v.String()
	case null:
		return v.String()
	case time.Time:
		return v.Format("2006-01-02T15:04:05.999999Z07:00")
	case error, fmt.Stringer, bool, int, int64, float64, rune:
		return fmt.Sprint(v)
	}
	text, err := marshal(v, "")
	if err != nil {
		return fmt.Sprint(v)
	}
	return text
}

// marshal returns v as JSON without a line break at its end.
func marshal(v any, indent string) (string, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return "", mistakef("this has no form in JSON")
	}
	return string(bytes.TrimSuffix(out.Bytes(), []byte("\n"))), nil
}
