package text

import "slices"

// Field is one column as a message shows it.
type Field struct {
	Column string
	// Changed says that an update changed it from Old to Value; Old is nil else.
	Changed    bool
	Old, Value any
}

// Fields returns what is worth telling of the row: first its key, then what an
// update changed. The other columns follow unless the whole old row is known, so
// that nothing of them changed.
func (e *Event) Fields() []Field {
	var fields []Field
	seen := map[string]bool{}
	add := func(f Field) {
		if !seen[f.Column] {
			fields = append(fields, f)
		}
		seen[f.Column] = true
	}
	for _, c := range e.Changed {
		seen[c.Column] = true
	}
	for _, column := range e.KeyColumns {
		add(Field{Column: column, Value: e.Row[column]})
	}
	for _, c := range e.Changed {
		fields = append(fields, Field{Column: c.Column, Changed: true, Old: c.Old, Value: c.New})
	}
	if len(e.Old) > 0 && len(e.New) > 0 && !slices.ContainsFunc(e.Columns, e.notOld) {
		return fields
	}
	for _, column := range e.Columns {
		add(Field{Column: column, Value: e.Row[column]})
	}
	return fields
}

func (e *Event) notOld(column string) bool {
	_, known := e.Old[column]
	return !known
}

// Subject returns what the event is about: the table with its schema, or the prefix
// of a logical message.
func (e *Event) Subject() string {
	if e.Table == "" {
		return String(e.Row["prefix"])
	}
	return e.Schema + "." + e.Table
}
