package format

import "github.com/walherald/walherald/publisher"

// columns are the columns of a table, each with its part in every row.
type columns []column

// column is a column's part in a row.
type column struct {
	key   []byte // ,"name":
	value func(dst, text []byte) []byte
}

// newColumns prepares the columns of t, whose values are written as the columns
// say.
func newColumns(t *publisher.Table) columns {
	cs := make(columns, 0, len(t.Columns))
	for _, c := range t.Columns {
		cs = append(cs, column{key: append(appendMember(nil, ",", c.Name), ':'), value: c.AppendJSON})
	}
	return cs
}

// newTextColumns prepares the columns of t, whose values are written as strings
// that hold the database's own text.
func newTextColumns(t *publisher.Table) columns {
	cs := newColumns(t)
	for i := range cs {
		cs[i].value = AppendString
	}
	return cs
}

// appendNew appends the members of the new row. It reports whether there are
// columns that were left out as unchanged.
func (cs columns) appendNew(dst []byte, e *publisher.Event) (_ []byte, unchanged bool) {
	comma := 1 // how much to leave out of the next key: the first has no comma
	for i := range e.New {
		v := &e.New[i]
		if v.Kind == publisher.Unchanged {
			if v = unchangedValue(e, i); v == nil {
				unchanged = true
				continue
			}
		}
		dst, comma = cs[i].append(dst, v, comma)
	}
	return dst, unchanged
}

// appendOld appends the members of the old row.
func (cs columns) appendOld(dst []byte, e *publisher.Event) []byte {
	comma := 1
	for i := range e.Old {
		dst, comma = cs[i].append(dst, &e.Old[i], comma)
	}
	return dst
}

// appendUnchanged appends the names of the columns that appendNew left out as
// unchanged.
func (cs columns) appendUnchanged(dst []byte, e *publisher.Event) []byte {
	comma := 1
	for i := range e.New {
		if e.New[i].Kind == publisher.Unchanged && unchangedValue(e, i) == nil {
			key := cs[i].key
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
func (c *column) append(dst []byte, v *publisher.Value, comma int) ([]byte, int) {
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

// columnIndex returns the index of the column called name, or -1.
func columnIndex(t *publisher.Table, name string) int {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// textOf returns the text of column i, which is empty if it has none or is not
// there.
func textOf(row []publisher.Value, i int) []byte {
	if i < 0 || i >= len(row) || row[i].Kind != publisher.Text {
		return nil
	}
	return row[i].Text
}

// appendMember appends before and then s as a JSON string.
func appendMember(dst []byte, before, s string) []byte {
	return AppendString(append(dst, before...), []byte(s))
}

// words spells the actions as an envelope does.
type words [publisher.LogicalMessage + 1]string

// hasNew reports whether there is a row after the change: it may be one of a
// table without columns.
func hasNew(e *publisher.Event) bool {
	return e.Action != publisher.Delete && e.Action != publisher.Truncate
}
