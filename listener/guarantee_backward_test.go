package listener

import "testing"

func TestRestartNeverTellsAPositionBeforeTheSlots(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	first := newGuaranteeSink()
	r := s.stream(first)
	s.exec("INSERT INTO t VALUES (1)")
	first.awaitAccepted(s.ctx, t, 1)
	r.stop()

	next := s.newRun(newGuaranteeSink()).Listener
	lk, err := connect(s.ctx, s.db, s.cfg.SlotName)
	if err != nil {
		t.Fatal(err)
	}
	defer lk.close()
	if _, err := next.prepare(s.ctx, lk); err != nil {
		t.Fatal(err)
	}
	want := s.value("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '" + s.cfg.SlotName + "'")
	next.serverEnd(1) // what a walsender that reads again from restart_lsn may say
	if got := next.flush().String(); got != want {
		t.Errorf("the new process would tell %s, the slot is at %s", got, want)
	}
}
