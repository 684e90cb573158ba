package listener

import (
	"fmt"
	"testing"
	"time"

	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/publisher"
)

// flood inserts n rows of about 4 kB as changes, in one transaction.
func (s *pgSource) flood(from, n int) {
	s.t.Helper()
	s.exec(fmt.Sprintf("INSERT INTO t SELECT i, repeat('x', 4000) FROM generate_series(%d, %d) i", from, from+n-1))
}

// Failure 13 of docs/failures.md.
func TestSinkThatIsDownDoesNotCostTheConnection(t *testing.T) {
	s := pgOwn(t, pgserver.Options{Settings: map[string]string{"wal_sender_timeout": "2s"}})
	s.cfg.Window, s.cfg.HeartbeatInterval = 64<<10, 10*time.Second
	s.exec("CREATE TABLE t (id int PRIMARY KEY, filler text)")
	sink := newGuaranteeSink()
	s.stream(sink)
	walsender := s.slot("active_pid")
	sink.hold(0)
	// More than window and sockets take: the walsender has to wait in the middle
	// of the transaction.
	const rows = 6000
	s.flood(1, rows)
	sink.awaitOffered(s.ctx, t, 1)
	since := s.value("now()")
	s.eventually("news of the listener after two timeouts", func() bool {
		if now := s.slot("active_pid"); now != walsender {
			t.Fatalf("walsender is %q, was %q: the connection was lost", now, walsender)
		}
		return s.value("SELECT max(reply_time) > '"+since+"'::timestamptz + interval '4 s' FROM pg_stat_replication") == "true"
	})
	sink.release()
	messages := sink.awaitAccepted(s.ctx, t, rows)
	guaranteeOrdered(t, messages)
	if now := s.slot("active_pid"); now != walsender {
		t.Errorf("walsender is %q, was %q: the connection was lost", now, walsender)
	}
}

// Failure 13 of docs/failures.md.
func TestSinkThatIsSlowDoesNotCostTheConnection(t *testing.T) {
	s := pgOwn(t, pgserver.Options{Settings: map[string]string{"wal_sender_timeout": "2s"}})
	s.cfg.Window, s.cfg.HeartbeatInterval = 64<<10, 10*time.Second
	s.exec("CREATE TABLE t (id int PRIMARY KEY, filler text)")
	sink := newGuaranteeSink()
	// Slow enough to be waited for with every batch, never as long as the
	// server's patience.
	delay := time.NewTicker(300 * time.Millisecond)
	defer delay.Stop()
	batches := 0
	sink.inspect = func([]publisher.Message) {
		if batches++; batches <= 15 {
			<-delay.C
		}
	}
	s.stream(sink)
	walsender := s.slot("active_pid")
	const rows = 6000
	s.flood(1, rows)
	guaranteeOrdered(t, sink.awaitAccepted(s.ctx, t, rows))
	if now := s.slot("active_pid"); now != walsender {
		t.Errorf("walsender is %q, was %q: the connection was lost", now, walsender)
	}
}

// Failures 20 and 22 of docs/failures.md.
func TestSilentConnectionIsReplacedAndNothingLost(t *testing.T) {
	s := pgShared(t)
	proxy := s.proxied()
	s.cfg.HeartbeatInterval = 200 * time.Millisecond
	s.exec("CREATE TABLE t (id int PRIMARY KEY, filler text)")
	sink := newGuaranteeSink()
	r := s.stream(sink)
	s.flood(1, 1)
	sink.awaitAccepted(s.ctx, t, 1)

	proxy.Blackhole(true)
	s.flood(2, 100)
	s.eventually("notice of the silence", func() bool {
		at := r.postgres()
		return !at.Ready && at.Reason != ""
	})
	if reason := r.postgres().Reason; reason != "" {
		guaranteeWords(t, reason, errSilent.Error())
	}
	proxy.Blackhole(false)
	messages := sink.awaitAccepted(s.ctx, t, 101)
	r.awaitReady()
	s.awaitConfirmed(r.queued())
	guaranteeOrdered(t, messages)
}
