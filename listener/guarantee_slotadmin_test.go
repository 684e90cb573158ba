package listener

import (
	"strings"
	"testing"
)

func TestSlotStatusTellsWhatAStartWouldDo(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	status := func() SlotInfo {
		t.Helper()
		info, err := SlotStatus(s.ctx, s.cfg, s.db)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	if info := status(); info.Exists || info.Refusal != "" || info.Remembered != 0 || info.End == 0 {
		t.Errorf("before the first start: %+v", info)
	}
	r := s.stream(newGuaranteeSink())
	if info := status(); !info.Exists || !strings.Contains(info.Holder, "process "+s.slot("active_pid")+" of the server: walherald from 127.0.0.1, since 20") {
		t.Errorf("while it is read: %+v", info)
	}
	r.stop()
	s.readOnce(1)
	info := status()
	if info.Holder != "" || info.Refusal != "" || info.Confirmed != uint64(s.confirmed()) || info.Remembered != info.Confirmed ||
		info.Restart == 0 || info.Retained < info.Behind || info.WALStatus != "reserved" || info.Left != -1 {
		t.Errorf("after it was read: %+v", info)
	}
	s.exec("SELECT pg_drop_replication_slot(" + quoteLiteral(s.cfg.SlotName) + ")")
	if info := status(); info.Exists || !strings.Contains(info.Refusal, "--accept-gap="+FormatLSN(info.Remembered)) {
		t.Errorf("after somebody dropped it: %+v", info)
	}
}

func TestDroppedByCommandTheSlotIsForgotten(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	r := s.stream(newGuaranteeSink())
	if _, err := DropSlot(s.ctx, s.cfg, s.db); err == nil || !strings.Contains(err.Error(), "is read by process "+s.slot("active_pid")) {
		t.Errorf("while it is read: %v", err)
	}
	r.stop()
	s.readOnce(1)
	if before, err := DropSlot(s.ctx, s.cfg, s.db); err != nil || !before.Exists {
		t.Fatalf("slot %+v, error %v", before, err)
	}
	s.exec("INSERT INTO t VALUES (2)")
	s.readOnce(3) // which makes a new slot
	if _, err := DropSlot(s.ctx, s.cfg, s.db); err != nil {
		t.Error(err)
	}
	if _, err := DropSlot(s.ctx, s.cfg, s.db); err != nil {
		t.Errorf("there is nothing left to drop: %v", err)
	}
}

func TestAdvancedByCommandTheSlotIsStillOurs(t *testing.T) {
	s := pgShared(t)
	s.exec("CREATE TABLE t (id int PRIMARY KEY)")
	if _, _, err := AdvanceSlot(s.ctx, s.cfg, s.db, 0); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("a slot that does not exist: %v", err)
	}
	s.readOnce(1)
	confirmed := uint64(s.confirmed())
	s.exec("INSERT INTO t VALUES (2)")
	to := s.lsn("pg_current_wal_lsn()")
	s.exec("INSERT INTO t VALUES (3)")
	for _, bad := range []uint64{confirmed, uint64(s.lsn("pg_current_wal_lsn()")) + 1<<40} {
		if _, _, err := AdvanceSlot(s.ctx, s.cfg, s.db, bad); err == nil {
			t.Errorf("the slot can be advanced to %s", FormatLSN(bad))
		}
	}
	before, reached, err := AdvanceSlot(s.ctx, s.cfg, s.db, uint64(to))
	if err != nil || before.Confirmed != confirmed || reached <= confirmed || reached > uint64(to) {
		t.Fatalf("advanced from %s to %s, want from %s to %v: %v", FormatLSN(before.Confirmed), FormatLSN(reached), FormatLSN(confirmed), to, err)
	}
	sink := newGuaranteeSink()
	s.stream(sink)
	guaranteeSame(t, guaranteeLines(t, sink.awaitAccepted(s.ctx, t, 1)), []string{"INSERT public.t map[id:3] map[]"})
}
