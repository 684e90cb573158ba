package listener

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/publisher"
)

// wire writes messages of the output plugin, field by field.
type wire []byte

func (b wire) i8(v byte) wire     { return append(b, v) }
func (b wire) i16(v int) wire     { return binary.BigEndian.AppendUint16(b, uint16(v)) }
func (b wire) i32(v int) wire     { return binary.BigEndian.AppendUint32(b, uint32(v)) }
func (b wire) i64(v uint64) wire  { return binary.BigEndian.AppendUint64(b, v) }
func (b wire) str(s string) wire  { return append(append(b, s...), 0) }
func (b wire) data(s string) wire { return append(b.i32(len(s)), s...) }

// What stands for a column's value in the functions below, beside its text.
type special byte

const (
	sqlNull special = 'n'
	toasted special = 'u' // unchanged, not sent
	inBytes special = 'b' // in binary form
)

// tuple adds a row.
func (b wire) tuple(values []any) wire {
	b = b.i16(len(values))
	for _, v := range values {
		switch v := v.(type) {
		case string:
			b = b.i8('t').data(v)
		case special:
			b = b.i8(byte(v))
			if v == inBytes {
				b = b.data("SECRET")
			}
		}
	}
	return b
}

const commitTime = 762_000_000_123_456 // 2024-02-23T10:40:00.123456Z

// beginMsg opens a transaction whose number is the lower half of its position.
func beginMsg(final uint64) wire { return wire("B").i64(final).i64(commitTime).i32(int(final)) }

func commitMsg(final uint64) wire {
	return wire("C").i8(0).i64(final).i64(final + 8).i64(commitTime)
}

// relation describes a table; an asterisk marks the columns of its key.
func relationMsg(id int, identity pgoutput.ReplicaIdentity, name string, columns ...string) wire {
	schema, table, _ := strings.Cut(name, ".")
	b := wire("R").i32(id).str(schema).str(table).i8(byte(identity)).i16(len(columns))
	for _, c := range columns {
		plain, key := strings.CutSuffix(c, "*")
		flags := byte(0)
		if key {
			flags = 1
		}
		b = b.i8(flags).str(plain).i32(oidText).i32(-1)
	}
	return b
}

func insertMsg(id int, row ...any) wire { return wire("I").i32(id).i8('N').tuple(row) }

func updateMsg(id int, kind pgoutput.OldKind, oldRow, row []any) wire {
	b := wire("U").i32(id)
	if kind != pgoutput.OldNone {
		b = b.i8(byte(kind)).tuple(oldRow)
	}
	return b.i8('N').tuple(row)
}

func deleteMsg(id int, kind pgoutput.OldKind, row ...any) wire {
	return wire("D").i32(id).i8(byte(kind)).tuple(row)
}

func truncateMsg(ids ...int) wire {
	b := wire("T").i32(len(ids)).i8(0)
	for _, id := range ids {
		b = b.i32(id)
	}
	return b
}

// recorder is a sink that writes down what it is given.
type recorder struct {
	lines  []string // begin, commit and the events in one line each
	bodies []string
	ids    []publisher.ID
	tables []string // of the ids
	err    error    // returned by emit
}

func (r *recorder) begin()                  { r.lines = append(r.lines, "begin") }
func (r *recorder) commit(end pgoutput.LSN) { r.lines = append(r.lines, "commit "+end.String()) }

func (r *recorder) emit(p *plan, e *publisher.Event) error {
	r.ids = append(r.ids, e.ID)
	r.tables = append(r.tables, p.qualified)
	r.bodies = append(r.bodies, string(p.outs[0].appendKey(nil, e))+" "+string(p.outs[0].body.Append(nil, e)))
	r.lines = append(r.lines, fmt.Sprintf("%d %v %s key=%s new=%s old=%s",
		e.Ordinal, e.Action, p.outs[0].topics[e.Action], p.outs[0].appendKey(nil, e), valuesText(e.New), valuesText(e.Old)))
	return r.err
}

func valuesText(row []publisher.Value) string {
	var s []string
	for _, v := range row {
		s = append(s, []string{"absent", "null", string(v.Text), "unchanged"}[v.Kind])
	}
	return "[" + strings.Join(s, " ") + "]"
}

func newTestChanges(t testing.TB, cfg config.Listener, s sink) *changes {
	return newChanges(t.Context(), mustRouter(t, cfg, Route{}), s, nil, always(7), cfg.MaxTransactionSize, func(xid uint32) {
		t.Fatalf("transaction %d is told to be too large", xid)
	})
}

// play hands the messages to new changes and returns what came of them.
func play(t testing.TB, cfg config.Listener, messages ...wire) *recorder {
	t.Helper()
	r := &recorder{}
	c := newTestChanges(t, cfg, r)
	for _, m := range messages {
		if err := c.handle(m); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func wantRecorded(t *testing.T, r *recorder, want ...string) {
	t.Helper()
	if !slices.Equal(r.lines, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(r.lines, "\n  "), strings.Join(want, "\n  "))
	}
}

func tupleOf(values ...any) []any { return values }
