package format

import (
	"maps"
	"slices"
	"strconv"

	"github.com/walherald/walherald/publisher"
)

// Walherald is the default envelope. Its bodies are JSON objects with these
// members in this order:
//
//	id                     the event's id, a UUID, equal on every redelivery
//	schema, table          the names as the database spells them
//	action                 INSERT, UPDATE, DELETE, TRUNCATE or MESSAGE
//	data                   the row after the change, column by column; {} if there is none
//	dataOld                the row before the change, as far as the log holds it
//	commitTime             when the transaction committed, RFC 3339 in UTC with microseconds;
//	                       of a message outside of transactions, when the server sent it
//	unchangedToastedValues the columns that data lacks because the statement did not
//	                       change them and the log leaves out large unchanged values
//	tags                   the configured tags, sorted by name
//	lsn                    the position of the commit record, such as "0/16B3748"; of a
//	                       message outside of transactions, the last byte of its record
//	xid                    the transaction's number; 0 outside of transactions
//	seq                    the change's number within its transaction, from 0; changes
//	                       that are not sent count too
//
// The order of changes is that of (lsn, seq); lsn compares as two hexadecimal
// numbers, not as text. The event of a logical message has neither schema nor
// table; its data are prefix, transactional and content, or contentBase64 for
// content that is not UTF-8. A large value that did not change is taken from the old
// row where that holds it. The members up to tags are those of wal-listener.
type Walherald struct{}

// Plan implements [Envelope].
func (Walherald) Plan(t *publisher.Table, tags map[string]string) Plan {
	p := &walheraldPlan{
		table: appendMember(appendMember(nil, `","schema":`, t.Schema), `,"table":`, t.Name),
		tags:  appendTags([]byte(`],"tags":`), tags),
	}
	p.table = append(p.table, `,"action":"`...)
	p.tags = append(p.tags, `,"lsn":"`...)
	for _, c := range t.Columns {
		key := append(appendMember(nil, ",", c.Name), ':')
		p.columns = append(p.columns, walheraldColumn{key: key, value: c.AppendJSON})
	}
	return p
}

// appendMember appends before and then s as a JSON string.
func appendMember(dst []byte, before, s string) []byte {
	return AppendString(append(dst, before...), []byte(s))
}

// appendTags appends tags as an object, sorted by name.
func appendTags(dst []byte, tags map[string]string) []byte {
	comma := "{"
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		dst = appendMember(dst, comma, name)
		dst = appendMember(dst, ":", tags[name])
		comma = ","
	}
	if len(tags) == 0 {
		dst = append(dst, '{')
	}
	return append(dst, '}')
}

// walheraldPlan holds the parts of a body that are the same in every event.
type walheraldPlan struct {
	table   []byte // from the end of the id to the beginning of the action
	columns []walheraldColumn
	tags    []byte // from the end of unchangedToastedValues to the beginning of lsn
}

// walheraldColumn is a column's part in a body.
type walheraldColumn struct {
	key   []byte // ,"name":
	value func(dst, text []byte) []byte
}

// Append implements [Plan].
func (p *walheraldPlan) Append(dst []byte, e *publisher.Event) []byte {
	dst = append(dst, `{"id":"`...)
	dst, _ = e.ID.AppendText(dst) // its error is always nil
	dst = append(dst, p.table...)
	dst = append(dst, e.Action.String()...)
	dst = append(dst, `","data":{`...)
	dst, unchanged := p.appendNew(dst, e)
	dst = append(dst, `},"dataOld":{`...)
	dst = p.appendOld(dst, e)
	dst = append(dst, `},"commitTime":"`...)
	dst = append(dst, e.CommitTimeText...)
	dst = append(dst, `","unchangedToastedValues":[`...)
	if unchanged {
		dst = p.appendUnchanged(dst, e)
	}
	dst = append(dst, p.tags...)
	dst = publisher.AppendLSN(dst, e.LSN)
	dst = append(dst, `","xid":`...)
	dst = strconv.AppendUint(dst, uint64(e.XID), 10)
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendUint(dst, e.Ordinal, 10)
	return append(dst, '}')
}

// appendNew appends the members of the new row. It reports whether there are
// columns that were left out as unchanged.
func (p *walheraldPlan) appendNew(dst []byte, e *publisher.Event) (_ []byte, unchanged bool) {
	comma := 1 // how much to leave out of the next key: the first has no comma
	for i := range e.New {
		v := &e.New[i]
		if v.Kind == publisher.Unchanged {
			if v = unchangedValue(e, i); v == nil {
				unchanged = true
				continue
			}
		}
		dst, comma = p.columns[i].append(dst, v, comma)
	}
	return dst, unchanged
}

// appendOld appends the members of the old row.
func (p *walheraldPlan) appendOld(dst []byte, e *publisher.Event) []byte {
	comma := 1
	for i := range e.Old {
		dst, comma = p.columns[i].append(dst, &e.Old[i], comma)
	}
	return dst
}

// appendUnchanged appends the names of the columns that appendNew left out as
// unchanged.
func (p *walheraldPlan) appendUnchanged(dst []byte, e *publisher.Event) []byte {
	comma := 1
	for i := range e.New {
		if e.New[i].Kind == publisher.Unchanged && unchangedValue(e, i) == nil {
			key := p.columns[i].key
			dst = append(dst, key[comma:len(key)-1]...)
			comma = 0
		}
	}
	return dst
}

// unchangedValue returns what the old row holds of column i, which the new row
// does not repeat, or nil.
func unchangedValue(e *publisher.Event, i int) *publisher.Value {
	if i < len(e.Old) && e.Old[i].Kind == publisher.Text {
		return &e.Old[i]
	}
	return nil
}

// append appends the column as a member of a row unless its value is not known.
// Of the key it leaves out the first comma bytes; it returns how many the next
// column has to leave out.
func (c *walheraldColumn) append(dst []byte, v *publisher.Value, comma int) ([]byte, int) {
	switch v.Kind {
	case publisher.Text:
		dst = append(dst, c.key[comma:]...)
		return c.value(dst, v.Text), 0
	case publisher.Null:
		dst = append(dst, c.key[comma:]...)
		return append(dst, "null"...), 0
	}
	return dst, comma
}
