package listener

import (
	"slices"

	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/format"
)

// keyColumns returns the columns that make the message key of a table: those of
// publisher.messageKeyFrom where it has them all, else the replica identity. An
// identity that is the whole row is no key, because a row would not keep its
// key from one change to the next, and so not its place in the order; there the
// primary key is. No key has a column for which usable says no: without it
// different rows would look alike.
//
// A change of the key is an event under the new key, whose old row names the
// old one: a consumer that is partitioned by key may see it before earlier
// changes under the old key and has to clear that key up itself.
func keyColumns(rel *pgoutput.Relation, from []string, d details, usable func(column int) bool) []int {
	if key := namedColumns(rel, from, usable); key != nil {
		return key
	}
	if rel.Identity == pgoutput.IdentityFull {
		return namedColumns(rel, d.primaryKey, usable)
	}
	var key []int
	for i := range rel.Columns {
		if !rel.Columns[i].Key {
			continue
		}
		if !usable(i) {
			return nil
		}
		key = append(key, i)
	}
	return key
}

// namedColumns returns where the relation has the columns, in the order of the
// names; nil if one is missing or not usable.
func namedColumns(rel *pgoutput.Relation, names []string, usable func(column int) bool) []int {
	var columns []int
	for _, name := range names {
		i := slices.IndexFunc(rel.Columns, func(c pgoutput.RelationColumn) bool { return c.Name == name })
		if i < 0 || !usable(i) {
			return nil
		}
		columns = append(columns, i)
	}
	return columns
}

// appendKey appends the message key: the text of a key of one column, a JSON
// array of the texts of several, so that no two keys look alike. There is none
// where the log does not hold all of its values: in a TRUNCATE, and in a DELETE
// if publisher.messageKeyFrom names columns outside the replica identity.
func (p *outPlan) appendKey(dst []byte, e *publisher.Event) []byte {
	if !p.holdsKey(e) {
		return dst
	}
	if len(p.key) == 1 {
		return append(dst, keyValue(e, p.key[0]).Text...)
	}
	for n, i := range p.key {
		dst = append(dst, "[,"[min(n, 1)])
		if v := keyValue(e, i); v.Kind == publisher.Text {
			dst = format.AppendString(dst, v.Text)
		} else {
			dst = append(dst, "null"...)
		}
	}
	return append(dst, ']')
}

// holdsKey reports whether the event says of each column of the key what it is.
func (p *outPlan) holdsKey(e *publisher.Event) bool {
	if len(p.key) == 0 || len(e.New)+len(e.Old) == 0 {
		return false
	}
	for _, i := range p.key {
		if kind := keyValue(e, i).Kind; kind != publisher.Text && kind != publisher.Null {
			return false
		}
	}
	return true
}

// keyValue returns the value of column i. A large value that did not change
// stands in the old row only.
func keyValue(e *publisher.Event, i int) publisher.Value {
	if len(e.New) > 0 && (e.New[i].Kind != publisher.Unchanged || len(e.Old) == 0) {
		return e.New[i]
	}
	return e.Old[i]
}
