package listener

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/publisher"
)

// heapInUse returns the bytes of what is still reachable.
func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC() // what pools hold is dropped with the second
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Failure 29 of docs/failures.md.
func TestTenThousandTablesAllArriveInLittleMemory(t *testing.T) {
	const tables, atOnce = 10_000, 500
	// Thousands of new files are synced to the disk before a commit otherwise.
	s := pgOwn(t, pgserver.Options{Settings: map[string]string{"fsync": "off", "autovacuum": "off", "max_locks_per_transaction": "512"}})
	sink := newGuaranteeSink()
	sink.forget = true
	r := s.stream(sink)
	before := heapInUse()
	// The procedure commits now and then: it holds a lock on each table it makes.
	each := func(sql string) string {
		return fmt.Sprintf(`DO $$ BEGIN FOR i IN 1..%d LOOP
			EXECUTE format($sql$ %s $sql$, i);
			IF i %% %d = 0 THEN COMMIT; END IF;
		END LOOP; END $$`, tables, sql, atOnce)
	}
	s.exec(each("CREATE TABLE t_%1$s (id int)"), each("INSERT INTO t_%1$s VALUES (%1$s)"))
	messages := sink.awaitAccepted(s.ctx, t, tables)
	s.awaitConfirmed(r.queued())
	used := heapInUse() - before
	guaranteeOrdered(t, messages)
	for i, m := range messages {
		if want := fmt.Sprintf("public.t_%d", i+1); m.Table != want {
			t.Fatalf("message %d is of %s, want %s", i, m.Table, want)
		}
	}
	// What is known of a table, its message here and all that is counted.
	if limit := int64(tables * 8 << 10); used > limit {
		t.Errorf("%d tables take %d bytes, want at most %d", tables, used, limit)
	}
}

// hugeRow is the size of a value that nobody would send on purpose.
const hugeRow = 100 << 20

// hugeSink takes rows whose value is a run of one letter, and keeps none.
type hugeSink struct {
	*guaranteeSink
	refuse bool // huge rows, for good

	// Of the deliverer's goroutine until the listener has ended.
	sizes     []int        // of the runs
	refusedAt pgoutput.LSN // the commit of the row that was refused
}

var errTooBig = errors.New("larger than the destination takes")

func (s *hugeSink) Deliver(ctx context.Context, batch []publisher.Message) error {
	for _, m := range batch {
		if s.refuse && len(m.Body) > hugeRow {
			s.refusedAt = pgoutput.LSN(m.ID.LSN())
			return publisher.Permanent(errTooBig)
		}
		s.sizes = append(s.sizes, bytes.Count(m.Body, []byte("~")))
	}
	return s.guaranteeSink.Deliver(ctx, batch)
}

// Failure 29 of docs/failures.md.
func TestRowOf100MBArrivesWholeAndItsMemoryIsGivenBack(t *testing.T) {
	s := pgShared(t)
	s.cfg.Window = 1 << 20
	s.exec("CREATE TABLE t (id int PRIMARY KEY, filler text)")
	sink := &hugeSink{guaranteeSink: newGuaranteeSink()}
	sink.forget = true
	r := s.stream(sink)
	insert := func(id, size int) {
		s.exec(fmt.Sprintf("INSERT INTO t VALUES (%d, repeat('~', %d))", id, size))
		sink.awaitAccepted(s.ctx, t, id)
		s.awaitConfirmed(r.queued())
	}
	insert(1, 10)
	before := heapInUse()
	insert(2, hugeRow)
	for id := 3; id <= 6; id++ { // both halves of the window are used again
		insert(id, 10)
	}
	if kept := heapInUse() - before; kept > 8<<20 {
		t.Errorf("%d bytes are held after a row of %d", kept, hugeRow)
	}
	r.stop()
	if want := []int{10, hugeRow, 10, 10, 10, 10}; !slices.Equal(sink.sizes, want) {
		t.Errorf("values of %d bytes came, want %d", sink.sizes, want)
	}
}

// Failure 29 of docs/failures.md.
func TestRowOf100MBThatIsRefusedEndsTheListenerAndIsNotPassed(t *testing.T) {
	s := pgShared(t)
	s.cfg.Window = 1 << 20
	s.exec("CREATE TABLE t (id int PRIMARY KEY, filler text)")
	sink := &hugeSink{guaranteeSink: newGuaranteeSink(), refuse: true}
	r := s.stream(sink)
	s.exec("INSERT INTO t VALUES (1, 'x')")
	sink.awaitAccepted(s.ctx, t, 1)
	s.awaitConfirmed(r.queued())
	s.exec(fmt.Sprintf("INSERT INTO t VALUES (2, repeat('x', %d))", hugeRow), "INSERT INTO t VALUES (3, 'x')")
	err := r.wait()
	if !errors.Is(err, errTooBig) || !publisher.IsPermanent(err) {
		t.Fatalf("Run returned %v, want the output's own error", err)
	}
	if at := s.confirmed(); at > sink.refusedAt {
		t.Errorf("position is %v, past the row at %v that was refused", at, sink.refusedAt)
	}
	if n := len(sink.messages()); n != 1 {
		t.Errorf("%d messages were accepted, want the one before", n)
	}
}
