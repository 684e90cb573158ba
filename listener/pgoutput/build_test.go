package pgoutput

import "encoding/binary"

// builder writes messages field by field, as the documentation lists them.
type builder []byte

func build(tag byte) builder { return builder{tag} }

func (b builder) i8(v byte) builder     { return append(b, v) }
func (b builder) i16(v int) builder     { return binary.BigEndian.AppendUint16(b, uint16(v)) }
func (b builder) i32(v int) builder     { return binary.BigEndian.AppendUint32(b, uint32(v)) }
func (b builder) i64(v uint64) builder  { return binary.BigEndian.AppendUint64(b, v) }
func (b builder) str(s string) builder  { return append(append(b, s...), 0) }
func (b builder) data(s string) builder { return append(b.i32(len(s)), s...) }

// text adds a column in text format, binary one in binary format.
func (b builder) text(s string) builder   { return b.i8('t').data(s) }
func (b builder) binary(s string) builder { return b.i8('b').data(s) }

// column adds a Relation's column.
func (b builder) column(flags byte, name string, oid, modifier int) builder {
	return b.i8(flags).str(name).i32(oid).i32(modifier)
}

// sixColumns is an insert of a row with six columns of common types.
func sixColumns() []byte {
	return build('I').i32(16384).i8('N').i16(6).
		text("123456789").text("Ada Lovelace").text("ada@example.org").
		text("t").text("1234.5600").text("2024-02-29 12:34:56.789012+00")
}

// messages holds one valid message of every kind and form, by name.
func messages() map[string][]byte {
	return map[string][]byte{
		"begin":                    build('B').i64(0x16B3748).i64(762_000_000_123_456).i32(742),
		"commit":                   build('C').i8(0).i64(0x16B3748).i64(0x16B3778).i64(762_000_000_123_456),
		"origin":                   build('O').i64(0x2000000).str("pg_16389"),
		"relation":                 build('R').i32(16384).str("public").str("Users").i8('d').i16(2).column(1, "id", 20, -1).column(0, "näme", 1043, 68),
		"relation without columns": build('R').i32(16385).str("").str("t").i8('n').i16(0),
		"type":                     build('Y').i32(16390).str("public").str("mood"),
		"insert":                   build('I').i32(16384).i8('N').i16(4).text("1").i8('n').text("").binary("\x00\x01"),
		"insert of no columns":     build('I').i32(16384).i8('N').i16(0),
		"insert of six":            sixColumns(),
		"update":                   build('U').i32(16384).i8('N').i16(2).text("1").i8('u'),
		"update with key":          build('U').i32(16384).i8('K').i16(2).text("1").i8('n').i8('N').i16(2).text("2").text("b"),
		"update with old row":      build('U').i32(16384).i8('O').i16(2).text("1").text("a").i8('N').i16(2).text("1").text("b"),
		"delete by key":            build('D').i32(16384).i8('K').i16(2).text("1").i8('n'),
		"delete with old row":      build('D').i32(16384).i8('O').i16(2).text("1").text("a"),
		"truncate":                 build('T').i32(2).i8(3).i32(16384).i32(16385),
		"logical message":          build('M').i8(1).i64(0x16B3700).str("walherald").data("{}"),
	}
}
