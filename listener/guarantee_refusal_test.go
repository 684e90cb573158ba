package listener

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/listener/pgoutput"
)

// slots describes all slots of the server but for what other tests of it do.
func (s *pgSource) slots() string {
	s.t.Helper()
	return s.value(`SELECT string_agg(concat_ws(' ', slot_name, plugin, database, restart_lsn, confirmed_flush_lsn), E'\n' ORDER BY slot_name)
		FROM pg_replication_slots`)
}

// guaranteeRefuses wants Run to end with an error that says all of the words,
// and all slots to be as they were.
func guaranteeRefuses(t *testing.T, s *pgSource, words ...string) {
	t.Helper()
	before := s.slots()
	sink := newGuaranteeSink()
	err := s.start(sink).wait()
	if err == nil {
		t.Fatal("Run returned without an error")
	}
	guaranteeWords(t, err.Error(), words...)
	if after := s.slots(); after != before {
		t.Errorf("slots are now\n%s\nwere\n%s", after, before)
	}
	if n := len(sink.messages()); n != 0 {
		t.Errorf("%d messages came", n)
	}
}

// Failure 18 of docs/failures.md.
func TestSlotThatCannotServeIsRefusedAndLeftAlone(t *testing.T) {
	t.Run("other plugin", func(t *testing.T) {
		s := pgShared(t)
		s.exec("SELECT pg_create_logical_replication_slot(" + quoteLiteral(s.cfg.SlotName) + ", 'test_decoding')")
		guaranteeRefuses(t, s, "slot "+s.cfg.SlotName, "test_decoding", "pgoutput", "choose another listener.slotName")
	})
	t.Run("physical", func(t *testing.T) {
		s := pgShared(t)
		s.exec("SELECT pg_create_physical_replication_slot(" + quoteLiteral(s.cfg.SlotName) + ")")
		s.finally("SELECT pg_drop_replication_slot(" + quoteLiteral(s.cfg.SlotName) + ")")
		guaranteeRefuses(t, s, "slot "+s.cfg.SlotName, "pgoutput", "choose another listener.slotName")
	})
	t.Run("other database", func(t *testing.T) {
		s := pgShared(t)
		other := newPGSource(t, s.server, s.server.TestDatabase(t))
		other.exec("SELECT pg_create_logical_replication_slot(" + quoteLiteral(s.cfg.SlotName) + ", 'pgoutput')")
		guaranteeRefuses(t, s, "slot "+s.cfg.SlotName, other.db.Name, s.db.Name, "choose another listener.slotName")
	})
	t.Run("older than its publication", func(t *testing.T) {
		s := pgShared(t)
		s.exec("SELECT pg_create_logical_replication_slot(" + quoteLiteral(s.cfg.SlotName) + ", 'pgoutput')")
		guaranteeRefuses(t, s, "slot "+s.cfg.SlotName, `publication "walherald" does not`, s.confirmed().String(), "walherald slot drop")
		if n := s.value("SELECT count(*) FROM pg_publication"); n != "0" {
			t.Error("a publication was made that the slot cannot be read through")
		}
	})
	t.Run("invalidated", func(t *testing.T) {
		s := pgOwn(t, pgserver.Options{
			InitArgs: []string{"--wal-segsize=1"},
			Settings: map[string]string{"max_slot_wal_keep_size": "2MB", "min_wal_size": "2MB", "max_wal_size": "4MB"},
		})
		s.exec("CREATE TABLE t (id int PRIMARY KEY, filler text)")
		s.stream(newGuaranteeSink()).stop()
		at := s.confirmed()
		s.eventually("loss of the slot", func() bool {
			s.exec("INSERT INTO t SELECT coalesce(max(id), 0) + 1, repeat('x', 2000) FROM t", "SELECT pg_switch_wal()", "CHECKPOINT")
			return s.slot("wal_status") == "lost"
		})
		guaranteeRefuses(t, s, "slot "+s.cfg.SlotName, "invalidated", at.String(), "--accept-gap="+at.String())
	})
}

// pgWeak returns a database with a role that may do nothing but connect.
func pgWeak(t *testing.T) *pgSource {
	t.Helper()
	s := pgShared(t)
	s.db.User = "weak_" + s.db.Name
	s.exec("CREATE ROLE " + s.db.User + " LOGIN")
	s.finally("DROP ROLE " + s.db.User)
	return s
}

// finally executes a statement when the test has ended.
func (s *pgSource) finally(sql string) {
	s.t.Cleanup(func() {
		if _, err := s.conn.Exec(context.Background(), sql); err != nil {
			s.t.Errorf("%s: %v", sql, err)
		}
	})
}

func TestServerThatCannotServeIsRefusedWithTheRemedy(t *testing.T) {
	t.Run("wal_level", func(t *testing.T) {
		s := pgOwn(t, pgserver.Options{Settings: map[string]string{"wal_level": "replica"}})
		guaranteeRefuses(t, s, "create slot "+s.cfg.SlotName, "wal_level", "ALTER SYSTEM SET wal_level = logical", "restart")
	})
	t.Run("no right to replicate", func(t *testing.T) {
		s := pgWeak(t)
		guaranteeRefuses(t, s, s.db.User, fmt.Sprint(s.db.Port), "ALTER ROLE "+quoteIdent(s.db.User)+" REPLICATION")
	})
	t.Run("no right to connect", func(t *testing.T) {
		s := pgWeak(t)
		s.exec("ALTER ROLE "+s.db.User+" REPLICATION", "REVOKE CONNECT ON DATABASE "+s.db.Name+" FROM PUBLIC")
		guaranteeRefuses(t, s, s.db.User, fmt.Sprint(s.db.Port), "GRANT CONNECT ON DATABASE "+quoteIdent(s.db.Name)+" TO "+quoteIdent(s.db.User))
	})
	t.Run("no right to create the publication", func(t *testing.T) {
		s := pgWeak(t)
		s.exec("ALTER ROLE " + s.db.User + " REPLICATION")
		guaranteeRefuses(t, s, `create publication "walherald"`, "let a superuser run", `CREATE PUBLICATION "walherald" FOR ALL TABLES`)
	})
	t.Run("no database", func(t *testing.T) {
		s := pgShared(t)
		s.db.Name = "nowhere"
		guaranteeRefuses(t, s, `database "nowhere" does not exist`, fmt.Sprint(s.db.Port))
	})
}

// Failure 19 of docs/failures.md.
func TestPublicationDroppedWhileStreamingEndsWithAnExplanation(t *testing.T) {
	s := pgShared(t)
	// From PostgreSQL 18 on all there is of it is a warning.
	s.exec("ALTER DATABASE "+s.db.Name+" SET client_min_messages = 'error'", "CREATE TABLE t (id int PRIMARY KEY)")
	sink := newGuaranteeSink()
	r := s.stream(sink)
	s.exec("INSERT INTO t VALUES (1)")
	s.awaitConfirmed(pgoutput.LSN(sink.awaitAccepted(s.ctx, t, 1)[0].ID.LSN()) + 1)
	// Once the end of this transaction is confirmed as well, the position rests.
	s.exec("DROP PUBLICATION walherald")
	s.awaitConfirmed(s.lsn("SELECT pg_current_wal_flush_lsn()"))
	s.exec("INSERT INTO t VALUES (2)")
	unread := s.lsn("SELECT pg_current_wal_flush_lsn()") // the end of what cannot be read
	err := r.wait()
	if err == nil {
		t.Fatal("Run returned without an error")
	}
	guaranteeWords(t, err.Error(), "slot "+s.cfg.SlotName, `publication "walherald"`, "it was dropped",
		r.flush().String(), "walherald slot drop")
	if s.slot("slot_name") == "" {
		t.Error("the slot is gone too")
	}
	// A publication made anew is no way out that would lose changes unseen.
	guaranteeRefuses(t, s, `publication "walherald" does not`, s.cfg.SlotName)
	s.exec("CREATE PUBLICATION walherald FOR ALL TABLES")
	// Up to the change the server may say that it has come further.
	guaranteeWords(t, s.refused().Error(), `publication "walherald"`, "made after the slot")
	if at := s.confirmed(); at >= unread {
		t.Errorf("position %s says that the change before %s was read", at, unread)
	}
}

func TestPublicationThatTheServerSkipsWithAWarningEndsTheListener(t *testing.T) {
	s := &stream{l: &Listener{cfg: config.Listener{SlotName: "herald"}, reign: reign{progress: newProgress(1, 0x16B3748)}}}
	err := s.take(&pgproto3.NoticeResponse{Severity: "WARNUNG", Code: "55000", Message: `lese Publikation "p" nicht`})
	if !isFatal(err) {
		t.Fatalf("the warning is answered with %v", err)
	}
	guaranteeWords(t, err.Error(), "slot herald", `"p"`, "0/16B3748", "walherald slot drop")
	if err := s.take(&pgproto3.NoticeResponse{Severity: "WARNING", Code: "01000", Message: "anything"}); err != nil {
		t.Errorf("another warning is answered with %v", err)
	}
}
