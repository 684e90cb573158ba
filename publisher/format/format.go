// Package format turns events into the bodies of messages: one file for each
// envelope, and the few pieces of JSON that envelopes share.
//
// An [Envelope] is asked for a [Plan] once for every version of a table. The
// plan holds all that does not change from event to event, such as the column
// names already quoted as JSON keys, so that encoding a row is a run of appends
// without reflection and, given a destination large enough, without allocation.
// [New] makes the envelope that a configuration names, compressed if it says so.
//
// The values come ready to be taken over: each column brings the function that
// writes the database's text as JSON ([publisher.Column]). [AppendString],
// [AppendNumber] and [AppendDocument] are what such functions are made of; none
// of them fails, because text that is not what it should be becomes a JSON
// string, and so every body is valid JSON whatever the database held.
package format

import "github.com/walherald/walherald/publisher"

// Envelope is a form of message bodies. It can be used by several goroutines.
type Envelope interface {
	// Plan prepares the encoding of t's events. Tags go into every body of an
	// envelope that has a place for them. Neither t nor tags may be changed while
	// the plan is in use.
	Plan(t *publisher.Table, tags map[string]string) Plan
}

// Plan encodes the events of one version of one table. It can be used by
// several goroutines.
type Plan interface {
	// Append appends the complete body of e, an event of the plan's table, to
	// dst. It does not allocate if dst has room.
	Append(dst []byte, e *publisher.Event) []byte
}
