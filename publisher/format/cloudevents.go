package format

import (
	"bytes"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/walherald/walherald/publisher"
)

// CloudEvents is CloudEvents 1.0 in its JSON format, structured content mode. Its
// bodies are JSON objects with these members in this order:
//
//	specversion     1.0
//	id              the event's id, a UUID, equal on every redelivery
//	source          /walherald/ and the database, as a URI reference
//	type            walherald.insert, .update, .delete, .truncate or .message
//	subject         schema.table; of a logical message "message." and its prefix
//	time            when the transaction committed, RFC 3339 in UTC with microseconds
//	datacontenttype application/json
//	data            the body that [Walherald] makes of the event
//
// In subject U+FFFD stands for the characters that CloudEvents does not allow in
// its attributes, such as control characters; data has the names as they are.
//
// In the binary content mode the body is that of Walherald alone, and the
// attributes stand beside it ([publisher.Content]), so that a consumer reads the
// same data in either mode.
type CloudEvents struct {
	// Source is what the attribute source and the data tell.
	Source Source
}

// cloudEventsTypes comes before the action, in small letters, in the attribute
// type.
const cloudEventsTypes = "walherald."

// cloudEventsSource returns the attribute source.
func cloudEventsSource(s Source) string {
	return "/walherald/" + url.PathEscape(s.Database)
}

// Plan implements [Envelope].
func (c CloudEvents) Plan(t *publisher.Table, tags map[string]string) Plan {
	p := &cloudEventsPlan{data: newWalheraldPlan(t, tags, c.Source), prefix: columnIndex(t, "prefix")}
	source := appendMember(nil, `","source":`, cloudEventsSource(c.Source))
	source = append(source, `,"type":"`+cloudEventsTypes...)
	subject := strings.Map(allowed, t.Schema+"."+t.Name)
	for a := publisher.Insert; a <= publisher.LogicalMessage; a++ {
		head := append(bytes.Clone(source), strings.ToLower(a.String())...)
		head = append(head, `","subject":`...)
		if a != publisher.LogicalMessage {
			head = AppendString(head, []byte(subject))
		}
		p.heads[a] = head
	}
	return p
}

// allowed replaces the characters that the specification (section Type System,
// String) does not allow: control characters and those that Unicode calls
// noncharacters.
func allowed(r rune) rune {
	control := r < ' ' || 0x7F <= r && r <= 0x9F
	noncharacter := r&0xFFFE == 0xFFFE || 0xFDD0 <= r && r <= 0xFDEF
	if control || noncharacter {
		return utf8.RuneError
	}
	return r
}

// cloudEventsPlan holds the parts of a body that are the same in every event.
type cloudEventsPlan struct {
	heads  [publisher.LogicalMessage + 1][]byte // from the end of id to the end of subject
	data   walheraldPlan
	prefix int // the index of the column that holds a logical message's prefix, or -1
}

// Append implements [Plan].
func (p *cloudEventsPlan) Append(dst []byte, e *publisher.Event) []byte {
	dst = append(dst, `{"specversion":"1.0","id":"`...)
	dst, _ = e.ID.AppendText(dst) // its error is always nil
	dst = append(dst, p.heads[e.Action]...)
	if e.Action == publisher.LogicalMessage {
		dst = p.appendMessageSubject(dst, e)
	}
	dst = append(dst, `,"time":"`...)
	dst = append(dst, e.CommitTimeText...)
	dst = append(dst, `","datacontenttype":"application/json","data":`...)
	dst = p.data.Append(dst, e)
	return append(dst, '}')
}

// appendMessageSubject appends the subject of a logical message.
func (p *cloudEventsPlan) appendMessageSubject(dst []byte, e *publisher.Event) []byte {
	subject := append([]byte("message."), textOf(e.New, p.prefix)...)
	return AppendString(dst, bytes.Map(allowed, subject))
}
