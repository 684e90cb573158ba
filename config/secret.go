package config

import (
	"fmt"
	"log/slog"
)

// redacted stands wherever a secret would have been shown.
const redacted = "<secret>"

// Secret is a string that shows itself to nobody: printing, logging and
// marshalling give a placeholder. Reveal is the only way to the value.
//
// Three cases are out of its reach: package fmt prints unexported fields without
// asking their methods, and the verbs %p and %w likewise; encoding/json does not
// ask the keys of a map. So do not print a struct that hides a Secret in a field
// of its own.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String returns a placeholder, or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format keeps every verb, %x and %q included, from showing the secret.
func (s Secret) Format(f fmt.State, verb rune) {
	if verb == 'v' && f.Flag('#') {
		fmt.Fprint(f, s.GoString())
		return
	}
	fmt.Fprintf(f, fmt.FormatString(f, verb), s.String())
}

// GoString keeps %#v from showing the secret.
func (s Secret) GoString() string { return `config.Secret("` + s.String() + `")` }

// LogValue keeps slog from showing the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps JSON and every other text encoding from showing the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML keeps YAML from showing the secret.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// Format keeps a verb that does not suit pointers from showing what is behind
// one, secrets included, which package fmt does for a struct within a struct.
func (r DestinationRef) Format(f fmt.State, verb rune) {
	type plain DestinationRef
	fmt.Fprintf(f, fmt.FormatString(f, verb), plain(r))
}
