package listener

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
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
