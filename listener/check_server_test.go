package listener

import (
	"testing"

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

func TestCheckNamesServerThatIsAStandby(t *testing.T) {
	c := newChecked(t, pgserver.Options{})
	if err := c.WriteFile("standby.signal", nil); err != nil {
		t.Fatal(err)
	}
	c.restart(t)
	found := c.check(t)
	expectOnly(t, found, 1, 0)
	if c.Version() < 16 {
		expectFinding(t, found, config.FindingError, "database.host", "standby", "name the primary")
	} else {
		expectFinding(t, found, config.FindingError, "listener.publication", "standby", "create it on the primary")
	}
}

func TestCheckNamesVersionTooOldForDropForeignOrigin(t *testing.T) {
	c := newCheckedDatabase(t)
	c.cfg.DropForeignOrigin = true
	found := c.check(t)
	if c.Version() >= 16 {
		expectOnly(t, found, 0, 0)
		return
	}
	expectOnly(t, found, 1, 0)
	expectFinding(t, found, config.FindingError, "listener.dropForeignOrigin", "PostgreSQL 16", "upgrade")
}
