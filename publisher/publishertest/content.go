package publishertest

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/walherald/walherald/publisher"
)

// contents are what attributesStandBeside tries. The bodies stay as they are: a
// destination does not look into them.
var contents = map[string]publisher.Content{
	"Plain":      {Type: "application/json"},
	"Compressed": {Type: "application/json", Encoding: "gzip"},
	"Structured": {Type: "application/cloudevents+json"},
	"Binary": {
		Type: "application/json", Encoding: "zstd",
		CloudEvents: &publisher.CloudEvents{Source: "/walherald/shop", TypePrefix: "walherald."},
	},
}

// attributesStandBeside delivers the same messages with each Content, and reads
// what was added last.
func attributesStandBeside(t *testing.T, h Harness) {
	const size = 10
	for i, name := range slices.Sorted(maps.Keys(contents)) {
		c := contents[name]
		batch := h.messages(i*size, size)
		Deliver(t, Closed(t, h.NewContent(t, c)), batch)
		stored := h.Read(t)
		if len(stored) != (i+1)*size {
			t.Fatalf("%s: %d messages are stored, want %d", name, len(stored), (i+1)*size)
		}
		for _, s := range stored {
			if n := number(t, s); n >= i*size {
				h.expectBeside(t, name, c, &batch[n-i*size], s)
			}
		}
	}
}

// expectBeside wants all that belongs beside the body of m to be there.
func (h *Harness) expectBeside(t *testing.T, name string, c publisher.Content, m *publisher.Message, s Stored) {
	t.Helper()
	plain := c.Type == "application/json" && c.Encoding == "" && c.CloudEvents == nil
	if silent := plain && h.SilentJSON; silent != (s.Type == "") || (!silent && s.Type != c.Type) || s.Encoding != c.Encoding {
		t.Errorf("%s: message %v has content type %q and encoding %q, want %q and %q", name, m.ID, s.Type, s.Encoding, c.Type, c.Encoding)
	}
	want := make(map[string]string)
	for _, a := range c.Attributes(nil, m, h.Prefix) {
		if h.keeps(a.Name) {
			want[a.Name] = a.Value
		}
	}
	got := maps.Clone(s.Attributes)
	if name := h.Prefix + "datacontenttype"; h.Prefix != "" && got[name] == c.Type {
		delete(got, name) // where a binding wants it beside the content type
	}
	maps.DeleteFunc(got, func(name, _ string) bool {
		ours := strings.HasPrefix(name, "walherald-") || (h.Prefix != "" && strings.HasPrefix(name, h.Prefix))
		return !ours
	})
	if !maps.Equal(got, want) {
		t.Errorf("%s: message %v has the attributes %v, want %v", name, m.ID, got, want)
	}
}

// keeps reports whether the destination keeps an attribute.
func (h *Harness) keeps(name string) bool {
	return h.Attributes == nil || !strings.HasPrefix(name, "walherald-") || slices.Contains(h.Attributes, name)
}
