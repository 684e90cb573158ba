package listener

import (
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
)

// Failure 19 of docs/failures.md.
func TestCheckRefusesSlotOlderThanPublication(t *testing.T) {
	c := newCheckedDatabase(t)
	c.exec(t, "SELECT pg_create_logical_replication_slot('wh', 'pgoutput')")
	found := c.check(t)
	expectOnly(t, found, 1, 0)
	expectFinding(t, found, config.FindingError, "listener.slotName", "slot wh exists but publication", "walherald slot drop")

	// The service says the same.
	l, err := connect(t.Context(), c.db, c.cfg.SlotName)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	_, _, err = l.prepareSlot(t.Context(), c.cfg, noHistory, func(string, string) {})
	i := slices.IndexFunc(found, func(f config.Finding) bool { return f.Severity == config.FindingError })
	if said := found[i].What + "; " + found[i].Remedy; err == nil || err.Error() != said {
		t.Errorf("check says\n%s\nand the service\n%v", said, err)
	}

	// A publication that is made now comes too late for the slot.
	c.exec(t, "CREATE PUBLICATION walherald FOR ALL TABLES")
	found = c.check(t)
	expectOnly(t, found, 0, 1)
	expectFinding(t, found, config.FindingWarning, "listener.slotName", `"walherald" may be younger than slot wh`, "walherald slot drop")
	c.exec(t, "SELECT pg_drop_replication_slot('wh')", "SELECT pg_create_logical_replication_slot('wh', 'pgoutput')")
	expectOnly(t, c.check(t), 0, 0)
}

func TestCheckRefusesSlotThatCannotServe(t *testing.T) {
	c := newChecked(t, pgserver.Options{})
	c.exec(t, "CREATE PUBLICATION walherald FOR ALL TABLES", "SELECT pg_create_physical_replication_slot('physical')",
		"SELECT pg_create_logical_replication_slot('wh', 'pgoutput')", "CREATE DATABASE other")
	for slot, words := range map[string]string{"physical": "needs pgoutput", "wh": `belongs to database "postgres", not "other"`} {
		c.cfg.SlotName = slot
		if slot == "wh" {
			c.db.Name = "other"
		}
		expectFinding(t, c.check(t), config.FindingError, "listener.slotName", "slot "+slot, words, "choose another listener.slotName")
		c.db.Name = "postgres"
	}
}

func TestCheckRefusesSlotWhoseLogIsGone(t *testing.T) {
	c := newChecked(t, pgserver.Options{Settings: map[string]string{"max_slot_wal_keep_size": "1MB"}})
	c.exec(t, "CREATE PUBLICATION walherald FOR ALL TABLES", "SELECT pg_create_logical_replication_slot('wh', 'pgoutput')", "CREATE TABLE t (id int PRIMARY KEY)")
	for i := range 4 {
		c.exec(t, fmt.Sprintf("INSERT INTO t VALUES (%d)", i), "SELECT pg_switch_wal()")
	}
	c.exec(t, "CHECKPOINT")
	found := c.check(t)
	expectOnly(t, found, 1, 1)
	expectFinding(t, found, config.FindingWarning, "database", "max_slot_wal_keep_size is 1MB", "= -1")
	expectFinding(t, found, config.FindingError, "listener.slotName", "slot wh was invalidated", "--accept-gap=")
}

func TestCheckWarnsOfSlotReadElsewhere(t *testing.T) {
	c := newCheckedDatabase(t)
	reader, err := connect(t.Context(), c.db, c.cfg.SlotName)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.close()
	if _, _, err := reader.prepareSlot(t.Context(), c.cfg, noHistory, func(string, string) {}); err != nil {
		t.Fatal(err)
	}
	reader.pg.Frontend().Send(&pgproto3.Query{String: `START_REPLICATION SLOT wh LOGICAL 0/0 (proto_version '1', publication_names 'walherald')`})
	if err := reader.pg.Frontend().Flush(); err != nil {
		t.Fatal(err)
	}
	if m, err := reader.pg.ReceiveMessage(t.Context()); err != nil {
		t.Fatalf("start replication: %v, %v", m, err)
	}
	found := c.check(t)
	expectOnly(t, found, 0, 1)
	expectFinding(t, found, config.FindingWarning, "listener.slotName", fmt.Sprintf("process %d", reader.pg.PID()), "choose another listener.slotName")
}

func TestCheckNamesWhatTheServerHasNoneLeftOf(t *testing.T) {
	c := newChecked(t, pgserver.Options{Settings: map[string]string{"max_replication_slots": "2", "max_wal_senders": "1"}})
	c.exec(t, "SELECT pg_create_physical_replication_slot('forgotten')")
	expectFinding(t, c.check(t), config.FindingOK, "listener.slotName", "1 of 2")
	c.awaitDisconnected(t) // there is one walsender
	c.exec(t, "SELECT pg_create_physical_replication_slot('abandoned')")
	found := c.check(t)
	expectOnly(t, found, 1, 0)
	expectFinding(t, found, config.FindingError, "listener.slotName", "all 2 slots", "abandoned, forgotten", "raise max_replication_slots")
	c.awaitDisconnected(t)

	other, err := connect(t.Context(), c.db, "wh")
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	found = c.check(t)
	expectOnly(t, found, 2, 0)
	expectFinding(t, found, config.FindingError, "database", "no walsender is free", "raise max_wal_senders")
	expectFinding(t, found, config.FindingError, "listener.slotName", "all 2 slots")
}

func TestCheckWarnsOfTheLogThatASlotKeeps(t *testing.T) {
	for status, settings := range map[string]map[string]string{
		"extended":   {"max_wal_size": "2MB", "min_wal_size": "2MB"},
		"unreserved": {"max_slot_wal_keep_size": "2MB"},
	} {
		t.Run(status, func(t *testing.T) {
			c := newChecked(t, pgserver.Options{Settings: settings, InitArgs: []string{"--wal-segsize=1"}})
			c.exec(t, "CREATE PUBLICATION walherald FOR ALL TABLES", "SELECT pg_create_logical_replication_slot('wh', 'pgoutput')", "CREATE TABLE t (id int PRIMARY KEY)")
			for i := range 8 {
				c.exec(t, fmt.Sprintf("INSERT INTO t VALUES (%d)", i), "SELECT pg_switch_wal()")
			}
			if got := c.value(t, "SELECT wal_status FROM pg_replication_slots"); got != status {
				t.Fatalf("wal_status is %s", got)
			}
			found := c.check(t)
			words := map[string]string{"extended": "more than max_wal_size", "unreserved": "the next checkpoint can invalidate it"}[status]
			expectFinding(t, found, config.FindingWarning, "listener.slotName", "slot wh keeps", words, "let walherald catch up")
		})
	}
}
