package config

import (
	"reflect"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// scalar copies a single value from its text: what stands in the file counts,
// so that a password of digits stays what was typed. What a placeholder stands
// for is taken as it is too, and no YAML.
func (d *decoder) scalar(n *yaml.Node, path string, v reflect.Value) {
	text, known := n.Value, true
	if takesPlaceholders(path, v.Type()) {
		text, known = d.expanded(text, path)
	}
	want, err := setText(v, text)
	switch {
	case n.Kind != yaml.ScalarNode:
		d.problem(path, "expected %s, not %s", want, kindOf(n))
	case err != nil && known:
		d.problem(path, "expected %s%s", want, remark(v, text))
	}
}

// setText sets v from text and says what text v wants. The error is no more
// than a sign: those of package strconv quote the value.
func setText(v reflect.Value, text string) (want string, err error) {
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		*p, err = time.ParseDuration(text)
		return `a duration such as "10s" or "1m30s"`, err
	case *ByteSize:
		return `a size such as "16MiB", "64KB" or a number of bytes`, p.UnmarshalText([]byte(text))
	case *bool:
		*p, err = strconv.ParseBool(text)
		return "true or false", err
	case *int:
		*p, err = strconv.Atoi(text)
		return "a whole number", err
	case *float64:
		*p, err = strconv.ParseFloat(text, 64)
		return "a number", err
	}
	v.SetString(text)
	return "text", nil
}

// remark explains the one value that wal-listener took and that is refused here.
func remark(v reflect.Value, text string) string {
	if _, err := strconv.ParseFloat(text, 64); err == nil && v.Type() == reflect.TypeFor[time.Duration]() {
		return "; a number without a unit would be nanoseconds"
	}
	return ""
}
