package pgoutput

// Kind says what a Tuple holds of a column's value.
type Kind byte

// The kinds of column values.
const (
	Null      Kind = 'n' // SQL NULL
	Unchanged Kind = 'u' // a TOASTed value that the statement did not change; not sent
	Text      Kind = 't' // the output of the type's output function
	Binary    Kind = 'b' // the output of its send function; only with the option binary
)

// Column is one column's value.
type Column struct {
	Kind Kind
	// Data is the value of a Text or Binary column, nil for the others; a view.
	Data []byte
}

// Tuple is a row: one Column for each column of its Relation, in the same
// order. The slice is used again: it is valid until the next Decode.
type Tuple struct {
	Columns []Column
}

func (t *Tuple) decode(r *reader) {
	t.Columns = resize(t.Columns, r.count16(1))
	for i := range t.Columns {
		c := &t.Columns[i]
		c.Kind, c.Data = Kind(r.uint8()), nil
		switch c.Kind {
		case Text, Binary:
			c.Data = r.sized()
		case Null, Unchanged:
		default:
			r.reject()
			return
		}
	}
}

// OldKind says which columns of a row's old version were sent.
type OldKind byte

// The kinds of old rows.
const (
	OldNone OldKind = 0   // no old row: the key did not change
	OldKey  OldKind = 'K' // the columns of the replica identity; the others are Null
	OldFull OldKind = 'O' // all columns: the replica identity is full
)

// newRow stands before a row's new version.
const newRow = 'N'

// Insert is a new row.
type Insert struct {
	// RelationID is the table's OID.
	RelationID uint32
	New        Tuple
}

func (m *Insert) decode(src []byte) error {
	r := newReader(src)
	m.RelationID = r.uint32()
	if r.uint8() != newRow {
		r.reject()
	}
	m.New.decode(&r)
	return r.finish("Insert")
}

// Update is a row's change.
type Update struct {
	// RelationID is the table's OID.
	RelationID uint32
	// OldKind says what Old holds.
	OldKind OldKind
	// Old is the row before the change; nil if OldKind is OldNone.
	Old *Tuple
	// New is the row after the change.
	New Tuple

	old Tuple // what Old points to
}

func (m *Update) decode(src []byte) error {
	r := newReader(src)
	m.RelationID = r.uint32()
	m.OldKind, m.Old = OldNone, nil
	kind := r.uint8()
	if old := OldKind(kind); old == OldKey || old == OldFull {
		m.OldKind, m.Old = old, &m.old
		m.old.decode(&r)
		kind = r.uint8()
	}
	if kind != newRow {
		r.reject()
	}
	m.New.decode(&r)
	return r.finish("Update")
}

// Delete is the end of a row.
type Delete struct {
	// RelationID is the table's OID.
	RelationID uint32
	// OldKind says what Old holds: OldKey or OldFull.
	OldKind OldKind
	// Old is the row before it was deleted.
	Old Tuple
}

func (m *Delete) decode(src []byte) error {
	r := newReader(src)
	m.RelationID = r.uint32()
	m.OldKind = OldKind(r.uint8())
	if m.OldKind != OldKey && m.OldKind != OldFull {
		r.reject()
	}
	m.Old.decode(&r)
	return r.finish("Delete")
}
