package listener

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/walherald/walherald/listener/pgoutput"
	"github.com/walherald/walherald/publisher"
)

// pgNoise writes to another database of the server, so that the end of its log
// moves on.
func pgNoise(s *pgSource) *pgSource {
	s.t.Helper()
	n := newPGSource(s.t, s.server, s.server.TestDatabase(s.t))
	n.exec("CREATE TABLE noise (n int)")
	return n
}

func (s *pgSource) noise() {
	s.t.Helper()
	s.exec("INSERT INTO noise SELECT generate_series(1, 1000)")
}

func TestPositionNeverPassesAnUnconfirmedCommit(t *testing.T) {
	s := pgShared(t)
	s.cfg.HeartbeatInterval = 300 * time.Millisecond
	neighbour := pgNoise(s)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	sink := newGuaranteeSink()
	r := s.stream(sink)
	for id := range 3 {
		sink.hold(0)
		s.exec(fmt.Sprintf("INSERT INTO t VALUES (%d)", id))
		commit := pgoutput.LSN(sink.awaitOffered(s.ctx, t, id+1)[id].ID.LSN())
		// Later commits and other databases move the log on meanwhile.
		neighbour.noise()
		s.awaitReports(3)
		if at := s.confirmed(); at > commit {
			t.Fatalf("position is %v, past the commit at %v that nobody has confirmed", at, commit)
		}
		sink.release()
		sink.awaitAccepted(s.ctx, t, id+1)
		s.awaitConfirmed(commit + 1)
		s.awaitConfirmed(r.queued())
	}
}

func TestFailedDeliveryIsNeverAcknowledged(t *testing.T) {
	t.Run("permanent", func(t *testing.T) {
		s := pgShared(t)
		s.exec("CREATE TABLE t (id int PRIMARY KEY)")
		sink := newGuaranteeSink()
		r := s.stream(sink)
		s.exec("INSERT INTO t VALUES (1)")
		s.awaitConfirmed(pgoutput.LSN(sink.awaitAccepted(s.ctx, t, 1)[0].ID.LSN()) + 1)

		refused := errors.New("refused for good")
		sink.fail(publisher.Permanent(refused))
		s.exec("INSERT INTO t VALUES (2)")
		if err := r.wait(); !errors.Is(err, refused) || !publisher.IsPermanent(err) {
			t.Fatalf("Run returned %v, want the sink's own error", err)
		}
		commit := pgoutput.LSN(sink.awaitOffered(s.ctx, t, 2)[1].ID.LSN())
		if at := s.confirmed(); at > commit {
			t.Fatalf("position is %v, past the commit at %v that was refused", at, commit)
		}
		again := newGuaranteeSink()
		s.start(again)
		guaranteeSame(t, guaranteeLines(t, again.awaitAccepted(s.ctx, t, 1)), []string{"INSERT public.t map[id:2] map[]"})
	})
	t.Run("temporary", func(t *testing.T) {
		s := pgShared(t)
		s.cfg.HeartbeatInterval = 100 * time.Millisecond
		s.exec("CREATE TABLE t (id int PRIMARY KEY)")
		sink := newGuaranteeSink()
		s.stream(publisher.Retry(sink, 0, publisher.RetryHooks{}))
		// Each attempt to deliver is held until the position has been looked at.
		const failures = 3
		sink.fail(slices.Repeat([]error{errors.New("down")}, failures)...)
		sink.hold(0)
		s.exec("INSERT INTO t VALUES (1)")
		for attempt := 1; attempt <= failures+1; attempt++ {
			commit := pgoutput.LSN(sink.awaitOffered(s.ctx, t, attempt)[attempt-1].ID.LSN())
			s.awaitReports(2)
			if at := s.confirmed(); at > commit {
				t.Fatalf("position is %v after %d failures, past the commit at %v", at, attempt-1, commit)
			}
			sink.release()
			if attempt <= failures {
				sink.await(s.ctx, t, "failure", func() bool { return sink.refused == attempt })
				sink.hold(0)
			}
		}
		messages := sink.awaitAccepted(s.ctx, t, 1)
		s.awaitConfirmed(pgoutput.LSN(messages[0].ID.LSN()) + 1)
	})
}

// Failure 16 of docs/failures.md.
func TestRestartRedeliversExactlyWhatWasNotConfirmed(t *testing.T) {
	s := pgShared(t)
	s.cfg.DrainTimeout = 100 * time.Millisecond
	s.exec("CREATE TABLE t (id int PRIMARY KEY, data jsonb)")
	first := newGuaranteeSink()
	r := s.stream(first)
	s.transaction(`INSERT INTO t VALUES (1, '{"a": 1}')`, "INSERT INTO t VALUES (2, null)")
	first.awaitAccepted(s.ctx, t, 2)
	first.hold(0)
	s.transaction(`INSERT INTO t VALUES (3, '[18446744073709551616]')`, "UPDATE t SET id = 4 WHERE id = 1", "DELETE FROM t WHERE id = 2")
	offered := first.awaitOffered(s.ctx, t, 3)[2:]
	r.stop()

	second := newGuaranteeSink()
	r = s.stream(second)
	s.exec("TRUNCATE t")
	messages := second.awaitAccepted(s.ctx, t, 4)
	r.stop()
	if got := messages[:len(offered)]; !slices.Equal(got, offered) {
		t.Errorf("after the restart came\n%v\nwant what was offered before\n%v", got, offered)
	}
	guaranteeSame(t, guaranteeLines(t, messages), []string{
		"INSERT public.t map[data:[18446744073709551616] id:3] map[]", "UPDATE public.t map[data:map[a:1] id:4] map[id:1]",
		"DELETE public.t map[] map[id:2]", "TRUNCATE public.t map[] map[]",
	})
	guaranteeOrdered(t, append(first.messages(), messages...))
}

func TestDeliveredButNotAcknowledgedComesAgainWithTheSameIDs(t *testing.T) {
	s := pgShared(t)
	proxy := s.proxied()
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	first := newGuaranteeSink()
	r := s.stream(first)
	first.hold(0)
	s.exec("INSERT INTO t VALUES (1)")
	first.awaitOffered(s.ctx, t, 1)
	// The process gets its confirmation from the sink and ends before the
	// server hears of it.
	proxy.Refuse(true)
	proxy.CutAfter(0)
	first.release()
	want := first.awaitAccepted(s.ctx, t, 1)
	r.stop()

	proxy.Refuse(false)
	second := newGuaranteeSink()
	s.start(second)
	if got := second.awaitAccepted(s.ctx, t, 1); !slices.Equal(got, want) {
		t.Errorf("after the restart came\n%v\nwant\n%v", got, want)
	}
}

// Failure 15 of docs/failures.md.
func TestIdleDatabaseReleasesItsLog(t *testing.T) {
	s := pgShared(t)
	s.cfg.HeartbeatInterval = 200 * time.Millisecond
	neighbour := pgNoise(s)
	sink := newGuaranteeSink()
	s.stream(sink)
	for range 2 {
		neighbour.noise()
		guaranteeReleased(s, neighbour.lsn("pg_current_wal_lsn()"))
	}
	if n := len(sink.messages()); n != 0 {
		t.Errorf("%d messages of an idle database", n)
	}
}

// Failure 15 of docs/failures.md.
func TestFullyFilteredDatabaseReleasesItsLog(t *testing.T) {
	s := pgShared(t)
	s.cfg.HeartbeatInterval = 200 * time.Millisecond
	s.cfg.Filter.Tables = map[string][]string{"wanted": {"insert"}}
	s.exec("CREATE TABLE noise (n int)")
	sink := newGuaranteeSink()
	s.stream(sink)
	for range 2 {
		s.noise()
		guaranteeReleased(s, s.lsn("pg_current_wal_lsn()"))
	}
	if n := len(sink.messages()); n != 0 {
		t.Errorf("%d messages passed a filter that lets none", n)
	}
}

// guaranteeReleased waits until the server no longer keeps the log before end.
// It moves restart_lsn only past records that tell of running transactions,
// which every checkpoint writes one of.
func guaranteeReleased(s *pgSource, end pgoutput.LSN) {
	s.t.Helper()
	s.awaitConfirmed(end)
	s.eventually("release of the log", func() bool {
		s.exec("CHECKPOINT")
		restart := s.lsn("SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = " + quoteLiteral(s.cfg.SlotName))
		return restart >= end
	})
}
