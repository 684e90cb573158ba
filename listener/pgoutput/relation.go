package pgoutput

// ReplicaIdentity says which columns of the old row the log holds for a table's
// updates and deletes (pg_class.relreplident).
type ReplicaIdentity byte

// The replica identities.
const (
	IdentityDefault ReplicaIdentity = 'd' // the primary key
	IdentityNothing ReplicaIdentity = 'n'
	IdentityFull    ReplicaIdentity = 'f' // all columns
	IdentityIndex   ReplicaIdentity = 'i' // the columns of an index
)

// Relation describes a table. It comes before the first change of the table in
// a session and again after the table was altered.
type Relation struct {
	// ID is the table's OID, by which changes refer to it.
	ID uint32
	// Namespace is the schema; empty means pg_catalog.
	Namespace string
	Name      string
	Identity  ReplicaIdentity
	// Columns are those that are published, in the order of a Tuple's columns.
	// The slice is used again: it is valid until the next Decode.
	Columns []RelationColumn
}

// RelationColumn describes one column of a Relation.
type RelationColumn struct {
	// Key says that the column is part of the replica identity. With
	// IdentityFull every column is.
	Key  bool
	Name string
	// TypeOID is the OID of the column's type.
	TypeOID uint32
	// TypeModifier refines the type (pg_attribute.atttypmod); -1 means it does not.
	TypeModifier int32
}

// relationColumnSize is the least a column takes: flags, the NUL of an empty
// name, type and type modifier.
const relationColumnSize = 1 + 1 + 4 + 4

func (m *Relation) decode(src []byte) error {
	r := newReader(src)
	m.ID = r.uint32()
	m.Namespace = string(r.cstring())
	m.Name = string(r.cstring())
	m.Identity = ReplicaIdentity(r.uint8())
	switch m.Identity {
	case IdentityDefault, IdentityNothing, IdentityFull, IdentityIndex:
	default:
		r.reject()
	}
	m.Columns = resize(m.Columns, r.count16(relationColumnSize))
	for i := range m.Columns {
		m.Columns[i] = RelationColumn{
			Key:          r.uint8()&1 != 0,
			Name:         string(r.cstring()),
			TypeOID:      r.uint32(),
			TypeModifier: int32(r.uint32()),
		}
	}
	return r.finish("Relation")
}

// Type names a type that is not built in. It comes before the Relation that
// has a column of that type.
type Type struct {
	// ID is the type's OID.
	ID uint32
	// Namespace is the schema; empty means pg_catalog.
	Namespace string
	Name      string
}

func (m *Type) decode(src []byte) error {
	r := newReader(src)
	m.ID = r.uint32()
	m.Namespace = string(r.cstring())
	m.Name = string(r.cstring())
	return r.finish("Type")
}

// Truncate empties one or more tables.
type Truncate struct {
	// Cascade and RestartIdentity are the options of the statement.
	Cascade, RestartIdentity bool
	// RelationIDs are the OIDs of the tables. The slice is used again: it is
	// valid until the next Decode.
	RelationIDs []uint32
}

func (m *Truncate) decode(src []byte) error {
	r := newReader(src)
	// The options stand between the count and what it counts.
	n := int(int32(r.uint32()))
	options := r.uint8()
	m.Cascade, m.RestartIdentity = options&1 != 0, options&2 != 0
	m.RelationIDs = resize(m.RelationIDs, r.count(n, 4))
	for i := range m.RelationIDs {
		m.RelationIDs[i] = r.uint32()
	}
	return r.finish("Truncate")
}
