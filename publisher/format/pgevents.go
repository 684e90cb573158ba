package format

import (
	"bytes"

	"github.com/walherald/walherald/publisher"
)

// PGEvents is the envelope of pgevents. Its bodies are JSON objects with these
// members in this order:
//
//	table_name schema.table; empty for a logical message
//	old        the row before the change, as far as the log holds it
//	new        the row after the change; {} if there is none
//	id         the value of the column called id: of the new row, or of the old one
//	           where there is no new one; null without such a column
//	diff       the columns that changed, with their new values
//	action     I, U, D, T for TRUNCATE or M for a logical message
//
// Of an insert diff holds the columns that are not NULL. So it does of an update
// whose old row the log does not hold, but for the columns of the key, which the
// log holds whenever they change, and those known to be unchanged. Large values
// that did not change are left out, or taken from the old row where that holds
// them; pgevents itself writes them as null.
type PGEvents struct{}

// pgeventsActions are the letters of wal2json.
var pgeventsActions = words{
	publisher.Insert: "I", publisher.Update: "U", publisher.Delete: "D",
	publisher.Truncate: "T", publisher.LogicalMessage: "M",
}

// Plan implements [Envelope].
func (PGEvents) Plan(t *publisher.Table, _ map[string]string) Plan {
	p := &pgeventsPlan{columns: newColumns(t), table: t, id: columnIndex(t, "id")}
	name := t.Schema + "." + t.Name
	if name == "." {
		name = "" // a logical message's
	}
	p.head = append(appendMember(nil, `{"table_name":`, name), `,"old":{`...)
	return p
}

// pgeventsPlan holds the parts of a body that are the same in every event.
type pgeventsPlan struct {
	head    []byte // up to the beginning of the old row
	columns columns
	table   *publisher.Table
	id      int // the index of the column called id, or -1
}

// Append implements [Plan].
func (p *pgeventsPlan) Append(dst []byte, e *publisher.Event) []byte {
	dst = append(dst, p.head...)
	dst = p.columns.appendOld(dst, e)
	dst = append(dst, `},"new":{`...)
	dst, _ = p.columns.appendNew(dst, e)
	dst = append(dst, `},"id":`...)
	dst = p.appendID(dst, e)
	dst = append(dst, `,"diff":{`...)
	if e.Action != publisher.LogicalMessage {
		dst = p.appendDiff(dst, e)
	}
	dst = append(dst, `},"action":"`...)
	dst = append(dst, pgeventsActions[e.Action]...)
	return append(dst, `"}`...)
}

// appendID appends the value of the column called id.
func (p *pgeventsPlan) appendID(dst []byte, e *publisher.Event) []byte {
	for _, row := range [...][]publisher.Value{e.New, e.Old} {
		if p.id >= 0 && p.id < len(row) && row[p.id].Kind == publisher.Text {
			return p.columns[p.id].value(dst, row[p.id].Text)
		}
	}
	return append(dst, "null"...)
}

// appendDiff appends the members of diff.
func (p *pgeventsPlan) appendDiff(dst []byte, e *publisher.Event) []byte {
	comma := 1
	for i := range e.New {
		if p.changed(e, i) {
			dst, comma = p.columns[i].append(dst, &e.New[i], comma)
		}
	}
	return dst
}

// changed reports whether column i is to be taken for changed.
func (p *pgeventsPlan) changed(e *publisher.Event, i int) bool {
	now := &e.New[i]
	if now.Kind != publisher.Text && now.Kind != publisher.Null {
		return false
	}
	if i < len(e.Old) {
		if old := &e.Old[i]; old.Kind == publisher.Text || old.Kind == publisher.Null {
			return now.Kind != old.Kind || !bytes.Equal(now.Text, old.Text)
		}
	}
	sameKey := e.Action == publisher.Update && len(e.Old) == 0 && p.table.Columns[i].Key
	return now.Kind == publisher.Text && !sameKey
}
