package listener

import (
	"fmt"
	"strings"
	"testing"

	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/publisher"
)

// Failure 29 of docs/failures.md.
func TestHugeTransactionFlowsThroughABoundedWindow(t *testing.T) {
	const rows, window = 200_000, 1 << 20
	s := pgShared(t)
	s.cfg.Window = window
	s.exec("CREATE TABLE t (id int PRIMARY KEY, filler text)")
	sink := newGuaranteeSink()
	sink.forget = true
	r := s.newRun(sink)
	var most, batches, early, largest int
	sink.inspect = func(batch []publisher.Message) {
		batches++
		most = max(most, r.outputs[0].window.waiting().Bytes)
		if r.queued() <= pgoutput.LSN(batch[0].ID.LSN()) {
			early++ // the commit is not even in the window
		}
		for _, m := range batch {
			largest = max(largest, len(m.Key)+len(m.Body)+messageOverhead)
		}
	}
	sink.hold(rows / 4)
	r.begin()
	r.awaitReady()
	s.exec(fmt.Sprintf("INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, %d) i", rows))
	sink.await(s.ctx, t, "hold", func() bool { return sink.holdAt == 0 })
	s.eventually("full window", r.outputs[0].window.full)
	held := r.outputs[0].window.waiting().Bytes
	sink.release()
	messages := sink.awaitAccepted(s.ctx, t, rows)
	s.awaitConfirmed(r.queued())
	guaranteeOrdered(t, messages)
	r.stop()

	// Each half of the window may be exceeded by the row that fills it.
	if limit := window + 2*largest; max(held, most) > limit {
		t.Errorf("the window held %d bytes with the output down and %d at most, of %d", held, most, window)
	}
	if early < batches/2 {
		t.Errorf("%d of %d batches left before the commit was there", early, batches)
	}
}

// Failure 29 of docs/failures.md.
func TestRowLargerThanTheWindowPasses(t *testing.T) {
	s := pgShared(t)
	s.cfg.Window = 64 << 10
	s.exec("CREATE TABLE t (id int PRIMARY KEY, filler text)")
	sink := newGuaranteeSink()
	r := s.stream(sink)
	sizes := []int{10, 8 << 20, 20, 8 << 20, 8 << 20, 30}
	for i, size := range sizes {
		s.exec(fmt.Sprintf("INSERT INTO t VALUES (%d, repeat('ä', %d))", i, size/2))
	}
	messages := sink.awaitAccepted(s.ctx, t, len(sizes))
	s.awaitConfirmed(r.queued())
	for i, m := range messages {
		e := guaranteeParse(t, m)
		if filler, _ := e.Data["filler"].(string); m.Key != fmt.Sprint(i) || filler != strings.Repeat("ä", sizes[i]/2) {
			t.Errorf("message %d is of row %s with %d bytes, want row %d with %d", i, m.Key, len(filler), i, sizes[i])
		}
	}
}
