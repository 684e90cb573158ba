package format

import "github.com/walherald/walherald/publisher"

// Setu is the envelope of setu's webhooks. Its bodies are JSON objects with these
// members in this order:
//
//	table the table, without its schema; empty for a logical message
//	op    Insert, Update, Delete, Truncate or Message
//	old   the row before the change, as far as the log holds it; left out if it
//	      holds nothing of it
//	new   the row after the change; left out if there is none
//
// Every value is a string with PostgreSQL's own text, or null. The columns that
// nobody knows, those outside the key in the old row and large values that did
// not change, are left out; setu itself writes them as null.
type Setu struct{}

var setuActions = words{
	publisher.Insert: "Insert", publisher.Update: "Update", publisher.Delete: "Delete",
	publisher.Truncate: "Truncate", publisher.LogicalMessage: "Message",
}

// Plan implements [Envelope].
func (Setu) Plan(t *publisher.Table, _ map[string]string) Plan {
	head := append(appendMember(nil, `{"table":`, t.Name), `,"op":"`...)
	return &setuPlan{head: head, columns: newTextColumns(t)}
}

// setuPlan holds the parts of a body that are the same in every event.
type setuPlan struct {
	head    []byte // up to the beginning of op
	columns columns
}

// Append implements [Plan].
func (p *setuPlan) Append(dst []byte, e *publisher.Event) []byte {
	dst = append(dst, p.head...)
	dst = append(dst, setuActions[e.Action]...)
	dst = append(dst, '"')
	if len(e.Old) > 0 {
		dst = append(dst, `,"old":{`...)
		dst = p.columns.appendOld(dst, e)
		dst = append(dst, '}')
	}
	if hasNew(e) {
		dst = append(dst, `,"new":{`...)
		dst, _ = p.columns.appendNew(dst, e)
		dst = append(dst, '}')
	}
	return append(dst, '}')
}
