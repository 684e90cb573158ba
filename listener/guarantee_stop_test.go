package listener

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walherald/walherald/listener/pgoutput"
)

func TestStopUnderLoadRepeatsAtMostTheTransactionItCut(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY, filler text)")
	const rows = 3000
	writer, written := s.connect(), make(chan error, 1)
	var all []guaranteeMessage
	for len(all) < rows {
		sink := newGuaranteeSink()
		r := s.stream(sink)
		if all == nil {
			go func() { written <- guaranteeInsert(s.ctx, writer, rows) }()
		}
		sink.awaitAccepted(s.ctx, t, min(rows/8, rows-len(all)))
		r.stop()
		next := sink.messages()
		if len(all) > 0 && next[0] == all[len(all)-1] {
			next = next[1:]
		}
		all = append(all, next...)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	guaranteeOrdered(t, all)
	for i, m := range all {
		if id := fmt.Sprint(guaranteeParse(t, m).Data["id"]); id != fmt.Sprint(i) {
			t.Fatalf("message %d is of row %s", i, id)
		}
	}
}

// guaranteeInsert inserts the rows 0 to n-1 of table t, each in a transaction.
func guaranteeInsert(ctx context.Context, conn *pgx.Conn, n int) error {
	for id := range n {
		if _, err := conn.Exec(ctx, "INSERT INTO t VALUES ($1, repeat('x', 1000))", id); err != nil {
			return err
		}
	}
	return nil
}

func TestStopInALargeTransactionAcknowledgesNoneOfIt(t *testing.T) {
	const rows = 6000
	for _, tt := range []struct {
		name  string
		drain time.Duration
		// stopping is called once nothing more is read.
		stopping func(sink *guaranteeSink)
	}{
		{"output down", 200 * time.Millisecond, func(*guaranteeSink) {}},
		{"output up", pgTestTimeout, (*guaranteeSink).release},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := pgShared(t)
			s.cfg.Window, s.cfg.DrainTimeout = 64<<10, tt.drain
			s.exec("CREATE TABLE t (id int PRIMARY KEY, filler text)")
			first := newGuaranteeSink()
			r := s.stream(first)
			first.hold(rows / 10)
			s.flood(1, rows)
			first.await(s.ctx, t, "hold", func() bool { return first.holdAt == 0 })
			commit := pgoutput.LSN(first.messages()[0].ID.LSN())
			s.eventually("full window", r.outputs[0].window.full)
			r.cancel()
			select {
			case <-r.outputs[0].window.closed.Done():
			case <-s.ctx.Done():
				t.Fatal("the stop was not noticed")
			}
			tt.stopping(first)
			r.stop()
			if n := len(first.messages()); n >= rows {
				t.Fatalf("all %d rows came before the stop", n)
			}
			if at := s.confirmed(); at > commit {
				t.Fatalf("position is %v, past the commit at %v that nobody has seen", at, commit)
			}

			second := newGuaranteeSink()
			r = s.stream(second)
			messages := second.awaitAccepted(s.ctx, t, rows)
			s.awaitConfirmed(r.queued())
			guaranteeOrdered(t, messages)
			for i, m := range messages {
				if want := fmt.Sprint(i + 1); m.Key != want {
					t.Fatalf("message %d is of row %s", i, m.Key)
				}
			}
			if before := first.messages(); !slices.Equal(messages[:len(before)], before) {
				t.Error("what came before the stop came again with other ids or bodies")
			}
		})
	}
}
