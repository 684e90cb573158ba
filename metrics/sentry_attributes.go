package metrics

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
)

// collect returns the attributes of scopes and then those of r, each group as a
// map of its own; groups without attributes are left out.
func collect(scopes []scope, r slog.Record) map[string]any {
	fields := make(map[string]any)
	for i, s := range scopes {
		if s.group != "" {
			if inner := collect(scopes[i+1:], r); len(inner) > 0 {
				fields[s.group] = inner
			}
			return fields
		}
		for _, a := range s.attrs {
			addAttr(fields, a)
		}
	}
	r.Attrs(func(a slog.Attr) bool {
		addAttr(fields, a)
		return true
	})
	return fields
}

// addAttr follows the rules of [slog.Handler]: no empty attributes, no empty
// groups, and a group without a name gives its attributes to its parent.
func addAttr(fields map[string]any, a slog.Attr) {
	value := a.Value.Resolve()
	if value.Kind() != slog.KindGroup {
		if a.Key == messageKey {
			return
		}
		if a.Key != "" || !value.Equal(slog.Value{}) {
			fields[a.Key] = plain(value)
		}
		return
	}
	into := fields
	if a.Key != "" {
		into = make(map[string]any)
	}
	for _, member := range value.Group() {
		addAttr(into, member)
	}
	if a.Key != "" && len(into) > 0 {
		fields[a.Key] = into
	}
}

// messageKey is the attribute that names a message by its key, which is data of a row.
const messageKey = "key"

// withoutKey returns the text of an error without the key of the message that it
// names, if it says that it does.
func withoutKey(err error) string {
	var keyed interface{ MessageKey() []byte }
	if !errors.As(err, &keyed) {
		return err.Error()
	}
	return strings.ReplaceAll(err.Error(), strconv.Quote(string(keyed.MessageKey())), "…")
}

// plain returns a resolved value as something that is certain to have a JSON
// form: one attribute without it would cost the event all of them.
func plain(v slog.Value) any {
	switch v.Kind() {
	case slog.KindFloat64:
		if f := v.Float64(); math.IsNaN(f) || math.IsInf(f, 0) {
			return v.String()
		}
	case slog.KindDuration:
		return v.String()
	case slog.KindTime:
		return v.Time().Format(time.RFC3339Nano)
	case slog.KindAny:
		return plainAny(v.Any())
	default: // strings, booleans and integers are plain already
	}
	return v.Any()
}

// plainAny is what slog's JSON handler makes of a value. Methods of the value
// can panic, on a nil pointer above all; a log line must survive that.
func plainAny(x any) (result any) {
	defer func() {
		if p := recover(); p != nil {
			result = fmt.Sprintf("!PANIC in %T: %v", x, p)
		}
	}()
	_, marshals := x.(json.Marshaler)
	if err, ok := x.(error); ok && !marshals {
		return withoutKey(err)
	}
	text, err := json.Marshal(x)
	if err != nil {
		return fmt.Sprintf("!ERROR: %T has no JSON form", x)
	}
	return json.RawMessage(text)
}
