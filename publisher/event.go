package publisher

// Action says what a change did. The zero value is no action.
type Action uint8

// The actions an event can have, in the spelling of their String method:
// INSERT, UPDATE, DELETE, TRUNCATE, and MESSAGE for a logical message, which
// changes no table.
const (
	Insert Action = iota + 1
	Update
	Delete
	Truncate
	LogicalMessage
)

var actionNames = [...]string{
	Insert: "INSERT", Update: "UPDATE", Delete: "DELETE", Truncate: "TRUNCATE", LogicalMessage: "MESSAGE",
}

// String returns the action in capitals, as it stands in envelopes.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return ""
}

// lower returns the action in small letters.
func (a Action) lower() string {
	if int(a) < len(actionsLower) {
		return actionsLower[a]
	}
	return ""
}

var actionsLower = [...]string{
	Insert: "insert", Update: "update", Delete: "delete", Truncate: "truncate", LogicalMessage: "message",
}

// Event is one committed change, or one logical message (PostgreSQL function
// pg_logical_emit_message). All slices are views that are valid only until the
// envelope has been written.
type Event struct {
	// ID is the event's identity, equal on every redelivery.
	ID ID
	// Action says what happened.
	Action Action
	// Table is the table it happened to; for a logical message one without
	// schema and name, whose columns are the parts of the message.
	Table *Table
	// New is the row after the change, one value for each column of Table;
	// empty for DELETE and TRUNCATE.
	New []Value
	// Old is the row before the change as far as the log holds it (the replica
	// identity), one value for each column of Table; empty if it holds nothing.
	Old []Value
	// LSN is the position of the transaction's commit record, or one inside the
	// record of a logical message that belongs to no transaction.
	LSN uint64
	// XID is the transaction's number in the database; 0 without one.
	XID uint32
	// Ordinal counts the transaction's changes from 0, filtered ones included.
	Ordinal uint64
	// CommitTime is in microseconds since the Unix epoch. A logical message that
	// belongs to no transaction has the time at which the server sent it, since
	// the log holds none.
	CommitTime int64
	// CommitTimeText is CommitTime as RFC 3339 with microseconds, in UTC; it is
	// kept beside it because it is written once for a whole transaction.
	CommitTimeText []byte
}

// Table describes the columns of one version of a table. It does not change
// once made: when the table is altered a new Table takes its place.
type Table struct {
	Schema  string
	Name    string
	Columns []Column
}

// Column is one column of a Table.
type Column struct {
	Name string
	// Key says that the column is part of the row's key.
	Key bool
	// AppendJSON appends the column's text, as the database wrote it, to dst as
	// one valid JSON value. It neither fails nor allocates once dst is large
	// enough: text it cannot make sense of becomes a JSON string.
	AppendJSON func(dst, text []byte) []byte
}

// ValueKind says what is known of a column's value.
type ValueKind uint8

const (
	// Absent: the log does not hold the value and does not owe it, as for the
	// columns outside the key in the old row of a DELETE, or it was excluded.
	Absent ValueKind = iota
	// Null: SQL NULL.
	Null
	// Text: the value in the database's own text form.
	Text
	// Unchanged: a large (TOAST) value that the statement left as it was and
	// that the log therefore leaves out.
	Unchanged
)

// Value is one column's value in one row.
type Value struct {
	Kind ValueKind
	Text []byte
}
