package listener

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
)

func TestCheckNamesWrongWALLevel(t *testing.T) {
	c := newChecked(t, pgserver.Options{Settings: map[string]string{"wal_level": "replica"}})
	found := c.check(t)
	expectOnly(t, found, 1, 0)
	expectFinding(t, found, config.FindingError, "database", "wal_level is replica", "ALTER SYSTEM SET wal_level = logical", "restart")

	// With minimal there are no walsenders; the cause is named all the same.
	c.exec(t, "ALTER SYSTEM SET wal_level = minimal", "ALTER SYSTEM SET max_wal_senders = 0")
	c.restart(t)
	found = c.check(t)
	expectOnly(t, found, 2, 0)
	expectFinding(t, found, config.FindingError, "database", "no walsender is free", "raise max_wal_senders")
	expectFinding(t, found, config.FindingError, "database", "wal_level is minimal")
}

// Failure 20 of docs/failures.md.
func TestCheckNamesServerThatIsAStandby(t *testing.T) {
	c := newChecked(t, pgserver.Options{})
	if err := c.WriteFile("standby.signal", nil); err != nil {
		t.Fatal(err)
	}
	c.restart(t)
	c.cfg.SlotMemory, c.cfg.Schema = true, "walherald"
	found := c.check(t)
	if c.Version() < 16 {
		expectOnly(t, found, 1, 0)
		expectFinding(t, found, config.FindingError, "database.host", "standby", "name the primary")
		return
	}
	expectOnly(t, found, 1, 1)
	expectFinding(t, found, config.FindingError, "listener.publication", "standby", "create it on the primary")
	expectFinding(t, found, config.FindingWarning, "listener.slotMemory", "standby", "name the primary")
	c.cfg.Failover = true
	expectFinding(t, c.check(t), config.FindingError, "listener.failover", "standby")
}

func TestCheckNamesWhatTheServersVersionDoesNotHave(t *testing.T) {
	c := newCheckedDatabase(t)
	for path, feature := range map[string]struct {
		since int
		ask   func(*config.Listener)
	}{
		"listener.dropForeignOrigin": {16, func(l *config.Listener) { l.DropForeignOrigin = true }},
		"listener.messages":          {14, func(l *config.Listener) { l.Messages = []string{config.AnyPrefix} }},
		"listener.failover":          {17, func(l *config.Listener) { l.Failover = true }},
	} {
		c.cfg = config.Listener{SlotName: "wh"}
		feature.ask(&c.cfg)
		found := c.check(t)
		if c.Version() >= feature.since {
			expectOnly(t, found, 0, 0)
			continue
		}
		expectOnly(t, found, 1, 0)
		expectFinding(t, found, config.FindingError, path, fmt.Sprintf("PostgreSQL %d", feature.since), "upgrade")
	}
}

func TestCheckWarnsOfSettingsThatEndASlotOrAConnection(t *testing.T) {
	settings := map[string]string{"wal_sender_timeout": "10s", "max_slot_wal_keep_size": "2GB"}
	c := newChecked(t, pgserver.Options{Settings: settings})
	c.cfg.HeartbeatInterval = 5 * time.Second
	found := c.check(t)
	expectOnly(t, found, 0, 1)
	expectFinding(t, found, config.FindingWarning, "database", "max_slot_wal_keep_size is 2GB", "invalidated")
	c.cfg.HeartbeatInterval = 6 * time.Second
	found = c.check(t)
	expectOnly(t, found, 0, 2)
	expectFinding(t, found, config.FindingWarning, "listener.heartbeatInterval", "is 6s", "silent for 10s (wal_sender_timeout)", "5s at most")

	const idle = "ALTER SYSTEM SET idle_replication_slot_timeout = '2h'"
	if c.Version() < 18 {
		if _, err := c.admin.Exec(t.Context(), idle); err == nil {
			t.Error("a server older than 18 has idle_replication_slot_timeout: it is not looked at")
		}
		return
	}
	c.exec(t, idle)
	c.restart(t)
	found = c.check(t)
	expectOnly(t, found, 0, 3)
	expectFinding(t, found, config.FindingWarning, "database", "idle_replication_slot_timeout is 2h", "= 0")
}

func TestCheckWarnsOfAnEncodingThatSaysNothing(t *testing.T) {
	c := newCheckedDatabase(t)
	name := c.db.Name + "_ascii"
	c.exec(t, "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
	t.Cleanup(func() {
		if err := c.DropDatabase(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	c.db.Name = name
	found := c.check(t)
	expectOnly(t, found, 0, 1)
	expectFinding(t, found, config.FindingWarning, "database.name", "SQL_ASCII", "U+FFFD")
}

func TestCheckTellsWhetherTheSlotMemoryCanBeKept(t *testing.T) {
	c := newChecked(t, pgserver.Options{})
	c.cfg.SlotMemory, c.cfg.Schema = true, "wh memory"
	expectFinding(t, c.check(t), config.FindingOK, "listener.slotMemory", "would be kept as sequence wh memory.wh")

	// Without the right to make the schema; the statement that is named is enough.
	c.exec(t, "CREATE ROLE app LOGIN REPLICATION", "CREATE PUBLICATION walherald FOR ALL TABLES")
	c.db.User = "app"
	found := c.check(t)
	expectOnly(t, found, 0, 1)
	const create = `CREATE SCHEMA "wh memory" AUTHORIZATION "app"`
	expectFinding(t, found, config.FindingWarning, "listener.slotMemory", "may not create schema wh memory", create)
	c.exec(t, create)
	found = c.check(t)
	expectOnly(t, found, 0, 0)
	expectFinding(t, found, config.FindingOK, "listener.slotMemory", "would be kept")

	// A schema of somebody else, a sequence of somebody else, something else.
	c.exec(t, `ALTER SCHEMA "wh memory" OWNER TO postgres`)
	expectFinding(t, c.check(t), config.FindingWarning, "listener.slotMemory", "may not create a sequence", `GRANT USAGE, CREATE ON SCHEMA "wh memory" TO "app"`)
	c.exec(t, `GRANT USAGE, CREATE ON SCHEMA "wh memory" TO "app"`)
	expectOnly(t, c.check(t), 0, 0)
	c.exec(t, `CREATE SEQUENCE "wh memory".wh`)
	expectFinding(t, c.check(t), config.FindingWarning, "listener.slotMemory", "does not own sequence", `ALTER SEQUENCE "wh memory"."wh" OWNER TO "app"`)
	c.exec(t, `ALTER SEQUENCE "wh memory".wh OWNER TO app`)
	expectFinding(t, c.check(t), config.FindingOK, "listener.slotMemory", "is kept as sequence wh memory.wh")
	c.exec(t, `DROP SEQUENCE "wh memory".wh`, `CREATE VIEW "wh memory".wh AS SELECT 1`)
	expectFinding(t, c.check(t), config.FindingWarning, "listener.slotMemory", "is no sequence", "another schema")
}
