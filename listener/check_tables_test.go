package listener

import (
	"testing"

	"github.com/walherald/walherald/config"
)

func TestCheckWarnsOfTablesWithoutAReplicaIdentity(t *testing.T) {
	c := newCheckedDatabase(t)
	c.exec(t, "CREATE TABLE keyed (id int PRIMARY KEY)", "CREATE TABLE full_rows (id int)", "ALTER TABLE full_rows REPLICA IDENTITY FULL",
		`CREATE TABLE "Bare" (id int)`)
	found := c.check(t)
	expectOnly(t, found, 0, 1)
	expectFinding(t, found, config.FindingWarning, "listener.publication", "(1): public.Bare", "REPLICA IDENTITY FULL")
	c.cfg.Publication.Tables = []string{"keyed", "full_rows"}
	expectOnly(t, c.check(t), 0, 0)

	// It is right: the table can be written to only as long as it is not published.
	const update = `UPDATE "Bare" SET id = 1`
	c.exec(t, update, "CREATE PUBLICATION walherald FOR ALL TABLES")
	if _, err := c.admin.Exec(t.Context(), update); err == nil {
		t.Error("a table without a replica identity took an UPDATE while published")
	}
}
