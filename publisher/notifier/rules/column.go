package rules

import "github.com/walherald/walherald/publisher"

// column is a column of the old or the new row.
type column struct {
	index int
	old   bool
	key   bool
}

// columnOf finds a column by its exact name.
func columnOf(t *publisher.Table, name string) (column, bool) {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return column{index: i, key: t.Columns[i].Key}, true
		}
	}
	return column{}, false
}

// hasRow reports whether an action has an old or a new row, even if the log may
// not hold all of it.
func hasRow(a publisher.Action, old bool) bool {
	switch a {
	case publisher.Update:
		return true
	case publisher.Delete:
		return old
	case publisher.Insert, publisher.LogicalMessage:
		return !old
	}
	return false
}

// value returns the column's value, which is Absent or Unchanged if the log does
// not hold it.
func (c column) value(e *publisher.Event) publisher.Value {
	if c.old {
		return c.oldValue(e)
	}
	if c.index >= len(e.New) {
		return publisher.Value{}
	}
	v := e.New[c.index]
	if v.Kind == publisher.Unchanged && c.index < len(e.Old) && e.Old[c.index].Kind == publisher.Text {
		return e.Old[c.index]
	}
	return v
}

// oldValue is value for the old row. An UPDATE that has none left the key as it was,
// if there is a key: else the server would have logged it (replica identity).
func (c column) oldValue(e *publisher.Event) publisher.Value {
	switch {
	case c.index < len(e.Old):
		return e.Old[c.index]
	case c.key && len(e.Old) == 0 && e.Action == publisher.Update && c.index < len(e.New):
		return e.New[c.index]
	}
	return publisher.Value{}
}

// known reports whether the log holds a value.
func known(v publisher.Value) bool { return v.Kind == publisher.Text || v.Kind == publisher.Null }

// text returns the text of the column in the plan's event. ok is false for NULL, and
// for what the log does not hold, which the plan is told.
func (c *column) text(p *Plan) (text []byte, ok bool) {
	row := p.event.New
	if c.old {
		row = p.event.Old
	}
	if c.index < len(row) && row[c.index].Kind == publisher.Text {
		return row[c.index].Text, true
	}
	return c.textElsewhere(p)
}

// textElsewhere is text where the row itself does not have one.
func (c *column) textElsewhere(p *Plan) (text []byte, ok bool) {
	v := c.value(p.event)
	if !known(v) {
		p.unseen = c.index
	}
	return v.Text, v.Kind == publisher.Text
}
