package listener

import (
	"context"
	"strings"
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/publisher"
)

// windowSink appends to a window as the stream does, and takes the batches out.
type windowSink struct {
	w       *window
	batches int
}

func (*windowSink) begin()                {}
func (s *windowSink) commit(pgoutput.LSN) {}

func (s *windowSink) emit(p *plan, e *publisher.Event) error {
	if s.w.full() {
		b, _ := s.w.take(context.Background(), nil)
		s.w.done(b)
		s.batches++
	}
	s.w.append(publisher.Message{
		ID: e.ID, Writer: "writer", Topic: p.outs[0].topics[e.Action], Table: p.qualified, Action: e.Action, CommitTime: e.CommitTime,
	}, &p.outs[0], e)
	return nil
}

// sixColumnTable describes a table for sixColumnRow.
func sixColumnTable(id int, name string) wire {
	schema, table, _ := strings.Cut(name, ".")
	b := wire("R").i32(id).str(schema).str(table).i8('d').i16(len(sixColumnRow))
	for i, col := range sixColumnRow {
		key := byte(0)
		if i == 0 {
			key = 1
		}
		b = b.i8(key).str(col.name).i32(int(col.oid)).i32(-1)
	}
	return b
}

// insertsOfSixColumns returns a function that feeds an insert of sixColumnRow,
// in an open transaction, and the size of its message. Both batches of the
// window have grown to their size.
func insertsOfSixColumns(t testing.TB, s *windowSink) (handle func(), size int) {
	c := newTestChanges(t, config.Listener{}, s)
	var values []any
	for _, col := range sixColumnRow {
		values = append(values, col.text)
	}
	for _, m := range []wire{sixColumnTable(1, "public.users"), beginMsg(0x16B3748)} {
		if err := c.handle(m); err != nil {
			t.Fatal(err)
		}
	}
	m := insertMsg(1, values...)
	handle = func() {
		if err := c.handle(m); err != nil {
			t.Fatal(err)
		}
	}
	for s.batches < 2 {
		handle()
	}
	return handle, len(m)
}

func TestChangesOnTheirWayAllocateNothing(t *testing.T) {
	handle, _ := insertsOfSixColumns(t, &windowSink{w: newWindow(256 << 10)})
	if n := testing.AllocsPerRun(2000, handle); n != 0 {
		t.Errorf("%v allocations for each change", n)
	}
}

// From the bytes of the log to the window: decode, select, encode.
func BenchmarkChangesInsert(b *testing.B) {
	handle, size := insertsOfSixColumns(b, &windowSink{w: newWindow(4 << 20)})
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		handle()
	}
}
