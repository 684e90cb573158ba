package listener

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/walherald/walherald/internal/pgserver"
	"github.com/walherald/walherald/listener/pgoutput"
)

// remembers returns the position in the slot's memory.
func (s *pgSource) remembers() pgoutput.LSN {
	s.t.Helper()
	lsn, err := strconv.ParseUint(s.value("SELECT last_value FROM walherald."+quoteIdent(s.cfg.SlotName)), 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return pgoutput.LSN(lsn)
}

// readOnce has a listener deliver one change and stop.
func (s *pgSource) readOnce(id int) {
	s.t.Helper()
	sink := newGuaranteeSink()
	r := s.stream(sink)
	s.exec(fmt.Sprintf("INSERT INTO t VALUES (%d)", id))
	s.awaitConfirmed(pgoutput.LSN(sink.awaitAccepted(s.ctx, s.t, 1)[0].ID.LSN()) + 1)
	r.stop()
}

// refused runs a listener that must refuse to start, and returns why.
func (s *pgSource) refused() error {
	s.t.Helper()
	err := s.start(newGuaranteeSink()).wait()
	if err == nil {
		s.t.Fatal("the listener took the slot")
	}
	return err
}

func TestServerIsNeverToldAPositionThatIsNotRemembered(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	sink := newGuaranteeSink()
	s.stream(sink)
	for id := range 5 {
		s.exec(fmt.Sprintf("INSERT INTO t VALUES (%d)", id))
		commit := pgoutput.LSN(sink.awaitAccepted(s.ctx, t, id+1)[id].ID.LSN())
		s.eventually("confirmation", func() bool {
			// In this order: what is told has been remembered before.
			told := s.confirmed()
			if at := s.remembers(); told > at {
				t.Fatalf("the server was told %v, remembered is %v", told, at)
			}
			return told > commit
		})
	}
}

// Failure 18 of docs/failures.md.
func TestSlotThatWasReadIsNotMadeAnewAfterItIsGone(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	s.readOnce(1)
	confirmed := s.confirmed()
	s.exec("SELECT pg_drop_replication_slot("+quoteLiteral(s.cfg.SlotName)+")", "INSERT INTO t VALUES (2)")
	err := s.refused()
	guaranteeWords(t, err.Error(), "slot "+s.cfg.SlotName+" was dropped", "changes between "+confirmed.String(), "--accept-gap="+confirmed.String())
	found := fmt.Sprint(Check(s.ctx, s.cfg, s.db))
	guaranteeWords(t, found, "slot "+s.cfg.SlotName+" was dropped", "--accept-gap="+confirmed.String())
	if s.slot("slot_name") != "" {
		t.Fatal("the slot was made anew")
	}

	s.acceptGap = uint64(confirmed) - 1
	guaranteeWords(t, s.refused().Error(), "was dropped") // another gap is not accepted
	s.acceptGap = uint64(confirmed)
	sink := newGuaranteeSink()
	r := s.stream(sink)
	s.exec("INSERT INTO t VALUES (3)")
	guaranteeSame(t, guaranteeLines(t, sink.awaitAccepted(s.ctx, t, 1)), []string{"INSERT public.t map[id:3] map[]"})
	r.stop()
	// Accepted once, it is not accepted again.
	s.exec("SELECT pg_drop_replication_slot(" + quoteLiteral(s.cfg.SlotName) + ")")
	guaranteeWords(t, s.refused().Error(), "was dropped")
}

// Failure 18 of docs/failures.md.
func TestSlotThatSomebodyMadeAnewOrAdvancedIsRefused(t *testing.T) {
	for name, move := range map[string]string{
		"made anew": "SELECT pg_drop_replication_slot('%[1]s'), pg_create_logical_replication_slot('%[1]s', 'pgoutput')",
		"advanced":  "SELECT pg_replication_slot_advance('%[1]s', pg_current_wal_lsn())",
	} {
		t.Run(name, func(t *testing.T) {
			s := pgShared(t)
			s.exec("CREATE TABLE t (id int PRIMARY KEY)")
			s.readOnce(1)
			confirmed := s.confirmed()
			s.exec("INSERT INTO t VALUES (2)")
			for sql := range strings.SplitSeq(fmt.Sprintf(move, s.cfg.SlotName), ", pg_create") {
				if strings.HasPrefix(sql, "_logical") {
					sql = "SELECT pg_create" + sql
				}
				s.exec(sql)
			}
			at := s.confirmed()
			err := s.refused()
			guaranteeWords(t, err.Error(), "made anew or advanced by somebody else",
				"changes between "+confirmed.String()+" and "+at.String()+" are lost", "--accept-gap="+confirmed.String())
			s.acceptGap = uint64(confirmed)
			sink := newGuaranteeSink()
			s.stream(sink)
			s.exec("INSERT INTO t VALUES (3)")
			guaranteeSame(t, guaranteeLines(t, sink.awaitAccepted(s.ctx, t, 1)), []string{"INSERT public.t map[id:3] map[]"})
		})
	}
}

func TestSlotReplacedByAnOlderOneIsRefused(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	s.readOnce(1)
	slot := quoteLiteral(s.cfg.SlotName)
	s.exec("SELECT pg_copy_logical_replication_slot(" + slot + ", 'older_" + s.db.Name + "')")
	old := s.confirmed()
	s.readOnce(2)
	s.readOnce(3)
	s.exec("SELECT pg_drop_replication_slot("+slot+")",
		"SELECT pg_copy_logical_replication_slot('older_"+s.db.Name+"', "+slot+")")
	guaranteeWords(t, s.refused().Error(), "replaced by one further back", "nothing is lost", "--accept-gap="+old.String())
	s.acceptGap = uint64(old)
	sink := newGuaranteeSink()
	s.stream(sink)
	guaranteeSame(t, guaranteeLines(t, sink.awaitAccepted(s.ctx, t, 2)),
		[]string{"INSERT public.t map[id:2] map[]", "INSERT public.t map[id:3] map[]"})
}

// Failure 18 of docs/failures.md.
func TestInvalidatedSlotIsRefusedUntilTheGapIsAccepted(t *testing.T) {
	s := pgOwn(t, pgserver.Options{Settings: map[string]string{"max_slot_wal_keep_size": "16MB", "max_wal_size": "32MB"}})
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	s.readOnce(1)
	remembered := s.remembers()
	s.eventually("invalidation", func() bool {
		s.exec("SELECT pg_switch_wal()", "CREATE TABLE IF NOT EXISTS filler (v text)", "INSERT INTO filler VALUES ('x')", "CHECKPOINT")
		return s.slot("wal_status") == "lost"
	})
	guaranteeWords(t, s.refused().Error(), "was invalidated", "changes between "+remembered.String(), "--accept-gap="+remembered.String())
	if s.slot("wal_status") != "lost" {
		t.Fatal("the invalidated slot was touched")
	}
	s.acceptGap = uint64(remembered)
	sink := newGuaranteeSink()
	s.stream(sink)
	s.exec("INSERT INTO t VALUES (3)")
	guaranteeSame(t, guaranteeLines(t, sink.awaitAccepted(s.ctx, t, 1)), []string{"INSERT public.t map[id:3] map[]"})
}

func TestCrashOfTheServerTakesTheSlotBackAndStopsNothing(t *testing.T) {
	s := pgOwn(t, pgserver.Options{})
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	s.readOnce(1)
	s.exec("CHECKPOINT")
	// What the server knows of the slot after a crash is what it wrote to disk
	// last, which it does when it likes.
	state := filepath.Join("pg_replslot", s.cfg.SlotName, "state")
	old, err := os.ReadFile(filepath.Join(s.server.DataDir(), state))
	if err != nil {
		t.Fatal(err)
	}
	s.readOnce(2)
	remembered := s.remembers()
	if err := s.server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.server.WriteFile(state, old); err != nil {
		t.Fatal(err)
	}
	if err := s.server.Restart(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.conn = s.connect()
	if at := s.confirmed(); at >= remembered {
		t.Fatalf("the slot is at %v, remembered is %v", at, remembered)
	}
	sink := newGuaranteeSink()
	s.stream(sink)
	s.exec("INSERT INTO t VALUES (3)")
	guaranteeSame(t, guaranteeLines(t, sink.awaitAccepted(s.ctx, t, 1)), []string{"INSERT public.t map[id:3] map[]"})
}

func TestWithoutTheRightToRememberWalheraldGoesOn(t *testing.T) {
	s := pgShared(t)
	role := "unprivileged_" + s.db.Name
	s.exec("CREATE ROLE "+role+" LOGIN REPLICATION", "CREATE TABLE t (id int PRIMARY KEY)", "CREATE PUBLICATION walherald FOR ALL TABLES")
	s.t.Cleanup(func() { _, _ = s.conn.Exec(context.Background(), "DROP ROLE "+role) })
	s.db.User = role
	sink := newGuaranteeSink()
	s.stream(sink)
	s.exec("INSERT INTO t VALUES (1)")
	s.awaitConfirmed(pgoutput.LSN(sink.awaitAccepted(s.ctx, t, 1)[0].ID.LSN()) + 1)
	if s.value("to_regnamespace('walherald')") != "" {
		t.Error("there is a schema")
	}
}

func TestPositionIsHeldWhileItCannotBeRemembered(t *testing.T) {
	s := pgShared(t)
	s.cfg.HeartbeatInterval = 100 * time.Millisecond
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	sink := newGuaranteeSink()
	s.stream(sink)
	// An open ALTER SEQUENCE keeps every writer of the memory waiting.
	holder := s.connect()
	if _, err := holder.Exec(s.ctx, "BEGIN; ALTER SEQUENCE walherald."+quoteIdent(s.cfg.SlotName)+" CACHE 2"); err != nil {
		t.Fatal(err)
	}
	s.exec("INSERT INTO t VALUES (1)")
	commit := pgoutput.LSN(sink.awaitAccepted(s.ctx, t, 1)[0].ID.LSN())
	s.eventually("a write that waits", func() bool {
		return s.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%setval%'") == "1"
	})
	s.awaitReports(3)
	if at := s.confirmed(); at > commit {
		t.Errorf("the server was told %v, which nobody will remember", at)
	}
	if _, err := holder.Exec(s.ctx, "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	s.awaitConfirmed(commit + 1)
}

func TestProcessThatLostTheSlotUnawareDoesNotTouchItsMemory(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	s.readOnce(1)
	r := s.stream(newGuaranteeSink())
	before, far := s.remembers(), s.remembers()+1<<40
	m := &memory{&sqlConn{db: s.db}, s.cfg.Schema, s.cfg.SlotName}
	defer m.sql.(*sqlConn).close()
	reader, err := strconv.ParseUint(s.slot("active_pid"), 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.write(s.ctx, far, uint32(reader)+1); !errors.Is(err, errSlotLost) || s.remembers() >= far {
		t.Errorf("a stranger's write ends with %v, remembered is %v, was %v", err, s.remembers(), before)
	}
	if err := m.write(s.ctx, far, uint32(reader)); err != nil || s.remembers() != far {
		t.Errorf("the reader's write ends with %v, remembered is %v, want %v", err, s.remembers(), far)
	}
	if err := m.write(s.ctx, before, uint32(reader)); err != nil || s.remembers() != far {
		t.Errorf("a write of the past ends with %v, remembered is %v, want %v", err, s.remembers(), far)
	}
	r.stop()
	if err := m.write(s.ctx, far+1, uint32(reader)); !errors.Is(err, errSlotLost) || s.remembers() != far {
		t.Errorf("after the end of the reader a write ends with %v, remembered is %v, want %v", err, s.remembers(), far)
	}
}

func TestMemoryThatSomebodyDroppedIsMadeAgain(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	sink := newGuaranteeSink()
	s.stream(sink)
	for id, drop := range []string{"DROP SEQUENCE walherald." + quoteIdent(s.cfg.SlotName), "DROP SCHEMA walherald CASCADE"} {
		s.exec(drop, fmt.Sprintf("INSERT INTO t VALUES (%d)", id))
		s.awaitConfirmed(pgoutput.LSN(sink.awaitAccepted(s.ctx, t, id+1)[id].ID.LSN()) + 1)
		if s.remembers() < s.confirmed() {
			t.Errorf("after %s: remembered is %v, told %v", drop, s.remembers(), s.confirmed())
		}
	}
}

func TestMemoryOfAnotherServerIsNotUsed(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)", "CREATE SCHEMA walherald",
		"CREATE SEQUENCE walherald."+quoteIdent(s.cfg.SlotName), "SELECT setval('walherald."+s.cfg.SlotName+"', 9223372036854775807)",
		"COMMENT ON SEQUENCE walherald."+quoteIdent(s.cfg.SlotName)+` IS '{"system": "1", "database": "x", "timeline": 1, "from": "0/1", "started": ""}'`)
	s.readOnce(1)
	if at := s.remembers(); at != s.confirmed() {
		t.Errorf("remembered is %v, the slot is at %v", at, s.confirmed())
	}
}

func TestSequenceThatIsNotOursIsRefused(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE SCHEMA walherald", "CREATE SEQUENCE walherald."+quoteIdent(s.cfg.SlotName), "SELECT nextval('walherald."+s.cfg.SlotName+"')")
	guaranteeWords(t, s.refused().Error(), "walherald", s.cfg.SlotName, "its comment is not walherald's", "listener.schema")
}

func TestMemoryThatMayNoLongerBeWrittenStopsWhoWouldGetAheadOfIt(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	s.readOnce(1)
	role := "reader_" + s.db.Name
	s.exec("CREATE ROLE "+role+" LOGIN REPLICATION", "GRANT USAGE ON SCHEMA walherald TO "+role,
		"GRANT SELECT ON ALL SEQUENCES IN SCHEMA walherald TO "+role)
	s.finally("DROP OWNED BY " + role + "; DROP ROLE " + role)
	s.db.User = role
	guaranteeWords(t, s.refused().Error(), "slot memory", "cannot be written", "ALTER SEQUENCE", role, "listener.slotMemory")
}

func TestIdleDatabaseIsToldItsEndAndRarelyWrittenTo(t *testing.T) {
	s := pgShared(t)
	s.cfg.HeartbeatInterval = 100 * time.Millisecond
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	s.stream(newGuaranteeSink())
	s.exec("INSERT INTO t VALUES (1)")
	s.awaitConfirmed(s.lsn("pg_current_wal_lsn()"))
	// What is written for the memory alone is followed by a long pause.
	writes, at := 0, s.remembers()
	for range 20 {
		s.awaitReports(1)
		if now := s.remembers(); now != at {
			writes, at = writes+1, now
		}
	}
	if writes > 2 {
		t.Errorf("the memory was written %d times within 20 heartbeats", writes)
	}
}

func TestServerShutsDownWithoutWaitingForWalherald(t *testing.T) {
	s := pgOwn(t, pgserver.Options{})
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	sink := newGuaranteeSink()
	r := s.stream(sink)
	s.exec("INSERT INTO t VALUES (1)")
	sink.awaitAccepted(s.ctx, t, 1)
	if err := s.server.Stop(s.ctx, pgserver.Fast); err != nil {
		t.Fatalf("fast shutdown: %v", err)
	}
	if err := s.server.Restart(s.ctx); err != nil {
		t.Fatal(err)
	}
	r.awaitReady()
	s.conn = s.connect()
	s.exec("INSERT INTO t VALUES (2)")
	guaranteeSame(t, guaranteeLines(t, sink.awaitAccepted(s.ctx, t, 2)),
		[]string{"INSERT public.t map[id:1] map[]", "INSERT public.t map[id:2] map[]"})
}

func TestPositionThatOnlyTheMemoryKnowsIsNotTakenForOneOfTheSlot(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	s.readOnce(1)
	// One is killed between the memory, which it wrote, and the server, which it was
	// about to tell.
	s.exec("CREATE TABLE more ()",
		"SELECT setval('walherald."+quoteIdent(s.cfg.SlotName)+"', (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint)")
	ahead := s.remembers()
	if at := s.confirmed(); at >= ahead {
		t.Fatalf("the slot is at %s, not behind %s", at, ahead)
	}
	// The next one begins where the memory is, and is killed before it has told anything.
	r := s.newRun(newGuaranteeSink())
	lk := s.link()
	if _, err := r.prepare(s.ctx, lk); err != nil {
		t.Fatal(err)
	}
	if err := r.openMemory(s.ctx, 0); err != nil {
		t.Fatal(err)
	}
	r.sql.close()
	// The one after that goes on.
	sink := newGuaranteeSink()
	s.stream(sink)
	s.exec("INSERT INTO t VALUES (2)")
	guaranteeSame(t, guaranteeLines(t, sink.awaitAccepted(s.ctx, t, 1)), []string{"INSERT public.t map[id:2] map[]"})
}
