package config

import "log/slog"

// redacted stands wherever a secret would have been shown.
const redacted = "<secret>"

// Secret is a string that shows itself to nobody: printing, logging and
// marshalling give a placeholder. Reveal is the only way to the value.
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

// GoString keeps %#v from showing the secret.
func (s Secret) GoString() string { return `config.Secret("` + s.String() + `")` }

// LogValue keeps slog from showing the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps JSON and every other text encoding from showing the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML keeps YAML from showing the secret.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }
