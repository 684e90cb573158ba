package listener

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/listener/pgoutput"
)

// guaranteeCount counts up row id of table counters, a transaction each time,
// until stop is closed, and connects again whenever the server is gone.
func guaranteeCount(ctx context.Context, dsn string, id int, stop <-chan struct{}) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	var conn *pgx.Conn
	for {
		select {
		case <-stop:
			if conn != nil {
				_ = conn.Close(ctx)
			}
			return
		case <-tick.C:
		}
		var err error
		if conn == nil {
			if conn, err = pgx.Connect(ctx, dsn); err != nil {
				continue // the server is down
			}
		}
		// Whether a commit that got no answer took place only the server knows.
		if _, err = conn.Exec(ctx, "UPDATE counters SET n = n + 1 WHERE id = $1", id); err != nil {
			_ = conn.Close(ctx)
			conn = nil
		}
	}
}

// Failure 20 of docs/failures.md.
func TestServerThatGoesAndComesCostsAndRepeatsNothing(t *testing.T) {
	const writers = 3
	s := pgOwn(t, pgserver.Options{})
	s.exec("CREATE TABLE counters (id int PRIMARY KEY, n int)", fmt.Sprintf("INSERT INTO counters SELECT i, 0 FROM generate_series(1, %d) i", writers))
	sink := newGuaranteeSink()
	r := s.stream(sink)
	dsn, stop := s.server.DSN(s.db.Name), make(chan struct{})
	var writing sync.WaitGroup
	for id := 1; id <= writers; id++ {
		writing.Go(func() { guaranteeCount(s.ctx, dsn, id, stop) })
	}
	stopWriting := sync.OnceFunc(func() {
		close(stop)
		writing.Wait()
	})
	t.Cleanup(stopWriting)

	faults := []struct {
		name  string
		fault func() error
	}{
		{"walsender terminated", func() error {
			s.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active")
			return nil
		}},
		{"fast restart", func() error { return s.server.Restart(s.ctx) }},
		{"immediate restart", func() error {
			if err := s.server.Stop(s.ctx, pgserver.Immediate); err != nil {
				return err
			}
			return s.server.Restart(s.ctx)
		}},
		{"killed", func() error {
			if err := s.server.Kill(); err != nil {
				return err
			}
			return s.server.Restart(s.ctx)
		}},
	}
	for _, f := range faults {
		sink.awaitAccepted(s.ctx, t, len(sink.messages())+100) // under load
		if err := f.fault(); err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		s.conn = s.connect()
	}
	sink.awaitAccepted(s.ctx, t, len(sink.messages())+100)
	stopWriting()

	total := 0
	if err := s.conn.QueryRow(s.ctx, "SELECT sum(n) FROM counters").Scan(&total); err != nil {
		t.Fatal(err)
	}
	messages := sink.awaitAccepted(s.ctx, t, total)
	r.awaitReady()
	s.awaitConfirmed(r.queued())
	guaranteeOrdered(t, messages)
	counters := make(map[string]int)
	for _, m := range messages {
		e := guaranteeParse(t, m)
		counters[m.Key]++
		if n := fmt.Sprint(e.Data["n"]); n != fmt.Sprint(counters[m.Key]) {
			t.Fatalf("row %s counts to %s after %d", m.Key, n, counters[m.Key]-1)
		}
	}
	if len(messages) != total {
		t.Errorf("%d messages of %d changes", len(messages), total)
	}
}

func TestConnectionLostWhileTheSinkIsDownIsReplaced(t *testing.T) {
	s := pgShared(t)
	s.cfg.Window = 64 << 10
	proxy := s.proxied()
	s.exec("CREATE TABLE t (id int PRIMARY KEY, filler text)")
	sink := newGuaranteeSink()
	r := s.stream(sink)
	// The window is full and the walsender in the middle of the transaction
	// when the connection is cut, again and again.
	const rows, cuts = 6000, 3
	sink.hold(1)
	s.flood(1, rows)
	for cut := 1; cut <= cuts; cut++ {
		sink.await(s.ctx, t, "hold", func() bool { return sink.holdAt == 0 })
		s.eventually("full window", r.outputs[0].window.full)
		if commit := pgoutput.LSN(sink.messages()[0].ID.LSN()); r.queued() > commit {
			t.Fatal("the transaction is whole before it could be cut")
		}
		before := s.slot("active_pid")
		proxy.Cut()
		s.eventually("new connection", func() bool {
			now := s.slot("active_pid")
			return now != "" && now != before
		})
		sink.hold(cut*100 + 1)
		sink.release()
	}
	sink.await(s.ctx, t, "hold", func() bool { return sink.holdAt == 0 })
	sink.release()
	messages := sink.awaitAccepted(s.ctx, t, rows)
	s.awaitConfirmed(r.queued())
	// Of the cut transaction nothing is repeated, since the process lives.
	guaranteeOrdered(t, messages)
	for i, m := range messages {
		if want := fmt.Sprint(i + 1); m.Key != want {
			t.Fatalf("message %d is of row %s", i, m.Key)
		}
	}
}
