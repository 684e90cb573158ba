package listener

import (
	"testing"

	"github.com/walherald/walherald/config"
	"github.com/walherald/walherald/internal/pgserver"
)

func TestCheckNamesWhatARoleMayNot(t *testing.T) {
	c := newChecked(t, pgserver.Options{})
	c.exec(t, "CREATE ROLE app LOGIN", "CREATE TABLE t (id int PRIMARY KEY)", "CREATE SCHEMA hidden", `CREATE TABLE hidden."No.Access" (id int PRIMARY KEY)`,
		"CREATE UNLOGGED TABLE u (id int PRIMARY KEY)", "CREATE VIEW v AS SELECT 1")
	c.db.User = "app"
	found := c.check(t)
	expectOnly(t, found, 2, 0)
	expectFinding(t, found, config.FindingError, "database.user", "app may not replicate", `ALTER ROLE "app" REPLICATION`)
	expectFinding(t, found, config.FindingError, "listener.publication", "app may not create it", `CREATE PUBLICATION "walherald" FOR ALL TABLES`)

	c.exec(t, `ALTER ROLE "app" REPLICATION`)
	c.cfg.Publication = config.Publication{Name: "mine", Tables: []string{"public.t", "hidden.No.Access", "u", "v", "T"}}
	found = c.check(t)
	expectOnly(t, found, 6, 0)
	expectFinding(t, found, config.FindingError, "listener.publication", `"mine"`, `GRANT CREATE ON DATABASE "postgres" TO "app"`)
	for table, words := range map[string]string{
		"public.t": "does not own", "hidden.No.Access": "does not own", "u": "unlogged", "v": "is no table", "T": "does not exist",
	} {
		expectFinding(t, found, config.FindingError, "listener.publication.tables", table, words)
	}

	c.exec(t, `GRANT CREATE ON DATABASE "postgres" TO "app"`, "ALTER TABLE t OWNER TO app")
	c.cfg.Publication.Tables = []string{"public.t"}
	found = c.check(t)
	expectOnly(t, found, 0, 0)
	expectFinding(t, found, config.FindingOK, "listener.publication", `"mine"`, "would be created for public.t")
	// What was promised holds.
	l, err := connect(t.Context(), c.db, c.cfg.SlotName)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if _, _, err := l.prepareSlot(t.Context(), c.cfg, noHistory, func(string, string) {}); err != nil {
		t.Error(err)
	}
}
