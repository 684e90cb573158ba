package format

import (
	"strconv"

	"github.com/walherald/walherald/publisher"
)

// PSQLStreamer is the envelope of psql-streamer. Its bodies are JSON objects with
// these members in this order:
//
//	Host        the database server; "unknown" if it has no name
//	Database    the database
//	Table       the table, without its schema; empty for a logical message
//	Action      insert, update, delete, truncate or message
//	WALPosition the position of the commit record in bytes, a number
//	Timestamp   when the transaction committed, RFC 3339 in UTC with microseconds
//	UUID        the event's id, equal on every redelivery
//	Columns     the row after the change; of a delete what the log holds of the row
//	            before it: all of it, or the key
//
// psql-streamer itself has the position of the change in WALPosition, in
// Timestamp when it read the change, in UUID a random one for each attempt, and
// leaves out the columns of many types. It writes the columns of a deleted row
// outside the key, which nobody knows, as null; here they are left out. So are
// large values that did not change, unless the old row holds them.
type PSQLStreamer struct {
	// Source is what the members Host and Database tell.
	Source Source
}

var psqlStreamerActions = words{
	publisher.Insert: "insert", publisher.Update: "update", publisher.Delete: "delete",
	publisher.Truncate: "truncate", publisher.LogicalMessage: "message",
}

// Plan implements [Envelope].
func (s PSQLStreamer) Plan(t *publisher.Table, _ map[string]string) Plan {
	host := s.Source.Host
	if host == "" {
		host = "unknown"
	}
	head := appendMember(nil, `{"Host":`, host)
	head = appendMember(head, `,"Database":`, s.Source.Database)
	head = appendMember(head, `,"Table":`, t.Name)
	return &psqlStreamerPlan{head: append(head, `,"Action":"`...), columns: newColumns(t)}
}

// psqlStreamerPlan holds the parts of a body that are the same in every event.
type psqlStreamerPlan struct {
	head    []byte // up to the beginning of the action
	columns columns
}

// Append implements [Plan].
func (p *psqlStreamerPlan) Append(dst []byte, e *publisher.Event) []byte {
	dst = append(dst, p.head...)
	dst = append(dst, psqlStreamerActions[e.Action]...)
	dst = append(dst, `","WALPosition":`...)
	dst = strconv.AppendUint(dst, e.LSN, 10)
	dst = append(dst, `,"Timestamp":"`...)
	dst = append(dst, e.CommitTimeText...)
	dst = append(dst, `","UUID":"`...)
	dst, _ = e.ID.AppendText(dst) // its error is always nil
	dst = append(dst, `","Columns":{`...)
	if e.Action == publisher.Delete {
		dst = p.columns.appendOld(dst, e)
	} else {
		dst, _ = p.columns.appendNew(dst, e)
	}
	return append(dst, `}}`...)
}
