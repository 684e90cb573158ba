package nats

import (
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/walherald/walherald/publisher"
)

// The headers that say what a body is. Header names are compared as they are
// written.
const (
	headerType     = "Content-Type"
	headerEncoding = "Content-Encoding"
)

// attributePrefix stands before the attributes of CloudEvents
// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/nats-protocol-binding.md).
const attributePrefix = "ce-"

// beside is what is written beside bodies that are not plain JSON. A nil beside
// writes nothing: every header costs client and server as much as some columns.
type beside struct {
	content publisher.Content
	fixed   [][2]string
	buf     []publisher.Attribute
}

// newBeside returns nil for plain application/json.
func newBeside(c publisher.Content) *beside {
	if c.Encoding == "" && c.CloudEvents == nil && (c.Type == "" || c.Type == "application/json") {
		return nil
	}
	b := &beside{content: c, fixed: [][2]string{{headerType, c.Type}}}
	if c.Encoding != "" {
		b.fixed = append(b.fixed, [2]string{headerEncoding, c.Encoding})
	}
	if c.CloudEvents != nil {
		// The binding keeps Content-Type for events in structured mode.
		b.fixed = append(b.fixed, [2]string{attributePrefix + "datacontenttype", c.Type})
	}
	return b
}

// each calls set with every header of m.
func (b *beside) each(m *publisher.Message, set func(name, value string)) {
	for _, h := range b.fixed {
		set(h[0], h[1])
	}
	if b.content.CloudEvents == nil {
		return
	}
	b.buf = b.content.Attributes(b.buf[:0], m, attributePrefix)
	for _, a := range b.buf {
		if strings.HasPrefix(a.Name, attributePrefix) {
			set(a.Name, percentEncoded(a.Value))
		}
	}
}

// size is how many bytes the headers of m add.
func (b *beside) size(m *publisher.Message) int {
	if b == nil {
		return 0
	}
	n := 0
	b.each(m, func(name, value string) { n += len(name) + len(": \r\n") + len(value) })
	return n
}

// fill sets the headers of m in place of those of the message before it.
func (b *beside) fill(h nats.Header, m *publisher.Message) {
	delete(h, attributePrefix+"partitionkey") // not every message has one
	b.each(m, func(name, value string) { h[name] = []string{value} })
}

// percentEncoded encodes what CloudEvents does not let stand in a header: all but
// printable ASCII, and space, double quote and percent.
func percentEncoded(s string) string {
	const hex = "0123456789ABCDEF"
	plain := func(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != '%' }
	n := 0
	for n < len(s) && plain(s[n]) {
		n++
	}
	if n == len(s) {
		return s
	}
	var b strings.Builder
	b.WriteString(s[:n])
	for i := n; i < len(s); i++ {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}
