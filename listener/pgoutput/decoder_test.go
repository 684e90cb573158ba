package pgoutput

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func text(s string) Column { return Column{Kind: Text, Data: []byte(s)} }

// Failure 24 of docs/failures.md.
func TestEveryMessageIsReadFieldByField(t *testing.T) {
	const commitTime = Timestamp(762_000_000_123_456)
	null, unchanged := Column{Kind: Null}, Column{Kind: Unchanged}
	keyRow := Tuple{[]Column{text("1"), null}}
	fullRow := Tuple{[]Column{text("1"), text("a")}}
	want := map[string]Message{
		"begin":  &Begin{FinalLSN: 0x16B3748, CommitTime: commitTime, XID: 742},
		"commit": &Commit{CommitLSN: 0x16B3748, EndLSN: 0x16B3778, CommitTime: commitTime},
		"origin": &Origin{CommitLSN: 0x2000000, Name: []byte("pg_16389")},
		"relation": &Relation{ID: 16384, Namespace: "public", Name: "Users", Identity: IdentityDefault, Columns: []RelationColumn{
			{Key: true, Name: "id", TypeOID: 20, TypeModifier: -1},
			{Name: "näme", TypeOID: 1043, TypeModifier: 68},
		}},
		"relation without columns": &Relation{ID: 16385, Name: "t", Identity: IdentityNothing, Columns: []RelationColumn{}},
		"type":                     &Type{ID: 16390, Namespace: "public", Name: "mood"},
		"insert": &Insert{RelationID: 16384, New: Tuple{[]Column{
			text("1"), null, text(""), {Kind: Binary, Data: []byte("\x00\x01")},
		}}},
		"insert of no columns": &Insert{RelationID: 16384, New: Tuple{[]Column{}}},
		"insert of six": &Insert{RelationID: 16384, New: Tuple{[]Column{
			text("123456789"), text("Ada Lovelace"), text("ada@example.org"),
			text("t"), text("1234.5600"), text("2024-02-29 12:34:56.789012+00"),
		}}},
		"update": &Update{RelationID: 16384, New: Tuple{[]Column{text("1"), unchanged}}},
		"update with key": &Update{
			RelationID: 16384, OldKind: OldKey, Old: &keyRow, old: keyRow,
			New: Tuple{[]Column{text("2"), text("b")}},
		},
		"update with old row": &Update{
			RelationID: 16384, OldKind: OldFull, Old: &fullRow, old: fullRow,
			New: Tuple{[]Column{text("1"), text("b")}},
		},
		"delete by key":       &Delete{RelationID: 16384, OldKind: OldKey, Old: keyRow},
		"delete with old row": &Delete{RelationID: 16384, OldKind: OldFull, Old: fullRow},
		"truncate":            &Truncate{Cascade: true, RestartIdentity: true, RelationIDs: []uint32{16384, 16385}},
		"logical message":     &LogicalMessage{Transactional: true, LSN: 0x16B3700, Prefix: []byte("walherald"), Content: []byte("{}")},
	}
	for name, src := range messages() {
		if want[name] == nil {
			t.Errorf("%s: nothing is expected of it", name)
		}
		got, err := Decode(src)
		if err != nil || !reflect.DeepEqual(got, want[name]) {
			t.Errorf("%s: got %+v, %v\nwant %+v", name, got, err, want[name])
		}
	}
}

// The bytes are written out once, so that the builder is not its own witness.
func TestInsertIsReadFromBytesWrittenByHand(t *testing.T) {
	src := []byte("I\x00\x00\x40\x00N\x00\x03t\x00\x00\x00\x0242nu")
	got, err := Decode(src)
	want := &Insert{RelationID: 16384, New: Tuple{[]Column{text("42"), {Kind: Null}, {Kind: Unchanged}}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestOneDecoderReadsWhatFreshOnesRead(t *testing.T) {
	var d Decoder
	for range 3 { // in a different order each time, as maps are
		for name, src := range messages() {
			want, err := Decode(src)
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.Decode(src)
			if err != nil {
				t.Fatal(err)
			}
			if u, ok := got.(*Update); ok && u.Old == nil {
				u.old = Tuple{} // left over from an earlier message, and out of sight
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %+v, want %+v", name, got, want)
			}
		}
	}
}

// Failure 28 of docs/failures.md.
func TestEveryTruncationIsAnErrorThatNamesMessageAndOffset(t *testing.T) {
	for name, src := range messages() {
		whole, err := Decode(src)
		if err != nil {
			t.Fatal(err)
		}
		typeName := strings.TrimPrefix(reflect.TypeOf(whole).Elem().Name(), "Logical")
		for n := range len(src) {
			m, err := Decode(src[:n:n])
			var de *DecodeError
			if m != nil || !errors.As(err, &de) || !errors.Is(err, ErrShort) {
				t.Fatalf("%s cut to %d bytes: got %v, %v", name, n, m, err)
			}
			if de.Offset > n || n > 0 && de.Message != typeName {
				t.Errorf("%s cut to %d bytes: error is %v", name, n, err)
			}
		}
	}
}

func TestTrailingBytesAreAnError(t *testing.T) {
	for name, src := range messages() {
		_, err := Decode(append(src, 0))
		var de *DecodeError
		if !errors.As(err, &de) || !errors.Is(err, ErrTrailing) || de.Offset != len(src) {
			t.Errorf("%s with a byte too many: got %v", name, err)
		}
	}
}

func TestMalformedMessagesAreRefusedWhereTheyGoWrong(t *testing.T) {
	tests := map[string]struct {
		src  []byte
		want string
		is   error
	}{
		"nothing":           {nil, `decode empty message at byte 0: message ends early`, ErrShort},
		"unknown type":      {[]byte("S\x00"), `decode 'S' message at byte 0: value not allowed here by protocol version 1`, ErrMalformed},
		"insert of old row": {build('I').i32(1).i8('O').i16(0), `decode Insert message at byte 5: value not allowed here by protocol version 1`, ErrMalformed},
		"update without row": {
			build('U').i32(1).i8('K').i16(0).i8('K').i16(0),
			`decode Update message at byte 8: value not allowed here by protocol version 1`, ErrMalformed,
		},
		"delete of new row": {build('D').i32(1).i8('N').i16(0), `decode Delete message at byte 5: value not allowed here by protocol version 1`, ErrMalformed},
		"column kind":       {build('I').i32(1).i8('N').i16(2).i8('n').i8('x'), `decode Insert message at byte 9: value not allowed here by protocol version 1`, ErrMalformed},
		"column count":      {build('I').i32(1).i8('N').i16(-1), `decode Insert message at byte 8: value not allowed here by protocol version 1`, ErrMalformed},
		"column length":     {build('I').i32(1).i8('N').i16(1).i8('t').i32(-1), `decode Insert message at byte 13: message ends early`, ErrShort},
		"longest column":    {build('I').i32(1).i8('N').i16(1).i8('t').i32(1<<31 - 1), `decode Insert message at byte 13: message ends early`, ErrShort},
		"replica identity":  {build('R').i32(1).str("").str("t").i8('x').i16(0), `decode Relation message at byte 8: value not allowed here by protocol version 1`, ErrMalformed},
		"relation count":    {build('T').i32(-1).i8(0), `decode Truncate message at byte 6: value not allowed here by protocol version 1`, ErrMalformed},
	}
	for name, tt := range tests {
		m, err := Decode(tt.src)
		if m != nil || err == nil || err.Error() != tt.want || !errors.Is(err, tt.is) {
			t.Errorf("%s: got %v, %v\nwant %s", name, m, err, tt.want)
		}
	}
}

// Failure 28 of docs/failures.md.
func TestHostileCountsReserveNoMemory(t *testing.T) {
	for name, src := range map[string][]byte{
		"columns of an insert":   build('I').i32(1).i8('N').i16(1<<15 - 1),
		"columns of a relation":  build('R').i32(1).str("").str("t").i8('d').i16(1<<15 - 1).i32(0).i32(0),
		"tables of a truncation": build('T').i32(1<<31 - 1).i8(0).i32(1),
	} {
		var d Decoder
		if _, err := d.Decode(src); !errors.Is(err, ErrShort) {
			t.Errorf("%s: got %v", name, err)
		}
		if c := cap(d.insert.New.Columns) + cap(d.relation.Columns) + cap(d.truncate.RelationIDs); c != 0 {
			t.Errorf("%s: memory for %d items was reserved", name, c)
		}
	}
}

func TestErrorsHoldNoRowData(t *testing.T) {
	src := build('U').i32(1).i8('O').i16(1).text("zzz").i8('N').i16(1).text("zzz")
	refused := 0
	for at := 1; at < len(src); at++ { // the type byte at 0 may be named
		broken := slices.Clone(src)
		broken[at] = 'z'
		if _, err := Decode(broken); err != nil {
			refused++
			if strings.Contains(err.Error(), "z") {
				t.Errorf("error holds a byte of the message: %v", err)
			}
		}
	}
	if refused == 0 {
		t.Error("no broken message was refused")
	}
}

func TestLargeMessageIsNotHeldAfterTheNext(t *testing.T) {
	var d Decoder
	large := build('U').i32(1).i8('O').i16(1).text(strings.Repeat("x", largeMessage)).i8('N').i16(0)
	if _, err := d.Decode(large); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Decode(messages()["begin"]); err != nil {
		t.Fatal(err)
	}
	if held := d.update.old.Columns; held != nil {
		t.Fatalf("the decoder still holds %d bytes of an earlier message", len(held[0].Data))
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	var d Decoder
	for name, src := range messages() {
		if src[0] == 'R' || src[0] == 'Y' {
			continue // names become strings
		}
		allocs := testing.AllocsPerRun(100, func() {
			if _, err := d.Decode(src); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

func BenchmarkDecodeInsertOfSixColumns(b *testing.B) {
	var d Decoder
	src := sixColumns()
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(src); err != nil {
			b.Fatal(err)
		}
	}
}
