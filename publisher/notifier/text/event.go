package text

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/walherald/walherald/publisher"
	"github.com/walherald/walherald/publisher/notifier"
)

// Event is what templates see of an event. It must not be changed.
type Event struct {
	// ID is the event's id, equal on every redelivery.
	ID string
	// Rule is the name of the rule that selected the event.
	Rule string
	// Topic is the table's part of the topic.
	Topic string
	// Schema and Table are the names as the database spells them; empty for a
	// logical message.
	Schema, Table string
	// Action is INSERT, UPDATE, DELETE, TRUNCATE or MESSAGE.
	Action string
	// New is the row after the change, Old the row before it as far as the log
	// holds it; empty if there is none. Row is New, or Old for a DELETE.
	New, Old, Row Row
	// Columns are the names of the columns of Row in the table's order.
	Columns []string
	// KeyColumns are those whose values are the row's key.
	KeyColumns []string
	// Changed lists what an update changed, in the table's order: the columns that
	// both rows have, with different values.
	Changed []Change
	// Unchanged lists the columns that New lacks because the update left their
	// large values alone.
	Unchanged []string
	// CommitTime is when the transaction committed, in UTC.
	CommitTime time.Time
	// LSN is the position of the commit, XID the number of the transaction.
	LSN string
	XID json.Number
	// Tags are the configured ones.
	Tags map[string]string

	payload []byte
}

// Row has the values of a row by column: a string, a json.Number, a bool, Null, or
// for JSON and arrays a map[string]any or []any of these.
type Row map[string]any

// Change is a column that an update changed.
type Change struct {
	Column   string
	Old, New any
}

// MarshalJSON returns the event in the envelope walherald.
func (e *Event) MarshalJSON() ([]byte, error) { return e.payload, nil }

// envelope is what a body in the envelope walherald has for an Event.
type envelope struct {
	Schema, Table, Action  string
	Data, DataOld          json.RawMessage
	UnchangedToastedValues []string
	Tags                   map[string]string
	LSN                    string
	XID                    json.Number
}

// Parse reads the payload of d, which has to be in the envelope walherald. The
// error satisfies [publisher.IsPermanent] and quotes nothing of the payload.
func Parse(d *notifier.Delivery) (*Event, error) {
	var env envelope
	err := json.Unmarshal(d.Payload, &env)
	if err != nil || env.Action == "" {
		return nil, parseError(d)
	}
	newRow, err := parseRow(env.Data)
	if err != nil {
		return nil, parseError(d)
	}
	oldRow, err := parseRow(env.DataOld)
	if err != nil {
		return nil, parseError(d)
	}
	e := &Event{
		ID: d.ID.String(), Rule: d.Rule, Topic: d.Topic,
		Schema: env.Schema, Table: env.Table, Action: env.Action,
		New: newRow.values, Old: oldRow.values, Row: newRow.values, Columns: newRow.columns,
		Unchanged:  env.UnchangedToastedValues,
		CommitTime: time.UnixMicro(d.CommitTime).UTC(),
		LSN:        env.LSN, XID: env.XID, Tags: env.Tags,
		payload: d.Payload,
	}
	if env.Action == publisher.Delete.String() {
		e.Row, e.Columns = oldRow.values, oldRow.columns
	}
	if env.Action == publisher.Update.String() {
		e.Changed = changes(newRow, oldRow)
	}
	e.KeyColumns = keyColumns(e, d.Key)
	return e, nil
}

func parseError(d *notifier.Delivery) error {
	return publisher.Permanent(fmt.Errorf("read event %s: its body is not in the envelope walherald", d.ID))
}

// parsedRow is a row with what a map forgets.
type parsedRow struct {
	columns []string
	raw     map[string]json.RawMessage
	values  Row
}

// parseRow reads a JSON object; nothing is an empty row.
func parseRow(text json.RawMessage) (parsedRow, error) {
	r := parsedRow{raw: map[string]json.RawMessage{}, values: Row{}}
	if len(text) == 0 || bytes.Equal(text, []byte("null")) {
		return r, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return r, fmt.Errorf("a row is no object: %w", err)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return r, err
		}
		column, _ := name.(string) // what stands before a colon is one
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return r, err
		}
		if _, again := r.raw[column]; !again {
			r.columns = append(r.columns, column)
		}
		r.raw[column] = raw
		if r.values[column], err = parseValue(raw); err != nil {
			return r, err
		}
	}
	return r, nil
}

// changes returns the columns that both rows have, with different values. One
// envelope writes equal values with equal bytes.
func changes(after, before parsedRow) []Change {
	var all []Change
	for _, c := range after.columns {
		old, known := before.raw[c]
		if known && !bytes.Equal(old, after.raw[c]) {
			all = append(all, Change{c, before.values[c], after.values[c]})
		}
	}
	return all
}

// keyColumns returns the columns that have the texts of a message's key: the first
// ones of those that do, as a key is without names.
func keyColumns(e *Event, key []byte) []string {
	var found []string
	for _, text := range keyTexts(key) {
		i := slices.IndexFunc(e.Columns, func(c string) bool {
			return String(e.Row[c]) == text && !slices.Contains(found, c)
		})
		if i >= 0 {
			found = append(found, e.Columns[i])
		}
	}
	return found
}

// keyTexts returns the texts of a key: it is one, or a JSON array of several.
func keyTexts(key []byte) []string {
	var texts []string
	if len(key) == 0 {
		return nil
	}
	if key[0] == '[' && json.Unmarshal(key, &texts) == nil {
		return texts
	}
	return []string{string(key)}
}
