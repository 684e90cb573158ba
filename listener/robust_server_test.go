package listener

import (
	"net"
	"slices"
	"strconv"
	"testing"

	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/listener/pgoutput"
)

// terminate tells the walsender that reads the slot to end, and returns its
// process id. It ends once it can tell its client so, which has to read.
func (s *pgSource) terminate() (pid string) {
	s.t.Helper()
	pid = s.slot("active_pid")
	s.exec("SELECT pg_terminate_backend(" + pid + ")")
	return pid
}

// untold returns messages without what depends on the slot they came from.
func untold(messages []guaranteeMessage) []guaranteeMessage {
	all := slices.Clone(messages)
	for i := range all {
		all[i].Writer = ""
	}
	return all
}

// Failure 20 of docs/failures.md.
func TestWalsenderTerminatedInALargeTransactionCostsAndRepeatsNothing(t *testing.T) {
	const rows, faults = 6000, 3
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY, filler text)")
	s.cfg.Window = 64 << 10
	sink := newGuaranteeSink()
	r := s.stream(sink)
	undisturbed := *s
	undisturbed.cfg.SlotName += "_undisturbed"
	reference := newGuaranteeSink()
	undisturbed.stream(reference)

	sink.hold(1)
	s.flood(1, rows)
	for fault := 1; fault <= faults; fault++ {
		sink.await(s.ctx, t, "hold", func() bool { return sink.holdAt == 0 })
		s.eventually("full window", r.outputs[0].window.full)
		if commit := pgoutput.LSN(sink.messages()[0].ID.LSN()); r.queued() > commit {
			t.Fatal("the transaction is whole before it could be cut")
		}
		before := s.terminate()
		sink.hold(fault*500 + 1)
		sink.release()
		s.eventually("new connection", func() bool {
			now := s.slot("active_pid")
			return now != "" && now != before
		})
	}
	sink.await(s.ctx, t, "hold", func() bool { return sink.holdAt == 0 })
	sink.release()
	messages := sink.awaitAccepted(s.ctx, t, rows)
	s.awaitConfirmed(r.queued())
	guaranteeOrdered(t, messages)
	if want := reference.awaitAccepted(s.ctx, t, rows); !slices.Equal(untold(messages), untold(want)) {
		t.Error("who was cut off has other messages than who was not")
	}
}

// A server that is stopped fast lets its walsenders send what they have and
// waits for it to be confirmed; one that is stopped at once does not.
//
// Failure 20 of docs/failures.md.
func TestRestartInALargeTransactionCostsAndRepeatsNothing(t *testing.T) {
	const rows = 6000
	for name, restart := range map[string]func(s *pgSource) error{
		"fast": func(s *pgSource) error { return s.server.Restart(s.ctx) },
		"immediate": func(s *pgSource) error {
			if err := s.server.Stop(s.ctx, pgserver.Immediate); err != nil {
				return err
			}
			return s.server.Restart(s.ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := pgOwn(t, pgserver.Options{})
			s.cfg.Window = 64 << 10
			s.exec("CREATE TABLE t (id int PRIMARY KEY, filler text)")
			sink := newGuaranteeSink()
			r := s.stream(sink)
			sink.hold(rows / 10)
			s.flood(1, rows)
			sink.await(s.ctx, t, "hold", func() bool { return sink.holdAt == 0 })
			s.eventually("full window", r.outputs[0].window.full)
			restarted := make(chan error, 1)
			go func() { restarted <- restart(s) }()
			if name == "fast" {
				sink.release() // or the server would wait
			}
			if err := <-restarted; err != nil {
				t.Fatal(err)
			}
			if name != "fast" {
				sink.release()
			}
			s.conn = s.connect()
			r.awaitReady()
			messages := sink.awaitAccepted(s.ctx, t, rows)
			s.awaitConfirmed(r.queued())
			guaranteeOrdered(t, messages)
			if len(messages) != rows {
				t.Errorf("%d messages of %d rows", len(messages), rows)
			}
		})
	}
}

// Failure 19 of docs/failures.md.
func TestPublicationMayBeAlteredWhileItIsRead(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)")
	s.cfg.Publication.Tables = []string{"a"}
	sink := newGuaranteeSink()
	r := s.stream(sink)
	for _, sql := range []string{
		"INSERT INTO a VALUES (1)",
		"INSERT INTO b VALUES (1)", // not yet
		"ALTER PUBLICATION walherald ADD TABLE b",
		"INSERT INTO b VALUES (2)",
		"ALTER PUBLICATION walherald SET (publish = 'insert, delete')",
		"UPDATE a SET id = 2", // not any more
		"TRUNCATE b",
		"DELETE FROM a",
		"ALTER PUBLICATION walherald DROP TABLE a",
		"INSERT INTO a VALUES (3)", // not any more
		"INSERT INTO b VALUES (3)",
		"ALTER PUBLICATION walherald SET (publish = 'insert, update, delete, truncate')",
		"UPDATE b SET id = 4",
		"TRUNCATE a, b",
		"ALTER PUBLICATION walherald SET TABLE a",
		"INSERT INTO b VALUES (5)", // not any more
		"INSERT INTO a VALUES (5)",
	} {
		s.exec(sql)
	}
	want := []string{
		"INSERT public.a map[id:1] map[]", "INSERT public.b map[id:2] map[]", "DELETE public.a map[] map[id:2]",
		"INSERT public.b map[id:3] map[]", "UPDATE public.b map[id:4] map[id:3]", "TRUNCATE public.b map[] map[]",
		"INSERT public.a map[id:5] map[]",
	}
	guaranteeSame(t, guaranteeLines(t, sink.awaitAccepted(s.ctx, t, len(want))), want)
	s.awaitConfirmed(r.queued())
	if n := len(sink.messages()); n != len(want) {
		t.Errorf("%d messages, want %d", n, len(want))
	}
}

// Failure 18 of docs/failures.md.
func TestSlotTerminatedAndDroppedEndsTheListener(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	sink := newGuaranteeSink()
	r := s.stream(sink)
	s.exec("INSERT INTO t VALUES (1)")
	s.awaitConfirmed(pgoutput.LSN(sink.awaitAccepted(s.ctx, t, 1)[0].ID.LSN()) + 1)
	slot := quoteLiteral(s.cfg.SlotName)
	s.eventually("drop of the slot", func() bool {
		// The listener may be faster than the second of these.
		_, _ = s.conn.Exec(s.ctx, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid IS NOT NULL AND slot_name = "+slot)
		_, _ = s.conn.Exec(s.ctx, "SELECT pg_drop_replication_slot("+slot+")")
		return s.slot("slot_name") == ""
	})
	s.exec("INSERT INTO t VALUES (2)")
	err := r.wait()
	if err == nil {
		t.Fatal("Run returned without an error")
	}
	guaranteeWords(t, err.Error(), s.cfg.SlotName)
	if s.slot("slot_name") != "" {
		t.Error("the slot was made anew: nobody will ever know of the changes in between")
	}
	if n := len(sink.messages()); n != 1 {
		t.Errorf("%d messages came", n)
	}
}

func TestRightLostWhileStreamingIsNamedAtTheNextConnection(t *testing.T) {
	for right, tt := range map[string]struct {
		words []string
	}{
		"REPLICATION": {[]string{"let a superuser run: ALTER ROLE", "REPLICATION"}},
		"LOGIN":       {[]string{"not permitted to log in", "28000"}},
	} {
		t.Run(right, func(t *testing.T) {
			s := pgWeak(t)
			role := s.db.User
			s.exec("ALTER ROLE "+role+" REPLICATION", "CREATE PUBLICATION walherald FOR ALL TABLES", "CREATE TABLE t (id int PRIMARY KEY)")
			sink := newGuaranteeSink()
			r := s.stream(sink)
			s.exec("ALTER ROLE "+role+" NO"+right, "INSERT INTO t VALUES (1)")
			// Who is connected stays so.
			s.awaitConfirmed(pgoutput.LSN(sink.awaitAccepted(s.ctx, t, 1)[0].ID.LSN()) + 1)
			s.terminate()
			s.exec("INSERT INTO t VALUES (2)")
			err := r.wait()
			if !isFatal(err) {
				t.Fatalf("Run returned %v, want an error that only a human can mend", err)
			}
			guaranteeWords(t, err.Error(), append(tt.words, role, net.JoinHostPort(s.db.Host, strconv.Itoa(s.db.Port)))...)

			s.exec("ALTER ROLE " + role + " " + right)
			again := newGuaranteeSink()
			s.stream(again)
			guaranteeSame(t, guaranteeLines(t, again.awaitAccepted(s.ctx, t, 1)), []string{"INSERT public.t map[id:2] map[]"})
		})
	}
}

// All kinds of tables there are to publish, and what else is in the log.
//
// Failure 24 of docs/failures.md.
func TestTablesOfEveryKindAndIdentityArrive(t *testing.T) {
	s := pgShared(t)
	s.exec(
		"CREATE TYPE mood AS ENUM ('sad', 'happy')",
		"CREATE TABLE plain (id int PRIMARY KEY, m mood)",
		"CREATE TABLE keyless (id int, note text)",
		"CREATE TABLE entire (id int, note text)", "ALTER TABLE entire REPLICA IDENTITY FULL",
		"CREATE TABLE indexed (id int, code text NOT NULL UNIQUE)", "ALTER TABLE indexed REPLICA IDENTITY USING INDEX indexed_code_key",
		"CREATE TABLE nothing (id int PRIMARY KEY)", "ALTER TABLE nothing REPLICA IDENTITY NOTHING",
		"CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id)",
		"CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10)",
		"CREATE TABLE parts_high PARTITION OF parts FOR VALUES FROM (10) TO (20)",
		"CREATE UNLOGGED TABLE unlogged (id int)",
		"CREATE PUBLICATION walherald FOR ALL TABLES",
	)
	sink := newGuaranteeSink()
	s.stream(sink)
	s.exec(
		"INSERT INTO plain VALUES (1, 'happy')",
		"INSERT INTO keyless VALUES (1, 'a')",
		"INSERT INTO entire VALUES (1, 'a')", "UPDATE entire SET note = 'b'", "DELETE FROM entire",
		"INSERT INTO indexed VALUES (1, 'x')", "UPDATE indexed SET code = 'y'", "DELETE FROM indexed",
		"INSERT INTO nothing VALUES (1)",
		"INSERT INTO parts VALUES (1)", "UPDATE parts SET id = 11", "DELETE FROM parts",
		"INSERT INTO unlogged VALUES (1)", "CREATE TEMPORARY TABLE passing AS SELECT 1",
		"SELECT pg_logical_emit_message(true, 'prefix', 'content')", "SELECT pg_logical_emit_message(false, 'prefix', 'content')",
		"ALTER PUBLICATION walherald SET (publish_via_partition_root = true)",
		"INSERT INTO parts VALUES (2)", "UPDATE parts SET id = 12", "DELETE FROM parts", "TRUNCATE parts",
		"TRUNCATE plain, keyless",
	)
	want := []string{
		"INSERT public.plain map[id:1 m:happy] map[]",
		"INSERT public.keyless map[id:1 note:a] map[]",
		"INSERT public.entire map[id:1 note:a] map[]", "UPDATE public.entire map[id:1 note:b] map[id:1 note:a]", "DELETE public.entire map[] map[id:1 note:b]",
		"INSERT public.indexed map[code:x id:1] map[]", "UPDATE public.indexed map[code:y id:1] map[code:x]", "DELETE public.indexed map[] map[code:y]",
		"INSERT public.nothing map[id:1] map[]",
		"INSERT public.parts_low map[id:1] map[]", "DELETE public.parts_low map[] map[id:1]", "INSERT public.parts_high map[id:11] map[]",
		"DELETE public.parts_high map[] map[id:11]",
		"INSERT public.parts map[id:2] map[]", "DELETE public.parts map[] map[id:2]", "INSERT public.parts map[id:12] map[]",
		"DELETE public.parts map[] map[id:12]", "TRUNCATE public.parts map[] map[]",
		"TRUNCATE public.plain map[] map[]", "TRUNCATE public.keyless map[] map[]",
	}
	guaranteeSame(t, guaranteeLines(t, sink.awaitAccepted(s.ctx, t, len(want))), want)
}
