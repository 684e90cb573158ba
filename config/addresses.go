package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Addresses lists brokers. Its elements are the addresses as they were given;
// printed, logged or marshalled as a whole, it hides the user and password that
// an address such as amqp://user:password@host can carry. In YAML it is a list
// or one text with commas; blanks around an address are dropped.
type Addresses []string

// Commas part addresses before placeholders are replaced, so that a password may
// have one. Only what stands for all of an item may be several addresses.
func (a *Addresses) decodeNode(d *decoder, n *yaml.Node, path string) {
	var items []string
	d.list(n, path, reflect.ValueOf(&items).Elem())
	*a = nil
	for i, item := range items {
		at := entry(path, strconv.Itoa(i))
		for _, address := range splitList(item) {
			text, _ := d.expanded(address, at)
			if isPlaceholder(address) {
				*a = append(*a, splitList(text)...)
				continue
			}
			*a = append(*a, text)
		}
	}
}

// splitList splits a text at its commas and drops blanks and empty items.
func splitList(text string) []string {
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// userinfo is what stands before the last @ of an address, its scheme aside.
var userinfo = regexp.MustCompile(`(?s)^([A-Za-z][A-Za-z0-9+.-]*://)?.*@`)

// shown returns the addresses without user and password.
func (a Addresses) shown() []string {
	var out []string
	for _, address := range a {
		out = append(out, userinfo.ReplaceAllString(address, "${1}"+redacted+"@"))
	}
	return out
}

// Format prints the addresses without user and password, whatever the verb.
func (a Addresses) Format(f fmt.State, verb rune) {
	fmt.Fprintf(f, fmt.FormatString(f, verb), a.shown())
}

// LogValue logs the addresses without user and password.
func (a Addresses) LogValue() slog.Value { return slog.AnyValue(a.shown()) }

// MarshalJSON writes the addresses without user and password.
func (a Addresses) MarshalJSON() ([]byte, error) { return json.Marshal(a.shown()) }

// MarshalYAML writes the addresses without user and password.
func (a Addresses) MarshalYAML() (any, error) { return a.shown(), nil }
